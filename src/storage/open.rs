//! A place that is named becomes a storage that can be asked; nothing is asked yet.
//!
//! Secrets are read here, handed to the service that needs them, and told to nobody.

use std::path::PathBuf;
use std::sync::Arc;

use super::backend::{Fault, Shared};
use super::drive::{BoxDrive, Dropbox, GoogleDrive, OneDrive, Setup};
use super::local::Local;
use super::location::{Location, Store};
use super::remote::Remote;
use super::remotes::Remotes;
use super::{Storage, StorageError};
use crate::auth::{Endpoints, Login, Provider, keep_from_dumps};
use crate::secret::Secret;
use crate::spec::remotes::SECRETS;
use crate::web::{self, Reach};

/// What opening needs of this machine.
#[derive(Debug, Clone)]
pub struct Access {
    /// The way to the network.
    pub reach: Reach,
    /// What is set for storages.
    pub remotes: Remotes,
    /// The user's own folder for what is kept between runs.
    pub state: PathBuf,
}

impl Location {
    /// Opens the backend; touches nothing yet.
    ///
    /// # Errors
    /// When something is set that cannot be right, or the backend is not part of this build.
    pub fn open(&self, access: &Access) -> Result<Arc<dyn Storage>, StorageError> {
        if let Self::Local(path) = self {
            return Ok(Arc::new(Local::new(path.clone())));
        }
        // Whatever verb this is for, from here on it holds tokens or passwords.
        keep_from_dumps();
        let journals = Some(access.state.join("uploads"));
        if let Self::Drive { provider, remote, root } = self {
            let wrong = |fault| StorageError::Open { place: self.to_string(), fault };
            let (service, login) = drive(self, access, *provider, remote, root).map_err(wrong)?;
            return Ok(Arc::new(Remote::new(service, journals).noting(login.notes())));
        }
        Ok(Arc::new(Remote::new(service(self, access)?, journals)))
    }

    /// Every value with which the backend is opened and that nobody may see, for the masker. What cannot be read is named
    /// when the backend is opened.
    pub fn secrets(&self, access: &Access) -> Vec<Secret> {
        let remote = match self {
            Self::Local(_) => return Vec::new(),
            Self::Drive { remote, .. }
            | Self::Bucket { remote, .. }
            | Self::WebDav { remote, .. }
            | Self::Sftp { remote, .. } => remote,
        };
        keep_from_dumps();
        let set = SECRETS.iter().filter_map(|key| access.remotes.secret(remote, key).ok().flatten());
        let mut secrets: Vec<Secret> = set.collect();
        if let Self::Drive { provider, remote, .. } = self
            && let Ok(login) = login(access, *provider, remote)
        {
            secrets.extend(login.secrets());
        }
        if matches!(self, Self::Bucket { .. }) {
            let vendors = VENDORS.iter().filter_map(|name| Some((name, access.remotes.lookup(name)?)));
            secrets.extend(vendors.map(|(name, value)| Secret::new(*name, value.into_bytes())));
        }
        secrets
    }
}

/// What object stores' own programs read, and so do we.
const VENDORS: [&str; 4] =
    ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"];

/// The login of a drive, from variables, config.yaml or the token file.
fn login(access: &Access, provider: Provider, remote: &str) -> Result<Arc<Login>, Fault> {
    let set = |name: &str| access.remotes.resolved(remote, name);
    let endpoints = Endpoints::of(provider, remote, set)?;
    let client = web::client(&access.reach)?;
    let login = Login::open(remote, provider, endpoints, client, set, access.state.clone())?;
    Ok(login.paced_in(&paces(access)))
}

/// Where processes of one user tell each other how fast an account may be asked.
fn paces(access: &Access) -> PathBuf {
    access.state.join("paces")
}

fn drive(
    location: &Location,
    access: &Access,
    provider: Provider,
    remote: &str,
    root: &str,
) -> Result<(Shared, Arc<Login>), Fault> {
    let login = login(access, provider, remote)?;
    let setup = Setup {
        client: web::client_for_files(&access.reach)?,
        bearer: Arc::clone(&login) as Arc<dyn web::Bearer>,
        account: login.account(),
        endpoints: Endpoints::of(provider, remote, |name| access.remotes.resolved(remote, name))?,
        root: root.to_owned(),
        place: location.to_string(),
        shared: Some(paces(access)),
    };
    let service: Shared = match provider {
        Provider::Box => Arc::new(BoxDrive::open(setup)),
        Provider::Dropbox => Arc::new(Dropbox::open(setup)),
        Provider::OneDrive => Arc::new(OneDrive::open(setup)),
        Provider::GoogleDrive => Arc::new(GoogleDrive::open(setup)),
    };
    Ok((service, login))
}

/// The service behind a place in the network.
///
/// # Errors
/// As [`Location::open`]; and for folders of this machine, which are no service.
pub fn service(location: &Location, access: &Access) -> Result<Shared, StorageError> {
    let wrong = |fault| StorageError::Open { place: location.to_string(), fault };
    match location {
        Location::Local(_) => Err(wrong(Fault::Setting("it is a folder of this machine".to_owned()))),
        Location::Drive { provider, remote, root } => {
            drive(location, access, *provider, remote, root).map(|(service, _)| service).map_err(wrong)
        }
        Location::Bucket { store: Store::S3, remote, bucket, prefix } => {
            s3(location, access, remote, bucket, prefix)?.map_err(wrong)
        }
        Location::Bucket { store: Store::Gcs, remote, bucket, prefix } => {
            gcs(location, access, remote, bucket, prefix)?.map_err(wrong)
        }
        Location::Bucket { store: Store::Azblob, remote, bucket, prefix } => {
            azblob(location, access, remote, bucket, prefix)?.map_err(wrong)
        }
        Location::WebDav { .. } => webdav(location, access)?.map_err(wrong),
        Location::Sftp { .. } => sftp(location, access)?.map_err(wrong),
    }
}

/// Not built, or what opening came to.
type Opened = Result<Result<Shared, Fault>, StorageError>;

/// A secret as text.
fn text(secret: &Secret) -> Result<String, Fault> {
    let wrong = |_| Fault::Setting(format!("`{}` is no text", secret.name()));
    std::str::from_utf8(secret.expose()).map(str::to_owned).map_err(wrong)
}

#[cfg_attr(not(any(feature = "s3", feature = "gcs", feature = "azblob")), expect(dead_code, reason = "stores need it"))]
fn secret(access: &Access, remote: &str, key: &str) -> Result<Option<String>, Fault> {
    access.remotes.secret(remote, key)?.as_ref().map(text).transpose()
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azblob"))]
fn store(
    builder: impl opendal::Builder,
    kind: super::stores::Kind,
    location: &Location,
    access: &Access,
    page: Option<String>,
) -> Result<Shared, Fault> {
    let operator = opendal::Operator::new(builder).map_err(|error| Fault::Setting(error.message().to_owned()))?;
    let client = web::client_for_files(&access.reach)?;
    Ok(Arc::new(super::stores::ObjectStore::new(operator, kind, client, location.to_string()).seen_at(page)))
}

/// Below a place in a bucket, as vendors' pages name it: nothing of it has to be escaped but what is not ASCII.
#[cfg(any(feature = "s3", feature = "gcs"))]
fn below(prefix: &str) -> String {
    let escaped: String = url::form_urlencoded::byte_serialize(prefix.as_bytes()).collect();
    let plain = escaped.replace("%2F", "/").replace('+', "%20");
    if plain.is_empty() { "{}/".to_owned() } else { format!("{plain}/{{}}/") }
}

#[cfg(feature = "s3")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it is an error")]
fn s3(location: &Location, access: &Access, remote: &str, bucket: &str, prefix: &str) -> Opened {
    let open = || {
        let set = |key: &str| access.remotes.text(remote, key);
        let vendor = |names: [&str; 2]| names.into_iter().find_map(|name| access.remotes.lookup(name));
        let region = set("region").or_else(|| vendor(["AWS_REGION", "AWS_DEFAULT_REGION"]));
        let region = region.as_deref().unwrap_or("us-east-1");
        let mut builder = opendal::services::S3::default().bucket(bucket).root(&format!("/{prefix}")).region(region);
        let endpoint = set("endpoint").or_else(|| vendor(["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
        // Others have no page there.
        let page = endpoint.is_none().then(|| {
            let below = below(prefix);
            format!("https://{region}.console.aws.amazon.com/s3/buckets/{bucket}?region={region}&prefix={below}")
        });
        match endpoint {
            Some(endpoint) => builder = builder.endpoint(&endpoint),
            // A dot would make a host of two parts, for which no certificate is good.
            None if !bucket.contains('.') => builder = builder.enable_virtual_host_style(),
            None => {}
        }
        if let Some(id) = set("access-key-id") {
            builder = builder.access_key_id(&id);
        }
        if let Some(key) = secret(access, remote, "secret-access-key")? {
            builder = builder.secret_access_key(&key);
        }
        if let Some(token) = secret(access, remote, "session-token")? {
            builder = builder.session_token(&token);
        }
        store(builder, super::stores::Kind::S3, location, access, page)
    };
    Ok(open())
}

#[cfg(not(feature = "s3"))]
fn s3(_: &Location, _: &Access, _: &str, _: &str, _: &str) -> Opened {
    Err(StorageError::NotBuilt("s3".to_owned()))
}

#[cfg(feature = "gcs")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it is an error")]
fn gcs(location: &Location, access: &Access, remote: &str, bucket: &str, prefix: &str) -> Opened {
    use base64::Engine as _;
    let open = || {
        let mut builder = opendal::services::Gcs::default().bucket(bucket).root(&format!("/{prefix}"));
        let endpoint = access.remotes.text(remote, "endpoint");
        let page = || format!("https://console.cloud.google.com/storage/browser/{bucket}/{}", below(prefix));
        let page = endpoint.is_none().then(page);
        if let Some(endpoint) = endpoint {
            builder = builder.endpoint(&endpoint);
        }
        if let Some(credentials) = secret(access, remote, "credentials")? {
            let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
            builder = builder.credential(&encoded).disable_vm_metadata().disable_config_load();
        } else if let Some(token) = secret(access, remote, "token")? {
            builder = builder.token(token).disable_vm_metadata().disable_config_load();
        }
        store(builder, super::stores::Kind::Gcs, location, access, page)
    };
    Ok(open())
}

#[cfg(not(feature = "gcs"))]
fn gcs(_: &Location, _: &Access, _: &str, _: &str, _: &str) -> Opened {
    Err(StorageError::NotBuilt("gcs".to_owned()))
}

#[cfg(feature = "azblob")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it is an error")]
fn azblob(location: &Location, access: &Access, remote: &str, container: &str, prefix: &str) -> Opened {
    let open = || {
        let set = |key: &str| access.remotes.text(remote, key);
        let vendor = |names: [&str; 2]| names.into_iter().find_map(|name| access.remotes.lookup(name));
        let account = set("account").or_else(|| vendor(["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"]));
        let endpoint = set("endpoint")
            .or_else(|| account.as_ref().map(|account| format!("https://{account}.blob.core.windows.net")));
        let endpoint = endpoint.ok_or_else(|| {
            let variable = super::remotes::variable_of(remote, "account");
            Fault::Setting(format!("no account is set: {variable} (or AZURE_STORAGE_ACCOUNT)"))
        })?;
        let mut builder =
            opendal::services::Azblob::default().container(container).root(&format!("/{prefix}")).endpoint(&endpoint);
        if let Some(account) = account {
            builder = builder.account_name(&account);
        }
        let key = secret(access, remote, "account-key")?;
        if let Some(key) = key.or_else(|| vendor(["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"])) {
            builder = builder.account_key(&key);
        }
        if let Some(token) = secret(access, remote, "sas-token")? {
            builder = builder.sas_token(token.trim_start_matches('?'));
        }
        store(builder, super::stores::Kind::Azblob, location, access, None)
    };
    Ok(open())
}

#[cfg(not(feature = "azblob"))]
fn azblob(_: &Location, _: &Access, _: &str, _: &str, _: &str) -> Opened {
    Err(StorageError::NotBuilt("azblob".to_owned()))
}

#[cfg(feature = "webdav")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it is an error")]
fn webdav(location: &Location, access: &Access) -> Opened {
    use super::webdav::{Entry, WebDav};
    let open = || {
        let Location::WebDav { remote, url, user } = location else {
            return Err(Fault::Setting("it is no WebDAV server".to_owned()));
        };
        let user = user.clone().or_else(|| access.remotes.text(remote, "user"));
        let entry = match (access.remotes.secret(remote, "token")?, user) {
            (Some(token), _) => Entry::Token(token),
            (None, Some(user)) => Entry::Password { user, password: access.remotes.secret(remote, "password")? },
            (None, None) => Entry::Open,
        };
        let client = web::client_for_files(&access.reach)?;
        let service: Shared = Arc::new(WebDav::new(client, url.clone(), &entry, location.to_string()));
        Ok(service)
    };
    Ok(open())
}

#[cfg(not(feature = "webdav"))]
fn webdav(_: &Location, _: &Access) -> Opened {
    Err(StorageError::NotBuilt("webdav".to_owned()))
}

#[cfg(feature = "sftp")]
fn sftp(location: &Location, access: &Access) -> Opened {
    use super::sftp::{Host, Sftp};
    let Location::Sftp { remote, user, host, port, path } = location else {
        return Err(StorageError::NotBuilt("sftp".to_owned()));
    };
    let file = |key: &str| access.remotes.text(remote, key).map(PathBuf::from);
    let host = Host {
        name: host.clone(),
        user: user.clone().or_else(|| access.remotes.text(remote, "user")),
        port: *port,
        key: file("key"),
        known_hosts: file("known-hosts"),
        ssh_config: file("ssh-config"),
    };
    let service: Shared = Arc::new(Sftp::new(host, path.clone(), location.to_string()));
    Ok(Ok(service))
}

#[cfg(not(feature = "sftp"))]
fn sftp(_: &Location, _: &Access) -> Opened {
    Err(StorageError::NotBuilt("sftp".to_owned()))
}

#[cfg(all(test, any(feature = "s3", feature = "gcs")))]
mod tests {
    use super::below;

    #[test]
    fn a_place_in_a_bucket_is_named_as_a_vendors_page_takes_it() {
        for (prefix, page) in [("", "{}/"), ("team", "team/{}/"), ("ml/été {}&x", "ml/%C3%A9t%C3%A9%20%7B%7D%26x/{}/")]
        {
            assert_eq!(below(prefix), page);
        }
    }
}

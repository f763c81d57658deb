//! The addresses of storages, taken apart: `s3://bucket/prefix`, `sftp://user@host/path`, a remote's own settings.
//!
//! Nothing that may be a password is repeated in an error.

use std::path::Path;

use url::Url;

use super::StorageError;
use super::drive::names::unfit;
use super::location::{Location, Store, folder};
use super::remotes::Remotes;
use crate::auth::Provider;
use crate::id::ProjectName;
use crate::spec::remotes::RemoteKind;
use crate::web::Endpoint;

/// What follows `scheme://`.
pub(super) fn read(kind: RemoteKind, scheme: &str, address: &str) -> Result<Location, StorageError> {
    let wrong = |why| StorageError::Address { scheme: scheme.to_owned(), why };
    let (authority, path) = address.split_once('/').unwrap_or((address, ""));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let may_name_a_user = matches!(kind, RemoteKind::WebDav | RemoteKind::Sftp);
    if user.is_some_and(|user| user.contains(':') || user.contains("%3") || !may_name_a_user) {
        return Err(StorageError::Credentials { scheme: scheme.to_owned(), remote: kind.name() });
    }
    if address.contains(['?', '#']) {
        return Err(wrong("what it ends in (`?` or `#`) is no part of a place; options are set by variables"));
    }
    if host.is_empty() {
        return Err(wrong("it names no place after `//`"));
    }
    let remote = kind.name().to_owned();
    let user = user.filter(|user| !user.is_empty()).map(str::to_owned);
    match kind {
        RemoteKind::S3 | RemoteKind::Gcs | RemoteKind::Azblob => bucket(kind, remote, host, path),
        RemoteKind::WebDav => {
            let url = webdav(scheme, host, path).ok_or_else(|| wrong(UNSAFE))?;
            Ok(Location::WebDav { remote, url, user })
        }
        RemoteKind::Sftp => {
            let (host, port) = port(host).ok_or_else(|| wrong("its port is none"))?;
            sftp(remote, user, host, port, &on_server(path))
        }
        _ => Err(wrong("there is no host in it: it is written `NAME:FOLDER`")),
    }
}

const UNSAFE: &str = "it is no address of a server (plain http only goes to this machine)";

/// `box:FOLDER`, `team-box:FOLDER`: the rest comes from what is set for the name.
pub(super) fn named(
    kind: RemoteKind,
    name: &str,
    below: &str,
    base: &Path,
    remotes: &Remotes,
) -> Result<Location, StorageError> {
    let wrong = |why| StorageError::Address { scheme: name.to_owned(), why };
    let set = |key: &str| remotes.text(name, key);
    let remote = name.to_owned();
    match kind {
        RemoteKind::Local => {
            let root = set("folder").ok_or_else(|| wrong("it has no `folder`"))?;
            folder(&join(&root, below), base)
        }
        RemoteKind::Box | RemoteKind::Dropbox | RemoteKind::OneDrive | RemoteKind::GoogleDrive => {
            let provider = Provider::named(kind.name()).ok_or_else(|| wrong("nobody knows this drive"))?;
            let root = parts(&join(&set("folder").unwrap_or_default(), below)).ok_or_else(|| wrong(ESCAPES))?;
            fit(provider, &remote, &root)?;
            Ok(Location::Drive { provider, remote, root })
        }
        RemoteKind::S3 | RemoteKind::Gcs | RemoteKind::Azblob => {
            let place = set("bucket").or_else(|| set("container"));
            let place = place.ok_or_else(|| wrong("no `bucket` is set for it; write `s3://BUCKET/PREFIX`"))?;
            let prefix = set("prefix").or_else(|| set("folder")).unwrap_or_default();
            bucket(kind, remote, &place, &join(&prefix, below))
        }
        RemoteKind::WebDav => {
            let endpoint = set("endpoint").ok_or_else(|| wrong("no `endpoint` is set for it"))?;
            let (scheme, rest) = endpoint.split_once("://").unwrap_or(("https", &endpoint));
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let path = join(&join(path, &set("folder").unwrap_or_default()), below);
            let url = webdav(scheme, host, &path).ok_or_else(|| wrong(UNSAFE))?;
            Ok(Location::WebDav { remote, url, user: set("user") })
        }
        RemoteKind::Sftp => {
            let endpoint = set("endpoint").ok_or_else(|| wrong("no `endpoint` is set for it"))?;
            let endpoint = endpoint.strip_prefix("sftp://").unwrap_or(&endpoint);
            let (host, path) = endpoint.split_once('/').unwrap_or((endpoint, ""));
            let (host, port) = port(host).ok_or_else(|| wrong(NO_PORT))?;
            let folder = set("folder").unwrap_or_default();
            // `sftp://HOST/PATH`, as it is written on the command line, is taken here too.
            let root = if path.is_empty() { folder } else { join(&on_server(path), &folder) };
            sftp(remote, set("user"), host, port, &join(&root, below))
        }
    }
}

/// Whether folders of a drive can be called so.
fn fit(provider: Provider, remote: &str, root: &str) -> Result<(), StorageError> {
    let Some((name, why)) = unfit(provider, root) else { return Ok(()) };
    let name = name.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    Err(StorageError::Name { title: provider.title(), name, why, remote: remote.to_owned() })
}

/// Whether a drive can have the folder of a project.
pub(super) fn fit_project(provider: Provider, project: &ProjectName) -> Result<(), StorageError> {
    match unfit(provider, project.as_str()) {
        None => Ok(()),
        Some((_, why)) => Err(StorageError::Project { title: provider.title(), project: project.clone(), why }),
    }
}

const NO_PORT: &str = "its port is none: write `endpoint: HOST:PORT`, with `user` and `folder` beside it";
const ESCAPES: &str = "a folder of it is called `.` or `..`";

fn bucket(kind: RemoteKind, remote: String, bucket: &str, prefix: &str) -> Result<Location, StorageError> {
    let store = match kind {
        RemoteKind::S3 => Store::S3,
        RemoteKind::Gcs => Store::Gcs,
        _ => Store::Azblob,
    };
    let wrong = |why| StorageError::Address { scheme: remote.clone(), why };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._$".contains(c);
    if !bucket.chars().all(plain) {
        return Err(wrong("a bucket's name is made of letters, digits, `-`, `.` and `_`"));
    }
    let prefix = parts(prefix).ok_or_else(|| wrong(ESCAPES))?;
    Ok(Location::Bucket { store, remote, bucket: bucket.to_owned(), prefix })
}

/// https, or http where that stays on this machine.
fn webdav(scheme: &str, host: &str, path: &str) -> Option<Url> {
    let path = parts(path)?;
    let with = |scheme: &str| {
        let mut url = Url::parse(&format!("{scheme}://{host}/")).ok()?;
        let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
        url.path_segments_mut().ok()?.clear().extend(names).push("");
        Some(url).filter(Endpoint::is_safe).filter(|url| url.username().is_empty() && url.password().is_none())
    };
    match scheme {
        "webdav" | "http" | "http+webdav" => with("http").or_else(|| with("https").filter(|_| scheme == "webdav")),
        "webdavs" | "https" | "https+webdav" => with("https"),
        _ => None,
    }
}

fn sftp(
    remote: String,
    user: Option<String>,
    host: &str,
    port: Option<u16>,
    path: &str,
) -> Result<Location, StorageError> {
    let wrong = |why| StorageError::Address { scheme: remote.clone(), why };
    // A name that begins with `-` would be an option of ssh.
    let plain = |text: &str| !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_whitespace);
    if !plain(host) || host.contains('@') || user.as_deref().is_some_and(|user| !plain(user)) {
        return Err(wrong("it names no host"));
    }
    let clean = parts(path).ok_or_else(|| wrong(ESCAPES))?;
    let path = if path.starts_with('/') { format!("/{clean}") } else { clean };
    Ok(Location::Sftp { remote, user, host: host.to_owned(), port, path })
}

/// The path of an address: from the root, or with `~/` from where one logs in.
fn on_server(path: &str) -> String {
    match path.strip_prefix("~/") {
        Some(own) => own.to_owned(),
        None if path == "~" => String::new(),
        None => format!("/{path}"),
    }
}

/// `host`, `host:22`, `[::1]:22`.
fn port(host: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = host.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match host.rsplit_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok()?))),
        None => Some((host, None)),
    }
}

fn join(root: &str, below: &str) -> String {
    match (root.trim_end_matches('/'), below.trim_matches('/')) {
        (_, "") => root.to_owned(),
        ("", below) if root.is_empty() => below.to_owned(),
        (root, below) => format!("{root}/{below}"),
    }
}

/// The parts of a folder, once `/` between them; `None` where it leads elsewhere.
fn parts(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    (!parts.iter().any(|part| matches!(*part, "." | ".."))).then(|| parts.join("/"))
}

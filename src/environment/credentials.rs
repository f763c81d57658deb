//! Credentials of channels and mirrors: put on a request on its way out, and nowhere else.
//!
//! Records, caches, locks and prefixes are made from clean addresses, so a prefix that is mounted into somebody else's
//! run holds no password.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rattler_networking::authentication_storage::StorageBackend;
use rattler_networking::authentication_storage::backends::file::FileStorage;
use rattler_networking::authentication_storage::backends::memory::MemoryStorage;
use rattler_networking::authentication_storage::backends::netrc::NetRcStorage;
use rattler_networking::{Authentication, AuthenticationStorage};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};
use url::Url;

use super::Config;
use super::mirror::percent_decoded;
use crate::secret::Secret;

/// What one server asks for.
#[derive(Clone)]
pub struct Credential {
    /// The server: `conda.example.com`, or `*.example.com`.
    pub host: String,
    /// What it is given.
    pub login: Login,
}

/// How somebody is let in.
#[derive(Clone)]
pub enum Login {
    /// `Authorization: Bearer …`.
    Bearer(Secret),
    /// `Authorization: Basic …`.
    Basic {
        /// The user's name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// `/t/TOKEN/` in front of the path, as anaconda.org and quetz want it.
    CondaToken(Secret),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Credential {
    /// What must not be shown.
    pub(super) fn secret(&self) -> &Secret {
        match &self.login {
            Login::Bearer(secret) | Login::CondaToken(secret) | Login::Basic { password: secret, .. } => secret,
        }
    }

    fn authentication(&self) -> Authentication {
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        match &self.login {
            Login::Bearer(token) => Authentication::BearerToken(text(token)),
            Login::CondaToken(token) => Authentication::CondaToken(text(token)),
            Login::Basic { user, password } => {
                Authentication::BasicHTTP { username: user.clone(), password: text(password) }
            }
        }
    }
}

/// Where credentials are looked up, the nearest to the user first: config.yaml, rattler's and pixi's files, netrc.
pub(super) fn storage(config: &Config) -> AuthenticationStorage {
    let mut storage = AuthenticationStorage::empty();
    if config.strangers {
        return storage;
    }
    let own = MemoryStorage::with_name("config.yaml");
    for credential in &config.credentials {
        // A store in memory takes everything.
        let _ = own.store(&credential.host, &credential.authentication());
    }
    storage.add_backend(Arc::new(own));
    // Their errors may repeat what stands in the file: only its name is told.
    if let Some(path) = &config.auth_file {
        if let Ok(file) = FileStorage::from_path(path.clone()) {
            storage.add_backend(Arc::new(file));
        } else {
            tracing::warn!(path = %path.display(), "RATTLER_AUTH_FILE is not understood and was left out");
        }
    }
    if let Ok(file) = FileStorage::new() {
        storage.add_backend(Arc::new(file));
    }
    if let Some(path) = config.netrc.as_deref().filter(|path| path.is_file()) {
        if let Ok(netrc) = NetRcStorage::from_path(path) {
            storage.add_backend(Arc::new(netrc));
        } else {
            tracing::warn!(path = %path.display(), "netrc is not understood and was left out");
        }
    }
    storage
}

/// Asks a channel at the address it was written with, and turns user and password into a header.
pub(super) struct AsWritten {
    /// Clean addresses with a slash at the end, and whole ones.
    addresses: Vec<(String, Url)>,
}

impl AsWritten {
    pub(super) fn new(mut addresses: Vec<(String, Url)>) -> Self {
        // The longest first: a label's channel is more special than its owner's.
        addresses.sort_by_key(|(clean, _)| std::cmp::Reverse(clean.len()));
        Self { addresses }
    }

    fn apply(&self, request: &mut Request) {
        let asked = request.url().as_str();
        let whole = self.addresses.iter().find_map(|(clean, whole)| {
            let rest = asked.strip_prefix(clean.as_str())?;
            Url::parse(&format!("{whole}{rest}")).ok()
        });
        if let Some(whole) = whole {
            *request.url_mut() = whole;
        }
        authorise(request);
    }
}

#[async_trait]
impl Middleware for AsWritten {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut http::Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        self.apply(&mut request);
        next.run(request, extensions).await
    }
}

/// The client does this for addresses that it is given, but not for those that a middleware put in their place.
fn authorise(request: &mut Request) {
    let url = request.url();
    if url.username().is_empty() && url.password().is_none() {
        return;
    }
    let decoded = |text: &str| percent_decoded(text).unwrap_or_else(|| text.to_owned());
    let pair = format!("{}:{}", decoded(url.username()), url.password().map(decoded).unwrap_or_default());
    let url = request.url_mut();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    // Base64 is always a header's value.
    if let Ok(mut value) = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair))) {
        value.set_sensitive(true);
        request.headers_mut().entry(AUTHORIZATION).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(addresses: &[(&str, &str)], asked: &str) -> (String, Option<String>) {
        let addresses = addresses.iter().map(|(clean, whole)| ((*clean).to_owned(), whole.parse().unwrap())).collect();
        let mut request = Request::new(reqwest::Method::GET, asked.parse().unwrap());
        AsWritten::new(addresses).apply(&mut request);
        let header = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        (request.url().to_string(), header)
    }

    #[test]
    fn passwords_become_headers_and_tokens_stay_paths() {
        let channels = [
            ("https://h/team/", "https://me:p%40ss@h/team/"),
            ("https://h/team/label/dev/", "https://h/t/TOK/team/label/dev/"),
        ];
        let basic = |pair: &str| Some(format!("Basic {}", BASE64_STANDARD.encode(pair)));
        assert_eq!(
            sent(&channels, "https://h/team/noarch/x"),
            ("https://h/team/noarch/x".to_owned(), basic("me:p@ss"))
        );
        assert_eq!(
            sent(&channels, "https://h/team/label/dev/noarch/x"),
            ("https://h/t/TOK/team/label/dev/noarch/x".to_owned(), None)
        );
        assert_eq!(sent(&channels, "https://h/other/x"), ("https://h/other/x".to_owned(), None));
        assert_eq!(sent(&[], "https://u:p@mirror/x"), ("https://mirror/x".to_owned(), basic("u:p")), "of a mirror");
    }

    #[test]
    fn the_nearest_place_wins_and_debug_shows_the_server_only() {
        let folder = tempfile::tempdir().unwrap();
        let netrc = folder.path().join("netrc");
        std::fs::write(
            &netrc,
            "machine a.example.com login me password far\nmachine b.example.com login me password near\n",
        )
        .unwrap();
        let mut config = Config::new("/nowhere".into());
        config.netrc = Some(netrc);
        let login = Login::Bearer(Secret::new("token", b"hunter2".to_vec()));
        config.credentials = vec![Credential { host: "a.example.com".to_owned(), login }];
        let storage = storage(&config);
        assert_eq!(storage.get("a.example.com").unwrap(), Some(Authentication::BearerToken("hunter2".to_owned())));
        let netrc = Authentication::BasicHTTP { username: "me".to_owned(), password: "near".to_owned() };
        assert_eq!(storage.get("b.example.com").unwrap(), Some(netrc));
        assert!(!format!("{:?}", config.credentials).contains("hunter2"));
    }
}

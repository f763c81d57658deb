//! GitHub Apps: a signed statement of who we are, and the hourly token of an installation.
//!
//! The private key never leaves this process; tokens are kept in memory only.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use pkcs8::SecretDocument;
use serde_json::json;
use tokio::sync::Mutex;

use super::super::{RepoId, rest};
use super::{Words, dressed, wire};
use crate::secret::Secret;
use crate::web::{Bearer, Endpoint, Fault, Reach, Web};

/// GitHub takes statements of at most ten minutes; clocks differ.
const LASTS: i64 = 540;
/// A statement from a clock that is ahead would be refused.
const BEFORE: i64 = 60;
/// A token that ends sooner is as good as ended.
const LEFT: i64 = 120;

/// An App, for one of its installations.
#[derive(Debug, Clone)]
pub struct App {
    /// Its id, or its client id.
    pub id: String,
    /// Its key, in PEM, as its page hands it out.
    pub key: Secret,
    /// The repository whose installation is meant.
    pub repo: RepoId,
    /// The installation's number, where it is known; else it is asked for.
    pub installation: Option<u64>,
}

impl App {
    /// A statement of who we are, good for minutes.
    ///
    /// # Errors
    /// When the key is none.
    pub fn sign(&self, now: Timestamp) -> Result<Secret, Fault> {
        let pair = self.open_key()?;
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let now = now.as_second();
        let head = part(json!({"alg": "RS256", "typ": "JWT"}));
        let claims = part(json!({"iat": now - BEFORE, "exp": now + LASTS, "iss": self.id}));
        let text = format!("{head}.{claims}");
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| Fault::Setting("the key of the GitHub App cannot sign".to_owned()))?;
        Ok(Secret::new("statement", format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)).into_bytes()))
    }

    fn open_key(&self) -> Result<RsaKeyPair, Fault> {
        let wrong = |what: &str| Fault::Setting(format!("the private key of the GitHub App {what}"));
        let pem = std::str::from_utf8(self.key.expose()).unwrap_or_default();
        let (label, document) = SecretDocument::from_pem(pem.trim()).map_err(|_| wrong("is no PEM"))?;
        let pair = match label {
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(document.as_bytes()),
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(document.as_bytes()),
            _ => return Err(wrong("is no RSA key in PEM")),
        };
        pair.map_err(|_| wrong("is no RSA key of 2048 bits or more"))
    }
}

#[async_trait::async_trait]
impl Bearer for App {
    async fn token(&self) -> Result<Secret, Fault> {
        self.sign(Timestamp::now())
    }

    async fn renew(&self, _: &Secret) -> Result<Secret, Fault> {
        Err(Fault::Login(format!(
            "GitHub does not know the App {} by this key: compare its id and key with the App's page, and this machine's clock",
            self.id
        )))
    }
}

/// The tokens of an installation: one at a time, kept until shortly before its end.
#[derive(Debug)]
pub struct Installation {
    app: App,
    api: Endpoint,
    web: Web,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    id: Option<u64>,
    token: Option<(Secret, Timestamp)>,
}

impl Installation {
    /// That of an App at the API at `api`, for what is no request to the API: git takes its token as the password of the
    /// user `x-access-token`. Asks nothing yet.
    ///
    /// # Errors
    /// When the address is none, or the network is set up in a way that cannot be.
    pub fn open(api: &str, app: App, reach: &Reach) -> Result<Self, Fault> {
        let web = rest::plain(Arc::new(Words), reach)?.with_bearer(Arc::new(app.clone()));
        Ok(Self::new(app, api.parse()?, web))
    }

    pub(super) fn new(app: App, api: Endpoint, web: Web) -> Self {
        let kept = Mutex::new(Kept { id: app.installation, token: None });
        Self { app, api, web, kept }
    }

    async fn fetch(&self, kept: &mut Kept) -> Result<Secret, Fault> {
        let id = if let Some(id) = kept.id { id } else { self.find().await? };
        kept.id = Some(id);
        let url = self.api.at(&format!("/app/installations/{id}/access_tokens"));
        let body = json!({"repositories": [self.app.repo.name()]});
        let answer = self.web.send(|client| dressed(client.post(&url)).json(&body)).await?;
        let made: wire::InstallationToken =
            answer.json().map_err(|_| Fault::Form("no token of an installation".to_owned()))?;
        let token = Secret::new("installation token", made.token.into_bytes());
        kept.token = Some((token.clone(), made.expires_at));
        Ok(token)
    }

    async fn find(&self) -> Result<u64, Fault> {
        let url = self.api.at(&format!("/repos/{}/installation", self.app.repo));
        match self.web.send(|client| dressed(client.get(&url))).await {
            Err(Fault::NotFound) => Err(Fault::Login(format!(
                "the GitHub App {} is not installed in {}: install it from the App's page",
                self.app.id, self.app.repo
            ))),
            found => Ok(found?.json::<wire::Numbered>()?.id),
        }
    }
}

#[async_trait::async_trait]
impl Bearer for Installation {
    async fn token(&self) -> Result<Secret, Fault> {
        let mut kept = self.kept.lock().await;
        match &kept.token {
            Some((token, ends)) if ends.as_second() - Timestamp::now().as_second() > LEFT => Ok(token.clone()),
            _ => self.fetch(&mut kept).await,
        }
    }

    async fn renew(&self, stale: &Secret) -> Result<Secret, Fault> {
        let mut kept = self.kept.lock().await;
        match &kept.token {
            // Somebody else was here first.
            Some((token, _)) if token.expose() != stale.expose() => Ok(token.clone()),
            _ => self.fetch(&mut kept).await,
        }
    }
}

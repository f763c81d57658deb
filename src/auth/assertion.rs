//! What a Box app with a key of its own sends in place of a person's consent: a signed assertion (JWT).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA512, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pkcs8::{EncryptedPrivateKeyInfo, SecretDocument};
use serde::Deserialize;
use serde_json::json;

use super::consent::random;
use super::{App, file};
use crate::secret::Secret;
use crate::web::Fault;

/// Box refuses more than a minute; clocks differ.
const LASTS: i64 = 45;
/// What an assertion is for, whatever host it is sent to.
const AUDIENCE: &str = "https://api.box.com/oauth2/token";

/// The settings of a Box app, as its console writes them.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// The app.
    pub app: App,
    /// `enterprise` or `user`, and its id.
    pub subject: (String, String),
    key_id: String,
    key: Secret,
    passphrase: Option<Secret>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    box_app_settings: Settings,
    #[serde(rename = "enterpriseID", default)]
    enterprise: Option<String>,
    #[serde(rename = "userID", default)]
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Settings {
    #[serde(rename = "clientID")]
    client: String,
    client_secret: String,
    app_auth: Key,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Key {
    #[serde(rename = "publicKeyID")]
    id: String,
    #[serde(rename = "privateKey")]
    pem: String,
    #[serde(default)]
    passphrase: String,
}

impl Assertion {
    /// Reads the settings: their text, or the path of a file that holds it. `name` is the variable's.
    ///
    /// # Errors
    /// When they are not what Box writes; nothing of them is repeated.
    pub fn read(name: &str, value: &str, subject: Option<(String, String)>) -> Result<Self, Fault> {
        let text = if value.trim_start().starts_with('{') {
            value.to_owned()
        } else {
            std::fs::read_to_string(value.trim())
                .map_err(|error| Fault::Setting(format!("the file that {name} names cannot be read: {error}")))?
        };
        // serde's words may repeat a value.
        let written: Written = serde_json::from_str(&text).map_err(|_| {
            Fault::Setting(format!(
                "{name} holds no settings of a Box app: take the file that the app's page at \
                 https://app.box.com/developers/console makes (Configuration, App Settings, Download as JSON)"
            ))
        })?;
        let id = |id: Option<String>| id.filter(|id| !id.is_empty() && id != "0");
        let own = id(written.enterprise).map(|id| ("enterprise".to_owned(), id));
        let own = own.or_else(|| id(written.user).map(|id| ("user".to_owned(), id)));
        let subject = subject.or(own).ok_or_else(|| {
            Fault::Setting(format!("{name} names no enterprise: set …_SUBJECT_TYPE and …_SUBJECT_ID beside it"))
        })?;
        let settings = written.box_app_settings;
        let secret = |what: &str, text: String| Secret::new(format!("{what} of {name}"), text.into_bytes());
        let passphrase = Some(settings.app_auth.passphrase).filter(|text| !text.is_empty());
        Ok(Self {
            app: App { id: settings.client, secret: Some(secret("secret", settings.client_secret)) },
            subject,
            key_id: settings.app_auth.id,
            key: secret("key", settings.app_auth.pem),
            passphrase: passphrase.map(|text| secret("passphrase", text)),
        })
    }

    /// Everything in it that must not be seen.
    pub fn secrets(&self) -> Vec<Secret> {
        [Some(&self.key), self.passphrase.as_ref(), self.app.secret.as_ref()].into_iter().flatten().cloned().collect()
    }

    /// A fresh assertion, good once and for less than a minute.
    ///
    /// # Errors
    /// When the key cannot be opened.
    pub fn sign(&self) -> Result<Secret, Fault> {
        let pair = self.open_key()?;
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = part(json!({"alg": "RS512", "typ": "JWT", "kid": self.key_id}));
        let claims = part(json!({
            "iss": self.app.id, "sub": self.subject.1, "box_sub_type": self.subject.0, "aud": AUDIENCE,
            "jti": random()?, "exp": file::now() + LASTS,
        }));
        let text = format!("{head}.{claims}");
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| Fault::Setting("the key of the Box app cannot sign".to_owned()))?;
        Ok(Secret::new("assertion", format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)).into_bytes()))
    }

    fn open_key(&self) -> Result<RsaKeyPair, Fault> {
        let wrong = |what: &str| Fault::Setting(format!("the private key of the Box app {what}"));
        let pem = std::str::from_utf8(self.key.expose()).unwrap_or_default();
        let (label, document) = SecretDocument::from_pem(pem).map_err(|_| wrong("is no PEM"))?;
        let pair = match label {
            "ENCRYPTED PRIVATE KEY" => {
                let info = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| wrong(UNKNOWN_CIPHER))?;
                let passphrase =
                    self.passphrase.as_ref().ok_or_else(|| wrong("is encrypted and its passphrase is missing"))?;
                let plain = info.decrypt(passphrase.expose()).map_err(|_| wrong(UNKNOWN_CIPHER))?;
                RsaKeyPair::from_pkcs8(plain.as_bytes())
            }
            "PRIVATE KEY" => RsaKeyPair::from_pkcs8(document.as_bytes()),
            "RSA PRIVATE KEY" => RsaKeyPair::from_der(document.as_bytes()),
            _ => return Err(wrong("is no RSA key in PEM")),
        };
        pair.map_err(|_| wrong("is no RSA key of 2048 bits or more"))
    }
}

const UNKNOWN_CIPHER: &str = "does not open with its passphrase, or is encrypted in a way that is not known here: \
     `openssl pkcs8 -topk8 -v2 aes-256-cbc -v2prf hmacWithSHA256 -in OLD.pem -out NEW.pem` encrypts it anew; put NEW.pem \
     into `privateKey`";

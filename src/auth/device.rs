//! The device flow: a person types a short code into a page on any machine, and we ask until they did.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::issuer::{Issuer, code, plain};
use super::{Grant, Provider};
use crate::secret::Secret;
use crate::web::{Fault, number_if_any};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Seconds between questions where the vendor names none, and what "slow down" adds.
const INTERVAL: u64 = 5;
/// Seconds that a code waits where the vendor does not say.
const LASTS: u64 = 900;

/// A code that waits for its person.
#[derive(Debug, Clone)]
pub struct Device {
    /// Where it is typed.
    pub url: String,
    /// What is typed.
    pub user_code: String,
    /// How long it waits.
    pub lasts: Duration,
    code: Secret,
    interval: Duration,
}

/// The standard's names and, of the address, Google's, which may come both; numbers may be written as text.
#[derive(Deserialize)]
struct Begun {
    device_code: String,
    user_code: String,
    verification_uri: Option<String>,
    verification_url: Option<String>,
    #[serde(default, deserialize_with = "number_if_any")]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "number_if_any")]
    interval: Option<u64>,
}

impl Issuer {
    /// Asks for a code.
    ///
    /// # Errors
    /// As the endpoint refuses.
    pub async fn begin_device(&self) -> Result<Device, Fault> {
        let mut fields = vec![("client_id", plain(&self.app.id))];
        fields.extend(self.scope.as_deref().map(|scope| ("scope", plain(scope))));
        let answer = self.ask(&self.provider.device_path(&self.tenant), &fields).await?;
        let none = || Fault::Form(format!("{} gave no code to type", self.provider.title()));
        let begun: Begun = serde_json::from_slice(&answer.body).map_err(|_| none())?;
        let url = begun.verification_uri.or(begun.verification_url).filter(|url| !url.is_empty());
        Ok(Device {
            url: shown(&url.ok_or_else(none)?),
            user_code: shown(&begun.user_code),
            lasts: Duration::from_secs(begun.expires_in.unwrap_or(LASTS).min(3600)),
            code: Secret::new("device code", begun.device_code.into_bytes()),
            interval: Duration::from_secs(begun.interval.unwrap_or(INTERVAL).clamp(1, 60)),
        })
    }

    /// Asks until the person agreed, declined, or let the code expire.
    ///
    /// # Errors
    /// [`Fault::Login`] when they did not agree.
    pub async fn wait_for_device(&self, device: &Device) -> Result<Grant, Fault> {
        let begun = Instant::now();
        let mut interval = device.interval;
        let over = |what: &str| Err(Fault::Login(format!("{what}; once more: `{}`", self.login())));
        loop {
            tokio::time::sleep(interval).await;
            if begun.elapsed() > device.lasts {
                return over("the code was not used in time");
            }
            let fault = match self.grant(GRANT, vec![("device_code", device.code.clone())]).await {
                Ok(grant) => return Ok(grant),
                Err(fault) => fault,
            };
            match code(&fault) {
                Some("authorization_pending") => {}
                Some("slow_down") => interval += Duration::from_secs(INTERVAL),
                Some("access_denied" | "authorization_declined") => return over("the login was declined"),
                Some("expired_token" | "code_expired" | "invalid_grant") => {
                    return over("the code was not used in time");
                }
                _ => return Err(self.refused(fault)),
            }
        }
    }

    /// A refusal that a person can mend, in words that say how.
    pub(super) fn refused(&self, fault: Fault) -> Fault {
        self.refused_at(fault, &self.login())
    }

    /// The same, where `again` is what to type to try once more.
    pub(super) fn refused_at(&self, fault: Fault, again: &str) -> Fault {
        let prefix = super::variable(&self.remote);
        match code(&fault) {
            Some("invalid_client" | "unauthorized_client") => Fault::Setting(format!(
                "{} does not know the app: {fault}; look at {prefix}_CLIENT_ID{}",
                self.provider.title(),
                if self.provider == Provider::Dropbox { "" } else { " and _CLIENT_SECRET" }
            )),
            Some("invalid_grant") => Fault::Login(format!("{fault}; once more: `{again}`")),
            _ => fault,
        }
    }
}

/// A vendor's text on its way to a terminal.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

//! What issues tokens: one vendor's token endpoint, for one app.
//!
//! A refusal keeps the vendor's code and words, without anything that was sent.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::scope::lacking;
use super::{App, Endpoints, Entry, Provider, Way, variable};
use crate::secret::Secret;
use crate::web::{Answer, Fault, Judge, LONGEST_WAIT, Pace, Pacer, Waiting, Waits, Web, number_if_any};

/// How fast an endpoint is asked.
const PACE: Pace = Pace::steady(10.0, 10.0);

/// What an endpoint granted.
#[derive(Debug, Clone)]
pub struct Grant {
    /// What requests carry.
    pub access: Secret,
    /// Seconds that it lasts.
    pub expires_in: Option<i64>,
    /// What gives the next one.
    pub refresh: Option<Secret>,
    /// Seconds that this one lasts, where the vendor tells.
    pub refresh_expires_in: Option<i64>,
    /// What was agreed to.
    pub scope: Option<String>,
    /// Whose it is, where the vendor tells.
    pub account_id: Option<String>,
}

/// Numbers may be written as text.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default, deserialize_with = "number_if_any")]
    expires_in: Option<u64>,
    refresh_token: Option<String>,
    #[serde(default, deserialize_with = "number_if_any")]
    refresh_token_expires_in: Option<u64>,
    scope: Option<String>,
    account_id: Option<String>,
}

/// One vendor's token endpoint.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The vendor.
    pub provider: Provider,
    /// As written after `--storage`.
    pub remote: String,
    /// For whom tokens are issued.
    pub app: App,
    pub(super) endpoints: Endpoints,
    pub(super) tenant: String,
    pub(super) scope: Option<String>,
    pub(super) client: reqwest::Client,
    pacer: Arc<Pacer>,
    waits: Waits,
    /// How long a pause may be that is waited for, where that is shorter than usual.
    pub(super) hurry: Option<Duration>,
}

impl Issuer {
    /// The endpoint of a remote; `set` looks variables up (`SOOPERVISOR_<REMOTE>_TENANT`, `_SCOPE`).
    pub fn new(
        provider: Provider,
        remote: &str,
        endpoints: Endpoints,
        client: reqwest::Client,
        app: App,
        set: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let set = |part: &str| set(&format!("{}_{part}", variable(remote))).filter(|value| !value.trim().is_empty());
        let tenant = set("TENANT").unwrap_or_else(|| "common".to_owned());
        let scope = set("SCOPE").or_else(|| provider.scope().map(str::to_owned));
        let pacer = Arc::new(Pacer::new(PACE));
        let waits = Waits::default();
        Self { provider, remote: remote.to_owned(), app, endpoints, tenant, scope, client, pacer, waits, hurry: None }
    }

    /// Keeps to the pauses that any process of the user was told to make which names the same folder, and tells them its own.
    pub(super) fn pace_in(&mut self, folder: &Path) {
        let name = format!("tokens {} {} {}", self.provider, self.endpoints.auth, self.app.id);
        self.pacer = Pacer::shared_in(Some(folder), &name, PACE);
    }

    /// What a request to the vendor waits for at present.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        self.waits.longest()
    }

    /// The same endpoint for another app.
    #[must_use]
    pub fn for_app(&self, app: App) -> Self {
        Self { app, ..self.clone() }
    }

    /// What to type to log in.
    pub(super) fn login(&self) -> String {
        format!("soopervisor auth login {}", self.remote)
    }

    /// What to type to log in through a browser on this machine.
    pub(super) fn login_by_browser(&self) -> String {
        match self.provider.way() {
            Way::Device => format!("{} --browser", self.login()),
            Way::Loopback | Way::LoopbackOrPaste => self.login(),
        }
    }

    /// The next pair for a refresh token.
    ///
    /// # Errors
    /// As the endpoint refuses; `invalid_grant` is [`is_over`].
    pub async fn refresh(&self, refresh: &Secret) -> Result<Grant, Fault> {
        self.grant("refresh_token", vec![("refresh_token", refresh.clone())]).await
    }

    /// A pair for the code of a consent page.
    ///
    /// # Errors
    /// As the endpoint refuses.
    pub async fn exchange(
        &self,
        code: &Secret,
        verifier: Option<&Secret>,
        redirect: Option<&str>,
    ) -> Result<Grant, Fault> {
        let mut fields = vec![("code", code.clone())];
        fields.extend(verifier.map(|verifier| ("code_verifier", verifier.clone())));
        fields.extend(redirect.map(|redirect| ("redirect_uri", plain(redirect))));
        self.grant("authorization_code", fields).await
    }

    /// A token for Box's service account or one of its users.
    ///
    /// # Errors
    /// As the endpoint refuses.
    pub async fn client_credentials(&self, subject: &(String, String)) -> Result<Grant, Fault> {
        let (kind, id) = subject;
        self.grant("client_credentials", vec![("box_subject_type", plain(kind)), ("box_subject_id", plain(id))]).await
    }

    /// A token for a signed assertion.
    ///
    /// # Errors
    /// As the endpoint refuses.
    pub async fn assertion(&self, assertion: Secret) -> Result<Grant, Fault> {
        self.grant("urn:ietf:params:oauth:grant-type:jwt-bearer", vec![("assertion", assertion)]).await
    }

    pub(super) async fn grant(&self, kind: &str, mut fields: Vec<(&'static str, Secret)>) -> Result<Grant, Fault> {
        fields.insert(0, ("grant_type", plain(kind)));
        fields.push(("client_id", plain(&self.app.id)));
        fields.extend(self.app.secret.clone().map(|secret| ("client_secret", secret)));
        let answer = self.ask(&self.provider.token_path(&self.tenant), &fields).await?;
        // serde's words may repeat a value.
        let granted: Granted = serde_json::from_slice(&answer.body)
            .map_err(|_| Fault::Form(format!("{} granted something that is no token", self.provider.title())))?;
        let secret = |text: String| Secret::new(format!("token of {}", self.remote), text.into_bytes());
        let seconds = |told: Option<u64>| told.and_then(|told| i64::try_from(told).ok()).filter(|told| *told > 0);
        Ok(Grant {
            access: secret(granted.access_token),
            expires_in: seconds(granted.expires_in),
            refresh: granted.refresh_token.filter(|text| !text.is_empty()).map(secret),
            refresh_expires_in: seconds(granted.refresh_token_expires_in),
            scope: granted.scope.filter(|text| !text.is_empty()),
            account_id: granted.account_id,
        })
    }

    pub(super) async fn ask(&self, path: &str, fields: &[(&'static str, Secret)]) -> Result<Answer, Fault> {
        let hide = fields.iter().filter(|(name, _)| is_telling(name)).map(|(_, value)| value.clone()).collect();
        let web = Web::new(self.client.clone(), None, Arc::clone(&self.pacer), Arc::new(Refusals { hide }));
        let web = web.seen_in(self.waits.clone());
        let web = match self.hurry {
            Some(patience) => web.hurried(patience),
            None => web,
        };
        let url = self.endpoints.auth.at(path);
        let form: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (*name, std::str::from_utf8(value.expose()).unwrap_or_default()))
            .collect();
        web.send(|client| client.post(&url).header("accept", "application/json").form(&form)).await
    }

    /// Ends a login at the vendor; `false` where that cannot be asked for.
    ///
    /// # Errors
    /// When the vendor refuses.
    pub async fn revoke(&self, entry: &Entry) -> Result<bool, Fault> {
        let token = entry.refresh.as_ref().unwrap_or(&entry.access).clone();
        match self.provider {
            Provider::OneDrive => return Ok(false),
            Provider::Dropbox => {
                // Takes an access token, and ends the refresh token that it came from.
                let access = match &entry.refresh {
                    Some(refresh) if !entry.is_good() => self.refresh(refresh).await?.access,
                    _ => entry.access.clone(),
                };
                let bearer = Arc::new(super::who::Fixed(access));
                let judge = Arc::new(Refusals { hide: vec![token] });
                let web = Web::new(self.client.clone(), Some(bearer), Arc::clone(&self.pacer), judge);
                let url = self.endpoints.api.at("/2/auth/token/revoke");
                web.send(|client| client.post(&url)).await?;
            }
            Provider::GoogleDrive => drop(self.ask("/revoke", &[("token", token)]).await?),
            Provider::Box => {
                let mut fields = vec![("token", token), ("client_id", plain(&self.app.id))];
                fields.extend(self.app.secret.clone().map(|secret| ("client_secret", secret)));
                self.ask("/oauth2/revoke", &fields).await?;
            }
        }
        Ok(true)
    }
}

/// A field that is no secret.
pub(super) fn plain(text: &str) -> Secret {
    Secret::new("field", text.as_bytes().to_vec())
}

fn is_telling(field: &str) -> bool {
    matches!(
        field,
        "refresh_token" | "code" | "code_verifier" | "client_secret" | "assertion" | "device_code" | "token"
    )
}

/// Whether the vendor says that a token or code is used up, expired or revoked.
pub(super) fn is_over(fault: &Fault) -> bool {
    code(fault) == Some("invalid_grant")
}

/// The vendor's code for a refusal.
pub(super) fn code(fault: &Fault) -> Option<&str> {
    match fault {
        Fault::Refused { words, .. } => Some(words.split(':').next().unwrap_or(words)),
        _ => None,
    }
}

/// The code in an object under `error`.
fn reason(error: &Value) -> &str {
    let told = [&error["errors"][0]["reason"], &error["status"], &error["code"], &error[".tag"]];
    told.into_iter().find_map(Value::as_str).unwrap_or_default()
}

/// Google says it with a 403, too.
fn asks_for_fewer(status: u16, error: &Value) -> bool {
    status == 429 || (status == 403 && matches!(reason(error), "userRateLimitExceeded" | "rateLimitExceeded"))
}

/// Reads `{"error", "error_description"}`, and the objects under `error` of APIs, which are asked for an account.
#[derive(Debug)]
pub(super) struct Refusals {
    pub(super) hide: Vec<Secret>,
}

impl Judge for Refusals {
    fn judge(&self, answer: &Answer) -> Fault {
        if let Some(fault) = lacking(answer) {
            return fault;
        }
        let body = answer.value();
        let error = &body["error"];
        if asks_for_fewer(answer.status, error) {
            let told = error["retry_after"].as_u64().map(|told| Duration::from_secs(told).min(LONGEST_WAIT));
            return Fault::Throttled(answer.retry_after().or(told));
        }
        let code = error.as_str().unwrap_or_default();
        let why = body["error_description"].as_str().or_else(|| error["message"].as_str()).unwrap_or_default();
        let named = if code.is_empty() { reason(error) } else { code };
        let mut words = match (named, why) {
            ("", why) => why.to_owned(),
            (code, "") => code.to_owned(),
            (code, why) => format!("{code}: {why}"),
        };
        for secret in &self.hide {
            if let Ok(value) = std::str::from_utf8(secret.expose())
                && !value.is_empty()
            {
                words = words.replace(value, "***");
            }
        }
        match answer.status {
            500..=599 => answer.plain_fault(&words),
            _ if words.is_empty() => answer.plain_fault("it gives no reason"),
            // What is told in an object means what its status does.
            _ if code.is_empty() => answer.plain_fault(&words),
            status => Fault::refused(status, &words),
        }
    }

    fn is_stale(&self, answer: &Answer) -> bool {
        answer.status == 401 && lacking(answer).is_none()
    }
}

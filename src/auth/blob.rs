//! One login as one word, to be carried to a machine without a browser.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::source::packed_name;
use super::{App, Entry, Grant, Provider};
use crate::secret::Secret;
use crate::web::Fault;

/// `SOOPERVISOR_TOKEN_<REMOTE>=…`: everything that the other machine needs.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn pack(remote: &str, entry: &Entry) -> Result<Secret, Fault> {
    let json = serde_json::to_vec(entry).map_err(|_| Fault::Form("a token is no text".to_owned()))?;
    let name = packed_name(remote);
    let line = format!("{name}={}", URL_SAFE_NO_PAD.encode(json));
    Ok(Secret::new(name, line.into_bytes()))
}

/// What [`pack`] made, with or without the variable's name before it.
///
/// # Errors
/// When it is something else, or another vendor's; nothing of it is repeated.
pub fn unpack(provider: Provider, text: &str) -> Result<Entry, Fault> {
    let text = text.trim();
    let word = text.rsplit_once('=').map_or(text, |(_, word)| word);
    let entry = URL_SAFE_NO_PAD.decode(word).ok().and_then(|json| serde_json::from_slice::<Entry>(&json).ok());
    let entry = entry.ok_or_else(|| {
        Fault::Setting(format!("that is no login; `soopervisor auth login {provider} --on-desktop` prints one"))
    })?;
    if entry.provider != provider.name() {
        return Err(Fault::Setting(format!("that is a login of `{}`, not of `{provider}`", entry.provider)));
    }
    Ok(entry)
}

/// A refresh token alone: its access token is still to be had, and nobody knows how old it is.
pub(super) fn of_refresh(provider: Provider, app: &App, refresh: Secret) -> Entry {
    let access = Secret::new("token", Vec::new());
    let grant = Grant {
        access,
        expires_in: Some(0),
        refresh: Some(refresh),
        refresh_expires_in: None,
        scope: None,
        account_id: None,
    };
    Entry { refresh_expires_at: None, ..Entry::new(provider, app, grant) }
}

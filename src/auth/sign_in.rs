//! Making and ending logins: what a grant becomes once the vendor has said whose it is.

use std::sync::Arc;

use super::who::Fixed;
use super::{Account, Endpoints, Entry, Grant, Issuer, TokenFile};
use crate::web::Fault;

/// A login that was just made.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// What is to be kept.
    pub entry: Entry,
    /// Whose it is.
    pub account: Account,
}

impl SignIn {
    /// Asks whose a grant is.
    ///
    /// # Errors
    /// When the service does not take the fresh token.
    pub async fn of(issuer: &Issuer, grant: Grant) -> Result<Self, Fault> {
        let mut entry = Entry::new(issuer.provider, &issuer.app, grant);
        let bearer = Arc::new(Fixed(entry.access.clone()));
        let account = Account::of(issuer.provider, &issuer.endpoints, &issuer.client, bearer, issuer.hurry).await?;
        entry.account = Some(account.name.clone());
        entry.account_id = account.id.clone().or(entry.account_id);
        Ok(Self { entry, account })
    }

    /// Keeps it under the remote's name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn keep(&self, issuer: &Issuer, tokens: &TokenFile) -> Result<(), Fault> {
        tokens.lock().await?.keep(&issuer.remote, &self.entry)
    }
}

/// Ends a login: at the vendor, where that can be asked for, and here in any case. Says whether the vendor knows.
///
/// # Errors
/// When the entry cannot be removed.
pub async fn forget(
    tokens: &TokenFile,
    remote: &str,
    endpoints: Endpoints,
    client: reqwest::Client,
) -> Result<Option<Result<bool, Fault>>, Fault> {
    let guard = tokens.lock().await?;
    let Some(entry) = guard.remove(remote)? else { return Ok(None) };
    let Some(provider) = super::Provider::named(&entry.provider) else { return Ok(Some(Ok(false))) };
    let issuer = Issuer::new(provider, remote, endpoints, client, entry.app(), |_| None);
    Ok(Some(issuer.revoke(&entry).await))
}

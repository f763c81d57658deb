//! A login that is used: hands out tokens and renews them so that no process takes another's pair away.
//!
//! Renewing: lock the file, read it again, take what somebody else renewed meanwhile; else renew, put the new pair on
//! disk before anybody uses it, let go.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::issuer::is_over;
use super::{Account, App, Endpoints, Entry, HELPER, Issuer, Provider, Source, TokenFile, file};
use crate::secret::Secret;
use crate::web::{Bearer, Fault, Waiting};

/// Days before its end that a login is spoken of.
const WARN: i64 = 14;
const DAY: i64 = 24 * 60 * 60;

/// A login that is used.
#[derive(Debug)]
pub struct Login {
    keeper: Keeper,
    source: Source,
    held: Mutex<Option<Entry>>,
    seen: StdMutex<Vec<Secret>>,
    first: Option<Entry>,
}

impl Login {
    /// The login of a remote, from variables or from the token file in `folder`. Asks no service yet.
    ///
    /// # Errors
    /// When there is none, with what to type.
    pub fn open(
        remote: &str,
        provider: Provider,
        endpoints: Endpoints,
        client: reqwest::Client,
        variables: impl Fn(&str) -> Option<String>,
        folder: PathBuf,
    ) -> Result<Arc<Self>, Fault> {
        let source = Source::find(provider, remote, &variables)?;
        let tokens = TokenFile::in_folder(folder).kept_by(variables(HELPER));
        let (name, seed) = match &source {
            Source::Refresh { entry, .. } => (kept_name(remote, entry), Some(entry.as_ref().clone())),
            _ => (remote.to_owned(), None),
        };
        let kept = match &source {
            Source::File => Some(of_file(&tokens, remote, provider)?),
            Source::Refresh { .. } if provider.is_single_use() => tokens.read()?.remove(&name),
            _ => None,
        };
        let first = kept.or_else(|| seed.clone());
        let app = match &source {
            Source::ClientCredentials { app, .. } => app.clone(),
            Source::Assertion(assertion) => assertion.app.clone(),
            _ => first.as_ref().map_or_else(|| App { id: String::new(), secret: None }, Entry::app),
        };
        let issuer = Issuer::new(provider, remote, endpoints, client, app, &variables);
        let mut seen = first.as_ref().map(Entry::secrets).unwrap_or_default();
        seen.extend(seed.iter().flat_map(Entry::secrets));
        match &source {
            Source::Access(token) => seen.push(token.clone()),
            Source::Assertion(assertion) => seen.extend(assertion.secrets()),
            Source::ClientCredentials { app, .. } => seen.extend(app.secret.clone()),
            Source::Refresh { .. } | Source::File => {}
        }
        let variable = match &source {
            Source::Refresh { variable, .. } => Some(variable.clone()),
            _ => None,
        };
        let keeper = Keeper { issuer, tokens, name, seed, variable };
        Ok(Arc::new(Self { keeper, source, held: Mutex::default(), seen: StdMutex::new(seen), first }))
    }

    /// The same login for who wants to know soon: neither for a token nor for [`Self::who`] is a longer pause waited for
    /// that a service asks for. To be said before anybody else has it.
    #[must_use]
    pub fn hurried(mut self: Arc<Self>, patience: Duration) -> Arc<Self> {
        if let Some(login) = Arc::get_mut(&mut self) {
            login.keeper.issuer.hurry = Some(patience);
        }
        self
    }

    /// The same login, whose pauses, those that are asked for where tokens come from, are known to all processes of the user
    /// that name the same folder. To be said before anybody else has it.
    #[must_use]
    pub fn paced_in(mut self: Arc<Self>, folder: &Path) -> Arc<Self> {
        if let Some(login) = Arc::get_mut(&mut self) {
            login.keeper.issuer.pace_in(folder);
        }
        self
    }

    /// Where its tokens come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What was kept of it when it was opened.
    pub fn entry(&self) -> Option<&Entry> {
        self.first.as_ref()
    }

    /// Every value that must not be seen, for the masker; more may come with each renewal.
    pub fn secrets(&self) -> Vec<Secret> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells accounts apart, and is no credential: the key of their pace.
    pub fn account(&self) -> String {
        let provider = self.keeper.issuer.provider;
        let digest = |text: &[u8]| hex::encode(&Sha256::digest(text)[..8]);
        let who = match &self.source {
            Source::Access(token) => digest(token.expose()),
            Source::ClientCredentials { subject, .. } => format!("{}-{}", subject.0, subject.1),
            Source::Assertion(assertion) => format!("{}-{}", assertion.subject.0, assertion.subject.1),
            Source::Refresh { .. } | Source::File => {
                let id = self.first.as_ref().and_then(|entry| entry.account_id.clone());
                let refresh = self.keeper.seed.as_ref().and_then(|seed| seed.refresh.as_ref());
                match (id, refresh) {
                    (Some(id), _) => digest(id.as_bytes()),
                    (None, Some(refresh)) => digest(refresh.expose()),
                    (None, None) => self.keeper.name.clone(),
                }
            }
        };
        format!("{provider}:{who}")
    }

    /// What a user should know: a login that ends soon.
    pub fn notes(&self) -> Vec<String> {
        let (provider, remote) = (self.keeper.issuer.provider, &self.keeper.issuer.remote);
        let mut notes = Vec::new();
        if let Source::Refresh { variable, .. } = &self.source
            && provider.is_single_use()
        {
            notes.push(format!(
                "{variable}: {} takes each refresh token once; a machine that does not keep its files needs client \
                 credentials or a JWT (`soopervisor auth export {remote}`)",
                provider.title()
            ));
        }
        let ends = self.first.as_ref().and_then(|entry| entry.refresh_expires_at);
        let left = ends.map(|at| at - file::now());
        if let Some(left) = left.filter(|left| *left <= WARN * DAY) {
            let when = if left <= 0 { "has ended".to_owned() } else { format!("ends in {} days", left / DAY) };
            let why = match provider {
                Provider::GoogleDrive => " (the app is in Testing mode: 7 days; publish it)",
                _ => " unless it is used",
            };
            notes.push(format!("the login of `{remote}` {when}{why}: `soopervisor auth login {remote}`"));
        }
        notes
    }

    /// Whose drive it is.
    ///
    /// # Errors
    /// When the service cannot be reached or nobody is logged in.
    pub async fn who(self: &Arc<Self>) -> Result<Account, Fault> {
        let issuer = &self.keeper.issuer;
        let bearer: Arc<dyn Bearer> = Arc::<Self>::clone(self);
        Account::of(issuer.provider, &issuer.endpoints, &issuer.client, bearer, issuer.hurry).await
    }

    async fn fetch(&self, stale: Option<&Secret>) -> Result<Secret, Fault> {
        let mut held = self.held.lock().await;
        if let Some(entry) = held.as_ref().filter(|entry| is_usable(entry, stale)) {
            return Ok(entry.access.clone());
        }
        let issuer = &self.keeper.issuer;
        let new = |grant| Entry::new(issuer.provider, &issuer.app, grant);
        let entry = match &self.source {
            Source::Access(token) if stale.is_none() => return Ok(token.clone()),
            Source::Access(token) => {
                let (name, remote) = (token.name(), &issuer.remote);
                return Err(Fault::Login(format!(
                    "{name} is no longer taken, access tokens last an hour or a few: set another one; or unset it, and \
                     `{}`; what lasts on CI, `soopervisor auth export {remote}` names",
                    issuer.login()
                )));
            }
            Source::ClientCredentials { subject, .. } => {
                new(issuer.client_credentials(subject).await.map_err(|fault| unauthorised(issuer, fault))?)
            }
            Source::Assertion(assertion) => {
                new(issuer.assertion(assertion.sign()?).await.map_err(|fault| unauthorised(issuer, fault))?)
            }
            Source::Refresh { variable, .. } if !issuer.provider.is_single_use() => {
                let old = held.as_ref().or(self.first.as_ref()).filter(|entry| entry.refresh.is_some());
                self.in_memory(variable, old, stale).await?
            }
            Source::Refresh { .. } | Source::File => {
                // Not to be given up half way: a pair that was renewed and not kept is lost.
                let work = tokio::spawn(self.keeper.clone().renew(stale.cloned()));
                work.await.map_err(|error| Fault::Local(format!("renewing a token broke off: {error}")))??
            }
        };
        let access = entry.access.clone();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).extend(entry.secrets());
        *held = Some(entry);
        Ok(access)
    }

    /// What to type for a login that is good again; logging in alone does not change what stands in a variable.
    fn anew(&self) -> String {
        let issuer = &self.keeper.issuer;
        let (login, remote) = (issuer.login(), &issuer.remote);
        match &self.source {
            Source::File => format!("`{login}`"),
            Source::Refresh { variable, .. } => {
                format!("`{login}`, then `soopervisor auth export {remote}` for another {variable}")
            }
            Source::Access(token) => format!("set another {}, or unset it, and `{login}`", token.name()),
            Source::ClientCredentials { .. } | Source::Assertion(_) => format!(
                "see what the app may do (Admin Console, Integrations, Platform Apps) and the variables \
                 `{0}_…` that are set; or unset these, and `{login}`",
                super::variable(remote)
            ),
        }
    }

    /// From a refresh token that may be used again and again; nothing is written.
    async fn in_memory(&self, from: &str, old: Option<&Entry>, stale: Option<&Secret>) -> Result<Entry, Fault> {
        let issuer = &self.keeper.issuer;
        let old = old.ok_or_else(|| Fault::Login(format!("{from} holds no refresh token")))?;
        if is_usable(old, stale) {
            return Ok(old.clone());
        }
        let refresh = old.refresh.as_ref().ok_or_else(|| Fault::Login(format!("{from} holds no refresh token")))?;
        match issuer.for_app(old.app()).refresh(refresh).await {
            Ok(grant) => Ok(old.renewed(issuer.provider, grant)),
            Err(fault) if is_over(&fault) => Err(not_taken(issuer, from)),
            Err(fault) => Err(issuer.refused(fault)),
        }
    }
}

#[async_trait]
impl Bearer for Login {
    async fn token(&self) -> Result<Secret, Fault> {
        self.fetch(None).await
    }

    async fn renew(&self, stale: &Secret) -> Result<Secret, Fault> {
        self.fetch(Some(stale)).await
    }

    fn refused(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Login(words) => Fault::Login(format!("{words}; a fresh token was refused too: {}", self.anew())),
            fault => fault,
        }
    }

    fn waiting(&self) -> Option<Waiting> {
        self.keeper.issuer.waiting()
    }
}

/// What is kept in the file, and how it is renewed.
#[derive(Debug, Clone)]
struct Keeper {
    issuer: Issuer,
    tokens: TokenFile,
    name: String,
    /// What stands in a variable, where nothing is kept yet.
    seed: Option<Entry>,
    /// That variable, where one is set.
    variable: Option<String>,
}

impl Keeper {
    async fn renew(self, stale: Option<Secret>) -> Result<Entry, Fault> {
        let usable = |entry: &Entry| is_usable(entry, stale.as_ref());
        let provider = self.issuer.provider;
        if let Some(entry) = self.tokens.read()?.remove(&self.name).filter(usable) {
            return Ok(entry);
        }
        let guard = self.tokens.lock().await?;
        let kept = guard.read()?.remove(&self.name).or_else(|| self.seed.clone());
        let entry = kept.ok_or_else(|| not_logged_in(provider, &self.issuer.remote))?;
        if usable(&entry) {
            return Ok(entry);
        }
        let Some(refresh) = &entry.refresh else { return Err(self.over()) };
        // A disk that takes nothing must be known before the old token is used up.
        guard.keep(&self.name, &entry)?;
        match self.issuer.for_app(entry.app()).refresh(refresh).await {
            Ok(grant) => {
                let fresh = entry.renewed(provider, grant);
                guard.keep(&self.name, &fresh)?;
                Ok(fresh)
            }
            Err(fault) if is_over(&fault) => {
                // Somebody who does not lock may have renewed it: one more look.
                let again = guard.read()?.remove(&self.name).filter(usable);
                again.ok_or_else(|| self.over())
            }
            Err(fault) => Err(self.issuer.refused(fault)),
        }
    }

    fn over(&self) -> Fault {
        if let Some(variable) = &self.variable {
            return not_taken(&self.issuer, variable);
        }
        let (provider, login) = (self.issuer.provider.title(), self.issuer.login());
        Fault::Login(format!("the login at {provider} has ended or was taken back: `{login}`"))
    }
}

/// A token of a variable has ended or was taken back; logging in alone does not put another one there.
fn not_taken(issuer: &Issuer, variable: &str) -> Fault {
    let (provider, login, remote) = (issuer.provider.title(), issuer.login(), &issuer.remote);
    Fault::Login(format!("{provider} no longer takes {variable}: `{login}`, then `soopervisor auth export {remote}`"))
}

fn is_usable(entry: &Entry, stale: Option<&Secret>) -> bool {
    entry.is_good() && stale.is_none_or(|stale| stale.expose() != entry.access.expose())
}

/// A single-use token of a variable has its descendants kept; another token in the variable begins anew.
fn kept_name(remote: &str, entry: &Entry) -> String {
    let refresh = entry.refresh.as_ref().map(Secret::expose).unwrap_or_default();
    format!("{remote}#{}", hex::encode(&Sha256::digest(refresh)[..8]))
}

fn of_file(tokens: &TokenFile, remote: &str, provider: Provider) -> Result<Entry, Fault> {
    let entry = tokens.read()?.remove(remote).ok_or_else(|| not_logged_in(provider, remote))?;
    if entry.provider == provider.name() {
        return Ok(entry);
    }
    let other = entry.provider;
    Err(Fault::Login(format!(
        "`{remote}` was a login of `{other}`, and is `{provider}` now: `soopervisor auth login {remote}`"
    )))
}

fn not_logged_in(provider: Provider, remote: &str) -> Fault {
    let title = provider.title();
    Fault::Login(format!(
        "nobody is logged in to {title} as `{remote}`: `soopervisor auth login {remote}`; on CI, what `soopervisor auth \
         export {remote}` names"
    ))
}

/// Box refuses apps that an administrator has not let in, with `unauthorized_client` or `invalid_grant`.
fn unauthorised(issuer: &Issuer, fault: Fault) -> Fault {
    if is_over(&fault) || super::issuer::code(&fault) == Some("unauthorized_client") {
        return Fault::Login(format!(
            "Box does not let the app in: {fault}; an administrator has to authorise it (Admin Console, Integrations, \
             Platform Apps), and the subject's id must be right"
        ));
    }
    issuer.refused(fault)
}

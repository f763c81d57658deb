//! One reading of a repository's refs over HTTP: a single `ls-refs` request of protocol 2, or, where a host does not take
//! that, the same after a request that asks what it speaks.
//!
//! A redirect is followed by the second way only, and never takes a credential to another host.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response};
use sha2::{Digest, Sha256};
use url::Url;

use super::answer::{Advertised, Refs, info_refs, ls_refs};
use super::fault::Fault;
use super::pktline::put;
use crate::secret::Secret;
use crate::web::{self, Bearer};

/// No repository's refs need more.
const LARGEST: usize = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(45);

/// Who asks.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The user; forges take any with a token, GitHub's custom is `x-access-token`.
    pub user: String,
    /// The token or password.
    pub password: Password,
}

impl Credential {
    /// Whether both are the same account's.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let same = match (&self.password, &other.password) {
            (Password::Kept(one), Password::Kept(two)) => one.name() == two.name() && one.expose() == two.expose(),
            (Password::Issued(_, one), Password::Issued(_, two)) => Arc::ptr_eq(one, two),
            _ => false,
        };
        same && self.user == other.user
    }
}

/// What is shown as a password.
#[derive(Debug, Clone)]
pub enum Password {
    /// Always the same.
    Kept(Secret),
    /// One that is issued for a while, and another one after it; told by the name of the credential.
    Issued(String, Arc<dyn Bearer>),
}

impl From<Secret> for Password {
    fn from(secret: Secret) -> Self {
        Self::Kept(secret)
    }
}

impl Password {
    /// What people know it by.
    pub fn name(&self) -> &str {
        match self {
            Self::Kept(secret) => secret.name(),
            Self::Issued(name, _) => name,
        }
    }

    /// One that should be good.
    ///
    /// # Errors
    /// When none can be had.
    pub async fn now(&self) -> Result<Secret, web::Fault> {
        match self {
            Self::Kept(secret) => Ok(secret.clone()),
            Self::Issued(_, bearer) => bearer.token().await,
        }
    }

    /// Another one than `stale`, which was not taken; none where it is always the same.
    async fn another(&self, stale: &Secret) -> Option<Result<Secret, web::Fault>> {
        match self {
            Self::Kept(_) => None,
            Self::Issued(_, bearer) => Some(bearer.renew(stale).await),
        }
    }
}

/// What a reading brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The refs below the prefixes that were asked for.
    pub refs: Refs,
    /// Where the repository is now, when the host says that it moved for good.
    pub moved: Option<String>,
    /// What the host answered, where it takes the single request.
    pub trace: Option<Trace>,
}

/// A question and its answer, byte for byte, in so few bytes that they can be remembered of every repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace([u8; 32]);

impl Trace {
    fn of(question: &[u8], answer: &[u8]) -> Self {
        // A question ends as a message does, so that none is the beginning of another one.
        Self(Sha256::new().chain_update(question).chain_update(answer).finalize().into())
    }
}

/// Reads refs; clones share the connections and what is known of hosts.
#[derive(Debug, Clone)]
pub struct Reader {
    client: Client,
    /// Hosts that do not take the single request.
    cautious: Arc<Mutex<HashSet<String>>>,
}

impl Reader {
    /// With this client; it must not follow redirects.
    pub fn new(client: Client) -> Self {
        Self { client, cautious: Arc::default() }
    }

    /// Reads the refs below these prefixes; nothing when the answer is the `last` one, byte for byte: most are, and to
    /// understand them costs more than to get them.
    ///
    /// # Errors
    /// A [`Fault`], which holds neither the address nor the credential.
    pub async fn read(
        &self,
        last: Option<Trace>,
        url: &Url,
        who: Option<&Credential>,
        prefixes: &[String],
    ) -> Result<Option<Reading>, Fault> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let cautious = self.cautious.lock().unwrap_or_else(PoisonError::into_inner).contains(&host);
        if !cautious {
            match self.ask(last, url, who, prefixes).await {
                Ok(reading) => return Ok(reading),
                // Asking in another way would not help, or is what the host asks us not to do.
                Err(fault @ (Fault::Network(_) | Fault::Throttled(_) | Fault::Denied(401 | 403))) => return Err(fault),
                Err(_) => {}
            }
        }
        let reading = self.ask_first_what_it_speaks(url, who, prefixes).await?;
        // One redirected repository says nothing of its neighbours.
        if reading.moved.is_none() {
            self.cautious.lock().unwrap_or_else(PoisonError::into_inner).insert(host);
        }
        Ok(Some(reading))
    }

    /// The single request.
    async fn ask(
        &self,
        last: Option<Trace>,
        url: &Url,
        who: Option<&Credential>,
        prefixes: &[String],
    ) -> Result<Option<Reading>, Fault> {
        let (answer, trace) = self.answer(url, who, prefixes).await?;
        if last == Some(trace) {
            return Ok(None);
        }
        let mut refs = ls_refs(&answer)?;
        keep_asked(&mut refs, prefixes);
        Ok(Some(Reading { refs, moved: None, trace: Some(trace) }))
    }

    async fn answer(
        &self,
        url: &Url,
        who: Option<&Credential>,
        prefixes: &[String],
    ) -> Result<(Vec<u8>, Trace), Fault> {
        let question = question(prefixes);
        let request = self.client.post(below(url, "git-upload-pack")?).body(question.clone());
        let request = request.header(CONTENT_TYPE, "application/x-git-upload-pack-request");
        let request = request.header(ACCEPT, "application/x-git-upload-pack-result");
        let answer = text_of(sent(request, who).await?).await?;
        let trace = Trace::of(&question, &answer);
        Ok((answer, trace))
    }

    async fn ask_first_what_it_speaks(
        &self,
        url: &Url,
        who: Option<&Credential>,
        prefixes: &[String],
    ) -> Result<Reading, Fault> {
        let (mut url, mut who, mut moved) = (url.clone(), who, None);
        for _ in 0..4 {
            let mut address = below(&url, "info/refs")?;
            address.set_query(Some("service=git-upload-pack"));
            let response = sent(self.client.get(address.clone()), who).await?;
            if response.status().is_redirection() {
                let target = target(&response, &address)?;
                if target.origin() != url.origin() {
                    who = None;
                }
                if matches!(response.status().as_u16(), 301 | 308) {
                    moved = Some(shown(&target));
                }
                url = target;
                continue;
            }
            let body = text_of(response).await?;
            let mut refs = match info_refs(&body)? {
                Advertised::Everything(refs) => refs,
                Advertised::Version2 => ls_refs(&self.answer(&url, who, prefixes).await?.0)?,
            };
            keep_asked(&mut refs, prefixes);
            return Ok(Reading { refs, moved, trace: None });
        }
        Err(Fault::Server("too many redirects".to_owned()))
    }
}

/// `ls-refs` in protocol 2.
fn question(prefixes: &[String]) -> Vec<u8> {
    let mut message = Vec::new();
    put(&mut message, "command=ls-refs");
    put(&mut message, concat!("agent=soopervisor/", env!("CARGO_PKG_VERSION")));
    message.extend_from_slice(b"0001");
    put(&mut message, "peel");
    put(&mut message, "symrefs");
    // HEAD tells the default branch.
    put(&mut message, "ref-prefix HEAD");
    for prefix in prefixes {
        put(&mut message, &format!("ref-prefix {prefix}"));
    }
    message.extend_from_slice(b"0000");
    message
}

/// Prefixes are a wish that a server may ignore.
pub(super) fn keep_asked(refs: &mut Refs, prefixes: &[String]) {
    refs.heads.retain(|name, _| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())));
}

/// With the account's password; with another one where an issued one is no longer taken.
async fn sent(request: RequestBuilder, who: Option<&Credential>) -> Result<Response, Fault> {
    let request = request.header("Git-Protocol", "version=2").timeout(PATIENCE);
    let Some(who) = who else { return answered(request).await };
    let again = request.try_clone();
    let password = who.password.now().await.map_err(|fault| Fault::of_login(&fault))?;
    let denied = match answered(shown_to(request, who, &password)).await {
        Err(fault @ Fault::Denied(401)) => fault,
        other => return other,
    };
    match (who.password.another(&password).await, again) {
        (Some(renewed), Some(again)) => {
            let renewed = renewed.map_err(|fault| Fault::of_login(&fault))?;
            answered(shown_to(again, who, &renewed)).await
        }
        _ => Err(denied),
    }
}

fn shown_to(request: RequestBuilder, who: &Credential, password: &Secret) -> RequestBuilder {
    request.basic_auth(&who.user, Some(String::from_utf8_lossy(password.expose())))
}

async fn answered(request: RequestBuilder) -> Result<Response, Fault> {
    let response = request.send().await.map_err(Fault::of_request)?;
    let status = response.status();
    if status.is_success() || status.is_redirection() {
        return Ok(response);
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Err(Fault::of_status(status.as_u16(), after.map(Duration::from_secs)))
}

async fn text_of(mut response: Response) -> Result<Vec<u8>, Fault> {
    if !response.status().is_success() {
        return Err(Fault::Server(format!("HTTP {}", response.status().as_u16())));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Fault::of_request)? {
        if body.len() + chunk.len() > LARGEST {
            return Err(Fault::Server(format!("the list of refs is longer than {} MiB", LARGEST >> 20)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An address below the repository's.
fn below(url: &Url, path: &str) -> Result<Url, Fault> {
    let mut address = url.clone();
    let joined = format!("{}/{path}", url.path().trim_end_matches('/'));
    address.set_path(&joined);
    address.set_query(None);
    // Credentials in an address come as a credential, or not at all.
    let bare = address.set_username("").and_then(|()| address.set_password(None));
    bare.map_err(|()| Fault::Setting("the address is none of a repository".to_owned()))?;
    Ok(address)
}

/// The repository that a redirect leads to.
fn target(response: &Response, from: &Url) -> Result<Url, Fault> {
    let wrong = || Fault::Server("a redirect leads nowhere".to_owned());
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(wrong)?;
    let mut url = from.join(location).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "https" | "http") || (from.scheme() == "https" && url.scheme() != "https") {
        return Err(wrong());
    }
    let path = url.path().strip_suffix("/info/refs").ok_or_else(wrong)?.to_owned();
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// An address without credentials.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.to_string()
}

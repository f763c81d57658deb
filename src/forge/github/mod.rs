//! GitHub.com and GitHub Enterprise Server.
//!
//! Every request goes through the `web` room, with its proxies, certificates, pace and patience. The token goes to the
//! API's own host and nowhere else: pages are followed below the same base only, downloads without it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use super::{Me, RepoId};
use crate::secret::Secret;
use crate::web::{Answer, Bearer, Endpoint, Fault, Judge, Pace, Pacer, Reach, Web, client};

mod app;
mod artifact;
mod does;
mod wire;

pub use app::{App, Installation};

/// GitHub's own.
pub const PUBLIC_API: &str = "https://api.github.com";
/// The account that `GITHUB_TOKEN` of a workflow writes as.
const ACTIONS: &str = "github-actions";
/// What is asked for one account, well below GitHub's 900 points a minute.
const READING: Pace = Pace { start: 10.0, least: 0.5, most: 15.0, burst: 30.0 };
/// GitHub asks for a second between changes; comments are counted in minutes.
const WRITING: Pace = Pace { start: 1.0, least: 0.1, most: 1.0, burst: 5.0 };
/// More pages than this are somebody's mistake.
const PAGES: usize = 300;

/// How we log in.
#[derive(Debug, Clone)]
pub enum Login {
    /// A personal token.
    Token(Secret),
    /// `GITHUB_TOKEN` of a workflow: an App's token without the App.
    Workflow(Secret),
    /// An App of one's own.
    App(App),
}

/// GitHub, for one account.
#[derive(Clone)]
pub struct GitHub {
    api: Endpoint,
    reading: Web,
    writing: Web,
    /// The App itself, not one of its installations.
    app: Option<Web>,
    workflow: bool,
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitHub({})", self.api)
    }
}

impl GitHub {
    /// Opens the API at `api` (`GITHUB_API_URL`: `https://HOST/api/v3` for a server of one's own). Asks nothing yet.
    ///
    /// # Errors
    /// When the address is none, or the network is set up in a way that cannot be.
    pub fn open(api: &str, login: Login, reach: &Reach) -> Result<Self, Fault> {
        let api: Endpoint = api.parse()?;
        let http = client(reach)?;
        let judge: Arc<dyn Judge> = Arc::new(Words);
        let plain = Web::new(http, None, Arc::new(Pacer::new(READING)), judge);
        let workflow = matches!(login, Login::Workflow(_));
        let (bearer, app): (Arc<dyn Bearer>, Option<Web>) = match login {
            Login::Token(token) | Login::Workflow(token) => (Arc::new(Fixed(token)), None),
            Login::App(app) => {
                let app_itself = plain.with_bearer(Arc::new(app.clone()));
                (Arc::new(Installation::new(app, api.clone(), app_itself.clone())), Some(app_itself))
            }
        };
        let reading = plain.with_bearer(bearer);
        let writing = reading.at_pace(Arc::new(Pacer::new(WRITING)));
        Ok(Self { api, reading, writing, app, workflow })
    }

    fn at(&self, path: &str) -> String {
        self.api.at(path)
    }

    async fn get(&self, path: &str) -> Result<Answer, Fault> {
        let url = self.at(path);
        self.reading.send(|client| dressed(client.get(&url))).await
    }

    async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        self.get(path).await?.json()
    }

    /// All pages of a list: `take` finds the list in a page.
    ///
    /// The next page's address is the server's word; it is asked as a path below our own base, so that the token goes
    /// with it on every host, and never to another one.
    async fn pages<T>(&self, path: &str, take: impl Fn(&Answer) -> Result<Vec<T>, Fault>) -> Result<Vec<T>, Fault> {
        let mut all = Vec::new();
        let mut next = Some(path.to_owned());
        for _ in 0..PAGES {
            let Some(path) = next else { return Ok(all) };
            let answer = self.get(&path).await?;
            all.extend(take(&answer)?);
            next = match answer.header("link").and_then(next_of) {
                Some(address) => Some(self.below(&address)?),
                None => None,
            };
        }
        Err(Fault::Form(format!("a list has more than {PAGES} pages")))
    }

    /// An address of the server as a path below our base.
    fn below(&self, address: &str) -> Result<String, Fault> {
        let elsewhere = || Fault::Form("the next page of a list is on another host".to_owned());
        let base: Url = self.at("/").parse().map_err(|_| elsewhere())?;
        let url = base.join(address).map_err(|_| elsewhere())?;
        let path = url.path().strip_prefix(base.path().trim_end_matches('/')).filter(|path| path.starts_with('/'));
        match path {
            Some(path) if url.origin() == base.origin() => {
                Ok(url.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
            }
            _ => Err(elsewhere()),
        }
    }

    /// Changes something; `once` where a second time would be a second thing.
    async fn change(&self, method: Method, path: &str, body: &Value, once: bool) -> Result<Answer, Fault> {
        let url = self.at(path);
        let make = |client: &reqwest::Client| dressed(client.request(method.clone(), &url)).json(body);
        if once { self.writing.send_once(make).await } else { self.writing.send(make).await }
    }

    async fn who(&self) -> Result<Me, Fault> {
        if let Some(app) = &self.app {
            let url = self.at("/app");
            let answer = app.send(|client| dressed(client.get(&url))).await?;
            return Ok(Me::App(answer.json::<wire::App>()?.slug));
        }
        if self.workflow {
            return Ok(Me::App(ACTIONS.to_owned()));
        }
        Ok(Me::User(self.get_json::<wire::User>("/user").await?.into()))
    }
}

fn dressed(request: RequestBuilder) -> RequestBuilder {
    accepting(request, "application/vnd.github+json")
}

fn accepting(request: RequestBuilder, accept: &str) -> RequestBuilder {
    request.header("accept", accept).header("x-github-api-version", "2022-11-28")
}

fn repo(repo: &RepoId) -> String {
    format!("/repos/{repo}")
}

/// One part of a path, escaped.
fn part(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// A path or a branch, escaped between its slashes.
fn parts(text: &str) -> String {
    text.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The address of `rel="next"`.
fn next_of(link: &str) -> Option<String> {
    link.split(',').find_map(|entry| {
        let (address, rest) = entry.trim().strip_prefix('<')?.split_once('>')?;
        let next = rest.split(';').any(|word| matches!(word.trim(), "rel=\"next\"" | "rel=next"));
        next.then(|| address.to_owned())
    })
}

/// A token that does not change.
#[derive(Debug)]
struct Fixed(Secret);

#[async_trait::async_trait]
impl Bearer for Fixed {
    async fn token(&self) -> Result<Secret, Fault> {
        Ok(self.0.clone())
    }

    async fn renew(&self, _: &Secret) -> Result<Secret, Fault> {
        Err(Fault::Login("GitHub does not take the token: it expired, or was revoked; give another one".to_owned()))
    }
}

/// What GitHub means by a refusal.
#[derive(Debug)]
struct Words;

impl Judge for Words {
    fn judge(&self, answer: &Answer) -> Fault {
        let value = answer.value();
        let words = value["message"].as_str().unwrap_or_default();
        let spent = answer.header("x-ratelimit-remaining") == Some("0");
        let too_fast = words.to_ascii_lowercase().contains("rate limit");
        if matches!(answer.status, 403 | 429) && (spent || too_fast || answer.retry_after().is_some()) {
            return Fault::Throttled(answer.retry_after().or_else(|| until_reset(answer, spent)));
        }
        let detail: Vec<&str> = value["errors"].as_array().into_iter().flatten().filter_map(reason).collect();
        let words = if detail.is_empty() { words.to_owned() } else { format!("{words}: {}", detail.join("; ")) };
        match answer.status {
            // What GitHub calls a conflict is a state, and nothing that was made before.
            409 => Fault::refused(409, &words),
            _ => answer.plain_fault(&words),
        }
    }
}

fn reason(error: &Value) -> Option<&str> {
    error.as_str().or_else(|| error["message"].as_str()).or_else(|| error["code"].as_str())
}

/// Where no time is told: until the count begins anew, or a minute, as GitHub asks.
fn until_reset(answer: &Answer, spent: bool) -> Option<Duration> {
    let minute = Duration::from_mins(1);
    if !spent {
        return Some(minute);
    }
    let at: i64 = answer.header("x-ratelimit-reset")?.parse().ok()?;
    // The server's clock, where it tells, is the one that counts.
    let now = answer.header("date").and_then(http_date).unwrap_or_else(|| jiff::Timestamp::now().as_second());
    let seconds = u64::try_from(at - now).unwrap_or(0).clamp(1, 3600);
    Some(Duration::from_secs(seconds))
}

fn http_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp().as_second())
}

#[cfg(test)]
mod tests;

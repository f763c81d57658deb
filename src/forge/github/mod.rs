//! GitHub.com and GitHub Enterprise Server.
//!
//! The token goes to the API's own host and nowhere else: pages are followed below the same base only.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::rest::{Fixed, Rest};
use super::{Author, Me, RepoId};
use crate::secret::Secret;
use crate::web::{Answer, Fault, Judge, Reach, Web};

mod app;
mod does;
pub(super) mod wire;

pub use app::{App, Installation};

/// GitHub's own.
pub const PUBLIC_API: &str = "https://api.github.com";
/// The account that `GITHUB_TOKEN` of a workflow writes as.
const ACTIONS: &str = "github-actions";
/// What accounts of Apps are called by.
const BOT: &str = "[bot]";

/// How we log in.
#[derive(Debug, Clone)]
pub enum Login {
    /// A personal token.
    Token(Secret),
    /// A token that a workflow was given: `GITHUB_TOKEN`, or that of another App's installation, which looks the same; of an
    /// older server also a person's.
    Workflow(Secret),
    /// An App of one's own.
    App(App),
}

/// GitHub, for one account.
#[derive(Clone)]
pub struct GitHub {
    rest: Rest,
    /// The App itself, not one of its installations.
    app: Option<Web>,
    installation: Option<Arc<Installation>>,
    workflow: bool,
    /// Whose a workflow's token is, once GitHub has said so.
    told: Arc<OnceLock<Me>>,
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GitHub({})", self.rest.api)
    }
}

impl GitHub {
    /// Opens the API at `api` (`GITHUB_API_URL`: `https://HOST/api/v3` for a server of one's own). Asks nothing yet.
    ///
    /// # Errors
    /// When the address is none, or the network is set up in a way that cannot be.
    pub fn open(api: &str, login: Login, reach: &Reach) -> Result<Self, Fault> {
        let workflow = matches!(login, Login::Workflow(_));
        // An App has a client for each repository, and GitHub counts those of one installation together.
        let together = match &login {
            Login::App(own) => Some(format!("{api} app {} {}", own.id, own.repo.owner())),
            Login::Token(_) | Login::Workflow(_) => None,
        };
        let (mut app, mut installation) = (None, None);
        let rest = Rest::open(api, Arc::new(Words), dressed, reach, |api, plain| match login {
            Login::Token(token) | Login::Workflow(token) => Arc::new(Fixed(token, "GitHub")),
            Login::App(own) => {
                let app_itself = plain.with_bearer(Arc::new(own.clone()));
                app = Some(app_itself.clone());
                let bearer = Arc::new(Installation::new(own, api.clone(), app_itself));
                installation = Some(Arc::clone(&bearer));
                bearer
            }
        })?;
        let rest = match together {
            Some(name) => rest.sharing(&name),
            None => rest,
        };
        Ok(Self { rest, app, installation, workflow, told: Arc::default() })
    }

    async fn who(&self) -> Result<Me, Fault> {
        if let Some(app) = &self.app {
            let url = self.rest.at("/app");
            let answer = app.send(|client| dressed(client.get(&url))).await?;
            return Ok(Me::App(answer.json::<wire::App>()?.slug, None));
        }
        if !self.workflow {
            return Ok(Me::User(self.rest.get_json::<wire::User>("/user").await?.into()));
        }
        if let Some(me) = self.told.get() {
            return Ok(me.clone());
        }
        let me = match self.viewer().await? {
            Some(me) => me,
            None => match self.rest.get_json::<wire::User>("/user").await {
                Ok(user) => me_of(user.into()),
                // An App's, most often the one of the workflows; what is written next tells.
                Err(Fault::NotFound | Fault::Forbidden(_)) => return Ok(Me::App(ACTIONS.to_owned(), None)),
                Err(fault) => return Err(fault),
            },
        };
        Ok(self.told.get_or_init(|| me).clone())
    }

    /// Whose the token is, which of all that GitHub answers to one of an App's only GraphQL tells, without anything being
    /// written; `None` where a server has none of it, or keeps it to itself.
    async fn viewer(&self) -> Result<Option<Me>, Fault> {
        let url = self.graphql();
        let query = json!({"query": "query { viewer { login databaseId } }"});
        let told = match self.rest.reading.send(|client| dressed(client.post(&url)).json(&query)).await {
            Ok(answer) => answer.value(),
            Err(Fault::NotFound | Fault::Forbidden(_) | Fault::Refused { .. }) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        if told["errors"][0]["type"] == "RATE_LIMITED" {
            return Err(Fault::Throttled(None));
        }
        let viewer = &told["data"]["viewer"];
        let (login, id) = (viewer["login"].as_str(), viewer["databaseId"].as_u64());
        Ok(login.zip(id).map(|(login, id)| me_of(Author { id, login: login.to_owned(), bot: login.ends_with(BOT) })))
    }

    /// Beside the API: `https://HOST/api/graphql` on a server of one's own.
    fn graphql(&self) -> String {
        let base = self.rest.at("");
        format!("{}/graphql", base.strip_suffix("/v3").unwrap_or(&base))
    }

    /// What we wrote has our name under it.
    fn learn(&self, author: &Author) {
        if self.workflow && !author.login.is_empty() {
            self.told.get_or_init(|| me_of(author.clone()));
        }
    }
}

/// Who somebody is to whom an answer is of their own.
fn me_of(author: Author) -> Me {
    match author.login.strip_suffix(BOT).filter(|_| author.bot) {
        Some(slug) => Me::App(slug.to_owned(), Some(author.id)),
        None => Me::User(author),
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

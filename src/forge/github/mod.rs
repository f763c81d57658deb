//! GitHub.com and GitHub Enterprise Server.
//!
//! The token goes to the API's own host and nowhere else: pages are followed below the same base only.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::Value;

use super::rest::{Fixed, Rest};
use super::{Me, RepoId};
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
    rest: Rest,
    /// The App itself, not one of its installations.
    app: Option<Web>,
    workflow: bool,
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
        let mut app = None;
        let rest = Rest::open(api, Arc::new(Words), dressed, reach, |api, plain| match login {
            Login::Token(token) | Login::Workflow(token) => Arc::new(Fixed(token, "GitHub")),
            Login::App(own) => {
                let app_itself = plain.with_bearer(Arc::new(own.clone()));
                app = Some(app_itself.clone());
                Arc::new(Installation::new(own, api.clone(), app_itself))
            }
        })?;
        Ok(Self { rest, app, workflow })
    }

    async fn who(&self) -> Result<Me, Fault> {
        if let Some(app) = &self.app {
            let url = self.rest.at("/app");
            let answer = app.send(|client| dressed(client.get(&url))).await?;
            return Ok(Me::App(answer.json::<wire::App>()?.slug));
        }
        if self.workflow {
            return Ok(Me::App(ACTIONS.to_owned()));
        }
        Ok(Me::User(self.rest.get_json::<wire::User>("/user").await?.into()))
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

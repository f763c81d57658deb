//! Repositories, and asking for a run by hand.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Server;
use super::gate::{Caller, Looks, Runs};
use super::problem::Problem;
use crate::server::event::Source;
use crate::server::glance::{Glance, Unread};
use crate::server::trigger::{self, Ask, TriggerError};
use crate::store::database::Repo;

/// At most so many rows are given at a time.
pub(super) const MOST: i64 = 200;

#[derive(Serialize)]
pub(super) struct RepoList {
    repos: Vec<RepoRow>,
    /// What to do where there is none, or where the file does not count that says which there are.
    help: Option<String>,
}

#[derive(Serialize)]
struct RepoRow {
    id: i64,
    name: String,
    url: String,
    first_seen: Option<i64>,
    read_at: Option<i64>,
    changed_at: Option<i64>,
    hook_at: Option<i64>,
    failures: i64,
    fault: Option<String>,
}

impl From<Repo> for RepoRow {
    fn from(repo: Repo) -> Self {
        let Repo { id, name, url, first_seen, read_at, changed_at, hook_at, failures, fault, .. } = repo;
        Self { id, name, url, first_seen, read_at, changed_at, hook_at, failures, fault }
    }
}

pub(super) async fn list(_: Looks, State(server): State<Server>) -> Result<Json<RepoList>, Problem> {
    let repos: Vec<_> = server.database.repos().await?.into_iter().map(RepoRow::from).collect();
    let unwatched = || if repos.is_empty() { server.standing.unwatched() } else { None };
    let help = server.standing.mistaken().or_else(unwatched);
    Ok(Json(RepoList { repos, help }))
}

/// Names of repositories by number.
pub(super) async fn names(server: &Server) -> Result<HashMap<i64, String>, Problem> {
    Ok(server.database.all_repos().await?.into_iter().map(|repo| (repo.id, repo.name)).collect())
}

/// Which page of a list.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) before: Option<i64>,
    pub(super) limit: Option<i64>,
}

impl Page {
    /// The limit, when it is one.
    pub(super) fn limit(&self) -> Result<i64, Problem> {
        match self.limit.unwrap_or(50) {
            limit @ 1..=MOST => Ok(limit),
            _ => Err(Problem::bad("`limit` is between 1 and 200", "ask for the next page with `before`")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TriggerAsk {
    pub(super) repo: String,
    pub(super) r#ref: Option<String>,
    pub(super) mode: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Triggered {
    pub(super) event: i64,
    sha: String,
}

pub(super) async fn trigger(
    Runs(caller): Runs,
    State(server): State<Server>,
    ask: Result<Json<TriggerAsk>, JsonRejection>,
) -> Result<(StatusCode, Json<Triggered>), Problem> {
    let Json(ask) = ask.map_err(body)?;
    Ok((StatusCode::ACCEPTED, Json(asked(&server, &caller, &ask).await?)))
}

/// Asks for a run in the name of somebody who may: what the API does, and the page's button.
pub(super) async fn asked(server: &Server, caller: &Caller, ask: &TriggerAsk) -> Result<Triggered, Problem> {
    if server.stopping.is_cancelled() {
        // What is there now is what the poller says, who has ended.
        let help = "ask again once it is started anew; `soopervisor trigger` leaves it to that one now";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is told to stop", help));
    }
    let repo = trigger::repo(&server.database, &ask.repo).await.map_err(refused)?;
    // Who asks by hand means what is there now, not what was there a minute ago.
    match Glance::new(server.poller.clone(), server.watches.clone()).at(repo.id).await {
        Ok(()) | Err(Unread::Unwatched) => {}
        Err(Unread::Database(error)) => return Err(error.into()),
        Err(why) => {
            let help = "see the repository's address and credential in the server's file";
            return Err(Problem::new(StatusCode::BAD_GATEWAY, why.to_string(), help));
        }
    }
    let id = super::token::new().ok_or_else(Problem::internal)?;
    let ask = Ask {
        repo: &repo.name,
        reference: ask.r#ref.as_deref(),
        mode: ask.mode.as_deref(),
        actor: &caller.name,
        source: Source::Api,
        id: &super::token::hash(id.expose()),
    };
    let triggered = trigger::trigger(&server.database, &ask).await.map_err(refused)?;
    server.told.notify_one();
    Ok(Triggered { event: triggered.event, sha: triggered.sha })
}

fn refused(error: TriggerError) -> Problem {
    match error {
        TriggerError::Database(error) => error.into(),
        TriggerError::Repository { .. } | TriggerError::Reference { .. } | TriggerError::NoDefault(_) => {
            Problem::missing(error.to_string())
        }
        TriggerError::Mode(_) | TriggerError::Again => {
            Problem::bad(error.to_string(), "leave `mode` out to let the handlers decide")
        }
    }
}

/// A body that is none.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(super) fn body(rejection: JsonRejection) -> Problem {
    if came_late(&rejection) {
        let help = "send all of it within ten seconds";
        return Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come to its end", help);
    }
    Problem::new(rejection.status(), rejection.body_text(), "the body is JSON as /api/openapi.json says")
}

/// Whether the body broke off because it took too long.
fn came_late(error: &(dyn std::error::Error + 'static)) -> bool {
    let late = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
    };
    std::iter::successors(Some(error), |cause| cause.source()).any(late)
}

/// A query that is none.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
pub(super) fn query(rejection: QueryRejection) -> Problem {
    Problem::new(rejection.status(), rejection.body_text(), "see /api/openapi.json for the query's names")
}

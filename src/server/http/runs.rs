//! Runs: the list, one, and stopping one.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Server;
use super::gate::{Looks, Runs};
use super::problem::Problem;
use super::repos::{Page, names, query};
use crate::store::database::{Attempt, Run, RunFilter, StepRow};

#[derive(Deserialize)]
pub(super) struct Which {
    repo: Option<String>,
    state: Option<String>,
    before: Option<i64>,
    limit: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct RunList {
    runs: Vec<RunRow>,
}

#[derive(Serialize)]
pub(super) struct RunRow {
    id: i64,
    repo: String,
    state: &'static str,
    mode: String,
    sha: String,
    r#ref: Option<String>,
    event: Option<i64>,
    priority: i64,
    epoch: i64,
    worker: Option<String>,
    cancel: bool,
    failures: i64,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    exit_code: Option<i64>,
    summary: Option<String>,
    superseded_by: Option<i64>,
}

impl RunRow {
    fn of(run: Run, repo: Option<&String>) -> Self {
        Self {
            id: run.id,
            repo: repo.cloned().unwrap_or_default(),
            state: run.state.word(),
            mode: run.new.mode,
            sha: run.new.sha,
            r#ref: run.new.reference,
            event: run.new.event,
            priority: run.new.priority,
            epoch: run.epoch,
            worker: run.worker,
            cancel: run.cancel,
            failures: run.failures,
            created_at: run.created_at,
            started_at: run.started_at,
            ended_at: run.ended_at,
            exit_code: run.exit_code,
            summary: run.summary,
            superseded_by: run.superseded_by,
        }
    }
}

pub(super) async fn list(
    _: Looks,
    State(server): State<Server>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<RunList>, Problem> {
    let Query(which) = which.map_err(query)?;
    let repo = match &which.repo {
        Some(name) => Some(server.database.repo(name).await?.id),
        None => None,
    };
    let state = which.state.as_deref().map(|word| word.parse().map_err(|()| unknown_state(word))).transpose()?;
    let limit = Page { before: None, limit: which.limit }.limit()?;
    let filter = RunFilter { repo, state, before: which.before, limit: Some(limit) };
    let names = names(&server).await?;
    let runs = server.database.runs(&filter).await?.into_iter();
    let runs = runs.map(|run| {
        let repo = run.new.repo;
        RunRow::of(run, names.get(&repo))
    });
    Ok(Json(RunList { runs: runs.collect() }))
}

fn unknown_state(word: &str) -> Problem {
    let help = "states are queued, running, succeeded, failed, cancelled, superseded and lost";
    Problem::bad(format!("there is no state `{word}`"), help)
}

#[derive(Serialize)]
pub(super) struct RunDetail {
    #[serde(flatten)]
    run: RunRow,
    steps: Vec<StepView>,
    attempts: Vec<AttemptView>,
}

#[derive(Serialize)]
struct StepView {
    name: String,
    outcome: String,
    elapsed_ms: i64,
    detail: String,
}

#[derive(Serialize)]
struct AttemptView {
    epoch: i64,
    worker: String,
    started_at: i64,
    ended_at: Option<i64>,
    outcome: Option<String>,
}

pub(super) async fn one(
    _: Looks,
    State(server): State<Server>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<RunDetail>, Problem> {
    let id = number(id)?;
    let run = server.database.run(id).await?;
    let names = names(&server).await?;
    let step = |StepRow { name, outcome, elapsed_ms, detail, .. }| StepView { name, outcome, elapsed_ms, detail };
    let attempt = |Attempt { epoch, worker, started_at, ended_at, outcome }| AttemptView {
        epoch,
        worker,
        started_at,
        ended_at,
        outcome,
    };
    let steps = server.database.steps(id).await?.into_iter().map(step).collect();
    let attempts = server.database.attempts(id).await?.into_iter().map(attempt).collect();
    let repo = names.get(&run.new.repo);
    Ok(Json(RunDetail { run: RunRow::of(run, repo), steps, attempts }))
}

#[derive(Serialize)]
pub(super) struct Cancelled {
    id: i64,
    state: &'static str,
}

pub(super) async fn cancel(
    Runs(caller): Runs,
    State(server): State<Server>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<(StatusCode, Json<Cancelled>), Problem> {
    let id = number(id)?;
    let state = server.database.cancel_by(id, &caller.name).await?;
    Ok((StatusCode::ACCEPTED, Json(Cancelled { id, state: state.word() })))
}

/// The number in an address.
#[expect(clippy::needless_pass_by_value, reason = "an extractor hands it over")]
pub(super) fn number(id: Result<Path<i64>, PathRejection>) -> Result<i64, Problem> {
    match id {
        Ok(Path(id)) => Ok(id),
        Err(_) => Err(Problem::bad("the address has no number where one belongs", "see /api/openapi.json")),
    }
}

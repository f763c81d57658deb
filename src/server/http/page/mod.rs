//! The status page: repositories, each with a button ([`asking`]), runs, one run with its log. Server-rendered, every value
//! escaped by the template; nothing is decided here.

mod asking;

use std::time::Duration;

use askama::Template;
use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use self::asking::{Form, Notice};
use super::gate::Looks;
use super::log::elsewhere;
use super::problem::Problem;
use super::repos::{names, query};
use super::runs::number;
use super::{Auth, Server};
use crate::run::figures::{bytes, count, duration};
use crate::server::standing::Trouble;
use crate::store::database::{Artifacts, Attempt, Repo, Run, RunFilter, StepRow};

/// The style sheet and the script are files of their own: the policy allows nothing inline.
const STYLE: &str = include_str!("../../../../templates/page/style.css");
const SCRIPT: &str = include_str!("../../../../templates/page/log.js");

pub(super) fn router() -> Router<Server> {
    Router::new()
        .route("/", get(overview))
        .route("/runs/{id}", get(run))
        .route("/static/style.css", get(async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)))
        .route("/static/log.js", get(async || ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)))
        .merge(asking::router())
}

/// Characters of a summary in the list of runs.
const CELL: usize = 120;

#[derive(Template)]
#[template(path = "page/overview.html")]
struct Overview {
    /// What became of what the reader has just asked for.
    notice: Option<Notice>,
    /// Whether the button asks for a token.
    guarded: bool,
    trouble: Vec<Trouble>,
    /// `2 hosts`, where too much in a row failed on them.
    resting: Option<String>,
    repos: Vec<RepoRow>,
    /// What to do where there is none.
    unwatched: Option<String>,
    runs: Vec<Row>,
    older: Option<i64>,
}

/// One line of the list of repositories.
struct RepoRow {
    name: String,
    url: String,
    /// Where it is now.
    moved: Option<String>,
    read: String,
    changed: String,
    fault: String,
    /// The button.
    form: Option<Form>,
}

impl RepoRow {
    fn of(repo: Repo) -> Self {
        let (read, changed) = (moment(repo.read_at), moment(repo.changed_at));
        let (fault, form) = (repo.fault.unwrap_or_default(), Form::of(&repo.name));
        Self { name: repo.name, url: repo.url, moved: repo.moved, read, changed, fault, form }
    }
}

/// One line of the list of runs.
struct Row {
    run: Run,
    repo: String,
}

impl Row {
    fn short(&self) -> &str {
        self.run.new.sha.get(..10).unwrap_or(&self.run.new.sha)
    }

    fn reference(&self) -> &str {
        let name = self.run.new.reference.as_deref().unwrap_or_default();
        name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")).unwrap_or(name)
    }

    fn created(&self) -> String {
        moment(Some(self.run.created_at))
    }

    fn state(&self) -> &'static str {
        self.run.state.word()
    }

    fn summary(&self) -> &str {
        self.run.summary.as_deref().unwrap_or_default()
    }

    /// The summary as a cell of a table has room for it. Before the end it is that of the last attempt.
    fn in_short(&self) -> String {
        let line = self.summary().lines().next().unwrap_or_default();
        let short: String = line.chars().take(CELL).collect();
        let cut = if short.len() < self.summary().len() { "…" } else { "" };
        match self.run.ended_at {
            None if !short.is_empty() => format!("tried again after: {short}{cut}"),
            _ => format!("{short}{cut}"),
        }
    }

    fn took(&self) -> String {
        match (self.run.started_at, self.run.ended_at) {
            (Some(start), Some(end)) => took(end - start),
            _ => String::new(),
        }
    }
}

#[derive(Template)]
#[template(path = "page/run.html")]
struct Detail {
    row: Row,
    goes_on: bool,
    /// Where the log is, when it is not here.
    elsewhere: Option<String>,
    steps: Vec<(StepRow, String)>,
    attempts: Vec<AttemptRow>,
    artifacts: Option<Listing>,
}

/// What a run published, as it is listed.
struct Listing {
    /// `14 files, 3.1 MB`
    sum: String,
    location: String,
    /// Whether a browser can go there.
    is_link: bool,
    /// Paths and sizes.
    files: Vec<(String, String)>,
    /// How many are not listed.
    more: u64,
}

impl Listing {
    fn of(found: Artifacts) -> Self {
        let files: Vec<_> = found.listing.into_iter().map(|file| (file.path, bytes(file.size))).collect();
        Self {
            sum: format!("{}, {}", count(found.files, "file"), bytes(found.bytes)),
            is_link: found.location.starts_with("https://"),
            location: found.location,
            more: found.files.saturating_sub(files.len() as u64),
            files,
        }
    }
}

/// One line of the list of attempts.
struct AttemptRow {
    epoch: i64,
    worker: String,
    began: String,
    ended: String,
    outcome: String,
}

impl AttemptRow {
    fn of(attempt: Attempt) -> Self {
        let (began, ended) = (moment(Some(attempt.started_at)), moment(attempt.ended_at));
        let outcome = attempt.outcome.unwrap_or_default();
        Self { epoch: attempt.epoch, worker: attempt.worker, began, ended, outcome }
    }
}

/// When, in UTC, as HTML; a dash for never.
fn moment(at: Option<i64>) -> String {
    let at = at.and_then(|at| jiff::Timestamp::from_millisecond(at).ok());
    let shown = |at: jiff::Timestamp| at.strftime(r#"<time datetime="%FT%TZ">%F %T</time>"#).to_string();
    at.map_or_else(|| "–".to_owned(), shown)
}

/// A time as the terminal shows it. A clock that was set back made none.
fn took(millis: i64) -> String {
    duration(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))
}

#[derive(Deserialize)]
struct Shown {
    before: Option<i64>,
    /// The event that the reader has just asked for.
    asked: Option<i64>,
}

async fn overview(
    _: Looks,
    State(server): State<Server>,
    shown: Result<Query<Shown>, QueryRejection>,
) -> Result<Response, Problem> {
    let names = names(&server).await?;
    let Query(Shown { before, asked }) = shown.map_err(query)?;
    let runs = server.database.runs(&RunFilter { before, ..RunFilter::default() }).await?;
    let older = (runs.len() == 50).then(|| runs.last().map(|run| run.id)).flatten();
    let notice = match asked {
        Some(event) => Notice::of(&server, event, &names, &runs).await?,
        None => None,
    };
    let row = |run: Run| Row { repo: names.get(&run.new.repo).cloned().unwrap_or_default(), run };
    let repos: Vec<_> = server.database.repos().await?.into_iter().map(RepoRow::of).collect();
    let unwatched = if repos.is_empty() { server.standing.unwatched() } else { None };
    let trouble = server.standing.trouble();
    let resting = resting(server.metrics.sum("soop_poll_hosts_resting"));
    let (guarded, runs) = (server.auth == Auth::Everybody, runs.into_iter().map(row).collect());
    drawn(&Overview { notice, guarded, trouble, resting, repos, unwatched, runs, older })
}

/// Hosts that are left alone, in words.
fn resting(hosts: f64) -> Option<String> {
    (hosts >= 1.0).then(|| format!("{hosts} {}", if hosts < 2.0 { "host" } else { "hosts" }))
}

async fn run(
    _: Looks,
    State(server): State<Server>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Response, Problem> {
    let id = number(id)?;
    let run = server.database.run(id).await?;
    let names = names(&server).await?;
    let repo = names.get(&run.new.repo).cloned().unwrap_or_default();
    let (steps, attempts) = (server.database.steps(id).await?, server.database.attempts(id).await?);
    let steps = steps.into_iter().map(|step| {
        let took = took(step.elapsed_ms);
        (step, took)
    });
    let attempts = attempts.into_iter().map(AttemptRow::of).collect();
    let (goes_on, elsewhere) = (!run.state.has_ended(), elsewhere(&server, &run).await);
    let artifacts = server.database.artifacts(id).await?.map(Listing::of);
    drawn(&Detail { row: Row { run, repo }, goes_on, elsewhere, steps: steps.collect(), attempts, artifacts })
}

fn drawn(page: &impl Template) -> Result<Response, Problem> {
    let text = page.render().map_err(|error| {
        tracing::error!(%error, "a page was not drawn");
        Problem::internal()
    })?;
    Ok(Html(text).into_response())
}

#[cfg(test)]
mod tests {
    use super::{moment, resting, took};

    #[test]
    fn hosts_that_are_left_alone_are_counted() {
        assert_eq!(resting(0.0), None);
        assert_eq!((resting(1.0).as_deref(), resting(2.0).as_deref()), (Some("1 host"), Some("2 hosts")));
    }

    #[test]
    fn a_moment_is_a_time_for_people_and_for_programs() {
        let html = r#"<time datetime="2026-11-30T07:11:02Z">2026-11-30 07:11:02</time>"#;
        assert_eq!((moment(Some(1_796_022_662_500)).as_str(), moment(None).as_str()), (html, "–"));
    }

    #[test]
    fn times_are_shown_as_the_terminal_shows_them() {
        for (millis, text) in [(104_000, "1 m 44 s"), (420, "0.4 s"), (7_805_000, "2 h 10 m"), (-5, "0 ms")] {
            assert_eq!(took(millis), text);
        }
    }
}

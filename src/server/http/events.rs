//! Events: what happened, and what was done because of it, step by step.

use std::collections::HashMap;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::Serialize;
use serde_json::Value;

use super::Server;
use super::gate::Looks;
use super::problem::Problem;
use super::repos::{Page, names, query};
use super::runs::number;
use crate::server::handler::Outcome;
use crate::server::ledger;
use crate::store::database::{self, StepNoted};

/// So much of the end of what a step printed is shown.
const SHOWN: usize = 64 * 1024;

#[derive(Serialize)]
pub(super) struct EventList {
    events: Vec<EventRow>,
}

#[derive(Serialize)]
struct EventRow {
    id: i64,
    kind: String,
    source: String,
    repo: Option<String>,
    r#ref: Option<String>,
    before: Option<String>,
    after: Option<String>,
    state: String,
    fault: Option<String>,
    created_at: i64,
}

impl EventRow {
    fn of(event: database::Event, names: &HashMap<i64, String>) -> Self {
        Self {
            id: event.id,
            kind: event.new.kind,
            source: event.new.source,
            repo: event.new.repo.and_then(|repo| names.get(&repo).cloned()),
            r#ref: event.new.reference,
            before: event.new.old_sha,
            after: event.new.new_sha,
            state: event.state,
            fault: event.fault,
            created_at: event.created_at,
        }
    }
}

pub(super) async fn list(
    _: Looks,
    State(server): State<Server>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<EventList>, Problem> {
    let Query(page) = page.map_err(query)?;
    let names = names(&server).await?;
    let events = server.database.events(page.before, page.limit()?).await?;
    Ok(Json(EventList { events: events.into_iter().map(|event| EventRow::of(event, &names)).collect() }))
}

#[derive(Serialize)]
pub(super) struct EventDetail {
    #[serde(flatten)]
    event: EventRow,
    steps: Vec<StepRow>,
}

/// A step of a handler that the event was for.
#[derive(Debug, PartialEq, Serialize)]
struct StepRow {
    handler: String,
    step: String,
    /// Once its handler has ended.
    name: Option<String>,
    action: Option<String>,
    status: &'static str,
    error: Option<String>,
    output: Option<String>,
    began_at: i64,
    ended_at: Option<i64>,
    elapsed_ms: Option<i64>,
}

pub(super) async fn one(
    _: Looks,
    State(server): State<Server>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<EventDetail>, Problem> {
    let event = server.database.event(number(id)?).await?;
    let names = names(&server).await?;
    let steps = steps(&server, &event).await?;
    Ok(Json(EventDetail { event: EventRow::of(event, &names), steps }))
}

/// What was done because of an event. Steps are noted by the event's own key, which is made of what it says.
async fn steps(server: &Server, row: &database::Event) -> Result<Vec<StepRow>, Problem> {
    let Some(number) = row.new.repo else { return Ok(Vec::new()) };
    let Some(repo) = server.database.repo_of(number).await? else { return Ok(Vec::new()) };
    let Ok(event) = ledger::event_of(row, &repo) else { return Ok(Vec::new()) };
    let ends = server.database.ends_of_handlers(row.id).await?;
    let steps = server.database.steps_noted(&event.key()).await?;
    Ok(steps.into_iter().map(|step| StepRow::of(step, &ends)).collect())
}

impl StepRow {
    fn of(noted: StepNoted, ends: &[(String, Value)]) -> Self {
        let end = ends.iter().find(|(handler, _)| *handler == noted.handler);
        let steps = end.and_then(|(_, end)| end["steps"].as_array());
        let told = steps.and_then(|steps| steps.iter().find(|step| step["index"] == noted.step.as_str()));
        let word = |name: &str| told.and_then(|step| step[name].as_str()).map(str::to_owned);
        let (name, action) = (word("name"), word("verb"));
        let ended = noted.outcome.map(serde_json::from_value::<Outcome>);
        let (status, error, output) = match ended {
            None => ("running", None, None),
            Some(Ok(Outcome { state, result, error })) => {
                (state.name(), error, result["output"].as_str().map(|text| end_of(text).to_owned()))
            }
            Some(Err(_)) => ("unknown", Some("its outcome is of another program".to_owned()), None),
        };
        let elapsed_ms = noted.ended_at.map(|ended| (ended - noted.begun_at).max(0));
        let StepNoted { handler, step, begun_at, ended_at, .. } = noted;
        Self { handler, step, name, action, status, error, output, began_at: begun_at, ended_at, elapsed_ms }
    }
}

/// The end of a text, beginning with a whole character.
fn end_of(text: &str) -> &str {
    let from = text.len().saturating_sub(SHOWN);
    let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[from..]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn noted(outcome: Option<Value>) -> StepNoted {
        let ended_at = outcome.as_ref().map(|_| 1_500);
        StepNoted { handler: "check".to_owned(), step: "0".to_owned(), begun_at: 1_000, ended_at, outcome }
    }

    #[test]
    fn a_step_says_what_it_was_how_it_ended_and_what_it_printed() {
        let step = json!({"index": "0", "name": "tests", "verb": "shell", "state": "failed", "error": "x"});
        let report = json!({"steps": [step]});
        let ends = [("other".to_owned(), Value::Null), ("check".to_owned(), report)];
        let outcome = json!({"state": "failed", "result": {"code": 3, "output": "not today"}, "error": "ended with 3"});
        let row = StepRow::of(noted(Some(outcome)), &ends);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!((row.name, row.action, row.status), (text("tests"), text("shell"), "failed"));
        assert_eq!((row.error, row.output, row.elapsed_ms), (text("ended with 3"), text("not today"), Some(500)));
        // While its handler goes on, and of one that was begun and has not ended.
        let row = StepRow::of(noted(None), &[]);
        assert_eq!((row.name, row.status, row.output, row.elapsed_ms), (None, "running", None, None));
        let row = StepRow::of(noted(Some(json!("what"))), &[]);
        assert_eq!(row.status, "unknown");
    }

    #[test]
    fn of_a_long_output_the_end_is_shown_in_whole_characters() {
        assert_eq!(end_of("short"), "short");
        let long = format!("{}end", "ü".repeat(SHOWN));
        let shown = end_of(&long);
        assert!(shown.len() <= SHOWN && shown.len() > SHOWN - 2 && shown.ends_with("üend"));
    }
}

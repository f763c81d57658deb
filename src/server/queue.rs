//! From events to what they call for: takes what waits, asks who decides, writes the answer with the event.
//!
//! Whoever decides has no effects; an event whose handling died is decided again, and what it called for is written once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::event::{Event, Kind, Source};
use super::ledger;
use crate::run::figures::count;
use crate::store::database::{self, Database, DatabaseError, NewRun, Repo, Settlement};

/// How long an event is left to one decider: deciding is a matter of milliseconds, and who died is not waited for long.
const LEASE_MS: i64 = 10_000;
/// Events that are taken at a time.
const AT_ONCE: i64 = 16;
/// The priority of a run that nobody says one for, and of one that a person asks for, who waits for it.
const USUAL: i64 = 50;
const BY_HAND: i64 = 60;
/// How often an event is tried that cannot be decided.
const TRIES: i64 = 5;

/// Says what an event calls for. Has no effects: it may be asked twice.
pub trait Decide: Send + Sync {
    /// What this event calls for.
    ///
    /// # Errors
    /// One line that says why it cannot be told; it is asked again a few times.
    fn decide(&self, event: &Event, repo: &Repo, row: i64) -> Result<Settlement, String>;
}

/// Who has no handlers has this: what a person asks for is run, nothing else is.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByHand;

impl Decide for ByHand {
    fn decide(&self, event: &Event, repo: &Repo, row: i64) -> Result<Settlement, String> {
        if event.kind != Kind::Manual {
            return Ok(Settlement::default());
        }
        let mode = event.payload.get("mode").and_then(Value::as_str).unwrap_or("full");
        let run = new_run(event, repo, row, mode, usual_priority(event)).ok_or("the event has no commit")?;
        Ok(Settlement { runs: vec![run], actions: Vec::new() })
    }
}

/// How soon a run of an event is begun where nobody says it: higher ones go first.
pub fn usual_priority(event: &Event) -> i64 {
    // What the server itself asks for is what another repository's run leads to.
    let is_asked = event.kind == Kind::Manual && event.source != Source::Server;
    if is_asked || event.kind == Kind::Comment { BY_HAND } else { USUAL }
}

/// A run of the commit of an event. What the worker needs besides is the repository's setting `run`.
pub fn new_run(event: &Event, repo: &Repo, row: i64, mode: &str, priority: i64) -> Option<NewRun> {
    let sha = event.commit()?.to_string();
    // Of no ref, one commit is not the next of another.
    let lane = lane(repo.id, event.reference.as_deref().unwrap_or(&sha), mode);
    let mut request = repo.settings.get("run").cloned().unwrap_or_else(|| json!({}));
    if let (Value::Object(request), false) = (&mut request, event.chain.is_empty()) {
        request.insert("chain".to_owned(), json!(event.chain));
    }
    Some(NewRun {
        key: format!("{} {sha} {mode} {}", repo.id, event.key()),
        repo: repo.id,
        event: Some(row),
        lane,
        reference: event.reference.clone(),
        sha,
        mode: mode.to_owned(),
        request,
        priority,
        // Where each push or commit is told, each is run.
        supersede: !repo.settings.get("each").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// Runs of one ref in one mode, or of one commit where there is no ref, take each other's place.
pub fn lane(repo: i64, reference: &str, mode: &str) -> String {
    format!("{repo} {reference} {mode}")
}

/// Handles events as they come.
#[derive(Clone)]
pub struct Events {
    database: Database,
    decide: Arc<dyn Decide>,
    /// Rings when an event was written.
    told: Arc<Notify>,
    /// Is rung when a run was queued.
    queued: Arc<Notify>,
    /// Is rung when an event was handled.
    handled: Arc<Notify>,
}

impl Events {
    /// One that waits for `told` and rings `queued`.
    pub fn new(database: Database, decide: Arc<dyn Decide>, told: Arc<Notify>, queued: Arc<Notify>) -> Self {
        Self { database, decide, told, queued, handled: Arc::default() }
    }

    /// The same, and `handled` is rung when an event was handled.
    #[must_use]
    pub fn telling(self, handled: Arc<Notify>) -> Self {
        Self { handled, ..self }
    }

    /// Handles events until it is told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.next().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "events are not handled"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.told.notified() => {}
                () = tokio::time::sleep(Duration::from_secs(2)) => {}
            }
        }
    }

    /// Handles the events that wait, a few at a time; whether there was one.
    ///
    /// # Errors
    /// When the database says no; the events wait again then.
    pub async fn next(&self) -> Result<bool, DatabaseError> {
        let rows = self.database.next_events(LEASE_MS, AT_ONCE).await?;
        let (some, mut settled) = (!rows.is_empty(), Vec::new());
        for row in rows {
            if row.new.kind == Kind::BranchDeleted.name() {
                // It cancels what those before it queued.
                self.settle(&mut settled).await?;
            }
            match self.settlement(&row).await? {
                Ok(settlement) => settled.push((row.id, settlement)),
                Err(why) => {
                    tracing::warn!(event = row.id, why, "not handled");
                    let again = (row.attempts < TRIES).then_some(1_000 << row.attempts.clamp(0, 6));
                    self.database.event_failed(row.id, &why, again).await?;
                }
            }
        }
        self.settle(&mut settled).await?;
        Ok(some)
    }

    /// Writes what events call for.
    async fn settle(&self, settled: &mut Vec<(i64, Settlement)>) -> Result<(), DatabaseError> {
        let settled = std::mem::take(settled);
        if settled.is_empty() {
            return Ok(());
        }
        let queued = match self.database.settle_events(&settled).await {
            Ok(queued) => queued,
            Err(error) if settled.len() == 1 => return Err(error),
            Err(_) => {
                // One that cannot be written keeps no other from being so.
                let (mut queued, mut failed) = (Vec::new(), None);
                for (id, settlement) in &settled {
                    match self.database.settle_event(*id, settlement).await {
                        Ok(more) => queued.extend(more),
                        Err(error) => failed = Some(error),
                    }
                }
                failed.map_or(Ok(queued), Err)?
            }
        };
        if queued.iter().any(|run| run.new) {
            self.queued.notify_one();
        }
        self.handled.notify_one();
        Ok(())
    }

    async fn settlement(&self, row: &database::Event) -> Result<Result<Settlement, String>, DatabaseError> {
        let Some(number) = row.new.repo else { return Ok(Ok(Settlement::default())) };
        let Some(repo) = self.database.repo_of(number).await? else { return Ok(Ok(Settlement::default())) };
        let event = match ledger::event_of(row, &repo) {
            Ok(event) => event,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if event.kind == Kind::BranchDeleted {
            for mode in ["sample", "full"] {
                let reference = event.reference.as_deref().unwrap_or_default();
                self.database.cancel_lane(&lane(repo.id, reference, mode)).await?;
            }
        }
        // One event whose deciding panics holds up no other.
        let decided = catch_unwind(AssertUnwindSafe(|| self.decide.decide(&event, &repo, row.id)));
        if let Ok(Ok(settlement)) = &decided {
            say(row.id, &event, settlement);
        }
        Ok(decided.unwrap_or_else(|_| Err("deciding it ended by a fault of the program's own".to_owned())))
    }
}

/// One line of the server's log for each event: what it is, and what it calls for.
fn say(row: i64, event: &Event, settlement: &Settlement) {
    let handlers: Vec<&str> = settlement.actions.iter().map(|action| action.handler.as_str()).collect();
    let (reference, commit) = (event.reference.as_deref(), event.commit().map(|commit| commit.short().to_owned()));
    let (kind, repo, runs) = (event.kind.name(), &event.repo, settlement.runs.len());
    let asked = (runs > 0).then(|| count(runs as u64, "run"));
    let handlers = (!handlers.is_empty()).then(|| format!("handlers {}", handlers.join(", ")));
    let calls: Vec<String> = handlers.iter().chain(&asked).cloned().collect();
    let calls = if calls.is_empty() { "nothing".to_owned() } else { calls.join(" and ") };
    tracing::info!(event = row, kind, repo, reference, commit, calls, "{kind} calls for {calls}");
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::store::database::NewRepo;

    /// Decides for one branch only.
    struct Picky;

    impl Decide for Picky {
        fn decide(&self, event: &Event, _: &Repo, _: i64) -> Result<Settlement, String> {
            assert_eq!(event.branch(), Some("main"), "as wanted");
            Ok(Settlement::default())
        }
    }

    #[tokio::test]
    async fn what_a_person_asks_for_goes_before_pushes_and_what_a_repository_asks_for_of_another_as_they_do() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}", folder.path().join("it.db").display())).await.unwrap();
        let url = "https://h.example/acme/churn".to_owned();
        database.watch(&[NewRepo { url, name: "acme/churn".into(), settings: json!({}) }]).await.unwrap();
        let repo = database.repo("acme/churn").await.unwrap();
        let event = |kind, source| {
            let mut event = Event::new(kind, "acme/churn", Timestamp::UNIX_EPOCH, source);
            event.after = Some("a".repeat(40).parse().unwrap());
            event
        };
        let asked = |source| ByHand.decide(&event(Kind::Manual, source), &repo, 1).unwrap().runs[0].priority;
        let usual = |kind| usual_priority(&event(kind, Source::Webhook));
        assert_eq!((asked(Source::Api), asked(Source::Person), asked(Source::Server)), (60, 60, 50));
        assert_eq!((usual(Kind::Push), usual(Kind::PullRequest), usual(Kind::Comment)), (50, 50, 60));
    }

    #[tokio::test]
    async fn an_event_whose_deciding_panics_waits_and_holds_up_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}", folder.path().join("it.db").display())).await.unwrap();
        let url = "https://h.example/acme/churn".to_owned();
        database.watch(&[NewRepo { url, name: "acme/churn".into(), settings: json!({}) }]).await.unwrap();
        let repo = database.repo("acme/churn").await.unwrap().id;
        let mut rows = Vec::new();
        for branch in ["odd", "main"] {
            let mut event = Event::new(Kind::Push, "acme/churn", Timestamp::UNIX_EPOCH, Source::Poll);
            event.reference = Some(format!("refs/heads/{branch}"));
            rows.push(database.tell(&ledger::row(&event, Some(repo)).unwrap()).await.unwrap().unwrap());
        }
        let events = Events::new(database.clone(), Arc::new(Picky), Arc::default(), Arc::default());
        assert!(events.next().await.unwrap());
        let (odd, main) = (database.event(rows[0]).await.unwrap(), database.event(rows[1]).await.unwrap());
        assert_eq!((odd.state.as_str(), odd.attempts, main.state.as_str()), ("waiting", 1, "handled"));
        assert!(odd.fault.unwrap().contains("fault of the program's own"));
    }
}

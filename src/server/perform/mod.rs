//! Handlers of the server's file, done: which of them an event is for is decided with the event; each is then a row of the
//! outbox, gone through step by step. What a step came to is in the journal, so that one that was interrupted goes on.

mod chain;
mod dispatching;
mod doing;
mod obeying;
mod reporting;
mod runs;
mod shell;
mod statuses;
mod submodules;
mod telling;
#[cfg(test)]
mod tests;
mod turns;
mod workspace;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::doing::Doing;
pub use self::shell::Yard;
pub use self::turns::Turns;
use super::action::Effects;
use super::event::{Event, Kind};
use super::file::File;
use super::handler::{self, Journal, JournalError, Key, Outcome, Plan, Recall};
use super::ledger;
use super::queue::{ByHand, Decide};
use super::room;
use crate::store::database::{
    Database, DatabaseError, NewAction, OutboxAction, Repo, Resolution, Settlement, StepKnown,
};

/// Renewed while it goes on; who died is not waited for long.
const LEASE_MS: i64 = 15_000;
/// Handlers that are gone through at a time. One that waits for a run holds no place: whoever wants to cancel that run
/// would wait for it, too. Neither does one that waits for a forge: others would wait for it that have none, or another.
const AT_ONCE: usize = 64;
/// And so many may wait, each with its lease to be renewed; beyond it they hold places.
const WAITING: usize = 1_024;
const TRIES: i64 = 5;
/// How often one is begun whose doer ends without a word: it may be the action that ends it. A server that is started so often
/// while one waits for a run is a rare one.
const BEGINNINGS: i64 = 50;
/// What is told of a panic. What it said may hold anything, and is in the log only.
const PANIC: &str = "it ended by a fault of the program's own; the server's log says which";
/// How long scripts and requests may go on when the server is to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// Decides by the handlers of the server's file. What a person asks for is run, also where no handler is for it.
#[derive(Debug, Clone)]
pub struct ByFile(pub Arc<File>);

impl Decide for ByFile {
    fn decide(&self, event: &Event, repo: &Repo, row: i64) -> Result<Settlement, String> {
        let watched = self.0.repo(&event.repo).is_some_and(|repo| match event.kind {
            Kind::Push | Kind::BranchCreated | Kind::BranchDeleted => {
                event.branch().is_some_and(|branch| repo.watches_branch(branch))
            }
            Kind::TagCreated | Kind::TagMoved | Kind::TagDeleted => {
                event.tag().is_some_and(|tag| repo.watches_tag(tag))
            }
            _ => true,
        });
        if !watched {
            return Ok(Settlement::default());
        }
        let of_a_run = event.run.is_some().then(|| addressed(&self.0, event.clone()));
        let event = of_a_run.as_ref().unwrap_or(event);
        let plans = handler::decide(&self.0.handlers, event);
        if plans.is_empty() && event.kind == Kind::Manual {
            return ByHand.decide(event, repo, row);
        }
        let actions = plans.iter().map(|plan| NewAction {
            handler: plan.handler.name.clone(),
            position: 0,
            action: json!({"handler": plan.handler.name}),
            // The journal knows what may be done again.
            retryable: true,
        });
        Ok(Settlement { runs: Vec::new(), actions: actions.collect() })
    }
}

/// The journal of the database.
struct Ledger(Database);

#[async_trait]
impl Journal for Ledger {
    async fn recall(&self, key: &Key) -> Result<Recall, JournalError> {
        match self.0.recall(&key.event, &key.handler, &key.index).await.map_err(unwritten)? {
            StepKnown::New => Ok(Recall::New),
            StepKnown::Begun => Ok(Recall::Begun),
            StepKnown::Finished(outcome) => {
                let outcome = serde_json::from_value(outcome).map_err(|error| JournalError(error.to_string()))?;
                Ok(Recall::Finished(outcome))
            }
        }
    }

    async fn begin(&self, key: &Key, arguments: &Value) -> Result<(), JournalError> {
        self.0.begin_step(&key.event, &key.handler, &key.index, arguments).await.map_err(unwritten)
    }

    async fn finish(&self, key: &Key, outcome: &Outcome) -> Result<(), JournalError> {
        // What it printed is with its event, and too long for here.
        tracing::info!(
            handler = key.handler,
            event = key.event,
            step = key.index,
            status = outcome.state.name(),
            error = outcome.error.as_deref(),
            "a step ended"
        );
        let outcome = serde_json::to_value(outcome).map_err(|error| JournalError(error.to_string()))?;
        self.0.finish_step(&key.event, &key.handler, &key.index, &outcome).await.map_err(unwritten)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
fn unwritten(error: DatabaseError) -> JournalError {
    JournalError(error.to_string())
}

/// Goes through handlers as events call for them.
#[derive(Clone)]
pub struct Performer {
    /// The database.
    pub database: Database,
    /// The handlers, and whom they tell.
    pub file: Arc<File>,
    /// Who does things.
    pub effects: Arc<dyn Effects>,
    /// Rings when an event was handled.
    pub handled: Arc<Notify>,
}

impl Performer {
    /// Works until it is told to stop. What goes on then is left where it is, and gone on with after the next start. Who
    /// is retired takes nothing new, and ends what was begun by the file that it has.
    pub async fn run(&self, retired: CancellationToken, stop: CancellationToken) {
        let mut works: JoinSet<()> = JoinSet::new();
        self.effects.resume().await;
        while !retired.is_cancelled() {
            let room = works.len() < AT_ONCE + self.effects.waiting().min(WAITING);
            let taken = if room { self.database.next_action(LEASE_MS).await } else { Ok(None) };
            match taken {
                Ok(Some(action)) => {
                    let (performer, retired) = (self.clone(), retired.clone());
                    works.spawn(async move { performer.perform(action, &retired).await });
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(error = room::words(&error), "actions are not done"),
            }
            tokio::select! {
                () = retired.cancelled() => {}
                () = self.handled.notified() => {}
                Some(_) = works.join_next() => {}
                () = tokio::time::sleep(Duration::from_secs(2)) => {}
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = async { while works.join_next().await.is_some() {} } => {}
        }
        // A script that is cut off is lost: whether it ran to its end is not known. What waits for runs can wait again.
        let _ = tokio::time::timeout(DRAIN, self.effects.quiet()).await;
        works.shutdown().await;
    }

    async fn perform(&self, action: OutboxAction, retired: &CancellationToken) {
        let (id, epoch) = (action.id, action.epoch);
        let keeping = async {
            loop {
                tokio::time::sleep(Duration::from_millis(LEASE_MS.unsigned_abs() / 4)).await;
                match self.database.renew_action(id, epoch, LEASE_MS).await {
                    Err(DatabaseError::Fenced { .. }) => return,
                    Err(error) => tracing::warn!(error = room::words(&error), "an action is not kept"),
                    Ok(()) => {}
                }
            }
        };
        let resolution = tokio::select! {
            resolution = self.attempt(&action, retired) => resolution,
            // Another has it: nothing that is done here counts.
            () = keeping => return,
        };
        match &resolution {
            Resolution::Done(_) => {}
            Resolution::Again(why, _) => tracing::warn!(handler = action.new.handler, why, "a handler is begun again"),
            Resolution::Failed(why) => tracing::warn!(handler = action.new.handler, why, "a handler is given up"),
        }
        if let Err(error) = self.database.resolve_action(id, epoch, &resolution).await {
            tracing::warn!(error = room::words(&error), "not written how an action ended");
        }
    }

    /// Goes through a handler. A panic is an attempt that failed, like any other.
    async fn attempt(&self, action: &OutboxAction, retired: &CancellationToken) -> Resolution {
        if action.attempts > BEGINNINGS {
            return Resolution::Failed(format!(
                "it was begun {BEGINNINGS} times, and whoever did it ended without a word"
            ));
        }
        let going = AssertUnwindSafe(self.go_through(action, retired)).catch_unwind();
        going.await.unwrap_or_else(|_| again(action, PANIC.to_owned()))
    }

    async fn go_through(&self, action: &OutboxAction, retired: &CancellationToken) -> Resolution {
        let event = match self.event(action.event).await {
            Ok(event) => event,
            Err(why) => return again(action, why),
        };
        let known = self.file.handlers.iter().find(|handler| handler.name == action.new.handler);
        let Some(handler) = known else {
            return if retired.is_cancelled() {
                // It was taken while the file was replaced, and may be one of the new file's.
                Resolution::Again("not in the file from before".to_owned(), 0)
            } else {
                Resolution::Failed("no longer in the server's file".to_owned())
            };
        };
        let plan = Plan { handler, event: &event };
        let journal = Ledger(self.database.clone());
        match handler::execute(&plan, &self.file.notify, &*self.effects, &journal).await {
            Ok(report) => {
                if let Some(error) = report.error.as_ref().filter(|_| report.state == handler::State::Failed) {
                    tracing::warn!(handler = report.handler, event = action.event, error, "a handler failed");
                }
                Resolution::Done(serde_json::to_value(report).unwrap_or_default())
            }
            Err(error) => again(action, error.to_string()),
        }
    }

    async fn event(&self, id: i64) -> Result<Event, String> {
        let row = self.database.event(id).await.map_err(|error| error.to_string())?;
        let number = row.new.repo.ok_or("its repository is not known")?;
        let repo = self.database.repo_of(number).await.map_err(|error| error.to_string())?;
        let repo = repo.ok_or("its repository is not known")?;
        let event = ledger::event_of(&row, &repo).map_err(|error| error.to_string())?;
        Ok(addressed(&self.file, event))
    }
}

/// With what only the server's file says: where the run that ended can be looked at.
pub fn addressed(file: &File, mut event: Event) -> Event {
    if let (Some(run), Some(base)) = (&mut event.run, &file.server.public_url) {
        run.url = Some(format!("{base}/runs/{}", run.id));
    }
    event
}

fn again(action: &OutboxAction, why: String) -> Resolution {
    if action.attempts < TRIES {
        Resolution::Again(why, 1_000 << action.attempts.clamp(0, 6))
    } else {
        Resolution::Failed(why)
    }
}

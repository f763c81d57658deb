//! Runs that were asked for by who reads no refs: the command line, and handlers for their dependents. The repository is
//! read first, so that what is there now is run; then the event is one like any other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::poll::fault::Class;
use super::poll::{PollError, Poller, Watch};
use super::trigger::{TriggerError, resolve};
use crate::store::database::{Database, DatabaseError, Event};

/// How often is looked: whoever asks on the command line waits for it.
const EVERY: Duration = Duration::from_millis(500);
/// Repositories that are read at a time.
const AT_ONCE: usize = 64;
/// How long one reading may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Longer than that: it comes again only when whoever read it died.
const LEASE_MS: i64 = 75_000;
/// How often a repository is tried that cannot be read now.
const TRIES: i64 = 6;

/// Finds the commits of what was asked for; clones share everything.
#[derive(Clone)]
pub struct Asked {
    database: Database,
    poller: Poller,
    watches: watch::Receiver<Vec<Arc<Watch>>>,
    /// Is rung when an event waits to be handled.
    told: Arc<Notify>,
    bell: Arc<Notify>,
}

impl Asked {
    /// One that rings `told` when an event waits to be handled.
    pub fn new(
        database: Database,
        poller: Poller,
        watches: watch::Receiver<Vec<Arc<Watch>>>,
        told: Arc<Notify>,
    ) -> Self {
        Self { database, poller, watches, told, bell: Arc::default() }
    }

    /// What to ring when something was asked for in this process; what another process asks for is found by looking.
    pub fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    /// Works until it is told to stop. What is read then is read again after the next start.
    pub async fn run(&self, stop: CancellationToken) {
        let (mut works, mut busy) = (JoinSet::<i64>::new(), HashSet::<i64>::new());
        while !stop.is_cancelled() {
            if let Err(error) = self.begin(&mut works, &mut busy).await {
                tracing::warn!(%error, "what was asked for is not read");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(ended) = works.join_next() => match ended {
                    Ok(event) => drop(busy.remove(&event)),
                    // Which one it was nobody can tell: to read one twice is no harm.
                    Err(_) => busy.clear(),
                },
                () = self.bell.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
        works.shutdown().await;
    }

    /// Takes what waits, as far as there is room.
    async fn begin(&self, works: &mut JoinSet<i64>, busy: &mut HashSet<i64>) -> Result<(), DatabaseError> {
        let room = i64::try_from(AT_ONCE - works.len().min(AT_ONCE)).unwrap_or_default();
        if room == 0 {
            return Ok(());
        }
        for event in self.database.asked(LEASE_MS, room).await? {
            if busy.insert(event.id) {
                let this = self.clone();
                works.spawn(async move {
                    if let Err(error) = this.find(&event).await {
                        tracing::warn!(event = event.id, %error, "the commit of an event is not found");
                    }
                    event.id
                });
            }
        }
        Ok(())
    }

    /// Reads the repository of an event and writes its commit, or why there is none.
    ///
    /// # Errors
    /// When the database says no; it is tried again then.
    pub async fn find(&self, event: &Event) -> Result<(), DatabaseError> {
        let Some(number) = event.new.repo else {
            return self.database.event_failed(event.id, "its repository is not known", None).await;
        };
        let watch = self.watches.borrow().iter().find(|watch| watch.repo == number).cloned();
        let Some(watch) = watch else {
            // The file may name it in a moment.
            return self.again(event, "its repository is not watched", None).await;
        };
        match tokio::time::timeout(PATIENCE, self.poller.read_now(&watch)).await {
            Ok(Ok(_)) => self.answer(event).await,
            Ok(Err(PollError::Database(error))) => Err(error),
            Ok(Err(PollError::Fault(fault))) if fault.class() == Class::Denied => {
                self.database.event_failed(event.id, &fault.to_string(), None).await
            }
            Ok(Err(PollError::Fault(fault))) => self.again(event, &fault.to_string(), fault.pause()).await,
            Err(_) => self.again(event, "its host did not answer within a minute", None).await,
        }
    }

    async fn answer(&self, event: &Event) -> Result<(), DatabaseError> {
        let repo = event.new.repo.unwrap_or_default();
        let Some(repo) = self.database.repo_of(repo).await? else { return Ok(()) };
        match resolve(&self.database, &repo, event).await {
            Ok(found) => {
                self.database.answer(event.id, &found).await?;
                self.told.notify_one();
                Ok(())
            }
            Err(TriggerError::Database(error)) => Err(error),
            Err(error) => self.database.event_failed(event.id, &error.to_string(), None).await,
        }
    }

    async fn again(&self, event: &Event, why: &str, after: Option<Duration>) -> Result<(), DatabaseError> {
        let pause = Duration::from_secs(2 << event.attempts.clamp(0, 6)).max(after.unwrap_or_default());
        // Nothing waits longer than that: see `database::link`.
        let pause = i64::try_from(pause.min(Duration::from_mins(10)).as_millis()).unwrap_or_default();
        let again = (event.attempts < TRIES).then_some(pause);
        if again.is_none() {
            tracing::warn!(event = event.id, why, "a run that was asked for is given up");
        }
        self.database.event_failed(event.id, why, again).await
    }
}

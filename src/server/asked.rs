//! Runs that were asked for by who reads no refs: the command line, schedules, and handlers for their dependents. The
//! repository is read first, so that what is there now is run; then the event is one like any other.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::event::Kind;
use super::glance::{Glance, Unread};
use super::trigger::{TriggerError, last_seen, resolve};
use crate::store::database::{Database, DatabaseError, Event};

/// How often is looked: whoever asks on the command line waits for it.
const EVERY: Duration = Duration::from_millis(500);
/// Repositories that are read at a time.
const AT_ONCE: usize = 64;
/// Longer than a reading takes: it comes again only when whoever read it died.
const LEASE_MS: i64 = 75_000;
/// How often a repository is tried that cannot be read now.
const TRIES: i64 = 6;

/// Finds the commits of what was asked for; clones share everything.
#[derive(Clone)]
pub struct Asked {
    database: Database,
    glance: Glance,
    /// Is rung when an event waits to be handled.
    told: Arc<Notify>,
    bell: Arc<Notify>,
}

impl Asked {
    /// One that rings `told` when an event waits to be handled.
    pub fn new(database: Database, glance: Glance, told: Arc<Notify>) -> Self {
        Self { database, glance, told, bell: Arc::default() }
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
                        tracing::warn!(event = event.id, %error, "its commit is not found");
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
        match self.glance.at(number).await {
            Ok(()) => self.answer(event).await,
            Err(Unread::Database(error)) => Err(error),
            Err(why) if why.is_final() || event.attempts >= TRIES => self.give_up(event, &why.to_string()).await,
            Err(why) => {
                let pause = i64::try_from(why.pause(event.attempts).as_millis()).unwrap_or_default();
                self.database.event_failed(event.id, &why.to_string(), Some(pause)).await
            }
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
            Err(error) => self.give_up(event, &error.to_string()).await,
        }
    }

    /// Its commit is not looked for any more. What somebody asked for has failed. A schedule has struck all the same: it is
    /// never told again, and not all that its handler does is about a commit. So it goes by what was last seen, and says so.
    async fn give_up(&self, event: &Event, why: &str) -> Result<(), DatabaseError> {
        let repo = self.database.repo_of(event.new.repo.unwrap_or_default()).await?;
        let Some(repo) = repo.filter(|_| event.new.kind == Kind::Schedule.name()) else {
            tracing::warn!(event = event.id, why, "what was asked for is given up");
            return self.database.event_failed(event.id, why, None).await;
        };
        tracing::warn!(
            event = event.id,
            repo = repo.name,
            why,
            "its schedule goes by what was last seen of the repository"
        );
        let found = last_seen(&self.database, &repo, event).await?;
        let said = format!("it goes by what was last seen of the repository: {why}");
        self.database.answer_unsure(event.id, &found, &said).await?;
        self.told.notify_one();
        Ok(())
    }
}

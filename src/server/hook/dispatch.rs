//! Turns kept deliveries into events.
//!
//! What has to be asked of a host is asked in its lane, so that a slow one holds up nothing but its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::asking::Asking;
use super::envelope::{Forge, Shape, json_text};
use super::lanes::{Lanes, Place};
use super::meaning::{Hint, Meaning, addresses, meaning};
use crate::server::event::Event;
use crate::server::ledger;
use crate::server::poll::fault::Class;
use crate::server::poll::{PollError, Poller, Watch};
use crate::server::room;
use crate::store::database::{Database, DatabaseError, Delivery};

/// Renewed while it is read; who died is not waited for long.
const LEASE_MS: i64 = 15_000;
/// How often it is noted that webhooks of a repository arrive.
const NOTING: Duration = Duration::from_mins(1);
/// How often one is tried whose repository cannot be read.
const TRIES: i64 = 6;
/// How often one is read whose reader ends without a word: it may be the delivery that ends it.
const READERS: i64 = 3 * TRIES;
/// How long a forge is asked about one comment; then others have their turn.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long is waited for answers when it is to end.
const LAST: Duration = Duration::from_secs(5);

/// Reads what was kept; several may run at once, as clones.
#[derive(Clone)]
pub struct Dispatcher {
    database: Database,
    poller: Poller,
    watches: watch::Receiver<Vec<Arc<Watch>>>,
    /// Rings when a delivery was kept.
    kept: Arc<Notify>,
    /// Is rung when an event was written.
    told: Arc<Notify>,
    /// Who is asked about comments.
    asking: Option<Asking>,
    /// When it was last noted that webhooks of a repository arrive.
    noted: Arc<Mutex<HashMap<i64, Instant>>>,
    lanes: Lanes,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Settled(usize),
    /// Tried again in so many milliseconds.
    Again(String, i64),
    Failed(String),
}

/// What is left to do for a delivery that is understood.
enum Left {
    /// It is known what becomes of it.
    Nothing(Fate),
    /// It tells of this, once the forge was asked about it.
    Ask(Arc<Watch>, Box<Event>),
    /// Something moved there: git is asked.
    Read(Arc<Watch>, Box<Hint>),
}

impl Left {
    /// The lane for it, where somebody else has to answer.
    fn lane(&self) -> Option<String> {
        match self {
            Self::Nothing(_) => None,
            Self::Ask(watch, _) => Some(format!("comments {}", watch.address.place())),
            Self::Read(watch, _) => Some(format!("pushes {}", watch.address.place())),
        }
    }
}

impl Dispatcher {
    /// One that waits for `kept` and rings `told`.
    pub fn new(
        database: Database,
        poller: Poller,
        watches: watch::Receiver<Vec<Arc<Watch>>>,
        kept: Arc<Notify>,
        told: Arc<Notify>,
    ) -> Self {
        Self { database, poller, watches, kept, told, asking: None, noted: Arc::default(), lanes: Lanes::default() }
    }

    /// The same, which asks the forge about comments before they become events.
    #[must_use]
    pub fn asking(self, asking: Option<Asking>) -> Self {
        Self { asking, ..self }
    }

    /// Reads deliveries as they come until it is told to stop. What waits for an answer then, and for long, is read again by
    /// whoever comes next.
    pub async fn run(&self, stop: CancellationToken) {
        let mut works: JoinSet<Result<(), DatabaseError>> = JoinSet::new();
        while !stop.is_cancelled() {
            while let Some(ended) = works.try_join_next() {
                told_of(ended);
            }
            match self.begin(&mut works).await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(error = room::words(&error), "deliveries are not read"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.kept.notified() => {}
                // One whose reader died rings no bell.
                () = tokio::time::sleep(Duration::from_secs(5)) => {}
            }
        }
        let _ = tokio::time::timeout(LAST, async { while works.join_next().await.is_some() {} }).await;
        works.shutdown().await;
    }

    /// Reads one delivery to its end; whether there was one.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn next(&self) -> Result<bool, DatabaseError> {
        let Some((delivery, left)) = self.take().await? else { return Ok(false) };
        self.end(&delivery, left, None).await.map(|()| true)
    }

    /// Reads one delivery, and leaves what has to be asked for it to its lane; whether there was one.
    async fn begin(&self, works: &mut JoinSet<Result<(), DatabaseError>>) -> Result<bool, DatabaseError> {
        let Some((delivery, left)) = self.take().await? else { return Ok(false) };
        let Some(lane) = left.lane() else { return self.end(&delivery, left, None).await.map(|()| true) };
        match self.lanes.enter(&lane).await {
            Ok(place) => {
                let this = self.clone();
                works.spawn(async move { this.end(&delivery, left, Some(place)).await });
            }
            Err(wait) => {
                let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                self.database.postpone_delivery(delivery.id, delivery.attempts, wait).await?;
            }
        }
        Ok(true)
    }

    /// The next delivery, and what is left to do for it; without its body, which is long and no longer needed.
    async fn take(&self) -> Result<Option<(Delivery, Left)>, DatabaseError> {
        let Some(mut delivery) = self.database.next_delivery(LEASE_MS).await? else { return Ok(None) };
        let left = if delivery.attempts > READERS {
            Left::Nothing(Fate::Failed("whoever read it ended without a word".to_owned()))
        } else {
            self.understand(&delivery).await?
        };
        delivery.body = Vec::new();
        Ok(Some((delivery, left)))
    }

    /// Does what is left, and writes what became of the delivery, which is kept meanwhile.
    async fn end(&self, delivery: &Delivery, left: Left, place: Option<Place>) -> Result<(), DatabaseError> {
        let keeping = async {
            loop {
                tokio::time::sleep(Duration::from_millis(LEASE_MS.unsigned_abs() / 4)).await;
                if let Err(error) = self.database.renew_delivery(delivery.id, delivery.attempts, LEASE_MS).await {
                    tracing::warn!(error = room::words(&error), "a delivery is not kept");
                }
            }
        };
        let following = async {
            let _turn = match &place {
                Some(place) => place.turn().await,
                None => None,
            };
            self.follow(delivery, left).await
        };
        let fate = tokio::select! {
            fate = following => fate?,
            () = keeping => return Ok(()),
        };
        match fate {
            Fate::Settled(0) => {}
            Fate::Settled(_) => self.told.notify_one(),
            Fate::Again(why, wait) if delivery.attempts < TRIES => {
                self.database.delivery_failed(delivery.id, &why, Some(wait)).await?;
            }
            Fate::Again(why, _) | Fate::Failed(why) => {
                tracing::warn!(delivery = delivery.delivery, kind = delivery.event, why, "a delivery failed");
                self.database.delivery_failed(delivery.id, &why, None).await?;
            }
        }
        Ok(())
    }

    /// What a delivery means. Nobody else is asked.
    async fn understand(&self, delivery: &Delivery) -> Result<Left, DatabaseError> {
        let failed = |why: String| Ok(Left::Nothing(Fate::Failed(why)));
        let forge = Forge::of_word(&delivery.forge);
        let (Some(forge), Some(shape)) = (forge, Shape::of(&delivery.content_type)) else {
            return failed("of a forge that this program does not know".to_owned());
        };
        let text = json_text(shape, &delivery.body);
        let payload: Value = match text.map(|text| serde_json::from_slice(&text)) {
            Ok(Ok(payload)) => payload,
            Ok(Err(error)) => return failed(format!("not JSON: {error}")),
            Err(error) => return failed(error.to_string()),
        };
        let Some(watch) = self.watched(forge, &payload).await? else { return self.settled(delivery).await };
        self.note(watch.repo).await?;
        let at = Timestamp::from_millisecond(delivery.received_at).unwrap_or_default();
        match meaning(forge, &delivery.event, &delivery.delivery, &payload, &watch.name, at) {
            Meaning::Nothing => self.settled(delivery).await,
            Meaning::Happened(event) if self.asking.as_ref().is_some_and(|asking| asking.asks_about(&event)) => {
                Ok(Left::Ask(watch, event))
            }
            Meaning::Happened(event) => Ok(Left::Nothing(self.tell(delivery, &watch, &event).await?)),
            Meaning::Moved(hint) => Ok(Left::Read(watch, hint)),
        }
    }

    async fn settled(&self, delivery: &Delivery) -> Result<Left, DatabaseError> {
        self.database.settle_delivery(delivery.id, &[]).await?;
        Ok(Left::Nothing(Fate::Settled(0)))
    }

    async fn tell(&self, delivery: &Delivery, watch: &Watch, event: &Event) -> Result<Fate, DatabaseError> {
        match ledger::row(event, Some(watch.repo)) {
            Ok(row) => Ok(Fate::Settled(self.database.settle_delivery(delivery.id, &[row]).await?.len())),
            Err(error) => Ok(Fate::Failed(error.to_string())),
        }
    }

    /// Asks whoever has to be asked.
    async fn follow(&self, delivery: &Delivery, left: Left) -> Result<Fate, DatabaseError> {
        let again = |why: String| Ok(Fate::Again(why, 5_000 << delivery.attempts.clamp(0, 6)));
        match left {
            Left::Nothing(fate) => Ok(fate),
            Left::Ask(watch, mut event) => {
                if let Some(asking) = &self.asking {
                    match tokio::time::timeout(PATIENCE, asking.fill(&mut event)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(why)) => return again(why),
                        Err(_) => return again(format!("`{}`: its forge does not answer in time", watch.name)),
                    }
                }
                self.tell(delivery, &watch, &event).await
            }
            Left::Read(watch, hint) => match self.poller.read(&watch, Some(&hint)).await {
                Ok(applied) => {
                    self.database.settle_delivery(delivery.id, &[]).await?;
                    Ok(Fate::Settled(applied.events.len()))
                }
                Err(PollError::Database(error)) => Err(error),
                Err(PollError::Fault(fault)) => match fault.class() {
                    Class::Denied => Ok(Fate::Failed(fault.to_string())),
                    Class::Passing | Class::Throttled => again(fault.to_string()),
                },
            },
        }
    }

    /// Notes that webhooks of a repository arrive: it is read less often then. Once a minute is enough.
    async fn note(&self, repo: i64) -> Result<(), DatabaseError> {
        let now = Instant::now();
        let before = self.noted.lock().unwrap_or_else(PoisonError::into_inner).insert(repo, now);
        if before.is_some_and(|before| now.saturating_duration_since(before) < NOTING) {
            self.noted.lock().unwrap_or_else(PoisonError::into_inner).extend(before.map(|before| (repo, before)));
            return Ok(());
        }
        self.database.hooked(repo).await
    }

    /// The repository of a payload, by any of its addresses; else the one whose host says that it is there now.
    async fn watched(&self, forge: Forge, payload: &Value) -> Result<Option<Arc<Watch>>, DatabaseError> {
        let told: Vec<String> = addresses(forge, payload).into_iter().map(plain).collect();
        let is = |fits: &dyn Fn(&Watch) -> bool| self.watches.borrow().iter().find(|watch| fits(watch)).cloned();
        if let Some(watch) = is(&|watch| told.contains(&plain(&watch.address.text()))) {
            return Ok(Some(watch));
        }
        let moves = self.database.moves().await?;
        let moved = moves.into_iter().find(|(_, to)| told.contains(&plain(to)));
        Ok(moved.and_then(|(repo, _)| is(&|watch| watch.repo == repo)))
    }
}

fn told_of(ended: Result<Result<(), DatabaseError>, tokio::task::JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(error = room::words(&error), "a delivery is not read"),
        // It waits, and is read again.
        Err(error) => tracing::error!(error = room::words(&error), "a delivery is not read"),
    }
}

/// An address as far as it says which repository it is: host and path, however it is reached.
fn plain(address: &str) -> String {
    let bare = address.split_once("://").map_or(address, |(_, bare)| bare);
    let bare = match bare.split_once('/') {
        Some((host, path)) => format!("{}/{path}", host.rsplit('@').next().unwrap_or(host)),
        None => bare.to_owned(),
    };
    // `git@host:path`
    let bare = match bare.split_once(':') {
        Some((host, path)) if !path.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{}/{path}", host.rsplit('@').next().unwrap_or(host))
        }
        _ => bare,
    };
    bare.trim_end_matches('/').trim_end_matches(".git").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_many_addresses() {
        for address in [
            "https://git.example/Acme/churn.git",
            "https://ada:token@git.example/acme/churn",
            "git@git.example:acme/churn.git",
            "ssh://git@git.example/acme/churn.git/",
            "git://git.example/acme/churn.git",
        ] {
            assert_eq!(plain(address), "git.example/acme/churn", "{address}");
        }
        assert_eq!(plain("http://127.0.0.1:8080/a.git"), "127.0.0.1:8080/a");
        assert_ne!(plain("https://git.example/acme/churn"), plain("https://evil.example/acme/churn"));
    }
}

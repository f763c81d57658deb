//! Turns kept deliveries into events.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::asking::Asking;
use super::envelope::{Forge, Shape, json_text};
use super::meaning::{Meaning, addresses, meaning};
use crate::server::ledger;
use crate::server::poll::fault::Class;
use crate::server::poll::{PollError, Poller, Watch};
use crate::store::database::{Database, DatabaseError, Delivery};

/// Renewed while it is read; who died is not waited for long.
const LEASE_MS: i64 = 15_000;
/// How often it is noted that webhooks of a repository arrive.
const NOTING: Duration = Duration::from_mins(1);
/// How often one is tried whose repository cannot be read.
const TRIES: i64 = 6;

/// Reads what was kept; several may run at once.
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
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Settled(usize),
    /// Tried again in so many milliseconds.
    Again(String, i64),
    Failed(String),
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
        Self { database, poller, watches, kept, told, asking: None, noted: Arc::default() }
    }

    /// The same, which asks the forge about comments before they become events.
    #[must_use]
    pub fn asking(self, asking: Option<Asking>) -> Self {
        Self { asking, ..self }
    }

    /// Reads deliveries as they come until it is told to stop.
    pub async fn run(&self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.next().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "deliveries are not read"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.kept.notified() => {}
                // One whose reader died rings no bell.
                () = tokio::time::sleep(Duration::from_secs(5)) => {}
            }
        }
    }

    /// Reads one delivery; whether there was one.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn next(&self) -> Result<bool, DatabaseError> {
        let Some(delivery) = self.database.next_delivery(LEASE_MS).await? else { return Ok(false) };
        let keeping = async {
            loop {
                tokio::time::sleep(Duration::from_millis(LEASE_MS.unsigned_abs() / 4)).await;
                if let Err(error) = self.database.renew_delivery(delivery.id, delivery.attempts, LEASE_MS).await {
                    tracing::warn!(%error, "a delivery is not kept");
                }
            }
        };
        let fate = tokio::select! {
            fate = self.settle(&delivery) => fate?,
            () = keeping => return Ok(true),
        };
        match fate {
            Fate::Settled(0) => {}
            Fate::Settled(_) => self.told.notify_one(),
            Fate::Again(why, wait) if delivery.attempts < TRIES => {
                self.database.delivery_failed(delivery.id, &why, Some(wait)).await?;
            }
            Fate::Again(why, _) | Fate::Failed(why) => {
                tracing::warn!(delivery = delivery.delivery, event = delivery.event, why, "a delivery failed");
                self.database.delivery_failed(delivery.id, &why, None).await?;
            }
        }
        Ok(true)
    }

    async fn settle(&self, delivery: &Delivery) -> Result<Fate, DatabaseError> {
        let forge = Forge::of_word(&delivery.forge);
        let (Some(forge), Some(shape)) = (forge, Shape::of(&delivery.content_type)) else {
            return Ok(Fate::Failed("of a forge that this program does not know".to_owned()));
        };
        let text = json_text(shape, &delivery.body);
        let payload: Value = match text.map(|text| serde_json::from_slice(&text)) {
            Ok(Ok(payload)) => payload,
            Ok(Err(error)) => return Ok(Fate::Failed(format!("not JSON: {error}"))),
            Err(error) => return Ok(Fate::Failed(error.to_string())),
        };
        let Some(watch) = self.watched(forge, &payload) else {
            self.database.settle_delivery(delivery.id, &[]).await?;
            return Ok(Fate::Settled(0));
        };
        self.note(watch.repo).await?;
        let at = Timestamp::from_millisecond(delivery.received_at).unwrap_or_default();
        match meaning(forge, &delivery.event, &delivery.delivery, &payload, &watch.name, at) {
            Meaning::Nothing => {
                self.database.settle_delivery(delivery.id, &[]).await?;
                Ok(Fate::Settled(0))
            }
            Meaning::Happened(mut event) => {
                if let Some(asking) = &self.asking
                    && let Err(why) = asking.fill(&mut event).await
                {
                    return Ok(Fate::Again(why, 5_000 << delivery.attempts.clamp(0, 6)));
                }
                match ledger::row(&event, Some(watch.repo)) {
                    Ok(row) => Ok(Fate::Settled(self.database.settle_delivery(delivery.id, &[row]).await?.len())),
                    Err(error) => Ok(Fate::Failed(error.to_string())),
                }
            }
            Meaning::Moved(hint) => match self.poller.read(&watch, Some(&hint)).await {
                Ok(applied) => {
                    self.database.settle_delivery(delivery.id, &[]).await?;
                    Ok(Fate::Settled(applied.events.len()))
                }
                Err(PollError::Database(error)) => Err(error),
                Err(PollError::Fault(fault)) => Ok(match fault.class() {
                    Class::Denied => Fate::Failed(fault.to_string()),
                    Class::Passing | Class::Throttled => {
                        Fate::Again(fault.to_string(), 5_000 << delivery.attempts.clamp(0, 6))
                    }
                }),
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

    /// The repository of a payload, by any of its addresses.
    fn watched(&self, forge: Forge, payload: &Value) -> Option<Arc<Watch>> {
        let told: Vec<String> = addresses(forge, payload).into_iter().map(plain).collect();
        let watches = self.watches.borrow();
        watches.iter().find(|watch| told.contains(&plain(&watch.address.text()))).cloned()
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

//! Lanes: what waits for one host holds up nothing of another, and comments hold up no pushes.
//!
//! A lane lets a few through at a time, and a few more wait in it. Whoever finds it full waits a moment, because most hosts
//! answer in one; where nothing moved in that time, the rest is sent away, and comes back the later the more were.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Let through at a time.
const AT_ONCE: usize = 4;
/// Those and the ones that wait, each of which is kept in the database meanwhile.
const PLACES: usize = 32;
/// How long is waited for a place.
const MOMENT: Duration = Duration::from_millis(250);
/// Whoever is sent away comes back after this.
const BACK: Duration = Duration::from_secs(2);
/// And after this more for each that was before: all together ask the database no more than ten times a second.
const FURTHER: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_mins(5);

/// All lanes, by what they lead to; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes(Arc<Mutex<BTreeMap<String, Arc<Lane>>>>);

#[derive(Debug)]
struct Lane {
    places: Arc<Semaphore>,
    open: Arc<Semaphore>,
    /// Nothing moved for a moment, and has not since.
    stands: AtomicBool,
    /// How many were sent away and have not come in yet.
    away: AtomicU32,
}

impl Default for Lane {
    fn default() -> Self {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        let (places, open) = (semaphore(PLACES), semaphore(AT_ONCE));
        Self { places, open, stands: AtomicBool::new(false), away: AtomicU32::new(0) }
    }
}

/// A place in a lane, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    lane: Arc<Lane>,
    _permit: OwnedSemaphorePermit,
}

impl Lanes {
    /// A place; or how long to stay away.
    pub(super) async fn enter(&self, what: &str) -> Result<Place, Duration> {
        let lane = self.lane(what);
        let permit = match Arc::clone(&lane.places).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) if lane.stands.load(Ordering::SeqCst) => None,
            Err(_) => {
                let waited = tokio::time::timeout(MOMENT, Arc::clone(&lane.places).acquire_owned()).await;
                waited.ok().and_then(Result::ok)
            }
        };
        if let Some(permit) = permit {
            let fewer = |away: u32| Some(away.saturating_sub(1));
            let _ = lane.away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer);
            return Ok(Place { lane, _permit: permit });
        }
        lane.stands.store(true, Ordering::SeqCst);
        let away = lane.away.fetch_add(1, Ordering::SeqCst);
        Err((BACK + FURTHER.saturating_mul(away)).min(LONGEST))
    }

    fn lane(&self, what: &str) -> Arc<Lane> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody is in are not kept.
        lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        Arc::clone(lanes.entry(what.to_owned()).or_default())
    }
}

impl Place {
    /// Waits until one is let through, which lasts until what is given back is dropped.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        Arc::clone(&self.lane.open).acquire_owned().await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lane.stands.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    async fn full(lanes: &Lanes) -> Vec<Place> {
        let mut places = Vec::new();
        for _ in 0..PLACES {
            places.push(lanes.enter("comments a").await.unwrap());
        }
        places
    }

    #[tokio::test]
    async fn a_lane_that_stands_sends_away_at_once_and_holds_up_no_other() {
        let lanes = Lanes::default();
        let mut places = full(&lanes).await;
        assert_eq!(lanes.enter("comments a").await.unwrap_err(), BACK, "nothing moved for a moment");
        let begun = Instant::now();
        for before in 1..20 {
            assert_eq!(lanes.enter("comments a").await.unwrap_err(), BACK + FURTHER * before);
        }
        assert!(begun.elapsed() < MOMENT * 4, "{:?}", begun.elapsed());
        assert!(lanes.enter("comments b").await.is_ok() && lanes.enter("pushes a").await.is_ok());
        places.pop();
        places.push(lanes.enter("comments a").await.unwrap());
        assert_eq!(lanes.enter("comments a").await.unwrap_err(), BACK + FURTHER * 19, "one of them is in");
    }

    #[tokio::test]
    async fn where_it_moves_nobody_is_sent_away() {
        let lanes = Lanes::default();
        let mut places = full(&lanes).await;
        let leaving = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            places.pop();
        };
        let (entered, ()) = tokio::join!(lanes.enter("comments a"), leaving);
        assert!(entered.is_ok());
    }

    #[tokio::test]
    async fn a_few_are_let_through_at_a_time() {
        let lanes = Lanes::default();
        let places = full(&lanes).await;
        let mut turns = Vec::new();
        for place in &places[..AT_ONCE] {
            turns.push(place.turn().await.unwrap());
        }
        let more = tokio::time::timeout(Duration::from_millis(50), places[AT_ONCE].turn());
        assert!(more.await.is_err(), "no more at a time");
        turns.pop();
        assert!(places[AT_ONCE].turn().await.is_some());
    }

    #[tokio::test]
    async fn lanes_that_nobody_is_in_are_not_kept() {
        let lanes = Lanes::default();
        drop(lanes.enter("a").await);
        let _b = lanes.enter("b").await;
        assert_eq!(lanes.0.lock().unwrap().len(), 1);
    }
}

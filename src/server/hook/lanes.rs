//! Lanes: what waits for one host holds up nothing of another, and comments hold up no pushes.
//!
//! A lane lets a few through at a time and a few more wait; whoever finds it full comes back later, and the later the more
//! have found it full.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Let through at a time.
const AT_ONCE: usize = 4;
/// Those and the ones that wait, each of which is kept in the database meanwhile.
const PLACES: usize = 32;
/// Whoever finds a lane full comes back after this.
const BACK: Duration = Duration::from_secs(2);
/// And after this more for each that found it full before: all together ask the database no more than ten times a second.
const FURTHER: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_mins(5);

/// All lanes, by what they lead to; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes(Arc<Mutex<BTreeMap<String, Lane>>>);

#[derive(Debug)]
struct Lane {
    places: Arc<Semaphore>,
    open: Arc<Semaphore>,
    /// How many found it full since somebody got a place.
    refused: u32,
}

impl Default for Lane {
    fn default() -> Self {
        let semaphore = |places| Arc::new(Semaphore::new(places));
        Self { places: semaphore(PLACES), open: semaphore(AT_ONCE), refused: 0 }
    }
}

/// A place in a lane, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    open: Arc<Semaphore>,
}

impl Lanes {
    /// A place; or how long to stay away.
    pub(super) fn enter(&self, what: &str) -> Result<Place, Duration> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody is in are not kept.
        lanes.retain(|_, lane| lane.places.available_permits() < PLACES);
        let lane = lanes.entry(what.to_owned()).or_default();
        if let Ok(place) = Arc::clone(&lane.places).try_acquire_owned() {
            lane.refused = 0;
            return Ok(Place { _place: place, open: Arc::clone(&lane.open) });
        }
        let wait = BACK + FURTHER * lane.refused;
        lane.refused = lane.refused.saturating_add(1);
        Err(wait.min(LONGEST))
    }
}

impl Place {
    /// Waits until one is let through, which lasts until what is given back is dropped.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        Arc::clone(&self.open).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_lane_sends_away_and_holds_up_no_other() {
        let lanes = Lanes::default();
        let mut places: Vec<Place> = (0..PLACES).map(|_| lanes.enter("comments a").unwrap()).collect();
        let waits: Vec<Duration> = (0..3).map(|_| lanes.enter("comments a").unwrap_err()).collect();
        assert_eq!(waits, [BACK, BACK + FURTHER, BACK + 2 * FURTHER]);
        assert!(lanes.enter("comments b").is_ok() && lanes.enter("pushes a").is_ok());
        places.pop();
        places.push(lanes.enter("comments a").unwrap());
        assert_eq!(lanes.enter("comments a").unwrap_err(), BACK, "it moved");
        let mut turns = Vec::new();
        for place in &places[..AT_ONCE] {
            turns.push(place.turn().await.unwrap());
        }
        let more = tokio::time::timeout(Duration::from_millis(50), places[AT_ONCE].turn());
        assert!(more.await.is_err(), "no more at a time");
        turns.pop();
        assert!(places[AT_ONCE].turn().await.is_some());
    }

    #[test]
    fn lanes_that_nobody_is_in_are_not_kept() {
        let lanes = Lanes::default();
        drop(lanes.enter("a"));
        let _b = lanes.enter("b");
        assert_eq!(lanes.0.lock().unwrap().len(), 1);
    }
}

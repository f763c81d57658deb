//! What a service told of a moment ago, by id or by path. Not all of its servers may know it yet, so that a 404 about it, or
//! about what is to be put into it, is no end. It asks nobody, and keeps nothing for long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::patience::Patience;

/// How long something is new.
const YOUNG: Duration = Duration::from_mins(1);
/// So many are kept before those are dropped that are new no longer.
const FEW: usize = 1024;

/// What is new; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Fresh {
    told: Arc<Mutex<HashMap<String, Instant>>>,
    young: Duration,
}

impl Fresh {
    /// Of which nothing is new.
    pub(super) fn new() -> Self {
        Self { told: Arc::default(), young: YOUNG }
    }

    /// Notes that the service told of it just now, most often because we made it.
    pub(super) fn saw(&self, what: &str) {
        let mut told = self.told();
        if told.len() >= FEW {
            told.retain(|_, at| at.elapsed() < self.young);
        }
        told.insert(what.to_owned(), Instant::now());
    }

    /// How often a request about it is tried anew that is answered with 404: not at all where it is not new.
    pub(super) fn patience(&self, what: &str) -> Patience {
        let is_new = self.told().get(what).is_some_and(|at| at.elapsed() < self.young);
        if is_new { Patience::late() } else { Patience::of(0) }
    }

    /// A path, and all below it, was removed: a 404 is right.
    pub(super) fn forget(&self, path: &str) {
        let start = format!("{path}/");
        self.told().retain(|known, _| known != path && !known.starts_with(&start));
    }

    fn told(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_was_told_of_a_moment_ago_and_not_removed_is_asked_for_again() {
        let fresh = Fresh::new();
        for path in ["p", "p/a", "pq"] {
            fresh.saw(path);
        }
        assert!(fresh.patience("p/a").again().await);
        assert!(!fresh.patience("p/b").again().await, "nobody told of it");
        fresh.forget("p");
        assert!(!fresh.patience("p").again().await && !fresh.patience("p/a").again().await);
        assert!(fresh.clone().patience("pq").again().await);
        let old = Fresh { young: Duration::ZERO, ..fresh };
        assert!(!old.patience("pq").again().await);
    }

    #[test]
    fn what_is_new_no_longer_takes_no_room() {
        let old = Fresh { young: Duration::ZERO, ..Fresh::new() };
        for number in 0..3 * FEW {
            old.saw(&number.to_string());
        }
        assert!(old.told().len() <= FEW);
    }
}

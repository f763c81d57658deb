//! Turns: of those who would do the same thing at once, one does it at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Turns by what they are for; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>>);

impl Turns {
    /// Waits for one's turn, which lasts until what is given back is dropped.
    pub(super) async fn of(&self, what: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody waits for are not kept.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(what.to_owned()).or_default())
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_does_the_same_thing_and_nothing_is_kept_afterwards() {
        let turns = Turns::default();
        let first = turns.of("a").await;
        let second = tokio::spawn({
            let turns = turns.clone();
            async move { turns.of("a").await }
        });
        drop(turns.of("b").await);
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        drop(second.await.unwrap());
        drop(turns.of("c").await);
        assert!(turns.0.lock().unwrap().len() <= 1);
    }
}

//! Who tells a forge something first, of those who share an account there: how a run ended before what begins, and that before
//! what was left for later; of one rank, who came first.
//!
//! How fast an account may tell is for its client; here is only decided whose turn it is, so few have one at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Turns at a time: enough for a slow forge to be kept busy, and few enough for whoever comes with an end to be soon.
const PLACES: usize = 4;

/// What is told: the smaller the sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// How something ended.
    End,
    /// That something begins.
    Beginning,
    /// That something began, which nobody waits for any more.
    Left,
}

/// The line of one account; clones share it.
#[derive(Debug, Clone)]
pub struct Line(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    free: usize,
    /// By rank.
    waiting: [VecDeque<oneshot::Sender<Turn>>; 3],
}

impl Default for Line {
    fn default() -> Self {
        let waiting = [VecDeque::new(), VecDeque::new(), VecDeque::new()];
        Self(Arc::new(Mutex::new(Inner { free: PLACES, waiting })))
    }
}

impl Line {
    /// Waits for one's turn, which lasts until what is given back is dropped.
    pub async fn turn(&self, rank: Rank) -> Turn {
        loop {
            let coming = {
                let mut inner = lock(&self.0);
                if inner.free > 0 {
                    inner.free -= 1;
                    return Turn(Arc::clone(&self.0));
                }
                let (sender, receiver) = oneshot::channel();
                let waiting = &mut inner.waiting[rank as usize];
                // Those who went away are not kept.
                waiting.retain(|sender| !sender.is_closed());
                waiting.push_back(sender);
                receiver
            };
            if let Ok(turn) = coming.await {
                return turn;
            }
        }
    }
}

/// A turn; the next one has it when this is dropped.
#[derive(Debug)]
pub struct Turn(Arc<Mutex<Inner>>);

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut inner = lock(&self.0);
            let mut in_order =
                inner.waiting.iter_mut().flat_map(|waiting| std::iter::from_fn(move || waiting.pop_front()));
            let next = in_order.find(|next| !next.is_closed());
            if next.is_none() {
                inner.free += 1;
            }
            next
        };
        if let Some(next) = next {
            // Who went away just now does not take it: it is dropped, and comes here again.
            drop(next.send(Self(Arc::clone(&self.0))));
        }
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn ends_come_before_beginnings_and_those_before_what_was_left_each_in_its_order() {
        let line = Line::default();
        let mut all = Vec::new();
        for _ in 0..PLACES {
            all.push(line.turn(Rank::Left).await);
        }
        let told = Arc::new(Mutex::new(Vec::new()));
        let mut works = tokio::task::JoinSet::new();
        let ranks = [Rank::Left, Rank::Beginning, Rank::End, Rank::Beginning, Rank::End];
        for (number, rank) in ranks.into_iter().enumerate() {
            let (line, told) = (line.clone(), Arc::clone(&told));
            works.spawn(async move {
                let _turn = line.turn(rank).await;
                told.lock().unwrap().push(number);
            });
            // Until it stands in line.
            tokio::task::yield_now().await;
        }
        // One turn is handed from each to the next.
        drop(all.pop());
        while works.join_next().await.is_some() {}
        assert_eq!(*told.lock().unwrap(), [2, 4, 1, 3, 0]);
    }

    #[tokio::test]
    async fn who_goes_away_takes_no_turn_along() {
        let line = Line::default();
        let mut all = Vec::new();
        for _ in 0..PLACES {
            all.push(line.turn(Rank::End).await);
        }
        let impatient = tokio::time::timeout(Duration::from_millis(10), line.turn(Rank::End)).await;
        assert!(impatient.is_err());
        drop(all);
        let mut again = Vec::new();
        for _ in 0..PLACES {
            again.push(tokio::time::timeout(Duration::from_secs(9), line.turn(Rank::Left)).await.unwrap());
        }
        assert_eq!(again.len(), PLACES);
    }

    #[tokio::test]
    async fn lines_of_two_accounts_do_not_wait_for_each_other() {
        let (one, other) = (Line::default(), Line::default());
        let mut all = Vec::new();
        for _ in 0..PLACES {
            all.push(one.turn(Rank::End).await);
        }
        tokio::time::timeout(Duration::from_secs(9), other.turn(Rank::Left)).await.unwrap();
    }
}

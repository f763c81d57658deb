//! A reading for somebody who means what is there now: whoever asks for a run by hand, a schedule, a handler that names a
//! ref. It is besides those that are due, keeps to the host's budget, and is over within a minute.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::poll::fault::{Class, Fault};
use super::poll::{PollError, Poller, Watch};
use crate::store::database::DatabaseError;

/// How long one reading may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Nobody waits longer for the next try. Nothing may, either: see `database::link`.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Reads what is watched when somebody asks; clones share everything.
#[derive(Clone)]
pub struct Glance {
    poller: Poller,
    watches: watch::Receiver<Vec<Arc<Watch>>>,
}

/// Why a repository was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The server does not know how.
    #[error("its repository is not watched")]
    Unwatched,
    /// It took too long.
    #[error("its host did not answer within a minute")]
    Late,
    /// The reading failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Unread {
    /// Whether the next try would end as this one did.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Fault(fault) if fault.class() == Class::Denied)
    }

    /// How long to wait before the next try, after so many.
    pub fn pause(&self, tries: i64) -> Duration {
        let asked = match self {
            Self::Fault(fault) => fault.pause(),
            _ => None,
        };
        Duration::from_secs(2 << tries.clamp(0, 6)).max(asked.unwrap_or_default()).min(LONGEST_PAUSE)
    }
}

impl From<PollError> for Unread {
    fn from(error: PollError) -> Self {
        match error {
            PollError::Fault(fault) => Self::Fault(fault),
            PollError::Database(error) => Self::Database(error),
        }
    }
}

impl Glance {
    /// One at what is in this list at the time.
    pub fn new(poller: Poller, watches: watch::Receiver<Vec<Arc<Watch>>>) -> Self {
        Self { poller, watches }
    }

    /// Reads a repository now. What changed is written, and told as after any other reading.
    ///
    /// # Errors
    /// When it was not read; what is known of it may be old then.
    pub async fn at(&self, repo: i64) -> Result<(), Unread> {
        let watch = self.watches.borrow().iter().find(|watch| watch.repo == repo).cloned();
        // The file may name it in a moment.
        let watch = watch.ok_or(Unread::Unwatched)?;
        let read = tokio::time::timeout(PATIENCE, self.poller.read_now(&watch)).await;
        read.map_err(|_| Unread::Late)??;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_asks_for_a_pause_gets_it_and_others_are_asked_less_and_less_often() {
        let seconds = |why: Unread, tries| why.pause(tries).as_secs();
        assert_eq!([1, 2, 3, 99].map(|tries| seconds(Unread::Late, tries)), [4, 8, 16, 128]);
        let throttled = |pause| Unread::Fault(Fault::Throttled(Some(Duration::from_secs(pause))));
        assert_eq!([1, 300, 3_600].map(|pause| seconds(throttled(pause), 1)), [4, 300, 600]);
        assert!(Unread::Fault(Fault::Denied(404)).is_final());
        assert!(!Unread::Unwatched.is_final() && !throttled(1).is_final());
    }
}

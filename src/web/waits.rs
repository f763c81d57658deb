//! What requests wait for at present: who waits for minutes because a service asks for that must be able to say so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Why a request waits before it is sent, or sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The service asked for fewer requests.
    Throttled,
    /// The service, or the way to it, failed a moment ago.
    Failed,
}

/// A wait that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Why.
    pub reason: Reason,
    /// Until when.
    pub until: Instant,
}

/// The waits of all requests to one service, and how many have gone out; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Waits {
    going: Arc<Mutex<Vec<Waiting>>>,
    sent: Arc<AtomicU64>,
    undenied: Arc<AtomicU64>,
}

impl Waits {
    /// Waits, and is seen to while it does.
    pub async fn wait(&self, reason: Reason, time: Duration) {
        let waiting = Waiting { reason, until: Instant::now() + time };
        self.with(|waits| waits.push(waiting));
        let _over = Over { waits: self, waiting };
        tokio::time::sleep_until(waiting.until).await;
    }

    /// The one that takes longest; `None` where nobody waits.
    pub fn longest(&self) -> Option<Waiting> {
        self.with(|waits| waits.iter().copied().max_by_key(|waiting| waiting.until))
    }

    /// A request goes out now.
    pub fn goes_out(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests have gone out, heard or not.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// A request that may have changed something was not refused: it was carried out, or nobody knows.
    pub fn is_not_denied(&self) {
        self.undenied.fetch_add(1, Ordering::Relaxed);
    }

    /// How many of these there were.
    pub fn undenied(&self) -> u64 {
        self.undenied.load(Ordering::Relaxed)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Waiting>) -> T) -> T {
        act(&mut self.going.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ends a wait, also one that is given up.
struct Over<'a> {
    waits: &'a Waits,
    waiting: Waiting,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.waits.with(|waits| {
            if let Some(at) = waits.iter().position(|waiting| *waiting == self.waiting) {
                waits.swap_remove(at);
            }
        });
    }
}

/// A time as people say it, rounded up: `45 s`, `20 min`, `2 h 5 min`.
pub fn spoken(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    if seconds < 120 {
        return format!("{seconds} s");
    }
    let minutes = seconds.div_ceil(60);
    match (minutes / 60, minutes % 60) {
        _ if minutes < 120 => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_is_seen_until_it_is_over_or_given_up() {
        let waits = Waits::default();
        assert_eq!(waits.longest(), None);
        let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
        let mut both =
            Box::pin(async { tokio::join!(waits.wait(Reason::Failed, minute), waits.wait(Reason::Throttled, hour)) });
        let seen = tokio::select! {
            _ = &mut both => None,
            () = tokio::time::sleep(Duration::from_millis(50)) => waits.longest(),
        };
        let left = seen.map(|seen| (seen.reason, seen.until.duration_since(Instant::now()) > minute));
        assert_eq!(left, Some((Reason::Throttled, true)), "the longest of all that go on");
        drop(both);
        assert_eq!(waits.longest(), None, "they were given up");
        waits.wait(Reason::Failed, Duration::from_millis(1)).await;
        assert_eq!(waits.longest(), None, "it is over");
    }

    #[test]
    fn times_are_said_as_people_do() {
        let said = |seconds: f64| spoken(Duration::from_secs_f64(seconds));
        assert_eq!([0.0, 44.2, 119.0].map(said), ["0 s", "45 s", "119 s"]);
        assert_eq!([120.0, 1199.5, 7140.0].map(said), ["2 min", "20 min", "119 min"]);
        assert_eq!([7200.0, 7500.0, 86_400.0].map(said), ["2 h", "2 h 5 min", "24 h"]);
    }
}

//! How often something is tried anew where nobody knows what became of the last try, and how long to wait in between.

use std::time::Duration;

const TRIES: u32 = 7;
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(15);
/// For what is not known everywhere yet: a quarter of a minute in all.
const LATE: u32 = 6;

/// Tries that are left.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    left: u32,
    wait: Duration,
}

impl Patience {
    /// For something that fails now and then.
    pub(super) fn new() -> Self {
        Self::of(TRIES)
    }

    /// For what a service told of a moment ago and answers with 404: not all of its servers know it yet.
    pub(super) fn late() -> Self {
        Self::of(LATE)
    }

    /// For `tries` more tries.
    pub(super) fn of(tries: u32) -> Self {
        Self { left: tries, wait: FIRST }
    }

    /// Waits, longer each time; `false` when it has been tried often enough.
    pub(super) async fn again(&mut self) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        tokio::time::sleep(self.wait).await;
        self.wait = (self.wait * 2).min(LONGEST);
        true
    }
}

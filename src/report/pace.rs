//! How much of what a step says of itself is worth a line, where each line stays for ever.

use jiff::{SignedDuration, Timestamp};

/// A step that is over sooner says nothing of itself.
const QUICK: SignedDuration = SignedDuration::from_secs(1);
/// So many lines at once …
const BURST: i64 = 6;
/// … and one more for so many seconds.
const SECONDS_A_LINE: i64 = 2;

/// The lines of one step.
#[derive(Debug, Default)]
pub(super) struct Pace {
    begun: Option<Timestamp>,
    shown: i64,
}

impl Pace {
    /// A step begins.
    pub(super) fn begin(&mut self, now: Timestamp) {
        *self = Self { begun: Some(now), shown: 0 };
    }

    /// Whether a line may be shown now; if so, it counts.
    pub(super) fn allows(&mut self, now: Timestamp) -> bool {
        let elapsed = now.duration_since(*self.begun.get_or_insert(now));
        let allowed = elapsed >= QUICK && self.shown < BURST + elapsed.as_secs() / SECONDS_A_LINE;
        self.shown += i64::from(allowed);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_steps_are_silent_and_talkative_ones_are_slowed_down() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let mut pace = Pace::default();
        pace.begin(at(0));
        assert!((0..900).step_by(100).all(|millis| !pace.allows(at(millis))));
        let shown = (0..1000).filter(|n| pace.allows(at(1000 + n * 10))).count();
        assert_eq!(shown, 6 + 5, "of 1000 lines in ten seconds");
        pace.begin(at(20_000));
        assert!(!pace.allows(at(20_000)) && pace.allows(at(21_000)));
    }
}

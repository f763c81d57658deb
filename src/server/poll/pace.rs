//! When to read which repository: pure, the time comes in as an argument.
//!
//! A repository has its own place in the interval, so that a thousand are never read at once; each waits longer the
//! less happens in it, and much longer when it fails. A host has a bucket of tokens, and is left alone when it asks for
//! that or when nothing that is asked of it succeeds.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::fault::{Class, Fault};

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

/// What is known of a repository that decides how often it is read. Ages are of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Habit {
    /// The interval that the user wants, whatever else.
    pub pinned: Option<Duration>,
    /// How long nothing has changed in it.
    pub quiet: Duration,
    /// How long ago a webhook of it arrived; none when none ever did.
    pub hooked: Option<Duration>,
}

impl Habit {
    /// How long to wait between two readings that succeed.
    pub fn interval(&self) -> Duration {
        match self {
            Self { pinned: Some(pinned), .. } => *pinned,
            Self { quiet, .. } if *quiet > 30 * DAY => 30 * MINUTE,
            // Webhooks tell what happens; reading is the net below them.
            Self { hooked: Some(hooked), .. } if *hooked < DAY => 15 * MINUTE,
            Self { quiet, .. } if *quiet > 7 * DAY => 5 * MINUTE,
            _ => MINUTE,
        }
    }
}

/// How long to wait until a repository is first read: its own place in the interval, the same after every start.
pub fn phase(name: &str, interval: Duration) -> Duration {
    interval.mul_f64(share(name, 0))
}

/// The interval of this time, up to a tenth longer or shorter.
pub fn jittered(name: &str, turn: u64, interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * share(name, turn + 1))
}

/// How long to wait after so many failures in a row.
pub fn rest(fault: &Fault, failures: u32, interval: Duration) -> Duration {
    match fault.class() {
        Class::Denied => interval.max(30 * MINUTE),
        Class::Passing | Class::Throttled => {
            let doubled = Duration::from_secs(30) * (1 << failures.saturating_sub(1).min(5));
            interval.max(doubled.min(15 * MINUTE))
        }
    }
}

/// From 0 to 1, the same for the same words.
#[expect(clippy::cast_precision_loss, reason = "a place in an interval, to the millisecond")]
fn share(name: &str, turn: u64) -> f64 {
    let digest = Sha256::digest([name.as_bytes(), &turn.to_be_bytes()].concat());
    let number = digest.iter().take(4).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    number as f64 / f64::from(u32::MAX)
}

/// One host and credential.
#[derive(Debug, Clone)]
pub struct Host {
    rate: f64,
    tokens: f64,
    filled: Instant,
    /// It asked for a pause: only time ends that, whatever is answered meanwhile.
    throttled_until: Option<Instant>,
    /// Nothing succeeded there: the first success ends that.
    resting_until: Option<Instant>,
    /// Readings that failed since the last that did not, of whatever repository.
    failures: u32,
}

impl Host {
    /// So many passing failures in a row, of any repositories, say that it is the host.
    const PATIENCE: u32 = 10;

    /// With so many requests a second, a second's worth of which may come at once.
    pub fn new(rate: f64, now: Instant) -> Self {
        Self { rate, tokens: rate, filled: now, throttled_until: None, resting_until: None, failures: 0 }
    }

    /// Takes leave to ask now, or says how long to wait.
    ///
    /// # Errors
    /// How long to wait before asking again.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(until) = self.throttled_until.filter(|until| now < *until) {
            return Err(until - now);
        }
        if let Some(until) = self.resting_until {
            if now < until {
                return Err(until - now);
            }
            // One is let through; the others follow when it comes back well.
            self.resting_until = (self.failures >= Self::PATIENCE).then(|| now + MINUTE);
            if self.resting_until.is_some() {
                return Ok(());
            }
        }
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.rate.max(1.0));
        self.filled = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.tokens) / self.rate))
    }

    /// A reading succeeded, or was refused by a host that is well.
    pub fn went_well(&mut self) {
        self.failures = 0;
        self.resting_until = None;
    }

    /// A reading failed.
    pub fn failed(&mut self, fault: &Fault, now: Instant) {
        match fault {
            Fault::Throttled(after) => {
                let pause = after.unwrap_or(MINUTE).clamp(Duration::from_secs(1), Duration::from_hours(1));
                self.throttled_until = self.throttled_until.max(Some(now + pause));
            }
            _ if fault.class() == Class::Denied => self.went_well(),
            _ => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= Self::PATIENCE {
                    let doubled = MINUTE * (1 << (self.failures - Self::PATIENCE).min(4));
                    self.resting_until = Some(now + doubled.min(15 * MINUTE));
                }
            }
        }
    }

    /// Whether it is left alone now.
    pub fn rests(&self, now: Instant) -> bool {
        [self.throttled_until, self.resting_until].into_iter().flatten().any(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_less_happens_the_less_often_it_is_read_unless_the_user_says_so() {
        let habit = |days: u32, hooked: Option<u32>| Habit {
            pinned: None,
            quiet: DAY * days,
            hooked: hooked.map(|hours| DAY / 24 * hours),
        };
        assert_eq!(habit(0, None).interval(), MINUTE);
        assert_eq!(habit(8, None).interval(), 5 * MINUTE);
        assert_eq!(habit(0, Some(2)).interval(), 15 * MINUTE);
        assert_eq!(habit(0, Some(30)).interval(), MINUTE);
        assert_eq!(habit(40, Some(30)).interval(), 30 * MINUTE);
        assert_eq!(Habit { pinned: Some(SECOND), ..habit(40, None) }.interval(), SECOND);
    }

    #[test]
    fn a_thousand_repositories_are_spread_over_the_interval_the_same_way_after_each_start() {
        let mut seconds = [0_u32; 60];
        for number in 0..1_000 {
            let name = format!("acme/repo-{number}");
            let at = phase(&name, MINUTE);
            assert_eq!(at, phase(&name, MINUTE));
            seconds[usize::try_from(at.as_secs()).unwrap().min(59)] += 1;
            let jittered = jittered(&name, number, MINUTE);
            assert!((54 * SECOND..=66 * SECOND).contains(&jittered), "{jittered:?}");
        }
        assert!(seconds.iter().all(|&count| (3..=40).contains(&count)), "{seconds:?}");
    }

    #[test]
    fn failures_wait_longer_each_time_and_longer_than_successes() {
        let network = Fault::Network(String::new());
        let waits: Vec<u64> = (1..=8).map(|failures| rest(&network, failures, SECOND).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(rest(&network, 1, 10 * MINUTE), 10 * MINUTE);
        assert_eq!(rest(&Fault::Denied(404), 1, SECOND), 30 * MINUTE);
    }

    #[test]
    fn a_bucket_gives_its_rate_and_no_more() {
        let start = Instant::now();
        let mut host = Host::new(20.0, start);
        let mut taken = 0;
        for millis in 0..10_000_u64 {
            taken += u32::from(host.take(start + Duration::from_millis(millis)).is_ok());
        }
        assert!((218..=222).contains(&taken), "{taken} in ten seconds, twenty of them at once");
        let wait = host.take(start + Duration::from_millis(9_999)).unwrap_err();
        assert!(wait <= Duration::from_millis(51), "{wait:?}");
    }

    #[test]
    fn a_host_that_asks_for_a_pause_gets_it() {
        let start = Instant::now();
        let mut host = Host::new(20.0, start);
        host.failed(&Fault::Throttled(Some(7 * SECOND)), start);
        assert_eq!(host.take(start + SECOND), Err(6 * SECOND));
        assert!(host.rests(start + SECOND));
        assert_eq!(host.take(start + 7 * SECOND), Ok(()));
        host.failed(&Fault::Throttled(None), start);
        assert_eq!(host.take(start), Err(MINUTE));
    }

    #[test]
    fn what_was_under_way_when_a_host_asked_for_a_pause_does_not_end_it() {
        let start = Instant::now();
        let mut host = Host::new(20.0, start);
        host.failed(&Fault::Throttled(Some(MINUTE)), start);
        // Answers to what was asked before: one went well, one was refused, one asks for less.
        host.went_well();
        host.failed(&Fault::Denied(404), start + SECOND);
        host.failed(&Fault::Throttled(Some(SECOND)), start + SECOND);
        assert_eq!(host.take(start + 2 * SECOND), Err(58 * SECOND));
        assert!(host.rests(start + 2 * SECOND));
        assert_eq!(host.take(start + MINUTE), Ok(()));
        assert!(!host.rests(start + MINUTE));
    }

    #[test]
    fn a_host_where_nothing_succeeds_is_tried_by_one_at_a_time() {
        let start = Instant::now();
        let mut host = Host::new(20.0, start);
        let gone = Fault::Network("refused".to_owned());
        for _ in 0..9 {
            host.failed(&gone, start);
        }
        host.failed(&Fault::Denied(404), start);
        assert!(!host.rests(start), "a host that refuses is well");
        for _ in 0..10 {
            host.failed(&gone, start);
        }
        assert_eq!(host.take(start), Err(MINUTE));
        assert_eq!(host.take(start + MINUTE), Ok(()));
        assert!(host.take(start + MINUTE).is_err(), "only one goes ahead");
        host.failed(&gone, start + MINUTE);
        assert_eq!(host.take(start + MINUTE), Err(2 * MINUTE));
        host.went_well();
        assert_eq!(host.take(start + MINUTE), Ok(()));
    }
}

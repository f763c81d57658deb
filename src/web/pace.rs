//! How fast an account may be asked: a bucket of tokens that fills slower after "too many requests" and faster again
//! while all goes well. One bucket an account: shared by everything in this process, and, where a folder for that is
//! named, by all processes of the user. That is best effort: a file that cannot be used is done without.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::answer::LONGEST_WAIT;
use super::shared::{locked, open, read, write};
use super::waits::{Reason, Waits};

/// The bounds of a pace, in requests a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// To begin with.
    pub start: f64,
    /// Never slower, however often we are told to wait.
    pub least: f64,
    /// Never faster.
    pub most: f64,
    /// Requests that may go out at once after a pause.
    pub burst: f64,
}

impl Pace {
    /// Always the same, with bursts of that many.
    pub const fn steady(rate: f64, burst: f64) -> Self {
        Self { start: rate, least: rate / 20.0, most: rate, burst }
    }
}

/// The bucket of one account.
#[derive(Debug)]
pub struct Pacer {
    pace: Pace,
    begun: Instant,
    state: Mutex<State>,
    /// What other processes see of it.
    file: Option<File>,
    /// Answers that went well and are not in the file yet.
    well: AtomicU32,
}

/// The bucket, in seconds of some clock.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct State {
    rate: f64,
    /// May be negative: requests that are waiting.
    tokens: f64,
    filled: f64,
    /// Nobody goes before this.
    closed_until: f64,
    slowed: f64,
}

/// What was written so much later than it is now is of another clock, in seconds.
const LATER: f64 = 60.0;
/// Several answers of one burst count once.
const BURST: f64 = 1.0;

static SHARED: LazyLock<Mutex<HashMap<String, Weak<Pacer>>>> = LazyLock::new(Mutex::default);

impl State {
    fn new(pace: &Pace, now: f64) -> Self {
        Self { rate: pace.start, tokens: pace.burst, filled: now, closed_until: f64::MIN, slowed: f64::MIN }
    }

    /// What another process wrote, if it makes sense: clocks are set back, and files are cut short.
    fn sound(self, pace: &Pace, now: f64) -> Option<Self> {
        let all = [self.rate, self.tokens, self.filled, self.closed_until, self.slowed];
        if !all.iter().all(|number| number.is_finite()) || self.filled > now + LATER {
            return None;
        }
        // Nobody is told to wait longer.
        let longest = now + LONGEST_WAIT.as_secs_f64() + LATER;
        let closed_until = if self.closed_until > longest { f64::MIN } else { self.closed_until };
        Some(Self { rate: self.rate.clamp(pace.least, pace.most), closed_until, ..self })
    }

    fn reserve(&mut self, pace: &Pace, now: f64, patience: f64) -> Wait {
        if self.closed_until > now {
            let closed = self.closed_until - now;
            return if closed > patience { Wait::TooLong(closed) } else { Wait::Again(closed) };
        }
        let filled = self.tokens + (now - self.filled).max(0.0) * self.rate;
        let tokens = filled.min(pace.burst) - 1.0;
        let wait = -tokens / self.rate;
        if wait > patience {
            return Wait::TooLong(wait);
        }
        (self.tokens, self.filled) = (tokens, now);
        if tokens >= 0.0 { Wait::Go } else { Wait::For(wait) }
    }

    fn throttled(&mut self, pace: &Pace, now: f64, after: Option<Duration>) {
        if let Some(after) = after {
            self.closed_until = self.closed_until.max(now + after.min(LONGEST_WAIT).as_secs_f64());
        }
        if now - self.slowed > BURST {
            self.rate = (self.rate / 2.0).max(pace.least);
            self.tokens = self.tokens.min(0.0);
            self.slowed = now;
        }
    }

    fn went_well(&mut self, pace: &Pace, times: u32) {
        self.rate = (self.rate + pace.most / 100.0 * f64::from(times)).min(pace.most);
    }
}

impl Pacer {
    /// A bucket of one's own.
    pub fn new(pace: Pace) -> Self {
        let state = Mutex::new(State::new(&pace, 0.0));
        Self { pace, begun: Instant::now(), state, file: None, well: AtomicU32::new(0) }
    }

    /// A bucket that others use too, in that file.
    pub(super) fn filed(pace: Pace, file: File) -> Self {
        let state = Mutex::new(State::new(&pace, wall()));
        Self { state, file: Some(file), ..Self::new(pace) }
    }

    /// The bucket of an account; `name` tells accounts apart and holds no credentials.
    pub fn shared(name: &str, pace: Pace) -> Arc<Self> {
        Self::shared_in(None, name, pace)
    }

    /// As [`Self::shared`], and by all processes that name the same folder, which is the user's own.
    pub fn shared_in(folder: Option<&Path>, name: &str, pace: Pace) -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, pacer| pacer.strong_count() > 0);
        if let Some(pacer) = shared.get(name).and_then(Weak::upgrade) {
            return pacer;
        }
        let file = folder.and_then(|folder| open(folder, name).ok());
        let pacer = Arc::new(file.map_or_else(|| Self::new(pace), |file| Self::filed(pace, file)));
        shared.insert(name.to_owned(), Arc::downgrade(&pacer));
        pacer
    }

    /// Waits for a turn; `waits` has it while the service wants nobody to ask. An error is how long it would take, where
    /// that is later than `by`: then nobody waited, and the turn is somebody else's.
    pub(super) async fn turn(&self, by: Instant, waits: &Waits) -> Result<(), Duration> {
        loop {
            let patience = by.saturating_duration_since(Instant::now()).as_secs_f64();
            match self.change(|state, pace, now| state.reserve(pace, now, patience)) {
                Wait::Go => return Ok(()),
                Wait::For(wait) => {
                    tokio::time::sleep(Duration::from_secs_f64(wait)).await;
                    return Ok(());
                }
                Wait::Again(wait) => waits.wait(Reason::Throttled, Duration::from_secs_f64(wait)).await,
                Wait::TooLong(wait) => return Err(Duration::from_secs_f64(wait)),
            }
        }
    }

    /// Changes the bucket as it is now, in the file too where there is one.
    fn change<T>(&self, change: impl FnOnce(&mut State, &Pace, f64) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = &self.file else { return change(&mut state, &self.pace, self.begun.elapsed().as_secs_f64()) };
        let held = locked(file);
        let now = wall();
        if held.is_some()
            && let Some(theirs) = read::<State>(file).and_then(|theirs| theirs.sound(&self.pace, now))
        {
            *state = theirs;
        }
        state.went_well(&self.pace, self.well.swap(0, Ordering::Relaxed));
        let changed = change(&mut state, &self.pace, now);
        if held.is_some() {
            write(file, &*state);
        }
        changed
    }

    /// The service asked for fewer requests, or for none for a while. Several answers of one burst count once.
    pub fn throttled(&self, after: Option<Duration>) {
        self.change(|state, pace, now| state.throttled(pace, now, after));
    }

    /// A request went well: a little faster.
    pub fn went_well(&self) {
        if self.file.is_some() {
            self.well.fetch_add(1, Ordering::Relaxed);
        } else {
            self.change(|state, pace, _| state.went_well(pace, 1));
        }
    }

    /// Requests a second at present.
    pub fn rate(&self) -> f64 {
        self.change(|state, _, _| state.rate)
    }
}

/// Seconds since 1970, by the clock that all processes of this machine have.
fn wall() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

enum Wait {
    Go,
    /// A token is reserved; it is ours after so many seconds.
    For(f64),
    /// Closed for so many seconds: ask again.
    Again(f64),
    /// It would take so many seconds, and nobody waits so long.
    TooLong(f64),
}

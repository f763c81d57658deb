//! How fast an account may be asked: a bucket of tokens that fills slower after "too many requests" and faster again
//! while all goes well. One bucket an account, shared by everything in this process.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

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
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rate: f64,
    /// May be negative: requests that are waiting.
    tokens: f64,
    filled: Instant,
    /// Nobody goes before this.
    closed_until: Option<Instant>,
    slowed: Option<Instant>,
}

static SHARED: LazyLock<Mutex<HashMap<String, Weak<Pacer>>>> = LazyLock::new(Mutex::default);

impl Pacer {
    /// A bucket of one's own.
    pub fn new(pace: Pace) -> Self {
        let state =
            State { rate: pace.start, tokens: pace.burst, filled: Instant::now(), closed_until: None, slowed: None };
        Self { pace, state: Mutex::new(state) }
    }

    /// The bucket of an account; `name` tells accounts apart and holds no credentials.
    pub fn shared(name: &str, pace: Pace) -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|_, pacer| pacer.strong_count() > 0);
        if let Some(pacer) = shared.get(name).and_then(Weak::upgrade) {
            return pacer;
        }
        let pacer = Arc::new(Self::new(pace));
        shared.insert(name.to_owned(), Arc::downgrade(&pacer));
        pacer
    }

    /// Waits for a turn.
    pub async fn turn(&self) {
        loop {
            let wait = self.reserve(Instant::now());
            match wait {
                Wait::Go => return,
                Wait::Until(then) => return tokio::time::sleep_until(then).await,
                Wait::Again(then) => tokio::time::sleep_until(then).await,
            }
        }
    }

    fn reserve(&self, now: Instant) -> Wait {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = state.closed_until.filter(|until| *until > now) {
            return Wait::Again(until);
        }
        let filled = state.tokens + now.duration_since(state.filled).as_secs_f64() * state.rate;
        state.tokens = filled.min(self.pace.burst) - 1.0;
        state.filled = now;
        if state.tokens >= 0.0 {
            return Wait::Go;
        }
        Wait::Until(now + Duration::from_secs_f64(-state.tokens / state.rate))
    }

    /// The service asked for fewer requests, or for none for a while. Several answers of one burst count once.
    pub fn throttled(&self, after: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(after) = after {
            let until = now + after;
            state.closed_until = Some(state.closed_until.map_or(until, |closed| closed.max(until)));
        }
        if state.slowed.is_none_or(|at| now.duration_since(at) > Duration::from_secs(1)) {
            state.rate = (state.rate / 2.0).max(self.pace.least);
            state.tokens = state.tokens.min(0.0);
            state.slowed = Some(now);
        }
    }

    /// A request went well: a little faster.
    pub fn went_well(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rate = (state.rate + self.pace.most / 100.0).min(self.pace.most);
    }

    /// Requests a second at present.
    pub fn rate(&self) -> f64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).rate
    }
}

enum Wait {
    Go,
    /// A token is reserved; it is ours then.
    Until(Instant),
    /// Closed: ask again.
    Again(Instant),
}

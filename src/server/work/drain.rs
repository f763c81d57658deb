//! The end of a worker: it lets its runs end for a while, then has the rest stopped and handed back, and says meanwhile
//! what it waits for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::run::figures::count;

/// How often it is said what is waited for.
pub(super) const EVERY: Duration = Duration::from_secs(30);

/// The runs that a worker has, as they are called; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct UnderWay(Arc<Mutex<BTreeMap<i64, String>>>);

impl UnderWay {
    /// One more, until what comes back is dropped.
    pub(super) fn begin(&self, run: i64, called: String) -> Begun {
        self.lock().insert(run, called);
        Begun(self.clone(), run)
    }

    /// `2 runs: run 12 of churn, run 14 of report`; none where there are none.
    fn words(&self) -> Option<String> {
        let runs = self.lock();
        let called: Vec<&str> = runs.values().map(String::as_str).collect();
        (!called.is_empty()).then(|| format!("{}: {}", count(called.len() as u64, "run"), called.join(", ")))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that is under way until this is dropped.
pub(super) struct Begun(UnderWay, i64);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

/// How a worker ends.
pub(super) struct Drain {
    /// How long its runs may go on.
    pub(super) patience: Duration,
    /// How often it is said what is waited for.
    pub(super) every: Duration,
    /// Is cancelled when nobody wants to wait.
    pub(super) hurry: CancellationToken,
    /// Is cancelled here when the runs shall stop and be handed back.
    pub(super) drained: CancellationToken,
}

impl Drain {
    /// Waits for the tasks that work on runs, until all of them have ended.
    pub(super) async fn wait(self, mut works: JoinSet<()>, under_way: &UnderWay) {
        let Self { patience, every, hurry, drained } = self;
        let by = Instant::now() + patience;
        match under_way.words() {
            None => tracing::info!("told to stop: no run is under way"),
            Some(runs) => tracing::info!("told to stop: waits until {} for {runs}; {HURRY}", clock(patience)),
        }
        let mut tick = interval_at(Instant::now() + every, every);
        loop {
            tokio::select! {
                biased;
                ended = works.join_next() => if ended.is_none() { break },
                () = hurry.cancelled(), if !drained.is_cancelled() => stop(&drained, under_way, "told again to stop"),
                () = sleep_until(by), if !drained.is_cancelled() => stop(&drained, under_way, "their time is over"),
                _ = tick.tick() => still(under_way, drained.is_cancelled()),
            }
        }
        tracing::info!("no run is under way any more");
    }
}

const HURRY: &str = "a second signal stops them now, and the next start begins them anew";

fn stop(drained: &CancellationToken, under_way: &UnderWay, why: &str) {
    drained.cancel();
    if let Some(runs) = under_way.words() {
        tracing::info!("{why}: stops {runs}; the queue has them again for the next start");
    }
}

fn still(under_way: &UnderWay, stopped: bool) {
    if let Some(runs) = under_way.words() {
        let what = if stopped { "still waits for what was stopped" } else { "still waits" };
        tracing::info!("{what}: {runs}");
    }
}

/// The time of day in a while, by this machine's clock.
fn clock(patience: Duration) -> String {
    let now = Timestamp::now();
    now.checked_add(patience).unwrap_or(now).strftime("%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (UnderWay, Begun, Begun) {
        let under_way = UnderWay::default();
        let first = under_way.begin(12, "run 12 of churn (main 4f1c2d9a0b)".to_owned());
        let second = under_way.begin(14, "run 14 of report".to_owned());
        (under_way, first, second)
    }

    /// Ends as a worker with a run that ends only when it is told to: how long that took, and whether it was told.
    async fn ended(patience: Duration, hurry: CancellationToken) -> (Duration, bool) {
        let (under_way, drained) = (UnderWay::default(), CancellationToken::new());
        let (mut works, told) = (JoinSet::new(), drained.clone());
        let begun = under_way.begin(12, "run 12 of churn".to_owned());
        works.spawn(async move {
            told.cancelled().await;
            drop(begun);
        });
        let started = Instant::now();
        let drain = Drain { patience, every: Duration::from_millis(10), hurry, drained: drained.clone() };
        drain.wait(works, &under_way).await;
        assert_eq!(under_way.words(), None);
        (started.elapsed(), drained.is_cancelled())
    }

    #[test]
    fn what_is_under_way_is_named_until_it_has_ended() {
        let (under_way, first, second) = two();
        let both = "2 runs: run 12 of churn (main 4f1c2d9a0b), run 14 of report";
        assert_eq!(under_way.words().as_deref(), Some(both));
        drop(first);
        assert_eq!(under_way.words().as_deref(), Some("1 run: run 14 of report"));
        drop(second);
        assert_eq!(under_way.words(), None);
    }

    #[tokio::test]
    async fn runs_are_stopped_when_their_time_is_over_or_somebody_asks_a_second_time_and_not_before() {
        let patience = Duration::from_millis(300);
        let (took, back) = ended(patience, CancellationToken::new()).await;
        assert!(back && took >= patience, "{took:?}");
        let hurry = CancellationToken::new();
        hurry.cancel();
        let (took, back) = ended(Duration::from_mins(10), hurry).await;
        assert!(back && took < Duration::from_mins(1), "{took:?}");
        let drained = CancellationToken::new();
        let (works, hurry, patience) = (JoinSet::new(), CancellationToken::new(), Duration::from_mins(10));
        let drain = Drain { patience, every: EVERY, hurry, drained: drained.clone() };
        drain.wait(works, &UnderWay::default()).await;
        assert!(!drained.is_cancelled(), "nothing was under way");
    }
}

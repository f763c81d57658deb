//! The parts of a server that work for as long as it does: one that ends by a fault of its own is begun anew, later each
//! time, and counts as down meanwhile.
//!
//! Never for what ends by itself: that is not begun again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long a part rests after a fault, and when it is well again.
#[derive(Debug, Clone, Copy)]
struct Rest {
    /// After the first fault; each further one doubles it.
    first: Duration,
    longest: Duration,
    /// One that has worked for so long is well.
    steady: Duration,
}

const USUAL: Rest =
    Rest { first: Duration::from_secs(1), longest: Duration::from_mins(1), steady: Duration::from_secs(30) };

/// Which parts are down; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts(Arc<Mutex<BTreeMap<&'static str, usize>>>);

impl Parts {
    /// Names of those that are down.
    pub(super) fn down(&self) -> Vec<&'static str> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works as `begin` says until that ends or `stop` is told; after a fault it is begun anew.
    pub(super) async fn keep<F>(
        self,
        name: &'static str,
        stop: CancellationToken,
        begin: impl Fn(CancellationToken) -> F + Send,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        self.keep_with(USUAL, name, stop, begin).await;
    }

    async fn keep_with<F>(
        self,
        rest: Rest,
        name: &'static str,
        stop: CancellationToken,
        begin: impl Fn(CancellationToken) -> F + Send,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (mut faults, mut down) = (0_u32, None);
        loop {
            let mut work = AbortOnDropHandle::new(tokio::spawn(begin(stop.clone())));
            let ended = if let Ok(ended) = tokio::time::timeout(rest.steady, &mut work).await {
                ended
            } else {
                (faults, down) = (0, None);
                work.await
            };
            let Err(error) = ended else { return };
            if error.is_cancelled() {
                return;
            }
            tracing::error!(part = name, %error, "a part of the server ended by a fault of its own, and is begun anew");
            down.get_or_insert_with(|| Down::of(&self, name));
            let wait = rest.first.saturating_mul(1 << faults.min(8)).min(rest.longest);
            faults = faults.saturating_add(1);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }
}

/// One that is down, until this is dropped.
struct Down(Parts, &'static str);

impl Down {
    fn of(parts: &Parts, name: &'static str) -> Self {
        *parts.lock().entry(name).or_default() += 1;
        Self(parts.clone(), name)
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        let mut down = self.0.lock();
        match down.get_mut(self.1) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(down.remove(self.1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const SHORT: Rest = Rest {
        first: Duration::from_millis(10),
        longest: Duration::from_millis(20),
        steady: Duration::from_millis(500),
    };

    async fn until(holds: impl Fn() -> bool) {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_part_that_panics_is_begun_anew_and_is_down_until_it_is_steady() {
        let (parts, stop, begun) = (Parts::default(), CancellationToken::new(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&begun);
        let kept = tokio::spawn(parts.clone().keep_with(SHORT, "poller", stop.clone(), move |stop| {
            let turn = counted.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(turn >= 3, "a fault that the test wants");
                stop.cancelled().await;
            }
        }));
        until(|| begun.load(Ordering::SeqCst) == 4).await;
        assert_eq!(parts.down(), ["poller"], "it has hardly begun");
        until(|| parts.down().is_empty()).await;
        assert!(!kept.is_finished());
        stop.cancel();
        kept.await.unwrap();
        assert_eq!(begun.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn what_ends_by_itself_is_not_begun_again_and_nothing_is_after_the_stop() {
        let (parts, stop) = (Parts::default(), CancellationToken::new());
        parts.clone().keep("comments", stop.clone(), |_| async {}).await;
        let kept = tokio::spawn(parts.clone().keep("comments", stop.clone(), |_| async { panic!("as wanted") }));
        until(|| !parts.down().is_empty()).await;
        stop.cancel();
        kept.await.unwrap();
        assert!(parts.down().is_empty());
    }
}

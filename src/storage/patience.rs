//! Long work on a storage, as people see it: what it waits for is told, and who wants to stop it does not wait with it.

use std::pin::pin;
use std::time::Duration;

use tokio::time::Instant;

use super::{Progress, Storage, StorageError};
use crate::web::{Reason, Waiting, spoken};

/// How often is looked.
const TICK: Duration = Duration::from_millis(100);
/// A wait of which less is left is nobody's business.
const WORTH_TELLING: Duration = Duration::from_secs(3);
/// Nor is one that has just begun: reporters are silent about what a step says in its first second.
const SOON: Duration = Duration::from_millis(1500);
/// Waits are told no oftener than this.
const AGAIN: Duration = Duration::from_secs(10);
/// Who was asked to stop may take so long for what nothing depends on.
const LEAVING: Duration = Duration::from_secs(3);

/// Does `work`, and tells meanwhile what the storage waits for.
pub async fn told<T>(storage: &dyn Storage, progress: &dyn Progress, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let mut teller = Teller::default();
    loop {
        if let Ok(done) = tokio::time::timeout(TICK, &mut work).await {
            return done;
        }
        teller.look(storage, progress);
    }
}

/// As [`told`], unless somebody wants to stop first. What is under way is dropped then, at a point where it waits.
///
/// # Errors
/// [`StorageError::Cancelled`], and those of the work.
pub async fn followed<T, E: From<StorageError>>(
    storage: &dyn Storage,
    progress: &dyn Progress,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let stopped = || progress.cancelled();
    match unless(&stopped, told(storage, progress, work)).await {
        Some(done) => done,
        None => Err(StorageError::Cancelled.into()),
    }
}

/// Does `work` unless `stopped` says so first; `None` then, and what is under way is dropped at a point where it waits.
pub async fn unless<T>(stopped: &(dyn Fn() -> bool + Sync), work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    loop {
        if stopped() {
            return None;
        }
        if let Ok(done) = tokio::time::timeout(TICK, &mut work).await {
            return Some(done);
        }
    }
}

/// Does what should be done to its end, also by who was asked to stop, but not once the service lets nothing through:
/// `None` then.
pub(super) async fn while_it_goes<T>(
    waiting: &(dyn Fn() -> Option<Waiting> + Sync),
    progress: &dyn Progress,
    work: impl Future<Output = T>,
) -> Option<T> {
    let held = || progress.cancelled() && waiting().is_some_and(|waiting| left(waiting) >= WORTH_TELLING);
    unless(&held, work).await
}

/// Does what nothing depends on; who was asked to stop gives it up where that takes long.
pub(super) async fn in_passing(progress: &dyn Progress, work: impl Future<Output = ()>) {
    let leaving = async {
        while !progress.cancelled() {
            tokio::time::sleep(TICK).await;
        }
        tokio::time::sleep(LEAVING).await;
    };
    tokio::select! {
        biased;
        () = work => {}
        () = leaving => tracing::info!("not all was tidied up: the service does not answer"),
    }
}

fn left(waiting: Waiting) -> Duration {
    waiting.until.saturating_duration_since(Instant::now())
}

/// What is told, and when.
#[derive(Default)]
struct Teller {
    /// Since when it waits.
    since: Option<Instant>,
    /// When that was told last.
    told: Option<Instant>,
    /// When it was looked last.
    looked: Option<Instant>,
}

impl Teller {
    fn look(&mut self, storage: &dyn Storage, progress: &dyn Progress) {
        self.see(storage.waiting(), progress, || storage.place());
    }

    fn see(&mut self, waiting: Option<Waiting>, progress: &dyn Progress, place: impl Fn() -> String) {
        let now = Instant::now();
        let passed = now.duration_since(self.looked.replace(now).unwrap_or(now));
        // Where one request failed, others go on.
        if waiting.is_some_and(|waiting| waiting.reason == Reason::Throttled) && self.since.is_some() {
            progress.waited(passed);
        }
        if let Some(waiting) = waiting.filter(|waiting| self.is_due(now, left(*waiting))) {
            progress.held(&sentence(&place(), waiting.reason, left(waiting)));
        }
        if waiting.is_none() {
            self.since = None;
        }
    }

    /// Whether a wait of which so much is left is to be told now.
    fn is_due(&mut self, now: Instant, left: Duration) -> bool {
        let begun = *self.since.get_or_insert(now);
        let is_new = self.told.is_none_or(|told| now.duration_since(told) >= AGAIN);
        let due = is_new && left >= WORTH_TELLING && now.duration_since(begun) >= SOON;
        if due {
            self.told = Some(now);
        }
        due
    }
}

fn sentence(place: &str, reason: Reason, left: Duration) -> String {
    // The top of an account is written `box:`.
    let place = place.trim_end_matches(':');
    match reason {
        Reason::Throttled => format!("{place} asks for fewer requests: waiting {}", spoken(left)),
        Reason::Failed => format!("{place} does not answer as it should: once more in {}", spoken(left)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::storage::remote::Remote;
    use crate::storage::stores::ObjectStore;

    /// Takes down what is told; stops once that was something, where it was told to.
    #[derive(Default)]
    struct Person {
        heard: Mutex<Vec<String>>,
        waited: Mutex<Duration>,
        stops: AtomicBool,
    }

    impl Progress for Person {
        fn held(&self, sentence: &str) {
            self.heard.lock().unwrap().push(sentence.to_owned());
        }

        fn waited(&self, time: Duration) {
            *self.waited.lock().unwrap() += time;
        }

        fn cancelled(&self) -> bool {
            self.stops.load(Ordering::Relaxed)
        }
    }

    fn waiting(seconds: u64) -> Waiting {
        Waiting { reason: Reason::Throttled, until: Instant::now() + Duration::from_secs(seconds) }
    }

    #[tokio::test]
    async fn a_wait_is_told_soon_and_then_now_and_then() {
        let (mut teller, begun) = (Teller::default(), Instant::now());
        let mut due = |millis, left| teller.is_due(begun + Duration::from_millis(millis), Duration::from_secs(left));
        assert!(!due(0, 45), "it has just begun");
        assert!(due(1_600, 43));
        assert!(!due(2_000, 43), "that was told");
        assert!(due(11_700, 33));
        assert!(!due(42_500, 2), "it is over before anybody has read it");
    }

    #[tokio::test]
    async fn the_time_of_a_pause_is_told_and_not_that_of_one_request_that_failed() {
        let (person, place) = (Person::default(), || "box:".to_owned());
        let mut teller = Teller::default();
        let (paused, pause) = (Some(waiting(60)), Duration::from_millis(20));
        let failed = Some(Waiting { reason: Reason::Failed, ..waiting(60) });
        let told = || std::mem::take(&mut *person.waited.lock().unwrap());
        // A pause counts from the second look on: nobody knows when before the first it began.
        let looks = [(None, false), (paused, false), (paused, true), (paused, true), (None, false)];
        for (waiting, is_told) in looks.into_iter().chain([(failed, false), (failed, false)]) {
            tokio::time::sleep(pause).await;
            teller.see(waiting, &person, place);
            assert_eq!(told() >= pause, is_told, "{waiting:?}");
        }
    }

    #[test]
    fn a_wait_is_told_in_words() {
        let told = sentence("dropbox:", Reason::Throttled, Duration::from_mins(20));
        assert_eq!(told, "dropbox asks for fewer requests: waiting 20 min");
        let told = sentence("box:reports", Reason::Failed, Duration::from_secs(12));
        assert_eq!(told, "box:reports does not answer as it should: once more in 12 s");
    }

    #[tokio::test]
    async fn who_stops_does_not_wait_for_what_hangs() {
        let person = Person::default();
        let stopped = || person.cancelled();
        assert_eq!(unless(&stopped, async { 7 }).await, Some(7));
        let asking = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            person.stops.store(true, Ordering::Relaxed);
        };
        let begun = Instant::now();
        let (given_up, ()) = tokio::join!(unless(&stopped, std::future::pending::<()>()), asking);
        assert_eq!((given_up, begun.elapsed() < Duration::from_secs(5)), (None, true));
        assert_eq!(unless(&stopped, async { 7 }).await, None, "it does not even begin");
    }

    #[tokio::test]
    async fn what_should_be_done_is_done_by_who_was_stopped_too_unless_it_is_held_up() {
        let person = Person { stops: AtomicBool::new(true), ..Person::default() };
        assert_eq!(while_it_goes(&|| Some(waiting(1)), &person, async { 7 }).await, Some(7));
        assert_eq!(while_it_goes(&|| Some(waiting(60)), &person, std::future::pending::<()>()).await, None);
        let begun = Instant::now();
        in_passing(&person, std::future::pending()).await;
        assert!(begun.elapsed() >= LEAVING);
        in_passing(&Person::default(), async {}).await;
    }

    #[tokio::test]
    async fn what_a_storage_waits_for_is_told_while_something_is_done_there() {
        let person = Person::default();
        let remote = Remote::new(Arc::new(ObjectStore::memory().unwrap()), None);
        let work = async {
            tokio::time::sleep(TICK * 3).await;
            Ok::<u8, StorageError>(7)
        };
        assert_eq!(followed(&remote, &person, work).await.unwrap(), 7);
        assert!(person.heard.lock().unwrap().is_empty(), "this one never waits");
        person.stops.store(true, Ordering::Relaxed);
        let stopped: Result<u8, StorageError> = followed(&remote, &person, std::future::pending()).await;
        assert!(matches!(stopped, Err(StorageError::Cancelled)));
    }
}

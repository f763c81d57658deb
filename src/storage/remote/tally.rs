//! How far a publish is, told while bytes go out, and whether anybody still wants it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::storage::{Done, Progress, StorageError};

/// How often the wish to stop is looked for while nothing else happens.
const TICK: Duration = Duration::from_millis(100);

/// Counts what is done.
pub(super) struct Tally {
    progress: Arc<dyn Progress>,
    total: Done,
    files: AtomicU64,
    /// Files of which nothing is to be sent any more.
    whole: AtomicU64,
    /// Bytes of files that are on their way may be taken back.
    bytes: AtomicU64,
    telling: Mutex<()>,
}

impl Tally {
    pub(super) fn new(progress: &Arc<dyn Progress>, files: u64, bytes: u64) -> Self {
        let total = Done { files_total: files, bytes_total: bytes, ..Done::default() };
        let (files, whole, bytes) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { progress: Arc::clone(progress), total, files, whole, bytes, telling: Mutex::default() }
    }

    pub(super) fn file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.tell();
    }

    /// Nothing of a file is to be sent any more, whether it can be seen or not.
    pub(super) fn whole(&self) {
        self.whole.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.tell();
    }

    pub(super) fn unsent(&self, bytes: u64) {
        let less = |now: u64| Some(now.saturating_sub(bytes));
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn tell(&self) {
        let _one = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.bytes.load(Ordering::Relaxed).min(self.total.bytes_total);
        let (files, files_sent) = (self.files.load(Ordering::Relaxed), self.whole.load(Ordering::Relaxed));
        self.progress.at(Done { files, files_sent, bytes, ..self.total });
    }

    /// Does `work` unless somebody wants to stop first. What is under way is dropped then, at a point where it waits.
    pub(super) async fn unless_cancelled<T>(
        &self,
        work: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        unless_cancelled(&*self.progress, work).await
    }
}

/// As [`Tally::unless_cancelled`].
pub(super) async fn unless_cancelled<T>(
    progress: &dyn Progress,
    work: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    let mut work = std::pin::pin!(work);
    loop {
        if progress.cancelled() {
            return Err(StorageError::Cancelled);
        }
        if let Ok(done) = tokio::time::timeout(TICK, &mut work).await {
            return done;
        }
    }
}

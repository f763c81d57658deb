//! Half-sent files of one folder, remembered in a file of the user's own, so that a run that was killed is gone on with.
//!
//! A session's name may be a credential: the file is readable by its owner alone and removed when the folder is
//! published. One process at a time uses it; any other goes without. What is remembered is a hint: the service's checksum
//! of the whole file decides whether what was gone on with is right.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::tally::Tally;
use crate::storage::backend::Sessions;

/// What the folder itself is remembered under; no key of a file is like it.
const FOLDER: &str = "/";
/// Services keep sessions for about a week.
const OLDEST: std::time::Duration = std::time::Duration::from_hours(7 * 24);

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
struct Half {
    session: String,
    size: u64,
}

/// The half-sent files of one folder.
pub(super) struct Journal {
    halves: Mutex<BTreeMap<String, Half>>,
    /// The file, and the lock that is held as long as this lives.
    kept: Option<(PathBuf, File)>,
}

impl Journal {
    /// Opens what an earlier process left of the same folder in the same place.
    pub(super) fn open(journals: Option<&Path>, place: &str, folder: &str) -> Self {
        let kept = journals.and_then(|journals| Self::take(journals, place, folder).ok().flatten());
        let halves = kept.as_ref().and_then(|(path, _)| fs_err::read(path).ok());
        let halves = halves.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self { halves: Mutex::new(halves), kept }
    }

    fn take(journals: &Path, place: &str, folder: &str) -> std::io::Result<Option<(PathBuf, File)>> {
        fs_err::create_dir_all(journals)?;
        sweep(journals);
        let (path, lock) = files(journals, place, folder);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(lock)?;
        // A program that is just being started shares every lock of ours until it is another program.
        let free = (0..10).any(|tries| {
            std::thread::sleep(Duration::from_millis(5 * tries));
            lock.try_lock().is_ok()
        });
        Ok(free.then_some((path, lock)))
    }

    fn save(&self, halves: &BTreeMap<String, Half>) {
        let Some((path, _)) = &self.kept else { return };
        let saved = || -> std::io::Result<()> {
            let beside = path.with_extension("new");
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
            file.write_all(&serde_json::to_vec(halves)?)?;
            // Not synced: after a crash of the whole machine, what is lost or empty is only begun anew, and on a disk
            // that has much to write each sync takes as long as that.
            fs_err::rename(&beside, path)
        };
        if let Err(error) = saved() {
            tracing::info!(%error, "half-sent files are not kept track of");
        }
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Half>) -> bool) {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if change(&mut halves) {
            self.save(&halves);
        }
    }

    /// Remembers that the folder was made by this publish, which may not come to its end.
    pub(super) fn own(&self) -> bool {
        let own = Half { session: "ours".to_owned(), size: 0 };
        self.change(|halves| halves.insert(FOLDER.to_owned(), own.clone()) != Some(own));
        true
    }

    /// Whether the folder was made by this publish, or by one of this machine that broke off.
    pub(super) fn owns(&self) -> bool {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner).contains_key(FOLDER)
    }

    /// Somebody else removed the folder: nothing of it can be gone on with.
    pub(super) fn disown(&self) {
        self.change(|halves| !std::mem::take(halves).is_empty());
    }

    /// Everything is sent and published: nothing to go on with.
    pub(super) fn close(self) {
        if let Some((path, _lock)) = &self.kept {
            let _ = fs_err::remove_file(path);
            let _ = fs_err::remove_file(path.with_extension("lock"));
        }
    }

    /// The part of one file.
    pub(super) fn of<'a>(&'a self, size: u64, tally: &'a Tally) -> Part<'a> {
        Part { journal: self, size, tally, sent: Mutex::new(0) }
    }
}

/// Whether a publish of this machine has to do with that folder, or had so less than `old` ago.
pub(super) fn is_in_use(journals: Option<&Path>, place: &str, folder: &str, old: Duration) -> bool {
    let Some(journals) = journals else { return false };
    let (path, lock) = files(journals, place, folder);
    let young = |path: &Path| {
        let written = fs_err::metadata(path).and_then(|meta| meta.modified());
        // Of the future, by a clock that was set back: nobody knows.
        written.is_ok_and(|at| at.elapsed().map_or(true, |age| age < old))
    };
    let held = || fs_err::File::open(&lock).is_ok_and(|lock| lock.into_parts().0.try_lock().is_err());
    young(&path) || young(&lock) || held()
}

/// The journal of a folder in a place, and its lock.
fn files(journals: &Path, place: &str, folder: &str) -> (PathBuf, PathBuf) {
    let name = hex::encode(&Sha256::digest(format!("{place}\n{folder}"))[..16]);
    (journals.join(format!("{name}.json")), journals.join(format!("{name}.lock")))
}

/// Journals that nothing can be gone on with from any more.
fn sweep(journals: &Path) {
    let Ok(entries) = fs_err::read_dir(journals) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > OLDEST) {
            let _ = fs_err::remove_file(entry.path());
        }
    }
}

/// What is remembered of one file while it is sent.
pub(super) struct Part<'a> {
    journal: &'a Journal,
    size: u64,
    tally: &'a Tally,
    sent: Mutex<u64>,
}

impl Part<'_> {
    /// The file is done, one way or the other: its bytes count once.
    pub(super) fn settle(&self, bytes: u64) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        self.tally.unsent(*sent);
        self.tally.sent(bytes);
        *sent = bytes;
    }
}

impl Sessions for Part<'_> {
    fn recall(&self, key: &str) -> Option<String> {
        let halves = self.journal.halves.lock().unwrap_or_else(PoisonError::into_inner);
        halves.get(key).filter(|half| half.size == self.size).map(|half| half.session.clone())
    }

    fn remember(&self, key: &str, session: &str) {
        let half = Half { session: session.to_owned(), size: self.size };
        self.journal.change(|halves| halves.insert(key.to_owned(), half.clone()) != Some(half));
    }

    fn forget(&self, key: &str) {
        self.journal.change(|halves| halves.remove(key).is_some());
    }

    fn sent(&self, bytes: u64) {
        *self.sent.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
        self.tally.sent(bytes);
    }

    fn unsent(&self, bytes: u64) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        *sent = sent.saturating_sub(bytes);
        self.tally.unsent(bytes);
    }
}

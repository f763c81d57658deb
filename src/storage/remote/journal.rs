//! Half-sent files of one folder, remembered in a file of the user's own, so that a run that was killed is gone on with; and
//! what proves of those that are whole whose they are.
//!
//! A session's name may be a credential: the file is readable by its owner alone and removed when the folder is
//! published. One process at a time uses it; any other goes without. What is remembered is a hint: the service's checksum
//! of the whole file decides whether what was gone on with is right. Where what has arrived stays until it is given up (S3),
//! the file stays for longer, so that somebody can ([`super::leftovers`]).

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest as _, Sha256};

use super::proof::Proof;
use super::tally::Tally;
use crate::storage::backend::{Keeper, Receipt, Sessions};
use book::{Book, Half, Kept};

mod book;
#[cfg(test)]
mod tests;

/// What the folder itself is remembered under; no key of a file is like it.
const FOLDER: &str = "/";
/// Services keep sessions for about a week.
const OLDEST: Duration = Duration::from_hours(7 * 24);
/// What nobody gave up by then, a service may keep.
const FORGOTTEN: Duration = Duration::from_hours(90 * 24);

/// The half-sent files of one folder.
pub(super) struct Journal(Arc<Book>);

impl Journal {
    /// Opens what an earlier process left of the same folder in the same place, where what has arrived `stays` until it is
    /// given up, or goes by itself.
    pub(super) fn open(journals: Option<&Path>, place: &str, stays: bool, folder: &str) -> Self {
        let kept = journals.and_then(|journals| Self::take(journals, place, folder).ok().flatten());
        let mut left = kept.as_ref().and_then(|(path, _)| Kept::read(path)).unwrap_or_default();
        // Its sessions are over; what is whole is still what we had sent.
        if !stays && kept.as_ref().is_some_and(|(path, _)| is_older(path, OLDEST)) {
            left.halves.clear();
        }
        Self(Arc::new(Book::new(place.to_owned(), stays, left, kept)))
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

    /// Those of a place that nobody goes on with any more, and of which the service still has what had arrived.
    pub(super) fn forgotten(journals: Option<&Path>, place: &str) -> Vec<Self> {
        let Some(Ok(entries)) = journals.map(fs_err::read_dir) else { return Vec::new() };
        let old = entries.flatten().filter(|entry| age(entry) > OLDEST);
        old.filter_map(|entry| Self::left_of(entry.path(), place)).collect()
    }

    fn left_of(path: PathBuf, place: &str) -> Option<Self> {
        let left = Kept::read(&path).filter(|left| left.stays && left.place == place)?;
        let lock = path.with_extension("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(lock).ok()?;
        lock.try_lock().ok()?;
        Some(Self(Arc::new(Book::new(place.to_owned(), true, left, Some((path, lock))))))
    }

    /// Remembers that the folder was made by this publish, which may not come to its end.
    pub(super) fn own(&self) -> bool {
        self.0.set(FOLDER, Some(Half { session: "ours".to_owned(), size: 0 }));
        true
    }

    /// Whether the folder was made by this publish, or by one of this machine that broke off.
    pub(super) fn owns(&self) -> bool {
        self.0.look(|halves| halves.contains_key(FOLDER))
    }

    /// Somebody else removed the folder: nothing of it can be gone on with, but for what never lay in it.
    pub(super) fn disown(&self) {
        let stays = self.0.stays;
        self.0.retain(|key| stays && key != FOLDER);
    }

    /// Keys that are half sent and not `wanted` in that size, and what is remembered of them.
    pub(super) fn left(&self, wanted: impl Fn(&str, u64) -> bool) -> Vec<(String, String)> {
        self.0.look(|halves| {
            let left = halves.iter().filter(|(key, half)| key.as_str() != FOLDER && !wanted(key.as_str(), half.size));
            left.map(|(key, half)| (key.clone(), half.session.clone())).collect()
        })
    }

    /// What was remembered of a key is of no use any more.
    pub(super) fn forget(&self, key: &str) {
        self.0.set(key, None);
    }

    /// A file is whole: what the service told of it proves later that it is of this machine, should this publish break off.
    /// Where it tells neither checksum nor tag nothing would.
    pub(super) fn finish(&self, key: &str, told: &Receipt) {
        if let Some(proof) = Proof::of(told) {
            self.0.finish(key, proof);
        }
    }

    /// Files that are whole, by their keys, and what proves whose they are.
    pub(super) fn finished(&self) -> BTreeMap<String, Proof> {
        self.0.finished()
    }

    /// Everything is sent and published: nothing to go on with.
    pub(super) fn close(&self) {
        if let Some((path, _lock)) = &self.0.kept {
            let _ = fs_err::remove_file(path);
            let _ = fs_err::remove_file(path.with_extension("lock"));
        }
    }

    /// Nobody goes on with it, and that it was written to just now does not count.
    pub(super) fn rest(&self) {
        let Some((path, _lock)) = &self.0.kept else { return };
        let Some(then) = SystemTime::now().checked_sub(OLDEST + Duration::from_mins(1)) else { return };
        for path in [path.clone(), path.with_extension("lock")] {
            let file = OpenOptions::new().write(true).open(path);
            let _ = file.and_then(|file| file.set_modified(then));
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

/// What publishes of this machine had sent whole to a folder of which there is a journal yet, by its key.
pub(super) fn sent_whole(journals: Option<&Path>, place: &str, folder: &str) -> BTreeMap<String, Proof> {
    let kept = journals.and_then(|journals| Kept::read(&files(journals, place, folder).0));
    kept.map(|kept| kept.done).unwrap_or_default()
}

/// The journal of a folder in a place, and its lock.
fn files(journals: &Path, place: &str, folder: &str) -> (PathBuf, PathBuf) {
    let name = hex::encode(&Sha256::digest(format!("{place}\n{folder}"))[..16]);
    (journals.join(format!("{name}.json")), journals.join(format!("{name}.lock")))
}

/// How long ago something was written; of the future, by a clock that was set back, just now.
fn age(entry: &fs_err::DirEntry) -> Duration {
    let written = entry.metadata().and_then(|meta| meta.modified());
    written.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default()
}

/// Whether a file was written longer ago than that.
fn is_older(path: &Path, than: Duration) -> bool {
    let written = fs_err::metadata(path).and_then(|meta| meta.modified());
    written.ok().and_then(|at| at.elapsed().ok()).is_some_and(|age| age > than)
}

/// Journals that nothing can be gone on with from any more, but for those that name what is still to be given up, and those
/// that prove of whole files whose they are: by these a prune knows what it may remove.
fn sweep(journals: &Path) {
    let Ok(entries) = fs_err::read_dir(journals) else { return };
    for entry in entries.flatten() {
        let (path, age) = (entry.path(), age(&entry));
        let is_half = |key: &String| key.as_str() != FOLDER;
        let names_some = || {
            let kept = Kept::read(&path);
            kept.is_some_and(|kept| !kept.done.is_empty() || kept.stays && kept.halves.keys().any(is_half))
        };
        if age > FORGOTTEN || age > OLDEST && !names_some() {
            let _ = fs_err::remove_file(&path);
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
        let of_size = |half: &&Half| half.size == self.size;
        self.journal.0.look(|halves| halves.get(key).filter(of_size).map(|half| half.session.clone()))
    }

    fn remember(&self, key: &str, session: &str) {
        self.journal.0.set(key, Some(Half { session: session.to_owned(), size: self.size }));
    }

    fn keeper(&self, key: &str) -> Option<Keeper> {
        let (book, key, size) = (Arc::clone(&self.journal.0), key.to_owned(), self.size);
        Some(Box::new(move |session: &str| book.set(&key, Some(Half { session: session.to_owned(), size }))))
    }

    fn may_be(&self, key: &str, told: &Receipt) {
        self.journal.finish(key, told);
    }

    fn forget(&self, key: &str) {
        self.journal.forget(key);
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

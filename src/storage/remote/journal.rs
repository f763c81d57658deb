//! Half-sent files of one folder, remembered in a file of the user's own, so that a run that was killed is gone on with.
//!
//! A session's name may be a credential: the file is readable by its owner alone and removed when the folder is
//! published. One process at a time uses it; any other goes without. What is remembered is a hint: the service's checksum
//! of the whole file decides whether what was gone on with is right. Where what has arrived stays until it is given up (S3),
//! the file stays for longer, so that somebody can ([`super::leftovers`]).

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::tally::Tally;
use crate::storage::backend::{Keeper, Sessions};

/// What the folder itself is remembered under; no key of a file is like it.
const FOLDER: &str = "/";
/// Services keep sessions for about a week.
const OLDEST: Duration = Duration::from_hours(7 * 24);
/// What nobody gave up by then, a service may keep.
const FORGOTTEN: Duration = Duration::from_hours(90 * 24);

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
struct Half {
    session: String,
    size: u64,
}

/// What the file holds.
#[derive(Debug, Default, Deserialize)]
struct Kept {
    place: String,
    /// Whether what has arrived stays until it is given up.
    stays: bool,
    halves: BTreeMap<String, Half>,
}

/// The same, to be written.
#[derive(Debug, Serialize)]
struct Written<'a> {
    place: &'a str,
    stays: bool,
    halves: &'a BTreeMap<String, Half>,
}

impl Kept {
    fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs_err::read(path).ok()?).ok()
    }
}

/// The half-sent files of one folder.
pub(super) struct Journal(Arc<Book>);

/// What of it is shared with those who remember while the answers of a service arrive.
struct Book {
    place: String,
    stays: bool,
    halves: Mutex<BTreeMap<String, Half>>,
    /// The file, and the lock that is held as long as this lives.
    kept: Option<(PathBuf, File)>,
}

impl Book {
    fn halves(&self) -> MutexGuard<'_, BTreeMap<String, Half>> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, halves: &BTreeMap<String, Half>) {
        let Some((path, _)) = &self.kept else { return };
        let written = Written { place: &self.place, stays: self.stays, halves };
        let saved = || -> std::io::Result<()> {
            let beside = path.with_extension("new");
            let mut options = OpenOptions::new();
            let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
            file.write_all(&serde_json::to_vec(&written)?)?;
            // Not synced: after a crash of the whole machine, what is lost or empty is only begun anew, and on a disk
            // that has much to write each sync takes as long as that.
            fs_err::rename(&beside, path)
        };
        if let Err(error) = saved() {
            tracing::info!(%error, "half-sent files are not kept track of");
        }
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Half>) -> bool) {
        let mut halves = self.halves();
        if change(&mut halves) {
            self.save(&halves);
        }
    }

    fn remember(&self, key: &str, session: &str, size: u64) {
        let half = Half { session: session.to_owned(), size };
        self.change(|halves| halves.insert(key.to_owned(), half.clone()) != Some(half));
    }
}

impl Journal {
    /// Opens what an earlier process left of the same folder in the same place, where what has arrived `stays` until it is
    /// given up, or goes by itself.
    pub(super) fn open(journals: Option<&Path>, place: &str, stays: bool, folder: &str) -> Self {
        let kept = journals.and_then(|journals| Self::take(journals, place, folder).ok().flatten());
        let halves = kept.as_ref().and_then(|(path, _)| Kept::read(path)).unwrap_or_default().halves;
        Self(Arc::new(Book { place: place.to_owned(), stays, halves: Mutex::new(halves), kept }))
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
        let (halves, kept) = (Mutex::new(left.halves), Some((path, lock)));
        Some(Self(Arc::new(Book { place: left.place, stays: true, halves, kept })))
    }

    /// Remembers that the folder was made by this publish, which may not come to its end.
    pub(super) fn own(&self) -> bool {
        let own = Half { session: "ours".to_owned(), size: 0 };
        self.0.change(|halves| halves.insert(FOLDER.to_owned(), own.clone()) != Some(own));
        true
    }

    /// Whether the folder was made by this publish, or by one of this machine that broke off.
    pub(super) fn owns(&self) -> bool {
        self.0.halves().contains_key(FOLDER)
    }

    /// Somebody else removed the folder: nothing of it can be gone on with, but for what never lay in it.
    pub(super) fn disown(&self) {
        let stays = self.0.stays;
        self.0.change(|halves| {
            let before = halves.len();
            halves.retain(|key, _| stays && key.as_str() != FOLDER);
            halves.len() != before
        });
    }

    /// Keys that are half sent and not `wanted` in that size, and what is remembered of them.
    pub(super) fn left(&self, wanted: impl Fn(&str, u64) -> bool) -> Vec<(String, String)> {
        let halves = self.0.halves();
        let left = halves.iter().filter(|(key, half)| key.as_str() != FOLDER && !wanted(key.as_str(), half.size));
        left.map(|(key, half)| (key.clone(), half.session.clone())).collect()
    }

    /// What was remembered of a key is of no use any more.
    pub(super) fn forget(&self, key: &str) {
        self.0.change(|halves| halves.remove(key).is_some());
    }

    /// Everything is sent and published: nothing to go on with.
    pub(super) fn close(&self) {
        if let Some((path, _lock)) = &self.0.kept {
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

/// How long ago something was written; of the future, by a clock that was set back, just now.
fn age(entry: &fs_err::DirEntry) -> Duration {
    let written = entry.metadata().and_then(|meta| meta.modified());
    written.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default()
}

/// Journals that nothing can be gone on with from any more, but for those that name what is still to be given up.
fn sweep(journals: &Path) {
    let Ok(entries) = fs_err::read_dir(journals) else { return };
    for entry in entries.flatten() {
        let (path, age) = (entry.path(), age(&entry));
        let is_half = |key: &String| key.as_str() != FOLDER;
        let names_some = || Kept::read(&path).is_some_and(|kept| kept.stays && kept.halves.keys().any(is_half));
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
        let halves = self.journal.0.halves();
        halves.get(key).filter(|half| half.size == self.size).map(|half| half.session.clone())
    }

    fn remember(&self, key: &str, session: &str) {
        self.journal.0.remember(key, session, self.size);
    }

    fn keeper(&self, key: &str) -> Option<Keeper> {
        let (book, key, size) = (Arc::clone(&self.journal.0), key.to_owned(), self.size);
        Some(Box::new(move |session| book.remember(&key, session, size)))
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::storage::Progress;

    const PLACE: &str = "s3://bucket/place";

    /// Leaves a journal with one half-sent file of ten bytes.
    fn leave(journals: &Path, place: &str, stays: bool, folder: &str) -> PathBuf {
        let progress: std::sync::Arc<dyn Progress> = std::sync::Arc::new(());
        let (tally, journal) = (Tally::new(&progress, 1, 10), Journal::open(Some(journals), place, stays, folder));
        journal.own();
        journal.of(10, &tally).remember("p/f/a.bin", "session");
        files(journals, place, folder).0
    }

    fn grow_old(path: &Path, days: u64) {
        let then = SystemTime::now() - Duration::from_hours(24 * days);
        File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }

    #[test]
    fn what_is_not_wanted_any_more_is_told_with_what_was_remembered_of_it() {
        let place = tempfile::tempdir().unwrap();
        leave(place.path(), PLACE, true, "p/f/");
        let journal = Journal::open(Some(place.path()), PLACE, true, "p/f/");
        assert!(journal.owns());
        assert!(journal.left(|key, size| (key, size) == ("p/f/a.bin", 10)).is_empty());
        let left = vec![("p/f/a.bin".to_owned(), "session".to_owned())];
        assert_eq!(journal.left(|_, size| size == 11), left);
        journal.disown();
        assert!(!journal.owns());
        assert_eq!(journal.left(|_, _| false), left, "no folder holds it");
        journal.forget("p/f/a.bin");
        assert!(journal.left(|_, _| false).is_empty());
    }

    #[test]
    fn what_a_keeper_is_told_is_in_the_file_at_once() {
        let place = tempfile::tempdir().unwrap();
        let progress: std::sync::Arc<dyn Progress> = std::sync::Arc::new(());
        let tally = Tally::new(&progress, 1, 10);
        let journal = Journal::open(Some(place.path()), PLACE, true, "p/f/");
        let keeper = journal.of(10, &tally).keeper("p/f/a.bin").unwrap();
        let written = || Kept::read(&files(place.path(), PLACE, "p/f/").0).unwrap().halves;
        for session in ["its name", "its name and a part"] {
            keeper(session);
            let expected = Half { session: session.to_owned(), size: 10 };
            assert_eq!(written().get("p/f/a.bin"), Some(&expected));
        }
        assert_eq!(journal.of(10, &tally).recall("p/f/a.bin").as_deref(), Some("its name and a part"));
    }

    #[test]
    fn a_second_process_goes_without_what_the_first_one_remembers() {
        let place = tempfile::tempdir().unwrap();
        leave(place.path(), PLACE, true, "p/f/");
        let first = Journal::open(Some(place.path()), PLACE, true, "p/f/");
        let second = Journal::open(Some(place.path()), PLACE, true, "p/f/");
        assert_eq!((first.left(|_, _| false).len(), second.left(|_, _| false).len()), (1, 0));
    }

    #[test]
    fn an_old_journal_stays_where_something_of_it_is_still_to_be_given_up() {
        let place = tempfile::tempdir().unwrap();
        let ours = leave(place.path(), PLACE, true, "p/f/");
        let others = leave(place.path(), "s3://other", true, "p/f/");
        let drive = leave(place.path(), "box:", false, "p/f/");
        let young = leave(place.path(), PLACE, true, "p/g/");
        for path in [&ours, &others, &drive] {
            grow_old(path, 8);
        }
        sweep(place.path());
        assert_eq!([&ours, &others, &drive, &young].map(|path| path.exists()), [true, true, false, true]);
        let forgotten = Journal::forgotten(Some(place.path()), PLACE);
        assert_eq!(forgotten.len(), 1, "of this place, and not of those that may be gone on with");
        assert_eq!(forgotten[0].left(|_, _| false).len(), 1);
        assert!(Journal::forgotten(Some(place.path()), PLACE).is_empty(), "somebody is at it");
        forgotten[0].close();
        drop(forgotten);
        grow_old(&others, 91);
        sweep(place.path());
        assert_eq!([&ours, &others, &young].map(|path| path.exists()), [false, false, true]);
    }
}

//! All runs of this machine: making one, listing them, finding one by what people type.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::home::make_private;
use super::live::{Folder, LiveRun, is_live, set_room_aside, try_lock};
use super::record::{Record, Status};
use super::{Home, StoreError};
use crate::id::{CommitSha, RunId};

/// The folder of runs.
#[derive(Debug, Clone)]
pub struct Runs {
    root: PathBuf,
}

/// One run in the list.
#[derive(Debug)]
pub struct Entry {
    /// Its id.
    pub id: RunId,
    /// Where its parts are.
    pub folder: Folder,
    /// Its record; a broken one does not hide the others.
    pub record: Result<Record, StoreError>,
    /// Whether a process drives it now.
    pub live: bool,
}

impl Entry {
    /// How it stands, a dead `running` seen for what it is.
    pub fn status(&self) -> Option<Status> {
        let status = self.record.as_ref().ok()?.status;
        Some(if status == Status::Running && !self.live { Status::Interrupted } else { status })
    }
}

impl Runs {
    /// The runs of a home; nothing is made or read yet.
    pub fn of(home: &Home) -> Self {
        Self { root: home.runs() }
    }

    /// The folder that holds one folder a run.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder of a new run and takes its lock.
    ///
    /// # Errors
    /// When the folder cannot be made or locked.
    pub fn create(&self, now: Timestamp, commit: &CommitSha) -> Result<LiveRun, StoreError> {
        make_private(&self.root)?;
        loop {
            let id = new_id(now, commit, entropy()?);
            let folder = Folder(self.root.join(id.as_str()));
            match std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(folder.path()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(StoreError::io("make the folder", folder.path())(error)),
            }
            // Nobody else knows this name yet; a reader that comes by takes the lock shared for an instant.
            if let Some(lock) = try_lock(&folder)? {
                set_room_aside(&lock);
                return Ok(LiveRun { id, folder, lock });
            }
        }
    }

    /// All runs, newest first. Foreign files are passed over.
    ///
    /// # Errors
    /// When the folder exists and cannot be read.
    pub fn list(&self) -> Result<Vec<Entry>, StoreError> {
        Ok(self.ids()?.into_iter().filter_map(|id| self.entry(id)).collect())
    }

    /// The run that `name` means: an id, the beginning of one id only, or `latest`.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn get(&self, name: &str) -> Result<Entry, StoreError> {
        let ids = self.ids()?;
        if name == "latest" {
            return ids.into_iter().find_map(|id| self.entry(id)).ok_or(StoreError::Empty);
        }
        let unknown = || StoreError::Unknown(name.to_owned());
        if name.is_empty() {
            return Err(unknown());
        }
        let mut fits: Vec<RunId> = ids.into_iter().filter(|id| id.as_str().starts_with(name)).collect();
        if let Some(exact) = fits.iter().position(|id| id.as_str() == name) {
            return self.entry(fits.swap_remove(exact)).ok_or_else(unknown);
        }
        match fits.len() {
            0 => Err(unknown()),
            1 => fits.pop().and_then(|id| self.entry(id)).ok_or_else(unknown),
            count => {
                let examples = fits.iter().take(3).map(ToString::to_string).collect();
                Err(StoreError::Ambiguous { prefix: name.to_owned(), count, examples })
            }
        }
    }

    /// Ids by their folders, newest first.
    fn ids(&self) -> Result<Vec<RunId>, StoreError> {
        let entries = match fs_err::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("read", &self.root)(error)),
        };
        let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut ids: Vec<RunId> =
            folders.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok())).collect();
        // An id tells the second; within it, the folders themselves tell who came first.
        let second = |id: &RunId| id.as_str().get(..15).unwrap_or_default().to_owned();
        let made = |id: &RunId| fs_err::metadata(self.root.join(id.as_str())).and_then(|folder| folder.created()).ok();
        ids.sort_by_cached_key(|id| std::cmp::Reverse((second(id), made(id), id.clone())));
        Ok(ids)
    }

    /// `None` for a run that was made a moment ago (no record yet) or is gone again.
    fn entry(&self, id: RunId) -> Option<Entry> {
        let folder = Folder(self.root.join(id.as_str()));
        // The lock is asked before the record is read: a run that ends in between is seen as ended, not interrupted.
        let live = is_live(&folder, None);
        let path = folder.record();
        let record = match fs_err::read(&path) {
            Ok(bytes) => Record::parse(&path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(StoreError::io("read", &path)(error)),
        };
        let live = match &record {
            Ok(record) => record.status == Status::Running && (live || is_live(&folder, Some(record))),
            Err(_) => live,
        };
        Some(Entry { id, folder, record, live })
    }
}

/// `20261121-093000-4f1c2d9a-x7k2`: the time in UTC, the commit, four random characters.
pub(super) fn new_id(now: Timestamp, commit: &CommitSha, entropy: [u8; 4]) -> RunId {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let time = now.strftime("%Y%m%d-%H%M%S");
    let random: String = entropy.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    let text = format!("{time}-{}-{random}", &commit.as_str()[..8]);
    match text.parse() {
        Ok(id) => id,
        Err(_) => unreachable!("times, hexadecimal digits and letters make a run id"),
    }
}

fn entropy() -> Result<[u8; 4], StoreError> {
    let mut bytes = [0; 4];
    let read = fs_err::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(StoreError::io("read", "/dev/urandom"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    fn commit() -> CommitSha {
        "4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a4f1c2d9a".parse().unwrap()
    }

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn place() -> (tempfile::TempDir, Runs) {
        let dir = tempfile::tempdir().unwrap();
        let runs = Runs::of(&Home::at(dir.path()));
        (dir, runs)
    }

    #[test]
    fn a_run_has_room_for_its_last_record_until_it_needs_it() {
        let (_dir, runs) = place();
        let live = live(&runs, "2026-11-21T09:30:00Z");
        let held = || std::fs::metadata(live.folder().lock()).unwrap().len();
        assert!(held() >= 64 << 10, "{}", held());
        live.make_room();
        assert_eq!(held(), 0);
        assert!(is_locked(&live), "it is still the lock");
    }

    /// Whether another process would find the lock taken.
    fn is_locked(live: &LiveRun) -> bool {
        try_lock(live.folder()).unwrap().is_none()
    }

    fn live(runs: &Runs, at: &str) -> LiveRun {
        let live = runs.create(time(at), &commit()).unwrap();
        live.save(&record(live.id().as_str())).unwrap();
        live
    }

    #[test]
    fn ids_sort_by_time_and_hold_the_commit() {
        let id = new_id(time("2026-11-21T09:30:00.9Z"), &commit(), [0, 25, 26, 255]);
        assert_eq!(id.as_str(), "20261121-093000-4f1c2d9a-az27");
    }

    #[test]
    fn an_empty_home_has_no_runs_and_says_so() {
        let (_dir, runs) = place();
        assert!(runs.list().unwrap().is_empty());
        assert!(matches!(runs.get("latest"), Err(StoreError::Empty)));
        assert!(matches!(runs.get("2026"), Err(StoreError::Unknown(_))));
        assert!(matches!(runs.get(""), Err(StoreError::Unknown(_))));
    }

    #[test]
    fn finds_by_id_by_unique_prefix_and_latest() {
        let (_dir, runs) = place();
        let older = live(&runs, "2026-11-21T09:30:00Z");
        let newer = live(&runs, "2026-11-22T09:30:00Z");
        assert_eq!(&runs.get("latest").unwrap().id, newer.id());
        assert_eq!(&runs.get("20261121").unwrap().id, older.id());
        assert_eq!(&runs.get(older.id().as_str()).unwrap().id, older.id());
        let error = runs.get("2026").unwrap_err();
        assert!(matches!(&error, StoreError::Ambiguous { count: 2, .. }), "{error}");
    }

    #[test]
    fn a_run_is_live_while_its_driver_holds_it_and_interrupted_afterwards() {
        let (_dir, runs) = place();
        let driver = live(&runs, "2026-11-21T09:30:00Z");
        assert_eq!(runs.get("latest").unwrap().status(), Some(Status::Running));
        drop(driver);
        // The process mark in the record is ours and alive, but the lock knows better.
        assert_eq!(runs.get("latest").unwrap().status(), Some(Status::Interrupted));
    }

    #[test]
    fn without_a_lock_file_the_process_mark_decides() {
        let (_dir, runs) = place();
        let driver = live(&runs, "2026-11-21T09:30:00Z");
        fs_err::remove_file(driver.folder().lock()).unwrap();
        assert_eq!(runs.get("latest").unwrap().status(), Some(Status::Running));
        let mut dead = record(driver.id().as_str());
        dead.process.started = Some(1);
        driver.save(&dead).unwrap();
        assert_eq!(runs.get("latest").unwrap().status(), Some(Status::Interrupted));
    }

    #[test]
    fn one_broken_record_does_not_hide_the_others() {
        let (_dir, runs) = place();
        let broken = live(&runs, "2026-11-21T09:30:00Z");
        let _whole = live(&runs, "2026-11-20T09:30:00Z");
        fs_err::write(broken.folder().record(), "{").unwrap();
        fs_err::write(runs.root().join("a file"), "").unwrap();
        let list = runs.list().unwrap();
        assert_eq!(list.iter().map(|entry| entry.record.is_ok()).collect::<Vec<_>>(), [false, true]);
        assert_eq!(list[0].status(), None);
    }

    #[test]
    fn many_at_once_get_different_folders() {
        let (_dir, runs) = place();
        let made: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..16).map(|_| scope.spawn(|| live(&runs, "2026-11-21T09:30:00Z").id().to_string())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut unique = made.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), made.len());
    }
}

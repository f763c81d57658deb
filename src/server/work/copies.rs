//! Bare copies of repositories that are no longer watched go, once nobody has used them for a day.
//!
//! One is in use while somebody holds its lock, and for as long as a work tree borrows its objects. What is watched stays.

use std::collections::BTreeSet;
use std::fs::{OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::checkout::{COPIES, WORK, is_at, name_of};
use crate::archive;
use crate::server::poll::Watch;
use crate::server::room;

/// How long one stays that nobody uses.
const KEPT: Duration = Duration::from_hours(24);

/// Where copies are, and what is watched; clones share the latter.
#[derive(Debug, Clone)]
pub(in crate::server) struct Copies {
    /// Each holds copies, and the work trees that borrow of them.
    folders: Vec<PathBuf>,
    watches: watch::Receiver<Vec<Arc<Watch>>>,
}

impl Copies {
    /// Those below these folders.
    pub(in crate::server) fn of(folders: Vec<PathBuf>, watches: watch::Receiver<Vec<Arc<Watch>>>) -> Self {
        Self { folders, watches }
    }

    /// Removes those that nobody needs.
    pub(in crate::server) async fn sweep(&self) {
        let watched: BTreeSet<String> = self.watches.borrow().iter().map(|watch| name_of(&watch.address)).collect();
        for folder in self.folders.clone() {
            let (shown, watched) = (folder.join(COPIES), watched.clone());
            let swept = tokio::task::spawn_blocking(move || sweep(&folder, &watched, SystemTime::now())).await;
            match swept {
                Ok(Ok(0)) => {}
                Ok(Ok(gone)) => {
                    tracing::info!(folder = %shown.display(), gone, "copies of repositories that are no longer watched were removed");
                }
                Ok(Err(error)) => {
                    let error = room::words(&error);
                    tracing::warn!(folder = %shown.display(), error, "old copies of repositories were not removed");
                }
                Err(error) => {
                    let error = room::words(&error);
                    tracing::warn!(folder = %shown.display(), error, "old copies of repositories were not removed");
                }
            }
        }
    }
}

/// How many went. One that cannot be removed keeps no other.
fn sweep(folder: &Path, watched: &BTreeSet<String>, now: SystemTime) -> io::Result<usize> {
    let copies = folder.join(COPIES);
    let found = match std::fs::read_dir(&copies) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    // A copy, its lock, and what is left of it when removing it broke off.
    let names = found.flatten().filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()));
    let names: BTreeSet<String> = names.filter(|name| !watched.contains(name)).collect();
    let (mut gone, mut fault) = (0, None);
    for name in names {
        match remove(folder, &name, now) {
            Ok(removed) => gone += usize::from(removed),
            Err(error) => fault = Some(error),
        }
    }
    fault.map_or(Ok(gone), Err)
}

/// Removes one, unless it is in use or was a short time ago.
fn remove(folder: &Path, name: &str, now: SystemTime) -> io::Result<bool> {
    let copy = folder.join(COPIES).join(name);
    let lock = copy.with_extension("lock");
    let file = OpenOptions::new().create(true).append(true).open(&lock)?;
    match file.try_lock() {
        Ok(()) if is_at(&file, &lock) => {}
        Ok(()) | Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let age = now.duration_since(file.metadata()?.modified()?).unwrap_or_default();
    if age < KEPT || is_borrowed(folder, name)? {
        return Ok(false);
    }
    // Whatever breaks off now, no half of it is taken for a copy.
    let going = copy.with_extension("gone");
    archive::remove(&going)?;
    match std::fs::rename(&copy, &going) {
        Ok(()) => archive::remove(&going)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Who waits for it sees that it is no longer there, and makes another.
    std::fs::remove_file(&lock)?;
    Ok(true)
}

/// Whether a work tree has objects of this copy.
fn is_borrowed(folder: &Path, name: &str) -> io::Result<bool> {
    let objects = Path::new(COPIES).join(name).join("objects");
    for tree in std::fs::read_dir(folder.join(WORK)).into_iter().flatten() {
        match std::fs::read_to_string(tree?.path().join(".git/objects/info/alternates")) {
            Ok(lent) if lent.lines().any(|place| Path::new(place).ends_with(&objects)) => return Ok(true),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::checkout::checkout;
    use super::*;
    use crate::id::CommitSha;
    use crate::server::poll::Address;

    fn names(folder: &Path) -> Vec<String> {
        let found = std::fs::read_dir(folder.join(COPIES)).unwrap();
        let mut names: Vec<_> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A copy that nobody used for so many hours, and its lock.
    fn copy(folder: &Path, name: &str, hours: u64) -> std::fs::File {
        let path = folder.join(COPIES).join(name);
        std::fs::create_dir_all(path.join("objects")).unwrap();
        let lock = std::fs::File::create(path.with_extension("lock")).unwrap();
        lock.set_modified(SystemTime::now() - Duration::from_hours(hours)).unwrap();
        lock
    }

    #[test]
    fn what_is_watched_in_use_lent_or_was_used_today_stays_and_the_rest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        assert_eq!(sweep(folder, &BTreeSet::new(), SystemTime::now()).unwrap(), 0, "there is none yet");
        for name in ["old", "watched", "lent"] {
            copy(folder, name, 25);
        }
        copy(folder, "young", 23);
        let in_use = copy(folder, "used", 25);
        in_use.lock().unwrap();
        // What a sweep that broke off left.
        std::fs::create_dir_all(folder.join(COPIES).join("old.gone/objects")).unwrap();
        let info = folder.join(WORK).join("7-1/.git/objects/info");
        std::fs::create_dir_all(&info).unwrap();
        std::fs::create_dir_all(folder.join(WORK).join("8-1")).unwrap();
        std::fs::write(info.join("alternates"), format!("{}\n", folder.join(COPIES).join("lent/objects").display()))
            .unwrap();
        let watched = BTreeSet::from(["watched".to_owned()]);
        assert_eq!(sweep(folder, &watched, SystemTime::now()).unwrap(), 1);
        let stay = ["lent", "lent.lock", "used", "used.lock", "watched", "watched.lock", "young", "young.lock"];
        assert_eq!(names(folder), stay);
        drop(in_use);
        std::fs::remove_dir_all(folder.join(WORK)).unwrap();
        assert_eq!(sweep(folder, &watched, SystemTime::now()).unwrap(), 2);
        assert_eq!(names(folder), ["watched", "watched.lock", "young", "young.lock"]);
    }

    #[tokio::test]
    async fn a_copy_is_young_after_each_use_and_made_anew_when_it_went() {
        let (folder, origin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let git = |words: &[&str]| {
            let who = ["-c", "user.name=t", "-c", "user.email=t@example"];
            let output = Command::new("git").args(who).args(words).current_dir(origin.path()).output().unwrap();
            assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "-q"]);
        git(&["commit", "-q", "--allow-empty", "-m", "one"]);
        let sha: CommitSha = git(&["rev-parse", "HEAD"]).parse().unwrap();
        let address = Address::Git(origin.path().display().to_string(), None);
        let folder = folder.path();
        let own = name_of(&address);
        let go = |hours: u64| sweep(folder, &BTreeSet::new(), SystemTime::now() + Duration::from_hours(hours)).unwrap();
        for _ in 0..2 {
            let tree = checkout(folder, "7-1", &address, None, &sha).await.unwrap();
            assert_eq!(go(25), 0, "the work tree borrows of it");
            tree.close().await.unwrap();
            let lock =
                std::fs::File::options().append(true).open(folder.join(COPIES).join(format!("{own}.lock"))).unwrap();
            lock.set_modified(SystemTime::now() - Duration::from_hours(48)).unwrap();
            let tree = checkout(folder, "8-1", &address, None, &sha).await.unwrap();
            tree.close().await.unwrap();
            assert_eq!(go(0), 0, "it was used a moment ago");
            assert_eq!(names(folder), [own.clone(), format!("{own}.lock")]);
            assert_eq!(go(25), 1);
            assert!(names(folder).is_empty());
        }
    }
}

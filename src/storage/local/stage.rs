//! The folder in which a run is put together before it gets its name, and the removal of those that died.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode};

use super::system;
use crate::id::RunId;
use crate::outputs::rooted;
use crate::storage::{StorageError, key};

/// Where locks are not offered, a staging folder this old is taken for dead.
const STALE: Duration = Duration::from_hours(7 * 24);

/// A staging folder that this process holds.
pub(super) struct Stage<'a> {
    project: BorrowedFd<'a>,
    name: String,
    fd: OwnedFd,
}

impl<'a> Stage<'a> {
    /// Makes and locks the staging folder of a run.
    pub(super) fn create(project: BorrowedFd<'a>, at: &Path, run: &RunId) -> Result<Self, StorageError> {
        let name = key::staging(run);
        let explain = |error: io::Error| system::explain("make the staging folder in", at, error);
        for _ in 0..50 {
            match rustix::fs::mkdirat(project, name.as_str(), Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(explain(error.into())),
            }
            let fd = match rooted::open_subfolder(project, name.as_bytes()) {
                Ok(fd) => fd,
                // A sweeper was faster; its folder is gone, the next round makes a new one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(explain(error)),
            };
            if lock(&fd) == Lock::Held {
                // Another process has it: a sweeper for a moment, or a publisher of this very run.
                std::thread::sleep(Duration::from_millis(20));
                continue;
            }
            if is_still(project, name.as_bytes(), &fd) {
                empty(fd.as_fd()).map_err(explain)?;
                return Ok(Self { project, name, fd });
            }
        }
        Err(StorageError::Busy(run.to_string()))
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Gives it its name. `AlreadyExists` when that is taken: then the stage is still there.
    pub(super) fn rename(&self, to: &str) -> io::Result<()> {
        system::rename_new(self.project, self.name.as_bytes(), to.as_bytes())
    }

    /// Removes it; what cannot be removed is left for the next publish.
    pub(super) fn remove(self) {
        if let Err(error) = discard(self.project, self.name.as_bytes(), self.fd.as_fd()) {
            tracing::warn!(stage = %self.name, %error, "the staging folder could not be removed");
        }
    }
}

#[derive(PartialEq, Eq)]
enum Lock {
    Ours,
    Held,
    /// The file system has no locks.
    NotOffered,
}

fn lock(folder: &OwnedFd) -> Lock {
    match rustix::fs::flock(folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Lock::Ours,
        Err(rustix::io::Errno::WOULDBLOCK) => Lock::Held,
        Err(_) => Lock::NotOffered,
    }
}

/// Whether the open folder is what stands at `name`, and not one that was removed meanwhile.
fn is_still(project: BorrowedFd<'_>, name: &[u8], folder: &OwnedFd) -> bool {
    match (rooted::look(project, name), rustix::fs::fstat(folder)) {
        (Ok(named), Ok(open)) => (named.st_dev, named.st_ino) == (open.st_dev, open.st_ino),
        _ => false,
    }
}

/// Removes the staging folders of publishers that are dead. Failing to is no reason not to publish.
pub(super) fn sweep(project: BorrowedFd<'_>, at: &Path) {
    let names = rooted::names(project).unwrap_or_default();
    for name in names.iter().filter(|name| key::is_staging(name)) {
        if let Err(error) = sweep_one(project, name) {
            let stage: PathBuf = at.join(String::from_utf8_lossy(name).as_ref());
            tracing::warn!(stage = %stage.display(), %error, "what a broken-off publish left could not be removed");
        }
    }
}

fn sweep_one(project: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let folder = match rooted::open_subfolder(project, name) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let dead = match lock(&folder) {
        Lock::Ours => is_still(project, name, &folder),
        Lock::Held => false,
        Lock::NotOffered => is_stale(&folder),
    };
    if dead { discard(project, name, folder.as_fd()) } else { Ok(()) }
}

fn is_stale(folder: &OwnedFd) -> bool {
    let Ok(stat) = rustix::fs::fstat(folder) else { return false };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let age = i128::try_from(now.as_nanos()).unwrap_or_default() - rooted::mtime_ns(&stat);
    age > i128::try_from(STALE.as_nanos()).unwrap_or(i128::MAX)
}

fn discard(project: BorrowedFd<'_>, name: &[u8], folder: BorrowedFd<'_>) -> io::Result<()> {
    empty(folder)?;
    rustix::fs::unlinkat(project, name, AtFlags::REMOVEDIR)?;
    Ok(())
}

/// Removes everything in a folder, links not followed.
fn empty(folder: BorrowedFd<'_>) -> io::Result<()> {
    for name in rooted::names(folder)? {
        if rooted::kind(&rooted::look(folder, &name)?) == FileType::Directory {
            empty(rooted::open_subfolder(folder, &name)?.as_fd())?;
            rustix::fs::unlinkat(folder, &name, AtFlags::REMOVEDIR)?;
        } else {
            rustix::fs::unlinkat(folder, &name, AtFlags::empty())?;
        }
    }
    Ok(())
}

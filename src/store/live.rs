//! A run's folder, and the lock that says that a process is at work in it.
//!
//! The lock is the kernel's (`flock`): it goes away with the process, whatever kills it.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};

use super::record::{Record, Status};
use super::{StoreError, file};
use crate::id::RunId;

/// Where the parts of one run are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder(pub(super) PathBuf);

impl Folder {
    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The record.
    pub fn record(&self) -> PathBuf {
        self.0.join("run.json")
    }

    /// The script as it was run; secrets are no part of scripts.
    pub fn script(&self) -> PathBuf {
        self.0.join("script.sh")
    }

    /// The exact packages that it ran with, in the form in which a manifest has them.
    pub fn packages(&self) -> PathBuf {
        self.0.join("environment.json")
    }

    /// The masked output.
    pub fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The snapshot in which the pipeline runs.
    pub fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    /// What the kernel keeps for itself where the snapshot is the upper layer of an overlay.
    pub fn layers(&self) -> PathBuf {
        self.0.join("layers")
    }

    /// HOME of the run's processes, with the packages that were installed for this run only.
    pub fn home(&self) -> PathBuf {
        self.0.join("home")
    }

    /// What the container sees as `/output`.
    pub fn output(&self) -> PathBuf {
        self.0.join("output")
    }

    /// Named pipes between the container and the process that drives the run, while it does.
    pub fn pipes(&self) -> PathBuf {
        self.0.join("pipes")
    }

    /// The lock.
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }
}

/// A run that this process drives. Others see it as live until this is dropped or the process ends.
#[derive(Debug)]
pub struct LiveRun {
    pub(super) id: RunId,
    pub(super) folder: Folder,
    // Never read: closing it gives the lock back. It holds the room that the last record may need.
    pub(super) lock: fs_err::File,
}

/// More than any record takes.
const ROOM: u64 = 256 << 10;

/// Sets room aside in the lock of a run that begins; where a disk cannot, the run goes on without.
pub(super) fn set_room_aside(lock: &fs_err::File) {
    let _ = rustix::fs::fallocate(lock.file(), rustix::fs::FallocateFlags::empty(), 0, ROOM);
}

impl LiveRun {
    /// Its id.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Where its parts are.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Gives back the room that was set aside for the last record: a pipeline may have filled the disk.
    pub fn make_room(&self) {
        // Where that fails there was none.
        let _ = self.lock.file().set_len(0);
    }

    /// Writes the record, whole or not at all. Only that of an ended run is made to outlive a power cut: a run that
    /// goes on does not outlive one either.
    ///
    /// # Errors
    /// When the file cannot be written; the one from before is intact then.
    pub fn save(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.folder.record();
        file::replace(&path, &record.to_bytes(&path)?, record.status != Status::Running)
    }

    /// Removes the snapshot and the output folder, once they are of no more use.
    ///
    /// # Errors
    /// When something in them cannot be removed.
    pub fn clear_work(&self) -> Result<(), StoreError> {
        file::remove_tree(&self.folder.work())?;
        file::remove_tree(&self.folder.layers())?;
        file::remove_tree(&self.folder.home())?;
        file::remove_tree(&self.folder.pipes())?;
        file::remove_tree(&self.folder.output())
    }
}

/// Takes the lock of a run's folder; `None` when a live process has it.
pub(super) fn try_lock(folder: &Folder) -> Result<Option<fs_err::File>, StoreError> {
    let path = folder.lock();
    let file = fs_err::OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(&path)
        .map_err(StoreError::io("open the lock", &path))?;
    match file.file().try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(StoreError::io("lock", &path)(source)),
    }
}

/// Whether a process drives this run now. Asks the lock without taking it; where locks say nothing, the process mark.
pub fn is_live(folder: &Folder, record: Option<&Record>) -> bool {
    if record.is_some_and(|record| record.status != Status::Running) {
        return false;
    }
    let by_mark = || record.is_some_and(|record| record.process.is_alive());
    let Ok(file) = fs_err::File::open(folder.lock()) else { return by_mark() };
    // Shared, so that two readers never take each other for the run.
    match file.file().try_lock_shared() {
        Ok(()) => false,
        Err(TryLockError::WouldBlock) => true,
        Err(TryLockError::Error(_)) => by_mark(),
    }
}

//! The folder through which a worker and the process that drives one of its runs talk, so that either can die alone.
//!
//! The driver holds the folder's lock for as long as it lives. The worker takes it and hands it over as the driver's
//! stdin, so a run that was started never looks dead, whenever the worker is killed. What happens, the driver appends to
//! one file, a line each; a worker that comes later reads it from its beginning. What the worker wants are files that are
//! there or not. Holds no secret: requests name them only, and what is told was masked before.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::id::RunId;
use crate::run::ending::Ending;
use crate::run::request::RunRequest;
use crate::store::database::{Artifacts, StepRow};

const EVENTS: &str = "events";
const LOCK: &str = "lock";
const PULSE: &str = "pulse";
const REQUEST: &str = "request.json";
const SAID: &str = "stderr";

/// What a driver tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "kebab-case")]
pub enum Told {
    /// The run's files are in the folder of this id.
    Placed {
        /// The id.
        run: RunId,
    },
    /// A step ended.
    Step(StepRow),
    /// The outputs are in the storage.
    Published(Artifacts),
    /// Everything is collected: may it be published? The driver waits for the answer.
    MayPublish,
    /// The run is over, and so is the driver.
    Ended {
        /// How.
        ending: Ending,
        /// One line for people.
        summary: String,
    },
}

/// What a worker wants of a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// That the run stops.
    Stop,
    /// That it ends at once.
    Kill,
    /// That it publishes.
    Publish,
    /// That it never does.
    Discard,
}

impl Wish {
    fn file(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Publish => "publish",
            Self::Discard => "discard",
        }
    }
}

/// One run's folder.
#[derive(Debug, Clone)]
pub struct Handoff {
    folder: PathBuf,
}

impl Handoff {
    /// The folder at a path; nothing is made or read.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Makes the folder anew, with the request in it. The lock that comes back is the driver's.
    ///
    /// # Errors
    /// As the file system says.
    pub fn make(folder: &Path, request: &RunRequest) -> io::Result<(Self, File)> {
        let this = Self::at(folder);
        this.remove()?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock = this.create(LOCK)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::Error::other("another process has the lock of a new folder"),
        })?;
        this.create(REQUEST)?.write_all(&serde_json::to_vec(request)?)?;
        this.create(EVENTS)?;
        this.beat()?;
        Ok((this, lock))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(self.folder.join(name))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// For what the driver says besides: its stderr.
    ///
    /// # Errors
    /// As the file system says.
    pub fn said(&self) -> io::Result<File> {
        self.create(SAID)
    }

    /// What is to be run.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn request(&self) -> io::Result<RunRequest> {
        Ok(serde_json::from_slice(&std::fs::read(self.folder.join(REQUEST))?)?)
    }

    /// Whether a driver lives.
    pub fn is_live(&self) -> bool {
        // Shared, so that two who ask never take each other for a driver.
        let Ok(file) = File::open(self.folder.join(LOCK)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Tells the worker something.
    ///
    /// # Errors
    /// As the file system says.
    pub fn tell(&self, told: &Told) -> io::Result<()> {
        let mut line = serde_json::to_vec(told)?;
        line.push(b'\n');
        // Never made here: a folder that is gone stays so, and nobody would read it.
        OpenOptions::new().append(true).open(self.folder.join(EVENTS))?.write_all(&line)
    }

    /// What was told from a place on; the place moves behind it. A line that is not whole yet is left for later.
    ///
    /// # Errors
    /// As the file system says, and when a line means nothing.
    pub fn told(&self, place: &mut u64) -> io::Result<Vec<Told>> {
        let mut file = File::open(self.folder.join(EVENTS))?;
        file.seek(SeekFrom::Start(*place))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
        let lines = bytes[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let told = lines.map(serde_json::from_slice).collect::<Result<_, _>>()?;
        *place += whole as u64;
        Ok(told)
    }

    /// Whether the run is over, as far as was told.
    pub fn has_ended(&self) -> bool {
        let told = self.told(&mut 0).unwrap_or_default();
        told.iter().any(|told| matches!(told, Told::Ended { .. }))
    }

    /// Wants something of the driver; what was wanted once stays wanted.
    ///
    /// # Errors
    /// As the file system says.
    pub fn wish(&self, wish: Wish) -> io::Result<()> {
        self.create(wish.file()).map(drop)
    }

    /// Whether something was wanted.
    pub fn wants(&self, wish: Wish) -> bool {
        self.folder.join(wish.file()).exists()
    }

    /// The worker lives.
    ///
    /// # Errors
    /// As the file system says.
    pub fn beat(&self) -> io::Result<()> {
        self.create(PULSE)?.set_modified(SystemTime::now())
    }

    /// When the worker last lived; nothing once the folder is gone.
    pub fn last_beat(&self) -> Option<SystemTime> {
        std::fs::metadata(self.folder.join(PULSE)).and_then(|meta| meta.modified()).ok()
    }

    /// Removes the folder.
    ///
    /// # Errors
    /// As the file system says.
    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (tempfile::TempDir, Handoff, File) {
        let folder = tempfile::tempdir().unwrap();
        let request = RunRequest { storage: Some("local:/x".to_owned()), ..RunRequest::default() };
        let (handoff, lock) = Handoff::make(&folder.path().join("1-1"), &request).unwrap();
        (folder, handoff, lock)
    }

    #[test]
    fn a_run_is_live_while_anybody_has_its_lock_also_when_it_is_handed_over() {
        let (_folder, handoff, lock) = made();
        assert!(handoff.is_live());
        // What a child does that got it as its stdin: the file is the same, its number another one.
        let handed = lock.try_clone().unwrap();
        drop(lock);
        assert!(handoff.is_live());
        drop(handed);
        assert!(!handoff.is_live());
    }

    #[test]
    fn what_is_told_is_read_once_by_each_reader_and_never_in_part() {
        let (_folder, handoff, _lock) = made();
        let ended = Told::Ended { ending: Ending::ScriptFailed, summary: "two\nlines".to_owned() };
        handoff.tell(&Told::MayPublish).unwrap();
        handoff.create(EVENTS).unwrap().write_all(b"{\"told\":").unwrap();
        let mut place = 0;
        assert_eq!(handoff.told(&mut place).unwrap(), [Told::MayPublish]);
        assert!(handoff.told(&mut place).unwrap().is_empty() && !handoff.has_ended());
        let rest = serde_json::to_string(&ended).unwrap().replacen("{\"told\":", "", 1) + "\n";
        handoff.create(EVENTS).unwrap().write_all(rest.as_bytes()).unwrap();
        assert_eq!(handoff.told(&mut place).unwrap(), std::slice::from_ref(&ended));
        assert_eq!(handoff.told(&mut 0).unwrap(), [Told::MayPublish, ended]);
        assert!(handoff.has_ended());
    }

    #[test]
    fn a_request_survives_the_folder_and_a_new_folder_keeps_nothing_of_an_old_one() {
        let (_folder, handoff, lock) = made();
        assert_eq!(handoff.request().unwrap().storage.as_deref(), Some("local:/x"));
        handoff.wish(Wish::Publish).unwrap();
        assert!(handoff.wants(Wish::Publish) && !handoff.wants(Wish::Discard));
        drop(lock);
        let (again, _lock) = Handoff::make(handoff.path(), &RunRequest::default()).unwrap();
        assert!(!again.wants(Wish::Publish) && again.request().unwrap().storage.is_none());
        again.remove().unwrap();
        assert!(again.last_beat().is_none() && again.tell(&Told::MayPublish).is_err());
    }
}

//! What an engine said of itself, remembered: to describe itself it starts programs, which takes longer than all else that
//! a warm run asks of it before its container.
//!
//! Belongs to one socket, one boot and one version, and is believed for a day. What may change while a daemon runs (how
//! many containers there are, its disk) is no part of it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::engine::EngineInfo;

/// How long it is believed.
const BELIEVED: Duration = Duration::from_hours(24);

/// Where it is kept; nowhere for an engine that has no socket here.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    file: PathBuf,
    socket: PathBuf,
    boot: String,
}

/// Which daemon said it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Daemon {
    boot: String,
    name: String,
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    daemon: Daemon,
    info: EngineInfo,
}

impl Memory {
    /// In `folder`, for the engine at `address`.
    pub(super) fn new(folder: &Path, address: &str, boot: &str) -> Option<Self> {
        let socket = PathBuf::from(address.strip_prefix("unix://")?);
        (!boot.is_empty()).then(|| Self { file: folder.join("engine.json"), socket, boot: boot.to_owned() })
    }

    /// What the engine of this name said.
    pub(super) fn recall(&self, name: &str) -> Option<EngineInfo> {
        let at = std::fs::metadata(&self.file).and_then(|meta| meta.modified()).ok()?;
        // A clock that was set back makes everything stale.
        SystemTime::now().duration_since(at).ok().filter(|passed| *passed < BELIEVED)?;
        let Remembered { daemon, info } = serde_json::from_slice(&std::fs::read(&self.file).ok()?).ok()?;
        (daemon == self.daemon(name)? && info.name == name).then_some(info)
    }

    /// Remembers; that it cannot is no failure.
    pub(super) fn remember(&self, info: &EngineInfo) {
        let Some(daemon) = self.daemon(&info.name) else { return };
        let write = || {
            let folder = self.file.parent().unwrap_or_else(|| Path::new("."));
            let mut file = tempfile::Builder::new().prefix(".engine-").tempfile_in(folder)?;
            serde_json::to_writer(&mut file, &Remembered { daemon, info: info.clone() })?;
            file.persist(&self.file).map(drop).map_err(|error| error.error)
        };
        if let Err(error) = write() {
            tracing::debug!(%error, "the engine is asked again next time");
        }
    }

    fn daemon(&self, name: &str) -> Option<Daemon> {
        let meta = std::fs::metadata(&self.socket).ok()?;
        Some(Daemon {
            boot: self.boot.clone(),
            name: name.to_owned(),
            device: meta.dev(),
            inode: meta.ino(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(name: &str) -> EngineInfo {
        EngineInfo {
            name: name.to_owned(),
            id: "X".to_owned(),
            address: "unix:///s".to_owned(),
            architecture: "x86_64".to_owned(),
            cgroup: "cgroup v2".to_owned(),
            rootless: true,
            storage: "overlay2 on extfs".to_owned(),
        }
    }

    #[test]
    fn it_is_believed_for_a_day_of_that_daemon_only() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        std::fs::write(&socket, "").unwrap();
        let address = format!("unix://{}", socket.display());
        let memory = Memory::new(folder.path(), &address, "boot").unwrap();
        assert_eq!(memory.recall("docker 1"), None);
        memory.remember(&info("docker 1"));
        assert_eq!(memory.recall("docker 1"), Some(info("docker 1")));
        assert_eq!(memory.recall("docker 2"), None, "another version");
        let later = Memory::new(folder.path(), &address, "another boot").unwrap();
        assert_eq!(later.recall("docker 1"), None);

        let old = SystemTime::now() - BELIEVED;
        std::fs::File::options().write(true).open(&memory.file).unwrap().set_modified(old).unwrap();
        assert_eq!(memory.recall("docker 1"), None, "too long ago");
        memory.remember(&info("docker 1"));
        std::fs::remove_file(&socket).unwrap();
        std::fs::write(&socket, "").unwrap();
        assert_eq!(memory.recall("docker 1"), None, "another socket in its place");
        std::fs::write(&memory.file, "not JSON").unwrap();
        assert_eq!(memory.recall("docker 1"), None);
    }

    #[test]
    fn an_engine_elsewhere_is_asked_each_time() {
        assert!(Memory::new(Path::new("/"), "tcp://engine:2375", "boot").is_none());
        assert!(Memory::new(Path::new("/"), "unix:///s", "").is_none());
    }
}

//! Whether the engine sees the store: asked of a container once a day, and remembered beside the store.
//!
//! A probe costs a container of its own, which is most of what a warm run would wait for. What is remembered belongs to
//! one daemon, one boot and one folder; only a yes is.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{EnvironmentError, Store};
use crate::engine::{Engine, EngineInfo};

/// How long a yes is believed.
const BELIEVED: Duration = Duration::from_hours(24);

/// Who saw what.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    engine: String,
    address: String,
    boot: String,
    device: u64,
    inode: u64,
}

impl Store {
    /// Whether the engine sees this folder as we do.
    ///
    /// # Errors
    /// When the engine cannot be asked.
    pub async fn is_seen_by(
        &self,
        engine: &dyn Engine,
        info: &EngineInfo,
        image: &str,
    ) -> Result<bool, EnvironmentError> {
        let seen = self.seen(info);
        if seen.as_ref().is_some_and(|seen| self.remembers(seen)) {
            return Ok(true);
        }
        if !engine.shares_files(&self.root, image).await? {
            return Ok(false);
        }
        if let Some(seen) = seen
            && let Err(error) = self.remember(&seen)
        {
            tracing::debug!(%error, "the engine will be probed again next time");
        }
        Ok(true)
    }

    /// `None` where daemon, boot or folder cannot be told from others: then nothing is remembered.
    fn seen(&self, info: &EngineInfo) -> Option<Seen> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let meta = std::fs::metadata(&self.root).ok()?;
        let known = !info.id.is_empty() && !boot.is_empty();
        known.then(|| Seen {
            engine: info.id.clone(),
            address: info.address.clone(),
            boot,
            device: meta.dev(),
            inode: meta.ino(),
        })
    }

    fn remembers(&self, seen: &Seen) -> bool {
        let file = self.memory();
        let fresh = std::fs::metadata(&file).and_then(|meta| meta.modified()).is_ok_and(|at| {
            // A clock that was set back makes everything stale.
            SystemTime::now().duration_since(at).is_ok_and(|passed| passed < BELIEVED)
        });
        fresh && std::fs::read(&file).is_ok_and(|text| serde_json::from_slice::<Seen>(&text).is_ok_and(|s| s == *seen))
    }

    fn remember(&self, seen: &Seen) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.root)?;
        serde_json::to_writer(&mut file, seen)?;
        file.persist(self.memory()).map(drop).map_err(|error| error.error)
    }

    fn memory(&self) -> PathBuf {
        self.root.join("seen-by.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fake::Fake;

    #[tokio::test]
    async fn a_yes_is_believed_for_a_day_and_for_that_engine_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (engine, info) = (Fake::new(), Fake::new().info().await.unwrap());
        assert!(store.is_seen_by(&engine, &info, "image").await.unwrap());
        engine.hide_files();
        assert!(store.is_seen_by(&engine, &info, "image").await.unwrap(), "remembered");
        let other = EngineInfo { id: "another".to_owned(), ..info.clone() };
        assert!(!store.is_seen_by(&engine, &other, "image").await.unwrap());
        let nameless = EngineInfo { id: String::new(), ..info.clone() };
        assert!(!store.is_seen_by(&engine, &nameless, "image").await.unwrap());
        let yesterday = SystemTime::now() - BELIEVED - Duration::from_mins(1);
        std::fs::File::options().append(true).open(store.memory()).unwrap().set_modified(yesterday).unwrap();
        assert!(!store.is_seen_by(&engine, &info, "image").await.unwrap(), "too old");
    }

    #[tokio::test]
    async fn a_no_is_asked_again_and_a_moved_store_too() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a")).unwrap();
        let (engine, info) = (Fake::new(), Fake::new().info().await.unwrap());
        engine.hide_files();
        assert!(!store.is_seen_by(&engine, &info, "image").await.unwrap());
        assert!(store.is_seen_by(&Fake::new(), &info, "image").await.unwrap());
        let copied = Store::open(&folder.path().join("b")).unwrap();
        std::fs::copy(store.memory(), copied.memory()).unwrap();
        assert!(!copied.is_seen_by(&engine, &info, "image").await.unwrap(), "the memory is of another folder");
    }
}

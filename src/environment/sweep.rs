//! Removal of what nobody needs: prefixes and benches that a crash left behind, environments unused for a month.
//!
//! A prefix that a run uses is never touched: its lease says so.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::lease::Vacant;
use super::{EnvironmentError, Store};

/// Younger ones may belong to a build whose lock is on another machine of a shared disk.
const MINIMUM_AGE: Duration = Duration::from_hours(24);

/// An environment that nobody used for so long is removed when another one is built.
const UNUSED: Duration = Duration::from_hours(30 * 24);

impl Store {
    /// Removes prefixes that no key file names and benches of dead builds, older than a day and with no lock held.
    /// Returns what was removed.
    pub fn sweep(&self) -> Result<Vec<PathBuf>, EnvironmentError> {
        self.sweep_older_than(MINIMUM_AGE)
    }

    /// Removes environments that were not used for `unused` and are not in use now. Returns their keys and for how long
    /// nobody used them.
    pub fn retire(&self, unused: Duration) -> Result<Vec<(String, Duration)>, EnvironmentError> {
        let mut retired = Vec::new();
        for (path, id) in self.published()? {
            let Some(vacant) = Vacant::of(&self.lease_file(&id)) else { continue };
            // Asked after the lease: whoever used it in between has set the time anew.
            let Some(idle) = idle(&path).filter(|idle| *idle >= unused) else { continue };
            let key = path.file_stem().unwrap_or_default().to_string_lossy().chars().take(16).collect();
            // The key first: from here on nobody finds it, and what a crash leaves is swept.
            let failed = |path: &Path, error| EnvironmentError::io(path, "removing an unused environment", error);
            std::fs::remove_file(&path).map_err(|error| failed(&path, error))?;
            let prefix = self.prefix(&id);
            std::fs::remove_dir_all(&prefix).map_err(|error| failed(&prefix, error))?;
            let _ = std::fs::remove_file(self.activation(&id));
            vacant.close();
            retired.push((key, idle));
        }
        Ok(retired)
    }

    /// Before a build: removes what nobody needs. A build never fails for it.
    pub(super) async fn make_room(&self, progress: &mut (dyn FnMut(String) + Send)) {
        let store = self.clone();
        let cleared = tokio::task::spawn_blocking(move || (store.retire(UNUSED), store.sweep())).await;
        let Ok((retired, swept)) = cleared else { return };
        match retired {
            Ok(retired) => {
                for (key, idle) in retired {
                    progress(format!("removed the environment {key}, unused for {} days", idle.as_secs() / 86_400));
                }
            }
            Err(error) => tracing::warn!(%error, "unused environments were not removed"),
        }
        match swept {
            Ok(swept) if !swept.is_empty() => {
                progress(format!("removed {} leftovers of builds that died", swept.len()));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "leftovers of builds were not removed"),
        }
    }

    pub(super) fn sweep_older_than(&self, age: Duration) -> Result<Vec<PathBuf>, EnvironmentError> {
        let known = self.known_ids()?;
        let bench = self.root.join("bench");
        let shared = bench.join("shared");
        let mut removed = Vec::new();
        for folder in [self.root.join("e"), bench, shared.join("e"), shared.join("build")] {
            for (id, path) in entries(&folder) {
                if id == "shared" || known.contains(&id) || !is_older(&path, age) || !self.is_unlocked(&id) {
                    continue;
                }
                // A key that was built again leaves its old prefix to the runs that still use it.
                let Some(vacant) = Vacant::of(&self.lease_file(&id)) else { continue };
                let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
                if gone.is_ok() {
                    vacant.close();
                    removed.push(path);
                }
            }
        }
        Ok(removed)
    }

    /// Ids that key files name. A key file that cannot be read stops the sweep: its prefix must not be lost.
    pub(super) fn known_ids(&self) -> Result<BTreeSet<String>, EnvironmentError> {
        Ok(self.published()?.into_iter().map(|(_, id)| id).collect())
    }

    /// Every key file, and the id that it names.
    fn published(&self) -> Result<Vec<(PathBuf, String)>, EnvironmentError> {
        let keys = self.root.join("keys");
        let mut found = Vec::new();
        let failed = |path: &Path, error| EnvironmentError::io(path, "reading what environments exist", error);
        for entry in std::fs::read_dir(&keys).map_err(|error| failed(&keys, error))? {
            let path = entry.map_err(|error| failed(&keys, error))?.path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let text = match std::fs::read(&path) {
                Ok(text) => text,
                // Another process was faster in removing it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&path, error)),
            };
            let entry: serde_json::Value =
                serde_json::from_slice(&text).map_err(|error| failed(&path, std::io::Error::other(error)))?;
            if let Some(id) = entry["id"].as_str() {
                found.push((path, id.to_owned()));
            }
        }
        Ok(found)
    }

    /// Whether nobody builds the key that an id begins with.
    fn is_unlocked(&self, id: &str) -> bool {
        let Some((key, _)) = id.split_once('-') else { return true };
        match File::options().write(true).open(self.lock_file(key)) {
            Ok(file) => !matches!(file.try_lock(), Err(TryLockError::WouldBlock)),
            Err(_) => true,
        }
    }
}

/// Ids and paths in a folder; `<id>.activate.sh` belongs to `<id>`.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.trim_end_matches(".activate.sh").to_owned(), entry.path()))
        })
        .collect()
}

fn is_older(path: &Path, age: Duration) -> bool {
    idle(path).is_some_and(|passed| passed >= age)
}

/// How long ago it was changed.
fn idle(path: &Path) -> Option<Duration> {
    let changed = std::fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok()?;
    SystemTime::now().duration_since(changed).ok()
}

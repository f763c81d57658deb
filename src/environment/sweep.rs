//! Removal of what nobody needs: prefixes and benches that a crash left behind, environments unused for a month.
//!
//! A prefix that a run uses is never touched: its lease says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::lease::Vacant;
use super::{EnvironmentError, Store, bytecode, trash};
use crate::spec::amount::count;

/// Younger ones may belong to a build whose lock is on another machine of a shared disk.
const MINIMUM_AGE: Duration = Duration::from_hours(24);

/// What key files say, and those that say nothing.
type Found<Key, Said> = (Vec<(Key, Said)>, Vec<Unreadable>);

/// A key file that says nothing: cut short by a crash, or another user's. What it may name is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// The system's words, or those of the JSON parser.
    pub reason: String,
}

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
        for (path, id) in self.published()?.0 {
            let Some(vacant) = Vacant::of(&self.lease_file(&id)) else { continue };
            // Asked after the lease: whoever used it in between has set the time anew.
            let Some(idle) = idle(&path).filter(|idle| *idle >= unused) else { continue };
            let key = path.file_stem().unwrap_or_default().to_string_lossy().chars().take(16).collect();
            let whole = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            self.drop_environment(&whole, &id, vacant)?;
            retired.push((key, idle));
        }
        Ok(retired)
    }

    /// Removes one that nobody uses. The key first: from here on nobody finds it, and what a crash leaves is swept.
    pub(super) fn drop_environment(&self, key: &str, id: &str, vacant: Vacant) -> Result<(), EnvironmentError> {
        let failed = |path: &Path, error| EnvironmentError::io(path, "removing an environment", error);
        let file = self.keys().join(format!("{key}.json"));
        trash::remove(&file).map_err(|error| failed(&file, error))?;
        let _ = std::fs::remove_file(self.projects_file(key));
        let prefix = self.prefix(id);
        trash::discard(&prefix).map_err(|error| failed(&prefix, error))?;
        let _ = std::fs::remove_file(self.activation(id));
        vacant.close();
        Ok(())
    }

    /// Removes what earlier builds of a key left that died, however short ago; the caller holds the key's lock, so that
    /// nobody builds it now.
    pub(super) fn clear_dead(&self, short: &str) -> Result<Vec<PathBuf>, EnvironmentError> {
        let known = self.known_ids()?;
        let of_key = |id: &str| id.split_once('-').is_some_and(|(key, _)| key == short);
        Ok(self.remove_where(&|id, _| of_key(id) && !known.contains(id)))
    }

    /// Before a build: removes what nobody needs. A build never fails for it.
    pub(super) async fn make_room(&self, progress: &mut (dyn FnMut(String) + Send)) {
        let store = self.clone();
        let cleared = tokio::task::spawn_blocking(move || (store.retire(store.keep.unused), store.sweep())).await;
        let Ok((retired, swept)) = cleared else { return };
        match retired {
            Ok(retired) => {
                for (key, idle) in retired {
                    let days = count(idle.as_secs() / 86_400, "day");
                    progress(format!("removed the environment {key}, unused for {days}"));
                }
            }
            Err(error) => tracing::warn!(error = %super::error::chain(&error), "unused environments were not removed"),
        }
        match swept {
            Ok(swept) if !swept.is_empty() => {
                progress(format!("removed {} of builds that died", count(swept.len() as u64, "leftover")));
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %super::error::chain(&error), "leftovers of builds were not removed"),
        }
    }

    pub(super) fn sweep_older_than(&self, age: Duration) -> Result<Vec<PathBuf>, EnvironmentError> {
        let known = self.known_ids()?;
        self.empty_trash();
        self.clear_unpacking();
        bytecode::clear(&self.root, |id| known.contains(id));
        Ok(self.remove_where(&|id, path| !known.contains(id) && is_older(path, age) && self.is_unlocked(id)))
    }

    /// Removes prefixes and folders of builders by their ids, unless somebody uses them.
    fn remove_where(&self, is_dead: &dyn Fn(&str, &Path) -> bool) -> Vec<PathBuf> {
        let bench = self.root.join("bench");
        let shared = bench.join("shared");
        let mut removed = Vec::new();
        for folder in [self.root.join("e"), bench, shared.join("e"), shared.join("build")] {
            for (id, path) in entries(&folder) {
                if id == "shared" || id.starts_with(trash::MARK) || !is_dead(&id, &path) {
                    continue;
                }
                // A key that was built again leaves its old prefix to the runs that still use it.
                let Some(vacant) = Vacant::of(&self.lease_file(&id)) else { continue };
                if trash::discard(&path).is_ok() {
                    vacant.close();
                    removed.push(path);
                }
            }
        }
        removed
    }

    /// Removes what was being unpacked when a build died or ran out of room; nothing while anybody builds.
    pub(super) fn clear_unpacking(&self) {
        let Some(_nobody_builds) = Vacant::of(&self.caches_file()) else { return };
        for (name, path) in entries(&self.root.join("pkgs")) {
            // The packages' own names never begin with a dot, those of unpacking folders always do.
            if name.starts_with('.') && path.is_dir() && trash::remove(&path).is_err() {
                tracing::debug!(path = %path.display(), "this is left for the next sweep");
            }
        }
    }

    /// Goes on with removals that were cut short.
    fn empty_trash(&self) {
        let compiled = entries(&bytecode::folder(&self.root)).into_iter().map(|(_, path)| path);
        let folders = ["e", "pkgs", "bench", "bench/shared/e", "bench/shared/build"].map(|name| self.root.join(name));
        for folder in folders.into_iter().chain([bytecode::wheels(&self.root)]).chain(compiled) {
            for (name, path) in entries(&folder) {
                if name.starts_with(trash::MARK) && trash::remove(&path).is_err() {
                    tracing::debug!(path = %path.display(), "this is left for the next sweep");
                }
            }
        }
    }

    /// Ids that key files name. A key file that cannot be read stops the sweep: its prefix must not be lost.
    pub(super) fn known_ids(&self) -> Result<BTreeSet<String>, EnvironmentError> {
        let (found, unreadable) = self.published()?;
        match unreadable.into_iter().next() {
            None => Ok(found.into_iter().map(|(_, id)| id).collect()),
            Some(Unreadable { path, reason }) => {
                let doing = "reading what environments exist";
                Err(EnvironmentError::io(&path, doing, std::io::Error::other(reason)))
            }
        }
    }

    /// Bytes that each environment takes in an engine's volume, by the id; none for one on this machine.
    pub(super) fn in_volumes(&self) -> Result<BTreeMap<String, u64>, EnvironmentError> {
        let (files, _) = self.key_files()?;
        let there = |(_, document): (PathBuf, Value)| {
            let id = document["id"].as_str()?.to_owned();
            document["volume"].as_str().map(|_| (id, document["volume_bytes"].as_u64().unwrap_or(0)))
        };
        Ok(files.into_iter().filter_map(there).collect())
    }

    /// Every key file, and the id that it names; and those that say nothing.
    pub(super) fn published(&self) -> Result<Found<PathBuf, String>, EnvironmentError> {
        let (files, unreadable) = self.key_files()?;
        let named = |(path, document): (PathBuf, Value)| Some((path, document["id"].as_str()?.to_owned()));
        Ok((files.into_iter().filter_map(named).collect(), unreadable))
    }

    /// Every key, and what its file says; and the files that say nothing.
    pub(super) fn documents(&self) -> Result<Found<String, Value>, EnvironmentError> {
        let key = |path: PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (files, unreadable) = self.key_files()?;
        Ok((files.into_iter().map(|(path, document)| (key(path), document)).collect(), unreadable))
    }

    fn key_files(&self) -> Result<Found<PathBuf, Value>, EnvironmentError> {
        let keys = self.keys();
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        let failed = |path: &Path, error| EnvironmentError::io(path, "reading what environments exist", error);
        for entry in std::fs::read_dir(&keys).map_err(|error| failed(&keys, error))? {
            let path = entry.map_err(|error| failed(&keys, error))?.path();
            if path.extension().is_none_or(|end| end != "json") {
                continue;
            }
            let read = match std::fs::read(&path) {
                // Another process was faster in removing it.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                read => read.and_then(|text| Ok(serde_json::from_slice::<Value>(&text)?)),
            };
            match read {
                Ok(document) if document["id"].is_string() => found.push((path, document)),
                Ok(_) => unreadable.push(Unreadable { path, reason: "it names no environment".to_owned() }),
                Err(error) => unreadable.push(Unreadable { path, reason: error.to_string() }),
            }
        }
        Ok((found, unreadable))
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
pub(super) fn idle(path: &Path) -> Option<Duration> {
    let changed = std::fs::symlink_metadata(path).and_then(|meta| meta.modified()).ok()?;
    SystemTime::now().duration_since(changed).ok()
}

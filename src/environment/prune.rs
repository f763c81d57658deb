//! Making room: environments that nobody used for long, then what the caches have for nobody.
//!
//! Never touches what is in use: a lease that a run holds, an errand at work, a folder that a live container is shown.
//! Caches are left alone while anything is built.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::census::{Census, Kind};
use super::lease::Vacant;
use super::sweep::{Unreadable, idle};
use super::{EnvironmentError, Store, bytecode, trash};

/// What is kept without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Bytes of the whole store, each counted once.
    pub bytes: u64,
    /// How long an environment is kept after its last use.
    pub unused: Duration,
}

impl Default for Keep {
    fn default() -> Self {
        Self { bytes: 50 << 30, unused: Duration::from_hours(30 * 24) }
    }
}

/// What is to go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Environments that were not used for so long.
    pub older_than: Option<Duration>,
    /// Then the least recently used, until no more than these bytes are left.
    pub keep_bytes: Option<u64>,
    /// All of them.
    pub all: bool,
    /// Only what has to go for `keep_bytes` goes from the caches too.
    pub spare_caches: bool,
    /// Nothing is removed.
    pub dry_run: bool,
}

impl Room {
    /// What the limits ask for.
    pub fn limits(keep: Keep) -> Self {
        Self { older_than: Some(keep.unused), keep_bytes: Some(keep.bytes), ..Self::default() }
    }
}

/// One environment that went, or would.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// The whole key.
    pub key: String,
    /// How long nobody had used it.
    pub idle: Duration,
    /// Bytes that are free without it.
    pub bytes: u64,
}

/// What went, or would.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Environments, in the order in which they went.
    pub environments: Vec<Gone>,
    /// Parts of the caches: packages, wheels, compiled packages.
    pub caches: usize,
    /// Bytes that are free with them.
    pub cache_bytes: u64,
    /// Leftovers of builds that died.
    pub leftovers: usize,
    /// Keys of those that stay only because somebody uses them.
    pub in_use: Vec<String>,
    /// Key files that say nothing: what they may name stays.
    pub unreadable: Vec<Unreadable>,
    /// Whether the caches were left alone because something is being built.
    pub building: bool,
    /// Environments among them that are in volumes of an engine: [`Store::sweep_volumes`] removes those there.
    pub volumes: usize,
    /// Bytes of what is left, each counted once; volumes included.
    pub left: u64,
}

impl Pruned {
    /// All bytes that are free now.
    pub fn freed(&self) -> u64 {
        self.cache_bytes + self.environments.iter().map(|gone| gone.bytes).sum::<u64>()
    }
}

/// One environment that may go.
struct Candidate {
    key: String,
    id: String,
    idle: Duration,
}

/// The work, while it is done.
struct Pruning<'a> {
    store: &'a Store,
    wish: Room,
    /// Folders that live containers are shown.
    shown: &'a [PathBuf],
    busy: Vec<String>,
    /// Nobody builds while this is held.
    caches: Option<Vacant>,
    census: Census,
    /// Bytes in volumes of an engine, by the environment's id.
    volumes: BTreeMap<String, u64>,
    done: Pruned,
}

impl Store {
    /// Removes what is wished; `shown` are folders that live containers are shown.
    ///
    /// # Errors
    /// When the store cannot be read, or something in it cannot be removed.
    pub fn prune(&self, wish: Room, shown: &[PathBuf]) -> Result<Pruned, EnvironmentError> {
        let leftovers = if wish.dry_run { 0 } else { self.swept() };
        let mut pruning = Pruning {
            store: self,
            wish,
            shown,
            busy: bytecode::in_use(&self.root),
            caches: Vacant::of(&self.caches_file()),
            census: self.census()?,
            volumes: self.in_volumes()?,
            done: Pruned { leftovers, ..Pruned::default() },
        };
        pruning.run()?;
        let left = pruning.total();
        let Pruning { mut done, caches, .. } = pruning;
        done.left = left;
        done.building = caches.is_none();
        Ok(done)
    }

    /// How many leftovers of dead builds went; none where a key file cannot be read, which is told by itself.
    fn swept(&self) -> usize {
        match self.sweep() {
            Ok(removed) => removed.len(),
            Err(error) => {
                tracing::warn!(error = %super::error::chain(&error), "leftovers of builds were not removed");
                0
            }
        }
    }
}

impl Pruning<'_> {
    fn run(&mut self) -> Result<(), EnvironmentError> {
        let mut candidates = self.candidates()?;
        let doomed = |wish: &Room, one: &Candidate| wish.all || wish.older_than.is_some_and(|age| one.idle >= age);
        for candidate in candidates.extract_if(.., |one| doomed(&self.wish, one)).collect::<Vec<_>>() {
            self.remove(candidate)?;
        }
        if !self.wish.spare_caches || self.is_over() {
            self.clear_caches()?;
        }
        for candidate in candidates {
            if !self.is_over() {
                break;
            }
            self.remove(candidate)?;
            self.clear_caches()?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.wish.keep_bytes.is_some_and(|bytes| self.total() > bytes)
    }

    /// Bytes of what is left, here and in volumes.
    fn total(&self) -> u64 {
        self.census.total() + self.volumes.values().sum::<u64>()
    }

    /// Every environment, the least recently used first.
    fn candidates(&mut self) -> Result<Vec<Candidate>, EnvironmentError> {
        let mut found = Vec::new();
        let (published, unreadable) = self.store.published()?;
        self.done.unreadable = unreadable;
        for (path, id) in published {
            let key = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push(Candidate { key, id, idle: idle(&path).unwrap_or_default() });
        }
        found.sort_by_key(|candidate| std::cmp::Reverse(candidate.idle));
        Ok(found)
    }

    fn remove(&mut self, candidate: Candidate) -> Result<(), EnvironmentError> {
        let Candidate { key, id, idle } = candidate;
        let prefix = self.store.prefix(&id);
        let vacant = Vacant::of(&self.store.lease_file(&id));
        let shown = self.shown.iter().any(|path| path.starts_with(&prefix)) || self.busy.contains(&id);
        let (Some(vacant), false) = (vacant, shown) else {
            self.done.in_use.push(key);
            return Ok(());
        };
        let part = self.census.parts.iter().position(|part| part.kind == Kind::Environment && part.name == id);
        let there = self.volumes.remove(&id);
        self.done.volumes += usize::from(there.is_some());
        let bytes = part.map_or(0, |at| self.census.remove(at)) + there.unwrap_or(0);
        if !self.wish.dry_run {
            self.store.drop_environment(&key, &id, vacant)?;
        }
        self.done.environments.push(Gone { key, idle, bytes });
        Ok(())
    }

    /// What only caches have, goes.
    fn clear_caches(&mut self) -> Result<(), EnvironmentError> {
        if self.caches.is_none() {
            return Ok(());
        }
        for at in 0..self.census.parts.len() {
            // The next solve asks for it again, so that it goes for want of room only.
            let index = self.census.parts[at].kind == Kind::Index;
            if !self.census.is_unused(at) || (index && !self.wish.all && !self.is_over()) {
                continue;
            }
            self.done.cache_bytes += self.census.remove(at);
            self.done.caches += 1;
            for path in self.census.parts[at].paths.iter().filter(|_| !self.wish.dry_run) {
                trash::discard(path).map_err(|error| EnvironmentError::io(path, "clearing a cache", error))?;
            }
        }
        if !self.wish.dry_run {
            forget_wheels(&self.store.root.join("bench/shared/uv"));
        }
        Ok(())
    }
}

/// Takes out of uv's index what stands for wheels that are not there any more, so that it does not look for them.
fn forget_wheels(cache: &std::path::Path) {
    let folders = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let buckets = folders(cache.to_owned()).filter(|path| path.to_string_lossy().contains("/wheels-v"));
    // Bucket, index (`pypi`, `index/DIGEST`, `url/DIGEST`), package, wheel.
    let mut waiting: Vec<(PathBuf, u8)> = buckets.map(|path| (path, 0)).collect();
    while let Some((folder, depth)) = waiting.pop() {
        for path in folders(folder) {
            let Ok(meta) = std::fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() && depth < 5 {
                waiting.push((path, depth + 1));
            } else if meta.is_symlink() && !path.exists() {
                for end in ["http", "rev", "msgpack"] {
                    let beside = format!("{}.{end}", path.display());
                    let _ = std::fs::remove_file(beside);
                }
                let _ = std::fs::remove_file(&path);
            }
        }
    }
}

//! What environments there are, for people: how old, how large, for whom, and whether somebody uses them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::census::{Census, Kind};
use super::lease::Vacant;
use super::{EnvironmentError, Prepared, Store, Unreadable, bytecode};

/// One environment.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The whole key.
    pub key: String,
    /// The prefix on this machine.
    pub path: PathBuf,
    /// Projects that used it, the first one first.
    pub projects: Vec<String>,
    /// When a run last asked for it.
    pub last_used: SystemTime,
    /// Whether it is in a volume of an engine; `path` holds a description of it then.
    pub in_volume: bool,
    /// Bytes, shared ones and those in a volume included.
    pub bytes: u64,
    /// Bytes that would be free without it.
    pub own_bytes: u64,
    /// Python's version.
    pub python: Option<String>,
    /// conda packages and Python distributions.
    pub packages: usize,
    /// Whether a run or an errand uses it now.
    pub in_use: bool,
}

/// The store.
#[derive(Debug, Clone)]
pub struct Listing {
    /// Last used first.
    pub environments: Vec<Listed>,
    /// Bytes of everything, each counted once; volumes included.
    pub total_bytes: u64,
    /// Bytes among them that are in volumes of engines.
    pub volume_bytes: u64,
    /// Bytes of cached packages, wheels and bytecode that no environment uses.
    pub unused_cache_bytes: u64,
    /// Key files that say nothing.
    pub unreadable: Vec<Unreadable>,
}

impl Store {
    /// Looks at everything there is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Listing, EnvironmentError> {
        let mut census = self.census()?;
        let (busy, volumes) = (bytecode::in_use(&self.root), self.in_volumes()?);
        let mut environments = Vec::new();
        let (documents, unreadable) = self.documents()?;
        for (key, document) in documents {
            let id = document["id"].as_str().unwrap_or_default();
            let part = census.parts.iter().find(|part| part.kind == Kind::Environment && part.name == id);
            let there = volumes.get(id).copied();
            let count = |list: &str| document["lock"][list].as_array().map_or(0, Vec::len);
            environments.push(Listed {
                path: self.prefix(id),
                projects: self.projects(&key),
                last_used: used(&self.keys().join(format!("{key}.json"))).unwrap_or(SystemTime::UNIX_EPOCH),
                in_volume: there.is_some(),
                bytes: part.map_or(0, |part| census.size(part)) + there.unwrap_or(0),
                own_bytes: part.map_or(0, |part| census.own(part)) + there.unwrap_or(0),
                python: document["lock"]["python"].as_str().map(str::to_owned),
                packages: count("conda") + count("pip"),
                in_use: busy.iter().any(|busy| busy == id) || !Vacant::is(&self.lease_file(id)),
                key,
            });
        }
        environments.sort_by_key(|listed| std::cmp::Reverse(listed.last_used));
        let volume_bytes = volumes.values().sum();
        let total_bytes = census.total() + volume_bytes;
        let unused: Vec<usize> = (0..census.parts.len())
            .filter(|at| census.is_unused(*at) && census.parts[*at].kind != Kind::Index)
            .collect();
        let unused_cache_bytes = unused.into_iter().map(|at| census.remove(at)).sum();
        Ok(Listing { environments, total_bytes, volume_bytes, unused_cache_bytes, unreadable })
    }

    /// Notes that a project uses an environment. No run fails for it.
    pub fn used_by(&self, prepared: &Prepared, project: &str) {
        let key = prepared.key.to_string();
        let known = self.projects(&key);
        if known.iter().any(|known| known == project) {
            return;
        }
        // Appended in one write: two at once lose nothing.
        let line = format!("{project}\n");
        let _ = std::fs::create_dir(self.root.join("projects"));
        let file = std::fs::File::options().create(true).append(true).open(self.projects_file(&key));
        if let Err(error) = file.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes())) {
            tracing::debug!(%error, "whose environment it is was not noted");
        }
    }

    /// Projects that used an environment.
    fn projects(&self, key: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.projects_file(key)).unwrap_or_default();
        let mut seen = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if !seen.iter().any(|seen| seen == line) {
                seen.push(line.to_owned());
            }
        }
        seen
    }

    pub(super) fn projects_file(&self, key: &str) -> PathBuf {
        // An engine that has it in a volume is named after `@`.
        self.root.join("projects").join(key.split('@').next().unwrap_or(key))
    }

    pub(super) fn census(&self) -> Result<Census, EnvironmentError> {
        Census::take(&self.root).map_err(|error| EnvironmentError::io(&self.root, "counting what there is", error))
    }
}

fn used(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|meta| meta.modified()).ok()
}

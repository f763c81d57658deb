//! The lock that is kept for each key: it outlives its prefix, so that an environment which was collected is built again
//! as it was, without a solve, and one that is solved again can be compared with what it was. A machine that never had it
//! takes the lock that an earlier commit was published with.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::build::{self, Built, Packages};
use super::drift::{Change, differences};
use super::exact::unusable;
use super::store::{Request, Store, Wish};
use super::{EnvironmentError, Lock, Prepared};
use crate::id::Digest;

/// What was built, and how it differs from what the same inputs were before.
pub(super) struct Fresh {
    pub(super) built: Built,
    pub(super) changes: Vec<Change>,
    /// Whether its packages were solved now.
    pub(super) solved: bool,
}

/// What stood for a key before its lock was waited for.
pub(super) struct Before {
    /// The id, where that was solved.
    solved: Option<String>,
    lock: Option<Lock>,
}

impl Store {
    /// The environment that fulfils a request as it is, if there is one.
    pub(super) async fn ready(
        &self,
        request: &Request<'_>,
        key: &Digest,
    ) -> Result<Option<Prepared>, EnvironmentError> {
        match request.wish {
            Wish::AsKept | Wish::Rather(_) => self.find_whole(key, request).await,
            Wish::Anew => Ok(None),
            Wish::Exactly(lock) => {
                // Most often it is what environment.yml comes to anyway.
                let usual = self.find_whole(&request.inputs.key(request.config), request).await?;
                match usual.filter(|prepared| lock.is_of(&prepared.lock)) {
                    Some(prepared) => Ok(Some(prepared)),
                    None => self.find_whole(key, request).await,
                }
            }
        }
    }

    /// What stands for a key now, where somebody is about to have it solved anew.
    pub(super) fn before(&self, request: &Request<'_>, key: &Digest) -> Option<Before> {
        matches!(request.wish, Wish::Anew)
            .then(|| Before { solved: self.solved(key, request.config), lock: self.kept(key) })
    }

    /// As [`Store::ready`], once the key's lock is held: who held it may have solved anew meanwhile, and then nobody
    /// needs to do it twice.
    pub(super) async fn ready_by_now(
        &self,
        request: &Request<'_>,
        key: &Digest,
        before: Option<Before>,
    ) -> Result<Option<Prepared>, EnvironmentError> {
        let Some(before) = before else { return self.ready(request, key).await };
        let now = self.solved(key, request.config);
        if now.is_none() || now == before.solved {
            return Ok(None);
        }
        let found = self.find_whole(key, request).await?;
        Ok(found.map(|prepared| {
            let changes = before.lock.map(|lock| differences(lock.document(), &prepared.lock)).unwrap_or_default();
            Prepared { changes, ..prepared }
        }))
    }

    /// Builds what is asked for: from the lock of a commit, from the kept one, or by solving.
    pub(super) async fn fresh(
        &self,
        request: &Request<'_>,
        (key, id): (&Digest, &str),
        progress: &mut (dyn FnMut(String) + Send),
        cancel: &CancellationToken,
    ) -> Result<Fresh, EnvironmentError> {
        if let Wish::Exactly(lock) = request.wish {
            lock.check(request.inputs, request.config)?;
            progress("its packages are those of the lock; nothing is solved".to_owned());
            let built = Box::pin(build::build(self, request, Packages::Of(lock), id, progress, cancel)).await?;
            return Ok(Fresh { built, changes: Vec::new(), solved: false });
        }
        let kept = self.kept(key);
        let known = match (request.wish, &kept) {
            (Wish::AsKept | Wish::Rather(_), Some(lock)) => Some((lock, "its lock was kept")),
            (Wish::Rather(lock), None) => Some((lock, "an earlier commit was published with its lock")),
            _ => None,
        };
        if let Some((lock, why)) = known {
            progress(format!("{why}: the same packages are taken again, and nothing is solved"));
            // One that was kept here came from here; the other one from a storage, where it may be anybody's.
            let suits = if kept.is_some() { Ok(()) } else { lock.suits(request.inputs, request.config) };
            let built = match suits {
                Ok(()) => Box::pin(build::build(self, request, Packages::Of(lock), id, progress, cancel)).await,
                Err(error) => Err(error),
            };
            match built {
                Ok(built) => return Ok(Fresh { built, changes: Vec::new(), solved: false }),
                Err(error) if !is_about_packages(&error) => return Err(error),
                Err(error) => {
                    let words = error.to_string();
                    let first = words.lines().next().unwrap_or_default();
                    progress(format!("that is not possible any more, so it is solved anew: {first}"));
                }
            }
        }
        let built = Box::pin(build::build(self, request, Packages::OfChannels, id, progress, cancel)).await?;
        let before = kept.as_ref().or(match request.wish {
            Wish::Rather(lock) => Some(lock),
            _ => None,
        });
        let changes = before.map(|lock| differences(lock.document(), &built.lock)).unwrap_or_default();
        Ok(Fresh { built, changes, solved: true })
    }

    /// The lock of a key, where one is kept and makes sense.
    fn kept(&self, key: &Digest) -> Option<Lock> {
        let text = std::fs::read(self.kept_file(key)).ok()?;
        let document: Value = serde_json::from_slice(&text).ok()?;
        Lock::parse(&document).inspect_err(|error| tracing::warn!(%error, "a kept lock is passed over")).ok()
    }

    /// Keeps the lock of a key; appears whole or not at all. An environment is as good without it.
    pub(super) fn keep(&self, key: &Digest, lock: &Value) {
        let file = self.kept_file(key);
        let write = || -> std::io::Result<()> {
            let folder = self.root.join(FOLDER);
            std::fs::create_dir_all(&folder)?;
            let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer_pretty(&mut temporary, lock)?;
            temporary.flush()?;
            temporary.as_file().sync_all()?;
            temporary.persist(&file).map(drop).map_err(|error| error.error)
        };
        if let Err(error) = write() {
            tracing::warn!(path = %file.display(), %error, "a lock was not kept");
        }
    }

    pub(super) fn kept_file(&self, key: &Digest) -> PathBuf {
        self.root.join(FOLDER).join(format!("{key}.json"))
    }
}

/// Below the store's root. A few KiB each: they are never collected.
const FOLDER: &str = "solved";

/// Whether other packages could help: not where the disk, the engine or the user's wish stands in the way.
fn is_about_packages(error: &EnvironmentError) -> bool {
    matches!(
        error,
        EnvironmentError::Lock { .. }
            | EnvironmentError::Install { .. }
            | EnvironmentError::ChannelUnreachable { .. }
            | EnvironmentError::Pip { .. }
            | EnvironmentError::NoPloomber { .. }
    )
}

/// Whether what was built from a lock has its packages.
pub(super) fn check(lock: &Lock, built: &Value) -> Result<(), EnvironmentError> {
    let changes = differences(lock.document(), built);
    match changes.first() {
        None => Ok(()),
        Some(first) => Err(unusable(format!("{} packages came out otherwise, such as {first}", changes.len()))),
    }
}

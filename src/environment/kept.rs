//! The lock that is kept for each key: it outlives its prefix, so that an environment which was collected is built again
//! as it was, without a solve, and one that is solved again can be compared with what it was.

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
}

impl Store {
    /// The environment that fulfils a request as it is, if there is one.
    pub(super) async fn ready(
        &self,
        request: &Request<'_>,
        key: &Digest,
    ) -> Result<Option<Prepared>, EnvironmentError> {
        match request.wish {
            Wish::AsKept => self.find_whole(key, request).await,
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
            return Ok(Fresh { built, changes: Vec::new() });
        }
        let kept = self.kept(key);
        if let (Wish::AsKept, Some(lock)) = (request.wish, &kept) {
            progress("its lock was kept: the same packages are taken again, and nothing is solved".to_owned());
            match Box::pin(build::build(self, request, Packages::Of(lock), id, progress, cancel)).await {
                Ok(built) => return Ok(Fresh { built, changes: Vec::new() }),
                Err(error) if !is_about_packages(&error) => return Err(error),
                Err(error) => {
                    let words = error.to_string();
                    let first = words.lines().next().unwrap_or_default();
                    progress(format!("that is not possible any more, so it is solved anew: {first}"));
                }
            }
        }
        let built = Box::pin(build::build(self, request, Packages::OfChannels, id, progress, cancel)).await?;
        let changes = kept.map(|lock| differences(lock.document(), &built.lock)).unwrap_or_default();
        Ok(Fresh { built, changes })
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

    fn kept_file(&self, key: &Digest) -> PathBuf {
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

//! What the last run of the same request gave its container, remembered: so that the next one's can be started while the
//! commit is still being read and checked.
//!
//! A guess decides nothing. The run works out what its container has to be as if there were none, and takes the one that
//! was started only if it is exactly that; such a container has been shown nothing but the run's own empty folders and
//! an environment of this machine, and waits. Never for strangers' commits, nor on a server, where each run has a folder
//! of its own.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ahead::{Answering, Early};
use super::host::Host;
use super::laying::Folders;
use super::prepare::owner_of;
use super::request::RunRequest;
use crate::engine::{HostPath, SessionSpec};
use crate::store::LiveRun;

/// So many requests are remembered.
const KEPT: usize = 64;

#[derive(Serialize, Deserialize)]
struct Remembered {
    /// The folder of the run that had it; the next run has another.
    folder: PathBuf,
    spec: SessionSpec,
}

/// Starts what is guessed, as soon as the engine answers; nothing where there is no guess.
pub(super) fn start(request: &RunRequest, host: &Host, live: &LiveRun, early: &Early, answering: Answering) {
    let Some(spec) = recall(request, host, live) else { return };
    let owner = owner_of(host, spec.user);
    // Whatever keeps them from being made is told when they are wanted.
    if let Ok(folders) = Folders::make(live.folder(), owner) {
        early.guess(spec, (folders, owner), answering);
    }
}

/// Remembers what a run gave its container; that it cannot is no failure.
pub(super) fn remember(request: &RunRequest, host: &Host, live: &LiveRun, spec: &SessionSpec) {
    let Some(file) = file(request, host) else { return };
    let write = || -> std::io::Result<()> {
        let known: Option<Remembered> = read(&file);
        if known.is_some_and(|known| moved(known, live).is_some_and(|known| known == *spec)) {
            return Ok(());
        }
        let folder = file.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(folder)?;
        make_room(folder)?;
        let mut temp = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        let remembered = Remembered { folder: live.folder().path().to_owned(), spec: spec.clone() };
        serde_json::to_writer(&mut temp, &remembered)?;
        temp.persist(&file).map(drop).map_err(|error| error.error)
    };
    if let Err(error) = write() {
        tracing::debug!(%error, "the next run's container is not guessed");
    }
}

fn recall(request: &RunRequest, host: &Host, live: &LiveRun) -> Option<SessionSpec> {
    moved(read(&file(request, host)?)?, live)
}

fn read(file: &Path) -> Option<Remembered> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// As it is for another run: its folders are that run's own.
fn moved(remembered: Remembered, live: &LiveRun) -> Option<SessionSpec> {
    let Remembered { folder, mut spec } = remembered;
    spec.run = live.id().clone();
    for mount in &mut spec.mounts {
        if let Ok(inside) = mount.host.0.strip_prefix(&folder) {
            mount.host.0 = live.folder().path().join(inside);
        } else if !mount.host.0.exists() {
            return None;
        }
    }
    spec.pipes = spec.pipes.map(|_| HostPath(live.folder().pipes()));
    Some(spec)
}

/// Where a request's guess is; `None` where there should be none.
fn file(request: &RunRequest, host: &Host) -> Option<PathBuf> {
    let other = request.refresh || request.frozen_as.is_some() || request.allow_dirty;
    if request.hosted || request.no_secrets || other {
        return None;
    }
    // What becomes of the outputs is nothing to the container.
    let (on_conflict, no_reuse, keep_work) = (None, false, false);
    let alike = RunRequest { storage: None, on_conflict, no_reuse, keep_work, ..request.clone() };
    let asked = serde_json::to_vec(&(alike, &host.current_dir)).ok()?;
    Some(host.home.cache().join("guesses").join(hex::encode(&Sha256::digest(asked)[..16])))
}

/// The oldest go.
fn make_room(folder: &Path) -> std::io::Result<()> {
    let mut files: Vec<_> = fs_err::read_dir(folder)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    files.sort();
    let many = files.len().saturating_sub(KEPT - 1);
    files.iter().take(many).try_for_each(|(_, file)| fs_err::remove_file(file))
}

#[cfg(test)]
mod tests;

//! What `doctor` writes to see whether a storage takes a file, and what earlier ones left of that.

use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};

use super::Remote;
use crate::storage::backend::{Made, Meta};
use crate::storage::patience::{in_passing, unless};
use crate::storage::{Progress, StorageError, key};

/// What the file says: together with its name it tells whose it is.
const WORDS: &[u8] = b"written by `soopervisor doctor`";
/// What is younger than this may be of somebody who is at it now.
const OLD: SignedDuration = SignedDuration::from_hours(1);
/// A place of which the listing takes longer is not looked through.
const LOOKING: Duration = Duration::from_secs(5);
/// No more of them are removed at once.
const MOST: usize = 20;

/// Writes a small file and removes it again, also where writing failed or somebody wants to stop meanwhile. Who stopped is
/// told of a file that may be left.
pub(super) async fn write(remote: &Remote, progress: &dyn Progress) -> Result<(), StorageError> {
    if progress.cancelled() {
        return Err(StorageError::Cancelled);
    }
    let key = key::trial();
    let (mut written, mut removed) = (None, None);
    let before = remote.service.asked();
    // Not dropped half way by who is stopped: it might arrive after it was removed.
    let writing = async {
        written = Some(remote.service.put(&key, Bytes::from_static(WORDS)).await);
    };
    in_passing(progress, writing).await;
    let may_have_gone_out = before.is_none() || remote.service.asked() != before;
    if matches!(written, Some(Ok(_))) {
        let stopped = || progress.cancelled();
        // Nobody minds whether it was done.
        let _ = unless(&stopped, remove_old(remote, &key)).await;
    }
    // Of what was refused nothing is there; of all else nobody knows.
    let is_none_there = match &written {
        Some(Err(fault)) => !fault.is_passing(),
        Some(Ok(_)) => false,
        None => !may_have_gone_out,
    };
    if !is_none_there {
        let removing = async {
            removed = Some(remote.service.remove(&key).await);
        };
        in_passing(progress, removing).await;
    }
    // What was given up on its way may arrive after it was removed.
    let is_gone = is_none_there || written.is_some() && matches!(removed, Some(Ok(())));
    if progress.cancelled() && !is_gone {
        return Err(StorageError::TrialLeft { key, place: remote.service.place() });
    }
    match (written, removed) {
        (Some(Err(fault)), _) => Err(remote.fault("write", &key, fault)),
        (Some(Ok(_)), Some(Err(fault))) => Err(remote.fault("remove", &key, fault)),
        (Some(Ok(_)), Some(Ok(()))) if !progress.cancelled() => Ok(()),
        _ => Err(StorageError::Cancelled),
    }
}

/// Removes what others left who were killed between writing and removing. How old it is, is told by the storage's own clock:
/// `own` was written a moment ago.
async fn remove_old(remote: &Remote, own: &str) {
    let Ok(Ok(listed)) = tokio::time::timeout(LOOKING, remote.service.list("", false)).await else { return };
    let written = listed.iter().find(|meta| meta.key == own).and_then(|meta| meta.modified);
    let Some(now) = written else { return };
    let duplicates = remote.service.traits().duplicates;
    for meta in listed.iter().filter(|meta| is_left(meta, now)).take(MOST) {
        let made = Made { key: &meta.key, id: meta.id.as_deref().filter(|_| duplicates) };
        if holds_the_words(remote, made).await {
            let removed = remote.service.remove_made(made).await;
            tracing::info!(key = meta.key, ?removed, "was left by a doctor that was killed");
        }
    }
}

/// Whether it looks like a file of [`write`]'s that nobody will remove any more.
fn is_left(meta: &Meta, now: Timestamp) -> bool {
    let is_old = meta.modified.is_some_and(|written| now.duration_since(written) >= OLD);
    !meta.folder && key::is_trial(&meta.key) && meta.size == WORDS.len() as u64 && is_old
}

async fn holds_the_words(remote: &Remote, made: Made<'_>) -> bool {
    let Ok(mut stream) = remote.service.read_made(made, 0).await else { return false };
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = stream.try_next().await {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > WORDS.len() {
            return false;
        }
    }
    bytes == WORDS
}

//! Half-sent files that nobody goes on with, given up where a service keeps what has arrived of them until it is told.
//!
//! They are known from the journals of this machine, and from nothing else: what a bucket holds of unfinished uploads may be
//! of anybody. A publish looks for them in its own journal when it begins and when it ends, and in those of its place that
//! nobody came back to for a week; so does a prune that finds a folder without a manifest.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;

use super::journal::Journal;
use super::publish::names;
use super::{LANES, Remote};
use crate::outputs::OutputKind;
use crate::storage::backend::Fault;
use crate::storage::{Folder, Publication, StorageError, key};

/// Nobody waits longer for it; what is left is given up another time.
const LONGEST: Duration = Duration::from_secs(20);

/// What a publish that begins will not go on with: files that are not among its own, or not of their size.
pub(super) async fn of_others(remote: &Remote, publication: &Publication, folder: &Folder, journal: &Journal) {
    if !remote.service.halves_stay() {
        return;
    }
    let prefix = key::object_folder(&publication.about.project, folder);
    let mut wanted: HashMap<String, u64> = HashMap::new();
    for (output, name) in publication.collection.outputs.iter().zip(names(remote, publication, folder)) {
        if output.kind == OutputKind::File {
            wanted.insert(format!("{prefix}{}", key::other_name(&name, &publication.about.run)), output.size);
            wanted.insert(format!("{prefix}{name}"), output.size);
        }
    }
    give_up(remote, journal, journal.left(|key, size| wanted.get(key) == Some(&size))).await;
    of_the_forgotten(remote).await;
}

/// What is left in a journal once everything is published, or once it is certain that it will not be.
pub(super) async fn of_all(remote: &Remote, journal: &Journal) {
    if remote.service.halves_stay() {
        give_up(remote, journal, journal.left(|_, _| false)).await;
    }
}

/// What publishes to this place left that nobody came back to.
pub(super) async fn of_the_forgotten(remote: &Remote) {
    if !remote.service.halves_stay() {
        return;
    }
    for journal in Journal::forgotten(remote.journals.as_deref(), &remote.service.place()) {
        of_all(remote, &journal).await;
        if journal.left(|_, _| false).is_empty() {
            // By what is whole a prune knows what it may remove.
            if journal.finished().is_empty() {
                journal.close();
            } else {
                journal.rest();
            }
        }
    }
}

/// Whether the same publish once more would fail in the same way, and somebody else would have to go on.
pub(super) fn is_final(error: &StorageError) -> bool {
    match error {
        StorageError::Cancelled | StorageError::Undecided { .. } => false,
        StorageError::Service { fault, .. } => {
            !fault.is_passing() && !matches!(fault, Fault::Login(_) | Fault::Spent(_))
        }
        _ => true,
    }
}

async fn give_up(remote: &Remote, journal: &Journal, left: Vec<(String, String)>) {
    let going = futures::stream::iter(left).for_each_concurrent(LANES, |(key, session)| async move {
        match remote.service.abandon(&key, &session).await {
            Ok(true) => {
                tracing::info!(key, "what had arrived of it is given up");
                journal.forget(&key);
            }
            Ok(false) => {}
            Err(fault) => tracing::info!(key, %fault, "what had arrived of it stays"),
        }
    });
    if tokio::time::timeout(LONGEST, going).await.is_err() {
        tracing::info!("what had arrived of some files stays: the service does not answer");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_second_try_may_finish_is_kept() {
        let failed = |fault| StorageError::Service {
            action: "send",
            key: "k".to_owned(),
            place: "s3://bucket".to_owned(),
            fault,
        };
        let words = || "x".to_owned();
        for fault in [Fault::Broken(words()), Fault::Throttled(None), Fault::Login(words()), Fault::Spent(words())] {
            assert!(!is_final(&failed(fault)));
        }
        assert!(!is_final(&StorageError::Cancelled));
        for fault in [Fault::Full, Fault::Changed, Fault::Forbidden("x".to_owned())] {
            assert!(is_final(&failed(fault)));
        }
    }
}

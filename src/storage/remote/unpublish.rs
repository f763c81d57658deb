//! Takes a published folder away: the manifest first, then all that lies there.
//!
//! What a service asks to wait for may take minutes, in which a mark grows old, somebody publishes the commit again or puts
//! a file into its folder. So nothing that was looked at before a pause is removed after it without another look, and
//! nothing at all once the mark is so old that others might pass it by.

use std::time::Duration;

use tokio::time::Instant;

use super::marks::Since;
use super::tidy::Named;
use super::{Remote, pointer};
use crate::id::ProjectName;
use crate::outputs::manifest::Manifest;
use crate::storage::backend::{Fault, Meta};
use crate::storage::patience::unless;
use crate::storage::prune::is_litter;
use crate::storage::{Folder, Storage as _, StorageError, Swept, key};

/// A pause that is shorter changes nothing.
const SHORT: Duration = Duration::from_secs(1);
/// What was looked at so lately is still so.
const LATELY: Duration = Duration::from_secs(2);
/// Why something stays.
const PUBLISHED: &str = "it was published again meanwhile";
const OF_OTHERS: &str = "somebody put files there meanwhile";
const PAUSED: &str = "the storage asked for long pauses; the next prune goes on with it";

/// Does `work` as long as the service lets it through at once; `None` where it asks for a pause: what is under way is dropped
/// then, between two requests.
pub(super) async fn at_once<T>(remote: &Remote, since: Since, work: impl Future<Output = T>) -> Option<T> {
    let is_paused = || {
        remote.service.waiting().is_some_and(|waiting| {
            let left = waiting.until.saturating_duration_since(Instant::now());
            left >= SHORT || since.elapsed() >= remote.bounds.work
        })
    };
    unless(&is_paused, work).await
}

/// Takes a published folder away, or leaves it to who has to do with it now.
pub(super) async fn unpublish(remote: &Remote, project: &ProjectName, folder: &Folder) -> Result<Swept, StorageError> {
    // Only the manifest knows what the index calls it, so that this comes first: who is killed in between is followed
    // by somebody who still finds the folder. A manifest that cannot be read goes all the same.
    let found = remote.manifest(project, folder).await.ok();
    if let Some(found) = &found {
        pointer::forget(&*remote.service, project, folder, found.about.ended).await;
    }
    let since = Since::now();
    let mark = remote.announce(project, folder, found.as_ref()).await;
    let going = Going { remote, project, folder, found, since };
    let stays = match going.manifest().await {
        Ok(None) => return going.rest().await,
        stays => stays,
    };
    // Where nobody knows whether the manifest is gone, what was ours has to be known yet.
    let is_unsure = matches!(&stays, Err(StorageError::Service { fault, .. }) if fault.is_passing());
    if let Some(mark) = mark.filter(|_| !is_unsure) {
        let removed = remote.service.remove(&mark).await;
        tracing::debug!(removed = removed.is_ok(), "the mark is not needed");
    }
    stays.map(|why| Swept::Left(why.unwrap_or_default().to_owned()))
}

struct Going<'a> {
    remote: &'a Remote,
    project: &'a ProjectName,
    folder: &'a Folder,
    /// What the folder was published as, where that can be read.
    found: Option<Manifest>,
    /// When the mark was about to be put.
    since: Since,
}

impl Going<'_> {
    /// Removes the manifest; or why it stays.
    async fn manifest(&self) -> Result<Option<&'static str>, StorageError> {
        let key = key::object_manifest(self.project, self.folder);
        loop {
            if let Some(removed) = at_once(self.remote, self.since, self.remote.service.remove(&key)).await {
                return removed.map(|()| None).map_err(|fault| self.remote.fault("remove", &key, fault));
            }
            let now = match self.remote.manifest(self.project, self.folder).await {
                // It was carried out, and the answer told to wait.
                Err(StorageError::Missing { .. }) => return Ok(None),
                Err(StorageError::Manifest { .. }) => None,
                now => Some(now?),
            };
            if now != self.found {
                return Ok(Some(PUBLISHED));
            }
            if self.is_late() {
                return Ok(Some(PAUSED));
            }
        }
    }

    /// Removes the folder and what lies there.
    async fn rest(&self) -> Result<Swept, StorageError> {
        let prefix = key::object_folder(self.project, self.folder);
        let whole = prefix.trim_end_matches('/');
        let wrong = |fault: Fault| self.remote.fault("remove", whole, fault);
        let mut is_sure = self.since.elapsed() < LATELY;
        loop {
            if !is_sure && let Some(why) = self.why_it_stays().await? {
                return Ok(Swept::Left(why.to_owned()));
            }
            if let Some(removed) = at_once(self.remote, self.since, self.remote.service.remove_folder(whole)).await {
                return removed.map(|removed| Swept::Gone { freed: removed.freed }).map_err(wrong);
            }
            is_sure = false;
        }
    }

    /// Looks once more at what lies there; the mark stays, by which the next prune knows what was ours.
    async fn why_it_stays(&self) -> Result<Option<&'static str>, StorageError> {
        let contents = self.remote.contents(self.project, self.folder).await?;
        if contents.iter().any(|meta| meta.key == key::MANIFEST) {
            return Ok(Some(PUBLISHED));
        }
        let duplicates = self.remote.service.traits().duplicates;
        let is_ours = |meta: &Meta, named: &Named| {
            let id = meta.id.as_deref().filter(|_| duplicates);
            key::is_mark(&meta.key) || is_litter(meta.key.as_bytes()) || named.has(&meta.key, id)
        };
        let named = self.found.as_ref().map(Named::by);
        if named.is_some_and(|named| !contents.iter().all(|meta| is_ours(meta, &named))) {
            return Ok(Some(OF_OTHERS));
        }
        Ok(self.is_late().then_some(PAUSED))
    }

    /// Whether others may soon take the mark for that of somebody who was killed.
    fn is_late(&self) -> bool {
        self.since.elapsed() >= self.remote.bounds.work
    }
}

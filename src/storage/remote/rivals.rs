//! Whether another publisher of a commit was first, where names are not exclusive and listings need not show all that is new
//! at once: a manifest older than ours may come to light after ours. While the folder shows that somebody is at work there
//! whose manifest is not to be seen, it is looked for again, for a while. Removes nothing but our own manifest.
//!
//! Whoever writes a manifest has made its files before, or holds the folder: so each sees a sign of every publisher that was
//! earlier, and all compare the same manifests. Who has written none yet finds ours when it is about to.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use super::marks::{Hold, Since, age};
use super::proof::Before;
use super::tidy::{Named, identity};
use super::{Remote, pointer};
use crate::outputs::manifest::Manifest;
use crate::storage::backend::{Checksum, Hasher, Made, Meta};
use crate::storage::prune::is_litter;
use crate::storage::{Folder, Progress, StorageError, key};

/// Somebody whose manifest is as old as ours made files there since.
const LATELY: Duration = Duration::from_mins(5);

/// What a look at the folder tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// There is no sign of anybody whose manifest could be older than ours.
    Alone,
    /// There is one.
    Unclear,
    /// Another manifest is older than ours.
    Second,
}

/// The other publishers of a commit, as one that has sealed it sees them.
pub(super) struct Rivals<'a> {
    remote: &'a Remote,
    folder: &'a Folder,
    ours: &'a Manifest,
    /// What lay there when we began and a publish had left that broke off: a sign of nobody.
    before: &'a Before,
    /// Our mark's name in the folder.
    hold: Option<String>,
    /// Our manifest as it was sent.
    bytes: Bytes,
    /// Manifests that were read, by their ids, and whether each is ours.
    read: HashMap<String, bool>,
    /// What manifests name, of which ours is the first.
    named: Vec<Named>,
    /// Whether there was a sign of somebody.
    met: bool,
}

impl<'a> Rivals<'a> {
    pub(super) fn of(
        remote: &'a Remote,
        folder: &'a Folder,
        ours: &'a Manifest,
        before: &'a Before,
        hold: &Hold,
    ) -> Self {
        let prefix = key::object_folder(&ours.about.project, folder);
        let hold = hold.mark().map(|mark| mark.strip_prefix(&prefix).unwrap_or(mark).to_owned());
        let (bytes, read, named) = (Bytes::new(), HashMap::new(), vec![Named::by(ours)]);
        Self { remote, folder, ours, before, hold, bytes, read, named, met: false }
    }

    /// Whether our manifest, which was sent as `bytes` and is listed, is the first as far as can be told: at once where nobody
    /// else is seen, else when a manifest of theirs shows, they are gone, or the time for it has passed. Where it is not, it
    /// is taken back.
    pub(super) async fn outlasted(&mut self, bytes: Bytes, progress: &dyn Progress) -> Result<bool, StorageError> {
        self.bytes = bytes;
        let (bounds, since) = (self.remote.bounds, Since::now());
        let mut was_alone = false;
        loop {
            match self.look().await {
                Ok(Sight::Second) => {
                    self.take_back().await;
                    return Ok(false);
                }
                // Who has just gone may have done so with a manifest that is about to be shown.
                Ok(Sight::Alone) if was_alone || !self.met => return Ok(true),
                Ok(sight) => {
                    was_alone = sight == Sight::Alone;
                    self.met = true;
                }
                Err(error) if self.met => return Err(error),
                Err(error) => {
                    tracing::info!(%error, "nobody looked for other publishers");
                    return Ok(true);
                }
            }
            if since.elapsed() >= bounds.rival || progress.cancelled() {
                tracing::info!("another publisher left its mark or files there, and no manifest");
                return Ok(true);
            }
            progress.waits("for another publish of this commit, to see which was first");
            tokio::time::sleep(bounds.pause).await;
        }
    }

    /// Whether, where somebody was met, a manifest older than ours shows by now.
    pub(super) async fn were_first(&mut self) -> bool {
        self.met && matches!(self.look().await, Ok(Sight::Second))
    }

    /// Removes our manifest. Should it stay, it is not the one that is read.
    pub(super) async fn take_back(&self) {
        let key = key::object_manifest(&self.ours.about.project, self.folder);
        for (id, _) in self.read.iter().filter(|(_, ours)| **ours) {
            if let Err(fault) = self.remote.service.remove_made(Made { key: &key, id: Some(id) }).await {
                tracing::info!(%fault, key, "a second file of that name stays");
            }
        }
    }

    async fn look(&mut self) -> Result<Sight, StorageError> {
        let contents = self.remote.contents(&self.ours.about.project, self.folder).await?;
        let manifests: Vec<&Meta> = contents.iter().filter(|meta| meta.key == key::MANIFEST).collect();
        match *manifests {
            // A listing without ours may be without others' too.
            [] => return Ok(Sight::Unclear),
            [one] if self.looks_like_ours(one) && !self.is_at_work(&contents, 0) => return Ok(Sight::Alone),
            _ => {}
        }
        // In the order in which they count.
        let mut whose = Vec::new();
        for manifest in manifests {
            whose.extend(self.is_ours(manifest).await?);
        }
        let others = whose.iter().filter(|ours| !**ours).count();
        Ok(match whose.first() {
            Some(false) if whose.contains(&true) => Sight::Second,
            // Which of the two counts is told where both are listed.
            Some(false) => Sight::Unclear,
            _ if self.is_at_work(&contents, others) => Sight::Unclear,
            _ => Sight::Alone,
        })
    }

    /// Whether a listing tells of the bytes that we sent. Nobody else's manifest has them: it names the run.
    fn looks_like_ours(&self, meta: &Meta) -> bool {
        let is_same = |theirs: &Checksum| *theirs == Hasher::of(theirs.kind, &self.bytes);
        meta.size == self.bytes.len() as u64 && meta.checksum.as_ref().is_none_or(is_same)
    }

    /// Whether more publishers show there than ourselves and the `others` whose manifests do.
    fn is_at_work(&self, contents: &[Meta], others: usize) -> bool {
        // By the service's clock: ours was written just now.
        let now = contents.iter().filter(|meta| meta.key == key::MANIFEST).filter_map(|meta| meta.modified).max();
        let is_younger = |meta: &Meta, than: Duration| {
            let times = now.zip(meta.modified);
            times.is_none_or(|(now, then)| age(now, then) <= than)
        };
        let is_theirs = |meta: &&Meta| key::is_hold(&meta.key) && self.hold.as_ref() != Some(&meta.key);
        // Who publishes longer than that holds the folder anew.
        let holds = contents.iter().filter(is_theirs).filter(|meta| is_younger(meta, self.remote.bounds.fresh));
        if holds.count() > others {
            return true;
        }
        let is_file =
            |meta: &&Meta| meta.key != key::MANIFEST && !key::is_mark(&meta.key) && !is_litter(meta.key.as_bytes());
        let mut files = contents.iter().filter(is_file).filter(|meta| is_younger(meta, LATELY));
        files.any(|meta| {
            let is_named = self.named.iter().any(|named| named.has(&meta.key, meta.id.as_deref()));
            !is_named && !self.before.has(identity(meta, true), meta)
        })
    }

    /// Whether a manifest is ours; `None` where it is gone and a listing still shows it. Notes what it names.
    async fn is_ours(&mut self, meta: &Meta) -> Result<Option<bool>, StorageError> {
        let Some(id) = &meta.id else { return Ok(None) };
        if let Some(ours) = self.read.get(id) {
            return Ok(Some(*ours));
        }
        let key = key::object_manifest(&self.ours.about.project, self.folder);
        let made = Made { key: &key, id: Some(id) };
        let service = &*self.remote.service;
        let there = service.stat_made(made).await.map_err(|fault| self.remote.fault("look at", &key, fault))?;
        // Who asks for one that is gone is told of another one of its name.
        if there.is_none_or(|there| there.id.as_ref() != Some(id)) {
            return Ok(None);
        }
        let read = pointer::read_small_made(service, made).await;
        let bytes = read.map_err(|fault| self.remote.fault("read", &key, fault))?;
        let ours = bytes == self.bytes;
        // What cannot be understood names nothing; it counts all the same.
        if !ours && let Ok(theirs) = Manifest::parse(&bytes) {
            self.named.push(Named::by(&theirs));
        }
        self.read.insert(id.clone(), ours);
        Ok(Some(ours))
    }
}

//! What of a commit's folder goes once a manifest stands, and what was there before of which that can be said. Never removes
//! what nothing proves to be ours.

use std::collections::{HashMap, HashSet};

use super::Remote;
use super::journal::Journal;
use super::proof::{Before, Proof};
use crate::id::RelPath;
use crate::outputs::manifest::{Entry, Manifest};
use crate::outputs::{Output, OutputKind};
use crate::storage::backend::{Made, Meta};
use crate::storage::prune::is_litter;
use crate::storage::{Folder, Publication, key};

/// What tells an object of a folder from every other one there.
pub(super) fn identity(meta: &Meta, duplicates: bool) -> &str {
    meta.id.as_deref().filter(|_| duplicates).unwrap_or(&meta.key)
}

/// Removes what no manifest names and is proven ours, now that one manifest stands: what a publish that broke off had left
/// there when this one began (`before` has it), what has a name that only we give, and what Ploomber notes of a product that
/// the manifest names, which no person writes. Anything else may be somebody's, also under the name of an output: it stays,
/// and is told by its name in the folder. Where names are not exclusive, what came since is left to whoever made it, and
/// nothing is removed while there is a second manifest.
pub(super) async fn tidy(
    remote: &Remote,
    publication: &Publication,
    folder: &Folder,
    stands: &Manifest,
    before: Option<&Before>,
) -> Vec<String> {
    let project = &publication.about.project;
    let mut others = Vec::new();
    let Ok(contents) = remote.contents(project, folder).await else { return others };
    let duplicates = remote.service.traits().duplicates;
    if duplicates && contents.iter().filter(|meta| meta.key == key::MANIFEST).count() != 1 {
        return others;
    }
    let named = Named::by(stands);
    let notes: HashSet<&RelPath> = stands.files.iter().map(|entry| &entry.path).filter(|path| is_note(path)).collect();
    let prefix = key::object_folder(project, folder);
    for meta in contents.iter().filter(|meta| meta.key != key::MANIFEST) {
        let id = meta.id.as_deref().filter(|_| duplicates);
        if named.has(&meta.key, id) {
            continue;
        }
        let is_made_by_us = key::is_of_our_making(&meta.key);
        let is_nobodys = match before {
            Some(before) if before.has(identity(meta, duplicates), meta) => true,
            Some(_) if duplicates => false,
            // A publisher that was killed right after its manifest left what its note had to make way for.
            _ => is_made_by_us || key::from_object(&meta.key).is_some_and(|path| notes.contains(&path)),
        };
        if !is_nobodys {
            if !is_made_by_us && !is_litter(meta.key.as_bytes()) {
                others.push(meta.key.clone());
            }
            continue;
        }
        let removed = remote.service.remove_made(Made { key: &format!("{prefix}{}", meta.key), id }).await;
        tracing::info!(key = meta.key, ?removed, "was of no manifest");
    }
    others
}

/// Removes what this publish made and the manifest that stands does not name.
pub(super) async fn give_up(remote: &Remote, publication: &Publication, folder: &Folder, made: &[Entry]) {
    let project = &publication.about.project;
    let Ok(Some(theirs)) = remote.published(project, folder).await else { return };
    let named = Named::by(&theirs);
    let prefix = key::object_folder(project, folder);
    for (entry, name) in made.iter().filter_map(|entry| Some((entry, name_of(entry)?))) {
        let id = entry.id.as_deref();
        if !named.has(&name, id) {
            let removed = remote.service.remove_made(Made { key: &format!("{prefix}{name}"), id }).await;
            tracing::info!(name, ?removed, "was of a publish that came second");
        }
    }
    if remote.service.traits().duplicates {
        let manifest = key::object_manifest(project, folder);
        let files = theirs.files.iter().filter(|entry| entry.kind == OutputKind::File);
        let keys: Vec<(String, Option<&str>)> = files
            .map(|entry| (super::object(project, folder, entry), entry.id.as_deref()))
            .chain([(manifest, None)])
            .collect();
        let stands: Vec<Made<'_>> = keys.iter().map(|(key, id)| Made { key, id: *id }).collect();
        let removed = remote.service.remove_seconds(prefix.trim_end_matches('/'), &stands).await;
        tracing::debug!(?removed, "folders of a publish that came second");
    }
}

/// What is known to be of a publish that broke off in the folder of the one that goes on with it. Any other file may be a
/// person's, also one of the name of an output: nothing tells who made it, so it stays, and is told.
pub(super) struct LeftOver {
    /// What a publish of this machine had sent whole, by its key relative to the folder.
    pub(super) done: HashMap<String, Proof>,
    /// What Ploomber notes of products. No person writes it, and it is another in every run: one that arrived without our
    /// hearing of it would stay beside the next one.
    notes: HashSet<RelPath>,
}

impl LeftOver {
    pub(super) fn of(outputs: &[Output], journal: &Journal, prefix: &str) -> Self {
        let done = journal.finished().into_iter();
        let done = done.filter_map(|(key, proof)| Some((key.strip_prefix(prefix)?.to_owned(), proof)));
        let notes = outputs.iter().filter(|output| output.kind == OutputKind::File && is_note(&output.path));
        Self { done: done.collect(), notes: notes.map(|output| output.path.clone()).collect() }
    }

    /// What of that lies there.
    pub(super) fn before(&self, contents: &[Meta], duplicates: bool) -> Before {
        let mut before = Before::default();
        for meta in contents {
            let identity = identity(meta, duplicates).to_owned();
            let is_note = || key::from_object(&meta.key).is_some_and(|path| self.notes.contains(&path));
            if key::is_of_our_making(&meta.key) || is_note() {
                before.named.insert(identity);
            } else if let Some(proof) = self.done.get(&meta.key).filter(|proof| proof.is_of(meta)) {
                before.proven.insert(identity, proof.clone());
            }
        }
        before
    }
}

/// What a manifest speaks of.
#[derive(Debug)]
pub(super) struct Named {
    ids: HashSet<String>,
    /// Of entries without an id.
    names: HashSet<String>,
}

impl Named {
    pub(super) fn by(manifest: &Manifest) -> Self {
        let files = || manifest.files.iter().filter(|entry| entry.kind == OutputKind::File);
        let names = files().filter(|entry| entry.id.is_none()).filter_map(name_of).collect();
        Self { ids: files().filter_map(|entry| entry.id.clone()).collect(), names }
    }

    pub(super) fn has(&self, name: &str, id: Option<&str>) -> bool {
        self.names.contains(name) || id.is_some_and(|id| self.ids.contains(id))
    }
}

/// Whether it is Ploomber's note of a product: `.NAME.metadata`.
fn is_note(path: &RelPath) -> bool {
    let name = path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.starts_with(b".") && name.ends_with(b".metadata")
}

/// What a file of a manifest is called in its folder.
pub(super) fn name_of(entry: &Entry) -> Option<String> {
    (entry.kind == OutputKind::File).then(|| super::stored(entry))
}

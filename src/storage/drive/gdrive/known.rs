//! What this process knows without asking: ids of folders and files by path. Listings lag behind what was written; this
//! does not.

use std::collections::{BTreeSet, HashMap};

use super::file::File;

/// A folder of a path; there may be several, of which the lowest is the one that is written to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Folder {
    pub(super) created: String,
    pub(super) id: String,
}

impl Folder {
    pub(super) fn of(file: &File) -> Self {
        Self { created: file.created_time.clone(), id: file.id.clone() }
    }
}

/// By path below the top.
#[derive(Debug, Default)]
pub(super) struct Known {
    folders: HashMap<String, BTreeSet<Folder>>,
    /// Folders that did not exist before this process made them.
    fresh: BTreeSet<String>,
    /// Folders that this process made, as (path, id).
    made: BTreeSet<(String, String)>,
    /// What this process removed; listings may still show it.
    erased: BTreeSet<String>,
    files: HashMap<String, String>,
}

impl Known {
    /// Ids of a folder, the lowest first; none where it is not known.
    pub(super) fn folders(&self, path: &str) -> Vec<String> {
        self.folders.get(path).into_iter().flatten().map(|folder| folder.id.clone()).collect()
    }

    /// Adds to what is known of a folder.
    pub(super) fn learn(&mut self, path: &str, found: impl IntoIterator<Item = Folder>) {
        let mut found = found.into_iter().peekable();
        if found.peek().is_some() {
            self.folders.entry(path.to_owned()).or_default().extend(found);
        }
    }

    /// A folder is gone.
    pub(super) fn gone(&mut self, id: &str) {
        for folders in self.folders.values_mut() {
            folders.retain(|folder| folder.id != id);
        }
    }

    /// Notes that a folder is there since this process made it.
    pub(super) fn is_new(&mut self, path: &str, id: &str) {
        self.fresh.insert(path.to_owned());
        self.made.insert((path.to_owned(), id.to_owned()));
    }

    /// A path and an id of each folder at and below `path` that this process made, those below others first.
    pub(super) fn made(&self, path: &str) -> Vec<(String, String)> {
        let start = format!("{path}/");
        let below = self.made.iter().filter(|(made, _)| made == path || made.starts_with(&start));
        let mut below: Vec<(String, String)> = below.cloned().collect();
        below.sort_by_key(|(made, _)| std::cmp::Reverse(made.matches('/').count()));
        below
    }

    /// Notes that this process removed something.
    pub(super) fn is_erased(&mut self, id: &str) {
        self.erased.insert(id.to_owned());
        self.made.retain(|(_, made)| made != id);
        self.gone(id);
    }

    /// Whether this process removed it.
    pub(super) fn was_erased(&self, id: &str) -> bool {
        self.erased.contains(id)
    }

    /// Whether a folder was made by this process, so that hardly anything can be in it but what this process put there.
    pub(super) fn was_made(&self, path: &str) -> bool {
        self.fresh.contains(path)
    }

    /// The id of a file.
    pub(super) fn file(&self, path: &str) -> Option<String> {
        self.files.get(path).cloned()
    }

    /// Notes which file a path stands for. Publishers of one process share this, so nothing is removed by what it says.
    pub(super) fn found(&mut self, path: &str, id: &str) {
        self.files.insert(path.to_owned(), id.to_owned());
    }

    /// A path, and all below it, is not what it was.
    pub(super) fn forget(&mut self, path: &str) {
        let start = format!("{path}/");
        let stays = |known: &String| known != path && !known.starts_with(&start);
        self.folders.retain(|known, _| stays(known));
        self.fresh.retain(|known| stays(known));
        self.made.retain(|(known, _)| stays(known));
        self.files.retain(|known, _| stays(known));
    }
}

//! A tree held in memory: files only, for tests and for what is made rather than read.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{EntryKind, ReadError, Tree};
use crate::id::RelPath;

/// Paths and their bytes. Folders exist through the files below them.
#[derive(Debug, Clone, Default)]
pub struct MemoryTree {
    files: BTreeMap<RelPath, Arc<[u8]>>,
}

impl MemoryTree {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: RelPath, bytes: impl Into<Arc<[u8]>>) {
        self.files.insert(path, bytes.into());
    }

    /// The tree with one more file.
    ///
    /// # Panics
    /// When `path` is not a plain relative path; this form is meant for paths known when the code is written.
    #[must_use]
    pub fn with(mut self, path: &str, text: impl AsRef<[u8]>) -> Self {
        let path = RelPath::normalise(path).expect("a plain relative path");
        self.insert(path, text.as_ref());
        self
    }

    fn below<'a>(&'a self, folder: &'a RelPath) -> impl Iterator<Item = RelPath> + 'a {
        self.files.keys().filter_map(|path| path.strip_prefix(folder)).filter(|rest| !rest.is_root())
    }
}

impl Tree for MemoryTree {
    fn entry(&self, path: &RelPath) -> Option<EntryKind> {
        if let Some(bytes) = self.files.get(path) {
            return Some(EntryKind::File { size: bytes.len() as u64, executable: false });
        }
        (path.is_root() || self.below(path).next().is_some()).then_some(EntryKind::Folder)
    }

    fn read(&self, path: &RelPath, limit: u64) -> Result<Option<Arc<[u8]>>, ReadError> {
        match self.files.get(path) {
            Some(bytes) if bytes.len() as u64 > limit => Err(ReadError::TooLong { size: bytes.len() as u64, limit }),
            found => Ok(found.cloned()),
        }
    }

    fn list(&self, folder: &RelPath) -> Vec<RelPath> {
        let mut names: Vec<RelPath> = self
            .below(folder)
            .filter_map(|rest| RelPath::from_bytes(rest.as_bytes().split(|b| *b == b'/').next()?).ok())
            .collect();
        names.dedup();
        names
    }
}

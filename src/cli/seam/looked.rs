//! What `soopervisor validate` looks at: the files as they are on disk, and which of them were read.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::args::Files;
use super::super::failure::Failure;
use crate::diag::Diagnostic;
use crate::id::RelPath;
use crate::repo::{self, EntryKind, ReadError, Tree};
use crate::run::stop::Stop;
use crate::validate::{self, Options, Project};

/// A project that was looked at.
pub(in crate::cli) struct Looked {
    /// Everything that is to be said about its files.
    pub findings: Vec<Diagnostic>,
    /// What they come to, where they could be read.
    pub project: Option<Project>,
    /// The files that were read, in the order in which they first were.
    pub read: Vec<RelPath>,
    /// Why a run would find no commit there.
    pub no_commit: Option<Failure>,
}

/// Looks at the files below `path`, as they are on disk.
pub(in crate::cli) fn validate(path: &Path, files: &Files) -> Result<Looked, Failure> {
    // The whole work tree is looked at, as a run has all of it: products may lie beside the folder.
    let (tree, folder, none) = repo::look(path).map_err(Stop::from)?;
    let options = Options {
        sample: false,
        pipeline: files.pipeline.clone(),
        environment: files.environment.clone(),
        settings: None,
        typed: Some(path.display().to_string()),
    };
    Ok(Looked { no_commit: none.map(|none| Stop::from(none).into()), ..look(&tree, &folder, &options) })
}

/// The same for a folder of a tree.
pub(in crate::cli) fn look(tree: &dyn Tree, folder: &RelPath, options: &Options) -> Looked {
    let watched = Watched { tree, read: Mutex::default() };
    let outcome = validate::check(&watched, folder, options);
    let mut seen = BTreeSet::new();
    let mut read = watched.read.into_inner().unwrap_or_else(PoisonError::into_inner);
    read.retain(|path| seen.insert(path.clone()));
    Looked { findings: outcome.diagnostics, project: outcome.project, read, no_commit: None }
}

/// A tree that remembers which of its files were read.
struct Watched<'a> {
    tree: &'a dyn Tree,
    read: Mutex<Vec<RelPath>>,
}

impl Tree for Watched<'_> {
    fn entry(&self, path: &RelPath) -> Option<EntryKind> {
        self.tree.entry(path)
    }

    fn read(&self, path: &RelPath, limit: u64) -> Result<Option<Arc<[u8]>>, ReadError> {
        let found = self.tree.read(path, limit);
        if matches!(found, Ok(Some(_))) {
            self.read.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        }
        found
    }

    fn list(&self, folder: &RelPath) -> Vec<RelPath> {
        self.tree.list(folder)
    }
}

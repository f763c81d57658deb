//! Opening an output for reading, and noticing that it is not what was collected.

use std::fs::File;

use rustix::fs::Stat;

use super::StorageError;
use crate::id::{Digest, RelPath};
use crate::outputs::manifest::Entry;
use crate::outputs::rooted::{self, Opener};
use crate::outputs::{Output, Root, Roots, meaning};

/// Opens outputs of both roots.
pub(super) struct Sources<'a> {
    work: Opener<'a>,
    output: Opener<'a>,
}

impl<'a> Sources<'a> {
    pub(super) fn new(roots: &'a Roots) -> Self {
        Self { work: Opener::new(roots.fd(Root::Work)), output: Opener::new(roots.fd(Root::Output)) }
    }

    /// The output's file, unchanged since it was collected.
    pub(super) fn open(&mut self, output: &Output) -> Result<File, StorageError> {
        let opener = match output.from.0 {
            Root::Work => &mut self.work,
            Root::Output => &mut self.output,
        };
        let opened = opener.file(&output.from.1);
        let (file, stat) = opened.map_err(|source| StorageError::Source { path: output.path.clone(), source })?;
        unchanged(output, &stat)?;
        Ok(file)
    }
}

/// Looks once more after the last byte: whatever wrote meanwhile moved the size or the time.
pub(super) fn recheck(output: &Output, file: &File) -> Result<(), StorageError> {
    let stat = rustix::fs::fstat(file)
        .map_err(|error| StorageError::Source { path: output.path.clone(), source: error.into() })?;
    unchanged(output, &stat)
}

fn unchanged(output: &Output, stat: &Stat) -> Result<(), StorageError> {
    if rooted::size(stat) == output.size && rooted::mtime_ns(stat) == output.mtime_ns {
        Ok(())
    } else {
        Err(changed(&output.path))
    }
}

pub(super) fn changed(path: &RelPath) -> StorageError {
    StorageError::Changed { path: path.clone() }
}

/// The entry of a file whose bytes were read; `whole` holds them where its meaning may differ from them.
pub(super) fn entry(output: &Output, sha256: Digest, whole: Option<&[u8]>) -> Entry {
    let meaning = whole.and_then(|bytes| meaning::of(&output.path, bytes)).filter(|meaning| *meaning != sha256);
    Entry::new(output, Some(sha256), meaning)
}

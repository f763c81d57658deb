//! What became of restored files: which the run left alone, and which tasks it executed all the same.

use std::collections::{BTreeMap, BTreeSet};

use rustix::fs::Stat;

use super::offer::Piece;
use crate::id::RelPath;
use crate::outputs::{OutputKind, Root, Roots, rooted};
use crate::storage::{Folder, Same, SameFile};

/// What a file was when it was written. Its change time cannot be set by whoever changes the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    inode: u64,
    size: u64,
    modified: i128,
    changed: i128,
}

impl Mark {
    #[allow(
        clippy::allow_attributes,
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        reason = "field types differ by platform"
    )]
    pub(super) fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino as u64,
            size: rooted::size(stat),
            modified: rooted::mtime_ns(stat),
            changed: i128::from(stat.st_ctime) * 1_000_000_000 + stat.st_ctime_nsec as i128,
        }
    }
}

/// A file that was written into the snapshot.
#[derive(Debug, Clone)]
pub struct Laid {
    /// Whose it is.
    pub task: String,
    /// What it is.
    pub piece: Piece,
    pub(super) mark: Mark,
}

impl Laid {
    /// Whether nobody wrote to it since.
    fn is_as_it_was(&self, roots: &Roots) -> bool {
        let above = self.piece.to.parent().unwrap_or_default();
        let look = || {
            let folder = rooted::open_folder(roots.fd(Root::Work), &above)?;
            rooted::look(std::os::fd::AsFd::as_fd(&folder), self.piece.to.file_name())
        };
        look().is_ok_and(|stat| Mark::of(&stat) == self.mark)
    }
}

/// What the run did with what was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fate {
    /// Tasks that were executed although their files had been restored.
    pub executed: BTreeSet<String>,
    /// Files that are still what was published before; nothing where none is.
    pub same: Option<Same>,
}

/// Looks at every restored file after the run.
pub fn kept(laid: &[Laid], folder: &Folder, roots: &Roots) -> Fate {
    let mut fate = Fate::default();
    let mut files: BTreeMap<RelPath, SameFile> = BTreeMap::new();
    for one in laid {
        let piece = &one.piece;
        if !one.is_as_it_was(roots) {
            if piece.metadata {
                fate.executed.insert(one.task.clone());
            }
            continue;
        }
        if let (OutputKind::File, Some(sha256)) = (piece.entry.kind, piece.entry.sha256) {
            let path = piece.entry.path.clone();
            files.insert(path.clone(), SameFile { path, sha256, meaning: piece.entry.meaning });
        }
    }
    fate.same = (!files.is_empty()).then(|| Same { folder: folder.clone(), files });
    fate
}

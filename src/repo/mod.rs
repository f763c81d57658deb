//! A Git work tree in, one commit's files out: opening, listing, reading and exporting a snapshot.
//!
//! The user's tree is never written to and never mounted. `git` is run in one module only (`git`). This room does
//! not know what a pipeline is.

use std::sync::Arc;

use crate::id::RelPath;

mod blobs;
mod changes;
mod checkout;
mod commit_tree;
mod copy;
mod error;
mod export;
mod folder;
mod git;
mod gitdir;
mod head;
mod history;
mod lfs;
mod links;
mod listing;
mod memory;
mod name;
mod refs;
mod snapshots;

pub use checkout::{Checkout, look, open, open_without};
pub use commit_tree::CommitTree;
pub use error::RepoError;
pub use export::{Contents, Exported};
pub use folder::Folder;
pub use history::Ancestors;
pub use memory::MemoryTree;
pub use name::project_of;
pub use snapshots::{Limits, Snapshot, Snapshots};

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// In bytes.
        size: u64,
        /// Whether the owner may execute it.
        executable: bool,
    },
    /// A folder.
    Folder,
    /// A symbolic link, not followed.
    Link,
    /// Another repository's commit.
    Submodule,
}

/// Files that can be looked at without running anything: a commit, a folder, or memory.
pub trait Tree: Send + Sync {
    /// What stands at `path`, links not followed.
    fn entry(&self, path: &RelPath) -> Option<EntryKind>;

    /// The bytes of a regular file, or of the regular file that a link inside the tree leads to; `None` when there
    /// is none. At most `limit` bytes are read; a longer file gives `Err(TooLong)`.
    ///
    /// # Errors
    /// When the file is longer than `limit` or cannot be read.
    fn read(&self, path: &RelPath, limit: u64) -> Result<Option<Arc<[u8]>>, ReadError>;

    /// Names directly below a folder, without the folder, sorted; empty for anything else.
    fn list(&self, folder: &RelPath) -> Vec<RelPath>;
}

/// Why a file of a [`Tree`] could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Longer than the caller takes.
    #[error("the file has {size} bytes, more than the {limit} that are read")]
    TooLong {
        /// In bytes.
        size: u64,
        /// In bytes.
        limit: u64,
    },
    /// The system's own words.
    #[error("{0}")]
    Io(String),
}

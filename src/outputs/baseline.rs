//! What the snapshot held before the run, so that globs publish what the run made and not the repository's own files.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{FileType, Stat};

use super::rooted;
use crate::id::RelPath;

/// Size and modification time of every file before the run; empty means that everything is new.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    files: HashMap<RelPath, (u64, i128)>,
}

impl Baseline {
    /// Looks at every file below `folder`, links not followed, `.git` left out.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn scan(folder: &cap_std::fs::Dir) -> io::Result<Self> {
        let mut found = Self::default();
        // `cap-std` may hold a descriptor that can be walked from and not read.
        let top = rooted::open_folder(folder.as_fd(), &RelPath::root())?;
        found.add(top.as_fd(), &RelPath::root())?;
        Ok(found)
    }

    /// What a snapshot is known to hold: paths with their sizes, all of one time. For one that was just written so.
    pub fn of(files: impl IntoIterator<Item = (RelPath, u64)>, mtime_ns: i128) -> Self {
        Self { files: files.into_iter().map(|(path, size)| (path, (size, mtime_ns))).collect() }
    }

    fn add(&mut self, folder: BorrowedFd<'_>, at: &RelPath) -> io::Result<()> {
        for name in rooted::names(folder)? {
            let stat = rooted::look(folder, &name)?;
            let path = rooted::child(at, &name)?;
            if rooted::kind(&stat) == FileType::Directory {
                if name != b".git" {
                    self.add(rooted::open_subfolder(folder, &name)?.as_fd(), &path)?;
                }
            } else {
                self.files.insert(path, (rooted::size(&stat), rooted::mtime_ns(&stat)));
            }
        }
        Ok(())
    }

    /// Every path that was there, folders excepted.
    pub(super) fn paths(&self) -> impl Iterator<Item = &RelPath> {
        self.files.keys()
    }

    /// Whether something other than a folder was there.
    pub(super) fn knows(&self, path: &RelPath) -> bool {
        self.files.contains_key(path)
    }

    /// Whether the run left it as it was.
    pub(super) fn holds(&self, path: &RelPath, now: &Stat) -> bool {
        self.files.get(path) == Some(&(rooted::size(now), rooted::mtime_ns(now)))
    }
}

//! The right to a prefix: whoever uses one holds a shared lock on its lease file, and nobody removes it meanwhile.
//!
//! The lock is the kernel's (`flock`): it goes away with the process, whatever kills it. A file system without locks
//! gives leases that protect nothing, and on such a one nothing is ever removed either.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Held for as long as a prefix is used; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lease {
    // Held, never read: closing the last clone gives the lock back.
    _file: Option<Arc<File>>,
}

/// The exclusive right: nobody uses the prefix.
#[derive(Debug)]
pub(super) struct Vacant {
    path: PathBuf,
    _file: File,
}

fn open(path: &Path) -> std::io::Result<File> {
    File::options().create(true).truncate(false).read(true).write(true).open(path)
}

impl Lease {
    /// Takes the right to use a prefix; `None` while it is being removed.
    pub(super) fn take(path: &Path) -> Option<Self> {
        let file = match open(path) {
            Ok(file) => file,
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "no lease can be taken here");
                return Some(Self { _file: None });
            }
        };
        match file.try_lock_shared() {
            Ok(()) => Some(Self { _file: Some(Arc::new(file)) }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(_)) => Some(Self { _file: None }),
        }
    }
}

impl Vacant {
    /// Makes sure that nobody uses a prefix, now and until this is dropped; `None` where somebody may.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let file = open(path).ok()?;
        file.try_lock().ok()?;
        Some(Self { path: path.to_owned(), _file: file })
    }

    /// Whether nobody uses a prefix at this moment. Makes no file.
    pub(super) fn is(path: &Path) -> bool {
        File::open(path).map_or(true, |file| file.try_lock().is_ok())
    }

    /// Removes the lease file too: the prefix is gone, and its id is never used again.
    pub(super) fn close(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_may_use_one_prefix_and_nobody_removes_it_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id.use");
        let one = Lease::take(&path).unwrap();
        let two = Lease::take(&path).unwrap().clone();
        assert!(Vacant::of(&path).is_none());
        drop(one);
        assert!(Vacant::of(&path).is_none());
        drop(two);
        let vacant = Vacant::of(&path).unwrap();
        assert!(Lease::take(&path).is_none(), "it is being removed");
        vacant.close();
        assert!(!path.exists());
    }
}

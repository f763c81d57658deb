//! Files that are whole or absent: written beside, synced, renamed. And folders that go away whatever is in them.

use std::io::{self, Write};
use std::path::Path;

use super::StoreError;
use crate::archive;

/// Replaces `path` by `bytes` in one step; a crash leaves the old file or the new one, both readable by the owner only.
///
/// A `durable` one outlives a power cut too.
pub(super) fn replace(path: &Path, bytes: &[u8], durable: bool) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut temp = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        temp.write_all(bytes)?;
        if durable {
            temp.as_file().sync_all()?;
        }
        temp.persist(path).map_err(|error| error.error)?;
        // The rename itself must survive as well.
        if durable { fs_err::File::open(folder)?.sync_all() } else { Ok(()) }
    };
    write().map_err(StoreError::io("write", path))
}

/// Removes a folder with everything in it, whatever a pipeline left there.
pub(super) fn remove_tree(folder: &Path) -> Result<(), StoreError> {
    archive::remove(folder).map_err(StoreError::io("remove", folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn replaces_a_file_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        replace(&path, b"one", false).unwrap();
        replace(&path, b"two", true).unwrap();
        assert_eq!(fs_err::read(&path).unwrap(), b"two");
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("taken");
        fs_err::create_dir_all(target.join("inside")).unwrap();
        assert!(matches!(replace(&target, b"x", true), Err(StoreError::Io { action: "write", .. })));
        assert_eq!(fs_err::read_dir(dir.path()).unwrap().count(), 1);
    }
}

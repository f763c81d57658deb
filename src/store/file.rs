//! Files that are whole or absent: written beside, synced, renamed. And folders that go away whatever is in them.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::StoreError;

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

/// Removes a folder with everything in it, also where a pipeline left folders that nobody may write to, and where
/// something that was told to stop still writes its last file.
pub(super) fn remove_tree(folder: &Path) -> Result<(), StoreError> {
    const TRIES: u32 = 50;
    let emptied = |tries: &u32| match fs_err::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && *tries < TRIES => {
            std::thread::sleep(Duration::from_millis(20));
            None
        }
        done => Some(done),
    };
    match (1..=TRIES).find_map(|tries| emptied(&tries)).unwrap_or(Ok(())) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(folder);
            fs_err::remove_dir_all(folder).map_err(StoreError::io("remove", folder))
        }
        Err(error) => Err(StoreError::io("remove", folder)(error)),
    }
}

/// Gives the owner all rights on every folder below; what cannot be changed is left for the removal to report.
fn open_up(folder: &Path) {
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        if fs_err::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).is_err() {
            // The kernel's own folder of an overlay is root's, and empty: whoever owns the folder above may remove it.
            let _ = fs_err::remove_dir(&folder);
            continue;
        }
        let Ok(entries) = fs_err::read_dir(&folder) else { continue };
        // `file_type` does not follow links, so this never leaves the folder.
        let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(folders.map(|entry| entry.path()));
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn removes_folders_that_nobody_may_write_to_and_does_not_follow_links() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        let tree = dir.path().join("tree");
        fs_err::create_dir_all(&outside).unwrap();
        fs_err::write(outside.join("kept"), "x").unwrap();
        fs_err::create_dir_all(tree.join("a/b")).unwrap();
        fs_err::write(tree.join("a/b/f"), "x").unwrap();
        fs_err::os::unix::fs::symlink(&outside, tree.join("link")).unwrap();
        fs_err::set_permissions(tree.join("a/b"), std::fs::Permissions::from_mode(0o500)).unwrap();
        fs_err::set_permissions(tree.join("a"), std::fs::Permissions::from_mode(0o000)).unwrap();
        open_up(&tree);
        assert_eq!(fs_err::metadata(tree.join("a/b")).unwrap().permissions().mode() & 0o777, 0o700);
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("kept").exists());
        remove_tree(&tree).unwrap();
    }
}

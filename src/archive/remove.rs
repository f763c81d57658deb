//! Removal of trees that something else filled, whatever the modes in them are. Nothing is removed that a link points to.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// Removes a file or a tree; what is gone already is fine. Folders that nobody may write to are opened first, so that
/// their owner never needs root for it; what was told to stop may still write its last file.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    match std::fs::symlink_metadata(path) {
        Ok(meta) if !meta.is_dir() => return gone(std::fs::remove_file(path)),
        Ok(_) => {}
        Err(error) => return gone(Err(error)),
    }
    match empty(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path);
            gone(empty(path))
        }
        other => gone(other),
    }
}

/// Removes a tree, again when something was written to it meanwhile.
fn empty(tree: &Path) -> io::Result<()> {
    const TRIES: u32 = 50;
    for _ in 1..TRIES {
        match std::fs::remove_dir_all(tree) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
    std::fs::remove_dir_all(tree)
}

/// Gives the owner all rights on every folder; what cannot be changed is left for the removal to report.
fn open_up(folder: &Path) {
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        if std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).is_err() {
            // The kernel's own folder of an overlay is root's, and empty: whoever owns the folder above may remove it.
            let _ = std::fs::remove_dir(&folder);
            continue;
        }
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        // The type of the entry itself: links are not followed, so this never leaves the folder.
        let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(folders.map(|entry| entry.path()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_closed_to_everybody_goes_and_what_a_link_names_stays_open_and_there() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, outside) = (folder.path().join("tree"), folder.path().join("outside"));
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(tree.join("a/b/file"), "").unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("a/link")).unwrap();
        let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(&outside, 0o555);
        mode(&tree.join("a/b"), 0o000);
        mode(&tree.join("a"), 0o500);
        // Root needs no opening, and everybody else does.
        open_up(&tree);
        let kept = std::fs::metadata(&outside).unwrap().permissions().mode();
        assert_eq!(kept & 0o777, 0o555, "what a link names keeps its mode");
        assert_eq!(std::fs::metadata(tree.join("a/b")).unwrap().permissions().mode() & 0o777, 0o700);
        mode(&tree.join("a"), 0o500);
        remove(&tree).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists() && outside.exists());
    }
}

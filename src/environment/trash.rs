//! Removal of trees: in one step for everybody who looks.

use std::io;
use std::path::{Path, PathBuf};

pub(super) use crate::archive::remove;

/// Names of trees that are being removed begin with this. Whatever has such a name belongs to nobody.
pub(super) const MARK: &str = ".trash-";

/// Renames first: a crash in the middle leaves a name that says what it is, never a tree that looks whole.
pub(super) fn discard(path: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Ok(()) };
    let mut marked = std::ffi::OsString::from(MARK);
    marked.push(name);
    let trash: PathBuf = path.with_file_name(marked);
    match std::fs::rename(path, &trash) {
        Ok(()) => remove(&trash),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // Renaming a folder needs the right to write to it; removing can give itself that right.
        Err(_) => remove(path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_tree_goes_with_everything_in_it_and_nothing_that_it_links_to() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, outside) = (folder.path().join("tree"), folder.path().join("outside"));
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("kept"), "").unwrap();
        std::fs::write(tree.join("a/b/file"), "").unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("a/link")).unwrap();
        for closed in ["a/b", "a"] {
            std::fs::set_permissions(tree.join(closed), std::fs::Permissions::from_mode(0o000)).unwrap();
        }
        discard(&tree).unwrap();
        discard(&tree).unwrap();
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["outside"]);
        assert!(outside.join("kept").exists());
    }
}

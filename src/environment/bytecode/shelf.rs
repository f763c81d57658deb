//! Compiled files, kept by origin and hard-linked into every prefix that shares the sources.
//!
//! A group appears on the shelf by one rename, when all of it is on the disk, and is never changed: nobody can link a
//! file that is half written.

use std::io;
use std::path::{Path, PathBuf};

use super::origin::{Group, compiled, entries};

/// The shelf of one kind of Python.
pub(super) struct Shelf {
    folder: PathBuf,
    tag: String,
}

impl Shelf {
    pub(super) fn of(store: &Path, tag: &str) -> Self {
        Self { folder: super::folder(store).join(tag), tag: tag.to_owned() }
    }

    /// Whether everything of this origin that compiles is here.
    pub(super) fn has(&self, name: &str) -> bool {
        self.folder.join(name).is_dir()
    }

    /// Links what belongs to a group into a prefix; returns how many files. One at a time: each is there or is not.
    pub(super) fn link(&self, group: &Group, prefix: &Path) -> io::Result<usize> {
        let (from, to) = (self.folder.join(&group.name), prefix.join(&group.place));
        let mut linked = 0;
        for file in &group.files {
            let name = compiled(file, &self.tag);
            match link(&from.join(&name), &to.join(&name)) {
                Ok(()) => linked += 1,
                // No Python, or Python for another version; or somebody else was faster.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => {}
                // A file system has a limit of its own: this prefix goes without.
                Err(error) if error.kind() == io::ErrorKind::TooManyLinks => {}
                Err(error) => return Err(error),
            }
        }
        Ok(linked)
    }

    /// Takes a finished group in; says whether it is here now.
    pub(super) fn take_in(&self, name: &str, finished: &Path) -> io::Result<bool> {
        if !is_plain(finished)? {
            return Ok(false);
        }
        std::fs::create_dir_all(&self.folder)?;
        match std::fs::rename(finished, self.folder.join(name)) {
            Ok(()) => Ok(true),
            // Another process compiled the same, or took this one in a moment ago.
            Err(_) if self.has(name) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn link(from: &Path, to: &Path) -> io::Result<()> {
    match std::fs::hard_link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && from.exists() => {
            let folder = to.parent().unwrap_or(Path::new("/"));
            // For the container's user, whatever our umask is; its parent is there, or the source would not be.
            match std::fs::create_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
            std::fs::hard_link(from, to)
        }
        other => other,
    }
}

/// Whether a tree holds folders and files only: what compiled it may have been anything.
fn is_plain(folder: &Path) -> io::Result<bool> {
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for entry in entries(&folder)? {
            let kind = entry.file_type()?;
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if !kind.is_file() {
                return Ok(false);
            }
        }
    }
    Ok(std::fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_dir()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(folder: &Path, name: &str) -> PathBuf {
        let group = folder.join(name);
        std::fs::create_dir_all(group.join("pkg/__pycache__")).unwrap();
        std::fs::write(group.join("pkg/__pycache__/a.cpython-311.pyc"), "bytecode of a").unwrap();
        group
    }

    #[test]
    fn links_what_is_there_and_passes_over_the_rest() {
        use std::os::unix::fs::MetadataExt;
        let store = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(store.path(), "cpython-311");
        assert!(shelf.take_in("wheel-x", &finished(store.path(), "new")).unwrap() && shelf.has("wheel-x"));
        assert!(shelf.take_in("wheel-x", &finished(store.path(), "again")).unwrap(), "the same, compiled twice");
        let prefix = store.path().join("prefix");
        std::fs::create_dir_all(prefix.join("lib/pkg")).unwrap();
        let files = vec!["pkg/a.py".to_owned(), "pkg/not_python.py".to_owned()];
        let group = Group { name: "wheel-x".into(), place: "lib".into(), files };
        assert_eq!(shelf.link(&group, &prefix).unwrap(), 1);
        assert_eq!(shelf.link(&group, &prefix).unwrap(), 0, "it is there");
        let linked = std::fs::metadata(prefix.join("lib/pkg/__pycache__/a.cpython-311.pyc")).unwrap();
        assert_eq!((linked.nlink(), linked.len()), (2, 13));
        let place = std::fs::metadata(prefix.join("lib/pkg/__pycache__")).unwrap();
        assert_eq!(place.mode() & 0o777, 0o755);
    }

    #[test]
    fn a_tree_with_links_in_it_is_not_taken_in() {
        let store = tempfile::tempdir().unwrap();
        let shelf = Shelf::of(store.path(), "cpython-311");
        let group = finished(store.path(), "new");
        std::os::unix::fs::symlink("/etc/passwd", group.join("pkg/__pycache__/b.cpython-311.pyc")).unwrap();
        assert!(!shelf.take_in("wheel-x", &group).unwrap() && !shelf.has("wheel-x"));
        let link = store.path().join("link");
        std::os::unix::fs::symlink(finished(store.path(), "other"), &link).unwrap();
        assert!(!shelf.take_in("wheel-x", &link).unwrap());
        assert!(!shelf.take_in("wheel-x", &store.path().join("gone")).unwrap());
    }
}

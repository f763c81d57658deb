//! A folder on disk as a tree, opened through a rooted capability: nothing above it can be reached.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};

use super::{EntryKind, ReadError, RepoError, Tree};
use crate::id::RelPath;

/// A folder as it is on disk now. `.git` is not part of it.
#[derive(Debug)]
pub struct Folder {
    dir: Dir,
}

impl Folder {
    /// Opens a folder.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, RepoError> {
        let io = |source| RepoError::Path { path: path.to_owned(), source };
        if !std::fs::metadata(path).map_err(io)?.is_dir() {
            return Err(RepoError::NotAFolder { path: path.to_owned() });
        }
        Dir::open_ambient_dir(path, cap_std::ambient_authority()).map(|dir| Self { dir }).map_err(io)
    }
}

fn hidden(path: &RelPath) -> bool {
    path.as_bytes().split(|b| *b == b'/').any(|part| part == b".git")
}

/// The root itself is `.` for the system.
fn on_disk(path: &RelPath) -> &Path {
    if path.is_root() { Path::new(".") } else { path.as_path() }
}

impl Tree for Folder {
    fn entry(&self, path: &RelPath) -> Option<EntryKind> {
        if hidden(path) {
            return None;
        }
        let meta = self.dir.symlink_metadata(on_disk(path)).ok()?;
        let kind = meta.file_type();
        if kind.is_symlink() {
            Some(EntryKind::Link)
        } else if kind.is_dir() {
            Some(EntryKind::Folder)
        } else if kind.is_file() {
            let mode = cap_std::fs::PermissionsExt::mode(&meta.permissions());
            Some(EntryKind::File { size: meta.len(), executable: mode & 0o100 != 0 })
        } else {
            None
        }
    }

    fn read(&self, path: &RelPath, limit: u64) -> Result<Option<Arc<[u8]>>, ReadError> {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        if hidden(path) {
            return Ok(None);
        }
        // Not blocking: a named pipe in the folder must not hold us up.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = match self.dir.open_with(on_disk(path), OpenOptions::new().read(true).custom_flags(flags)) {
            Ok(file) => file,
            // A link that leads out counts as nothing, as does a path that is not there.
            Err(e) if matches!(e.kind(), NotFound | NotADirectory) || self.leads_out(path) => return Ok(None),
            Err(e) => return Err(ReadError::Io(e.to_string())),
        };
        let meta = file.metadata().map_err(|e| ReadError::Io(e.to_string()))?;
        if !meta.is_file() {
            return Ok(None);
        }
        let too_long = |size| ReadError::TooLong { size, limit };
        if meta.len() > limit {
            return Err(too_long(meta.len()));
        }
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| ReadError::Io(e.to_string()))?;
        // It may have grown since, and files of /proc claim to be empty.
        if bytes.len() as u64 > limit { Err(too_long(bytes.len() as u64)) } else { Ok(Some(bytes.into())) }
    }

    fn list(&self, folder: &RelPath) -> Vec<RelPath> {
        if hidden(folder) || !matches!(self.entry(folder), Some(EntryKind::Folder)) {
            return Vec::new();
        }
        let Ok(entries) = self.dir.read_dir(on_disk(folder)) else { return Vec::new() };
        let names = entries.filter_map(|entry| RelPath::from_bytes(entry.ok()?.file_name().as_bytes()).ok());
        let mut names: Vec<RelPath> = names.filter(|name| !hidden(name)).collect();
        names.sort();
        names
    }
}

impl Folder {
    fn leads_out(&self, path: &RelPath) -> bool {
        let target = |link: &RelPath| {
            self.dir.read_link_contents(link.as_path()).ok().map(|target| target.as_os_str().as_bytes().to_vec())
        };
        super::links::resolve(path, |p| self.entry(p), target).is_none()
    }
}

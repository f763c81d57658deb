//! Reading published folders: never through a link, never more of a manifest than fits in memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Access, AtFlags, FileType};

use super::{Local, system};
use crate::id::{ProjectName, RelPath};
use crate::outputs::OutputKind;
use crate::outputs::manifest::{Manifest, ManifestError};
use crate::outputs::rooted::{self, Opener};
use crate::storage::{Folder, Health, Listed, StorageError, key};

/// Longer manifests are not read: some two million files.
const MANIFEST_LIMIT: u64 = 1024 * 1024 * 1024;

/// Names in a folder; none when it is not there.
pub(super) fn names(path: &Path) -> Result<Vec<String>, StorageError> {
    let names = system::open(path).and_then(|folder| rooted::names(folder.as_fd()));
    match names {
        Ok(names) => Ok(names.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(system::explain("read", path, error)),
    }
}

pub(super) fn projects(root: &Path) -> Result<Vec<ProjectName>, StorageError> {
    let projects = names(root)?.into_iter().filter_map(|name| name.parse::<ProjectName>().ok());
    Ok(projects.filter(|project| folders(&root.join(project.as_str())).is_ok_and(|f| !f.is_empty())).collect())
}

pub(super) fn folders(project: &Path) -> Result<Vec<Folder>, StorageError> {
    let folders = names(project)?.into_iter().filter_map(|name| name.parse::<Folder>().ok());
    Ok(folders.filter(|folder| project.join(folder.to_string()).join(key::MANIFEST).is_file()).collect())
}

pub(super) fn manifest(at: &Path, project: &ProjectName, folder: &Folder) -> Result<Manifest, StorageError> {
    let unsound = |source| StorageError::Manifest { folder: folder.clone(), source };
    let explain = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            let path = RelPath::from_bytes(key::MANIFEST.as_bytes()).unwrap_or_default();
            return StorageError::Missing { folder: folder.clone(), path };
        }
        system::explain("read the manifest in", at, error)
    };
    let open = system::open(at).map_err(explain)?;
    let (file, stat) = rooted::open_file(open.as_fd(), key::MANIFEST.as_bytes()).map_err(|error| {
        if system::is_something_else(&error) {
            return unsound(ManifestError::Unsound("it is no file, or a link to one".to_owned()));
        }
        explain(error)
    })?;
    if rooted::size(&stat) > MANIFEST_LIMIT {
        return Err(unsound(ManifestError::Unsound(format!("it is longer than {MANIFEST_LIMIT} bytes"))));
    }
    let mut bytes = Vec::new();
    file.take(MANIFEST_LIMIT).read_to_end(&mut bytes).map_err(|e| system::explain("read the manifest in", at, e))?;
    Manifest::parse(&bytes).and_then(|manifest| manifest.of(project, &folder.revision)).map_err(unsound)
}

pub(super) fn open(at: &Path, folder: &Folder, path: &RelPath, offset: u64) -> Result<File, StorageError> {
    let whole = || at.join(path.as_path());
    let open = system::open(at).map_err(|error| system::explain("open", at, error))?;
    let mut file = match Opener::new(open.as_fd()).file(path) {
        Ok((file, _)) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StorageError::Missing { folder: folder.clone(), path: path.clone() });
        }
        Err(error) if system::is_something_else(&error) => {
            return Err(StorageError::Replaced { folder: folder.clone(), path: path.clone() });
        }
        Err(error) => return Err(system::explain("read", &whole(), error)),
    };
    file.seek(SeekFrom::Start(offset)).map_err(|error| system::explain("read", &whole(), error))?;
    Ok(file)
}

pub(super) fn list(at: &Path) -> Result<Vec<Listed>, StorageError> {
    let explain = |error| system::explain("read", at, error);
    let mut found = Vec::new();
    let folder = system::open(at).map_err(explain)?;
    add(folder.as_fd(), &RelPath::root(), &mut found).map_err(explain)?;
    if !system::keeps_modes(&folder) {
        for listed in &mut found {
            listed.mode = None;
        }
    }
    found.retain(|listed| listed.path.as_bytes() != key::MANIFEST.as_bytes());
    Ok(found)
}

/// Adds everything below a folder; returns whether there was anything.
fn add(folder: BorrowedFd<'_>, at: &RelPath, found: &mut Vec<Listed>) -> io::Result<bool> {
    let names = rooted::names(folder)?;
    for name in &names {
        let path = rooted::child(at, name)?;
        let (mut link, mut mode) = (None, None);
        let stat = rooted::look(folder, name)?;
        let kind = match rooted::kind(&stat) {
            FileType::RegularFile => {
                mode = Some(stat.st_mode & 0o7777);
                Some(OutputKind::File)
            }
            FileType::Directory => {
                if add(rooted::open_subfolder(folder, name)?.as_fd(), &path, found)? {
                    continue;
                }
                Some(OutputKind::Folder)
            }
            FileType::Symlink => {
                link = Some(rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes());
                Some(OutputKind::Link)
            }
            _ => None,
        };
        found.push(Listed { path, name: None, kind, link, mode, id: None });
    }
    Ok(!names.is_empty())
}

pub(super) fn check(local: &Local) -> Result<Health, StorageError> {
    let root = &local.root;
    let mut notes = Vec::new();
    // The folder is made by the first publish; until then its nearest existing parent decides.
    let there = root.ancestors().find(|above| above.exists()).unwrap_or(root);
    if there != root {
        notes.push(format!("`{}` will be made by the first run", root.display()));
    }
    let open = system::open(there).map_err(|error| system::explain("open", there, error))?;
    let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::accessat(&open, ".", access, AtFlags::empty())
        .map_err(|error| system::explain("write to", there, error.into()))?;
    // The kernel allows root everything and file systems such as /proc refuse it all the same: only trying tells.
    system::try_folder(&open).map_err(|error| system::explain("make a folder in", there, error))?;
    let (free, _) = system::space(&open).map_err(|error| system::explain("measure", there, error))?;
    Ok(Health { place: format!("local:{}", root.display()), free: Some(free), notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_place_of_a_published_file_is_told_as_the_storages_fault() {
        let storage = tempfile::tempdir().unwrap();
        let at = storage.path();
        let folder: Folder = "a".repeat(40).parse().unwrap();
        fs_err::write(at.join("real"), "x").unwrap();
        fs_err::create_dir(at.join("below")).unwrap();
        fs_err::write(at.join("below/file"), "x").unwrap();
        std::os::unix::fs::symlink("real", at.join("link")).unwrap();
        std::os::unix::fs::symlink("below", at.join("linked")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at.join("pipe"), FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        for name in ["link", "linked/file", "pipe", "below", "real/file"] {
            let path = RelPath::normalise(name).unwrap();
            let error = open(at, &folder, &path, 0).unwrap_err();
            assert!(matches!(&error, StorageError::Replaced { .. }), "{name}: {error}");
            assert!(error.help().unwrap().contains("soopervisor verify"));
        }
        assert!(matches!(
            open(at, &folder, &RelPath::normalise("gone").unwrap(), 0),
            Err(StorageError::Missing { .. })
        ));
        open(at, &folder, &RelPath::normalise("below/file").unwrap(), 0).unwrap();
        std::os::unix::fs::symlink("real", at.join(key::MANIFEST)).unwrap();
        let project: ProjectName = "demo".parse().unwrap();
        let of = |at: &Path| manifest(at, &project, &folder).unwrap_err();
        assert!(matches!(of(at), StorageError::Manifest { .. }));
        assert!(matches!(of(&at.join("below")), StorageError::Missing { .. }));
        assert!(matches!(of(&at.join("real")), StorageError::NotAFolder(_)));
    }
}

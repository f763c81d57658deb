//! Reading below an open folder without ever following a link: one `openat` a path part, `O_NOFOLLOW` each time.
//!
//! Never takes a path that is not a [`RelPath`], so neither `..` nor an absolute path can be asked for.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use crate::id::RelPath;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
// A fifo would block an open for reading for ever; O_NONBLOCK returns at once and the kind is checked afterwards.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// The folder at `path`, no part of which may be a link.
pub(crate) fn open_folder(root: BorrowedFd<'_>, path: &RelPath) -> io::Result<OwnedFd> {
    let mut here = rustix::fs::openat(root, ".", FOLDER, Mode::empty())?;
    if !path.is_root() {
        for part in path.as_bytes().split(|b| *b == b'/') {
            here = rustix::fs::openat(&here, part, FOLDER, Mode::empty())?;
        }
    }
    Ok(here)
}

/// The folder called `name` in `folder`, not through a link.
pub(crate) fn open_subfolder(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(folder, name, FOLDER, Mode::empty())?)
}

/// The regular file called `name` in `folder`, and what it is now.
pub(crate) fn open_file(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<(File, Stat)> {
    let file = rustix::fs::openat(folder, name, FILE, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if kind(&stat) == FileType::RegularFile {
        Ok((File::from(file), stat))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// What stands at `name` in `folder`, links not followed.
pub(crate) fn look(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<Stat> {
    Ok(rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Names in a folder, sorted.
pub(crate) fn names(folder: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes what stands at `name` in `folder`, a folder with everything in it; never through a link.
pub(crate) fn remove(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => return Ok(()),
        // The second is POSIX's word for a folder, the first is Linux's.
        Err(rustix::io::Errno::ISDIR | rustix::io::Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    // It may forbid what has to be done to it.
    let _ = rustix::fs::chmodat(folder, name, Mode::from_raw_mode(0o700), AtFlags::empty());
    let inside = open_subfolder(folder, name)?;
    for name in names(inside.as_fd())? {
        remove(inside.as_fd(), &name)?;
    }
    Ok(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
}

/// `folder/name`.
pub(crate) fn child(folder: &RelPath, name: &[u8]) -> io::Result<RelPath> {
    let name = RelPath::from_bytes(name).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok(folder.join(&name))
}

pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Nanoseconds since 1970.
#[allow(
    clippy::allow_attributes,
    clippy::useless_conversion,
    clippy::unnecessary_cast,
    clippy::cast_lossless,
    reason = "field types differ by platform"
)]
pub(crate) fn mtime_ns(stat: &Stat) -> i128 {
    i128::from(stat.st_mtime) * 1_000_000_000 + stat.st_mtime_nsec as i128
}

pub(crate) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

/// Bytes on disk.
#[allow(clippy::allow_attributes, clippy::unnecessary_fallible_conversions, reason = "field types differ by platform")]
pub(crate) fn allocated(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or_default() * 512
}

/// Opens many files of one tree, most of them beside the one before.
pub(crate) struct Opener<'a> {
    root: BorrowedFd<'a>,
    last: Option<(RelPath, OwnedFd)>,
}

impl<'a> Opener<'a> {
    pub(crate) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, last: None }
    }

    /// The folder at `path`.
    pub(crate) fn folder(&mut self, path: &RelPath) -> io::Result<BorrowedFd<'_>> {
        let known = self.last.take().filter(|(at, _)| at == path);
        let (at, fd) = match known {
            Some(known) => known,
            None => (path.clone(), open_folder(self.root, path)?),
        };
        Ok(self.last.insert((at, fd)).1.as_fd())
    }

    /// The regular file at `path`.
    pub(crate) fn file(&mut self, path: &RelPath) -> io::Result<(File, Stat)> {
        let folder = self.folder(&path.parent().unwrap_or_default())?;
        open_file(folder, path.file_name())
    }
}

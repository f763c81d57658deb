//! A folder as a tar stream, with the owner that it is to have on the other side.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use rustix::fs::{FileType, Stat};
use tar::{Builder, EntryType, Header};

use super::{ArchiveError, rooted};
use crate::id::RelPath;

/// One folder to be packed.
#[derive(Debug)]
pub struct Load {
    /// The folder; `None` packs an empty one.
    pub from: Option<Dir>,
    /// The first part of every path.
    pub below: String,
    /// User and group of everything in it.
    pub owner: (u32, u32),
}

/// Writes folders as one stream. Files, folders and links; anything else is left out.
///
/// # Errors
/// When a file cannot be read, or changes while it is, or nobody takes the stream.
pub fn pack(loads: &[Load], out: &mut dyn Write) -> Result<(), ArchiveError> {
    let mut builder = Builder::new(out);
    for load in loads {
        let below =
            RelPath::normalise(&load.below).map_err(|_| ArchiveError::hostile(load.below.as_bytes(), "is no name"))?;
        let mut packing = Packing { builder: &mut builder, owner: load.owner };
        let Some(from) = &load.from else {
            packing.folder(&below, 0o755, 0)?;
            continue;
        };
        let top = rooted::open_folder(from.as_fd(), &RelPath::root()).map_err(ArchiveError::io("open", &below))?;
        let stat = rustix::fs::fstat(&top).map_err(|e| ArchiveError::io("look at", &below)(e.into()))?;
        packing.folder(&below, stat.st_mode & 0o777, seconds(&stat))?;
        packing.inside(top.as_fd(), &below)?;
    }
    builder.finish().map_err(ArchiveError::io("write", &"the stream of files"))
}

/// Writes single files under the names that they are to have, readable for everybody and owned by root. Folders below
/// [`OURS`] are written as well: the other side would make them by rules of its own.
///
/// # Errors
/// As [`pack`].
pub fn pack_files(files: &[(PathBuf, RelPath)], out: &mut dyn Write) -> Result<(), ArchiveError> {
    let mut builder = Builder::new(out);
    let mut packing = Packing { builder: &mut builder, owner: (0, 0) };
    let mut made = HashSet::new();
    for (host, path) in files {
        let mut above: Vec<RelPath> = std::iter::successors(path.parent(), RelPath::parent).collect();
        above.retain(|folder| folder.as_bytes().split(|byte| *byte == b'/').next() == Some(OURS));
        for folder in above.into_iter().rev() {
            if made.insert(folder.clone()) {
                packing.folder(&folder, 0o755, 0)?;
            }
        }
        let failed = || ArchiveError::io("pack", &host.display());
        let file = std::fs::File::open(host).map_err(failed())?;
        let stat = rustix::fs::fstat(&file).map_err(|e| failed()(e.into()))?;
        let mode = if stat.st_mode & 0o100 == 0 { 0o444 } else { 0o555 };
        packing.file(path, file, mode, &stat)?;
    }
    builder.finish().map_err(ArchiveError::io("write", &"the stream of files"))
}

/// The folder inside a container that is ours alone.
const OURS: &[u8] = b"soopervisor";

fn seconds(stat: &Stat) -> u64 {
    u64::try_from(rooted::mtime_ns(stat).div_euclid(1_000_000_000)).unwrap_or_default()
}

struct Packing<'a, 'b> {
    builder: &'a mut Builder<&'b mut dyn Write>,
    owner: (u32, u32),
}

impl Packing<'_, '_> {
    fn inside(&mut self, folder: BorrowedFd<'_>, at: &RelPath) -> Result<(), ArchiveError> {
        for name in rooted::names(folder).map_err(ArchiveError::io("list", at))? {
            let path = rooted::child(at, &name).map_err(ArchiveError::io("read", at))?;
            let failed = || ArchiveError::io("pack", &path);
            let stat = rooted::look(folder, &name).map_err(failed())?;
            match rooted::kind(&stat) {
                FileType::Directory => {
                    self.folder(&path, stat.st_mode & 0o777, seconds(&stat))?;
                    let inside = rooted::open_subfolder(folder, &name).map_err(failed())?;
                    self.inside(inside.as_fd(), &path)?;
                }
                FileType::RegularFile => {
                    let (file, stat) = rooted::open_file(folder, &name).map_err(failed())?;
                    self.file(&path, file, stat.st_mode & 0o777, &stat)?;
                }
                FileType::Symlink => {
                    let target =
                        rustix::fs::readlinkat(folder, &name[..], Vec::new()).map_err(|e| failed()(e.into()))?;
                    let mut header = self.header(EntryType::Symlink, 0o777, seconds(&stat));
                    header.set_size(0);
                    let target = Path::new(OsStr::from_bytes(target.to_bytes()));
                    self.builder.append_link(&mut header, path.as_path(), target).map_err(failed())?;
                }
                _ => tracing::debug!(path = %path, "neither file, folder nor link: not sent"),
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &RelPath, file: std::fs::File, mode: u32, stat: &Stat) -> Result<(), ArchiveError> {
        let mut header = self.header(EntryType::Regular, mode, seconds(stat));
        let size = rooted::size(stat);
        header.set_size(size);
        // Exactly as long as the header says, or what follows it would be taken for content.
        let mut exact = Exact { file, left: size };
        self.builder.append_data(&mut header, path.as_path(), &mut exact).map_err(ArchiveError::io("pack", path))
    }

    fn folder(&mut self, path: &RelPath, mode: u32, mtime: u64) -> Result<(), ArchiveError> {
        let mut header = self.header(EntryType::Directory, mode, mtime);
        header.set_size(0);
        self.builder.append_data(&mut header, path.as_path(), io::empty()).map_err(ArchiveError::io("pack", path))
    }

    fn header(&self, kind: EntryType, mode: u32, mtime: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(self.owner.0.into());
        header.set_gid(self.owner.1.into());
        header.set_mtime(mtime);
        header
    }
}

/// A file of a known length; one that is shorter is an error, of one that is longer the rest is left.
struct Exact {
    file: std::fs::File,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let n = self.file.read(&mut buffer[..most])?;
        if n == 0 {
            return Err(io::Error::other("the file became shorter while it was read"));
        }
        self.left -= n as u64;
        Ok(n)
    }
}

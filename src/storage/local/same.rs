//! Files of an earlier folder, cloned: the blocks are shared where the file system can, and each copy is its own.
//!
//! Never a hard link: who edits one commit's file must not edit another's. A file that may have changed since its
//! folder was published is not cloned; then the output is copied, and hashed, like any other.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::outputs::Output;
use crate::outputs::rooted::{self, Opener};
use crate::storage::{Same, SameFile, key};

/// An earlier folder that is open.
pub(in crate::storage) struct Earlier<'a> {
    folder: OwnedFd,
    same: &'a Same,
    /// When its manifest was written: the last thing before it was published.
    sealed: i128,
}

impl<'a> Earlier<'a> {
    /// Opens the folder; `None` where it is not there any more.
    pub(super) fn open(project: BorrowedFd<'_>, same: &'a Same) -> Option<Self> {
        let folder = rooted::open_subfolder(project, same.folder.to_string().as_bytes()).ok()?;
        let manifest = rooted::look(folder.as_fd(), key::MANIFEST.as_bytes()).ok()?;
        Some(Self { folder, same, sealed: rooted::mtime_ns(&manifest) })
    }

    /// What is known of an output.
    pub(super) fn file(&self, output: &Output) -> Option<&'a SameFile> {
        self.same.files.get(&output.path)
    }

    /// Whether `to`, which is empty, now holds the file's bytes.
    pub(super) fn clone_into(&self, file: &SameFile, output: &Output, to: &File) -> io::Result<bool> {
        let Ok((from, stat)) = Opener::new(self.folder.as_fd()).file(&file.path) else { return Ok(false) };
        // Nobody can set the change time: it is not younger than the manifest where nothing was written since.
        let unchanged = |stat: &rustix::fs::Stat| rooted::size(stat) == output.size && changed(stat) <= self.sealed;
        if !unchanged(&stat) {
            return Ok(false);
        }
        let holes = rooted::allocated(&stat) < output.size;
        let copied = match clone(to, &from) {
            Ok(()) => true,
            // The kernel would write holes as zeros.
            Err(_) if holes => false,
            Err(_) => copy(&from, to, output.size).unwrap_or(false),
        };
        let sound = copied && unchanged(&rustix::fs::fstat(&from)?) && to.metadata()?.len() == output.size;
        if !sound {
            to.set_len(0)?;
        }
        Ok(sound)
    }
}

#[allow(
    clippy::allow_attributes,
    clippy::unnecessary_cast,
    clippy::cast_lossless,
    reason = "field types differ by platform"
)]
fn changed(stat: &rustix::fs::Stat) -> i128 {
    i128::from(stat.st_ctime) * 1_000_000_000 + stat.st_ctime_nsec as i128
}

#[cfg(target_os = "linux")]
fn clone(to: &File, from: &File) -> rustix::io::Result<()> {
    rustix::fs::ioctl_ficlone(to, from)
}

#[cfg(not(target_os = "linux"))]
fn clone(_: &File, _: &File) -> rustix::io::Result<()> {
    Err(Errno::NOSYS)
}

/// Has the kernel copy the bytes, at offsets of its own: `to` stays at its start.
#[cfg(target_os = "linux")]
fn copy(from: &File, to: &File, size: u64) -> rustix::io::Result<bool> {
    let (mut at_from, mut at_to) = (0, 0);
    while at_to < size {
        let want = usize::try_from(size - at_to).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(from, Some(&mut at_from), to, Some(&mut at_to), want) {
            Ok(0) => return Ok(false),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn copy(_: &File, _: &File, _: u64) -> rustix::io::Result<bool> {
    Ok(false)
}

//! What the operating system offers for publishing, and its errors in this room's words.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::storage::StorageError;

/// Opens a folder by a path that the user named, links followed.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Makes an empty folder with a name of its own and removes it again.
pub(crate) fn try_folder(inside: impl AsFd) -> io::Result<()> {
    static TRIES: AtomicU64 = AtomicU64::new(0);
    let name = format!(".soopervisor-check-{}-{}", std::process::id(), TRIES.fetch_add(1, Ordering::Relaxed));
    rustix::fs::mkdirat(&inside, &name, Mode::RWXU)?;
    Ok(rustix::fs::unlinkat(&inside, &name, rustix::fs::AtFlags::REMOVEDIR)?)
}

/// Gives the folder or file `from` the name `to`; fails with `AlreadyExists` when that is taken.
pub(crate) fn rename_new(folder: BorrowedFd<'_>, from: &[u8], to: &[u8]) -> io::Result<()> {
    match rustix::fs::renameat_with(folder, from, folder, to, rustix::fs::RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => rename_old(folder, from, to),
        other => Ok(other?),
    }
}

/// The same on file systems without `RENAME_NOREPLACE` (NFS, older FUSE). A folder can replace an empty folder only,
/// and a published one is never empty, so two publishers still cannot replace each other.
fn rename_old(folder: BorrowedFd<'_>, from: &[u8], to: &[u8]) -> io::Result<()> {
    if crate::outputs::rooted::look(folder, to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match rustix::fs::renameat(folder, from, folder, to) {
        Err(Errno::NOTEMPTY) => Err(io::ErrorKind::AlreadyExists.into()),
        other => Ok(other?),
    }
}

/// Puts everything written below `folder` on disk: one pass over the file system, not one over every file.
pub(crate) fn sync_all(folder: BorrowedFd<'_>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(folder).or_else(not_offered)?;
    #[cfg(not(target_os = "linux"))]
    rustix::fs::sync();
    rustix::fs::fsync(folder).or_else(not_offered)?;
    Ok(())
}

/// Puts the names in `folder` on disk.
pub(crate) fn sync_names(folder: BorrowedFd<'_>) -> io::Result<()> {
    rustix::fs::fsync(folder).or_else(not_offered)?;
    Ok(())
}

/// Some network file systems and sandboxes cannot sync a folder.
fn not_offered(error: Errno) -> rustix::io::Result<()> {
    if matches!(error, Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) { Ok(()) } else { Err(error) }
}

/// Whether an open folder has no name any more.
pub(crate) fn is_removed(folder: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(folder).is_ok_and(|stat| stat.st_nlink == 0)
}

/// Free bytes and free inodes; `None` for inodes where the file system does not count them.
pub(crate) fn space(folder: impl AsFd) -> io::Result<(u64, Option<u64>)> {
    let stat = rustix::fs::fstatvfs(folder)?;
    let files = (stat.f_files > 0).then_some(stat.f_favail);
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), files))
}

/// Whether a file's permission bits are its own here: FAT, NTFS, shares of other systems and most of what is mounted by
/// programs make them up.
pub(crate) fn keeps_modes(folder: impl AsFd) -> bool {
    const MADE_UP: [u32; 7] = [0x4d44, 0x2011_bab0, 0x5346_544e, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997];
    rustix::fs::fstatfs(folder).is_ok_and(|stat| u32::try_from(stat.f_type).is_ok_and(|kind| !MADE_UP.contains(&kind)))
}

/// Whether an error says that the disk or the quota is used up.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether opening a file below a folder failed because a link, a folder or a file of another kind stands on the way.
pub(crate) fn is_something_else(error: &io::Error) -> bool {
    match Errno::from_io_error(error) {
        Some(errno) => matches!(errno, Errno::LOOP | Errno::NOTDIR | Errno::ISDIR | Errno::NXIO),
        None => error.kind() == io::ErrorKind::InvalidInput,
    }
}

/// An error at a path, in the words of this room.
pub(crate) fn explain(action: &'static str, path: &Path, source: io::Error) -> StorageError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied => StorageError::Forbidden { action, path },
        io::ErrorKind::ReadOnlyFilesystem => StorageError::ReadOnly(path),
        io::ErrorKind::NotADirectory => StorageError::NotAFolder(path),
        // `create_dir_all` says this when a file stands at the folder's name.
        io::ErrorKind::AlreadyExists if !path.is_dir() => StorageError::NotAFolder(path),
        _ => StorageError::Io { action, path, source },
    }
}

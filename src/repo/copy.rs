//! A private copy of a kept snapshot: reflinks where the file system has them, else bytes, by several threads.
//!
//! Never hard links: a pipeline would write through them into the snapshot of every later run.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timestamps, Uid};

use super::export::{Contents, timestamps};
use super::listing::{Item, Listing};
use super::{EntryKind, RepoError};
use crate::id::RelPath;

/// More only wait for each other: the file system makes one name at a time in a folder.
const MOST_THREADS: usize = 8;

struct Copying<'a> {
    from: BorrowedFd<'a>,
    into: BorrowedFd<'a>,
    owner: Option<(Uid, Gid)>,
    times: Timestamps,
    /// Whether reflinks are worth a try.
    reflinks: AtomicBool,
}

/// Copies everything; sizes are checked on the way.
pub(super) fn copy(
    listing: &Listing,
    contents: &Contents,
    from: BorrowedFd<'_>,
    into: &Dir,
    owner: Option<(u32, u32)>,
) -> Result<(), RepoError> {
    let owner = owner.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
    let into_fd = into.as_fd();
    let times = timestamps(contents.mtime_ns);
    let copying = Copying { from, into: into_fd, owner, times, reflinks: AtomicBool::new(true) };
    for folder in listing.folders() {
        into.create_dir(folder.as_path()).map_err(io_at("create", folder))?;
        let mode = Mode::from_raw_mode(0o755); // once more, because the umask took part in the first
        rustix::fs::chmodat(into_fd, folder.as_path(), mode, AtFlags::empty())
            .map_err(|e| io_at("set the mode of", folder)(e.into()))?;
        copying.own(into_fd, folder.as_path(), folder)?;
    }
    copying.own(into_fd, Path::new("."), &RelPath::root())?;
    // Sizes stand in the order of the listing, which leaves submodules out.
    let items: Vec<(&Item, u64)> = listing
        .items
        .iter()
        .filter(|item| matches!(item.kind, EntryKind::File { .. } | EntryKind::Link))
        .zip(&contents.entries)
        .map(|(item, (_, size))| (item, *size))
        .collect();
    let fits = items.len() == contents.entries.len()
        && items.iter().zip(&contents.entries).all(|((item, _), (path, _))| item.path == *path);
    if !fits {
        return Err(io_at("use", &RelPath::root())(damaged()));
    }
    let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, MOST_THREADS);
    let share = items.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let running: Vec<_> = items.chunks(share).map(|part| scope.spawn(|| copying.part(part))).collect();
        running.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(io_at("copy", &RelPath::root())(io::Error::other("a thread panicked"))))
        })
    })
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kept snapshot is damaged")
}

impl Copying<'_> {
    fn part(&self, items: &[(&Item, u64)]) -> Result<(), RepoError> {
        let mut buffer = vec![0; 256 * 1024];
        let mut open: Option<(RelPath, OwnedFd, OwnedFd)> = None;
        for (item, size) in items {
            let above = item.path.parent().unwrap_or_default();
            let failed = || io_at("copy", &item.path);
            let (from, to) = match &open {
                Some((at, from, to)) if *at == above => (from, to),
                _ => {
                    let path = if above.is_root() { Path::new(".") } else { above.as_path() };
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let folder = |root| rustix::fs::openat(root, path, flags, Mode::empty());
                    let from = folder(self.from).map_err(|e| failed()(e.into()))?;
                    let to = folder(self.into).map_err(|e| failed()(e.into()))?;
                    let (_, from, to) = open.insert((above, from, to));
                    (&*from, &*to)
                }
            };
            match item.kind {
                EntryKind::Link => self.link(from.as_fd(), to.as_fd(), item).map_err(failed())?,
                kind => {
                    let executable = matches!(kind, EntryKind::File { executable: true, .. });
                    self.file(from.as_fd(), to.as_fd(), item, executable, *size, &mut buffer).map_err(failed())?;
                }
            }
        }
        Ok(())
    }

    fn file(
        &self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        item: &Item,
        executable: bool,
        size: u64,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        let name = item.path.file_name();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut source = std::fs::File::from(rustix::fs::openat(from, name, flags, Mode::empty())?);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(if executable { 0o755 } else { 0o644 });
        let mut target = std::fs::File::from(rustix::fs::openat(to, name, flags, mode)?);
        let mut copied = 0;
        if self.reflinks.load(Ordering::Relaxed) && rustix::fs::ioctl_ficlone(&target, &source).is_ok() {
            copied = target.metadata()?.len();
        } else {
            self.reflinks.store(false, Ordering::Relaxed);
            loop {
                let n = source.read(buffer)?;
                if n == 0 {
                    break;
                }
                target.write_all(&buffer[..n])?;
                copied += n as u64;
            }
        }
        if copied != size {
            return Err(damaged());
        }
        rustix::fs::fchmod(&target, mode)?;
        if let Some((uid, gid)) = self.owner {
            rustix::fs::fchown(&target, Some(uid), Some(gid))?;
        }
        Ok(rustix::fs::futimens(&target, &self.times)?)
    }

    fn link(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, item: &Item) -> io::Result<()> {
        let name = item.path.file_name();
        let target = rustix::fs::readlinkat(from, name, Vec::new())?;
        rustix::fs::symlinkat(&target, to, name)?;
        if let Some((uid, gid)) = self.owner {
            rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(rustix::fs::utimensat(to, name, &self.times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn own(&self, dir: BorrowedFd<'_>, name: &Path, path: &RelPath) -> Result<(), RepoError> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| io_at("set the owner of", path)(e.into()))
    }
}

fn io_at(doing: &'static str, path: &RelPath) -> impl FnOnce(io::Error) -> RepoError + use<> {
    let path = path.to_string();
    move |source| RepoError::Io { doing, path, source }
}

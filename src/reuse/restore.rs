//! Writes the files of tasks into the snapshot: read once, checked on the way, all of a task's or none.
//!
//! The repository may have put links and files in the way: nothing is followed and nothing is overwritten.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cap_std::fs::Dir;
use futures::StreamExt;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::kept::{Laid, Mark};
use super::offer::Piece;
use crate::id::{Digest, ProjectName, RelPath};
use crate::outputs::{OutputKind, Root, Roots, rooted};
use crate::storage::{Folder, Storage, patience};

/// Files that are written at once.
const LANES: usize = 4;
const CHUNK: usize = 1024 * 1024;

/// What was written, and what could not be.
#[derive(Debug, Default)]
pub struct Restoration {
    /// Files and empty folders that lie in the snapshot now.
    pub laid: Vec<Laid>,
    /// Folders that were made for them, parents first.
    pub folders: Vec<RelPath>,
    /// Tasks of which something could not be had, and why; what was written of them is still there.
    pub failed: BTreeMap<String, String>,
}

/// Who fetches from where.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The storage.
    pub storage: &'a dyn Storage,
    /// The project.
    pub project: &'a ProjectName,
    /// The ancestor's folder.
    pub folder: &'a Folder,
    /// The commit's files, where they are not in the snapshot's folder but show through it.
    pub beneath: Option<&'a Dir>,
}

/// Writes the files of all `tasks`, for `owner` (uid, gid) where that is another than this process. `stop` is asked all
/// the time: what is half written then is removed, and its task is one that failed.
///
/// # Errors
/// When something lies in the snapshot that must not be there and cannot be removed.
pub async fn restore(
    source: Source<'_>,
    tasks: &BTreeMap<&str, &[Piece]>,
    roots: &Roots,
    owner: Option<(u32, u32)>,
    stop: &(dyn Fn() -> bool + Sync),
) -> io::Result<Restoration> {
    let mut done = Restoration::default();
    let all: Vec<(&str, &Piece)> =
        tasks.iter().flat_map(|(task, pieces)| pieces.iter().map(|piece| (*task, piece))).collect();
    let (folders, blocked) = make_folders(roots, source.beneath, &all, owner);
    (done.folders, done.failed) = (folders, blocked);
    let wanted = all.iter().filter(|(task, _)| !done.failed.contains_key(*task)).map(|(task, piece)| async move {
        if stop() {
            return (*task, Ok(Err("stopped".to_owned())));
        }
        (*task, lay(source, task, piece, roots, owner, stop).await)
    });
    let mut lanes = futures::stream::iter(wanted.collect::<Vec<_>>()).buffer_unordered(LANES);
    let (mut laid, mut failed) = (Vec::new(), BTreeMap::new());
    while let Some((task, result)) = lanes.next().await {
        match result? {
            Ok(one) => laid.push(one),
            Err(why) => drop(failed.entry(task.to_owned()).or_insert(why)),
        }
    }
    drop(lanes);
    done.laid = laid;
    done.failed.append(&mut failed);
    Ok(done)
}

/// Removes what was written for some tasks, and the folders that are empty without it.
///
/// # Errors
/// When something stays that must not be there.
pub fn remove(done: &mut Restoration, roots: &Roots, of: &dyn Fn(&str) -> bool) -> io::Result<()> {
    let work = roots.fd(Root::Work);
    for laid in done.laid.iter().filter(|laid| of(&laid.task)) {
        unlink(work, &laid.piece.to, laid.piece.entry.kind == OutputKind::Folder)?;
    }
    done.laid.retain(|laid| !of(&laid.task));
    for at in (0..done.folders.len()).rev() {
        let folder = &done.folders[at];
        let above = rooted::open_folder(work, &folder.parent().unwrap_or_default())?;
        match rustix::fs::unlinkat(above, folder.file_name(), AtFlags::REMOVEDIR) {
            Ok(()) => drop(done.folders.remove(at)),
            Err(rustix::io::Errno::NOTEMPTY | rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Makes every folder above the pieces; tasks whose way is blocked are named.
fn make_folders(
    roots: &Roots,
    beneath: Option<&Dir>,
    all: &[(&str, &Piece)],
    owner: Option<(u32, u32)>,
) -> (Vec<RelPath>, BTreeMap<String, String>) {
    let (mut made, mut failed) = (Vec::new(), BTreeMap::new());
    let mut there: BTreeSet<RelPath> = BTreeSet::from([RelPath::root()]);
    for (task, piece) in all {
        let mut missing = Vec::new();
        let mut above = piece.to.parent();
        while let Some(folder) = above.filter(|folder| !there.contains(folder)) {
            above = folder.parent();
            missing.push(folder);
        }
        for folder in missing.into_iter().rev() {
            let clear = way_beneath(beneath, &folder, Some(FileType::Directory));
            match clear.and_then(|()| make_folder(roots.fd(Root::Work), &folder, owner)) {
                Ok(true) => made.push(folder.clone()),
                Ok(false) => {}
                Err(error) => {
                    failed.entry((*task).to_owned()).or_insert(format!("`{folder}` cannot be made a folder: {error}"));
                    break;
                }
            }
            there.insert(folder);
        }
    }
    (made, failed)
}

/// Fails where the commit has something else than `allowed` at a path that nothing in the snapshot's folder hides.
fn way_beneath(beneath: Option<&Dir>, path: &RelPath, allowed: Option<FileType>) -> io::Result<()> {
    let Some(beneath) = beneath else { return Ok(()) };
    let above = match rooted::open_folder(beneath.as_fd(), &path.parent().unwrap_or_default()) {
        Ok(above) => above,
        // The way to it was looked at before, folder by folder.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match rooted::look(above.as_fd(), path.file_name()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(stat) if Some(rooted::kind(&stat)) == allowed => Ok(()),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// Whether it had to be made.
fn make_folder(work: BorrowedFd<'_>, path: &RelPath, owner: Option<(u32, u32)>) -> io::Result<bool> {
    let above = rooted::open_folder(work, &path.parent().unwrap_or_default())?;
    let made = match rustix::fs::mkdirat(&above, path.file_name(), Mode::from_raw_mode(0o755)) {
        Ok(()) => true,
        Err(rustix::io::Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    // Fails where a link or a file stands there.
    let folder = rooted::open_subfolder(above.as_fd(), path.file_name())?;
    if made {
        rustix::fs::fchmod(&folder, Mode::from_raw_mode(0o755))?;
        own(&folder, owner)?;
    }
    Ok(made)
}

fn own(fd: &OwnedFd, owner: Option<(u32, u32)>) -> io::Result<()> {
    if let Some((uid, gid)) = owner {
        rustix::fs::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    Ok(())
}

/// Writes one file or empty folder; why it is not there, where it is not. An error is for what is there and must not be.
async fn lay(
    source: Source<'_>,
    task: &str,
    piece: &Piece,
    roots: &Roots,
    owner: Option<(u32, u32)>,
    stop: &(dyn Fn() -> bool + Sync),
) -> io::Result<Result<Laid, String>> {
    let work = roots.fd(Root::Work);
    let wrong = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!("`{}` is in the commit itself", piece.to),
        _ => format!("`{}` cannot be written: {error}", piece.to),
    };
    let folder = piece.entry.kind == OutputKind::Folder;
    let create = if folder { create_folder } else { create };
    let created = way_beneath(source.beneath, &piece.to, None).and_then(|()| create(work, &piece.to));
    let fd = match created {
        Ok(fd) => fd,
        Err(error) => return Ok(Err(wrong(error))),
    };
    let filled = match fd.try_clone() {
        Ok(_) if folder => Ok(()),
        Ok(copy) => {
            let filled = patience::unless(stop, fill(source, piece, copy)).await;
            filled.unwrap_or_else(|| Err("stopped".to_owned()))
        }
        Err(error) => Err(wrong(error)),
    };
    let finish = || -> io::Result<Mark> {
        let keep = if folder { 0o700 } else { 0 };
        rustix::fs::fchmod(&fd, Mode::from_raw_mode(piece.entry.mode | keep))?;
        own(&fd, owner)?;
        rustix::fs::futimens(&fd, &times(piece.entry.mtime_ns))?;
        Ok(Mark::of(&rustix::fs::fstat(&fd)?))
    };
    match filled.and_then(|()| finish().map_err(wrong)) {
        Ok(mark) => Ok(Ok(Laid { task: task.to_owned(), piece: piece.clone(), mark })),
        Err(why) => unlink(work, &piece.to, folder).map(|()| Err(why)),
    }
}

fn unlink(work: BorrowedFd<'_>, path: &RelPath, folder: bool) -> io::Result<()> {
    let above = rooted::open_folder(work, &path.parent().unwrap_or_default())?;
    let flags = if folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    Ok(rustix::fs::unlinkat(above, path.file_name(), flags)?)
}

fn create_folder(work: BorrowedFd<'_>, path: &RelPath) -> io::Result<OwnedFd> {
    let above = rooted::open_folder(work, &path.parent().unwrap_or_default())?;
    rustix::fs::mkdirat(&above, path.file_name(), Mode::from_raw_mode(0o755))?;
    rooted::open_subfolder(above.as_fd(), path.file_name())
}

fn create(work: BorrowedFd<'_>, path: &RelPath) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let above = rooted::open_folder(work, &path.parent().unwrap_or_default())?;
    Ok(rustix::fs::openat(above, path.file_name(), flags, Mode::from_raw_mode(0o600))?)
}

/// Copies the bytes and compares what they are with what the manifest says.
async fn fill(source: Source<'_>, piece: &Piece, fd: OwnedFd) -> Result<(), String> {
    let path = &piece.entry.path;
    let mut reader =
        source.storage.open(source.project, source.folder, &piece.entry, 0).await.map_err(|error| error.to_string())?;
    let mut to = tokio::fs::File::from_std(fd.into());
    let (mut hash, mut size) = (Sha256::new(), 0_u64);
    let mut buffer = vec![0; CHUNK];
    let wrong = |error: io::Error| format!("`{path}` cannot be copied: {error}");
    loop {
        let read = reader.read(&mut buffer).await.map_err(wrong)?;
        if read == 0 {
            break;
        }
        size += read as u64;
        if size > piece.entry.size {
            break;
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read]).await.map_err(wrong)?;
    }
    to.flush().await.map_err(wrong)?;
    let found = Digest(hash.finalize().into());
    if size == piece.entry.size && Some(found) == piece.entry.sha256 {
        Ok(())
    } else {
        Err(format!("`{path}` is damaged there"))
    }
}

/// The modification time; the access time is left to the system.
fn times(mtime_ns: i64) -> Timestamps {
    let second = 1_000_000_000;
    let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let modified = Timespec {
        tv_sec: mtime_ns.div_euclid(second),
        tv_nsec: rustix::fs::Nsecs::try_from(mtime_ns.rem_euclid(second)).unwrap_or_default(),
    };
    Timestamps { last_access: omit, last_modification: modified }
}

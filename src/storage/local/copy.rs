//! Copies outputs into a staging folder and hashes them in the same pass, on a few threads with one buffer each.
//!
//! Without a target it hashes only, which is how a run is compared with what is published already. What is known to be
//! a file of an earlier folder is cloned and not read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use rustix::fs::{Mode, OFlags, Timespec, Timestamps};
use sha2::{Digest as _, Sha256};

use super::same::Earlier;
use crate::id::{Digest, RelPath};
use crate::outputs::manifest::Entry;
use crate::outputs::rooted::{self, Opener};
use crate::outputs::{Output, OutputKind, Roots, meaning};
use crate::storage::source::{self, Sources};
use crate::storage::{Done, Progress, StorageError, key};

const BUFFER: usize = 1024 * 1024;
/// Zeros are looked for in pieces of this size, in files that have holes.
const HOLE: usize = 64 * 1024;
/// Files from here on are copied first, so that the last one does not keep one thread busy alone.
const LARGE: u64 = 8 * 1024 * 1024;

/// One copy of many outputs.
pub(in crate::storage) struct Job<'a> {
    pub(in crate::storage) roots: &'a Roots,
    pub(in crate::storage) outputs: &'a [Output],
    pub(in crate::storage) target: Option<BorrowedFd<'a>>,
    /// Where some of them were fetched from.
    pub(in crate::storage) earlier: Option<Earlier<'a>>,
    pub(in crate::storage) progress: &'a dyn Progress,
    /// Called with the number of entries that are done.
    pub(in crate::storage) copied: &'a (dyn Fn(usize) + Sync),
}

/// Why one output could not be copied.
pub(in crate::storage) enum Failure {
    /// The output itself, or a request to stop.
    Ours(StorageError),
    /// Writing to the target.
    Target(RelPath, io::Error),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Ours(error)
    }
}

struct Shared<'a> {
    job: &'a Job<'a>,
    order: Vec<usize>,
    next: AtomicUsize,
    stop: AtomicBool,
    files: AtomicUsize,
    bytes: AtomicU64,
    bytes_total: u64,
}

impl Job<'_> {
    /// Copies everything; the first failure stops all threads.
    pub(in crate::storage) fn run(&self) -> Result<Vec<Entry>, Failure> {
        self.make_folders()?;
        let mut order: Vec<usize> = (0..self.outputs.len()).collect();
        order.sort_by_key(|at| {
            let size = self.outputs[*at].size;
            std::cmp::Reverse(if size >= LARGE { size } else { 0 })
        });
        let shared = Shared {
            job: self,
            order,
            next: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            files: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            bytes_total: self.outputs.iter().map(|output| output.size).sum(),
        };
        let threads =
            std::thread::available_parallelism().map_or(1, usize::from).clamp(1, 4).min(self.outputs.len().max(1));
        let results: Vec<Result<Vec<Entry>, Failure>> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| shared.work())).collect();
            let mut results = vec![shared.work()];
            results.extend(
                others.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
            );
            results
        });
        let mut entries = Vec::with_capacity(self.outputs.len());
        let mut failure = None;
        for result in results {
            match result {
                Ok(some) => entries.extend(some),
                Err(error) => drop(failure.get_or_insert(error)),
            }
        }
        failure.map_or(Ok(entries), Err)
    }

    /// Makes every folder beforehand, parents first: outputs are sorted by path.
    fn make_folders(&self) -> Result<(), Failure> {
        let Some(target) = self.target else { return Ok(()) };
        let mut made = std::collections::HashSet::new();
        for output in self.outputs {
            let mut missing = Vec::new();
            let mut above =
                if output.kind == OutputKind::Folder { Some(output.path.clone()) } else { output.path.parent() };
            while let Some(folder) = above.filter(|folder| !folder.is_root() && !made.contains(folder)) {
                above = folder.parent();
                missing.push(folder);
            }
            for folder in missing.into_iter().rev() {
                rustix::fs::mkdirat(target, folder.as_path(), Mode::from_raw_mode(0o777))
                    .map_err(|error| Failure::Target(folder.clone(), error.into()))?;
                made.insert(folder);
            }
        }
        Ok(())
    }
}

impl Shared<'_> {
    fn work(&self) -> Result<Vec<Entry>, Failure> {
        let result = self.work_on();
        if result.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        result
    }

    fn work_on(&self) -> Result<Vec<Entry>, Failure> {
        let mut sources = Sources::new(self.job.roots);
        let mut target = self.job.target.map(Opener::new);
        let mut buffer = vec![0; BUFFER];
        let mut entries = Vec::new();
        while let Some(at) = self.order.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let output = &self.job.outputs[*at];
            entries.push(match output.kind {
                OutputKind::File => self.file(output, &mut sources, target.as_mut(), &mut buffer)?,
                OutputKind::Link | OutputKind::Folder => {
                    if let Some(target) = target.as_mut() {
                        place(output, target).map_err(|error| Failure::Target(output.path.clone(), error))?;
                    }
                    Entry::new(output, None, None)
                }
            });
            let files = self.files.fetch_add(1, Ordering::Relaxed) + 1;
            (self.job.copied)(files);
            self.tell();
        }
        Ok(entries)
    }

    fn file(
        &self,
        output: &Output,
        sources: &mut Sources<'_>,
        target: Option<&mut Opener<'_>>,
        buffer: &mut [u8],
    ) -> Result<Entry, Failure> {
        let wrong = |error| Failure::Target(output.path.clone(), error);
        let mut from = sources.open(output)?;
        let mut to = target.map(|folder| create(folder, &output.path)).transpose().map_err(wrong)?;
        let known = self.job.earlier.as_ref().and_then(|earlier| Some((earlier, earlier.file(output)?)));
        if let Some((earlier, file)) = known {
            let there = match &to {
                Some(to) => earlier.clone_into(file, output, to).map_err(wrong)?,
                None => true,
            };
            if there {
                if let Some(to) = &to {
                    finish(to, output).map_err(wrong)?;
                }
                self.bytes.fetch_add(output.size, Ordering::Relaxed);
                return Ok(Entry::new(output, Some(file.sha256), file.meaning));
            }
        }
        let keep = meaning::applies(&output.path, output.size);
        let mut whole = Vec::new();
        let mut hash = Sha256::new();
        let mut left = output.size;
        while left > 0 {
            if self.job.progress.cancelled() {
                return Err(StorageError::Cancelled.into());
            }
            let want = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let read = from
                .read(&mut buffer[..want])
                .map_err(|source| StorageError::Source { path: output.path.clone(), source })?;
            if read == 0 {
                return Err(source::changed(&output.path).into());
            }
            hash.update(&buffer[..read]);
            if keep {
                whole.extend_from_slice(&buffer[..read]);
            }
            if let Some(to) = &mut to {
                write(to, &buffer[..read], output.allocated < output.size).map_err(wrong)?;
            }
            left -= read as u64;
            self.bytes.fetch_add(read as u64, Ordering::Relaxed);
            if left > 0 {
                self.tell();
            }
        }
        source::recheck(output, &from)?;
        if let Some(to) = &to {
            finish(to, output).map_err(wrong)?;
        }
        Ok(source::entry(output, Digest(hash.finalize().into()), keep.then_some(&whole[..])))
    }

    fn tell(&self) {
        self.job.progress.at(Done {
            files: self.files.load(Ordering::Relaxed) as u64,
            files_total: self.job.outputs.len() as u64,
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_total: self.bytes_total,
            ..Done::default()
        });
    }
}

fn create(folder: &mut Opener<'_>, path: &RelPath) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = folder.folder(&path.parent().unwrap_or_default())?;
    let file: OwnedFd = rustix::fs::openat(folder, path.file_name(), flags, Mode::from_raw_mode(0o600))?;
    Ok(File::from(file))
}

/// Writes, leaving holes where the source has some and the bytes are zero.
fn write(to: &mut File, bytes: &[u8], holes: bool) -> io::Result<()> {
    if !holes {
        return to.write_all(bytes);
    }
    for piece in bytes.chunks(HOLE) {
        if piece.iter().all(|byte| *byte == 0) {
            to.seek(SeekFrom::Current(i64::try_from(piece.len()).unwrap_or(i64::MAX)))?;
        } else {
            to.write_all(piece)?;
        }
    }
    Ok(())
}

fn finish(to: &File, output: &Output) -> io::Result<()> {
    if output.allocated < output.size {
        // A hole at the end was stepped over and does not count as written.
        to.set_len(output.size)?;
    }
    rustix::fs::fchmod(to, Mode::from_raw_mode(output.mode))?;
    rustix::fs::futimens(to, &times(output.mtime_ns))?;
    Ok(())
}

/// Makes a link, or gives a folder its mode and time.
fn place(output: &Output, target: &mut Opener<'_>) -> io::Result<()> {
    if let Some(leads_to) = &output.link_target {
        let folder = target.folder(&output.path.parent().unwrap_or_default())?;
        rustix::fs::symlinkat(key::link_text(&output.path, leads_to), folder, output.path.file_name())?;
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(folder, output.path.file_name(), &times(output.mtime_ns), flags)?;
    } else {
        let folder = target.folder(&output.path)?;
        // The owner keeps the right to remove it.
        rustix::fs::fchmod(folder, Mode::from_raw_mode(output.mode | 0o700))?;
        rustix::fs::futimens(folder, &times(output.mtime_ns))?;
    }
    Ok(())
}

/// The modification time; the access time is left to the system.
pub(in crate::storage) fn times(mtime_ns: i128) -> Timestamps {
    let second = 1_000_000_000;
    let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    let modified = Timespec {
        tv_sec: i64::try_from(mtime_ns.div_euclid(second)).unwrap_or_default(),
        tv_nsec: rustix::fs::Nsecs::try_from(mtime_ns.rem_euclid(second)).unwrap_or_default(),
    };
    Timestamps { last_access: omit, last_modification: modified }
}

/// Writes a small file of our own, whole.
pub(super) fn write_own(folder: BorrowedFd<'_>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = rooted::child(&RelPath::root(), name.as_bytes())?;
    let mut file = create(&mut Opener::new(folder), &path)?;
    file.write_all(bytes)?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
    Ok(())
}

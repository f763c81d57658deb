//! A commit's files written into an empty folder: exact bytes, modes, links; streamed, two at a time.

use std::collections::BTreeSet;
use std::io::{BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid};

use super::blobs::Blobs;
use super::lfs::{self, Pointer};
use super::listing::{Item, Listing};
use super::{EntryKind, RepoError};
use crate::id::RelPath;

/// Each with a `git cat-file` of its own, which inflates while the worker writes.
const WORKERS: usize = 2;

/// Below this much, in the measure of [`Export::files`], a second `git` costs more than it saves.
const SMALL: u64 = 4 << 20;

/// As many files as a message names.
const SHOWN: usize = 10;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Exported {
    /// Regular files.
    pub files: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// What was written, file by file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Contents {
    /// In sum.
    pub exported: Exported,
    /// Every file and link with its size, sorted by path.
    pub entries: Vec<(RelPath, u64)>,
    /// The time that all of them were given, a whole second: nanoseconds since 1970.
    pub mtime_ns: i128,
}

/// For setting a time.
pub(super) fn timestamps(mtime_ns: i128) -> Timestamps {
    let time = Timespec {
        tv_sec: i64::try_from(mtime_ns.div_euclid(SECOND)).unwrap_or_default(),
        tv_nsec: i64::try_from(mtime_ns.rem_euclid(SECOND)).unwrap_or_default(),
    };
    Timestamps { last_access: time, last_modification: time }
}

const SECOND: i128 = 1_000_000_000;

/// The second that has begun: what is written later is newer, and what only knows seconds knows this time too.
fn this_second() -> i128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i128::from(since.as_secs()) * SECOND
}

struct Export<'a> {
    listing: &'a Listing,
    into: &'a Dir,
    owner: Option<(Uid, Gid)>,
    /// Whether small files are looked at for being LFS pointers.
    lfs: bool,
    /// Pointers whose content is not here.
    missing: Mutex<BTreeSet<RelPath>>,
    /// Set when one worker failed, so that the other stops.
    failed: AtomicBool,
    times: Timestamps,
    /// What was written so far.
    entries: Mutex<Vec<(RelPath, u64)>>,
}

/// Folders first, then files, links last: while files are written there is no link that a path could lead through.
pub(super) fn export(listing: &Listing, into: &Dir, owner: Option<(u32, u32)>) -> Result<Contents, RepoError> {
    let root = RelPath::root();
    if into.entries().map_err(io("read", &root))?.next().is_some() {
        return Err(RepoError::NotEmpty);
    }
    let owner = owner.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
    let lfs = uses_lfs(listing)?;
    let mtime_ns = this_second();
    let export = Export {
        listing,
        into,
        owner,
        lfs,
        missing: Mutex::default(),
        failed: AtomicBool::new(false),
        times: timestamps(mtime_ns),
        entries: Mutex::default(),
    };
    export.own(into.as_fd(), Path::new("."), &root)?;
    for folder in listing.folders() {
        into.create_dir(folder.as_path()).map_err(io("create", folder))?;
        let mode = Mode::from_raw_mode(0o755); // once more, because the umask took part in the first
        rustix::fs::chmodat(into, folder.as_path(), mode, AtFlags::empty())
            .map_err(|e| io("set the mode of", folder)(e.into()))?;
        export.own(into.as_fd(), folder.as_path(), folder)?;
    }
    let mut done = export.files()?;
    let missing = export.missing.lock().map(|set| set.clone()).unwrap_or_default();
    lfs_missing(&missing)?;
    done.links = export.links()?;
    let mut entries = export.entries.into_inner().unwrap_or_default();
    entries.sort();
    Ok(Contents { exported: done, entries, mtime_ns })
}

impl Export<'_> {
    /// All regular files, shared out by size to the workers, in path order within each.
    fn files(&self) -> Result<Exported, RepoError> {
        let files: Vec<&Item> =
            self.listing.items.iter().filter(|item| matches!(item.kind, EntryKind::File { .. })).collect();
        // A file costs about as much as 16 KiB of content.
        let weight = |item: &Item| item.size + (16 << 10);
        let all = files.iter().map(|item| weight(item)).sum::<u64>();
        if all < SMALL {
            return self.stop_on_failure(&files);
        }
        let half = all / WORKERS as u64;
        let mut so_far = 0;
        let cut = files.iter().position(|item| {
            so_far += weight(item);
            so_far > half
        });
        let (one, two) = files.split_at(cut.unwrap_or(files.len()));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| self.stop_on_failure(two));
            let mine = self.stop_on_failure(one);
            let theirs = other.join().unwrap_or_else(|_| {
                Err(io("write", &RelPath::root())(std::io::Error::other("the writing thread panicked")))
            });
            let (mine, theirs) = (mine?, theirs?);
            Ok(Exported { files: mine.files + theirs.files, bytes: mine.bytes + theirs.bytes, links: 0 })
        })
    }

    fn stop_on_failure(&self, items: &[&Item]) -> Result<Exported, RepoError> {
        let mut done = Exported::default();
        for source in 0..self.listing.sources.len() {
            let own: Vec<&Item> = items.iter().filter(|item| item.source == source).copied().collect();
            let result = if own.is_empty() { Ok(Exported::default()) } else { self.write_all(source, &own) };
            let part = result.inspect_err(|_| self.failed.store(true, Ordering::Relaxed))?;
            done.files += part.files;
            done.bytes += part.bytes;
        }
        Ok(done)
    }

    fn write_all(&self, source: usize, items: &[&Item]) -> Result<Exported, RepoError> {
        let mut blobs = Blobs::start(&self.listing.sources[source].git, true)?;
        let requests = blobs.requests.take();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A failure here shows as a missing answer there.
                let mut requests = BufWriter::new(requests?);
                items.iter().try_for_each(|item| writeln!(requests, "{}", item.oid)).ok()?;
                requests.flush().ok()
            });
            let result = self.receive(&mut blobs, items);
            drop(blobs); // ends git, and with it a writer that nobody listens to
            result
        })
    }

    fn receive(&self, blobs: &mut Blobs, items: &[&Item]) -> Result<Exported, RepoError> {
        let mut done = Exported::default();
        let mut written = Vec::with_capacity(items.len());
        let mut folder: Option<(RelPath, Dir)> = None;
        for item in items {
            if self.failed.load(Ordering::Relaxed) {
                break;
            }
            let parent = item.path.parent().unwrap_or_default();
            let dir = match &folder {
                Some((path, dir)) if *path == parent => dir,
                _ => {
                    let path = if parent.is_root() { Path::new(".") } else { parent.as_path() };
                    let dir = self.into.open_dir(path).map_err(io("open", &parent))?;
                    &folder.insert((parent, dir)).1
                }
            };
            let size = blobs.header(&item.oid)?;
            let size = self.write(blobs, item, size, dir)?;
            written.push((item.path.clone(), size));
            done.bytes += size;
            done.files += 1;
            blobs.end()?;
        }
        self.wrote(written);
        Ok(done)
    }

    fn wrote(&self, written: Vec<(RelPath, u64)>) {
        if let Ok(mut entries) = self.entries.lock() {
            entries.extend(written);
        }
    }

    /// Writes one file with its time; its size.
    fn write(&self, blobs: &mut Blobs, item: &Item, size: u64, dir: &Dir) -> Result<u64, RepoError> {
        let mut file = self.create(item, dir)?;
        let size = self.fill(blobs, item, size, &mut file)?;
        rustix::fs::futimens(&file, &self.times).map_err(|e| io("set the time of", &item.path)(e.into()))?;
        Ok(size)
    }

    fn fill(&self, blobs: &mut Blobs, item: &Item, size: u64, file: &mut File) -> Result<u64, RepoError> {
        if !self.lfs || size > lfs::LONGEST_POINTER {
            let copied = std::io::copy(&mut blobs.content(size), file).map_err(io("write", &item.path))?;
            return if copied == size { Ok(size) } else { Err(RepoError::ObjectsMissing { detail: item.oid.clone() }) };
        }
        let bytes = blobs.content_bytes(size)?;
        let Some(pointer) = Pointer::parse(&bytes) else {
            return file.write_all(&bytes).map(|()| size).map_err(io("write", &item.path));
        };
        let objects = &self.listing.sources[item.source].lfs_objects;
        if !lfs::copy(objects, &pointer, &item.path, file)?
            && let Ok(mut missing) = self.missing.lock()
        {
            missing.insert(item.path.clone());
        }
        Ok(pointer.size)
    }

    fn create(&self, item: &Item, dir: &Dir) -> Result<File, RepoError> {
        let executable = matches!(item.kind, EntryKind::File { executable: true, .. });
        let mode = if executable { 0o755 } else { 0o644 };
        let name = RelPath::from_bytes(item.path.file_name()).unwrap_or_default();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let file = dir.open_with(name.as_path(), &options).map_err(io("create", &item.path))?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))
            .map_err(|e| io("set the mode of", &item.path)(e.into()))?;
        if let Some((uid, gid)) = self.owner {
            let given = rustix::fs::fchown(&file, Some(uid), Some(gid));
            given.map_err(|e| io("set the owner of", &item.path)(e.into()))?;
        }
        Ok(file)
    }

    /// Links as they are, also those that lead out: they mean something inside the container only.
    fn links(&self) -> Result<u64, RepoError> {
        use std::os::unix::ffi::OsStrExt;
        let mut running: Vec<Option<Blobs>> = self.listing.sources.iter().map(|_| None).collect();
        let mut done = 0;
        for item in self.listing.items.iter().filter(|item| item.kind == EntryKind::Link) {
            let blobs = match &mut running[item.source] {
                Some(blobs) => blobs,
                none => none.insert(Blobs::start(&self.listing.sources[item.source].git, false)?),
            };
            let size = blobs.ask(&item.oid)?;
            let mut target = Vec::new();
            // No system takes a longer one; what remains of a monster is not read into memory.
            let most = 1 << 16;
            blobs.content(size).take(most).read_to_end(&mut target).map_err(io("read", &item.path))?;
            if size > most {
                return Err(io("create", &item.path)(std::io::ErrorKind::InvalidFilename.into()));
            }
            blobs.end()?;
            let parent = item.path.parent().unwrap_or_default();
            let folder = if parent.is_root() { Path::new(".") } else { parent.as_path() };
            let dir = self.into.open_dir(folder).map_err(io("open", &parent))?;
            let name = RelPath::from_bytes(item.path.file_name()).unwrap_or_default();
            let made = rustix::fs::symlinkat(std::ffi::OsStr::from_bytes(&target), &dir, name.as_path());
            made.map_err(|e| io("create", &item.path)(e.into()))?;
            self.own(dir.as_fd(), name.as_path(), &item.path)?;
            rustix::fs::utimensat(&dir, name.as_path(), &self.times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| io("set the time of", &item.path)(e.into()))?;
            self.wrote(vec![(item.path.clone(), size)]);
            done += 1;
        }
        Ok(done)
    }

    fn own(&self, dir: std::os::fd::BorrowedFd<'_>, name: &Path, path: &RelPath) -> Result<(), RepoError> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| io("set the owner of", path)(e.into()))
    }
}

/// Only where some `.gitattributes` says so: elsewhere a file that looks like a pointer is just that file.
fn uses_lfs(listing: &Listing) -> Result<bool, RepoError> {
    for item in listing.items.iter().filter(|item| item.path.file_name() == b".gitattributes") {
        if !matches!(item.kind, EntryKind::File { size, .. } if size <= 1 << 20) {
            continue;
        }
        let mut blobs = Blobs::start(&listing.sources[item.source].git, false)?;
        let size = blobs.ask(&item.oid)?;
        let bytes = blobs.content_bytes(size)?;
        if memchr::memmem::find(&bytes, b"filter=lfs").is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Looks whether the content of all files in Git LFS is here, without writing any of it.
pub(super) fn check_lfs(listing: &Listing) -> Result<(), RepoError> {
    if !uses_lfs(listing)? {
        return Ok(());
    }
    let mut missing = BTreeSet::new();
    for (number, source) in listing.sources.iter().enumerate() {
        let mut blobs = Blobs::start(&source.git, false)?;
        let is_small = |item: &&Item| matches!(item.kind, EntryKind::File { .. }) && item.size <= lfs::LONGEST_POINTER;
        for item in listing.items.iter().filter(|item| item.source == number).filter(is_small) {
            let size = blobs.ask(&item.oid)?;
            let bytes = blobs.content_bytes(size)?;
            blobs.end()?;
            if Pointer::parse(&bytes).is_some_and(|pointer| !lfs::is_here(&source.lfs_objects, &pointer)) {
                missing.insert(item.path.clone());
            }
        }
    }
    lfs_missing(&missing)
}

fn lfs_missing(missing: &BTreeSet<RelPath>) -> Result<(), RepoError> {
    if missing.is_empty() {
        return Ok(());
    }
    let files = missing.iter().take(SHOWN).cloned().collect();
    Err(RepoError::LfsMissing { files, total: missing.len() })
}

fn io(doing: &'static str, path: &RelPath) -> impl FnOnce(std::io::Error) -> RepoError + use<> {
    let path = path.to_string();
    move |source| RepoError::Io { doing, path, source }
}

//! Exported commits, kept: a large commit is taken out of git once, later runs start from what was written then.
//!
//! A kept snapshot is never changed. It is named after everything that decides its content, and appears by one rename;
//! it counts for the boot in which it was written only, so that a power cut leaves nothing that is half on disk. Whoever
//! uses one holds a shared lock, and nobody removes it meanwhile. What is old or too much goes when another one comes.

use std::fs::{File, TryLockError};
use std::io::{self, BufRead, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use sha2::{Digest as _, Sha256};

use super::export::{Contents, export};
use super::listing::Listing;
use super::{EntryKind, RepoError, copy};
use crate::id::{Digest, RelPath};

/// Raised when the same commit would be written differently.
const LAYOUT: u32 = 1;

/// Smaller commits are exported as fast as they are copied.
const WORTH_FILES: usize = 500;
const WORTH_BYTES: u64 = 16 << 20;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all snapshots together.
    pub bytes: u64,
    /// How long one is kept that nobody uses.
    pub unused: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        // Longer than the folder of a failed run is kept, which may lie over a snapshot.
        Self { bytes: 5 << 30, unused: Duration::from_hours(10 * 24) }
    }
}

/// The folder of kept snapshots.
#[derive(Debug, Clone)]
pub struct Snapshots {
    root: PathBuf,
    limits: Limits,
}

/// A commit's files, kept. Held for as long as they are used.
#[derive(Debug)]
pub struct Snapshot {
    folder: PathBuf,
    contents: Arc<Contents>,
    // Held, never read: closing it lets the snapshot be removed.
    _lock: File,
}

impl Snapshots {
    /// Snapshots below `root`, which is made when it is needed.
    pub fn at(root: PathBuf) -> Self {
        Self { root, limits: Limits::default() }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The snapshot of a listing for `owner`; written where it is not kept yet. `None` where keeping it is not worth it,
    /// or not possible.
    pub(super) fn of(&self, listing: &Listing, owner: Option<(u32, u32)>) -> Result<Option<Snapshot>, RepoError> {
        let Some(key) = self.key(listing, owner) else { return Ok(None) };
        let mut builder = std::fs::DirBuilder::new();
        // Owned by whoever runs soopervisor, and shut for others: what is in it belongs to the pipeline's user.
        if let Err(error) = builder.recursive(true).mode(0o700).create(&self.root) {
            return Ok(given_up(&error));
        }
        let folder = self.root.join(&key);
        let using = || self.lock(&key).and_then(|file| file.lock_shared().map(|()| file));
        let mut lock = match using() {
            Ok(lock) => lock,
            Err(error) => return Ok(given_up(&error)),
        };
        if let Some(contents) = read(&folder) {
            let _ = File::open(folder.join(LISTING)).and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(Some(Snapshot { folder, contents: Arc::new(contents), _lock: lock }));
        }
        if folder.exists() {
            // Somebody's hand was in it: nothing of ours leaves one without its listing.
            drop(lock);
            self.remove(&key);
            lock = match using() {
                Ok(lock) => lock,
                Err(error) => return Ok(given_up(&error)),
            };
        }
        let contents = match self.write(&folder, listing, owner) {
            Ok(contents) => contents,
            Err(Failed::Keeping(error)) => return Ok(given_up(&error)),
            Err(Failed::Exporting(error)) => return Err(error),
        };
        // Removing takes as long as writing did, and nobody has to wait for it.
        let all = self.clone();
        std::thread::spawn(move || all.prune(&key));
        Ok(Some(Snapshot { folder, contents: Arc::new(contents), _lock: lock }))
    }

    /// Names everything that decides what is written: paths, kinds, contents, owner, and this boot.
    fn key(&self, listing: &Listing, owner: Option<(u32, u32)>) -> Option<String> {
        if !is_worth_keeping(listing) || bytes(listing) > self.limits.bytes / 2 {
            return None;
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let mut hash = Sha256::new();
        hash.update(format!("soopervisor snapshot {LAYOUT}\0{}\0{owner:?}\0", boot.trim()));
        for item in &listing.items {
            let kind = match item.kind {
                EntryKind::File { executable, .. } => {
                    if executable {
                        "program"
                    } else {
                        "file"
                    }
                }
                EntryKind::Folder => "folder",
                EntryKind::Link => "link",
                EntryKind::Submodule => "submodule",
            };
            hash.update(format!("{kind} {} {} ", item.oid, item.path.as_bytes().len()));
            hash.update(item.path.as_bytes());
        }
        Some(Digest(hash.finalize().into()).to_string())
    }

    fn lock(&self, key: &str) -> io::Result<File> {
        File::options().create(true).truncate(false).read(true).write(true).open(self.root.join(format!("{key}.lock")))
    }

    /// Writes beside, then names it. Two at once write twice, and one of them is kept.
    fn write(&self, folder: &Path, listing: &Listing, owner: Option<(u32, u32)>) -> Result<Contents, Failed> {
        let new = tempfile::Builder::new().prefix(NEW).tempdir_in(&self.root).map_err(Failed::Keeping)?;
        let files = new.path().join(FILES);
        std::fs::DirBuilder::new().mode(0o755).create(&files).map_err(Failed::Keeping)?;
        let into = Dir::open_ambient_dir(&files, ambient_authority()).map_err(Failed::Keeping)?;
        let contents = match export(listing, &into, owner) {
            Ok(contents) => contents,
            Err(RepoError::Io { source, .. }) if source.kind() == io::ErrorKind::StorageFull => {
                return Err(Failed::Keeping(source));
            }
            Err(error) => return Err(Failed::Exporting(error)),
        };
        write_listing(&new.path().join(LISTING), &contents).map_err(Failed::Keeping)?;
        match std::fs::rename(new.path(), folder) {
            // It is not ours to remove any more.
            Ok(()) => drop(new.keep()),
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => {
                // Another process was faster. Its times are others.
                return read(folder).ok_or(Failed::Keeping(error));
            }
            Err(error) => return Err(Failed::Keeping(error)),
        }
        Ok(contents)
    }

    /// Removes what is unused for too long or too much, oldest first, and what died while it was written.
    pub(super) fn prune(&self, keep: &str) {
        let mut kept: Vec<(SystemTime, u64, String)> = Vec::new();
        for entry in std::fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let age = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
            let old = |time: SystemTime| time.elapsed().is_ok_and(|age| age > Duration::from_hours(24));
            if name.starts_with(NEW) {
                if age(&entry.path()).is_none_or(old) {
                    let _ = std::fs::remove_dir_all(entry.path());
                }
            } else if let Some(key) = name.strip_suffix(".lock") {
                if !self.root.join(key).exists() && age(&entry.path()).is_none_or(old) {
                    let _ = std::fs::remove_file(entry.path());
                }
            } else if name != keep && !name.starts_with('.') {
                let listing = entry.path().join(LISTING);
                let used = age(&listing).unwrap_or(SystemTime::UNIX_EPOCH);
                kept.push((used, head(&listing).map_or(0, |head| head.bytes), name));
            }
        }
        kept.sort();
        let mut bytes: u64 = kept.iter().map(|(_, bytes, _)| bytes).sum();
        bytes += head(&self.root.join(keep).join(LISTING)).map_or(0, |head| head.bytes);
        for (used, size, name) in kept {
            let unused = used.elapsed().is_ok_and(|age| age > self.limits.unused);
            if (unused || bytes > self.limits.bytes) && self.remove(&name) {
                bytes -= size;
            }
        }
    }

    /// Not what somebody uses. The name goes first, so that a crash in the middle leaves nothing that looks whole.
    fn remove(&self, key: &str) -> bool {
        let Ok(lock) = self.lock(key) else { return false };
        // A program that is just being started shares every lock of ours until it is another program.
        let mut tries = 0;
        while let Err(error) = lock.try_lock() {
            if matches!(error, TryLockError::Error(_)) || tries == 10 {
                return false;
            }
            tries += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
        let Ok(trash) = tempfile::Builder::new().prefix(NEW).tempdir_in(&self.root) else { return false };
        std::fs::rename(self.root.join(key), trash.path().join("old")).is_ok()
    }

    /// Forgets a snapshot that turned out to be damaged.
    pub(super) fn forget(&self, snapshot: Snapshot) {
        let name = snapshot.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        drop(snapshot);
        self.remove(&name);
    }
}

fn bytes(listing: &Listing) -> u64 {
    listing.items.iter().map(|item| item.size).sum()
}

/// Whether copying what is kept is faster than exporting it again.
pub(super) fn is_worth_keeping(listing: &Listing) -> bool {
    listing.items.len() >= WORTH_FILES || bytes(listing) >= WORTH_BYTES
}

const FILES: &str = "files";
const LISTING: &str = "listing";
const NEW: &str = ".new-";

enum Failed {
    /// The snapshot could not be kept; it can be exported without.
    Keeping(io::Error),
    Exporting(RepoError),
}

fn given_up<T>(error: &io::Error) -> Option<T> {
    tracing::warn!(%error, "the snapshot is not kept for later runs");
    None
}

impl Snapshot {
    /// The files. Never to be written to, nor linked to.
    pub fn files(&self) -> PathBuf {
        self.folder.join(FILES)
    }

    /// What is in it.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// A private copy in an empty folder.
    pub(super) fn copy(&self, listing: &Listing, into: &Dir, owner: Option<(u32, u32)>) -> Result<(), RepoError> {
        let files = self.files();
        let failed = |source| RepoError::Io { doing: "open", path: files.display().to_string(), source };
        let from = Dir::open_ambient_dir(&files, ambient_authority()).map_err(failed)?;
        copy::copy(listing, &self.contents, from.as_fd(), into, owner)
    }
}

/// `FILES LINKS BYTES MTIME_NS\n`, then `SIZE PATH\0` for each.
fn write_listing(path: &Path, contents: &Contents) -> io::Result<()> {
    let mut file = io::BufWriter::new(File::create_new(path)?);
    let done = &contents.exported;
    writeln!(file, "{} {} {} {}", done.files, done.links, done.bytes, contents.mtime_ns)?;
    for (path, size) in &contents.entries {
        write!(file, "{size} ")?;
        file.write_all(path.as_bytes())?;
        file.write_all(&[0])?;
    }
    file.flush()
}

struct Head {
    files: u64,
    links: u64,
    bytes: u64,
    mtime_ns: i128,
}

fn head(path: &Path) -> Option<Head> {
    let mut line = String::new();
    io::BufReader::new(File::open(path).ok()?).read_line(&mut line).ok()?;
    parse_head(&line)
}

fn parse_head(line: &str) -> Option<Head> {
    let mut words = line.trim_end().split(' ');
    let mut number = || words.next()?.parse::<i128>().ok();
    let (files, links, bytes, mtime_ns) = (number()?, number()?, number()?, number()?);
    let small = |number: i128| u64::try_from(number).ok();
    Some(Head { files: small(files)?, links: small(links)?, bytes: small(bytes)?, mtime_ns })
}

/// A whole snapshot's contents; `None` for anything else.
fn read(folder: &Path) -> Option<Contents> {
    let text = std::fs::read(folder.join(LISTING)).ok()?;
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let head = parse_head(std::str::from_utf8(&text[..end]).ok()?)?;
    let mut entries = Vec::new();
    for record in text[end + 1..].split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        let blank = record.iter().position(|byte| *byte == b' ')?;
        let size = std::str::from_utf8(&record[..blank]).ok()?.parse().ok()?;
        entries.push((RelPath::from_bytes(&record[blank + 1..]).ok()?, size));
    }
    let exported = super::Exported { files: head.files, links: head.links, bytes: head.bytes };
    let whole = entries.len() as u64 == head.files + head.links && folder.join(FILES).is_dir();
    whole.then_some(Contents { exported, entries, mtime_ns: head.mtime_ns })
}

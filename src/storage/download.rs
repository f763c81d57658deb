//! Fetches published files into a folder: verified while they come, resumed where they broke off, and never over
//! anything that is there without being told to.
//!
//! A file is written under `.soopervisor-….part` beside its place and renamed when its sha256 is right. Nothing is
//! followed or written outside the target folder, whatever the manifest says.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt};
use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::backend::{Checksum, HashKind, Hasher, misread};
use super::local::system;
use super::local::times;
use super::verify::{PAUSE, breaks};
use super::{Done, Folder, Progress, Storage, StorageError, key};
use crate::id::{Digest, ProjectName, RelPath};
use crate::outputs::OutputKind;
use crate::outputs::manifest::Entry;
use crate::outputs::pattern::Pattern;
use crate::outputs::rooted::{self, Opener};

/// Files fetched at once.
const LANES: usize = 4;
/// Why bytes are believed to have changed on their way, where a service tells nothing of them.
const UNLIKE: &str = "no two readings are alike";

/// What is fetched, where to, and how.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The project.
    pub project: &'a ProjectName,
    /// The published folder.
    pub folder: &'a Folder,
    /// Patterns over published paths; none fetches everything.
    pub globs: &'a [String],
    /// The folder to write to; made if need be.
    pub to: &'a Path,
    /// Replace files that are there with other content.
    pub force: bool,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// Files, folders and links that were made.
    pub written: u64,
    /// Those that were there already, with the right content.
    pub skipped: u64,
    /// Files of which a part was there already.
    pub resumed: u64,
    /// Bytes that were fetched.
    pub bytes: u64,
}

/// Fetches what a published folder holds.
///
/// # Errors
/// When nothing matches, something else stands in the way, or files are not what the manifest says: then all others are
/// fetched first. Files that were complete by then stay, and the next download goes on from there.
pub async fn download(
    storage: &dyn Storage,
    request: &Request<'_>,
    progress: &dyn Progress,
) -> Result<Report, StorageError> {
    let manifest = storage.expected_manifest(request.project, request.folder).await?;
    let globs = request.globs.iter().map(|glob| Pattern::parse(glob)).collect::<Result<Vec<_>, _>>()?;
    let wanted = |entry: &&Entry| globs.is_empty() || globs.iter().any(|glob| glob.matches(&entry.path));
    let entries: Vec<&Entry> = manifest.files.iter().filter(wanted).collect();
    if entries.is_empty() && !globs.is_empty() {
        return Err(StorageError::nothing_matches(request.globs));
    }
    let explain = |error| system::explain("make the folder", request.to, error);
    fs_err::create_dir_all(request.to).map_err(explain)?;
    let target = Target { fd: system::open(request.to).map_err(explain)?, at: request.to.to_owned() };
    let missing = target.missing(&entries, request.force).await?;
    let mut report = Report { skipped: (entries.len() - missing.len()) as u64, ..Report::default() };
    let mut done = Done {
        files: report.skipped,
        files_total: entries.len() as u64,
        bytes_total: missing.iter().map(|entry| entry.size).sum(),
        ..Done::default()
    };
    let (target, fetch) = (&target, Fetch { storage, request, progress });
    let missing = &missing;
    let mut lanes = futures::stream::iter(0..missing.len())
        .map(|at| async move { (at, fetch.entry(target, missing[at]).await) })
        .buffer_unordered(LANES);
    let mut damaged = Vec::new();
    while let Some((at, fetched)) = lanes.next().await {
        let (bytes, resumed) = match fetched {
            Ok(fetched) => fetched,
            Err(error) if error.damaged().is_some() => {
                damaged.push(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        report.written += 1;
        report.bytes += bytes;
        report.resumed += u64::from(resumed);
        done.files += 1;
        done.bytes += missing[at].size;
        progress.at(done);
    }
    match damaged.len() {
        0 => Ok(report),
        1 => Err(damaged.remove(0)),
        total => {
            let mut first: Vec<RelPath> = damaged.iter().filter_map(StorageError::damaged).cloned().collect();
            first.sort();
            first.truncate(10);
            Err(StorageError::Damaged { folder: request.folder.clone(), first, total })
        }
    }
}

/// The folder that is written to.
struct Target {
    fd: OwnedFd,
    at: PathBuf,
}

impl Target {
    fn wrong(&self, action: &'static str, path: &RelPath, error: io::Error) -> StorageError {
        system::explain(action, &self.at.join(path.as_path()), error)
    }

    /// What is not there yet; an error when something else is and may not be replaced.
    async fn missing<'e>(&self, entries: &[&'e Entry], force: bool) -> Result<Vec<&'e Entry>, StorageError> {
        let states: Vec<Standing> = futures::stream::iter(0..entries.len())
            .map(|at| async move {
                let (fd, owned) = (self.fd.try_clone(), entries[at].clone());
                let looked = tokio::task::spawn_blocking(move || standing(&fd?, &owned)).await;
                let looked = looked.map_err(io::Error::other).and_then(|looked| looked);
                looked.map_err(|error| self.wrong("read", &entries[at].path, error))
            })
            .buffered(LANES)
            .try_collect()
            .await?;
        let states = entries.iter().copied().zip(states.iter().copied());
        let other: Vec<RelPath> =
            states.clone().filter(|(_, s)| *s == Standing::Other).map(|(entry, _)| entry.path.clone()).collect();
        if !other.is_empty() && !force {
            let total = other.len();
            return Err(StorageError::WouldOverwrite { first: other.into_iter().take(10).collect(), total });
        }
        Ok(states.filter(|(_, s)| *s != Standing::Same).map(|(entry, _)| entry).collect())
    }

    /// Makes the folders above `path`, none of which may be a link.
    fn folder(&self, path: &RelPath) -> Result<OwnedFd, StorageError> {
        let wrong = |error| self.wrong("make the folder", path, error);
        let mut here = rooted::open_folder(self.fd.as_fd(), &RelPath::root()).map_err(wrong)?;
        for part in path.as_bytes().split(|b| *b == b'/').filter(|part| !part.is_empty()) {
            match rustix::fs::mkdirat(&here, part, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(wrong(error.into())),
            }
            here = rooted::open_subfolder(here.as_fd(), part).map_err(wrong)?;
        }
        Ok(here)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Nothing,
    Same,
    Other,
}

/// What stands at an entry's place.
fn standing(target: &OwnedFd, entry: &Entry) -> io::Result<Standing> {
    let mut opener = Opener::new(target.as_fd());
    let folder = match opener.folder(&entry.path.parent().unwrap_or_default()) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::Nothing),
        // A file or a link where a folder has to be.
        Err(_) => return Ok(Standing::Other),
    };
    let name = entry.path.file_name();
    let stat = match rooted::look(folder, name) {
        Ok(stat) => stat,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Standing::Nothing),
        Err(error) => return Err(error),
    };
    let same = match (entry.kind, rooted::kind(&stat)) {
        (OutputKind::Folder, FileType::Directory) => true,
        (OutputKind::Link, FileType::Symlink) => {
            let text = rustix::fs::readlinkat(folder, name, Vec::new())?.into_bytes();
            entry.link_target.as_ref().is_some_and(|target| key::link_text(&entry.path, target) == text)
        }
        (OutputKind::File, FileType::RegularFile) if rooted::size(&stat) == entry.size => {
            let (file, _) = rooted::open_file(folder, name)?;
            entry.sha256 == Some(Digest(hash(file)?.0.finalize().into()))
        }
        _ => false,
    };
    Ok(if same { Standing::Same } else { Standing::Other })
}

/// Hashes from where the file stands to its end.
fn hash(mut file: File) -> io::Result<(Sha256, u64)> {
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hash, bytes));
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}

#[derive(Clone, Copy)]
struct Fetch<'a> {
    storage: &'a dyn Storage,
    request: &'a Request<'a>,
    progress: &'a dyn Progress,
}

impl Fetch<'_> {
    /// Makes one entry; returns the bytes fetched and whether a part was there.
    async fn entry(self, target: &Target, entry: &Entry) -> Result<(u64, bool), StorageError> {
        let folder = target.folder(&entry.path.parent().unwrap_or_default())?;
        let name = entry.path.file_name();
        let wrong = |error: io::Error| target.wrong("write", &entry.path, error);
        match (entry.kind, entry.sha256, &entry.link_target) {
            (OutputKind::File, Some(expected), _) => {
                let part = part_name(entry, expected);
                let fetched = self.file(target, &folder, entry, (&part, expected)).await;
                if fetched.as_ref().is_err_and(|error| error.damaged().is_some()) {
                    // Nothing of it is worth going on with.
                    let _ = rustix::fs::unlinkat(&folder, part.as_str(), AtFlags::empty());
                }
                fetched
            }
            (OutputKind::Link, _, Some(leads_to)) => {
                if self.request.force {
                    // What cannot be removed makes the next call fail, with the reason.
                    let _ = rustix::fs::unlinkat(&folder, name, AtFlags::empty());
                }
                rustix::fs::symlinkat(key::link_text(&entry.path, leads_to), &folder, name)
                    .map_err(|e| wrong(e.into()))?;
                Ok((0, false))
            }
            _ => {
                let made = target.folder(&entry.path)?;
                let mode = Mode::from_raw_mode(entry.mode | 0o700);
                rustix::fs::fchmod(&made, mode).map_err(|error| wrong(error.into()))?;
                Ok((0, false))
            }
        }
    }

    async fn file(
        self,
        target: &Target,
        folder: &OwnedFd,
        entry: &Entry,
        (part, expected): (&str, Digest),
    ) -> Result<(u64, bool), StorageError> {
        let wrong = |error: io::Error| target.wrong("write", &entry.path, error);
        let (file, hash, have) = open_part(folder, part, entry.size).await.map_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                return StorageError::Downloading { path: entry.path.clone() };
            }
            wrong(error)
        })?;
        let mut file = tokio::fs::File::from_std(file);
        let (fetched, resumed) = self.verified(target, &mut file, entry, (expected, hash, have)).await?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode)).map_err(|error| wrong(error.into()))?;
        rustix::fs::futimens(&file, &times(entry.mtime_ns.into())).map_err(|error| wrong(error.into()))?;
        let name = entry.path.file_name();
        let renamed = if self.request.force {
            rustix::fs::renameat(folder, part, folder, name).map_err(io::Error::from)
        } else {
            system::rename_new(folder.as_fd(), part.as_bytes(), name)
        };
        match renamed {
            Ok(()) => Ok((fetched, resumed)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(StorageError::WouldOverwrite { first: vec![entry.path.clone()], total: 1 })
            }
            Err(error) => Err(wrong(error)),
        }
    }

    /// Fetches what is missing of a part; all of it anew where the part was not what it seemed, and once more where a service
    /// sent something else: that may have happened on the way. Returns the bytes fetched and whether the part was of use.
    async fn verified(
        self,
        target: &Target,
        file: &mut tokio::fs::File,
        entry: &Entry,
        (expected, mut hash, mut have): (Digest, Sha256, u64),
    ) -> Result<(u64, bool), StorageError> {
        // To a folder of this machine there is no way.
        let most = if self.storage.keeps_links() { 1 } else { 2 };
        let (mut fetched, mut whole, mut before) = (0, 0, None);
        loop {
            let is_whole = have == 0;
            whole += u32::from(is_whole);
            fetched += self.append(file, &mut hash, entry, have).await.map_err(|e| e.at(target, entry))?;
            let found = Digest(std::mem::take(&mut hash).finalize().into());
            if found == expected {
                return Ok((fetched, !is_whole));
            }
            let error = if whole < most {
                None
            } else {
                let misread = self.misread(target, file, entry, before == Some(found)).await?;
                Some(misread.unwrap_or_else(|| StorageError::Corrupt { path: entry.path.clone(), expected, found }))
            };
            // Nothing of it is worth going on with.
            file.set_len(0).await.map_err(|error| target.wrong("write", &entry.path, error))?;
            if let Some(error) = error {
                return Err(error);
            }
            tracing::debug!(path = %entry.path, "not what was published, and fetched once more");
            (before, have) = (is_whole.then_some(found), 0);
        }
    }

    /// Why what was fetched is not what is stored, where that is so; nothing where the stored file itself is another one than
    /// was published: the service's checksum tells, or that the same came `twice`.
    async fn misread(
        self,
        target: &Target,
        file: &tokio::fs::File,
        entry: &Entry,
        twice: bool,
    ) -> Result<Option<StorageError>, StorageError> {
        if self.storage.keeps_links() {
            return Ok(None);
        }
        let (project, folder) = (self.request.project, self.request.folder);
        let there = match self.storage.told(project, folder, entry).await {
            Err(error) if is_passing(&error) => return Err(error),
            there => there.ok().flatten(),
        };
        let kind = there.as_ref().and_then(|there| there.checksum.as_ref()).map(|told| told.kind);
        let received = received(file, kind).await;
        let (size, found) = received.map_err(|error| target.wrong("read", &entry.path, error))?;
        let borne_out = there.as_ref().and_then(|there| there.bears_out(size, found.as_ref()));
        let fault = match (there, borne_out) {
            // Whatever came of it, it is not as long as what was published.
            (Some(there), _) if there.size != entry.size => return Ok(None),
            (Some(there), Some(false)) => there.misread(size),
            (_, None) if !twice => misread(UNLIKE),
            _ => return Ok(None),
        };
        let (key, place) = (self.storage.name_of(project, folder, entry), self.storage.place());
        Ok(Some(StorageError::Service { action: "read", key, place, fault }))
    }

    /// Fetches from `offset` to the end of the file, and goes on from where a connection broke.
    async fn append(
        self,
        file: &mut tokio::fs::File,
        hash: &mut Sha256,
        entry: &Entry,
        offset: u64,
    ) -> Result<u64, Broken> {
        use tokio::io::AsyncSeekExt;
        file.seek(io::SeekFrom::Start(offset)).await.map_err(Broken::Writing)?;
        let most = breaks(self.storage);
        let (mut fetched, mut broken) = (0, 0);
        while offset + fetched < entry.size {
            let before = fetched;
            let read = self.stretch(file, hash, entry, offset + fetched, &mut fetched).await;
            broken = if fetched > before { 1 } else { broken + 1 };
            let why = match read {
                // One byte more than the manifest says is enough to know; and what ends early for good is shorter.
                Ok(()) if offset + fetched >= entry.size || broken > most => break,
                Ok(()) => None,
                Err(Broken::Reading(error)) if broken <= most => Some(error.to_string()),
                // What cannot even be begun the storage has tried often enough.
                Err(Broken::Storage(error)) if broken <= most && before + offset > 0 && is_passing(&error) => {
                    Some(error.to_string())
                }
                Err(error) => return Err(error),
            };
            tracing::debug!(?why, at = offset + fetched, path = %entry.path, "the download goes on");
            tokio::time::sleep(PAUSE * broken).await;
        }
        file.flush().await.map_err(Broken::Writing)?;
        Ok(fetched)
    }

    /// What one connection brings.
    async fn stretch(
        self,
        file: &mut tokio::fs::File,
        hash: &mut Sha256,
        entry: &Entry,
        from: u64,
        fetched: &mut u64,
    ) -> Result<(), Broken> {
        let open = self.storage.open(self.request.project, self.request.folder, entry, from);
        let mut reader = open.await.map_err(Broken::Storage)?;
        let (mut buffer, mut here) = (vec![0; 1024 * 1024], 0);
        loop {
            if self.progress.cancelled() {
                file.flush().await.map_err(Broken::Writing)?;
                return Err(Broken::Storage(StorageError::Cancelled));
            }
            let read = reader.read(&mut buffer).await.map_err(Broken::Reading)?;
            if read == 0 {
                return Ok(());
            }
            hash.update(&buffer[..read]);
            file.write_all(&buffer[..read]).await.map_err(Broken::Writing)?;
            *fetched += read as u64;
            here += read as u64;
            // The rest is not worth the disk.
            if from + here > entry.size {
                return Ok(());
            }
        }
    }
}

/// How long a part is, and its checksum of the kind that a service tells.
async fn received(file: &tokio::fs::File, kind: Option<HashKind>) -> io::Result<(u64, Option<Checksum>)> {
    let mut copy = file.try_clone().await?.into_std().await;
    let read = move || -> io::Result<(u64, Option<Checksum>)> {
        let size = copy.metadata()?.len();
        let Some(kind) = kind else { return Ok((size, None)) };
        copy.rewind()?;
        let (mut hasher, mut buffer) = (Hasher::new(kind), vec![0; 1024 * 1024]);
        loop {
            let read = copy.read(&mut buffer)?;
            if read == 0 {
                return Ok((size, Some(hasher.finish())));
            }
            hasher.update(&buffer[..read]);
        }
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// Whether a storage that could not be opened may be opened in a moment.
fn is_passing(error: &StorageError) -> bool {
    matches!(error, StorageError::Service { fault, .. } if fault.is_passing())
}

/// Why fetching stopped.
enum Broken {
    Storage(StorageError),
    Reading(io::Error),
    Writing(io::Error),
}

impl Broken {
    fn at(self, target: &Target, entry: &Entry) -> StorageError {
        match self {
            Self::Storage(error) => error,
            Self::Reading(source) => {
                StorageError::Io { action: "fetch", path: entry.path.as_path().to_owned(), source }
            }
            Self::Writing(error) if system::is_full(&error) => {
                let free = system::space(&target.fd).map_or(0, |(free, _)| free);
                StorageError::DiskFull { path: target.at.clone(), needed: entry.size, free }
            }
            Self::Writing(error) => target.wrong("write", &entry.path, error),
        }
    }
}

/// The part's name says what it will be, so that a part of something else is never gone on with.
fn part_name(entry: &Entry, expected: Digest) -> String {
    let mut hash = Sha256::new();
    hash.update(expected.0);
    hash.update(entry.path.as_bytes());
    format!(".soopervisor-{}.part", &hex::encode(hash.finalize())[..20])
}

/// Opens and locks a part and hashes what it holds; a part that is too long starts anew.
async fn open_part(folder: &OwnedFd, name: &str, size: u64) -> io::Result<(File, Sha256, u64)> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::openat(folder, name, flags, Mode::from_raw_mode(0o600))?;
    // Where this file system has no locks, two downloads may spoil each other's part, and the digest tells.
    if rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let file = File::from(fd);
    let length = file.metadata()?.len();
    if length > size {
        file.set_len(0)?;
    }
    if length == 0 || length > size {
        return Ok((file, Sha256::new(), 0));
    }
    let copy = file.try_clone()?;
    let (hash, bytes) = tokio::task::spawn_blocking(move || hash(copy)).await.map_err(io::Error::other)??;
    Ok((file, hash, bytes))
}

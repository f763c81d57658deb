//! A hostile tar stream into an open folder that may hold an earlier version of it: afterwards it holds what the stream
//! holds, and what is the same was left alone.
//!
//! A path is written once and below folders that this very stream made or found to be folders: so there is never a link
//! that a write could go through. An engine tells times in whole seconds. A file whose size and second are as before is
//! therefore compared byte by byte, and only then left as it is, its exact time included; any other gets a time that it
//! did not have before, so that whoever remembers size and time sees every change.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};

use super::header::{Header, Kind};
use super::stream::Entries;
use super::{ArchiveError, rooted};
use crate::id::RelPath;

const SECOND: i128 = 1_000_000_000;
const BUFFER: usize = 64 * 1024;
const LONGEST_PATH: usize = 4096;

/// How much is taken before a stream counts as hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Files, folders, links.
    pub entries: u64,
    /// Bytes of all files together, holes included.
    pub bytes: u64,
    /// Folders in each other.
    pub depth: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { entries: 2_000_000, bytes: 4 << 40, depth: 100 }
    }
}

/// What is expected of a stream.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// The first part of every path.
    pub below: &'a str,
    /// Names at the top that are passed over, in the stream and in the folder.
    pub leave: &'a [&'a str],
    /// How much is taken.
    pub bounds: Bounds,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Files, links and pipes that were written.
    pub written: u64,
    /// Those that were there already.
    pub kept: u64,
    /// Paths that were there and are not in the stream.
    pub removed: u64,
    /// Bytes of all files in the stream.
    pub bytes: u64,
    /// Devices.
    pub left_out: Vec<RelPath>,
}

/// Makes `into` hold what the stream holds.
///
/// # Errors
/// When the stream is refused, or the disk fails; `into` may be half done then.
pub fn mirror(input: impl Read, into: &Dir, rules: &Rules<'_>) -> Result<Unpacked, ArchiveError> {
    let root = RelPath::root();
    let top = rooted::open_folder(into.as_fd(), &root).map_err(ArchiveError::io("open", &root))?;
    let mut mirror = Mirror {
        top: &top,
        rules,
        entries: Entries::new(input),
        seen: HashMap::new(),
        folders: Vec::new(),
        last: None,
        buffer: vec![0; BUFFER],
        earlier: vec![0; BUFFER],
        done: Unpacked::default(),
    };
    let mut count = 0;
    while let Some(header) = mirror.entries.next()? {
        count += 1;
        if count > rules.bounds.entries {
            return Err(ArchiveError::TooMuch { what: "entries", limit: rules.bounds.entries });
        }
        if let Some(path) = mirror.place(&header.name)? {
            mirror.take(&path, &header)?;
        }
    }
    mirror.remove_the_rest(top.as_fd(), &root)?;
    mirror.settle_folders()?;
    Ok(mirror.done)
}

/// What the stream put at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Folder,
    Other,
}

struct Mirror<'a, R> {
    top: &'a OwnedFd,
    rules: &'a Rules<'a>,
    entries: Entries<R>,
    seen: HashMap<RelPath, Seen>,
    /// Mode and time of folders, which are set last: a folder may forbid writing.
    folders: Vec<(RelPath, u32, i128)>,
    last: Option<(RelPath, OwnedFd)>,
    buffer: Vec<u8>,
    earlier: Vec<u8>,
    done: Unpacked,
}

impl<R: Read> Mirror<'_, R> {
    /// Where an entry belongs; `None` for the top itself and what is passed over.
    fn place(&self, name: &[u8]) -> Result<Option<RelPath>, ArchiveError> {
        let hostile = |why| ArchiveError::hostile(name, why);
        let plain = name.strip_prefix(b"./").unwrap_or(name);
        let plain = plain.strip_suffix(b"/").unwrap_or(plain);
        let path = RelPath::from_bytes(plain).map_err(|_| hostile("leaves the folder or is no path at all"))?;
        let below = RelPath::normalise(self.rules.below).unwrap_or_default();
        let path = path.strip_prefix(&below).ok_or_else(|| hostile("is not in the folder that was asked for"))?;
        let first = path.as_bytes().split(|byte| *byte == b'/').next().unwrap_or_default();
        if path.is_root() || self.rules.leave.iter().any(|leave| leave.as_bytes() == first) {
            return Ok(None);
        }
        let depth = path.as_bytes().split(|byte| *byte == b'/').count();
        if path.as_bytes().len() > LONGEST_PATH || depth > self.rules.bounds.depth {
            return Err(hostile("is too long or too deep"));
        }
        if path.parent().is_some_and(|above| !above.is_root() && self.seen.get(&above) != Some(&Seen::Folder)) {
            return Err(hostile("does not lie in a folder that came before it"));
        }
        if self.seen.contains_key(&path) {
            return Err(hostile("comes twice"));
        }
        Ok(Some(path))
    }

    fn take(&mut self, path: &RelPath, header: &Header) -> Result<(), ArchiveError> {
        let above = path.parent().unwrap_or_default();
        let folder = match self.last.take() {
            Some((at, fd)) if at == above => fd,
            _ => rooted::open_folder(self.top.as_fd(), &above).map_err(ArchiveError::io("open", &above))?,
        };
        let name = path.file_name();
        let here = rooted::look(folder.as_fd(), name).ok();
        let seen = match header.kind {
            Kind::Folder => {
                self.folder(folder.as_fd(), path, here.as_ref(), header)?;
                Seen::Folder
            }
            Kind::Device => {
                // Whatever stood there before goes with the rest.
                self.done.left_out.push(path.clone());
                self.last = Some((above, folder));
                return Ok(());
            }
            Kind::File => {
                self.file(folder.as_fd(), path, here.as_ref(), header)?;
                Seen::Other
            }
            kind => {
                self.node(folder.as_fd(), path, here.as_ref(), kind, header)?;
                Seen::Other
            }
        };
        self.seen.insert(path.clone(), seen);
        self.last = Some((above, folder));
        Ok(())
    }

    fn folder(
        &mut self,
        folder: BorrowedFd<'_>,
        path: &RelPath,
        here: Option<&Stat>,
        header: &Header,
    ) -> Result<(), ArchiveError> {
        let failed = || ArchiveError::io("make the folder", path);
        if here.is_none_or(|stat| rooted::kind(stat) != FileType::Directory) {
            clear(folder, path, here)?;
            rustix::fs::mkdirat(folder, path.file_name(), Mode::from_raw_mode(0o700))
                .map_err(|e| failed()(e.into()))?;
        } else if here.is_some_and(|stat| stat.st_mode & 0o700 != 0o700) {
            let mode = Mode::from_raw_mode(0o700);
            rustix::fs::chmodat(folder, path.file_name(), mode, AtFlags::empty()).map_err(|e| failed()(e.into()))?;
        }
        self.folders.push((path.clone(), header.mode & 0o777, header.mtime_ns));
        Ok(())
    }

    fn file(
        &mut self,
        folder: BorrowedFd<'_>,
        path: &RelPath,
        here: Option<&Stat>,
        header: &Header,
    ) -> Result<(), ArchiveError> {
        self.done.bytes = self.done.bytes.saturating_add(header.size);
        if self.done.bytes > self.rules.bounds.bytes {
            return Err(ArchiveError::TooMuch { what: "bytes", limit: self.rules.bounds.bytes });
        }
        let failed = || ArchiveError::io("write", path);
        let earlier = here.filter(|stat| rooted::kind(stat) == FileType::RegularFile);
        let mut same = None;
        if let Some(stat) = earlier.filter(|stat| rooted::size(stat) == header.size && one_time(stat, header)) {
            let (mut file, _) = rooted::open_file(folder, path.file_name()).map_err(failed())?;
            match self.compare(&mut file, path)? {
                Compared::Equal => {
                    if stat.st_mode & 0o777 != header.mode & 0o777 {
                        set_mode(&file, header).map_err(failed())?;
                    }
                    self.done.kept += 1;
                    return Ok(());
                }
                Compared::Until { same: bytes, taken } => same = Some((file, bytes, taken)),
            }
        }
        clear(folder, path, here)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let new = rustix::fs::openat(folder, path.file_name(), flags, Mode::from_raw_mode(0o600));
        let mut writing = Sparse { file: File::from(new.map_err(|e| failed()(e.into()))?), end: 0 };
        if let Some((mut file, bytes, taken)) = same {
            file.rewind().and_then(|()| copy(&mut file, bytes, &mut writing)).map_err(failed())?;
            writing.put(&self.buffer[..taken]).map_err(failed())?;
        }
        loop {
            let n = self.entries.read(&mut self.buffer)?;
            if n == 0 {
                break;
            }
            writing.put(&self.buffer[..n]).map_err(failed())?;
        }
        let file = writing.finish().map_err(failed())?;
        set_mode(&file, header).map_err(failed())?;
        let time = times(new_time(earlier, header));
        rustix::fs::futimens(&file, &time).map_err(|e| failed()(e.into()))?;
        self.done.written += 1;
        Ok(())
    }

    /// Compares the content that comes with a file of the same length.
    fn compare(&mut self, file: &mut File, path: &RelPath) -> Result<Compared, ArchiveError> {
        let mut same = 0;
        loop {
            let n = self.entries.read(&mut self.buffer)?;
            if n == 0 {
                return Ok(Compared::Equal);
            }
            file.read_exact(&mut self.earlier[..n]).map_err(ArchiveError::io("read", path))?;
            if self.earlier[..n] != self.buffer[..n] {
                return Ok(Compared::Until { same, taken: n });
            }
            same += n as u64;
        }
    }

    /// Links, hard links and pipes.
    fn node(
        &mut self,
        folder: BorrowedFd<'_>,
        path: &RelPath,
        here: Option<&Stat>,
        kind: Kind,
        header: &Header,
    ) -> Result<(), ArchiveError> {
        let failed = || ArchiveError::io("make the link", path);
        let name = path.file_name();
        if kind == Kind::Link {
            if header.target.is_empty() || header.target.len() > LONGEST_PATH || header.target.contains(&0) {
                return Err(ArchiveError::hostile(&header.name, "is a link to nothing"));
            }
            let known = here.filter(|stat| rooted::kind(stat) == FileType::Symlink && one_time(stat, header));
            let points = |_| rustix::fs::readlinkat(folder, name, Vec::new()).ok();
            if known.and_then(points).is_some_and(|target| target.to_bytes() == header.target) {
                self.done.kept += 1;
                return Ok(());
            }
        }
        let target = if kind == Kind::HardLink { Some(self.hard_target(header)?) } else { None };
        clear(folder, path, here)?;
        let made = match (kind, target) {
            (Kind::HardLink, Some(target)) => {
                let above = target.parent().unwrap_or_default();
                let from = rooted::open_folder(self.top.as_fd(), &above).map_err(failed())?;
                rustix::fs::linkat(&from, target.file_name(), folder, name, AtFlags::empty())
            }
            (Kind::Fifo, _) => {
                rustix::fs::mknodat(folder, name, FileType::Fifo, Mode::from_raw_mode(header.mode & 0o777), 0)
            }
            _ => rustix::fs::symlinkat(&header.target[..], folder, name),
        };
        made.map_err(|e| failed()(e.into()))?;
        if kind == Kind::Link {
            let time = times(new_time(here, header));
            rustix::fs::utimensat(folder, name, &time, AtFlags::SYMLINK_NOFOLLOW).map_err(|e| failed()(e.into()))?;
        }
        self.done.written += 1;
        Ok(())
    }

    /// What a hard link leads to: something that this stream wrote or found, and no folder.
    fn hard_target(&self, header: &Header) -> Result<RelPath, ArchiveError> {
        let hostile = || ArchiveError::hostile(&header.name, "is a hard link to something that did not come before it");
        let plain = header.target.strip_prefix(b"./").unwrap_or(&header.target);
        let below = RelPath::normalise(self.rules.below).unwrap_or_default();
        let path = RelPath::from_bytes(plain).ok().and_then(|path| path.strip_prefix(&below)).ok_or_else(hostile)?;
        if self.seen.get(&path) == Some(&Seen::Other) { Ok(path) } else { Err(hostile()) }
    }

    fn remove_the_rest(&mut self, folder: BorrowedFd<'_>, at: &RelPath) -> Result<(), ArchiveError> {
        for name in rooted::names(folder).map_err(ArchiveError::io("list", at))? {
            if at.is_root() && self.rules.leave.iter().any(|leave| leave.as_bytes() == name) {
                continue;
            }
            let path = rooted::child(at, &name).map_err(ArchiveError::io("list", at))?;
            let failed = || ArchiveError::io("remove", &path);
            match self.seen.get(&path) {
                Some(Seen::Folder) => {
                    let inside = rooted::open_subfolder(folder, &name).map_err(failed())?;
                    self.remove_the_rest(inside.as_fd(), &path)?;
                }
                Some(Seen::Other) => {}
                None => {
                    rooted::remove(folder, &name).map_err(failed())?;
                    self.done.removed += 1;
                }
            }
        }
        Ok(())
    }

    /// The deepest first.
    fn settle_folders(&mut self) -> Result<(), ArchiveError> {
        for (path, mode, mtime) in self.folders.iter().rev() {
            let failed = || ArchiveError::io("set the mode of", path);
            let folder = rooted::open_folder(self.top.as_fd(), path).map_err(failed())?;
            rustix::fs::futimens(&folder, &times(*mtime)).map_err(|e| failed()(e.into()))?;
            rustix::fs::fchmod(&folder, Mode::from_raw_mode(*mode)).map_err(|e| failed()(e.into()))?;
        }
        Ok(())
    }
}

enum Compared {
    Equal,
    /// `same` bytes are the same; the `taken` bytes after them are in the buffer.
    Until {
        same: u64,
        taken: usize,
    },
}

/// Makes way for an entry.
fn clear(folder: BorrowedFd<'_>, path: &RelPath, here: Option<&Stat>) -> Result<(), ArchiveError> {
    if here.is_none() {
        return Ok(());
    }
    rooted::remove(folder, path.file_name()).map_err(ArchiveError::io("replace", path))
}

/// Whether an engine that tells seconds only would tell this time.
fn one_time(stat: &Stat, header: &Header) -> bool {
    let ours = rooted::mtime_ns(stat);
    ours == header.mtime_ns || (header.mtime_ns % SECOND == 0 && ours.div_euclid(SECOND) * SECOND == header.mtime_ns)
}

/// The stream's time, moved where the earlier version had the very same.
fn new_time(earlier: Option<&Stat>, header: &Header) -> i128 {
    let same = earlier.is_some_and(|stat| rooted::mtime_ns(stat) == header.mtime_ns);
    if same { header.mtime_ns + 1 } else { header.mtime_ns }
}

fn times(mtime_ns: i128) -> Timestamps {
    let time = Timespec {
        tv_sec: i64::try_from(mtime_ns.div_euclid(SECOND)).unwrap_or_default(),
        tv_nsec: i64::try_from(mtime_ns.rem_euclid(SECOND)).unwrap_or_default(),
    };
    Timestamps { last_access: time, last_modification: time }
}

fn set_mode(file: &File, header: &Header) -> io::Result<()> {
    Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(header.mode & 0o777))?)
}

fn copy(file: &mut File, bytes: u64, to: &mut Sparse) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut left = bytes;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(BUFFER);
        file.read_exact(&mut buffer[..most])?;
        to.put(&buffer[..most])?;
        left -= most as u64;
    }
    Ok(())
}

/// A file in which long runs of zeros become holes: an engine sends the holes of a sparse file as zeros.
struct Sparse {
    file: File,
    end: u64,
}

impl Sparse {
    const HOLE: usize = 4096;

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(Self::HOLE) {
            if part.len() == Self::HOLE && part.iter().all(|byte| *byte == 0) {
                self.file.seek(SeekFrom::Start(self.end + part.len() as u64))?;
            } else {
                self.file.write_all(part)?;
            }
            self.end += part.len() as u64;
        }
        Ok(())
    }

    fn finish(self) -> io::Result<File> {
        self.file.set_len(self.end)?;
        Ok(self.file)
    }
}

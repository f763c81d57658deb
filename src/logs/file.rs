//! The run's log on disk: everything, masked, in order. Where it has a limit, or its disk is nearly full, both ends are
//! kept and the middle is left out.
//!
//! What was written can be read back by offset, which is how a slow terminal catches up without any memory.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::mask::MaskedBytes;

/// The largest log of whoever is not to fill this machine's disk.
pub const GUESTS_CAP: u64 = 1024 * 1024 * 1024;
/// How much of the end survives when a log is cut.
const TAIL: usize = 4 * 1024 * 1024;
/// How much is written between two looks at the disk.
const BETWEEN_LOOKS: u64 = 64 * 1024 * 1024;
/// What a log leaves free on its disk, or a twentieth of the disk where that is less.
const LEFT_FREE: u64 = 2 * 1024 * 1024 * 1024;

/// What a log's disk has.
#[derive(Debug, Clone, Copy)]
struct Space {
    /// Bytes that may still be written.
    free: u64,
    /// All its bytes.
    all: u64,
}

/// Asks what a file's disk has.
type Ask = fn(&File) -> io::Result<Space>;

/// Why a log was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// It reached its own limit of so many bytes.
    Limit(u64),
    /// Its disk has only so many bytes left.
    Disk(u64),
}

/// What a log lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of its middle that were left out.
    pub bytes: u64,
    /// Why.
    pub bound: Bound,
}

/// A log that is being written.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    path: PathBuf,
    size: u64,
    cap: u64,
    /// Up to this size nothing has to be asked.
    sure: u64,
    /// Asks the disk, where it is to be spared.
    disk: Option<Ask>,
    /// What ended the log's growth.
    bound: Option<Bound>,
    /// The end of a log that grows no more.
    tail: VecDeque<u8>,
    /// Bytes that came after that.
    beyond: u64,
}

impl LogFile {
    /// Opens `path` for appending, readable by its owner only.
    ///
    /// # Errors
    /// As the file system says.
    pub fn open(path: &Path, cap: u64) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let size = file.metadata()?.len();
        let (tail, path) = (VecDeque::new(), path.to_owned());
        Ok(Self { file, path, size, cap, sure: cap, disk: None, bound: None, tail, beyond: 0 })
    }

    /// Lets the log end before its disk is full.
    #[must_use]
    pub fn sparing_the_disk(mut self) -> Self {
        self.disk = Some(space);
        self.sure = self.cap.min(self.size.saturating_add(BETWEEN_LOOKS));
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds bytes and says where they can be read back; nothing once the log may grow no more.
    ///
    /// # Errors
    /// As the file system says; what was not written is kept nowhere.
    pub fn write(&mut self, bytes: &MaskedBytes) -> io::Result<Option<Range<u64>>> {
        let end = self.size + bytes.len() as u64;
        if self.bound.is_none() && end > self.sure {
            self.bound = self.reached(end);
            let said = self.bound.map(|bound| match bound {
                Bound::Limit(cap) => format!("the log reached its limit of {cap} bytes"),
                Bound::Disk(free) => format!("the log's disk has only {free} bytes left"),
            });
            if let Some(said) = said {
                self.file.write_all(format!("\n[{said}; its end follows when the run is over]\n").as_bytes())?;
            }
        }
        if self.bound.is_none() {
            self.file.write_all(bytes.as_bytes())?;
            let start = self.size;
            self.size = end;
            return Ok(Some(start..end));
        }
        self.beyond += bytes.len() as u64;
        let end = &bytes.as_bytes()[bytes.len().saturating_sub(TAIL)..];
        // Made room for before, so that the buffer never grows beyond its size.
        let excess = (self.tail.len() + end.len()).saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.tail.extend(end);
        Ok(None)
    }

    /// What keeps the log from growing to this size; asked once in a while only.
    fn reached(&mut self, end: u64) -> Option<Bound> {
        if end > self.cap {
            return Some(Bound::Limit(self.cap));
        }
        let more = (end - self.size).saturating_add(BETWEEN_LOOKS);
        // A disk that cannot be asked is no reason to leave something out.
        let space = self.disk.and_then(|look| look(&self.file).ok());
        if let Some(Space { free, all }) = space
            && free < LEFT_FREE.min(all / 20).saturating_add(more)
        {
            return Some(Bound::Disk(free));
        }
        self.sure = self.cap.min(self.size.saturating_add(more));
        None
    }

    /// What had to be left out so far.
    pub fn cut(&self) -> Option<Cut> {
        let bytes = self.beyond.saturating_sub(self.tail.len() as u64);
        self.bound.filter(|_| bytes > 0).map(|bound| Cut { bytes, bound })
    }

    /// A second handle for reading back.
    ///
    /// # Errors
    /// As the file system says.
    pub fn reader(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// Writes the end of a cut log; what is left is to make it durable.
    ///
    /// # Errors
    /// As the file system says.
    pub fn finish(mut self) -> io::Result<Written> {
        let cut = self.cut();
        if let Some(Cut { bytes, .. }) = cut {
            self.file.write_all(format!("[{bytes} bytes were left out here]\n").as_bytes())?;
        }
        let (front, back) = self.tail.as_slices();
        self.file.write_all(front)?;
        self.file.write_all(back)?;
        Ok(Written { file: self.file, cut })
    }
}

fn space(file: &File) -> io::Result<Space> {
    let disk = rustix::fs::fstatvfs(file)?;
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    Ok(Space { free: bytes(disk.f_bavail), all: bytes(disk.f_blocks) })
}

/// A log that is whole, and not yet safe from a power cut.
#[derive(Debug)]
pub struct Written {
    file: File,
    cut: Option<Cut>,
}

impl Written {
    /// What it lacks.
    pub fn cut(&self) -> Option<Cut> {
        self.cut
    }

    /// Puts it on disk, which takes as long as the disk takes.
    ///
    /// # Errors
    /// As the file system says.
    pub fn sync(self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Reads a log that may still be growing: for `logs -f`.
#[derive(Debug)]
pub struct Follow<Done> {
    file: File,
    done: Done,
    over: bool,
}

/// Follows the log at `path` until `done` says that its run is over and everything was read.
///
/// # Errors
/// When the file cannot be opened.
pub fn follow<Done: FnMut() -> bool>(path: &Path, done: Done) -> io::Result<Follow<Done>> {
    Ok(Follow { file: File::open(path)?, done, over: false })
}

impl<Done: FnMut() -> bool> Follow<Done> {
    /// What came since the last call: `None` at the end; empty when there is nothing yet (wait a moment, ask again).
    ///
    /// # Errors
    /// As the file system says.
    pub fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        // Asked before reading: what is written up to the end of the run is then surely seen.
        self.over = self.over || (self.done)();
        let mut bytes = Vec::new();
        (&self.file).take(256 * 1024).read_to_end(&mut bytes)?;
        if !bytes.is_empty() {
            return Ok(Some(bytes));
        }
        // A log that became shorter was begun anew.
        if self.file.stream_position()? > self.file.metadata()?.len() {
            self.file.seek(SeekFrom::Start(0))?;
            return Ok(Some(bytes));
        }
        Ok((!self.over).then_some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::mask::Masker;

    fn bytes(text: &str) -> MaskedBytes {
        Masker::none().stream().push(text.as_bytes())
    }

    #[test]
    fn a_log_is_appended_and_read_back_by_offset() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        LogFile::open(&path, 100).unwrap().write(&bytes("one\n")).unwrap();
        let mut log = LogFile::open(&path, 100).unwrap();
        let range = log.write(&bytes("two\n")).unwrap().unwrap();
        assert_eq!(range, 4..8);
        let back = MaskedBytes::read_back(&log.reader().unwrap(), range.start, 4).unwrap();
        assert_eq!(back.as_bytes(), b"two\n");
    }

    #[test]
    fn a_log_over_its_cap_says_so_and_keeps_both_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&path, 8).unwrap();
        assert!(log.write(&bytes("begin\n")).unwrap().is_some());
        assert!(log.write(&bytes(&"x".repeat(TAIL))).unwrap().is_none());
        assert_eq!(log.cut(), None);
        assert!(log.write(&bytes("the end\n")).unwrap().is_none());
        assert!(log.cut().is_some());
        let cut = log.finish().unwrap().cut();
        assert_eq!(cut, Some(Cut { bytes: 8, bound: Bound::Limit(8) }));
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(text.starts_with("begin\n\n[the log reached its limit of 8 bytes"));
        assert!(text.contains("[8 bytes were left out here]\nxxx") && text.ends_with("xthe end\n"));
    }

    #[test]
    fn a_log_ends_before_its_disk_is_full_and_only_then() {
        let folder = tempfile::tempdir().unwrap();
        let opened = |name: &str, disk: Ask| {
            let log = LogFile::open(&folder.path().join(name), u64::MAX).unwrap().sparing_the_disk();
            // As if it had been written for a while.
            LogFile { disk: Some(disk), sure: 0, ..log }
        };
        let small: Ask = |_| Ok(Space { free: BETWEEN_LOOKS + 60, all: 1000 });
        let mut log = opened("small", small);
        assert!(log.write(&bytes("0123456789")).unwrap().is_some(), "a twentieth of a small disk stays free");
        assert_eq!(log.sure, BETWEEN_LOOKS + 10, "the next look");
        log.sure = 0;
        assert!(log.write(&bytes("0123456789a")).unwrap().is_none());
        assert!(log.write(&bytes(&"x".repeat(TAIL))).unwrap().is_none());
        let cut = log.finish().unwrap().cut();
        assert_eq!(cut, Some(Cut { bytes: 11, bound: Bound::Disk(BETWEEN_LOOKS + 60) }));
        let text = fs_err::read_to_string(folder.path().join("small")).unwrap();
        let said = "[the log's disk has only 67108924 bytes left; its end follows when the run is over]";
        assert!(text.starts_with(&format!("0123456789\n{said}\n[11 bytes were left out here]\nxxx")));
        let large: Ask = |_| Ok(Space { free: LEFT_FREE + BETWEEN_LOOKS + 9, all: u64::MAX });
        assert!(opened("large", large).write(&bytes("0123456789")).unwrap().is_none());
        let silent: Ask = |_| Err(io::ErrorKind::Unsupported.into());
        assert!(opened("silent", silent).write(&bytes("0123456789")).unwrap().is_some());
    }

    #[test]
    fn the_disk_of_a_log_can_be_asked() {
        let Space { free, all } = space(&tempfile::tempfile().unwrap()).unwrap();
        assert!(free <= all && all > 0);
    }

    #[test]
    fn a_follower_sees_everything_up_to_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = LogFile::open(&path, 100).unwrap();
        let over = std::cell::Cell::new(false);
        let mut follow = follow(&path, || over.get()).unwrap();
        assert_eq!(follow.read().unwrap(), Some(vec![]));
        log.write(&bytes("one\n")).unwrap();
        assert_eq!(follow.read().unwrap().unwrap(), b"one\n");
        log.write(&bytes("two\n")).unwrap();
        over.set(true);
        assert_eq!(follow.read().unwrap().unwrap(), b"two\n");
        assert_eq!(follow.read().unwrap(), None);
    }
}

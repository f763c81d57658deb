//! The run's log on disk: everything, masked, in order; with a size limit that keeps both ends.
//!
//! What was written can be read back by offset, which is how a slow terminal catches up without any memory.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::mask::MaskedBytes;

/// The largest log by default.
pub const DEFAULT_CAP: u64 = 1024 * 1024 * 1024;
/// How much of the end survives when a log is cut.
const TAIL: usize = 4 * 1024 * 1024;

/// A log that is being written.
#[derive(Debug)]
pub struct LogFile {
    file: File,
    path: PathBuf,
    size: u64,
    cap: u64,
    /// The end of a log that has reached its cap.
    tail: VecDeque<u8>,
    /// Bytes that came after the cap.
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
        Ok(Self { file, path: path.to_owned(), size, cap, tail: VecDeque::new(), beyond: 0 })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds bytes and says where they can be read back; nothing once the cap is reached.
    ///
    /// # Errors
    /// As the file system says; what was not written is kept nowhere.
    pub fn write(&mut self, bytes: &MaskedBytes) -> io::Result<Option<Range<u64>>> {
        if self.beyond == 0 && self.size + bytes.len() as u64 <= self.cap {
            self.file.write_all(bytes.as_bytes())?;
            let start = self.size;
            self.size += bytes.len() as u64;
            return Ok(Some(start..self.size));
        }
        if self.beyond == 0 {
            let note =
                format!("\n[the log reached its limit of {} bytes; its end follows when the run is over]\n", self.cap);
            self.file.write_all(note.as_bytes())?;
        }
        self.beyond += bytes.len() as u64;
        let end = &bytes.as_bytes()[bytes.len().saturating_sub(TAIL)..];
        // Made room for before, so that the buffer never grows beyond its size.
        let excess = (self.tail.len() + end.len()).saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.tail.extend(end);
        Ok(None)
    }

    /// Whether something had to be left out so far.
    pub fn is_cut(&self) -> bool {
        self.beyond > self.tail.len() as u64
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
        if self.beyond > 0 {
            let left_out = self.beyond - self.tail.len() as u64;
            if left_out > 0 {
                self.file.write_all(format!("[{left_out} bytes were left out here]\n").as_bytes())?;
            }
            let (front, back) = self.tail.as_slices();
            self.file.write_all(front)?;
            self.file.write_all(back)?;
        }
        Ok(Written(self.file))
    }
}

/// A log that is whole, and not yet safe from a power cut.
#[derive(Debug)]
pub struct Written(File);

impl Written {
    /// Puts it on disk, which takes as long as the disk takes.
    ///
    /// # Errors
    /// As the file system says.
    pub fn sync(self) -> io::Result<()> {
        self.0.sync_data()
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
        assert!(!log.is_cut());
        assert!(log.write(&bytes("the end\n")).unwrap().is_none());
        assert!(log.is_cut());
        log.finish().unwrap();
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(text.starts_with("begin\n\n[the log reached its limit of 8 bytes"));
        assert!(text.contains("[8 bytes were left out here]\nxxx") && text.ends_with("xthe end\n"));
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

//! Whether there is room for what a server writes. It is tried by writing: a full disk takes a new file, and reads well. Never
//! leaves anything behind.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;

/// A folder that takes so many bytes has room for the next step of a database.
const ENOUGH: usize = 128 << 10;

/// Why nothing is written any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The disk, or what this user may have of it, is full.
    Full,
    /// What is there may only be read.
    ReadOnly,
}

impl Lack {
    /// What to do about it.
    pub fn help(self) -> &'static str {
        match self {
            Self::Full => "make room on that disk; `soopervisor prune` removes what can be made again",
            Self::ReadOnly => "mount the disk so that it can be written, or set SOOPERVISOR_HOME to another folder",
        }
    }
}

/// Writes into a folder, and takes it back.
///
/// # Errors
/// What the system says to it.
pub fn try_writing(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&vec![b'.'; ENOUGH])?;
    // Some disks take everything at first.
    file.sync_data()
}

/// What an error says of the disk, itself or by one of its causes.
pub fn lack(error: &(dyn Error + 'static)) -> Option<Lack> {
    causes(error).find_map(|cause| match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => Some(Lack::Full),
        Some(io::ErrorKind::ReadOnlyFilesystem) => Some(Lack::ReadOnly),
        // SQLite's words; what it is called by is the database's own.
        _ => {
            let said = cause.to_string();
            let full = said.contains("database or disk is full") || said.contains("No space left on device");
            let read_only = said.contains("attempt to write a readonly database");
            full.then_some(Lack::Full).or_else(|| read_only.then_some(Lack::ReadOnly))
        }
    })
}

/// An error and its causes, in one line.
pub fn words(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in causes(error).map(ToString::to_string) {
        // Some errors repeat their causes.
        if !said.iter().any(|before| before.contains(&cause)) {
            said.push(cause);
        }
    }
    let line = said.join(": ");
    match lack(error) {
        Some(Lack::Full) => format!("{line} (the disk is full)"),
        Some(Lack::ReadOnly) => format!("{line} (it may only be read)"),
        None => line,
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::serve::ServeError;

    fn io_fault(kind: io::ErrorKind) -> ServeError {
        ServeError::Io { action: "write", source: io::Error::from(kind) }
    }

    #[test]
    fn a_disk_that_takes_no_byte_is_told_by_its_cause() {
        let folder = tempfile::tempdir().unwrap();
        try_writing(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(try_writing(&folder.path().join("none")).is_err());
        // A file that takes no byte, though it is opened well.
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").and_then(|mut file| file.write_all(b"."));
        let full = ServeError::Io { action: "write", source: full.unwrap_err() };
        assert_eq!(lack(&full), Some(Lack::Full));
        assert!(words(&full).starts_with("cannot write: No space left"), "{}", words(&full));
        assert_eq!(lack(&io_fault(io::ErrorKind::ReadOnlyFilesystem)), Some(Lack::ReadOnly));
        assert_eq!(lack(&io_fault(io::ErrorKind::PermissionDenied)), None);
        let sqlite =
            ServeError::Io { action: "write", source: io::Error::other("(code: 13) database or disk is full") };
        assert_eq!(lack(&sqlite), Some(Lack::Full));
    }
}

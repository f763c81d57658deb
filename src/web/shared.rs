//! Small files by which the processes of one user share what counts for an account. They hold no credentials, and whoever
//! cannot use one goes on without.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

/// Tries of a lock that is held for a moment by whoever has it.
const TRIES: u32 = 25;
const PAUSE: Duration = Duration::from_millis(1);
/// What is longer is not ours.
const LONGEST: usize = 4096;
/// What nobody used for so long goes.
const OLDEST: Duration = Duration::from_hours(7 * 24);

/// The file of that name, in a folder that is made if need be.
///
/// # Errors
/// When it cannot be made or opened.
pub fn open(folder: &Path, name: &str) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    sweep(folder);
    let name = hex::encode(&Sha256::digest(name)[..16]);
    OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(folder.join(name))
}

fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > OLDEST) {
            let _ = fs_err::remove_file(entry.path());
        }
    }
}

/// A lock on a file, given back on drop.
pub(super) struct Locked<'a>(&'a File);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// The lock, unless somebody keeps it for longer than such things take.
pub(super) fn locked(file: &File) -> Option<Locked<'_>> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => return Some(Locked(file)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// What the file holds, if it is that.
pub(super) fn read<T: DeserializeOwned>(file: &File) -> Option<T> {
    let mut bytes = vec![0; LONGEST];
    let mut length = 0;
    loop {
        match file.read_at(&mut bytes[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    serde_json::from_slice(&bytes[..length]).ok()
}

/// Writes over what the file holds. A crash may cut it short, and the next one begins anew.
pub(super) fn write(file: &File, value: &impl Serialize) {
    let Ok(bytes) = serde_json::to_vec(value) else { return };
    let written = file.write_all_at(&bytes, 0).and_then(|()| file.set_len(bytes.len() as u64));
    tracing::trace!(written = written.is_ok(), "shared with other processes");
}

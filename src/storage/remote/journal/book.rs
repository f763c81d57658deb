//! The file behind a journal: its first line holds all that was remembered when it was written anew, each further one a
//! change since then.
//!
//! So one more of ten thousand files costs a short line, and who is killed loses no more than the line that it was at.
//! Nothing is synced: after a crash of the whole machine, what is lost or empty is only begun anew, and on a disk that
//! has much to write each sync takes as long as that.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::super::proof::Proof;

/// Bytes of changes that are always worth less than writing all anew.
const FEW: u64 = 64 * 1024;

/// One file that is half sent.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Half {
    pub(super) session: String,
    pub(super) size: u64,
}

/// What the file holds.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Kept {
    pub(super) place: String,
    /// Whether what has arrived stays until it is given up.
    pub(super) stays: bool,
    pub(super) halves: BTreeMap<String, Half>,
    /// Files that are whole.
    #[serde(default)]
    pub(super) done: BTreeMap<String, Proof>,
}

/// The same, to be written: the first line.
#[derive(Debug, Serialize)]
struct Whole<'a> {
    place: &'a str,
    stays: bool,
    halves: &'a BTreeMap<String, Half>,
    done: &'a BTreeMap<String, Proof>,
}

/// Any further line: what is remembered of a key now, if anything.
#[derive(Debug, Deserialize)]
struct Change {
    key: String,
    half: Option<Half>,
    /// It is whole.
    #[serde(default)]
    done: Option<Proof>,
}

/// The same, to be written.
#[derive(Debug, Serialize)]
struct Changed<'a> {
    key: &'a str,
    half: Option<&'a Half>,
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<&'a Proof>,
}

impl Kept {
    /// What a file says, up to now.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let bytes = fs_err::read(path).ok()?;
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let mut kept: Self = serde_json::from_slice(lines.next()?).ok()?;
        // A line that breaks off says nothing.
        for Change { key, half, done } in lines.filter_map(|line| serde_json::from_slice::<Change>(line).ok()) {
            kept.halves.remove(&key);
            match (half, done) {
                (Some(half), _) => {
                    kept.done.remove(&key);
                    kept.halves.insert(key, half);
                }
                (None, Some(done)) => drop(kept.done.insert(key, done)),
                (None, None) => {}
            }
        }
        Some(kept)
    }
}

/// What is remembered, and how far the file knows it.
#[derive(Debug, Default)]
struct Pages {
    halves: BTreeMap<String, Half>,
    done: BTreeMap<String, Proof>,
    /// Where lines are added; nothing where the file has to be written anew first.
    open: Option<Open>,
}

/// A file that this process has written.
#[derive(Debug)]
struct Open {
    file: File,
    /// Bytes of its first line, and of all others.
    whole: u64,
    added: u64,
}

impl Pages {
    /// Adds a change to the file; `false` where that has to be written anew.
    fn add(&mut self, change: &Changed<'_>) -> bool {
        let Some(open) = self.open.as_mut().filter(|open| open.added <= open.whole.max(FEW)) else { return false };
        let Ok(mut line) = serde_json::to_vec(change) else { return false };
        line.push(b'\n');
        open.added += line.len() as u64;
        open.file.write_all(&line).is_ok()
    }
}

/// What several share who remember while the answers of a service arrive.
pub(super) struct Book {
    place: String,
    pub(super) stays: bool,
    pages: Mutex<Pages>,
    /// The file, and the lock that is held as long as this lives.
    pub(super) kept: Option<(PathBuf, File)>,
}

impl Book {
    /// One that goes on with what `left` says, in that file.
    pub(super) fn new(place: String, stays: bool, left: Kept, kept: Option<(PathBuf, File)>) -> Self {
        let pages = Pages { halves: left.halves, done: left.done, open: None };
        Self { place, stays, pages: Mutex::new(pages), kept }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `look` sees in all that is remembered.
    pub(super) fn look<T>(&self, look: impl FnOnce(&BTreeMap<String, Half>) -> T) -> T {
        look(&self.pages().halves)
    }

    /// What is remembered of a key from now on, if anything.
    pub(super) fn set(&self, key: &str, half: Option<Half>) {
        let mut pages = self.pages();
        if pages.halves.get(key) == half.as_ref() {
            return;
        }
        let added = pages.add(&Changed { key, half: half.as_ref(), done: None });
        match half {
            Some(half) => {
                pages.done.remove(key);
                pages.halves.insert(key.to_owned(), half);
            }
            None => drop(pages.halves.remove(key)),
        }
        if !added {
            self.write(&mut pages);
        }
    }

    /// The file of a key is whole.
    pub(super) fn finish(&self, key: &str, proof: Proof) {
        if self.kept.is_none() {
            return;
        }
        let mut pages = self.pages();
        let added = pages.add(&Changed { key, half: None, done: Some(&proof) });
        pages.halves.remove(key);
        pages.done.insert(key.to_owned(), proof);
        if !added {
            self.write(&mut pages);
        }
    }

    /// Files that are whole.
    pub(super) fn finished(&self) -> BTreeMap<String, Proof> {
        self.pages().done.clone()
    }

    /// Forgets every key but those that `stay`, and all files that are whole.
    pub(super) fn retain(&self, mut stay: impl FnMut(&str) -> bool) {
        let mut pages = self.pages();
        let before = pages.halves.len() + pages.done.len();
        pages.halves.retain(|key, _| stay(key));
        pages.done.clear();
        if pages.halves.len() != before {
            self.write(&mut pages);
        }
    }

    /// Writes the file anew.
    fn write(&self, pages: &mut Pages) {
        let Some((path, _)) = &self.kept else { return };
        let Pages { halves, done, .. } = &*pages;
        let written = anew(path, &Whole { place: &self.place, stays: self.stays, halves, done });
        if let Err(error) = &written {
            tracing::info!(%error, "half-sent files are not kept track of");
        }
        pages.open = written.ok();
    }
}

/// A file with nothing but its first line, in the place of any other.
fn anew(path: &Path, whole: &Whole<'_>) -> std::io::Result<Open> {
    let mut line = serde_json::to_vec(whole)?;
    line.push(b'\n');
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
    file.write_all(&line)?;
    fs_err::rename(&beside, path)?;
    Ok(Open { file, whole: line.len() as u64, added: 0 })
}

//! Bytes of files, kept on disk and sparse where they are zero, with the digests that the vendors show.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::Drive;

const BUFFER: usize = 256 * 1024;
const DROPBOX_BLOCK: usize = 4 * 1024 * 1024;

/// The folder that all bytes of a fake lie in.
#[derive(Clone)]
pub struct Room {
    folder: Arc<tempfile::TempDir>,
    next: Arc<AtomicU64>,
}

impl Room {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("drives-").tempdir().unwrap();
        Self { folder: Arc::new(folder), next: Arc::default() }
    }

    pub fn spool(&self) -> Spool {
        let path = self.folder.path().join(self.next.fetch_add(1, Ordering::Relaxed).to_string());
        let file = File::options().create_new(true).read(true).write(true).open(&path).unwrap();
        Spool { file, path, written: AtomicU64::new(0), keep: Arc::clone(&self.folder) }
    }
}

/// A file that is being filled, from any place.
pub struct Spool {
    file: File,
    path: PathBuf,
    /// Nothing was written from here on.
    written: AtomicU64,
    keep: Arc<tempfile::TempDir>,
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Spool {
    pub fn write(&self, offset: u64, bytes: &[u8]) {
        if offset >= self.written.load(Ordering::Acquire) && is_zero(bytes) {
            return;
        }
        self.written.fetch_max(offset + bytes.len() as u64, Ordering::AcqRel);
        self.file.write_all_at(bytes, offset).unwrap();
    }

    /// Copies what another holds to this place.
    pub fn take(&self, other: &Self, at: u64, size: u64) {
        let mut to = at;
        each(&other.file, 0, size, |bytes| {
            self.write(to, bytes);
            to += bytes.len() as u64;
        });
    }

    pub fn sha1(&self, from: u64, size: u64) -> [u8; 20] {
        let mut digest = Sha1::new();
        self.file.set_len(self.file.metadata().unwrap().len().max(from + size)).unwrap();
        each(&self.file, from, size, |bytes| digest.update(bytes));
        digest.finalize().into()
    }
}

/// By comparison of memory, which is fast without optimisation too.
fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 65536] = [0; 65536];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

fn each(file: &File, from: u64, size: u64, mut take: impl FnMut(&[u8])) {
    let mut buffer = vec![0; BUFFER];
    let mut at = from;
    while at < from + size {
        let want = usize::try_from((from + size - at).min(BUFFER as u64)).unwrap();
        file.read_exact_at(&mut buffer[..want], at).unwrap();
        take(&buffer[..want]);
        at += want as u64;
    }
}

#[derive(Default, Clone, Debug)]
pub struct Digests {
    pub dropbox: String,
    pub sha1: String,
    pub quickxor: String,
    pub md5: String,
    pub sha256: String,
}

pub struct Blob {
    spool: Arc<Spool>,
    pub size: u64,
    pub digests: Digests,
    sha256: OnceLock<String>,
}

impl Blob {
    /// Closes a file and computes what the vendor shows of it.
    pub async fn seal(spool: Arc<Spool>, size: u64, drive: Drive) -> Arc<Self> {
        tokio::task::spawn_blocking(move || Arc::new(Self::seal_now(spool, size, drive))).await.unwrap()
    }

    fn seal_now(spool: Arc<Spool>, size: u64, drive: Drive) -> Self {
        spool.file.set_len(size).unwrap();
        let digests = digests(&spool.file, size, drive);
        Self { spool, size, digests, sha256: OnceLock::new() }
    }

    pub fn sha256(&self) -> String {
        let compute = || {
            let mut digest = Sha256::new();
            each(&self.spool.file, 0, self.size, |bytes| digest.update(bytes));
            hex::encode(digest.finalize())
        };
        self.sha256.get_or_init(compute).clone()
    }

    pub fn read(&self, offset: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        self.spool.file.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    pub fn whole(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        File::open(&self.spool.path).unwrap().take(self.size).read_to_end(&mut bytes).unwrap();
        bytes
    }
}

fn digests(file: &File, size: u64, drive: Drive) -> Digests {
    let mut found = Digests::default();
    match drive {
        Drive::Box => {
            let mut digest = Sha1::new();
            each(file, 0, size, |bytes| digest.update(bytes));
            found.sha1 = hex::encode(digest.finalize());
        }
        Drive::Dropbox => found.dropbox = dropbox(file, size),
        Drive::OneDrive => {
            let mut digest = QuickXor::default();
            each(file, 0, size, |bytes| digest.update(bytes));
            found.quickxor = STANDARD.encode(digest.finish());
        }
        Drive::GDrive => {
            let (mut md5, mut sha1, mut sha256) = (Md5::new(), Sha1::new(), Sha256::new());
            each(file, 0, size, |bytes| {
                md5.update(bytes);
                sha1.update(bytes);
                sha256.update(bytes);
            });
            found.md5 = hex::encode(md5.finalize());
            found.sha1 = hex::encode(sha1.finalize());
            found.sha256 = hex::encode(sha256.finalize());
        }
    }
    found
}

/// SHA-256 over the SHA-256 of each 4 MiB.
fn dropbox(file: &File, size: u64) -> String {
    let mut outer = Sha256::new();
    let mut inner = Sha256::new();
    let mut filled = 0;
    each(file, 0, size, |mut bytes| {
        while !bytes.is_empty() {
            let take = bytes.len().min(DROPBOX_BLOCK - filled);
            inner.update(&bytes[..take]);
            filled += take;
            bytes = &bytes[take..];
            if filled == DROPBOX_BLOCK {
                outer.update(std::mem::take(&mut inner).finalize());
                filled = 0;
            }
        }
    });
    if filled > 0 {
        outer.update(inner.finalize());
    }
    hex::encode(outer.finalize())
}

/// Microsoft's: each byte is exclusive-ored into a ring of 160 bits, 11 bits further than the one before; the length goes
/// on top. The position returns after 160 bytes, so the bytes are folded first.
pub struct QuickXor {
    cells: [u8; 160],
    length: u64,
}

impl Default for QuickXor {
    fn default() -> Self {
        Self { cells: [0; 160], length: 0 }
    }
}

impl QuickXor {
    pub fn update(&mut self, bytes: &[u8]) {
        if is_zero(bytes) {
            self.length += bytes.len() as u64;
            return;
        }
        let at = usize::try_from(self.length % 160).unwrap_or_default();
        self.length += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min((160 - at) % 160));
        for (cell, byte) in self.cells[at..].iter_mut().zip(head) {
            *cell ^= byte;
        }
        // Rounds, 128 bits at a time.
        let rounds = rest.chunks_exact(160);
        let tail = rounds.remainder();
        let mut words = [0_u128; 10];
        for round in rounds {
            for (word, bytes) in words.iter_mut().zip(round.chunks_exact(16)) {
                *word ^= u128::from_ne_bytes(bytes.try_into().unwrap_or_default());
            }
        }
        let folded = words.iter().flat_map(|word| word.to_ne_bytes());
        for (cell, byte) in self.cells.iter_mut().zip(folded) {
            *cell ^= byte;
        }
        for (cell, byte) in self.cells.iter_mut().zip(tail) {
            *cell ^= byte;
        }
    }

    pub fn finish(&self) -> [u8; 20] {
        let mut ring = [0_u8; 20];
        for (index, byte) in self.cells.iter().enumerate() {
            for bit in (0..8).filter(|bit| byte >> bit & 1 == 1) {
                let place = (index * 11 + bit) % 160;
                ring[place / 8] ^= 1 << (place % 8);
            }
        }
        for (cell, byte) in ring[12..].iter_mut().zip(self.length.to_le_bytes()) {
            *cell ^= byte;
        }
        ring
    }
}

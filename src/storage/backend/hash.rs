//! The checksums that services tell of what they store, computed while a file is read.
//!
//! sha256 is ours and in every manifest; the others are only what services can be compared by.

use std::fmt;

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// A service's kind of checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashKind {
    /// Box.
    Sha1,
    /// Google Drive, object stores.
    Md5,
    /// Dropbox: sha256 over the sha256 of every 4 MiB.
    Dropbox,
    /// OneDrive.
    QuickXor,
}

/// A checksum of one kind.
#[derive(Clone, PartialEq, Eq)]
pub struct Checksum {
    /// Its kind.
    pub kind: HashKind,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Checksum {
    /// In hexadecimal digits.
    pub fn hex(&self) -> String {
        hex::encode(&self.bytes)
    }

    /// In base64.
    pub fn base64(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(&self.bytes)
    }

    /// From hexadecimal digits.
    pub fn from_hex(kind: HashKind, text: &str) -> Option<Self> {
        hex::decode(text).ok().map(|bytes| Self { kind, bytes })
    }

    /// From base64.
    pub fn from_base64(kind: HashKind, text: &str) -> Option<Self> {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(text).ok().map(|bytes| Self { kind, bytes })
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.kind, self.hex())
    }
}

/// One checksum being computed.
#[derive(Debug, Clone)]
pub enum Hasher {
    /// See [`HashKind::Sha1`].
    Sha1(Sha1),
    /// See [`HashKind::Md5`].
    Md5(Md5),
    /// See [`HashKind::Dropbox`].
    Dropbox(Blocks),
    /// See [`HashKind::QuickXor`].
    QuickXor(QuickXor),
}

impl Hasher {
    /// Of nothing yet.
    pub fn new(kind: HashKind) -> Self {
        match kind {
            HashKind::Sha1 => Self::Sha1(Sha1::new()),
            HashKind::Md5 => Self::Md5(Md5::new()),
            HashKind::Dropbox => Self::Dropbox(Blocks::default()),
            HashKind::QuickXor => Self::QuickXor(QuickXor::default()),
        }
    }

    /// The checksum of `bytes`.
    pub fn of(kind: HashKind, bytes: &[u8]) -> Checksum {
        let mut hasher = Self::new(kind);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hash) => hash.update(bytes),
            Self::Md5(hash) => hash.update(bytes),
            Self::Dropbox(blocks) => blocks.update(bytes),
            Self::QuickXor(hash) => hash.update(bytes),
        }
    }

    /// What it came to.
    pub fn finish(self) -> Checksum {
        match self {
            Self::Sha1(hash) => Checksum { kind: HashKind::Sha1, bytes: hash.finalize().to_vec() },
            Self::Md5(hash) => Checksum { kind: HashKind::Md5, bytes: hash.finalize().to_vec() },
            Self::Dropbox(blocks) => Checksum { kind: HashKind::Dropbox, bytes: blocks.finish() },
            Self::QuickXor(hash) => Checksum { kind: HashKind::QuickXor, bytes: hash.finish() },
        }
    }
}

const BLOCK: usize = 4 * 1024 * 1024;

/// Dropbox's content hash.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    whole: Sha256,
    block: Sha256,
    filled: usize,
}

impl Blocks {
    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.filled));
            self.block.update(now);
            self.filled += now.len();
            bytes = later;
            if self.filled == BLOCK {
                self.close();
            }
        }
    }

    fn close(&mut self) {
        let block = std::mem::take(&mut self.block).finalize();
        self.whole.update(block);
        self.filled = 0;
    }

    fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.close();
        }
        self.whole.finalize().to_vec()
    }
}

const WIDTH: usize = 160;
const SHIFT: usize = 11;

/// OneDrive's quickXorHash: every byte is shifted 11 bits further round a ring of 160 and put in by exclusive or; the
/// length goes into the last eight bytes in the same way.
#[derive(Debug, Clone)]
pub struct QuickXor {
    /// Bytes at the same place of the ring come every 160 bytes: they are put together first.
    lanes: [u8; WIDTH],
    length: u64,
}

impl Default for QuickXor {
    fn default() -> Self {
        Self { lanes: [0; WIDTH], length: 0 }
    }
}

impl QuickXor {
    fn update(&mut self, bytes: &[u8]) {
        let mut at = usize::try_from(self.length % WIDTH as u64).unwrap_or(0);
        self.length += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(WIDTH - at));
            for (lane, byte) in self.lanes[at..].iter_mut().zip(now) {
                *lane ^= byte;
            }
            (at, rest) = ((at + now.len()) % WIDTH, later);
        }
    }

    fn finish(self) -> Vec<u8> {
        let mut ring = [0_u8; WIDTH / 8];
        for (place, lane) in self.lanes.into_iter().enumerate() {
            let bit = place * SHIFT % WIDTH;
            let wide = u16::from(lane) << (bit % 8);
            ring[bit / 8] ^= wide.to_le_bytes()[0];
            ring[(bit / 8 + 1) % ring.len()] ^= wide.to_le_bytes()[1];
        }
        for (byte, length) in ring[12..].iter_mut().zip(self.length.to_le_bytes()) {
            *byte ^= length;
        }
        ring.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vendors' words, bit for bit: slow, and beyond doubt.
    fn quick_xor_by_the_book(bytes: &[u8]) -> Vec<u8> {
        let mut bits = [false; WIDTH];
        for (at, byte) in bytes.iter().enumerate() {
            for bit in 0..8 {
                bits[(at * SHIFT + bit) % WIDTH] ^= byte >> bit & 1 == 1;
            }
        }
        let mut ring: Vec<u8> =
            bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect();
        let length = (bytes.len() as u64).to_le_bytes();
        ring[12..].iter_mut().zip(length).for_each(|(byte, length)| *byte ^= length);
        ring
    }

    #[test]
    fn quick_xor_is_what_the_book_says_however_the_bytes_come() {
        let bytes: Vec<u8> = (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        for length in [0, 1, 19, 20, 159, 160, 161, 320, 1777, 5000] {
            let mut hash = Hasher::new(HashKind::QuickXor);
            bytes[..length].chunks(37).for_each(|chunk| hash.update(chunk));
            assert_eq!(hash.finish().bytes, quick_xor_by_the_book(&bytes[..length]), "{length}");
        }
    }

    #[test]
    fn known_checksums() {
        assert_eq!(Hasher::of(HashKind::QuickXor, b"").base64(), "AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        assert_eq!(Hasher::of(HashKind::QuickXor, b"J").base64(), "SgAAAAAAAAAAAAAAAQAAAAAAAAA=");
        assert_eq!(Hasher::of(HashKind::Sha1, b"abc").hex(), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(Hasher::of(HashKind::Md5, b"").hex(), "d41d8cd98f00b204e9800998ecf8427e");
        let twice = |bytes: &[u8]| hex::encode(Sha256::digest(Sha256::digest(bytes)));
        assert_eq!(Hasher::of(HashKind::Dropbox, b"abc").hex(), twice(b"abc"));
        assert_eq!(Hasher::of(HashKind::Dropbox, b"").hex(), hex::encode(Sha256::digest(b"")));
    }

    #[test]
    fn dropbox_blocks_end_at_four_mebibytes() {
        let bytes = vec![7; BLOCK + 1];
        let mut expected = Sha256::new();
        expected.update(Sha256::digest(&bytes[..BLOCK]));
        expected.update(Sha256::digest(&bytes[BLOCK..]));
        assert_eq!(Hasher::of(HashKind::Dropbox, &bytes).bytes, expected.finalize().to_vec());
        let exact = Sha256::digest(Sha256::digest(&bytes[..BLOCK]));
        assert_eq!(Hasher::of(HashKind::Dropbox, &bytes[..BLOCK]).bytes, exact.to_vec());
    }
}

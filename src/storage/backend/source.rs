//! A file that is sent: read once, in order, hashed on the way, and looked at again after its last byte.

use std::fs::File;

use bytes::Bytes;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::{Checksum, Fault, HashKind, Hasher};
use crate::id::Digest;

/// Asked after the last byte: whether the file is still the one that was collected.
type Recheck = Box<dyn Fn(&File) -> Result<(), Fault> + Send + Sync>;

/// One file on its way.
pub struct Source {
    file: File,
    size: u64,
    at: u64,
    sha256: Sha256,
    hasher: Option<Hasher>,
    kind: Option<HashKind>,
    /// The whole content, where what it means may differ from its bytes.
    keep: Option<Vec<u8>>,
    recheck: Recheck,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("size", &self.size).field("at", &self.at).finish_non_exhaustive()
    }
}

impl Source {
    /// A file of `size` bytes, read from its first one wherever it stands, that is hashed in the service's way too. `keep` keeps its bytes for whoever wants to know
    /// what they mean.
    pub fn new(
        file: File,
        size: u64,
        kind: Option<HashKind>,
        keep: bool,
        recheck: impl Fn(&File) -> Result<(), Fault> + Send + Sync + 'static,
    ) -> Self {
        let hasher = kind.map(Hasher::new);
        let keep = keep.then(Vec::new);
        Self { file, size, at: 0, sha256: Sha256::new(), hasher, kind, keep, recheck: Box::new(recheck) }
    }

    /// Its length in bytes, as collected.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How far it has been read.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next `most` bytes, fewer only at the end; `None` after it.
    ///
    /// # Errors
    /// When it cannot be read, or is not the file that was collected.
    #[expect(clippy::unused_async, reason = "reading may come to need another thread")]
    pub async fn next(&mut self, most: u64) -> Result<Option<Bytes>, Fault> {
        let length = usize::try_from(most.min(self.size - self.at)).unwrap_or(usize::MAX);
        if length == 0 {
            return Ok(None);
        }
        // A runtime of one thread has no other to hand its tasks to.
        match tokio::runtime::Handle::current().runtime_flavor() {
            tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(|| self.read(length)).map(Some),
            _ => self.read(length).map(Some),
        }
    }

    fn read(&mut self, length: usize) -> Result<Bytes, Fault> {
        let chunk = self.fill(length)?;
        self.at += length as u64;
        self.sha256.update(&chunk);
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&chunk);
        }
        if let Some(keep) = &mut self.keep {
            keep.extend_from_slice(&chunk);
        }
        if self.at == self.size {
            self.finish()?;
        }
        Ok(chunk.into())
    }

    /// So many bytes from where it was read to, into memory that was not written to before.
    fn fill(&self, length: usize) -> Result<Vec<u8>, Fault> {
        let mut chunk = Vec::with_capacity(length);
        while chunk.len() < length {
            let from = self.at + chunk.len() as u64;
            match rustix::io::pread(&self.file, rustix::buffer::spare_capacity(&mut chunk), from) {
                Ok(0) => return Err(Fault::Changed),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(local(error)),
            }
        }
        // More may have been allocated, and read, than was asked for.
        chunk.truncate(length);
        Ok(chunk)
    }

    /// The file ended where it should, and nobody wrote to it meanwhile.
    fn finish(&mut self) -> Result<(), Fault> {
        let more = rustix::io::retry_on_intr(|| rustix::io::pread(&self.file, &mut [0_u8; 1], self.size));
        if more.map_err(local)? != 0 {
            return Err(Fault::Changed);
        }
        (self.recheck)(&self.file)
    }

    /// Back to the first byte, for another try of the whole file.
    ///
    /// # Errors
    /// None by now.
    pub fn rewind(&mut self) -> Result<(), Fault> {
        self.at = 0;
        self.sha256 = Sha256::new();
        self.hasher = self.kind.map(Hasher::new);
        if let Some(keep) = &mut self.keep {
            keep.clear();
        }
        Ok(())
    }

    /// Reads and hashes without sending, up to `offset`.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn skip_to(&mut self, offset: u64) -> Result<(), Fault> {
        if offset > self.size {
            return Err(Fault::Damaged("more was sent than the file has".to_owned()));
        }
        while self.at < offset {
            self.next((offset - self.at).min(1024 * 1024)).await?;
        }
        Ok(())
    }

    /// Reads to the end, so that the checksums are known.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn drain(&mut self) -> Result<(), Fault> {
        if self.size == 0 {
            return self.finish();
        }
        self.skip_to(self.size).await
    }

    /// Reads what is left and keeps it; for services that take a small file in one piece.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn drain_into(&mut self, whole: &mut Vec<Bytes>) -> Result<(), Fault> {
        if self.size == 0 {
            return self.finish();
        }
        while let Some(bytes) = self.next(1024 * 1024).await? {
            whole.push(bytes);
        }
        Ok(())
    }

    /// sha256 of what was read so far.
    pub fn sha256(&self) -> Digest {
        Digest(self.sha256.clone().finalize().into())
    }

    /// The service's checksum of what was read so far, where it has one.
    pub fn checksum(&self) -> Option<Checksum> {
        self.hasher.clone().map(Hasher::finish)
    }

    /// The bytes, where they were to be kept.
    pub fn kept(&self) -> Option<&[u8]> {
        self.keep.as_deref()
    }

    /// Whether `there` is what was sent; a service that tells nothing is believed.
    ///
    /// # Errors
    /// [`Fault::Damaged`] when it is something else.
    pub fn compare(&self, there: Option<&Checksum>) -> Result<(), Fault> {
        match (self.checksum(), there) {
            (Some(ours), Some(theirs)) if ours.kind == theirs.kind && ours != *theirs => {
                Err(Fault::Damaged(format!("sent {}, stored {}", ours.hex(), theirs.hex())))
            }
            _ => Ok(()),
        }
    }
}

fn local(error: Errno) -> Fault {
    Fault::Local(std::io::Error::from(error).to_string())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn source(bytes: &[u8], size: u64) -> Source {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Source::new(file, size, Some(HashKind::Md5), true, |_| Ok(()))
    }

    #[tokio::test]
    async fn a_file_is_read_from_its_first_byte_in_pieces_and_once_more() {
        let mut source = source(b"0123456789", 10);
        for _ in 0..2 {
            let mut pieces = Vec::new();
            while let Some(piece) = source.next(4).await.unwrap() {
                pieces.push(piece);
            }
            assert_eq!(pieces, ["0123", "4567", "89"]);
            assert_eq!(source.kept(), Some(&b"0123456789"[..]));
            assert_eq!(source.sha256(), Digest(Sha256::digest(b"0123456789").into()));
            assert_eq!(source.checksum(), Some(Hasher::of(HashKind::Md5, b"0123456789")));
            source.rewind().unwrap();
        }
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_or_longer_than_it_was_has_changed() {
        assert_eq!(source(b"0123456789", 11).drain().await, Err(Fault::Changed));
        assert_eq!(source(b"0123456789", 9).drain().await, Err(Fault::Changed));
        assert_eq!(source(b"x", 0).drain().await, Err(Fault::Changed));
        assert_eq!(source(b"", 0).drain().await, Ok(()));
    }
}

//! A file that is sent piece by piece, to a service that may say at any time from where it wants it.

use std::io::{Seek as _, Write as _};

use bytes::Bytes;

use crate::storage::backend::{Fault, HashKind, Sessions, Source};

/// Bytes that are sent as a file is: a manifest may be large too.
///
/// # Errors
/// When this machine has no room for temporary files.
pub(super) fn from_memory(bytes: &[u8], kind: HashKind) -> Result<Source, Fault> {
    let wrong = |error: std::io::Error| Fault::Local(format!("a temporary file: {error}"));
    let mut file = tempfile::tempfile().map_err(wrong)?;
    file.write_all(bytes).and_then(|()| file.rewind()).map_err(wrong)?;
    Ok(Source::new(file, bytes.len() as u64, Some(kind), false, |_| Ok(())))
}

/// The file, and the one piece of it that is in memory.
pub(super) struct Pieces<'a> {
    source: &'a mut Source,
    sessions: &'a dyn Sessions,
    most: u64,
    held: Bytes,
    /// Where the held piece begins.
    from: u64,
    /// Bytes that `sessions` was told of.
    counted: u64,
}

impl<'a> Pieces<'a> {
    /// Pieces of `most` bytes.
    pub(super) fn new(source: &'a mut Source, sessions: &'a dyn Sessions, most: u64) -> Self {
        let from = source.at();
        Self { source, sessions, most, held: Bytes::new(), from, counted: 0 }
    }

    /// From here on pieces of `most` bytes.
    pub(super) fn cut_at(&mut self, most: u64) {
        self.most = most;
    }

    /// Bytes of a piece.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// Bytes of the whole file.
    pub(super) fn size(&self) -> u64 {
        self.source.size()
    }

    /// The file, which was read as far as pieces were taken.
    pub(super) fn source(&self) -> &Source {
        self.source
    }

    /// Whether every byte was read, so that checksums are known.
    pub(super) fn is_read(&self) -> bool {
        self.source.at() == self.source.size()
    }

    /// What comes from `at` on: the rest of the held piece, or the next one; empty at the end of the file.
    ///
    /// # Errors
    /// When the file cannot be read, or is not the one that was collected.
    pub(super) async fn at(&mut self, at: u64) -> Result<Bytes, Fault> {
        let end = self.from + self.held.len() as u64;
        if at >= self.from && at < end {
            let skip = usize::try_from(at - self.from).unwrap_or(usize::MAX);
            return Ok(self.held.slice(skip..));
        }
        // Before the next piece is read this one goes.
        self.held = Bytes::new();
        if at < self.source.at() {
            self.source.rewind()?;
        }
        self.source.skip_to(at).await?;
        self.from = at;
        self.held = self.source.next(self.most).await?.unwrap_or_default();
        Ok(self.held.clone())
    }

    /// The service has everything before `at`, and nothing after it.
    pub(super) fn arrived(&mut self, at: u64) {
        if at >= self.counted {
            self.sessions.sent(at - self.counted);
        } else {
            self.sessions.unsent(self.counted - at);
        }
        self.counted = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn any_place_can_be_asked_for_and_the_checksum_is_of_the_whole() {
        let bytes: Vec<u8> = (0..1000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut source = from_memory(&bytes, HashKind::Md5).unwrap();
        let mut pieces = Pieces::new(&mut source, &(), 300);
        for (at, end) in [(0, 300), (100, 300), (300, 600), (50, 350), (900, 1000), (1000, 1000), (0, 300), (700, 1000)]
        {
            assert_eq!(pieces.at(at).await.unwrap(), bytes[usize::try_from(at).unwrap()..end], "{at}");
        }
        assert!(pieces.is_read());
        let whole = crate::storage::backend::Hasher::of(HashKind::Md5, &bytes);
        assert_eq!(source.checksum(), Some(whole));
    }
}

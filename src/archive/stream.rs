//! A tar stream, entry by entry: long names and extended headers joined to the entry that they are about.
//!
//! Nothing is ever held in memory but extended headers, and of those at most [`MOST_EXTENDED`] bytes an entry.

use std::io::{ErrorKind, Read};

use super::ArchiveError;
use super::header::{self, BLOCK, Header, Kind};

/// A path has at most 4096 bytes, an extended attribute 64 KiB.
const MOST_EXTENDED: u64 = 1 << 20;

/// The entries of a stream.
pub(super) struct Entries<R> {
    input: R,
    /// Bytes of the current entry that were not read yet, and of the padding after it.
    content: u64,
    padding: u64,
}

impl<R: Read> Entries<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, content: 0, padding: 0 }
    }

    /// The next entry; `None` at the end mark.
    pub(super) fn next(&mut self) -> Result<Option<Header>, ArchiveError> {
        self.skip_rest()?;
        let (mut name, mut target, mut records): (Option<Vec<u8>>, Option<Vec<u8>>, Vec<u8>) = (None, None, Vec::new());
        let mut left = MOST_EXTENDED;
        loop {
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            let Some(mut header) = header::parse(&block)? else {
                return if name.is_some() || target.is_some() || !records.is_empty() {
                    Err(ArchiveError::Damaged("it ends after an extended header"))
                } else {
                    Ok(None)
                };
            };
            match header.kind {
                Kind::LongName => name = Some(until_nul(self.extended(header.size, &mut left)?)),
                Kind::LongTarget => target = Some(until_nul(self.extended(header.size, &mut left)?)),
                Kind::Extended => records.extend(self.extended(header.size, &mut left)?),
                Kind::Global => drop(self.extended(header.size, &mut left)?),
                _ => {
                    header.name = name.unwrap_or(header.name);
                    header.target = target.unwrap_or(header.target);
                    header::extend(&mut header, &records)?;
                    if header.kind == Kind::File {
                        self.begin(header.size);
                    } else {
                        // Some programs write the size of what a hard link leads to; content it has none.
                        header.size = 0;
                    }
                    return Ok(Some(header));
                }
            }
        }
    }

    /// Reads of the current entry's content; 0 at its end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let most = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let n = self.some(&mut buffer[..most])?;
        self.content -= n as u64;
        Ok(n)
    }

    fn begin(&mut self, size: u64) {
        self.content = size;
        self.padding = size.next_multiple_of(BLOCK as u64).wrapping_sub(size);
    }

    fn extended(&mut self, size: u64, left: &mut u64) -> Result<Vec<u8>, ArchiveError> {
        // Even an empty one costs, or a stream of them would never end.
        *left = left
            .checked_sub(size.saturating_add(BLOCK as u64))
            .ok_or(ArchiveError::TooMuch { what: "bytes of extended headers", limit: MOST_EXTENDED })?;
        self.begin(size);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.fill(&mut bytes)?;
        self.content = 0;
        self.skip_rest()?;
        Ok(bytes)
    }

    fn skip_rest(&mut self) -> Result<(), ArchiveError> {
        let mut scratch = [0; 8 * BLOCK];
        let mut left = self.content.saturating_add(self.padding);
        (self.content, self.padding) = (0, 0);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(scratch.len());
            left -= self.some(&mut scratch[..most])? as u64;
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        let mut at = 0;
        while at < buffer.len() {
            at += self.some(&mut buffer[at..])?;
        }
        Ok(())
    }

    /// At least one byte.
    fn some(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        loop {
            match self.input.read(buffer) {
                Ok(0) => return Err(ArchiveError::Cut),
                Ok(n) => return Ok(n),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(ArchiveError::Cut),
                Err(error) => return Err(ArchiveError::io("read", &"the stream of files")(error)),
            }
        }
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

//! One file of the server while it is written: several writes on their way at once, and closed, with an answer, before
//! anybody gives it another name. rclone's server puts off renaming a file that is open, and says that it is done.

use std::task::Poll;

use bytes::{Buf as _, Bytes};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use openssh_sftp_client::Error;
use openssh_sftp_client::file::File;
use tokio::io::AsyncSeekExt as _;

/// Bytes of one file that are on their way at once: as many as a channel of SSH takes.
pub(super) const FLIGHT: usize = 2 * 1024 * 1024;
/// What is handed over at once, more or less.
const CHUNK: usize = 1024 * 1024;

/// A file that is written from some byte on to its end.
pub(super) struct Part {
    file: File,
    /// Where the next bytes go.
    at: u64,
    /// Bytes that the server takes in one request; nothing while that is not known.
    step: usize,
    flight: FuturesUnordered<BoxFuture<'static, Result<usize, Error>>>,
    /// Bytes in `flight`.
    held: usize,
}

impl Part {
    pub(super) fn new(file: File) -> Self {
        Self { file, at: 0, step: 0, flight: FuturesUnordered::new(), held: 0 }
    }

    /// What comes before `at` is there.
    pub(super) async fn going_on(mut file: File, at: u64) -> Result<Self, Error> {
        if at > 0 {
            file.seek(std::io::SeekFrom::Start(at)).await?;
        }
        Ok(Self { at, ..Self::new(file) })
    }

    /// How much is best handed over at once: whole requests.
    pub(super) fn chunk(&self) -> u64 {
        let whole = match self.step {
            0 => CHUNK,
            step => (CHUNK / step).max(1) * step,
        };
        whole as u64
    }

    /// Sends what follows, and waits while too much is on its way.
    pub(super) async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        if self.step == 0 && !bytes.is_empty() {
            // Of the first bytes the server takes as many as it takes at once. A request that it does not take whole would
            // have to be sent in two, behind those that follow it, which rclone's server refuses.
            let taken = self.file.write_zero_copy(&[bytes.clone()]).await?;
            bytes.advance(taken);
            self.step = taken.max(1);
            self.at += taken as u64;
        }
        while !bytes.is_empty() {
            let piece = bytes.split_to(self.step.min(bytes.len()));
            while self.held > 0 && self.held + piece.len() > FLIGHT {
                if let Some(landed) = self.flight.next().await {
                    self.held -= landed?;
                }
            }
            self.send(piece).await?;
        }
        Ok(())
    }

    async fn send(&mut self, piece: Bytes) -> Result<(), Error> {
        let (mut file, at, length) = (self.file.clone(), self.at, piece.len());
        let write = async move {
            file.seek(std::io::SeekFrom::Start(at)).await?;
            file.write_all_zero_copy(&mut [piece]).await?;
            Ok(length)
        };
        self.flight.push(write.boxed());
        self.held += length;
        self.at += length as u64;
        // A request goes out once somebody has asked for its answer.
        while let Poll::Ready(Some(landed)) = futures::poll!(self.flight.next()) {
            self.held -= landed?;
        }
        Ok(())
    }

    /// Waits for all that is on its way, and for the server to have closed the file; the first failure counts.
    pub(super) async fn close(self) -> Result<(), Error> {
        let Self { file, mut flight, .. } = self;
        let mut written = Ok(());
        while let Some(landed) = flight.next().await {
            written = written.and(landed.map(drop));
        }
        // Nobody else has the file any longer: this is what closes it.
        drop(flight);
        written.and(file.close().await)
    }
}

#[cfg(test)]
mod tests;

//! Between threads that may block, which pack and unpack, and the asynchronous connections that carry the bytes.
//!
//! A few pieces are under way at most, so memory stays flat however long the stream is.

use std::io::{self, Read, Write};

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::sync::mpsc;

/// Pieces of a stream.
pub type Chunks = BoxStream<'static, io::Result<Bytes>>;

/// Large enough that handing a piece over costs nothing beside filling it.
const PIECE: usize = 256 * 1024;
/// Pieces under way.
const WINDOW: usize = 8;

/// A writer for a thread that may block, and the stream that it feeds.
///
/// A writer that is dropped without [`Writer::finish`] breaks the stream off with an error, so that half an archive is
/// never taken for a whole one.
pub fn writer() -> (Writer, Chunks) {
    let (sender, receiver) = mpsc::channel(WINDOW);
    let chunks = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver))).boxed();
    (Writer { sender, open: BytesMut::with_capacity(PIECE), finished: false }, chunks)
}

/// See [`writer`].
#[derive(Debug)]
pub struct Writer {
    sender: mpsc::Sender<io::Result<Bytes>>,
    open: BytesMut,
    finished: bool,
}

impl Writer {
    /// Hands over the last piece.
    ///
    /// # Errors
    /// When nobody reads any more.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.finished = true;
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(PIECE - self.open.len());
        self.open.extend_from_slice(&bytes[..n]);
        if self.open.len() == PIECE {
            self.flush()?;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.open, BytesMut::with_capacity(PIECE)).freeze();
        self.sender.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            // Where nobody reads, nobody needs to be told.
            let _ = self.sender.blocking_send(Err(io::Error::other("the folder could not be packed")));
        }
    }
}

/// A reader for a thread that may block; the stream is carried to it by a task of the running runtime.
pub fn reader(mut chunks: Chunks) -> Reader {
    let (sender, receiver) = mpsc::channel(WINDOW);
    tokio::spawn(async move {
        while let Some(chunk) = chunks.next().await {
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
    });
    Reader { receiver, open: Bytes::new() }
}

/// See [`reader`].
#[derive(Debug)]
pub struct Reader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    open: Bytes,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.open.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.open = piece?,
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.open.len());
        buffer[..n].copy_from_slice(&self.open.split_to(n));
        Ok(n)
    }
}

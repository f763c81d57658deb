//! A writer that outlives its reader: after a closed pipe it takes everything and writes nothing.

use std::io::{self, Write};
use std::time::Duration;

/// Where a reporter writes.
pub struct Out {
    inner: Box<dyn Write + Send>,
    closed: bool,
    at_line_start: bool,
}

impl Out {
    /// Writes to `inner`.
    pub fn new(inner: Box<dyn Write + Send>) -> Self {
        Self { inner, closed: false, at_line_start: true }
    }

    /// Writes all of it, or falls silent for good.
    pub fn write(&mut self, mut bytes: &[u8]) {
        if let Some(last) = bytes.last() {
            self.at_line_start = *last == b'\n';
        }
        while !self.closed && !bytes.is_empty() {
            match self.inner.write(bytes) {
                Ok(0) => self.closed = true,
                Ok(count) => bytes = &bytes[count..],
                Err(error) => self.after(&error),
            }
        }
    }

    /// Writes a line.
    pub fn line(&mut self, text: &str) {
        self.write(text.as_bytes());
        self.write(b"\n");
    }

    /// Ends the line if one was begun.
    pub fn end_line(&mut self) {
        if !self.at_line_start {
            self.write(b"\n");
        }
    }

    /// Hands on what the system still holds.
    pub fn flush(&mut self) {
        while !self.closed {
            match self.inner.flush() {
                Ok(()) => return,
                Err(error) => self.after(&error),
            }
        }
    }

    fn after(&mut self, error: &io::Error) {
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            // Another program made the terminal non-blocking; it will take more in a moment.
            io::ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(2)),
            _ => self.closed = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes `left` bytes, one by one, stuttering; then the pipe is closed.
    struct Stutter {
        left: usize,
        turn: usize,
        seen: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Stutter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.turn += 1;
            match (self.left, self.turn % 3) {
                (0, _) => Err(io::ErrorKind::BrokenPipe.into()),
                (_, 0) => Err(io::ErrorKind::Interrupted.into()),
                (_, 1) => Err(io::ErrorKind::WouldBlock.into()),
                _ => {
                    self.left -= 1;
                    self.seen.lock().unwrap().push(bytes[0]);
                    Ok(1)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            if self.left == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
        }
    }

    #[test]
    fn writes_everything_through_a_stuttering_pipe_and_falls_silent_when_it_closes() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut out = Out::new(Box::new(Stutter { left: 5, turn: 0, seen: Arc::clone(&seen) }));
        out.line("abc");
        out.flush();
        out.line("defg");
        out.flush();
        out.line("h");
        assert_eq!(*seen.lock().unwrap(), b"abc\nd");
        assert!(out.closed);
    }
}

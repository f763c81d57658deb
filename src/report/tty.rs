//! The terminal that the live view is drawn on: it may go away while we draw, and that is no reason to stop.
//!
//! Nothing is read from it. After the first write that fails nothing is written any more.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::TermLike;

/// Columns where the terminal does not tell.
const COLUMNS: u16 = 80;

/// Columns at the end of each line that nothing is drawn in: indicatif leaves the cursor behind the view, and there the
/// terminal echoes `^C`. In the last column it would begin a new line, and the view be cleared one line too low.
const ECHO: u16 = 4;

/// This process's stderr.
#[derive(Debug, Default)]
pub(super) struct Tty {
    gone: AtomicBool,
}

impl Tty {
    fn send(&self, text: &str) {
        if self.gone.load(Ordering::Relaxed) {
            return;
        }
        if io::stderr().lock().write_all(text.as_bytes()).is_err() {
            self.gone.store(true, Ordering::Relaxed);
        }
    }

    fn go(&self, steps: usize, letter: char) {
        if steps > 0 {
            self.send(&format!("\x1b[{steps}{letter}"));
        }
    }
}

/// Columns to draw in.
pub(super) fn usable(columns: u16) -> u16 {
    columns.saturating_sub(ECHO).max(1)
}

impl TermLike for Tty {
    fn width(&self) -> u16 {
        let size = rustix::termios::tcgetwinsize(io::stderr());
        usable(size.ok().map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(COLUMNS))
    }

    fn height(&self) -> u16 {
        rustix::termios::tcgetwinsize(io::stderr()).ok().map(|size| size.ws_row).filter(|rows| *rows > 0).unwrap_or(24)
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.go(lines, 'A');
        Ok(())
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.go(lines, 'B');
        Ok(())
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.go(columns, 'C');
        Ok(())
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.go(columns, 'D');
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.send(&format!("{text}\n"));
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.send(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.send("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        // stderr holds nothing back.
        Ok(())
    }
}

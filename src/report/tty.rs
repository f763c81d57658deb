//! The terminal that the live view is drawn on: it may go away while we draw, and that is no reason to stop.
//!
//! Nothing is read from it. After the first write that fails nothing is written any more.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::TermLike;

use super::ending::width;

/// Columns where the terminal does not tell.
const COLUMNS: u16 = 80;

/// Columns at the end of each line that nothing is drawn in: indicatif leaves the cursor behind the view, and there the
/// terminal echoes `^C`. In the last column it would begin a new line, and the view be cleared one line too low.
const ECHO: u16 = 4;

/// This process's stderr.
#[derive(Debug, Default)]
pub(super) struct Tty {
    gone: AtomicBool,
    pen: Mutex<Pen>,
}

/// Where the next letter goes. indicatif fills each line with blanks, so that the next one begins below it by itself; in
/// fewer columns than the terminal has that does not happen, and is done here.
#[derive(Debug, Default)]
pub(super) struct Pen {
    column: usize,
    /// The line was filled with blanks.
    filled: bool,
}

impl Pen {
    /// Whether a new line begins before `text`, in so many columns; afterwards it is written.
    pub(super) fn begins_below(&mut self, text: &str, columns: u16) -> bool {
        if text.is_empty() {
            return false;
        }
        if text.starts_with('\r') {
            self.home();
        }
        // Columns alone would not do: there are letters of which two libraries do not think the same.
        let below = self.filled || self.column >= usize::from(columns);
        if below {
            self.home();
        }
        self.column += width(text);
        self.filled = self.column > 0 && text.bytes().all(|byte| byte == b' ');
        below
    }

    /// The cursor is at the beginning of a line.
    pub(super) fn home(&mut self) {
        *self = Self::default();
    }
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

    fn pen(&self) -> MutexGuard<'_, Pen> {
        self.pen.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.write_str(text)?;
        self.pen().home();
        self.send("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        if self.pen().begins_below(text, self.width()) {
            self.send("\n");
        }
        self.send(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.pen().home();
        self.send("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        // stderr holds nothing back.
        Ok(())
    }
}

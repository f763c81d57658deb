//! A terminal for the program: a pty of its own with the program in its foreground, and what a person sees on it.

#![allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]

mod screen;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{ControlModes, InputModes, LocalModes, OutputModes, Winsize, tcgetattr, tcsetwinsize};

pub(crate) use screen::Screen;

/// Longer than any of these programs takes.
const PATIENCE: Duration = Duration::from_mins(5);

type Modes = (InputModes, OutputModes, ControlModes, LocalModes);

/// A program that does not outlive a test that fails.
struct Alive(Child);

impl Drop for Alive {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program on a terminal.
pub(crate) struct Pty {
    size: (u16, u16),
    child: Alive,
    keyboard: File,
    /// The program's side, so that its modes can be read when the program is gone.
    line: OwnedFd,
    before: Modes,
    written: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

/// What is left of it.
pub(crate) struct Seen {
    pub(crate) code: i32,
    /// Every byte that was written.
    pub(crate) raw: String,
    pub(crate) screen: Screen,
    /// Whether the terminal takes keys as it did before.
    pub(crate) modes_are_back: bool,
}

/// The beginning of a command that gets the terminal as its own, so that keys reach it as signals.
pub(crate) fn foreground(program: &str) -> Command {
    let mut command = Command::new("setsid");
    command.arg("--ctty").arg(program);
    command
}

fn modes(line: &OwnedFd) -> Modes {
    let now = tcgetattr(line).expect("a terminal has modes");
    (now.input_modes, now.output_modes, now.control_modes, now.local_modes)
}

impl Pty {
    /// Starts what [`foreground`] began on a terminal of that size.
    pub(crate) fn start(command: &mut Command, columns: u16, rows: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a pty");
        grantpt(&master).expect("a pty of this user");
        unlockpt(&master).expect("a pty that is open");
        tcsetwinsize(&master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
        let line = ioctl_tiocgptpeer(&master, flags).expect("the other side of the pty");
        let before = modes(&line);
        let side = || line.try_clone().expect("one more descriptor");
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("setsid of util-linux");
        // The command holds the program's side until something else is put in its place.
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::null());
        let keyboard = File::from(master);
        let mut master = keyboard.try_clone().expect("one more descriptor");
        let written = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&written);
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            // Ends with an error once nobody has the other side any more.
            while let Ok(length @ 1..) = master.read(&mut buffer) {
                seen.lock().expect("no reader panics").extend_from_slice(&buffer[..length]);
            }
        });
        Self { size: (columns, rows), child: Alive(child), keyboard, line, before, written, reader }
    }

    /// Everything that was written so far.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("no reader panics")).into_owned()
    }

    /// Waits until this was written.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.raw().contains(text) {
            assert!(Instant::now() < end, "`{text}` is not on the terminal:\n{}", self.raw());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("a terminal takes keys");
    }

    /// Waits until the program ends.
    #[track_caller]
    pub(crate) fn end(mut self) -> Seen {
        use std::os::unix::process::ExitStatusExt;
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.0.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < end, "the program does not end:\n{}", self.raw());
            std::thread::sleep(Duration::from_millis(20));
        };
        let modes_are_back = modes(&self.line) == self.before;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        drop(self.line);
        // All of it is there when nobody can write any more; something that the program left behind might go on to.
        let end = Instant::now() + Duration::from_secs(5);
        while !self.reader.is_finished() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        let raw = String::from_utf8_lossy(&self.written.lock().expect("no reader panics")).into_owned();
        let screen = Screen::after(&raw, usize::from(self.size.0), usize::from(self.size.1));
        Seen { code, raw, screen, modes_are_back }
    }
}

impl Seen {
    /// Whether anything is coloured or set off.
    pub(crate) fn is_coloured(&self) -> bool {
        is_coloured(&self.raw)
    }

    /// It ended with that code and left the terminal to whoever comes next: keys work, the cursor is there, on a line that
    /// is empty, below the last word.
    #[track_caller]
    pub(crate) fn leaves_a_clean_terminal_and_exits(&self, code: i32) {
        assert_eq!(self.code, code, "{}", self.screen.lines().join("\n"));
        assert!(self.modes_are_back, "the terminal's modes are others");
        let screen = &self.screen;
        assert!(screen.cursor_is_shown, "the cursor is hidden");
        assert_eq!(screen.column, 0, "the cursor is not at the start of a line:\n{}", screen.lines().join("\n"));
        assert_eq!(screen.row, screen.lines().len(), "not below the last line:\n{}", screen.lines().join("\n"));
    }
}

/// Whether a text holds colours, or what is set off.
pub(crate) fn is_coloured(text: &str) -> bool {
    text.split("\x1b[").skip(1).any(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';');
        end.is_some_and(|end| rest[end..].starts_with('m'))
    })
}

/// A text without colours.
pub(crate) fn without_colours(text: &str) -> String {
    let mut pieces = text.split("\x1b[");
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece.find(|c: char| !c.is_ascii_digit() && c != ';').unwrap_or(piece.len());
        match piece[end..].strip_prefix('m') {
            Some(rest) => plain += rest,
            None => plain += &format!("\x1b[{piece}"),
        }
    }
    plain
}

//! The program as a black box: arguments in, streams and exit code out, with nothing of this machine's environment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod arguments;
mod doctor;
#[path = "../fixture_run/mod.rs"]
mod fixture_run;
mod help;
mod history;
mod projects;
mod pruning;
#[path = "../pty/mod.rs"]
mod pty;
mod storages;
mod terminal;
mod usage;

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A home of its own for each test.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, words: &[&str]) -> Command {
        self.begun(Command::new(env!("CARGO_BIN_EXE_soopervisor")), words)
    }

    /// What is to be started on a terminal.
    fn on_terminal(&self, words: &[&str]) -> Command {
        let mut command = self.begun(pty::foreground(env!("CARGO_BIN_EXE_soopervisor")), words);
        command.env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8");
        command
    }

    fn begun(&self, mut command: Command, words: &[&str]) -> Command {
        command.args(words).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("SOOPERVISOR_HOME", self.path().join("home")).current_dir(self.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A repository with one commit that is a pipeline.
fn repository(place: &Place) -> std::path::PathBuf {
    let folder = place.path().join("penguins");
    fs_err::create_dir_all(&folder).unwrap();
    assert_eq!(code(&place.run(&["init", "penguins"])), 0);
    for words in [
        &["init", "-q"][..],
        &["add", "."],
        &["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "commit", "-q", "-m", "first"],
    ] {
        let done = Command::new("git").arg("-C").arg(&folder).args(words).env("HOME", place.path()).output().unwrap();
        assert!(done.status.success(), "{}", stderr(&done));
    }
    folder
}

//! A program of the user's choice that keeps tokens in place of the file: a keyring, a password manager. It is called
//! with one word, and gives, takes or forgets one text; it is never given a value in its arguments or environment.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::web::Fault;

/// Names the program.
pub const VARIABLE: &str = "SOOPERVISOR_TOKEN_HELPER";
/// A keyring may have to ask its owner.
const PATIENCE: Duration = Duration::from_mins(2);
/// Bytes; a longer text is none of ours.
const LARGEST: u64 = 4 * 1024 * 1024;

/// The program.
#[derive(Debug, Clone)]
pub(super) struct Helper {
    program: PathBuf,
}

impl Helper {
    pub(super) fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// The text that it keeps; empty when it keeps none.
    pub(super) fn get(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        self.call("get", &[])
    }

    /// Has it keep a text in place of what it kept.
    pub(super) fn store(&self, text: &[u8]) -> Result<(), Fault> {
        self.call("store", text).map(drop)
    }

    /// Has it forget the text.
    pub(super) fn erase(&self) -> Result<(), Fault> {
        self.call("erase", &[]).map(drop)
    }

    fn call(&self, word: &str, text: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        // What it says on stderr is for the person, who may have to unlock something.
        let started = Command::new(&self.program).arg(word).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| self.wrong(word, &format!("it cannot be started: {error}")))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let reading = std::thread::spawn(move || {
            let mut answer = Zeroizing::new(Vec::new());
            let read = stdout.map(|stdout| stdout.take(LARGEST).read_to_end(&mut answer));
            read.transpose().map(|_| answer)
        });
        if let Some(mut stdin) = stdin {
            // One that does not want to read all of it says so by how it ends.
            let _ = stdin.write_all(text);
        }
        let status = self.wait(word, &mut child)?;
        let answer = reading.join().map_err(|_| self.wrong(word, "its answer cannot be read"))?;
        if !status.success() {
            return Err(self.wrong(word, &format!("it ended with {status}")));
        }
        answer.map_err(|error| self.wrong(word, &error.to_string()))
    }

    fn wait(&self, word: &str, child: &mut Child) -> Result<std::process::ExitStatus, Fault> {
        let begun = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if begun.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(5)),
                Ok(None) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    return Err(self.wrong(word, "it does not answer"));
                }
                Err(error) => return Err(self.wrong(word, &error.to_string())),
            }
        }
    }

    fn wrong(&self, word: &str, why: &str) -> Fault {
        let program = self.program.display();
        Fault::Setting(format!("`{program} {word}`, which {VARIABLE} has keep logins: {why}"))
    }
}

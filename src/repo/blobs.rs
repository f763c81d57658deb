//! Reading objects through `git cat-file --batch`: exactly the bytes of the commit, no filter, no line endings.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use super::RepoError;
use super::git::{Failure, Git};

/// One running `cat-file`.
#[derive(Debug)]
pub(super) struct Blobs {
    child: Child,
    /// Taken by whoever asks for many objects at once.
    pub(super) requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Blobs {
    /// `many` lets git hold answers back until its buffer is full, which is faster where nobody waits for one.
    pub(super) fn start(git: &Git, many: bool) -> Result<Self, RepoError> {
        let args: &[&str] = if many { &["cat-file", "--batch", "--buffer"] } else { &["cat-file", "--batch"] };
        let mut command = git.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|e| Failure::Start(e).while_it("read objects"))?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let answers = answers.ok_or_else(|| broken(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child, requests, answers: BufReader::with_capacity(256 * 1024, answers) })
    }

    /// Asks for one object and waits for its header.
    pub(super) fn ask(&mut self, oid: &str) -> Result<u64, RepoError> {
        if let Some(requests) = &mut self.requests {
            writeln!(requests, "{oid}").and_then(|()| requests.flush()).map_err(broken)?;
        }
        self.header(oid)
    }

    /// The header of the next answer, which must be for `oid`; its size.
    pub(super) fn header(&mut self, oid: &str) -> Result<u64, RepoError> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(broken)?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [found, "blob", size] if found == oid => {
                size.parse().map_err(|_| broken(std::io::ErrorKind::InvalidData.into()))
            }
            _ => Err(RepoError::ObjectsMissing { detail: oid.to_owned() }),
        }
    }

    /// The content that follows a header, as a reader of exactly `size` bytes.
    pub(super) fn content(&mut self, size: u64) -> std::io::Take<&mut BufReader<ChildStdout>> {
        (&mut self.answers).take(size)
    }

    /// The content that follows a header.
    pub(super) fn content_bytes(&mut self, size: u64) -> Result<Vec<u8>, RepoError> {
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        self.content(size).read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() as u64 != size {
            return Err(broken(std::io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(bytes)
    }

    /// The newline after a content.
    pub(super) fn end(&mut self) -> Result<(), RepoError> {
        let mut newline = [0];
        self.answers.read_exact(&mut newline).map_err(broken)
    }
}

impl Drop for Blobs {
    fn drop(&mut self) {
        // It reads only: nothing is lost when it is killed in the middle of an answer that nobody wants any more.
        drop(self.requests.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn broken(source: std::io::Error) -> RepoError {
    RepoError::Io { doing: "read objects from", path: "git cat-file".to_owned(), source }
}

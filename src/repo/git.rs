//! The only place that runs `git`: one set of options, one clean environment, no prompt, no network, no hook.
//!
//! Nothing here writes to a repository.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::RepoError;
use crate::secret::withhold;

/// The oldest git whose options are used here.
const OLDEST: (u32, u32) = (2, 25);

/// Given with every call. A repository's own settings must not start programs or reach out.
const OPTIONS: &[&str] = &[
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.splitIndex=false",
    "core.untrackedCache=false",
    "core.quotePath=false",
    "protocol.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.addEmbeddedRepo=false",
];

/// Variables of git that say which settings and folders the user trusts; every other `GIT_*` could redirect us.
const KEPT: &[&str] = &[
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_COUNT",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_EXEC_PATH",
];

/// `git`, run in one folder.
#[derive(Debug, Clone)]
pub(super) struct Git {
    program: OsString,
    folder: PathBuf,
    env: Vec<(OsString, OsString)>,
}

/// A call that did not end well.
#[derive(Debug)]
pub(super) enum Failure {
    /// The program could not be started.
    Start(std::io::Error),
    /// It ended with a code other than 0.
    Exit {
        /// The code, unless a signal ended it.
        code: Option<i32>,
        /// What it said.
        stderr: String,
    },
}

impl Failure {
    /// As an error about `doing`.
    pub(super) fn while_it(self, doing: &'static str) -> RepoError {
        match self {
            Self::Start(e) if e.kind() == std::io::ErrorKind::NotFound => RepoError::GitMissing,
            Self::Start(source) => RepoError::Io { doing: "start", path: "git".to_owned(), source },
            Self::Exit { stderr, .. } if lacks_objects(&stderr) => RepoError::ObjectsMissing { detail: stderr },
            Self::Exit { stderr, code } => {
                let detail = if stderr.is_empty() { format!("it ended with {code:?}") } else { stderr };
                RepoError::Git { doing, detail }
            }
        }
    }
}

fn lacks_objects(stderr: &str) -> bool {
    ["could not fetch", "promisor", "unable to read", "missing blob", "bad object", "not a valid object"]
        .iter()
        .any(|words| stderr.contains(words))
}

impl Git {
    pub(super) fn new(program: &OsStr, folder: &Path) -> Self {
        Self { program: program.to_owned(), folder: folder.to_owned(), env: Vec::new() }
    }

    /// The same git in another folder.
    pub(super) fn at(&self, folder: &Path) -> Self {
        Self { program: self.program.clone(), folder: folder.to_owned(), env: Vec::new() }
    }

    /// Where it is run.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// With one more variable, after the environment was cleaned.
    pub(super) fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// A call that is not started yet.
    pub(super) fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new(&self.program);
        withhold(&mut command);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let pair = text.starts_with("GIT_CONFIG_KEY_") || text.starts_with("GIT_CONFIG_VALUE_");
            if text.starts_with("GIT_") && !pair && !KEPT.contains(&&*text) {
                command.env_remove(&name);
            }
        }
        command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0");
        command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ASKPASS", "").env("SSH_ASKPASS", "");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.arg("-C").arg(&self.folder).arg("--no-pager").arg("--no-replace-objects");
        for option in OPTIONS {
            command.args(["-c", option]);
        }
        command.args(args).stdin(Stdio::null());
        command
    }

    /// What it prints.
    pub(super) fn run<A: AsRef<OsStr>>(&self, args: &[A]) -> Result<Vec<u8>, Failure> {
        finish(self.command(args).output().map_err(Failure::Start)?)
    }

    /// What it prints when it is given `input`; for calls that read all of it before they print much.
    pub(super) fn feed<A: AsRef<OsStr>>(&self, args: &[A], input: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(Failure::Start)?;
        if let Some(mut stdin) = child.stdin.take() {
            // When it stops reading it has failed, and says why by its code and words.
            let _ = stdin.write_all(input);
        }
        finish(child.wait_with_output().map_err(Failure::Start)?)
    }

    /// What it prints without the last newline, or `None` when it ends with code 1: its way to say "there is none".
    pub(super) fn ask<A: AsRef<OsStr>>(&self, args: &[A], doing: &'static str) -> Result<Option<Vec<u8>>, RepoError> {
        match self.run(args) {
            Ok(mut bytes) => {
                if bytes.last() == Some(&b'\n') {
                    bytes.pop();
                }
                Ok(Some(bytes))
            }
            Err(Failure::Exit { code: Some(1), .. }) => Ok(None),
            Err(failure) => Err(failure.while_it(doing)),
        }
    }

    /// Refuses a git that is missing or too old.
    pub(super) fn check_version(&self) -> Result<(), RepoError> {
        let output = self.run(&["--version"]).map_err(|failure| failure.while_it("tell its version"))?;
        let text = String::from_utf8_lossy(&output);
        let found = text.split_whitespace().nth(2).unwrap_or_default().to_owned();
        let mut parts = found.split('.').map_while(|part| part.parse::<u32>().ok());
        match (parts.next(), parts.next()) {
            (Some(major), Some(minor)) if (major, minor) < OLDEST => {
                Err(RepoError::GitTooOld { found, needed: "2.25" })
            }
            _ => Ok(()),
        }
    }
}

fn finish(output: Output) -> Result<Vec<u8>, Failure> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::Exit { code: output.status.code(), stderr })
}

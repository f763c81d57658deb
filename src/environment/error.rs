//! Why an environment could not be had, told apart by whose fault it is.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::blamed::Blamed;
use super::space::Full;
use crate::engine::EngineError;

/// One entry of environment.yml that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The entry as written, credentials removed.
    pub entry: String,
    /// What is wrong with it.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// The user's file in advice of who does not know where it is.
pub(super) const ANY_FILE: &str = "PATH/environment.yml";

/// Why there is no environment.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// Entries that mean nothing.
    #[error("environment.yml has {} that cannot be used: {}", count(.0.len(), "entry", "entries"), list(.0))]
    Inputs(Vec<Problem>),
    /// No set of conda packages fulfils the specs.
    #[error("conda: no set of packages fulfils environment.yml: {reason}{}", advice(.hints))]
    Unsolvable {
        /// The solver's words.
        reason: String,
        /// One sentence a cause that could be told.
        hints: Vec<String>,
        /// The packages among them.
        blamed: Vec<Blamed>,
    },
    /// A channel did not answer.
    #[error("conda channel {url} cannot be read: {reason}; {hint}")]
    ChannelUnreachable {
        /// The channel, without credentials.
        url: String,
        /// What was seen.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// A package could not be fetched or linked.
    #[error("conda: {reason}")]
    Install {
        /// The whole chain of causes.
        reason: String,
    },
    /// uv refused the `pip:` section.
    #[error("the `pip:` section cannot be installed ({step}):\n{tail}{}", hint.map(|hint| format!("\n  {hint}")).unwrap_or_default())]
    Pip {
        /// `resolve` or `install`.
        step: &'static str,
        /// Last lines of its output.
        tail: String,
        /// What to do, where that could be told.
        hint: Option<&'static str>,
    },
    /// The exact packages of an earlier environment cannot be had.
    #[error("the lock cannot be fulfilled: {reason}")]
    Lock {
        /// What stands in the way.
        reason: String,
    },
    /// The uv program itself could not be had.
    #[error(
        "uv {version}, which installs the `pip:` section, cannot be fetched from {index}: {reason}; set PIP_INDEX_URL to an index that has it, or SOOPERVISOR_UV to a uv program"
    )]
    Uv {
        /// The pinned version.
        version: &'static str,
        /// The index, without credentials.
        index: String,
        /// What was seen.
        reason: String,
    },
    /// A step in the builder failed that is no fault of the user's files.
    #[error("building the environment failed at {step}:\n{tail}")]
    Builder {
        /// Which step.
        step: &'static str,
        /// Last lines of output.
        tail: String,
    },
    /// The environment has no ploomber after all.
    #[error(
        "the environment was built and holds no ploomber; name it in environment.yml's `pip:` list: `- ploomber=={pin}`"
    )]
    NoPloomber {
        /// The version that is known to work.
        pin: &'static str,
    },
    /// The disk is full.
    #[error("no space left below {path} while {doing}: {full}")]
    NoSpace {
        /// The store.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The disk, and what was needed.
        full: Box<Full>,
    },
    /// The disk of an engine on another machine is full.
    #[error("no space left on the engine's disk while {doing}:\n{tail}")]
    EngineFull {
        /// What was being done.
        doing: &'static str,
        /// Last lines of output.
        tail: String,
    },
    /// The store could not be read or written.
    #[error("the environment store at {path} cannot be used while {doing}")]
    Store {
        /// The path.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The container engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Was asked to stop.
    #[error("cancelled while the environment was prepared")]
    Cancelled,
}

impl EnvironmentError {
    /// Whether the repository's files have to change, rather than this machine or its network.
    pub fn is_user_fault(&self) -> bool {
        matches!(self, Self::Inputs(_) | Self::Unsolvable { .. } | Self::Pip { .. } | Self::NoPloomber { .. })
    }

    /// With the file's own path where advice speaks of any.
    #[must_use]
    pub fn about(mut self, file: &str) -> Self {
        if let Self::Unsolvable { hints, .. } = &mut self {
            for hint in hints.iter_mut() {
                *hint = hint.replace(ANY_FILE, file);
            }
        }
        self
    }

    /// Wraps an I/O error of the store, telling a full disk apart.
    pub(super) fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        if is_full(&source) {
            Self::no_space(path, doing)
        } else {
            Self::Store { path: path.to_owned(), doing, source }
        }
    }

    /// A full disk, as it is now.
    pub(super) fn no_space(path: &Path, doing: &'static str) -> Self {
        Self::NoSpace { path: path.to_owned(), doing, full: Box::new(Full::at(path)) }
    }

    /// Adds to a full disk what was needed; leaves everything else as it is.
    pub(super) fn needing(self, words: impl FnOnce() -> String) -> Self {
        match self {
            Self::NoSpace { path, doing, full } => Self::NoSpace { path, doing, full: Box::new(full.needing(words)) },
            other => other,
        }
    }

    /// Wraps an error of a library, looking through its causes for a full disk.
    pub(super) fn library(error: &(dyn Error + 'static), root: &Path, doing: &'static str) -> Self {
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(cause) = next {
            if cause.downcast_ref::<io::Error>().is_some_and(is_full) {
                return Self::no_space(root, doing);
            }
            next = cause.source();
        }
        Self::Install { reason: chain(error) }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An error with its causes in one line; a cause that only repeats its parent is left out.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("one {one}") } else { format!("{n} {many}") }
}

fn list(problems: &[Problem]) -> String {
    let mut lines = Vec::new();
    for problem in problems {
        let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        lines.push(format!("`{}`: {}{help}", problem.entry, problem.message));
    }
    lines.join("; ")
}

fn advice(hints: &[String]) -> String {
    hints.iter().fold(String::new(), |text, hint| text + "\n  " + hint)
}

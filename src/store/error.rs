//! What can go wrong with the history of runs.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why the history could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Neither `SOOPERVISOR_HOME` nor `HOME` says where to keep state.
    #[error("no place to keep runs: neither `SOOPERVISOR_HOME` nor `HOME` is set")]
    NoHome,
    /// A folder was given that is not absolute.
    #[error("`{variable}` is `{value}`, which is not an absolute path")]
    RelativeHome {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// The file system said no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// A record that is not one.
    #[error("the record `{}` cannot be read", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// A record from a newer program.
    #[error("the record `{}` has schema {found}, this program knows up to {known}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema in it.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// No run has this name.
    #[error("no run `{0}` in the history of this machine")]
    Unknown(String),
    /// No run at all.
    #[error("there are no runs on this machine yet")]
    Empty,
    /// The prefix fits several runs.
    #[error("`{prefix}` fits {count} runs: {}", examples.join(", "))]
    Ambiguous {
        /// As typed.
        prefix: String,
        /// How many.
        count: usize,
        /// Some of them.
        examples: Vec<String>,
    },
}

impl StoreError {
    /// Attaches what was tried, and where, to the system's words.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

//! Why the outputs of a run could not be collected at all.

use thiserror::Error;

use crate::id::RelPath;

/// Why the outputs of a run could not be collected.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutputsError {
    /// A glob of soopervisor.yaml is none.
    #[error("`{pattern}` is not a file pattern: {reason}")]
    Pattern {
        /// As written.
        pattern: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Two different files would be published under one name.
    #[error("{} would be published from two places with different content, first `{}` and `{}`", count(*.total), .first.0, .first.1)]
    Clash {
        /// Both places of the first one, as the user knows them.
        first: (String, String),
        /// Paths in the published folder, at most ten.
        paths: Vec<RelPath>,
        /// How many there are.
        total: usize,
    },
    /// More files than anyone publishes.
    #[error(
        "more than {limit} files and folders came out; narrow the products or add `exclude:` patterns in soopervisor.yaml"
    )]
    TooMany {
        /// The bound.
        limit: u64,
    },
    /// The folder could not be read.
    #[error("cannot read {what} `{path}`")]
    Read {
        /// `the snapshot's` or `/output`.
        what: &'static str,
        /// Which path in it.
        path: RelPath,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

fn count(total: usize) -> String {
    if total == 1 { "one path".to_owned() } else { format!("{total} paths") }
}

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

impl OutputsError {
    /// The next step, where there is one.
    pub fn help(&self) -> Option<&'static str> {
        matches!(self, Self::Clash { .. }).then_some(
            "let the pipeline write one of the two under another name; what lies in /output is published below `output/`",
        )
    }

    /// In words, for the line that a run ends with.
    pub fn words(&self) -> &'static str {
        match self {
            Self::Pattern { .. } => "failed: a pattern of soopervisor.yaml is none",
            Self::Clash { .. } => "failed: two outputs claim one path",
            Self::TooMany { .. } => "failed: too many files came out",
            Self::Read { .. } => "failed: its outputs could not be read",
        }
    }
}

fn count(total: usize) -> String {
    if total == 1 { "one path".to_owned() } else { format!("{total} paths") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::ending::Ending;
    use crate::run::stop::Stop;

    #[test]
    fn outputs_that_claim_one_path_are_not_told_as_missing_and_come_with_a_next_step() {
        let first = ("output/x".to_owned(), "/output/x".to_owned());
        let stop = Stop::from(OutputsError::Clash { first, paths: Vec::new(), total: 1 });
        assert_eq!((stop.ending.exit_code(), stop.closing), (6, Some("failed: two outputs claim one path")));
        assert!(stop.help.is_some_and(|help| help.contains("under another name")));
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let full = Stop::from(OutputsError::Read { what: "/output", path: RelPath::root(), source });
        assert_eq!((full.ending, full.closing), (Ending::DiskFull, None));
    }
}

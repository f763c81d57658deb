//! Why a stream was refused.

use thiserror::Error;

/// Why a tar stream was refused, or could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It ended before its end mark.
    #[error("the stream of files broke off")]
    Cut,
    /// A header that no program writes.
    #[error("the stream of files is damaged: {0}")]
    Damaged(&'static str),
    /// An entry that would be written where it must not be.
    #[error("the stream of files holds `{path}`, which {why}")]
    Hostile {
        /// For people.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// More than anyone sends.
    #[error("the stream of files holds more than {limit} {what}")]
    TooMuch {
        /// `entries`, `bytes`.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// The disk, or the connection, failed.
    #[error("could not {doing} `{path}`")]
    Io {
        /// The work.
        doing: &'static str,
        /// The file, for people.
        path: String,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

impl ArchiveError {
    pub(super) fn io(doing: &'static str, path: &dyn std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_string();
        move |source| Self::Io { doing, path, source }
    }

    pub(super) fn hostile(path: &[u8], why: &'static str) -> Self {
        Self::Hostile { path: path.escape_ascii().to_string(), why }
    }
}

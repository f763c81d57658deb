//! What can go wrong with a container engine.

use thiserror::Error;

use crate::archive::ArchiveError;

/// Why the engine could not do it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No engine answers; says where was looked.
    #[error("no container engine answers: start Docker, or point DOCKER_HOST at one (tried {tried})")]
    Unavailable {
        /// Addresses and what each said.
        tried: String,
    },
    /// The engine answered and may not be used by this user.
    #[error(
        "no permission to use the container engine at {address}: `sudo usermod -aG docker $USER` and a new login let you"
    )]
    Forbidden {
        /// The address.
        address: String,
    },
    /// The image is not present and could not be pulled.
    #[error(
        "image `{reference}` is not here and could not be pulled: {reason}; \
         bring it with `docker pull {reference}` or `docker load -i FILE`, then run again"
    )]
    Image {
        /// As asked.
        reference: String,
        /// The engine's words.
        reason: String,
    },
    /// The engine went away during a run.
    #[error("the container engine went away: {reason}")]
    Gone {
        /// What was seen.
        reason: String,
    },
    /// The engine refused a request.
    #[error("the container engine refused to {action}: {reason}")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// The engine's words.
        reason: String,
    },
    /// The daemon does not see our files, and has no volumes to put copies into.
    #[error("the container engine at {address} does not see this machine's files and offers no volumes")]
    NoSharedFiles {
        /// The address.
        address: String,
    },
    /// Files could not be copied to or from it.
    #[error("could not {action} the container engine")]
    Carry {
        /// `copy files to`, `copy files from`.
        action: &'static str,
        /// Why.
        #[source]
        source: ArchiveError,
    },
}

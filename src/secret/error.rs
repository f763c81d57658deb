//! What can go wrong with a secret, each with what to do next.

use std::path::PathBuf;

use thiserror::Error;

/// Why a secret was refused. No variant ever holds a value.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The name cannot be an environment variable.
    #[error("`{name}` cannot name a secret: use letters, digits and `_`, not starting with a digit")]
    Name {
        /// As given.
        name: String,
    },
    /// The name would change how the run itself works.
    #[error("`{name}` is reserved: the run sets it itself; give the secret another name, such as `MY_{name}`")]
    Reserved {
        /// As given.
        name: String,
    },
    /// After `=` stands no known source. The text is not repeated: it may be the value itself.
    #[error(
        "secret `{name}` names no source: write `{name}`, `{name}=env:VARIABLE` or `{name}=file:PATH` (a value itself is never given on a command line)"
    )]
    Source {
        /// The part before `=`.
        name: String,
    },
    /// One name, two sources.
    #[error("secret `{name}` is given twice; keep one of them")]
    Twice {
        /// The name.
        name: String,
    },
    /// The variable is not set.
    #[error("secret `{name}`: the environment variable `{variable}` is not set; set it, or use `{name}=file:PATH`")]
    Missing {
        /// The secret.
        name: String,
        /// Where it was looked for.
        variable: String,
    },
    /// The file cannot be read.
    #[error("secret `{name}`: cannot read {}; check the path and that you may read it", path.display())]
    Unreadable {
        /// The secret.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// The file is no secret.
    #[error("secret `{name}`: {} is larger than 1 MiB; a secret is a token, a password or a key", path.display())]
    TooLarge {
        /// The secret.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// Nothing to hide.
    #[error("secret `{name}` is empty; set {origin} to a value, or leave the secret out")]
    Empty {
        /// The secret.
        name: String,
        /// Where it came from.
        origin: String,
    },
    /// Hiding it would shred the log.
    #[error(
        "secret `{name}` is shorter than 4 bytes and cannot be hidden in the log; use a longer value, or pass it as a plain variable"
    )]
    TooShort {
        /// The secret.
        name: String,
    },
    /// Not possible in an environment variable.
    #[error("secret `{name}` holds a NUL byte, which no environment variable can; encode it, as base64 for example")]
    Nul {
        /// The secret.
        name: String,
    },
}

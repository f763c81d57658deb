//! Why a plan could not be written as a script.

/// Why a plan could not be written as a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// bash has no way to hold a NUL byte.
    #[error("{what} holds a NUL byte, which no program can be given")]
    Nul {
        /// Which part of the plan.
        what: String,
    },
    /// A name that `export` does not take.
    #[error("`{name}` cannot be the name of an environment variable")]
    VariableName {
        /// The name.
        name: String,
    },
    /// The template itself failed.
    #[error("the script could not be rendered: {0}")]
    Template(String),
}

impl ScriptError {
    /// Stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Nul { .. } => "script/nul-byte",
            Self::VariableName { .. } => "script/variable-name",
            Self::Template(_) => "script/template",
        }
    }
}

//! The exit codes: what a script that calls soopervisor may rely on.

use std::process::ExitCode;

use crate::engine::EngineError;
use crate::store::StoreError;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Did what was asked.
    Ok = 0,
    /// A fault of soopervisor itself, or of this machine.
    Internal = 1,
    /// Arguments that make no sense.
    Usage = 2,
    /// The user's files cannot be run.
    InvalidSpec = 3,
    /// The pipeline failed.
    ScriptFailed = 4,
    /// No container engine, or it went away.
    EngineUnavailable = 5,
    /// The pipeline ended well and a declared product is not there.
    OutputsMissing = 6,
    /// Outputs could not be published, read or verified.
    StorageFailed = 7,
    /// It took too long.
    TimedOut = 8,
    /// The pipeline needed more memory than it may use.
    OutOfMemory = 9,
    /// No room on the disk was left.
    DiskFull = 10,
    /// Something outside killed the pipeline.
    Killed = 11,
    /// `diff --exit-code` found a difference.
    Differs = 12,
    /// Someone asked it to stop.
    Cancelled = 130,
}

impl Exit {
    /// All of them, in order.
    pub const ALL: [Self; 14] = [
        Self::Ok,
        Self::Internal,
        Self::Usage,
        Self::InvalidSpec,
        Self::ScriptFailed,
        Self::EngineUnavailable,
        Self::OutputsMissing,
        Self::StorageFailed,
        Self::TimedOut,
        Self::OutOfMemory,
        Self::DiskFull,
        Self::Killed,
        Self::Differs,
        Self::Cancelled,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The exit for a number that a run ended with; an unknown one is our own fault.
    pub fn from_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|exit| exit.code() == code).unwrap_or(Self::Internal)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<&EngineError> for Exit {
    fn from(_: &EngineError) -> Self {
        Self::EngineUnavailable
    }
}

impl From<&StoreError> for Exit {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unknown(_)
            | StoreError::Empty
            | StoreError::Ambiguous { .. }
            | StoreError::NoHome
            | StoreError::RelativeHome { .. } => Self::Usage,
            _ => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_documented_ones() {
        let codes: Vec<u8> = Exit::ALL.into_iter().map(Exit::code).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 130]);
        for exit in Exit::ALL {
            assert_eq!(Exit::from_code(exit.code()), exit);
        }
        assert_eq!(Exit::from_code(77), Exit::Internal);
    }

    #[test]
    fn help_names_every_code() {
        let help = crate::cli::command().render_help().to_string();
        let (_, codes) = help.split_once("Exit codes:").unwrap();
        let named: Vec<&str> = codes.split_whitespace().filter(|word| word.parse::<u8>().is_ok()).collect();
        for exit in Exit::ALL {
            assert!(named.contains(&exit.code().to_string().as_str()), "add exit code {} to args.rs", exit.code());
        }
    }

    #[test]
    fn the_readme_documents_every_code() {
        let readme = include_str!("../../README.md");
        for exit in Exit::ALL {
            assert!(readme.contains(&format!("| {} |", exit.code())), "add exit code {} to README.md", exit.code());
        }
    }
}

//! How a run ended, told apart as finely as a user can act on it, and the exit code of each.

use serde::{Deserialize, Serialize};

use super::cancel::CancelReason;
use super::execute::Executed;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Published, or nothing had to be.
    Succeeded,
    /// A defect of soopervisor.
    Internal,
    /// The user's files cannot run.
    InvalidSpec,
    /// The script ended with a code of its own.
    ScriptFailed,
    /// No engine, no image, no environment, or the engine went away.
    EngineUnavailable,
    /// The script succeeded and a declared product is not there.
    OutputsMissing,
    /// The outputs could not be published.
    StorageFailed,
    /// `--timeout` or `--idle-timeout` ran out.
    TimedOut,
    /// The kernel killed it for memory.
    OutOfMemory,
    /// There was no disk left.
    DiskFull,
    /// Somebody else killed the container.
    Killed,
    /// The user asked.
    Cancelled,
}

impl Ending {
    /// The program's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::Internal => 1,
            Self::InvalidSpec => 3,
            Self::ScriptFailed => 4,
            Self::EngineUnavailable => 5,
            Self::OutputsMissing => 6,
            Self::StorageFailed => 7,
            Self::TimedOut => 8,
            Self::OutOfMemory => 9,
            Self::DiskFull => 10,
            Self::Killed => 11,
            Self::Cancelled => 130,
        }
    }

    /// What a script's end means. `disk_full` says that the output's last lines speak of a full disk.
    pub fn of_script(executed: &Executed, disk_full: bool) -> Self {
        match (executed.stopped, executed.exit.code) {
            (Some(CancelReason::Signal), _) => Self::Cancelled,
            (Some(CancelReason::Timeout | CancelReason::Idle), _) => Self::TimedOut,
            (Some(CancelReason::OutOfMemory), _) => Self::OutOfMemory,
            (Some(CancelReason::OutOfDisk), _) => Self::DiskFull,
            (None, 0) => Self::Succeeded,
            // Any failure with the flag: a killed worker makes its parent fail with a code of its own.
            (None, _) if executed.exit.oom_killed => Self::OutOfMemory,
            (None, _) if disk_full => Self::DiskFull,
            (None, 137 | 143) => Self::Killed,
            (None, _) => Self::ScriptFailed,
        }
    }

    /// What a failing file system means.
    pub fn of_io(error: &std::io::Error) -> Self {
        let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        if full { Self::DiskFull } else { Self::Internal }
    }

    /// In words, for the closing line.
    pub fn words(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Internal => "failed inside soopervisor",
            Self::InvalidSpec => "not started: the specs have errors",
            Self::ScriptFailed => "failed",
            Self::EngineUnavailable => "could not run: the container engine or the environment is not there",
            Self::OutputsMissing => "failed: declared products are missing",
            Self::StorageFailed => "could not be published",
            Self::TimedOut => "timed out",
            Self::OutOfMemory => "ran out of memory",
            Self::DiskFull => "ran out of disk space",
            Self::Killed => "was killed from outside",
            Self::Cancelled => "was cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Exit;

    fn executed(code: i64, oom_killed: bool, stopped: Option<CancelReason>) -> Executed {
        Executed { exit: Exit { code, oom_killed, peak_memory_bytes: None }, stopped }
    }

    #[test]
    fn a_killed_worker_is_told_from_a_killed_container_and_from_a_cancelled_run() {
        let cases = [
            (executed(0, false, None), false, Ending::Succeeded),
            (executed(0, true, None), false, Ending::Succeeded),
            (executed(1, true, None), false, Ending::OutOfMemory),
            (executed(137, true, None), true, Ending::OutOfMemory),
            (executed(1, false, None), true, Ending::DiskFull),
            (executed(137, false, None), false, Ending::Killed),
            (executed(143, false, Some(CancelReason::Signal)), false, Ending::Cancelled),
            (executed(143, false, Some(CancelReason::Idle)), false, Ending::TimedOut),
            (executed(143, true, Some(CancelReason::OutOfMemory)), false, Ending::OutOfMemory),
            (executed(143, false, Some(CancelReason::OutOfDisk)), false, Ending::DiskFull),
            (executed(3, false, None), false, Ending::ScriptFailed),
        ];
        for (executed, disk_full, expected) in cases {
            assert_eq!(Ending::of_script(&executed, disk_full), expected, "{executed:?}");
        }
    }

    #[test]
    fn exit_codes_are_distinct() {
        use Ending::{
            Cancelled, DiskFull, EngineUnavailable, Internal, InvalidSpec, Killed, OutOfMemory, OutputsMissing,
            ScriptFailed, StorageFailed, Succeeded, TimedOut,
        };
        let all = [
            Succeeded,
            Internal,
            InvalidSpec,
            ScriptFailed,
            EngineUnavailable,
            OutputsMissing,
            StorageFailed,
            TimedOut,
            OutOfMemory,
            DiskFull,
            Killed,
            Cancelled,
        ];
        let codes: std::collections::BTreeSet<u8> = all.iter().map(|ending| ending.exit_code()).collect();
        assert_eq!(codes.len(), all.len());
        assert!(!codes.contains(&2), "2 belongs to usage errors");
    }
}

//! How a run ended, for people: the failure card, and what was published.
//!
//! Data only; `report` draws it and the history keeps it. All text in here was masked before it got here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::event::Step;

/// Why a run failed, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The step that failed.
    pub step: Step,
    /// The pipeline task that failed, where one can be told.
    pub task: Option<String>,
    /// The script's exit code, where the script ran.
    pub exit: Option<i64>,
    /// What happened, in one line: `the script ended with code 1`.
    pub reason: String,
    /// The end of the output, as the masked stream had it.
    pub last_lines: Vec<String>,
    /// What it looks like: `a process was killed for memory (limit 2 GiB)`.
    pub diagnosis: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// The one command that repeats it on this machine.
    pub reproduce: Option<String>,
    /// The whole log.
    pub log_path: Option<PathBuf>,
    /// The run's folder, where what the pipeline made was kept and not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
    /// The command that runs it once more, where that publishes what this run could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
}

/// Where the outputs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The folder in the storage, as a person opens it.
    pub location: String,
    /// Files, links included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is special: `identical content was there already`.
    pub note: Option<String>,
    /// The first of its files, for whoever lists them; no part of what is written down.
    #[serde(skip)]
    pub listing: Vec<Listed>,
}

/// One published file, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its path in the folder.
    pub path: String,
    /// Its bytes.
    pub size: u64,
}

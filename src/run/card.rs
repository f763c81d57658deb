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
    /// The user's own place and what was raised there, where the output tells: `tasks.py:6 in clean: KeyError: 'age'`.
    /// Out of the masked stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The user's own calls on the way there, and what more was said; out of the masked stream as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<String>,
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
    /// What that log lacks, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_cut: Option<String>,
    /// The run's folder, where what the pipeline made was kept and not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
    /// The command that runs it once more, where that publishes what this run could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
}

impl Card {
    /// The lines that say most: the user's own part of the output, else its end.
    pub fn telling_lines(&self) -> &[String] {
        if self.place.is_some() || !self.trace.is_empty() { &self.trace } else { &self.last_lines }
    }

    /// What it looks like, where the place does not say the same.
    pub fn looks_like(&self) -> Option<&str> {
        let diagnosis = self.diagnosis.as_deref()?;
        // A shell says `pack.sh: line 6: …`, and the place `pack.sh:6: …`.
        let words = diagnosis.rsplit(": line ").next().unwrap_or(diagnosis);
        let told = self.place.as_ref().is_some_and(|place| place.contains(words));
        (!told).then_some(diagnosis)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_place_says_is_not_said_again() {
        let said = |place: Option<&str>, diagnosis: &str| {
            let card = Card {
                step: Step::Execute,
                task: None,
                exit: Some(1),
                reason: "the script ended with code 1".to_owned(),
                place: place.map(str::to_owned),
                trace: Vec::new(),
                last_lines: vec!["Need help?".to_owned()],
                diagnosis: Some(diagnosis.to_owned()),
                hint: None,
                reproduce: None,
                log_path: None,
                log_cut: None,
                kept: None,
                again: None,
            };
            assert_eq!(card.telling_lines().is_empty(), place.is_some());
            card.looks_like().is_some()
        };
        assert!(said(None, "KeyError: 'age'"));
        assert!(!said(Some("tasks.py:6 in clean: KeyError: 'age'"), "KeyError: 'age'"));
        assert!(said(Some("tasks.py:6 in clean: KeyError: 'age'"), "MemoryError"));
        assert!(!said(Some("pack.sh:4: nocmd: command not found"), "pack.sh: line 4: nocmd: command not found"));
    }
}

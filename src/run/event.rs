//! What a run tells while it goes on, in order: the only thing reporters and the history see.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::diag::Diagnostic;
use crate::engine::Stream;
use crate::id::{CommitSha, RunId};
use crate::logs::MaskedBytes;

use super::card::{Card, Published};

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The snapshot of the commit.
    Checkout,
    /// The specs.
    Validate,
    /// Image and environment.
    Prepare,
    /// The script in its container.
    Execute,
    /// Outputs found and hashed.
    Collect,
    /// Into the storage.
    Publish,
    /// The record and the card.
    Report,
}

impl Step {
    /// Its name, for people, records and manifests.
    pub fn word(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Validate => "validate",
            Self::Prepare => "prepare",
            Self::Execute => "execute",
            Self::Collect => "collect",
            Self::Publish => "publish",
            Self::Report => "report",
        }
    }
}

/// How a step or task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Did its work.
    Done,
    /// Nothing had to be done.
    Reused,
    /// Did not.
    Failed,
    /// Was asked to stop.
    Cancelled,
}

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// A run begins.
    Started {
        /// Its id.
        run: RunId,
        /// `project`, `revision`, `mode` for people.
        title: String,
    },
    /// A step begins.
    StepStarted {
        /// Which.
        step: Step,
        /// A few words: `conda env for 12 packages`.
        detail: String,
    },
    /// A step goes on; a line for people, already masked.
    StepProgress {
        /// Which.
        step: Step,
        /// The line.
        text: String,
    },
    /// Something that people should see while a step goes on, however little they want to be told; a line, already
    /// masked.
    Warned {
        /// Which.
        step: Step,
        /// The line.
        text: String,
    },
    /// A step ends.
    StepEnded {
        /// Which.
        step: Step,
        /// How.
        outcome: Outcome,
        /// How long it took.
        elapsed: Duration,
        /// A few words: `reused`, `14 files, 3.1 MB`.
        detail: String,
    },
    /// A pipeline task begins.
    TaskStarted {
        /// Ploomber's name.
        name: String,
    },
    /// A pipeline task ends.
    TaskEnded {
        /// Ploomber's name.
        name: String,
        /// How.
        outcome: Outcome,
        /// How long it took.
        elapsed: Duration,
        /// Why it was executed or not; may be empty.
        reason: String,
        /// The commit whose products were taken over.
        from: Option<CommitSha>,
    },
    /// Output of the script, masked.
    Output {
        /// Which stream.
        stream: Stream,
        /// The bytes; shared, because they wait in more than one queue.
        bytes: Arc<MaskedBytes>,
    },
    /// Something about the user's files or the set-up.
    Diagnosed(Diagnostic),
    /// The outputs are in the storage.
    Published(Published),
    /// The run failed; comes before [`RunEvent::Ended`].
    Failed(Box<Card>),
    /// The run is over.
    Ended {
        /// The exit code of the program.
        exit_code: u8,
        /// One line for people.
        summary: String,
    },
}

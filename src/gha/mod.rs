//! The GitHub Action: what happened, whether something is to be run for it, of which commit, and where it is told.
//!
//! [`decide`] holds the rules and touches nothing; [`Facts`] are gathered for it. Nothing that a stranger can write (a
//! comment, a branch's name, a file of a pull request) chooses more than a word of a list or a commit's full id. What the
//! Action tells (comment, status, check, summary) never changes how a run ends.

mod answering;
mod body;
mod carried;
mod claim;
mod command;
mod decide;
mod ended;
mod errand;
mod event;
pub mod face;
mod facts;
mod files;
mod inputs;
mod mask;
mod place;
mod post;
mod previews;
mod progress;

pub use answering::{Answer, HELP};
pub use body::{Asked, Found, Trace, Traces, body, find_marker, marked};
pub use carried::Carried;
pub use claim::Claim;
pub use command::{Command, NotUnderstood};
pub use decide::{Base, Decision, Order, Reason, Trust, decide};
pub use errand::Errand;
pub use event::{CommentEvent, Event, PullEvent, PushEvent};
pub use facts::{Call, Facts, Running, Us, gather};
pub use files::{Files, Outputs};
pub use inputs::{Context, Inputs, SampleInput};
pub use mask::{masks, passwords};
pub use place::{ANCESTORS, Fetch, PlaceError, commit_here, fetch, line};
pub use post::{Post, Poster};
pub use previews::Previews;
pub use progress::{Progress, State, Told};

use thiserror::Error;

/// Why the Action cannot even begin.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GhaError {
    /// A variable that a runner sets is missing.
    #[error(
        "`{0}` is not set: `soopervisor action` is started by a workflow's runner, see `soopervisor init --github`"
    )]
    NoRunner(&'static str),
    /// An input that cannot be.
    #[error("the input `{name}`: {why}")]
    Input {
        /// As written in the workflow.
        name: &'static str,
        /// What would be taken.
        why: String,
    },
    /// The event's file.
    #[error("the event in `{path}` is not understood: {why}")]
    Event {
        /// `GITHUB_EVENT_PATH`.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// GitHub.
    #[error("GitHub: {0}")]
    Forge(crate::web::Fault),
    /// The commit could not be fetched.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Environments that a cache brought.
    #[error(transparent)]
    Environment(#[from] crate::environment::EnvironmentError),
    /// A file of the runner's.
    #[error(transparent)]
    File(#[from] std::io::Error),
}

impl From<crate::web::Fault> for GhaError {
    fn from(fault: crate::web::Fault) -> Self {
        Self::Forge(fault)
    }
}

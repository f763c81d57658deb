//! What happened: one [`Event`], whether a poll saw it, a webhook told it, a clock struck or a person asked.
//!
//! Words only: no I/O and no clock here. Who makes events fills in what is known; what is not known stays `None` and is
//! null in criteria and templates ([`Event::view`]). Names that criteria and templates may use are declared in
//! [`schema`], so that a wrong name is found when a file is read and not when the event comes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::CommitSha;

mod key;
mod kind;
mod part;
pub mod schema;
#[cfg(test)]
mod tests;
mod view;

pub use kind::{Kind, Source};
pub use part::{Artifact, Comment, FinishedRun, Link, Pull, Schedule, Status};

/// One thing that happened to one repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What sort of thing.
    pub kind: Kind,
    /// The repository's name in the server's file: `acme/churn`.
    pub repo: String,
    /// When it happened or, where nobody knows that, when it was noticed.
    pub at: Timestamp,
    /// Who told.
    pub source: Source,
    /// The id of the webhook delivery, for the log; two deliveries may tell of one event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// The account behind it, as the forge calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The whole name of the ref: `refs/heads/main`, `refs/tags/v1`.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Where the ref pointed before; none when it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<CommitSha>,
    /// Where it points now; none when it is gone. For events without a ref: the commit that they are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<CommitSha>,
    /// Which change of this ref it is, counted by the store: tells A→B from a later A→B. None where nobody counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<u64>,
    /// `after` does not descend from `before`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// The repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<String>,
    /// The first line of the commit's message, where a webhook told of it: refs are read without their commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Paths that differ between `before`, or where a new branch left the default one, and `after`; none when they are not
    /// known, which is not the same as empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// The pull request that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull: Option<Pull>,
    /// The comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<Comment>,
    /// The schedule that struck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// The run that finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<FinishedRun>,
    /// The artifact that appeared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// The commit status that somebody set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// The runs that led to it, one after the other, where handlers began them: so that none of it goes on for ever.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Link>,
    /// What a webhook delivered, as it came; null for everything else. Nothing in it is trusted.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub payload: serde_json::Value,
}

impl Event {
    /// An event of which nothing is known besides these.
    pub fn new(kind: Kind, repo: impl Into<String>, at: Timestamp, source: Source) -> Self {
        Self {
            kind,
            repo: repo.into(),
            at,
            source,
            delivery: None,
            actor: None,
            reference: None,
            before: None,
            after: None,
            change: None,
            forced: false,
            default_branch: None,
            message: None,
            paths: None,
            pull: None,
            comment: None,
            schedule: None,
            run: None,
            artifact: None,
            status: None,
            chain: Vec::new(),
            payload: serde_json::Value::Null,
        }
    }

    /// The branch, where the ref is one.
    pub fn branch(&self) -> Option<&str> {
        self.reference.as_deref()?.strip_prefix("refs/heads/")
    }

    /// The tag, where the ref is one.
    pub fn tag(&self) -> Option<&str> {
        self.reference.as_deref()?.strip_prefix("refs/tags/")
    }

    /// The commit that a run for this event is about: the head of a pull request, else where the ref points now.
    pub fn commit(&self) -> Option<&CommitSha> {
        self.after.as_ref().or_else(|| self.pull.as_ref()?.head.as_ref())
    }
}

//! The parts of events that only some kinds have.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::CommitSha;

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// What happened to it: `opened`, `synchronize`, `reopened`, `closed`, `labeled`, …; empty for comments on it.
    #[serde(default)]
    pub action: String,
    /// Its title.
    #[serde(default)]
    pub title: String,
    /// Who opened it.
    #[serde(default)]
    pub author: Option<String>,
    /// The commit at its head.
    #[serde(default)]
    pub head: Option<CommitSha>,
    /// The branch at its head.
    #[serde(default)]
    pub head_branch: Option<String>,
    /// The repository of its head: another one for forks, none when that was deleted.
    #[serde(default)]
    pub head_repo: Option<String>,
    /// The branch that it goes to.
    #[serde(default)]
    pub base_branch: Option<String>,
    /// The head is in another repository: its code is a stranger's.
    #[serde(default)]
    pub fork: bool,
    /// Not yet ready.
    #[serde(default)]
    pub draft: bool,
    /// Closed by merging.
    #[serde(default)]
    pub merged: bool,
    /// Names of its labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// When the forge last changed it, as the forge writes it: tells two equal actions apart.
    #[serde(default)]
    pub updated: Option<String>,
}

/// A comment on a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Comment {
    /// The forge's id.
    pub id: u64,
    /// What was written. A stranger's text.
    pub body: String,
    /// Who wrote it.
    pub author: String,
    /// What the author may do in the repository, as read from the forge: `admin`, `write`, `read`, `none`. None when it
    /// was not asked.
    #[serde(default)]
    pub permission: Option<String>,
    /// The command in it, without the slash and the program's name: `run`. None when it is only a comment.
    #[serde(default)]
    pub command: Option<String>,
    /// What follows the command.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// When it was written, by the forge's clock.
    #[serde(default)]
    pub created: Option<Timestamp>,
    /// Why what it asks for is refused, by the rules of the Action; none where it asks for nothing, or may.
    #[serde(default)]
    pub refused: Option<String>,
    /// Nobody is told why: a stranger, or somebody who was told already.
    #[serde(default)]
    pub unanswered: bool,
    /// Its author vouches for a fork's commit by its full id, and may.
    #[serde(default)]
    pub vouched: bool,
}

/// A schedule of the server's file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name there: the handler's.
    pub name: String,
    /// The cron line.
    pub cron: String,
}

/// A run of this server that ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FinishedRun {
    /// Its id.
    pub id: String,
    /// `succeeded`, `failed`, `cancelled` or `lost`. What was called off before it began is told of nobody.
    pub status: String,
    /// `sample` or `full`.
    #[serde(default)]
    pub mode: Option<String>,
    /// Where it can be looked at.
    #[serde(default)]
    pub url: Option<String>,
    /// Seconds it took.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// How the run before it on the same branch ended: tells recovery from success.
    #[serde(default)]
    pub previous: Option<String>,
}

/// One run of a chain in which handlers begin runs because others ended, or ask for runs of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The handler that began it.
    pub handler: String,
    /// The repository that it is of.
    pub repo: String,
}

/// An artifact of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Artifact {
    /// The forge's id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The workflow run that left it.
    #[serde(default)]
    pub workflow_run: u64,
    /// Which attempt of that run.
    #[serde(default)]
    pub attempt: u64,
    /// Bytes.
    #[serde(default)]
    pub size: u64,
    /// `sha256:…`, where the forge tells it.
    #[serde(default)]
    pub digest: Option<String>,
}

/// A status on a commit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// The forge's id.
    #[serde(default)]
    pub id: u64,
    /// Whose: `ci/jenkins`.
    pub context: String,
    /// `pending`, `success`, `failure` or `error`.
    pub state: String,
    /// Where more stands.
    #[serde(default)]
    pub target_url: Option<String>,
    /// One line.
    #[serde(default)]
    pub description: Option<String>,
}

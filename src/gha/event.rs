//! What happened, from the file that the runner writes. Lenient: only what is decided on is read.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::GhaError;
use crate::forge::RepoId;
use crate::id::CommitSha;

/// What started the workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A branch or a tag changed.
    Push(PushEvent),
    /// A pull request changed.
    Pull(PullEvent),
    /// A pull request changed, and the workflow has secrets whoever wrote it.
    PullTarget,
    /// Somebody wrote under an issue or a pull request.
    Comment(CommentEvent),
    /// Somebody pressed a button, or the clock did.
    Asked,
    /// Something that nothing is done for.
    Other(String),
}

/// A branch or a tag changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushEvent {
    /// `refs/heads/main`.
    pub reference: String,
    /// Its new tip; `None` when it was deleted.
    pub after: Option<CommitSha>,
}

/// A pull request changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullEvent {
    /// `opened`, `synchronize`, …
    pub action: String,
    /// Its number.
    pub number: u64,
    /// What is offered, at the time of the event.
    pub head: CommitSha,
    /// Where that is; `None` when the fork is gone.
    pub head_repo: Option<RepoId>,
    /// The branch that it is offered to.
    pub base_branch: String,
    /// The tip of that branch.
    pub base: CommitSha,
    /// The repository that it is offered to.
    pub base_repo: RepoId,
}

/// Somebody wrote under an issue or a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentEvent {
    /// `created`, `edited`, `deleted`.
    pub action: String,
    /// The issue or pull request.
    pub number: u64,
    /// Whether it is a pull request.
    pub on_pull: bool,
    /// Whether that is open.
    pub open: bool,
    /// The comment.
    pub id: u64,
    /// Its text; anybody's.
    pub body: String,
    /// Who wrote it.
    pub author: String,
    /// Whether that is no person.
    pub bot: bool,
    /// Who did what happened: for a comment that was just written, its author.
    pub sender: String,
    /// When it was written, by GitHub's clock.
    pub created: Timestamp,
}

#[derive(Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    after: String,
    #[serde(default)]
    deleted: bool,
}

#[derive(Deserialize)]
struct Pull {
    action: String,
    number: u64,
    #[serde(rename = "pull_request")]
    offer: Offer,
}

#[derive(Deserialize)]
struct Offer {
    head: End,
    base: End,
}

#[derive(Deserialize)]
struct End {
    #[serde(rename = "ref")]
    branch: String,
    sha: String,
    repo: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    full_name: String,
}

#[derive(Deserialize)]
struct Comment {
    action: String,
    issue: Issue,
    #[serde(rename = "comment")]
    written: Written,
    sender: User,
}

#[derive(Deserialize)]
struct Issue {
    number: u64,
    state: String,
    #[serde(default)]
    pull_request: Option<Value>,
}

#[derive(Deserialize)]
struct Written {
    id: u64,
    #[serde(default)]
    body: Option<String>,
    user: Option<User>,
    created_at: Timestamp,
}

#[derive(Deserialize)]
struct User {
    login: String,
    #[serde(rename = "type", default)]
    kind: String,
}

impl Event {
    /// Reads the event called `name` from its payload; `path` is where it stood, for people.
    ///
    /// # Errors
    /// When a member that is decided on is missing or of another kind.
    pub fn read(name: &str, payload: &[u8], path: &str) -> Result<Self, GhaError> {
        let wrong = |why: String| GhaError::Event { path: path.to_owned(), why };
        let form = |error: serde_json::Error| wrong(error.to_string());
        Ok(match name {
            "push" => {
                let push: Push = serde_json::from_slice(payload).map_err(form)?;
                let gone = push.deleted || push.after.bytes().all(|byte| byte == b'0');
                let after = if gone { None } else { Some(sha(&push.after).map_err(wrong)?) };
                Self::Push(PushEvent { reference: push.reference, after })
            }
            "pull_request" => {
                Self::Pull(serde_json::from_slice::<Pull>(payload).map_err(form)?.event().map_err(wrong)?)
            }
            "pull_request_target" => Self::PullTarget,
            "issue_comment" => Self::Comment(serde_json::from_slice::<Comment>(payload).map_err(form)?.event()),
            "workflow_dispatch" | "schedule" | "repository_dispatch" => Self::Asked,
            other => Self::Other(other.to_owned()),
        })
    }
}

impl Pull {
    fn event(self) -> Result<PullEvent, String> {
        let repo = |named: Named| named.full_name.parse::<RepoId>().map_err(|no_repo| format!("{no_repo}"));
        let base_repo = repo(self.offer.base.repo.ok_or("the pull request leads nowhere")?)?;
        Ok(PullEvent {
            action: self.action,
            number: self.number,
            head: sha(&self.offer.head.sha)?,
            head_repo: self.offer.head.repo.map(repo).transpose()?,
            base: sha(&self.offer.base.sha)?,
            base_branch: self.offer.base.branch,
            base_repo,
        })
    }
}

impl Comment {
    fn event(self) -> CommentEvent {
        // Whose account is gone commands nothing.
        let user = self.written.user.unwrap_or(User { login: "ghost".to_owned(), kind: "Bot".to_owned() });
        CommentEvent {
            action: self.action,
            number: self.issue.number,
            on_pull: self.issue.pull_request.is_some(),
            open: self.issue.state == "open",
            id: self.written.id,
            body: self.written.body.unwrap_or_default(),
            bot: user.kind != "User",
            author: user.login,
            sender: self.sender.login,
            created: self.written.created_at,
        }
    }
}

fn sha(text: &str) -> Result<CommitSha, String> {
    text.parse().map_err(|error: crate::id::IdError| format!("{error}"))
}

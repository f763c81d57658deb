//! GitHub's JSON, as far as it is read: lenient, because fields come and go between versions of the server. Gitea's is like
//! it in many places.

use jiff::Timestamp;
use serde::Deserialize;

use super::super::{
    Author, Comment, Comparison, KnownCheck, ListedPull, Permission, PullHead, PullRequest, Push, Reacted, RepoId,
    Repository, hub,
};
use crate::id::CommitSha;
use crate::web::Fault;

#[derive(Deserialize)]
pub(in crate::forge) struct Numbered {
    pub(in crate::forge) id: u64,
}

#[derive(Deserialize)]
pub(in crate::forge) struct App {
    pub(in crate::forge) slug: String,
}

#[derive(Deserialize)]
pub(in crate::forge) struct InstallationToken {
    pub(in crate::forge) token: String,
    pub(in crate::forge) expires_at: Timestamp,
}

#[derive(Deserialize)]
pub(in crate::forge) struct User {
    id: u64,
    login: String,
    #[serde(rename = "type", default)]
    kind: String,
}

impl From<User> for Author {
    fn from(user: User) -> Self {
        Self { id: user.id, login: user.login, bot: user.kind == "Bot" }
    }
}

/// Whose account is gone.
fn ghost() -> Author {
    Author { id: 0, login: "ghost".to_owned(), bot: false }
}

#[derive(Deserialize)]
pub(in crate::forge) struct Repo {
    id: u64,
    full_name: String,
    default_branch: String,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    fork: bool,
}

impl TryFrom<Repo> for Repository {
    type Error = Fault;

    fn try_from(repo: Repo) -> Result<Self, Fault> {
        let Repo { id, full_name, default_branch, private, fork } = repo;
        Ok(Self { id, name: name(&full_name)?, default_branch, private, fork })
    }
}

fn name(text: &str) -> Result<RepoId, Fault> {
    text.parse().map_err(|error: super::super::words::NoRepo| Fault::Form(error.to_string()))
}

pub(in crate::forge) fn sha(text: &str) -> Result<CommitSha, Fault> {
    text.parse().map_err(|error: crate::id::IdError| Fault::Form(error.to_string()))
}

#[derive(Deserialize)]
pub(in crate::forge) struct Pull {
    number: u64,
    state: String,
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

impl Pull {
    /// As lists have it.
    pub(in crate::forge) fn listed(self) -> Result<ListedPull, Fault> {
        let name = |end: &End| end.repo.as_ref().map(|repo| repo.full_name.clone());
        let (from, to) = (name(&self.head), name(&self.base));
        Ok(ListedPull {
            number: self.number,
            open: self.state == "open",
            head: Some(sha(&self.head.sha)?),
            branch: self.head.branch,
            fork: from.is_none() || from != to,
        })
    }
}

impl TryFrom<End> for PullHead {
    type Error = Fault;

    fn try_from(end: End) -> Result<Self, Fault> {
        let repo = end.repo.map(|repo| name(&repo.full_name)).transpose()?;
        Ok(Self { repo, branch: end.branch, commit: sha(&end.sha)? })
    }
}

impl TryFrom<Pull> for PullRequest {
    type Error = Fault;

    fn try_from(pull: Pull) -> Result<Self, Fault> {
        let (head, base) = (pull.head.try_into()?, pull.base.try_into()?);
        Ok(Self { number: pull.number, open: pull.state == "open", head, base })
    }
}

#[derive(Deserialize)]
pub(in crate::forge) struct Activity {
    before: String,
    after: String,
    timestamp: Timestamp,
    #[serde(rename = "activity_type")]
    kind: String,
    actor: Option<Login>,
}

#[derive(Deserialize)]
struct Login {
    login: String,
}

impl From<Activity> for Push {
    fn from(activity: Activity) -> Self {
        // Forty zeros stand for none.
        let real = |text: &str| text.parse().ok().filter(|_| !text.bytes().all(|byte| byte == b'0'));
        Self {
            before: real(&activity.before),
            after: real(&activity.after),
            at: activity.timestamp,
            forced: activity.kind == "force_push",
            actor: activity.actor.map(|actor| actor.login),
        }
    }
}

#[derive(Deserialize)]
pub(in crate::forge) struct Allowed {
    permission: String,
}

impl From<Allowed> for Permission {
    fn from(allowed: Allowed) -> Self {
        match allowed.permission.as_str() {
            "admin" => Self::Admin,
            "write" => Self::Write,
            "read" => Self::Read,
            // A word of tomorrow is no permission today.
            _ => Self::None,
        }
    }
}

#[derive(Deserialize)]
pub(in crate::forge) struct Written {
    id: u64,
    #[serde(default)]
    issue_url: String,
    /// Of Gitea's, on pull requests, in place of the other.
    #[serde(default)]
    pull_request_url: String,
    user: Option<User>,
    #[serde(default)]
    body: Option<String>,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(default)]
    html_url: String,
}

impl From<Written> for Comment {
    fn from(written: Written) -> Self {
        let addresses = [&written.issue_url, &written.pull_request_url];
        let number = addresses.iter().find_map(|address| address.rsplit('/').next()?.parse().ok()).unwrap_or(0);
        Self {
            id: written.id,
            number,
            author: written.user.map_or_else(ghost, Author::from),
            body: written.body.unwrap_or_default(),
            created: written.created_at,
            updated: written.updated_at,
            url: written.html_url,
        }
    }
}

#[derive(Deserialize)]
pub(in crate::forge) struct Faced {
    id: u64,
    user: Option<User>,
    content: String,
    created_at: Timestamp,
}

impl From<Faced> for Reacted {
    fn from(faced: Faced) -> Self {
        Self {
            id: faced.id,
            author: faced.user.map_or_else(ghost, Author::from),
            reaction: hub::reaction(&faced.content),
            created: faced.created_at,
        }
    }
}

#[derive(Deserialize)]
pub(in crate::forge) struct Committed {
    pub(in crate::forge) sha: String,
}

#[derive(Deserialize)]
pub(in crate::forge) struct Compared {
    ahead_by: u64,
    behind_by: u64,
}

impl From<Compared> for Comparison {
    fn from(compared: Compared) -> Self {
        Self { ahead: compared.ahead_by, behind: compared.behind_by }
    }
}

#[derive(Deserialize)]
pub(in crate::forge) struct Checks {
    pub(in crate::forge) check_runs: Vec<Checked>,
}

#[derive(Deserialize)]
pub(in crate::forge) struct Checked {
    pub(in crate::forge) id: u64,
    app: Option<App>,
}

impl From<Checked> for KnownCheck {
    fn from(check: Checked) -> Self {
        Self { id: check.id, app: check.app.map(|app| app.slug).unwrap_or_default() }
    }
}

#[derive(Deserialize)]
pub(in crate::forge) struct WorkflowRuns {
    pub(in crate::forge) workflow_runs: Vec<WorkflowRun>,
}

#[derive(Deserialize)]
pub(in crate::forge) struct WorkflowRun {
    pub(in crate::forge) id: u64,
    #[serde(default)]
    path: String,
    #[serde(default)]
    workflow_id: Option<u64>,
    #[serde(default)]
    run_attempt: Option<u64>,
    #[serde(default)]
    display_title: String,
    #[serde(default)]
    html_url: String,
    status: Option<String>,
    conclusion: Option<String>,
    #[serde(default)]
    pull_requests: Option<Vec<NumberedPull>>,
}

#[derive(Deserialize)]
struct NumberedPull {
    number: u64,
}

impl From<WorkflowRun> for super::super::WorkflowRun {
    fn from(run: WorkflowRun) -> Self {
        let over = run.status.as_deref() == Some("completed");
        // `main.yml@refs/heads/main`, where the workflow is another repository's.
        let path = run.path.split('@').next().unwrap_or_default().to_owned();
        let ended = over.then(|| run.conclusion.as_deref() == Some("success"));
        let (workflow, attempt, title) = (run.workflow_id, run.run_attempt, run.display_title);
        let pulls = run.pull_requests.unwrap_or_default().into_iter().map(|pull| pull.number).collect();
        Self { id: run.id, path, workflow, title, url: run.html_url, ended, attempt, pulls }
    }
}

#[derive(Deserialize)]
pub(in crate::forge) struct Dispatched {
    pub(in crate::forge) workflow_run_id: u64,
}

#[derive(Deserialize)]
pub(in crate::forge) struct Artifacts {
    pub(in crate::forge) artifacts: Vec<Artifact>,
}

#[derive(Deserialize)]
pub(in crate::forge) struct Artifact {
    id: u64,
    name: String,
    #[serde(default)]
    size_in_bytes: u64,
    #[serde(default)]
    expired: bool,
    pub(in crate::forge) created_at: Option<Timestamp>,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    workflow_run: Option<Origin>,
}

#[derive(Deserialize)]
struct Origin {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    repository_id: Option<u64>,
    #[serde(default)]
    head_repository_id: Option<u64>,
    #[serde(default)]
    head_branch: Option<String>,
    #[serde(default)]
    head_sha: Option<String>,
}

impl Artifact {
    /// As it is told; nothing of one that is gone, or of which nobody says where it comes from.
    pub(in crate::forge) fn told(self) -> Option<super::super::Artifact> {
        let origin = self.workflow_run.filter(|_| !self.expired)?;
        Some(super::super::Artifact {
            id: self.id,
            name: self.name,
            size: self.size_in_bytes,
            digest: self.digest,
            created: self.created_at?,
            run: origin.id?,
            fork: origin.repository_id.is_none() || origin.head_repository_id != origin.repository_id,
            branch: origin.head_branch,
            commit: origin.head_sha.and_then(|sha| sha.parse().ok()),
        })
    }
}

//! JSON of Gitea's and Forgejo's that is not like GitHub's, as far as it is read. The two differ from each other in what they
//! say of workflows' runs.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::super::{Permission, WorkflowRun};
use crate::id::CommitSha;

#[derive(Deserialize)]
pub(super) struct Allowed {
    permission: String,
}

impl From<Allowed> for Permission {
    fn from(allowed: Allowed) -> Self {
        match allowed.permission.as_str() {
            "owner" | "admin" => Self::Admin,
            "write" => Self::Write,
            "read" => Self::Read,
            _ => Self::None,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Label {
    pub(super) id: u64,
    pub(super) name: String,
}

/// Something in the history of a pull request. Its text is GitHub's comment, or, of a push, JSON of Gitea's own making.
#[derive(Deserialize)]
pub(super) struct Entry {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    body: String,
    created_at: Timestamp,
}

#[derive(Deserialize)]
struct Pushed {
    /// Oldest first; of a forced push, the head before and the head after.
    #[serde(default)]
    commit_ids: Vec<String>,
}

impl Entry {
    /// What a push made the head.
    pub(super) fn head(&self) -> Option<(CommitSha, Timestamp)> {
        if self.kind != "pull_push" {
            return None;
        }
        let pushed: Pushed = serde_json::from_str(&self.body).ok()?;
        Some((pushed.commit_ids.last()?.parse().ok()?, self.created_at))
    }
}

/// Something that happened in a repository.
#[derive(Deserialize)]
pub(super) struct Activity {
    #[serde(default)]
    op_type: String,
    #[serde(default)]
    ref_name: String,
    #[serde(default)]
    content: String,
    created: Timestamp,
}

#[derive(Deserialize)]
struct Content {
    #[serde(rename = "HeadCommit")]
    head: Option<ContentCommit>,
}

#[derive(Deserialize)]
struct ContentCommit {
    #[serde(rename = "Sha1")]
    sha: String,
}

impl Activity {
    /// What a push made the tip of this branch.
    pub(super) fn tip(&self, branch: &str) -> Option<(CommitSha, Timestamp)> {
        if self.op_type != "commit_repo" || self.ref_name.strip_prefix("refs/heads/") != Some(branch) {
            return None;
        }
        let content: Content = serde_json::from_str(&self.content).ok()?;
        Some((content.head?.sha.parse().ok()?, self.created))
    }
}

#[derive(Deserialize)]
pub(super) struct Compared {
    #[serde(default)]
    total_commits: u64,
    #[serde(default)]
    commits: Vec<IgnoredAny>,
}

impl Compared {
    pub(super) fn count(&self) -> u64 {
        self.total_commits.max(self.commits.len() as u64)
    }
}

/// Gitea says `workflow_run_id`, Forgejo `id`.
#[derive(Deserialize)]
pub(super) struct Dispatched {
    #[serde(alias = "workflow_run_id")]
    pub(super) id: u64,
}

#[derive(Deserialize)]
pub(super) struct Runs {
    #[serde(default)]
    pub(super) workflow_runs: Vec<Run>,
}

#[derive(Deserialize)]
pub(super) struct Run {
    pub(super) id: u64,
    /// Gitea's, with the ref behind an `@`.
    #[serde(default)]
    path: String,
    /// Forgejo's.
    #[serde(default)]
    workflow_id: String,
    #[serde(default)]
    display_title: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    html_url: String,
    #[serde(default)]
    status: String,
    /// Gitea's.
    #[serde(default)]
    conclusion: Option<String>,
    /// Forgejo's word for what started it.
    #[serde(default)]
    trigger_event: Option<String>,
    #[serde(default)]
    event: Option<String>,
}

impl Run {
    /// Whether this kind of event started it, as far as that is told.
    pub(super) fn is_of(&self, event: &str) -> bool {
        let told = self.trigger_event.as_deref().filter(|told| !told.is_empty()).or(self.event.as_deref());
        told.is_none_or(|told| told.is_empty() || told == event)
    }
}

impl From<Run> for WorkflowRun {
    fn from(run: Run) -> Self {
        let file = if run.path.is_empty() { &run.workflow_id } else { &run.path };
        let path = file.split('@').next().unwrap_or_default().to_owned();
        let word = run.conclusion.as_deref().filter(|word| !word.is_empty()).unwrap_or(&run.status);
        let ended = match word {
            "success" => Some(true),
            "failure" | "cancelled" | "skipped" | "timed_out" => Some(false),
            _ => None,
        };
        let title = if run.display_title.is_empty() { run.title } else { run.display_title };
        let (url, pulls) = (run.html_url, Vec::new());
        Self { id: run.id, path, workflow: None, title, url, ended, attempt: None, pulls }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn a_comment_that_looks_like_a_push_is_none() {
        let entry = |kind: &str| {
            let body = serde_json::json!({"is_force_push": false, "commit_ids": [A, B]}).to_string();
            Entry { kind: kind.to_owned(), body, created_at: Timestamp::UNIX_EPOCH }
        };
        assert_eq!(entry("pull_push").head().map(|head| head.0.to_string()).as_deref(), Some(B));
        assert_eq!(entry("comment").head(), None);
        let torn = Entry { body: "{".to_owned(), ..entry("pull_push") };
        assert_eq!(torn.head(), None);
    }

    #[test]
    fn runs_are_read_as_either_server_writes_them() {
        let read = |text: &str| WorkflowRun::from(serde_json::from_str::<Run>(text).unwrap());
        let gitea = read(
            r#"{"id": 3, "path": "build.yml@refs/heads/main", "display_title": "t", "status": "completed", "conclusion": "failure"}"#,
        );
        assert_eq!((gitea.path.as_str(), gitea.title.as_str(), gitea.ended), ("build.yml", "t", Some(false)));
        let forgejo = read(r#"{"id": 4, "workflow_id": "build.yml", "title": "t", "status": "success"}"#);
        assert_eq!((forgejo.path.as_str(), forgejo.title.as_str(), forgejo.ended), ("build.yml", "t", Some(true)));
        assert_eq!(read(r#"{"id": 5, "status": "running"}"#).ended, None);
    }
}

//! GitLab's JSON, as far as it is read: lenient, because fields come and go between versions of the server.

use jiff::Timestamp;
use serde::Deserialize;

use super::super::{Author, Comment, Kind, ListedPull, Permission, RepoId, Repository, WorkflowRun};
use crate::id::CommitSha;
use crate::web::Fault;

#[derive(Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) username: String,
    #[serde(default)]
    bot: bool,
}

impl From<User> for Author {
    fn from(user: User) -> Self {
        let bot = user.bot || is_bot(&user.username);
        Self { id: user.id, login: user.username, bot }
    }
}

/// Whether an account belongs to a token and to no person: `project_17_bot_4ffca233d8298ea1`.
pub fn is_bot(login: &str) -> bool {
    let rest = login.strip_prefix("project_").or_else(|| login.strip_prefix("group_"));
    let after = rest.and_then(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("_bot"));
    after.is_some_and(|after| after.is_empty() || after.starts_with('_') || after.bytes().all(|b| b.is_ascii_digit()))
}

#[derive(Deserialize)]
pub(super) struct Project {
    id: u64,
    pub(super) path_with_namespace: String,
    /// None where nothing was pushed yet.
    default_branch: Option<String>,
    #[serde(default)]
    visibility: String,
    #[serde(default, rename = "forked_from_project")]
    origin: Option<serde_json::Value>,
}

impl TryFrom<Project> for Repository {
    type Error = Fault;

    fn try_from(project: Project) -> Result<Self, Fault> {
        let name = name(&project.path_with_namespace)?;
        let default_branch = project.default_branch.unwrap_or_else(|| "main".to_owned());
        let (private, fork) = (project.visibility != "public", project.origin.is_some());
        Ok(Self { id: project.id, name, default_branch, private, fork })
    }
}

pub(super) fn name(text: &str) -> Result<RepoId, Fault> {
    Kind::GitLab.repo(text).map_err(|error| Fault::Form(error.to_string()))
}

pub(super) fn sha(text: &str) -> Result<CommitSha, Fault> {
    text.parse().map_err(|error: crate::id::IdError| Fault::Form(error.to_string()))
}

#[derive(Deserialize)]
pub(super) struct MergeRequest {
    pub(super) iid: u64,
    pub(super) state: String,
    pub(super) sha: Option<String>,
    pub(super) source_branch: String,
    pub(super) target_branch: String,
    /// None where a fork was deleted.
    pub(super) source_project_id: Option<u64>,
    pub(super) target_project_id: u64,
    #[serde(default)]
    pub(super) diff_refs: Option<DiffRefs>,
}

impl From<MergeRequest> for ListedPull {
    fn from(listed: MergeRequest) -> Self {
        Self {
            number: listed.iid,
            open: listed.state == "opened",
            head: listed.sha.and_then(|sha| sha.parse().ok()),
            branch: listed.source_branch,
            fork: listed.source_project_id != Some(listed.target_project_id),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct DiffRefs {
    pub(super) start_sha: Option<String>,
}

/// What was offered at a time.
#[derive(Deserialize)]
pub(super) struct Version {
    head_commit_sha: String,
    created_at: Timestamp,
}

impl Version {
    pub(super) fn head(self) -> Option<(CommitSha, Timestamp)> {
        Some((self.head_commit_sha.parse().ok()?, self.created_at))
    }
}

#[derive(Deserialize)]
pub(super) struct Branch {
    pub(super) commit: Commit,
}

#[derive(Deserialize)]
pub(super) struct Commit {
    pub(super) id: String,
}

#[derive(Deserialize)]
pub(super) struct Compared {
    pub(super) commits: Vec<Commit>,
}

#[derive(Deserialize)]
pub(super) struct Member {
    access_level: u64,
    #[serde(default)]
    state: Option<String>,
}

impl From<Member> for Permission {
    fn from(member: Member) -> Self {
        // Who is blocked, or still to be let in, is a member all the same.
        if member.state.is_some_and(|state| state != "active") {
            return Self::None;
        }
        match member.access_level {
            // Maintainer, Owner.
            40.. => Self::Admin,
            // Developer.
            30..40 => Self::Write,
            // Guest, Planner, Reporter.
            10..30 => Self::Read,
            _ => Self::None,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Note {
    pub(super) id: u64,
    #[serde(default)]
    body: String,
    author: User,
    created_at: Timestamp,
    #[serde(default)]
    updated_at: Option<Timestamp>,
    /// Written by GitLab: that somebody pushed, or changed a label.
    #[serde(default)]
    pub(super) system: bool,
    #[serde(default)]
    pub(super) noteable_type: Option<String>,
    #[serde(default)]
    pub(super) noteable_iid: Option<u64>,
}

impl Note {
    /// As a comment of a merge request.
    pub(super) fn comment(self, number: u64, url: String) -> Comment {
        Comment {
            id: self.id,
            number,
            author: self.author.into(),
            body: self.body,
            created: self.created_at,
            updated: self.updated_at.unwrap_or(self.created_at),
            url,
        }
    }
}

/// Something that happened in a project.
#[derive(Deserialize)]
pub(super) struct Event {
    pub(super) note: Option<Note>,
}

#[derive(Deserialize)]
pub(super) struct Pipeline {
    pub(super) id: u64,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    web_url: String,
    status: String,
}

impl From<Pipeline> for WorkflowRun {
    fn from(pipeline: Pipeline) -> Self {
        let ended = match pipeline.status.as_str() {
            "success" => Some(true),
            "failed" | "canceled" | "skipped" => Some(false),
            _ => None,
        };
        let title = pipeline.name.unwrap_or_default();
        let (path, url) = (String::new(), pipeline.web_url);
        Self { id: pipeline.id, path, workflow: None, title, url, ended, attempt: None, pulls: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_tokens_are_no_persons() {
        for (login, bot) in [
            ("project_17_bot_4ffca233", true),
            ("group_9_bot", true),
            ("project_17_bot1", true),
            ("project_manager", false),
            ("project_17_botany", false),
            ("ann", false),
        ] {
            assert_eq!(is_bot(login), bot, "{login}");
        }
    }

    #[test]
    fn a_developer_may_push_and_a_member_who_is_blocked_may_nothing() {
        let of = |access_level, state: &str| Permission::from(Member { access_level, state: Some(state.to_owned()) });
        for (level, permission) in [
            (5, Permission::None),
            (10, Permission::Read),
            (20, Permission::Read),
            (30, Permission::Write),
            (40, Permission::Admin),
            (50, Permission::Admin),
        ] {
            assert_eq!(of(level, "active"), permission, "{level}");
            assert_eq!(of(level, "blocked"), Permission::None, "{level}");
        }
    }
}

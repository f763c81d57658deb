//! What a delivery means. Read leniently, name by name, out of the JSON as it came: what is missing is not known, and only
//! what nothing can be made of is refused. Pure.
//!
//! Forges are believed in what they alone know (who wrote a comment); where refs point is asked of git.

use jiff::Timestamp;
use serde_json::Value;

use super::envelope::Forge;
use crate::forge::gitlab;
use crate::gha::Command;
use crate::id::CommitSha;
use crate::server::event::{Comment, Event, Kind, Pull, Source, Status};

/// What a delivery means.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// A ref is said to have moved: git is to be asked, and what it says about this move goes into the event.
    Moved(Box<Hint>),
    /// Something happened that refs do not show.
    Happened(Box<Event>),
    /// Nothing that anybody here waits for.
    Nothing,
}

/// What a push says besides where the ref is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hint {
    /// The whole name of the ref.
    pub reference: String,
    /// Where it points now; none when it is gone.
    pub after: Option<CommitSha>,
    /// The commit that a tag stands for, where the forge says so: of an annotated one, `after` is the tag itself.
    pub behind: Option<CommitSha>,
    /// Whether the forge says that commits were thrown away.
    pub forced: bool,
    /// Who pushed.
    pub actor: Option<String>,
    /// First line of the commit's message.
    pub message: Option<String>,
    /// Paths that changed, when the forge lists all of them.
    pub paths: Option<Vec<String>>,
    /// The delivery.
    pub delivery: String,
    /// All of it.
    pub payload: Value,
}

/// Addresses under which the repository of a payload may be watched: those that the forge itself gives. GitHub's
/// `homepage` is a free text of whoever owns the repository, and would let one pose as another.
pub fn addresses(forge: Forge, payload: &Value) -> Vec<&str> {
    let pointers: &[&str] = match forge {
        Forge::GitHub | Forge::Gitea => {
            &["/repository/clone_url", "/repository/ssh_url", "/repository/html_url", "/repository/git_url"]
        }
        Forge::GitLab => &[
            "/project/git_http_url",
            "/project/git_ssh_url",
            "/project/web_url",
            "/repository/git_http_url",
            "/repository/git_ssh_url",
        ],
    };
    pointers.iter().filter_map(|pointer| payload.pointer(pointer)?.as_str()).collect()
}

/// Reads a payload of an event of a forge. `repo` is the name under which its repository is watched.
pub fn meaning(forge: Forge, event: &str, delivery: &str, payload: &Value, repo: &str, at: Timestamp) -> Meaning {
    let read = Read { payload, repo, delivery, at };
    match (forge, event) {
        (Forge::GitHub | Forge::Gitea, "push") | (Forge::GitLab, "Push Hook" | "Tag Push Hook") => read.push(),
        (Forge::GitHub | Forge::Gitea, "pull_request") => read.pull_request(),
        (Forge::GitHub | Forge::Gitea, "issue_comment") => read.comment(),
        (Forge::GitHub, "check_run" | "check_suite") => read.asked_again(),
        (Forge::GitHub | Forge::Gitea, "status") => read.status(),
        (Forge::GitLab, "Merge Request Hook") => read.merge_request(),
        (Forge::GitLab, "Note Hook") => read.note(),
        _ => Meaning::Nothing,
    }
}

struct Read<'a> {
    payload: &'a Value,
    repo: &'a str,
    delivery: &'a str,
    at: Timestamp,
}

impl Read<'_> {
    fn text(&self, pointer: &str) -> Option<String> {
        self.payload.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
    }

    fn number(&self, pointer: &str) -> Option<u64> {
        self.payload.pointer(pointer).and_then(Value::as_u64)
    }

    fn flag(&self, pointer: &str) -> bool {
        self.payload.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A commit; forty zeros are none.
    fn commit(&self, pointer: &str) -> Option<CommitSha> {
        let text = self.payload.pointer(pointer)?.as_str()?;
        if text.bytes().all(|byte| byte == b'0') { None } else { text.parse().ok() }
    }

    fn event(&self, kind: Kind, actor: &str) -> Event {
        let mut event = Event::new(kind, self.repo, self.at, Source::Webhook);
        event.delivery = Some(self.delivery.to_owned());
        event.actor = self.text(actor);
        event.default_branch = self.text("/repository/default_branch").or_else(|| self.text("/project/default_branch"));
        event.payload = self.payload.clone();
        event
    }

    fn push(&self) -> Meaning {
        let Some(reference) = self.text("/ref") else { return Meaning::Nothing };
        let message = self.text("/head_commit/message").or_else(|| self.message_of_tip());
        let actor = ["/sender/login", "/pusher/name", "/user_username"];
        let behind = || self.commit("/head_commit/id").or_else(|| self.commit("/checkout_sha"));
        let behind = if reference.starts_with("refs/tags/") { behind() } else { None };
        Meaning::Moved(Box::new(Hint {
            reference,
            after: self.commit("/after"),
            behind,
            forced: self.flag("/forced"),
            actor: actor.iter().find_map(|place| self.text(place)),
            message: message.and_then(|text| text.lines().next().map(str::to_owned)),
            paths: self.paths(),
            delivery: self.delivery.to_owned(),
            payload: self.payload.clone(),
        }))
    }

    /// The message of the commit that the ref points to now, in the list of those that came with it. Its order is each
    /// forge's own; behind a tag of GitLab's, it is what is checked out.
    fn message_of_tip(&self) -> Option<String> {
        let tips = ["/after", "/checkout_sha"].map(|place| self.text(place));
        let tips: Vec<&str> = tips.iter().flatten().map(String::as_str).collect();
        let commits = self.payload.get("commits")?.as_array()?;
        let is_tip = |commit: &&Value| commit.get("id").and_then(Value::as_str).is_some_and(|id| tips.contains(&id));
        Some(commits.iter().find(is_tip)?.get("message")?.as_str()?.to_owned())
    }

    /// Every path that a commit of the push names; none when commits or paths may be missing.
    fn paths(&self) -> Option<Vec<String>> {
        let commits = self.payload.get("commits")?.as_array()?;
        let whole = match self.number("/total_commits_count").or_else(|| self.number("/total_commits")) {
            Some(told) => usize::try_from(told).is_ok_and(|told| told == commits.len()),
            // GitHub lists at most so many, and once listed at most 20: as many as that may be the first ones of more.
            None => commits.len() < 2_048 && commits.len() != 20,
        };
        // A forced push lists what is new, not what is gone; who does not say whether it was one may mean one.
        let is_forward = self.payload.get("forced").and_then(Value::as_bool) == Some(false);
        if !whole || commits.is_empty() || !is_forward {
            return None;
        }
        let mut paths = Vec::new();
        for commit in commits {
            let before = paths.len();
            for list in ["added", "modified", "removed"] {
                paths.extend(commit.get(list)?.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            // GitHub leaves the lists of a commit empty that takes it too long to look at.
            if paths.len() == before {
                return None;
            }
        }
        paths.sort_unstable();
        paths.dedup();
        Some(paths)
    }

    fn pull_request(&self) -> Meaning {
        let (Some(action), Some(number)) = (self.text("/action"), self.number("/pull_request/number")) else {
            return Meaning::Nothing;
        };
        let mut event = self.event(Kind::PullRequest, "/sender/login");
        event.reference = Some(format!("refs/pull/{number}/head"));
        // Gitea says it in the past tense.
        let action = if action == "synchronized" { "synchronize".to_owned() } else { action };
        let (head_repo, base_repo) =
            (self.text("/pull_request/head/repo/full_name"), self.text("/pull_request/base/repo/full_name"));
        let labels = self.payload.pointer("/pull_request/labels").and_then(Value::as_array);
        let labels = labels.into_iter().flatten().filter_map(|label| label.get("name")?.as_str().map(str::to_owned));
        event.pull = Some(Pull {
            number,
            action,
            title: self.text("/pull_request/title").unwrap_or_default(),
            author: self.text("/pull_request/user/login"),
            head: self.commit("/pull_request/head/sha"),
            head_branch: self.text("/pull_request/head/ref"),
            // A deleted fork is a stranger's too, and so is what another repository than the payload's asks to be merged.
            fork: head_repo.is_none() || head_repo != base_repo || base_repo != self.text("/repository/full_name"),
            head_repo,
            base_branch: self.text("/pull_request/base/ref"),
            draft: self.flag("/pull_request/draft"),
            merged: self.flag("/pull_request/merged"),
            labels: labels.collect(),
            updated: self.text("/pull_request/updated_at"),
        });
        Meaning::Happened(Box::new(event))
    }

    /// A new comment of a person on an open pull request; edited and deleted ones never count.
    fn comment(&self) -> Meaning {
        let on_pull = self.payload.pointer("/issue/pull_request").is_some_and(|pull| !pull.is_null());
        let is_open = self.text("/issue/state").is_none_or(|state| state == "open");
        let by_bot = self.text("/comment/user/type").is_some_and(|kind| kind == "Bot");
        let number = self.number("/issue/number").filter(|_| on_pull || self.flag("/is_pull"));
        let (Some(number), Some(id)) = (number, self.number("/comment/id")) else { return Meaning::Nothing };
        if self.text("/action").as_deref() != Some("created") || !is_open || by_bot {
            return Meaning::Nothing;
        }
        let mut event = self.event(Kind::Comment, "/comment/user/login");
        event.reference = Some(format!("refs/pull/{number}/head"));
        event.pull = Some(Pull {
            number,
            title: self.text("/issue/title").unwrap_or_default(),
            author: self.text("/issue/user/login"),
            ..Pull::default()
        });
        let created = self.text("/comment/created_at").and_then(|text| time(&text));
        let body = self.text("/comment/body").unwrap_or_default();
        event.comment = Some(said(id, body, event.actor.clone(), created));
        Meaning::Happened(Box::new(event))
    }

    /// Somebody pressed the button that asks for a check once more.
    fn asked_again(&self) -> Meaning {
        if !matches!(self.text("/action").as_deref(), Some("rerequested" | "requested_action")) {
            return Meaning::Nothing;
        }
        let mut event = self.event(Kind::Manual, "/sender/login");
        event.after = self.commit("/check_run/head_sha").or_else(|| self.commit("/check_suite/head_sha"));
        let branch = ["/check_run/check_suite/head_branch", "/check_suite/head_branch"];
        event.reference = branch.iter().find_map(|place| self.text(place)).map(|branch| format!("refs/heads/{branch}"));
        match event.after {
            Some(_) => Meaning::Happened(Box::new(event)),
            None => Meaning::Nothing,
        }
    }

    fn status(&self) -> Meaning {
        let (Some(commit), Some(state)) = (self.commit("/sha"), self.text("/state")) else { return Meaning::Nothing };
        let mut event = self.event(Kind::CommitStatus, "/sender/login");
        event.after = Some(commit);
        event.status = Some(Status {
            id: self.number("/id").unwrap_or_default(),
            context: self.text("/context").unwrap_or_default(),
            state,
            target_url: self.text("/target_url"),
            description: self.text("/description"),
        });
        Meaning::Happened(Box::new(event))
    }

    /// GitLab's pull request.
    fn merge_request(&self) -> Meaning {
        let Some(number) = self.number("/object_attributes/iid") else { return Meaning::Nothing };
        let mut event = self.event(Kind::PullRequest, "/user/username");
        event.reference = Some(format!("refs/merge-requests/{number}/head"));
        let action = self.text("/object_attributes/action").unwrap_or_default();
        let pushed = self.payload.pointer("/object_attributes/oldrev").is_some();
        let action = match (action.as_str(), pushed) {
            ("open", _) => "opened".to_owned(),
            ("close" | "merge", _) => "closed".to_owned(),
            ("reopen", _) => "reopened".to_owned(),
            ("update", true) => "synchronize".to_owned(),
            ("update", false) => "edited".to_owned(),
            _ => action,
        };
        let (from, to) =
            (self.number("/object_attributes/source_project_id"), self.number("/object_attributes/target_project_id"));
        let labels = self.payload.get("labels").and_then(Value::as_array);
        let labels = labels.into_iter().flatten().filter_map(|label| label.get("title")?.as_str().map(str::to_owned));
        event.pull = Some(Pull {
            number,
            action,
            title: self.text("/object_attributes/title").unwrap_or_default(),
            author: None,
            head: self.commit("/object_attributes/last_commit/id"),
            head_branch: self.text("/object_attributes/source_branch"),
            head_repo: self.text("/object_attributes/source/path_with_namespace"),
            base_branch: self.text("/object_attributes/target_branch"),
            fork: from.is_none() || from != to,
            draft: self.flag("/object_attributes/draft") || self.flag("/object_attributes/work_in_progress"),
            merged: self.text("/object_attributes/state").as_deref() == Some("merged"),
            labels: labels.collect(),
            updated: self.text("/object_attributes/updated_at"),
        });
        Meaning::Happened(Box::new(event))
    }

    /// GitLab's comment.
    fn note(&self) -> Meaning {
        let (Some(number), Some(id)) = (self.number("/merge_request/iid"), self.number("/object_attributes/id")) else {
            return Meaning::Nothing;
        };
        let is_open = self.text("/merge_request/state").is_none_or(|state| state == "opened");
        let is_new = self.text("/object_attributes/action").is_none_or(|action| action == "create");
        let by_bot = self.text("/user/username").is_none_or(|login| gitlab::is_bot(&login));
        if !is_open || !is_new || by_bot || self.flag("/object_attributes/system") {
            return Meaning::Nothing;
        }
        let mut event = self.event(Kind::Comment, "/user/username");
        event.reference = Some(format!("refs/merge-requests/{number}/head"));
        // The last commit that it names is the head when it was sent; what it was when the comment was written is asked.
        let title = self.text("/merge_request/title").unwrap_or_default();
        event.pull = Some(Pull { number, title, ..Pull::default() });
        let created = self.text("/object_attributes/created_at").and_then(|text| time(&text));
        let body = self.text("/object_attributes/note").unwrap_or_default();
        event.comment = Some(said(id, body, event.actor.clone(), created));
        Meaning::Happened(Box::new(event))
    }
}

/// A comment, with the words of the command in it (`gha::Command`): a handler may have words of its own.
pub(in crate::server) fn said(id: u64, body: String, author: Option<String>, created: Option<Timestamp>) -> Comment {
    let mut words = Command::words(&body).map(|words| words.into_iter().map(str::to_owned).collect::<Vec<_>>());
    // Who says nothing but our name wants to know more.
    let command = words.as_mut().map(|words| if words.is_empty() { "help".to_owned() } else { words.remove(0) });
    let arguments = words.unwrap_or_default();
    Comment { id, body, author: author.unwrap_or_default(), created, command, arguments, ..Comment::default() }
}

/// A time as forges write it; GitLab once wrote `2026-11-28 12:00:00 UTC`.
fn time(text: &str) -> Option<Timestamp> {
    let old = || text.strip_suffix(" UTC").map(|bare| format!("{}Z", bare.replacen(' ', "T", 1)));
    text.parse().ok().or_else(|| old()?.parse().ok())
}

#[cfg(test)]
mod tests;

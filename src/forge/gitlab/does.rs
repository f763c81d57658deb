//! Each thing that there is to ask and to do, in GitLab's paths and words.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::rest::{cut, part};
use super::super::{
    Comment, CommitStatus, Comparison, Forge, ListedPull, Me, Permission, PullHead, PullRequest, Reaction, RepoId,
    Repository, StatusState, WorkflowRun, absent,
};
use super::{GitLab, merge_request, project, wire};
use crate::id::CommitSha;
use crate::web::Fault;

/// A description may have so many characters.
const DESCRIPTION: usize = 255;
/// Entries of a page; more are not given.
const PAGE: &str = "per_page=100";
/// The variable that tells a pipeline what it was started for.
const EVENT: &str = "SOOPERVISOR_EVENT";

#[async_trait]
impl Forge for GitLab {
    async fn me(&self) -> Result<Me, Fault> {
        Ok(Me::User(self.rest.get_json::<wire::User>("/user").await?.into()))
    }

    fn allowance(&self) -> Option<u64> {
        self.rest.reading.allowance()
    }

    async fn repository(&self, id: &RepoId) -> Result<Repository, Fault> {
        self.rest.get_json::<wire::Project>(&project(id)).await?.try_into()
    }

    async fn now(&self, id: &RepoId) -> Result<Timestamp, Fault> {
        self.rest.time(&project(id)).await
    }

    async fn pull(&self, id: &RepoId, number: u64) -> Result<PullRequest, Fault> {
        let found: wire::MergeRequest = self.rest.get_json(&merge_request(id, number)).await?;
        let head = found.sha.as_deref().ok_or_else(|| Fault::Form("a merge request without a commit".to_owned()))?;
        let head = wire::sha(head)?;
        let source = match found.source_project_id {
            Some(source) if source == found.target_project_id => Some(id.clone()),
            Some(source) => self.name_of(source).await?,
            None => None,
        };
        let path = format!("{}/repository/branches/{}", project(id), part(&found.target_branch));
        let base = match self.rest.get_json::<wire::Branch>(&path).await {
            Ok(branch) => branch.commit.id,
            // The branch is gone; what it was when the merge request was made is known.
            Err(Fault::NotFound) => found.diff_refs.and_then(|refs| refs.start_sha).ok_or(Fault::NotFound)?,
            Err(fault) => return Err(fault),
        };
        Ok(PullRequest {
            number: found.iid,
            open: found.state == "opened",
            head: PullHead { repo: source, branch: found.source_branch, commit: head },
            base: PullHead { repo: Some(id.clone()), branch: found.target_branch, commit: wire::sha(&base)? },
        })
    }

    async fn pulls_of(&self, id: &RepoId, commit: &CommitSha) -> Result<Vec<ListedPull>, Fault> {
        let path = format!("{}/repository/commits/{commit}/merge_requests?{PAGE}", project(id));
        let found = self.rest.counted_pages::<wire::MergeRequest>(&path).await?;
        Ok(found.into_iter().map(ListedPull::from).collect())
    }

    async fn commit(&self, id: &RepoId, revision: &str) -> Result<CommitSha, Fault> {
        let path = format!("{}/repository/commits/{}", project(id), part(revision));
        wire::sha(&self.rest.get_json::<wire::Commit>(&path).await?.id)
    }

    /// A version of a merge request is made when GitLab has seen a push, so it is never older than that.
    async fn heads(&self, id: &RepoId, pull: &PullRequest) -> Result<Vec<(CommitSha, Timestamp)>, Fault> {
        let path = format!("{}/versions?{PAGE}", merge_request(id, pull.number));
        let versions = self.rest.counted_pages::<wire::Version>(&path).await?;
        Ok(versions.into_iter().filter_map(wire::Version::head).collect())
    }

    async fn permission(&self, id: &RepoId, user: &str) -> Result<Permission, Fault> {
        let users: Vec<wire::User> = self.rest.get_json(&format!("/users?username={}", part(user))).await?;
        let Some(user) = users.into_iter().find(|found| found.username.eq_ignore_ascii_case(user)) else {
            return Ok(Permission::None);
        };
        // `all`: also who is a member of a group above, or was invited with one.
        match self.rest.get_json::<wire::Member>(&format!("{}/members/all/{}", project(id), user.id)).await {
            Err(Fault::NotFound) => Ok(Permission::None),
            member => Ok(member?.into()),
        }
    }

    async fn comments(&self, id: &RepoId, number: u64) -> Result<Vec<Comment>, Fault> {
        let path = format!("{}/notes?sort=asc&order_by=created_at&{PAGE}", merge_request(id, number));
        let notes = self.rest.counted_pages::<wire::Note>(&path).await?;
        let of_people = notes.into_iter().filter(|note| !note.system);
        Ok(of_people.map(|note| self.comment(id, number, note)).collect())
    }

    /// GitLab lists a project's notes only among its events, by day; one that was changed is where it was written.
    async fn comments_since(&self, id: &RepoId, since: Timestamp) -> Result<Vec<Comment>, Fault> {
        // What is asked for is after that day.
        let day = since.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(since).strftime("%Y-%m-%d");
        let path = format!("{}/events?action=commented&after={day}&sort=asc&{PAGE}", project(id));
        let events = self.rest.counted_pages::<wire::Event>(&path).await?;
        let notes = events.into_iter().filter_map(|event| event.note).filter(|note| !note.system);
        let on_merge_requests = notes.filter(|note| note.noteable_type.as_deref() == Some("MergeRequest"));
        let comments = on_merge_requests.filter_map(|note| Some(self.comment(id, note.noteable_iid?, note)));
        let mut found: Vec<Comment> = comments.filter(|comment| comment.updated >= since).collect();
        found.sort_by_key(|comment| comment.updated);
        Ok(found)
    }

    async fn add_comment(&self, id: &RepoId, number: u64, body: &str) -> Result<Comment, Fault> {
        let path = format!("{}/notes", merge_request(id, number));
        let answer = self.rest.change(Method::POST, &path, &json!({ "body": quiet(body) }), true).await?;
        Ok(self.comment(id, number, answer.json()?))
    }

    async fn edit_comment(&self, id: &RepoId, number: u64, comment: u64, body: &str) -> Result<Comment, Fault> {
        let path = format!("{}/notes/{comment}", merge_request(id, number));
        let answer = self.rest.change(Method::PUT, &path, &json!({ "body": quiet(body) }), false).await?;
        Ok(self.comment(id, number, answer.json()?))
    }

    async fn react(&self, id: &RepoId, number: u64, comment: u64, reaction: Reaction) -> Result<(), Fault> {
        let name = match reaction {
            Reaction::Eyes => "eyes",
            Reaction::Rocket => "rocket",
            Reaction::PlusOne => "thumbsup",
            Reaction::MinusOne => "thumbsdown",
            Reaction::Confused => "confused",
        };
        let path = format!("{}/notes/{comment}/award_emoji", merge_request(id, number));
        match self.rest.change(Method::POST, &path, &json!({ "name": name }), false).await {
            Err(Fault::Exists) => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn set_status(&self, id: &RepoId, commit: &CommitSha, status: &CommitStatus) -> Result<(), Fault> {
        let state = match status.state {
            StatusState::Pending => "pending",
            StatusState::Success => "success",
            StatusState::Failure | StatusState::Error => "failed",
        };
        let mut body = json!({
            "state": state, "name": status.context, "description": cut(&status.description, DESCRIPTION),
        });
        if let Some(url) = &status.target_url {
            body["target_url"] = json!(url);
        }
        match self.rest.tell(Method::POST, &format!("{}/statuses/{commit}", project(id)), &body, false).await {
            // From a state into the same one: it is there already.
            Err(Fault::Refused { status: 400, words }) if words.contains("Cannot transition status") => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn add_labels(&self, id: &RepoId, number: u64, labels: &[String]) -> Result<(), Fault> {
        self.label(id, number, "add_labels", labels).await
    }

    async fn remove_labels(&self, id: &RepoId, number: u64, labels: &[String]) -> Result<(), Fault> {
        self.label(id, number, "remove_labels", labels).await
    }

    async fn dispatch_workflow(
        &self,
        _: &RepoId,
        _: &str,
        _: &str,
        _: &BTreeMap<String, String>,
    ) -> Result<Option<u64>, Fault> {
        Err(absent("workflows that are started by their file; `event_type` starts a pipeline"))
    }

    /// Starts a pipeline, by a trigger token or as the account: the kind of event and the payload's members are its variables.
    async fn dispatch_event(
        &self,
        id: &RepoId,
        kind: &str,
        reference: Option<&str>,
        payload: &Value,
    ) -> Result<Option<u64>, Fault> {
        let reference = match reference {
            Some(reference) => reference.to_owned(),
            None => self.repository(id).await?.default_branch,
        };
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let members = payload.as_object().into_iter().flatten();
        let members = members.map(|(name, value)| (name.clone(), text(value)));
        let variables = std::iter::once((EVENT.to_owned(), kind.to_owned())).chain(members);
        let answer = if let Some(trigger) = &self.trigger {
            let token = String::from_utf8_lossy(trigger.expose().trim_ascii()).into_owned();
            let variables: BTreeMap<String, String> = variables.collect();
            let body = json!({ "token": token, "ref": reference, "variables": variables });
            self.rest.make_by_body(&format!("{}/trigger/pipeline", project(id)), &body).await?
        } else {
            let pair = |(name, value): (String, String)| json!({ "key": name, "value": value });
            let body = json!({ "ref": reference, "variables": variables.map(pair).collect::<Vec<Value>>() });
            self.rest.change(Method::POST, &format!("{}/pipeline", project(id)), &body, true).await?
        };
        Ok(Some(answer.json::<wire::Pipeline>()?.id))
    }

    /// Pipelines that were started in the way in which we do, whatever event they were started for.
    async fn workflow_runs(&self, id: &RepoId, _: &str) -> Result<Vec<WorkflowRun>, Fault> {
        let source = if self.trigger.is_some() { "trigger" } else { "api" };
        let path = format!("{}/pipelines?source={source}&order_by=id&sort=desc&{PAGE}", project(id));
        let mut found: Vec<wire::Pipeline> = self.rest.get_json(&path).await?;
        found.sort_by_key(|pipeline| std::cmp::Reverse(pipeline.id));
        Ok(found.into_iter().map(WorkflowRun::from).collect())
    }

    async fn workflow_run(&self, id: &RepoId, run: u64) -> Result<WorkflowRun, Fault> {
        Ok(self.rest.get_json::<wire::Pipeline>(&format!("{}/pipelines/{run}", project(id))).await?.into())
    }

    async fn cancel_run(&self, id: &RepoId, run: u64) -> Result<(), Fault> {
        let path = format!("{}/pipelines/{run}/cancel", project(id));
        self.rest.change(Method::POST, &path, &json!({}), false).await.map(drop)
    }

    async fn contents(&self, id: &RepoId, path: &str, reference: &str) -> Result<Option<Vec<u8>>, Fault> {
        let at = format!("{}/repository/files/{}/raw?ref={}", project(id), part(path), part(reference));
        match self.rest.get(&at).await {
            Err(Fault::NotFound) => Ok(None),
            answer => Ok(Some(answer?.body.to_vec())),
        }
    }

    async fn compare(&self, id: &RepoId, base: &str, head: &str) -> Result<Comparison, Fault> {
        let at = format!("{}/repository", project(id));
        let (from, to) = (part(base), part(head));
        let ahead: wire::Compared = self.rest.get_json(&format!("{at}/compare?from={from}&to={to}")).await?;
        let behind: wire::Compared = self.rest.get_json(&format!("{at}/compare?from={to}&to={from}")).await?;
        let count = |compared: &wire::Compared| compared.commits.len() as u64;
        Ok(Comparison { ahead: count(&ahead), behind: count(&behind) })
    }
}

impl GitLab {
    /// A project's path, by its number; `None` where it is gone, or hidden from us.
    async fn name_of(&self, project: u64) -> Result<Option<RepoId>, Fault> {
        match self.rest.get_json::<wire::Project>(&format!("/projects/{project}")).await {
            Err(Fault::NotFound) => Ok(None),
            found => wire::name(&found?.path_with_namespace).map(Some),
        }
    }

    fn comment(&self, id: &RepoId, number: u64, note: wire::Note) -> Comment {
        let url = self.note_url(id, number, note.id);
        note.comment(number, url)
    }

    async fn label(&self, id: &RepoId, number: u64, how: &str, labels: &[String]) -> Result<(), Fault> {
        if let Some(label) = labels.iter().find(|label| label.contains(',')) {
            return Err(Fault::Setting(format!("a label of GitLab's has no comma: `{label}`")));
        }
        let body = json!({ how: labels.join(",") });
        self.rest.change(Method::PUT, &merge_request(id, number), &body, false).await.map(drop)
    }
}

/// A note's lines that begin with `/merge`, `/close` and their like are commands to GitLab, done as whoever wrote the note;
/// what we write is only read. A space of no width parts the slash from the line's beginning.
fn quiet(body: &str) -> String {
    let commands = |line: &str| {
        let word = line.trim_start().strip_prefix('/').unwrap_or_default();
        let end = word.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(word.len());
        end > 0 && (end == word.len() || word[end..].starts_with(char::is_whitespace))
    };
    // A line ends with `\n`, `\r` or both.
    let lines = body.split_inclusive(['\n', '\r']);
    lines.map(|line| if commands(line) { format!("\u{200b}{line}") } else { line.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::quiet;

    #[test]
    fn a_note_gives_gitlab_no_commands() {
        let note = "/merge\nfine\n  /label ~bug\r\n/usr/bin/env\n/ alone\n/approve\r/close\rfine";
        let written = quiet(note);
        assert_eq!(written.replace('\u{200b}', ""), note);
        assert!(
            written.lines().all(|line| !line.trim_start().starts_with("/m") && !line.trim_start().starts_with("/l"))
        );
        assert!(written.contains("\n/usr/bin/env\n") && written.contains("\n\u{200b}/approve\r\u{200b}/close\rfine"));
    }
}

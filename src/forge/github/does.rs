//! Each thing that there is to ask and to do, in GitHub's paths and words.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::hub;
use super::super::rest::{cut, next_of, part, parts, words};
use super::super::{
    Artifact, CheckConclusion, CheckRun, CheckState, Comment, CommitStatus, Comparison, Forge, KnownCheck, ListedPull,
    Me, NewArtifacts, NewComments, Permission, PullRequest, Push, Reacted, Reaction, RepoId, Repository, WorkflowRun,
};
use super::{GitHub, accepting, dressed, repo, wire};
use crate::id::CommitSha;
use crate::secret::Secret;
use crate::web::{Answer, Bearer as _, Fault};

/// A description may have so many characters.
const DESCRIPTION: usize = 140;
/// A check's summary may have so many.
const SUMMARY: usize = 65_535;

#[async_trait]
impl Forge for GitHub {
    async fn me(&self) -> Result<Me, Fault> {
        self.who().await
    }

    async fn minted(&self) -> Result<Option<Secret>, Fault> {
        match &self.installation {
            Some(installation) => installation.token().await.map(Some),
            None => Ok(None),
        }
    }

    fn allowance(&self) -> Option<u64> {
        self.rest.reading.allowance()
    }

    async fn repository(&self, id: &RepoId) -> Result<Repository, Fault> {
        self.rest.get_json::<wire::Repo>(&repo(id)).await?.try_into()
    }

    async fn now(&self, id: &RepoId) -> Result<Timestamp, Fault> {
        self.rest.time(&repo(id)).await
    }

    async fn pull(&self, id: &RepoId, number: u64) -> Result<PullRequest, Fault> {
        self.rest.get_json::<wire::Pull>(&format!("{}/pulls/{number}", repo(id))).await?.try_into()
    }

    async fn pulls_of(&self, id: &RepoId, commit: &CommitSha) -> Result<Vec<ListedPull>, Fault> {
        let path = format!("{}/commits/{commit}/pulls?per_page=100", repo(id));
        let take = |answer: &Answer| -> Result<Vec<ListedPull>, Fault> {
            answer.json::<Vec<wire::Pull>>()?.into_iter().map(wire::Pull::listed).collect()
        };
        match self.rest.pages(&path, take).await {
            Err(Fault::Refused { status: 422, .. }) => Err(Fault::NotFound),
            found => found,
        }
    }

    async fn commit(&self, id: &RepoId, revision: &str) -> Result<CommitSha, Fault> {
        let path = format!("{}/commits/{}", repo(id), parts(revision));
        // What is no commit of this repository is refused, not missing.
        match self.rest.get_json::<wire::Committed>(&path).await {
            Err(Fault::Refused { status: 422, .. }) => Err(Fault::NotFound),
            found => wire::sha(&found?.sha),
        }
    }

    async fn pushes(&self, id: &RepoId, reference: &str) -> Result<Vec<Push>, Fault> {
        let path = format!("{}/activity?ref={}&per_page=100", repo(id), part(reference));
        words::<wire::Activity, Push>(&self.rest.get(&path).await?)
    }

    async fn heads(&self, _: &RepoId, pull: &PullRequest) -> Result<Vec<(CommitSha, Timestamp)>, Fault> {
        let Some(repo) = &pull.head.repo else { return Ok(Vec::new()) };
        let pushes = self.pushes(repo, &format!("refs/heads/{}", pull.head.branch)).await?;
        // The branch is gone, and is there: what came since is not told yet.
        if pushes.first().is_some_and(|last| last.after.is_none()) {
            return Ok(Vec::new());
        }
        Ok(pushes.into_iter().filter_map(|push| Some((push.after?, push.at))).collect())
    }

    async fn permission(&self, id: &RepoId, user: &str) -> Result<Permission, Fault> {
        let path = format!("{}/collaborators/{}/permission", repo(id), part(user));
        match self.rest.get_json::<wire::Allowed>(&path).await {
            Err(Fault::NotFound) => Ok(Permission::None),
            allowed => Ok(allowed?.into()),
        }
    }

    async fn comments(&self, id: &RepoId, number: u64) -> Result<Vec<Comment>, Fault> {
        self.rest.pages(&format!("{}/issues/{number}/comments?per_page=100", repo(id)), words::<wire::Written, _>).await
    }

    async fn comments_since(&self, id: &RepoId, since: Timestamp) -> Result<Vec<Comment>, Fault> {
        self.rest.pages(&since_then(id, since), words::<wire::Written, _>).await
    }

    async fn new_comments(
        &self,
        id: &RepoId,
        since: Timestamp,
        tag: Option<&str>,
    ) -> Result<Option<NewComments>, Fault> {
        let Some(answer) = self.rest.get_unless(&since_then(id, since), tag).await? else { return Ok(None) };
        let tag = answer.header("etag").map(str::to_owned);
        let comments = match answer.header("link").and_then(next_of) {
            // The tag is that of the first page, which is the same while only later ones change.
            Some(_) => return Ok(Some(NewComments { comments: self.comments_since(id, since).await?, tag: None })),
            None => words::<wire::Written, _>(&answer)?,
        };
        Ok(Some(NewComments { comments, tag }))
    }

    async fn add_comment(&self, id: &RepoId, number: u64, body: &str) -> Result<Comment, Fault> {
        let written = hub::add_comment(&self.rest, &repo(id), number, body).await?;
        self.learn(&written.author);
        Ok(written)
    }

    async fn edit_comment(&self, id: &RepoId, _: u64, comment: u64, body: &str) -> Result<Comment, Fault> {
        hub::edit_comment(&self.rest, &repo(id), comment, body).await
    }

    async fn react(&self, id: &RepoId, _: u64, comment: u64, reaction: Reaction) -> Result<(), Fault> {
        hub::react(&self.rest, &repo(id), comment, reaction).await
    }

    async fn put_reaction(&self, id: &RepoId, _: u64, comment: u64, reaction: Reaction) -> Result<Reacted, Fault> {
        let put: Reacted =
            hub::put_reaction(&self.rest, &repo(id), comment, reaction).await?.json::<wire::Faced>()?.into();
        self.learn(&put.author);
        Ok(put)
    }

    async fn reactions(&self, id: &RepoId, _: u64, comment: u64) -> Result<Vec<Reacted>, Fault> {
        let path = format!("{}/issues/comments/{comment}/reactions?per_page=100", repo(id));
        self.rest.pages(&path, words::<wire::Faced, _>).await
    }

    async fn set_status(&self, id: &RepoId, commit: &CommitSha, status: &CommitStatus) -> Result<(), Fault> {
        hub::set_status(&self.rest, &repo(id), commit, status, DESCRIPTION).await
    }

    async fn create_check(&self, id: &RepoId, commit: &CommitSha, check: &CheckRun) -> Result<u64, Fault> {
        let mut body = check_body(check);
        body["head_sha"] = json!(commit.as_str());
        let answer = self.rest.tell(Method::POST, &format!("{}/check-runs", repo(id)), &body, true).await?;
        Ok(answer.json::<wire::Numbered>()?.id)
    }

    async fn update_check(&self, id: &RepoId, number: u64, check: &CheckRun) -> Result<(), Fault> {
        let path = format!("{}/check-runs/{number}", repo(id));
        self.rest.tell(Method::PATCH, &path, &check_body(check), false).await.map(drop)
    }

    async fn checks(&self, id: &RepoId, commit: &CommitSha, name: &str) -> Result<Vec<KnownCheck>, Fault> {
        let path = format!("{}/commits/{commit}/check-runs?check_name={}&per_page=100", repo(id), part(name));
        let take = |answer: &Answer| Ok(answer.json::<wire::Checks>()?.check_runs);
        let mut found = self.rest.pages(&path, take).await?;
        found.sort_by_key(|check| std::cmp::Reverse(check.id));
        Ok(found.into_iter().map(KnownCheck::from).collect())
    }

    async fn add_labels(&self, id: &RepoId, number: u64, labels: &[String]) -> Result<(), Fault> {
        let path = format!("{}/issues/{number}/labels", repo(id));
        self.rest.change(Method::POST, &path, &json!({ "labels": labels }), false).await.map(drop)
    }

    async fn remove_labels(&self, id: &RepoId, number: u64, labels: &[String]) -> Result<(), Fault> {
        for label in labels {
            self.rest.remove(&format!("{}/issues/{number}/labels/{}", repo(id), part(label))).await?;
        }
        Ok(())
    }

    async fn dispatch_workflow(
        &self,
        id: &RepoId,
        workflow: &str,
        reference: &str,
        inputs: &BTreeMap<String, String>,
    ) -> Result<Option<u64>, Fault> {
        let path = format!("{}/actions/workflows/{}/dispatches", repo(id), part(workflow));
        let mut body = json!({ "ref": reference, "inputs": inputs, "return_run_details": true });
        let answer = match self.rest.change(Method::POST, &path, &body, true).await {
            // A server that is older than this member.
            Err(Fault::Refused { status: 422, words }) if words.contains("return_run_details") => {
                body.as_object_mut().map(|body| body.shift_remove("return_run_details"));
                self.rest.change(Method::POST, &path, &body, true).await?
            }
            answer => answer?,
        };
        Ok(answer.json::<wire::Dispatched>().ok().map(|made| made.workflow_run_id))
    }

    async fn dispatch_event(
        &self,
        id: &RepoId,
        kind: &str,
        _: Option<&str>,
        payload: &Value,
    ) -> Result<Option<u64>, Fault> {
        let body = json!({ "event_type": kind, "client_payload": payload });
        self.rest.change(Method::POST, &format!("{}/dispatches", repo(id)), &body, true).await.map(|_| None)
    }

    async fn workflow_runs(&self, id: &RepoId, event: &str) -> Result<Vec<WorkflowRun>, Fault> {
        let path = format!("{}/actions/runs?event={}&per_page=100", repo(id), part(event));
        let mut found = self.rest.get_json::<wire::WorkflowRuns>(&path).await?.workflow_runs;
        found.sort_by_key(|run| std::cmp::Reverse(run.id));
        Ok(found.into_iter().map(WorkflowRun::from).collect())
    }

    async fn workflow_run(&self, id: &RepoId, run: u64) -> Result<WorkflowRun, Fault> {
        Ok(self.rest.get_json::<wire::WorkflowRun>(&format!("{}/actions/runs/{run}", repo(id))).await?.into())
    }

    /// In which order GitHub lists them it does not say. Newest first, as it does: then pages end where all are older. Else
    /// there is no such end.
    async fn new_artifacts(
        &self,
        id: &RepoId,
        since: Timestamp,
        tag: Option<&str>,
    ) -> Result<Option<NewArtifacts>, Fault> {
        let path = format!("{}/actions/artifacts?per_page=100", repo(id));
        let Some(first) = self.rest.get_unless(&path, tag).await? else { return Ok(None) };
        // It counts them all, so that whatever appears changes the first page.
        let tag = first.header("etag").map(str::to_owned);
        let (mut last, mut in_order) = (None, true);
        let take = |answer: &Answer| -> Result<(Vec<Artifact>, bool), Fault> {
            let page = answer.json::<wire::Artifacts>()?.artifacts;
            for created in page.iter().filter_map(|artifact| artifact.created_at) {
                in_order &= last.is_none_or(|last| created <= last);
                last = Some(created);
            }
            let newer = last.is_some_and(|last| last >= since);
            Ok((page.into_iter().filter_map(wire::Artifact::told).collect(), newer || !in_order))
        };
        let artifacts = self.rest.pages_while(first, take).await?;
        Ok(Some(NewArtifacts { artifacts, tag }))
    }

    async fn cancel_run(&self, id: &RepoId, run: u64) -> Result<(), Fault> {
        let url = self.rest.at(&format!("{}/actions/runs/{run}/cancel", repo(id)));
        match self.rest.writing.send(|client| dressed(client.post(&url))).await {
            // It is over already.
            Err(Fault::Refused { status: 409, .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn contents(&self, id: &RepoId, path: &str, reference: &str) -> Result<Option<Vec<u8>>, Fault> {
        let url = self.rest.at(&format!("{}/contents/{}?ref={}", repo(id), parts(path), part(reference)));
        let raw = "application/vnd.github.raw+json";
        match self.rest.reading.send(|client| accepting(client.get(&url), raw)).await {
            Err(Fault::NotFound) => Ok(None),
            answer => Ok(Some(answer?.body.to_vec())),
        }
    }

    async fn compare(&self, id: &RepoId, base: &str, head: &str) -> Result<Comparison, Fault> {
        let path = format!("{}/compare/{}...{}", repo(id), parts(base), parts(head));
        Ok(self.rest.get_json::<wire::Compared>(&path).await?.into())
    }
}

/// Comments that changed since, oldest change first.
fn since_then(id: &RepoId, since: Timestamp) -> String {
    let since = part(&since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    format!("{}/issues/comments?sort=updated&direction=asc&since={since}&per_page=100", repo(id))
}

fn check_body(check: &CheckRun) -> Value {
    let mut body = json!({
        "name": check.name,
        "output": { "title": cut(&check.title, DESCRIPTION), "summary": cut(&check.summary, SUMMARY) },
    });
    match check.state {
        CheckState::Queued => body["status"] = json!("queued"),
        CheckState::InProgress => body["status"] = json!("in_progress"),
        CheckState::Completed(conclusion) => {
            body["status"] = json!("completed");
            body["conclusion"] = json!(match conclusion {
                CheckConclusion::Success => "success",
                CheckConclusion::Failure => "failure",
                CheckConclusion::Cancelled => "cancelled",
                CheckConclusion::TimedOut => "timed_out",
                CheckConclusion::Neutral => "neutral",
                CheckConclusion::Skipped => "skipped",
                CheckConclusion::ActionRequired => "action_required",
            });
        }
    }
    if let Some(url) = &check.details_url {
        body["details_url"] = json!(url);
    }
    body
}

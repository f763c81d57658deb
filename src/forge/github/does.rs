//! Each thing that there is to ask and to do, in GitHub's paths and words.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use http::Method;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::{
    Artifact, CheckConclusion, CheckRun, CheckState, Comment, CommitStatus, Comparison, Downloaded, Forge, KnownCheck,
    Me, Permission, PullRequest, Push, Rate, Reaction, RepoId, Repository, StatusState, WorkflowRun,
};
use super::{GitHub, accepting, dressed, part, parts, repo, wire};
use crate::id::CommitSha;
use crate::web::{Answer, Fault};

/// A description may have so many characters.
const DESCRIPTION: usize = 140;
/// A check's summary may have so many.
const SUMMARY: usize = 65_535;

#[async_trait]
impl Forge for GitHub {
    async fn me(&self) -> Result<Me, Fault> {
        self.who().await
    }

    async fn repository(&self, id: &RepoId) -> Result<Repository, Fault> {
        self.get_json::<wire::Repo>(&repo(id)).await?.try_into()
    }

    async fn pull(&self, id: &RepoId, number: u64) -> Result<PullRequest, Fault> {
        self.get_json::<wire::Pull>(&format!("{}/pulls/{number}", repo(id))).await?.try_into()
    }

    async fn commit(&self, id: &RepoId, revision: &str) -> Result<CommitSha, Fault> {
        let path = format!("{}/commits/{}", repo(id), parts(revision));
        // What is no commit of this repository is refused, not missing.
        match self.get_json::<wire::Committed>(&path).await {
            Err(Fault::Refused { status: 422, .. }) => Err(Fault::NotFound),
            found => wire::sha(&found?.sha),
        }
    }

    async fn pushes(&self, id: &RepoId, reference: &str) -> Result<Vec<Push>, Fault> {
        let path = format!("{}/activity?ref={}&per_page=100", repo(id), part(reference));
        words::<wire::Activity, Push>(&self.get(&path).await?)
    }

    async fn permission(&self, id: &RepoId, user: &str) -> Result<Permission, Fault> {
        let path = format!("{}/collaborators/{}/permission", repo(id), part(user));
        match self.get_json::<wire::Allowed>(&path).await {
            Err(Fault::NotFound) => Ok(Permission::None),
            allowed => Ok(allowed?.into()),
        }
    }

    async fn comments(&self, id: &RepoId, number: u64) -> Result<Vec<Comment>, Fault> {
        self.pages(&format!("{}/issues/{number}/comments?per_page=100", repo(id)), words::<wire::Written, _>).await
    }

    async fn comments_since(&self, id: &RepoId, since: Timestamp) -> Result<Vec<Comment>, Fault> {
        let since = part(&since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let path = format!("{}/issues/comments?sort=updated&direction=asc&since={since}&per_page=100", repo(id));
        self.pages(&path, words::<wire::Written, _>).await
    }

    async fn add_comment(&self, id: &RepoId, number: u64, body: &str) -> Result<Comment, Fault> {
        let path = format!("{}/issues/{number}/comments", repo(id));
        let answer = self.change(Method::POST, &path, &json!({ "body": body }), true).await?;
        Ok(answer.json::<wire::Written>()?.into())
    }

    async fn edit_comment(&self, id: &RepoId, comment: u64, body: &str) -> Result<Comment, Fault> {
        let path = format!("{}/issues/comments/{comment}", repo(id));
        let answer = self.change(Method::PATCH, &path, &json!({ "body": body }), false).await?;
        Ok(answer.json::<wire::Written>()?.into())
    }

    async fn react(&self, id: &RepoId, comment: u64, reaction: Reaction) -> Result<(), Fault> {
        let content = match reaction {
            Reaction::Eyes => "eyes",
            Reaction::Rocket => "rocket",
            Reaction::PlusOne => "+1",
            Reaction::MinusOne => "-1",
            Reaction::Confused => "confused",
        };
        let path = format!("{}/issues/comments/{comment}/reactions", repo(id));
        self.change(Method::POST, &path, &json!({ "content": content }), false).await.map(drop)
    }

    async fn set_status(&self, id: &RepoId, commit: &CommitSha, status: &CommitStatus) -> Result<(), Fault> {
        let state = match status.state {
            StatusState::Pending => "pending",
            StatusState::Success => "success",
            StatusState::Failure => "failure",
            StatusState::Error => "error",
        };
        let mut body = json!({
            "state": state, "context": status.context, "description": cut(&status.description, DESCRIPTION),
        });
        if let Some(url) = &status.target_url {
            body["target_url"] = json!(url);
        }
        self.change(Method::POST, &format!("{}/statuses/{commit}", repo(id)), &body, false).await.map(drop)
    }

    async fn create_check(&self, id: &RepoId, commit: &CommitSha, check: &CheckRun) -> Result<u64, Fault> {
        let mut body = check_body(check);
        body["head_sha"] = json!(commit.as_str());
        let answer = self.change(Method::POST, &format!("{}/check-runs", repo(id)), &body, true).await?;
        Ok(answer.json::<wire::Numbered>()?.id)
    }

    async fn update_check(&self, id: &RepoId, number: u64, check: &CheckRun) -> Result<(), Fault> {
        let path = format!("{}/check-runs/{number}", repo(id));
        self.change(Method::PATCH, &path, &check_body(check), false).await.map(drop)
    }

    async fn checks(&self, id: &RepoId, commit: &CommitSha, name: &str) -> Result<Vec<KnownCheck>, Fault> {
        let path = format!("{}/commits/{commit}/check-runs?check_name={}&per_page=100", repo(id), part(name));
        let take = |answer: &Answer| Ok(answer.json::<wire::Checks>()?.check_runs);
        let mut found = self.pages(&path, take).await?;
        found.sort_by_key(|check| std::cmp::Reverse(check.id));
        Ok(found.into_iter().map(KnownCheck::from).collect())
    }

    async fn add_labels(&self, id: &RepoId, number: u64, labels: &[String]) -> Result<(), Fault> {
        let path = format!("{}/issues/{number}/labels", repo(id));
        self.change(Method::POST, &path, &json!({ "labels": labels }), false).await.map(drop)
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
        let answer = match self.change(Method::POST, &path, &body, true).await {
            // A server that is older than this member.
            Err(Fault::Refused { status: 422, words }) if words.contains("return_run_details") => {
                body.as_object_mut().map(|body| body.shift_remove("return_run_details"));
                self.change(Method::POST, &path, &body, true).await?
            }
            answer => answer?,
        };
        Ok(answer.json::<wire::Dispatched>().ok().map(|made| made.workflow_run_id))
    }

    async fn dispatch_event(&self, id: &RepoId, kind: &str, payload: &Value) -> Result<(), Fault> {
        let body = json!({ "event_type": kind, "client_payload": payload });
        self.change(Method::POST, &format!("{}/dispatches", repo(id)), &body, true).await.map(drop)
    }

    async fn workflow_runs(&self, id: &RepoId, event: &str) -> Result<Vec<WorkflowRun>, Fault> {
        let path = format!("{}/actions/runs?event={}&per_page=100", repo(id), part(event));
        let mut found = self.get_json::<wire::WorkflowRuns>(&path).await?.workflow_runs;
        found.sort_by_key(|run| std::cmp::Reverse(run.id));
        Ok(found.into_iter().map(WorkflowRun::from).collect())
    }

    async fn workflow_run(&self, id: &RepoId, run: u64) -> Result<WorkflowRun, Fault> {
        Ok(self.get_json::<wire::WorkflowRun>(&format!("{}/actions/runs/{run}", repo(id))).await?.into())
    }

    async fn cancel_run(&self, id: &RepoId, run: u64) -> Result<(), Fault> {
        let url = self.at(&format!("{}/actions/runs/{run}/cancel", repo(id)));
        match self.writing.send(|client| dressed(client.post(&url))).await {
            // It is over already.
            Err(Fault::Refused { status: 409, .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn artifacts(&self, id: &RepoId, run: Option<u64>) -> Result<Vec<Artifact>, Fault> {
        let of = run.map(|run| format!("runs/{run}/")).unwrap_or_default();
        let path = format!("{}/actions/{of}artifacts?per_page=100", repo(id));
        let take =
            |answer: &Answer| Ok(answer.json::<wire::Artifacts>()?.artifacts.into_iter().map(Artifact::from).collect());
        self.pages(&path, take).await
    }

    async fn download(&self, id: &RepoId, artifact: &Artifact, to: &Path, most: u64) -> Result<Downloaded, Fault> {
        self.fetch(id, artifact, to, most).await
    }

    async fn contents(&self, id: &RepoId, path: &str, reference: &str) -> Result<Option<Vec<u8>>, Fault> {
        let url = self.at(&format!("{}/contents/{}?ref={}", repo(id), parts(path), part(reference)));
        let raw = "application/vnd.github.raw+json";
        match self.reading.send(|client| accepting(client.get(&url), raw)).await {
            Err(Fault::NotFound) => Ok(None),
            answer => Ok(Some(answer?.body.to_vec())),
        }
    }

    async fn compare(&self, id: &RepoId, base: &str, head: &str) -> Result<Comparison, Fault> {
        let path = format!("{}/compare/{}...{}", repo(id), parts(base), parts(head));
        self.get_json::<wire::Compared>(&path).await?.try_into()
    }

    async fn rate(&self) -> Result<Rate, Fault> {
        Ok(self.get_json::<wire::Limits>("/rate_limit").await?.into())
    }
}

/// A list of GitHub's in our words.
fn words<W: DeserializeOwned, T: From<W>>(answer: &Answer) -> Result<Vec<T>, Fault> {
    Ok(answer.json::<Vec<W>>()?.into_iter().map(T::from).collect())
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

/// At most so many characters, the last of them `…` where some are missing.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

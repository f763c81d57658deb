//! Each thing that there is to ask and to do, in Gitea's paths and words.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::github::wire as github;
use super::super::hub;
use super::super::rest::{part, parts, words};
use super::super::{
    Comment, CommitStatus, Comparison, Forge, ListedPull, Me, Permission, PullRequest, Reaction, RepoId, Repository,
    WorkflowRun, absent,
};
use super::{Gitea, repo, wire};
use crate::id::CommitSha;
use crate::web::Fault;

/// A description may have so many characters.
const DESCRIPTION: usize = 255;
/// Entries of a page; servers give no more unless they are told to.
const PAGE: &str = "limit=50";
/// Of labels that we make.
const COLOUR: &str = "#ededed";

#[async_trait]
impl Forge for Gitea {
    async fn me(&self) -> Result<Me, Fault> {
        Ok(Me::User(self.rest.get_json::<github::User>("/user").await?.into()))
    }

    fn allowance(&self) -> Option<u64> {
        self.rest.reading.allowance()
    }

    async fn repository(&self, id: &RepoId) -> Result<Repository, Fault> {
        self.rest.get_json::<github::Repo>(&repo(id)).await?.try_into()
    }

    async fn now(&self, id: &RepoId) -> Result<Timestamp, Fault> {
        self.rest.time(&repo(id)).await
    }

    async fn pull(&self, id: &RepoId, number: u64) -> Result<PullRequest, Fault> {
        self.rest.get_json::<github::Pull>(&format!("{}/pulls/{number}", repo(id))).await?.try_into()
    }

    /// By a commit, a server tells only of the pull request that it merged.
    async fn pulls_of(&self, id: &RepoId, _: &CommitSha) -> Result<Vec<ListedPull>, Fault> {
        let path = format!("{}/pulls?state=open&{PAGE}", repo(id));
        let found = self.rest.counted_pages::<github::Pull>(&path).await?;
        found.into_iter().map(github::Pull::listed).collect()
    }

    async fn commit(&self, id: &RepoId, revision: &str) -> Result<CommitSha, Fault> {
        let path = format!("{}/git/commits/{}", repo(id), part(revision));
        match self.rest.get_json::<github::Committed>(&path).await {
            Err(Fault::Refused { status: 422, .. }) => Err(Fault::NotFound),
            found => github::sha(&found?.sha),
        }
    }

    /// The history of the pull request has each push to it, that of the branch the one before it was opened. Both are
    /// written after the push, so neither is older than that. Comments on code are no entries, but have a place in pages.
    async fn heads(&self, id: &RepoId, pull: &PullRequest) -> Result<Vec<(CommitSha, Timestamp)>, Fault> {
        let path = format!("{}/issues/{}/timeline?{PAGE}", repo(id), pull.number);
        let entries = self.rest.thinned_pages::<wire::Entry>(&path).await?;
        let mut heads: Vec<_> = entries.iter().filter_map(wire::Entry::head).collect();
        if let Some(source) = &pull.head.repo {
            match self.rest.get_json::<Vec<wire::Activity>>(&format!("{}/activities/feeds?{PAGE}", repo(source))).await
            {
                Ok(feed) => heads.extend(feed.iter().filter_map(|entry| entry.tip(&pull.head.branch))),
                // A private fork's is nobody else's.
                Err(Fault::NotFound | Fault::Forbidden(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(heads)
    }

    async fn permission(&self, id: &RepoId, user: &str) -> Result<Permission, Fault> {
        let path = format!("{}/collaborators/{}/permission", repo(id), part(user));
        match self.rest.get_json::<wire::Allowed>(&path).await {
            Err(Fault::NotFound) => Ok(Permission::None),
            allowed => Ok(allowed?.into()),
        }
    }

    async fn comments(&self, id: &RepoId, number: u64) -> Result<Vec<Comment>, Fault> {
        // All of them at once: this list has no pages.
        words::<github::Written, _>(&self.rest.get(&format!("{}/issues/{number}/comments", repo(id))).await?)
    }

    async fn comments_since(&self, id: &RepoId, since: Timestamp) -> Result<Vec<Comment>, Fault> {
        let since = part(&since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let path = format!("{}/issues/comments?since={since}&{PAGE}", repo(id));
        let written = self.rest.counted_pages::<github::Written>(&path).await?;
        let mut found: Vec<Comment> = written.into_iter().map(Comment::from).collect();
        found.sort_by_key(|comment| comment.updated);
        Ok(found)
    }

    async fn add_comment(&self, id: &RepoId, number: u64, body: &str) -> Result<Comment, Fault> {
        hub::add_comment(&self.rest, &repo(id), number, body).await
    }

    async fn edit_comment(&self, id: &RepoId, _: u64, comment: u64, body: &str) -> Result<Comment, Fault> {
        hub::edit_comment(&self.rest, &repo(id), comment, body).await
    }

    async fn react(&self, id: &RepoId, _: u64, comment: u64, reaction: Reaction) -> Result<(), Fault> {
        hub::react(&self.rest, &repo(id), comment, reaction).await
    }

    async fn set_status(&self, id: &RepoId, commit: &CommitSha, status: &CommitStatus) -> Result<(), Fault> {
        hub::set_status(&self.rest, &repo(id), commit, status, DESCRIPTION).await
    }

    /// Labels have numbers here; those that are not there yet are made, as the others do.
    async fn add_labels(&self, id: &RepoId, number: u64, labels: &[String]) -> Result<(), Fault> {
        let mut known = self.rest.counted_pages::<wire::Label>(&format!("{}/labels?{PAGE}", repo(id))).await?;
        if labels.iter().any(|label| known.iter().all(|known| known.name != *label)) {
            match self.rest.counted_pages::<wire::Label>(&format!("/orgs/{}/labels?{PAGE}", part(id.owner()))).await {
                Ok(of_all) => known.extend(of_all),
                // The owner is a person.
                Err(Fault::NotFound | Fault::Forbidden(_)) => {}
                Err(fault) => return Err(fault),
            }
        }
        let mut ids = Vec::new();
        for label in labels {
            let id = match known.iter().find(|known| known.name == *label) {
                Some(known) => known.id,
                None => self.make_label(id, label).await?,
            };
            ids.push(id);
        }
        let path = format!("{}/issues/{number}/labels", repo(id));
        self.rest.change(Method::POST, &path, &json!({ "labels": ids }), false).await.map(drop)
    }

    async fn remove_labels(&self, id: &RepoId, number: u64, labels: &[String]) -> Result<(), Fault> {
        let path = format!("{}/issues/{number}/labels", repo(id));
        for known in self.rest.get_json::<Vec<wire::Label>>(&path).await? {
            if labels.contains(&known.name) {
                self.rest.remove(&format!("{path}/{}", known.id)).await?;
            }
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
        // Each server is asked in its own way for the run's number, and knows nothing of the other's.
        let path = format!("{}/actions/workflows/{}/dispatches?return_run_details=true", repo(id), part(workflow));
        let body = json!({ "ref": reference, "inputs": inputs, "return_run_info": true });
        let answer = self.rest.change(Method::POST, &path, &body, true).await?;
        Ok(answer.json::<wire::Dispatched>().ok().map(|made| made.id))
    }

    async fn dispatch_event(&self, _: &RepoId, _: &str, _: Option<&str>, _: &Value) -> Result<Option<u64>, Fault> {
        Err(absent("events for workflows; name a `workflow`"))
    }

    async fn workflow_runs(&self, id: &RepoId, event: &str) -> Result<Vec<WorkflowRun>, Fault> {
        let path = format!("{}/actions/runs?event={}&{PAGE}", repo(id), part(event));
        let mut found = self.rest.get_json::<wire::Runs>(&path).await?.workflow_runs;
        found.retain(|run| run.is_of(event));
        found.sort_by_key(|run| std::cmp::Reverse(run.id));
        Ok(found.into_iter().map(WorkflowRun::from).collect())
    }

    async fn workflow_run(&self, id: &RepoId, run: u64) -> Result<WorkflowRun, Fault> {
        Ok(self.rest.get_json::<wire::Run>(&format!("{}/actions/runs/{run}", repo(id))).await?.into())
    }

    async fn cancel_run(&self, id: &RepoId, run: u64) -> Result<(), Fault> {
        let path = format!("{}/actions/runs/{run}/cancel", repo(id));
        match self.rest.change(Method::POST, &path, &json!({}), false).await {
            // It is over already.
            Err(Fault::Refused { status: 400 | 409, .. }) => Ok(()),
            answer => answer.map(drop),
        }
    }

    async fn contents(&self, id: &RepoId, path: &str, reference: &str) -> Result<Option<Vec<u8>>, Fault> {
        let at = format!("{}/raw/{}?ref={}", repo(id), parts(path), part(reference));
        match self.rest.get(&at).await {
            Err(Fault::NotFound) => Ok(None),
            answer => Ok(Some(answer?.body.to_vec())),
        }
    }

    async fn compare(&self, id: &RepoId, base: &str, head: &str) -> Result<Comparison, Fault> {
        let path = |from: &str, to: &str| format!("{}/compare/{}...{}", repo(id), part(from), part(to));
        let ahead: wire::Compared = self.rest.get_json(&path(base, head)).await?;
        let behind: wire::Compared = self.rest.get_json(&path(head, base)).await?;
        Ok(Comparison { ahead: ahead.count(), behind: behind.count() })
    }
}

impl Gitea {
    async fn make_label(&self, id: &RepoId, name: &str) -> Result<u64, Fault> {
        let body = json!({ "name": name, "color": COLOUR });
        let answer = self.rest.change(Method::POST, &format!("{}/labels", repo(id)), &body, true).await?;
        Ok(answer.json::<wire::Label>()?.id)
    }
}

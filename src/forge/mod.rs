//! The service that hosts a repository: pull requests, comments, permissions, statuses.
//!
//! [`Forge`] says what there is to ask and to do; `github`, `gitlab` and `gitea` do it, as far as each has it. This room decides nothing: who may do what, and what
//! is worth reporting, is for those who ask. Nothing that a forge answers is trusted further than its type says.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::id::CommitSha;
use crate::secret::Secret;
use crate::web::Fault;

pub mod gitea;
pub mod github;
pub mod gitlab;
mod hub;
mod rest;
mod words;

pub use words::{
    Artifact, Author, CheckConclusion, CheckRun, CheckState, Comment, CommitStatus, Comparison, Kind, KnownCheck,
    ListedPull, Me, NewArtifacts, NewComments, NoRepo, Permission, PullHead, PullRequest, Push, Reacted, Reaction,
    RepoId, Repository, StatusState, WorkflowRun,
};

/// A service that hosts repositories, seen by one account.
///
/// Every method may be repeated after a fault that [is passing](Fault::is_passing), unless it says otherwise.
#[async_trait]
pub trait Forge: fmt::Debug + Send + Sync {
    /// Who we are: whose comments are ours.
    ///
    /// # Errors
    /// When the service does not answer, or not with a name.
    async fn me(&self) -> Result<Me, Fault>;

    /// What requests show, where that is not what we were opened with: the token of the hour, of an App.
    ///
    /// # Errors
    /// When there is no token.
    async fn minted(&self) -> Result<Option<Secret>, Fault> {
        Ok(None)
    }

    /// How many more requests the service lets us make for now, as it said last; none where it does not say.
    fn allowance(&self) -> Option<u64> {
        None
    }

    /// What is known about a repository.
    ///
    /// # Errors
    /// [`Fault::NotFound`] also where it is private and we have no access.
    async fn repository(&self, repo: &RepoId) -> Result<Repository, Fault>;

    /// What time it is there.
    ///
    /// # Errors
    /// As [`Self::repository`], and where the answer has no time.
    async fn now(&self, repo: &RepoId) -> Result<Timestamp, Fault>;

    /// A pull request as it is now.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when there is none.
    async fn pull(&self, repo: &RepoId, number: u64) -> Result<PullRequest, Fault>;

    /// Pull requests to this repository that a commit is part of, or all that are open where the forge cannot be asked by
    /// commit.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when the commit is unknown.
    async fn pulls_of(&self, repo: &RepoId, commit: &CommitSha) -> Result<Vec<ListedPull>, Fault>;

    /// The full id of a branch, a tag or an abbreviated commit.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when it names nothing.
    async fn commit(&self, repo: &RepoId, revision: &str) -> Result<CommitSha, Fault>;

    /// What was pushed to a branch (`refs/heads/main`), by the service's own clock, newest first; the last 100.
    ///
    /// # Errors
    /// [`Fault::NotFound`] or [`Fault::Forbidden`] where the history cannot be read.
    async fn pushes(&self, _repo: &RepoId, _reference: &str) -> Result<Vec<Push>, Fault> {
        Err(absent("history of pushes"))
    }

    /// What was at the head of a pull request and since when, by the service's own clock; never earlier than it truly was.
    /// A head that is not in the list came at a time that nobody can tell.
    ///
    /// # Errors
    /// [`Fault::NotFound`] or [`Fault::Forbidden`] where that cannot be read.
    async fn heads(&self, repo: &RepoId, pull: &PullRequest) -> Result<Vec<(CommitSha, Timestamp)>, Fault>;

    /// What a user may do, teams and organisation taken into account. A stranger has [`Permission::None`].
    ///
    /// # Errors
    /// When the service does not say.
    async fn permission(&self, repo: &RepoId, user: &str) -> Result<Permission, Fault>;

    /// All comments of a pull request or an issue, oldest first.
    ///
    /// # Errors
    /// When the service does not answer.
    async fn comments(&self, repo: &RepoId, number: u64) -> Result<Vec<Comment>, Fault>;

    /// Comments anywhere in the repository that changed since then, oldest change first.
    ///
    /// # Errors
    /// When the service does not answer.
    async fn comments_since(&self, repo: &RepoId, since: Timestamp) -> Result<Vec<Comment>, Fault>;

    /// The same, unless nothing has changed since this `tag` was given, which is then said by `None`. Services without
    /// tags list them each time.
    ///
    /// # Errors
    /// When the service does not answer.
    async fn new_comments(
        &self,
        repo: &RepoId,
        since: Timestamp,
        _tag: Option<&str>,
    ) -> Result<Option<NewComments>, Fault> {
        Ok(Some(NewComments { comments: self.comments_since(repo, since).await?, tag: None }))
    }

    /// Adds a comment. Not repeated when nobody knows whether it was added.
    ///
    /// # Errors
    /// When it was refused, or may not have been added.
    async fn add_comment(&self, repo: &RepoId, number: u64, body: &str) -> Result<Comment, Fault>;

    /// Replaces the text of a comment of that pull request or issue.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when somebody deleted it.
    async fn edit_comment(&self, repo: &RepoId, number: u64, comment: u64, body: &str) -> Result<Comment, Fault>;

    /// Reacts to a comment; a second time changes nothing.
    ///
    /// # Errors
    /// When the service does not take it.
    async fn react(&self, repo: &RepoId, number: u64, comment: u64, reaction: Reaction) -> Result<(), Fault>;

    /// Reacts to a comment; gives back what stands there now, which is what stood there before where we had done so.
    ///
    /// # Errors
    /// When the service does not take it, or its reactions have no numbers.
    async fn put_reaction(
        &self,
        _repo: &RepoId,
        _number: u64,
        _comment: u64,
        _reaction: Reaction,
    ) -> Result<Reacted, Fault> {
        Err(absent("numbers for reactions"))
    }

    /// The faces under a comment.
    ///
    /// # Errors
    /// When the service does not answer, or its reactions have no numbers.
    async fn reactions(&self, _repo: &RepoId, _number: u64, _comment: u64) -> Result<Vec<Reacted>, Fault> {
        Err(absent("numbers for reactions"))
    }

    /// Says how a commit is doing.
    ///
    /// # Errors
    /// When the service does not take it.
    async fn set_status(&self, repo: &RepoId, commit: &CommitSha, status: &CommitStatus) -> Result<(), Fault>;

    /// Begins a check run (Apps only) and gives back its number. Not repeated when nobody knows whether it began.
    ///
    /// # Errors
    /// [`Fault::Forbidden`] for tokens that are no App's.
    async fn create_check(&self, _repo: &RepoId, _commit: &CommitSha, _check: &CheckRun) -> Result<u64, Fault> {
        Err(absent("check runs"))
    }

    /// Changes a check run.
    ///
    /// # Errors
    /// When the service does not take it.
    async fn update_check(&self, _repo: &RepoId, _id: u64, _check: &CheckRun) -> Result<(), Fault> {
        Err(absent("check runs"))
    }

    /// The check runs of this name on a commit, newest first.
    ///
    /// # Errors
    /// When the service does not answer.
    async fn checks(&self, _repo: &RepoId, _commit: &CommitSha, _name: &str) -> Result<Vec<KnownCheck>, Fault> {
        Err(absent("check runs"))
    }

    /// Adds labels to a pull request or an issue.
    ///
    /// # Errors
    /// When the service does not take them.
    async fn add_labels(&self, repo: &RepoId, number: u64, labels: &[String]) -> Result<(), Fault>;

    /// Takes labels away from a pull request or an issue; those that it has not are no fault.
    ///
    /// # Errors
    /// When the service does not take them away.
    async fn remove_labels(&self, repo: &RepoId, number: u64, labels: &[String]) -> Result<(), Fault>;

    /// Starts a workflow; the number of its run, where the service tells. Not repeated when nobody knows whether it was
    /// started: give `inputs` a value to find it by.
    ///
    /// # Errors
    /// When it was refused, or may not have been started.
    async fn dispatch_workflow(
        &self,
        repo: &RepoId,
        workflow: &str,
        reference: &str,
        inputs: &BTreeMap<String, String>,
    ) -> Result<Option<u64>, Fault>;

    /// Tells a repository's workflows of an event (`repository_dispatch`), those of a branch where the service can; the
    /// number of what that started, where the service tells. Not repeated either.
    ///
    /// # Errors
    /// When it was refused, or may not have been told.
    async fn dispatch_event(
        &self,
        repo: &RepoId,
        kind: &str,
        reference: Option<&str>,
        payload: &serde_json::Value,
    ) -> Result<Option<u64>, Fault>;

    /// The last runs of workflows that this event started (`repository_dispatch`), newest first; 100 at most.
    ///
    /// # Errors
    /// When the service does not answer.
    async fn workflow_runs(&self, repo: &RepoId, event: &str) -> Result<Vec<WorkflowRun>, Fault>;

    /// One run of a workflow.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when there is none, or no longer.
    async fn workflow_run(&self, repo: &RepoId, run: u64) -> Result<WorkflowRun, Fault>;

    /// What runs of workflows left since then and is still there, unless nothing has changed since this `tag` was given, which
    /// is then said by `None`.
    ///
    /// # Errors
    /// When the service does not answer.
    async fn new_artifacts(
        &self,
        _repo: &RepoId,
        _since: Timestamp,
        _tag: Option<&str>,
    ) -> Result<Option<NewArtifacts>, Fault> {
        Err(absent("list of artifacts"))
    }

    /// Asks a workflow's run to stop; one that is over stays as it is.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when there is none.
    async fn cancel_run(&self, repo: &RepoId, run: u64) -> Result<(), Fault>;

    /// A file at a commit, a branch or a tag; `None` when it is not there.
    ///
    /// # Errors
    /// When the service does not answer.
    async fn contents(&self, repo: &RepoId, path: &str, reference: &str) -> Result<Option<Vec<u8>>, Fault>;

    /// How two commits or branches stand to each other.
    ///
    /// # Errors
    /// [`Fault::NotFound`] when one is unknown.
    async fn compare(&self, repo: &RepoId, base: &str, head: &str) -> Result<Comparison, Fault>;
}

/// What only some forges have.
fn absent(what: &str) -> Fault {
    Fault::Setting(format!("this forge has no {what}"))
}

//! What GitHub knows that a comment's payload does not say: who may what, which commit is offered, since when.

use jiff::Timestamp;

use super::command::{Command, NotUnderstood};
use super::decide::Reason;
use super::event::CommentEvent;
use crate::forge::{Forge, Permission, PullRequest, RepoId};
use crate::id::CommitSha;
use crate::web::Fault;

/// A comment that GitHub is to be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it asks for.
    pub command: Result<Command, NotUnderstood>,
}

/// What GitHub knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What the author may do here.
    pub permission: Permission,
    /// The pull request as it is now.
    pub pull: PullRequest,
    /// When its head came, by GitHub's clock.
    pub pushed: Option<Timestamp>,
    /// Whether the commit that the command names was its head once, or is below it.
    pub named_belongs: bool,
}

impl Call {
    /// Whether a comment speaks to us at all; what needs nobody's answer is decided here.
    ///
    /// # Errors
    /// Why nothing is to be done.
    pub fn of(comment: &CommentEvent) -> Result<Self, Reason> {
        if comment.action != "created" {
            return Err(Reason::NotCreated(comment.action.clone()));
        }
        let command = Command::of(&comment.body).ok_or(Reason::NoCommand)?;
        if !comment.on_pull {
            return Err(Reason::NotAPull);
        }
        if comment.bot || comment.sender != comment.author {
            return Err(Reason::NotAPerson);
        }
        Ok(Self { command })
    }
}

/// Asks GitHub what is needed to decide.
///
/// # Errors
/// When it does not answer. What it will not tell (a history that cannot be read) is no fault: it counts as not known.
pub async fn gather(forge: &dyn Forge, repo: &RepoId, comment: &CommentEvent, call: &Call) -> Result<Facts, Fault> {
    let permission = forge.permission(repo, &comment.author).await?;
    // The head is read before its time: a push in between makes its time unknown, never too early.
    let pull = forge.pull(repo, comment.number).await?;
    let named = match &call.command {
        Ok(Command::Run { commit, .. }) => commit.as_ref(),
        _ => None,
    };
    let asks = permission >= Permission::Write && matches!(call.command, Ok(Command::Run { .. }));
    let (mut pushed, mut named_belongs) = (None, false);
    if asks {
        let pushes = pushes(forge, &pull).await?;
        let of = |commit: &CommitSha| pushes.iter().filter(|push| push.0 == *commit).map(|push| push.1).max();
        pushed = of(&pull.head.commit);
        if let Some(named) = named.filter(|named| **named != pull.head.commit) {
            named_belongs = of(named).is_some() || is_below(forge, repo, named, &pull.head.commit, &pull).await?;
        }
    }
    Ok(Facts { permission, pull, pushed, named_belongs })
}

/// Heads of the offered branch and when they came, where that may be read.
async fn pushes(forge: &dyn Forge, pull: &PullRequest) -> Result<Vec<(CommitSha, Timestamp)>, Fault> {
    let Some(repo) = &pull.head.repo else { return Ok(Vec::new()) };
    match forge.pushes(repo, &format!("refs/heads/{}", pull.head.branch)).await {
        Ok(pushes) => Ok(pushes.into_iter().filter_map(|push| Some((push.after?, push.at))).collect()),
        // A private fork's history is nobody else's; old servers have none.
        Err(Fault::NotFound | Fault::Forbidden(_)) => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

/// Whether a commit is one of those that are offered: below the head, and not below the base already.
async fn is_below(
    forge: &dyn Forge,
    repo: &RepoId,
    commit: &CommitSha,
    head: &CommitSha,
    pull: &PullRequest,
) -> Result<bool, Fault> {
    match forge.compare(repo, commit.as_str(), head.as_str()).await {
        Ok(compared) if compared.behind == 0 => {}
        Ok(_) | Err(Fault::NotFound | Fault::Refused { .. }) => return Ok(false),
        Err(fault) => return Err(fault),
    }
    let onto = forge.compare(repo, pull.base.commit.as_str(), commit.as_str()).await?;
    Ok(onto.ahead > 0)
}

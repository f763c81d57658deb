//! What GitHub knows that a comment's payload does not say: who may what, which commit is offered, since when, and what was
//! asked for already.

use jiff::{SignedDuration, Timestamp};

use super::body::find_marker;
use super::command::{Command, NotUnderstood};
use super::decide::Reason;
use super::event::CommentEvent;
use super::progress::State;
use crate::comment::Marker;
use crate::forge::{Forge, Permission, PullRequest, RepoId};
use crate::id::CommitSha;
use crate::plan::Mode;
use crate::web::Fault;

/// As far back as commands are counted.
pub(super) const WINDOW: SignedDuration = SignedDuration::from_hours(1);

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
    /// When the author asked for runs in the hour before this comment, oldest first.
    pub asked: Vec<Timestamp>,
    /// A run for this pull request that goes on.
    pub running: Option<Running>,
}

/// A run that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The workflow's run.
    pub run: u64,
    /// Sample or full.
    pub mode: Mode,
    /// Where people see it.
    pub address: String,
}

/// Which comments and runs are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Us {
    /// The line by which our comment is found.
    pub marker: Marker,
    /// This run of the workflow.
    pub workflow_run: Option<u64>,
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

/// Asks GitHub what is needed to decide. Without `us`, no workflow of ours can be running, and none is looked for.
///
/// # Errors
/// When it does not answer. What it will not tell (a history that cannot be read) is no fault: it counts as not known.
pub async fn gather(
    forge: &dyn Forge,
    repo: &RepoId,
    comment: &CommentEvent,
    call: &Call,
    us: Option<&Us>,
) -> Result<Facts, Fault> {
    let permission = forge.permission(repo, &comment.author).await?;
    // The head is read before its time: a push in between makes its time unknown, never too early.
    let pull = forge.pull(repo, comment.number).await?;
    let named = match &call.command {
        Ok(Command::Run { commit, .. }) => commit.as_ref(),
        _ => None,
    };
    let asks = permission >= Permission::Write && matches!(call.command, Ok(Command::Run { .. }));
    let (mut pushed, mut named_belongs, mut asked, mut running) = (None, false, Vec::new(), None);
    if asks {
        asked = commands(forge, repo, comment).await?;
        if let Some(us) = us {
            running = still_running(forge, repo, comment.number, us).await?;
        }
        let heads = heads(forge, repo, &pull).await?;
        let of = |commit: &CommitSha| heads.iter().filter(|head| head.0 == *commit).map(|head| head.1).max();
        pushed = of(&pull.head.commit);
        if let Some(named) = named.filter(|named| **named != pull.head.commit) {
            named_belongs = of(named).is_some() || is_below(forge, repo, named, &pull.head.commit, &pull).await?;
        }
    }
    Ok(Facts { permission, pull, pushed, named_belongs, asked, running })
}

/// When the comment's author asked for runs in the hour before it, on any pull request, oldest first.
async fn commands(forge: &dyn Forge, repo: &RepoId, comment: &CommentEvent) -> Result<Vec<Timestamp>, Fault> {
    let since = comment.created.saturating_sub(WINDOW).unwrap_or(Timestamp::MIN);
    let mut found = forge.comments_since(repo, since).await?;
    found.retain(|other| {
        let counts = other.id != comment.id && other.author.login == comment.author;
        let within = other.created > since && other.created <= comment.created;
        counts && within && matches!(Command::of(&other.body), Some(Ok(Command::Run { .. })))
    });
    let mut times: Vec<Timestamp> = found.into_iter().map(|other| other.created).collect();
    times.sort();
    Ok(times)
}

/// What our comment says is running, if it is: a job that was killed could not say that it ended.
async fn still_running(forge: &dyn Forge, repo: &RepoId, number: u64, us: &Us) -> Result<Option<Running>, Fault> {
    let me = forge.me().await?;
    let found = find_marker(&forge.comments(repo, number).await?, &me, &us.marker);
    let Some(trace) = found.and_then(|found| found.trace).filter(|trace| trace.state == State::Running) else {
        return Ok(None);
    };
    if Some(trace.run) == us.workflow_run {
        return Ok(None);
    }
    match forge.workflow_run(repo, trace.run).await {
        Ok(run) => Ok(run.ended.is_none().then_some(Running { run: trace.run, mode: trace.mode, address: run.url })),
        // It is gone, or `actions: read` was not given: nothing stands in the way.
        Err(Fault::NotFound | Fault::Forbidden(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Heads of the pull request and when they came, where that may be read.
async fn heads(forge: &dyn Forge, repo: &RepoId, pull: &PullRequest) -> Result<Vec<(CommitSha, Timestamp)>, Fault> {
    match forge.heads(repo, pull).await {
        // A private fork's history is nobody else's; old servers have none.
        Err(Fault::NotFound | Fault::Forbidden(_)) => Ok(Vec::new()),
        heads => heads,
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

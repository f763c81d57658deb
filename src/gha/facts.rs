//! What GitHub knows that a comment's payload does not say: who may what, which commit is offered, since when, and what was
//! asked for already.

use jiff::{SignedDuration, Timestamp};

use super::body::{Traces, find_marker};
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
    /// A run for this pull request that goes on, of the kind that is asked for.
    pub running: Option<Running>,
    /// The commit of a run of that kind that this very comment asked for before and that succeeded. Unknown where a person
    /// wants it repeated.
    pub done: Option<CommitSha>,
    /// Whether this very comment was answered with a run before, however that ended. Unknown like that, too.
    pub answered: bool,
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
    /// Whether a person asked for this run of the workflow to be repeated.
    pub repeated: bool,
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
    let mut facts = Facts {
        permission,
        pull,
        pushed: None,
        named_belongs: false,
        asked: Vec::new(),
        running: None,
        done: None,
        answered: false,
    };
    let Ok(Command::Run { mode, commit: named, .. }) = &call.command else { return Ok(facts) };
    if permission < Permission::Write {
        return Ok(facts);
    }
    facts.asked = commands(forge, repo, comment).await?;
    if let Some(us) = us {
        let traces = traces(forge, repo, comment.number, us).await?;
        facts.running = still_running(forge, repo, &traces, *mode, us).await?;
        facts.done = traces.succeeded(*mode, comment.id).filter(|_| !us.repeated);
        facts.answered = traces.answered(*mode, comment.id) && !us.repeated;
    }
    let heads = heads(forge, repo, &facts.pull).await?;
    let of = |commit: &CommitSha| heads.iter().filter(|head| head.0 == *commit).map(|head| head.1).max();
    let head = &facts.pull.head.commit;
    facts.pushed = since(&heads, head);
    if let Some(named) = named.as_ref().filter(|named| *named != head) {
        facts.named_belongs = of(named).is_some() || is_below(forge, repo, named, head, &facts.pull).await?;
    }
    Ok(facts)
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

/// The runs that our comment speaks for.
async fn traces(forge: &dyn Forge, repo: &RepoId, number: u64, us: &Us) -> Result<Traces, Fault> {
    let me = forge.me().await?;
    let found = find_marker(&forge.comments(repo, number).await?, &me, &us.marker);
    Ok(found.map(|found| found.traces).unwrap_or_default())
}

/// What our comment says is running of a kind, if it is: a job that was killed could not say that it ended.
pub(super) async fn still_running(
    forge: &dyn Forge,
    repo: &RepoId,
    traces: &Traces,
    mode: Mode,
    us: &Us,
) -> Result<Option<Running>, Fault> {
    let Some(trace) = traces.of(mode).filter(|trace| trace.state == State::Running) else { return Ok(None) };
    if Some(trace.run) == us.workflow_run {
        return Ok(None);
    }
    match forge.workflow_run(repo, trace.run).await {
        Ok(run) => Ok(run.ended.is_none().then_some(Running { run: trace.run, mode, address: run.url })),
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

/// When what is the head now became it. Where the last change that is told led to another commit, a later one is not told
/// yet: the head may have been there before, been replaced, and come back since, and nobody can say when.
fn since(heads: &[(CommitSha, Timestamp)], head: &CommitSha) -> Option<Timestamp> {
    let last = heads.iter().map(|head| head.1).max()?;
    heads.iter().any(|(commit, at)| commit == head && *at == last).then_some(last)
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

#[cfg(test)]
mod tests {
    use super::super::body::{Asked, Trace};
    use super::*;

    #[test]
    fn a_head_that_came_back_has_no_time_while_its_coming_back_is_not_told() {
        let commit = |digit: &str| digit.repeat(40).parse::<CommitSha>().unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        let (head, other) = (commit("a"), commit("b"));
        for (told, time) in [
            (vec![], None),
            (vec![(head.clone(), 10)], Some(10)),
            (vec![(other.clone(), 20), (head.clone(), 10)], None),
            (vec![(head.clone(), 30), (other.clone(), 20), (head.clone(), 10)], Some(30)),
            (vec![(head.clone(), 10), (other.clone(), 5)], Some(10)),
            // One clock's second.
            (vec![(other.clone(), 10), (head.clone(), 10)], Some(10)),
        ] {
            let heads: Vec<_> = told.into_iter().map(|(commit, second)| (commit, at(second))).collect();
            assert_eq!(since(&heads, &head), time.map(at), "{heads:?}");
        }
    }

    #[test]
    fn what_was_run_is_what_this_very_comment_asked_for_in_this_mode_and_what_succeeded() {
        let commit: CommitSha = "a".repeat(40).parse().unwrap();
        let trace = |mode, state, comment| {
            let asked = Some(Asked { comment, commit: commit.clone() });
            Trace { run: 1, mode, state, failed_before: false, asked }
        };
        let (full, sample) = (Mode::Full, Mode::Sample);
        for (told, found) in [
            (vec![], false),
            (vec![trace(full, State::Succeeded, 7)], true),
            (vec![trace(full, State::Succeeded, 7), trace(sample, State::Running, 8)], true),
            (vec![trace(sample, State::Failed, 7), trace(full, State::Succeeded, 7)], true),
            (vec![trace(full, State::Succeeded, 8)], false),
            (vec![trace(sample, State::Succeeded, 7)], false),
            (vec![trace(full, State::Failed, 7)], false),
            (vec![trace(full, State::Cancelled, 7)], false),
            (vec![trace(full, State::Running, 7)], false),
            (vec![Trace { asked: None, ..trace(full, State::Succeeded, 7) }], false),
        ] {
            let traces = told.into_iter().fold(Traces::default(), Traces::with);
            assert_eq!(traces.succeeded(full, 7), found.then(|| commit.clone()), "{traces:?}");
        }
    }
}

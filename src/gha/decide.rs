//! The rules: what is run for an event, of which commit, and with how much trust. Pure.
//!
//! A comment says nothing about a commit. What runs is the head of the pull request only where GitHub's own clock says
//! that it was there before the comment, or a commit whose full id the comment names. Dates in commits prove nothing.
//! Code of forks stays apart, unless somebody who may push vouches for one commit by its full id. One run of a kind goes on
//! for a pull request, and nobody asks for more than ten in an hour.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use super::command::{Command, NotUnderstood};
use super::event::{CommentEvent, Event, PullEvent, PushEvent};
use super::facts::{Call, Facts, Running, WINDOW};
use super::inputs::SampleInput;
use crate::forge::Permission;
use crate::id::CommitSha;
use crate::plan::Mode;

/// GitHub's clocks are of one second, and not one clock.
const MARGIN: SignedDuration = SignedDuration::from_secs(2);
/// Runs that one person may ask for in an hour.
const MOST: usize = 10;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Run this.
    Run(Order),
    /// This was run before for the very same comment, and succeeded: run it only where its outputs are gone since.
    Done(Order),
    /// Stop what runs for a pull request.
    Cancel {
        /// Its number.
        number: u64,
    },
    /// Say what there is to say.
    Help {
        /// Where.
        number: u64,
    },
    /// No, and somebody is told.
    Refuse(Reason),
    /// Nothing, and nobody is told but the log.
    Ignore(Reason),
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The commit; nothing that happens later changes it.
    pub commit: CommitSha,
    /// Sample or full.
    pub mode: Mode,
    /// The pull request that is told.
    pub pull: Option<u64>,
    /// Whose code it is.
    pub trust: Trust,
    /// Whose settings count in place of the commit's own, and what its outputs are compared with; `None` where the commit
    /// is of that branch.
    pub base: Option<Base>,
}

/// What a pull request is offered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The branch.
    pub branch: String,
    /// Its tip.
    pub commit: CommitSha,
}

/// Whose code it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Of somebody who may push here.
    Own,
    /// A fork's commit that somebody who may push vouches for by its full id: it runs as one of their own.
    Vouched,
    /// Of anybody: no secrets, nothing kept for others, a place of its own in the storage.
    Fork,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A branch or tag that is gone.
    Deleted,
    /// Tags are not run.
    Tag,
    /// A change of a pull request that changes no commit.
    NoNewCommit(String),
    /// `pull_request_target`.
    Target,
    /// An event that nothing is done for.
    UnknownEvent(String),
    /// The comment was not just written.
    NotCreated(String),
    /// The comment does not speak to us.
    NoCommand,
    /// An issue.
    NotAPull,
    /// A program wrote it, or somebody in another's name.
    NotAPerson,
    /// It is closed or merged.
    Closed,
    /// Who wrote it may not push.
    NotAllowed {
        /// The login.
        user: String,
    },
    /// The words are none.
    NotUnderstood(NotUnderstood),
    /// The head came after the comment, or too close to it.
    PushedSince {
        /// The head now.
        head: CommitSha,
    },
    /// Nobody can say when the head came.
    NoTime {
        /// The head now.
        head: CommitSha,
    },
    /// A run of the same kind goes on for the pull request.
    Busy(Running),
    /// An earlier command of the same kind is being carried out, or is about to be.
    Overtaken {
        /// Where people see that command.
        address: String,
    },
    /// The comment's command was carried out before, and did not succeed.
    Answered,
    /// Whoever asks has asked too often.
    TooMany {
        /// The login.
        user: String,
        /// From when on there is another run.
        again: Timestamp,
        /// Whether this is the first that is too much; the others are told nothing new.
        first: bool,
    },
    /// A named commit that never was part of the pull request.
    Foreign {
        /// As named.
        commit: CommitSha,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted => f.write_str("the branch was deleted"),
            Self::Tag => f.write_str("a tag is not run: its commit was, when it was pushed"),
            Self::NoNewCommit(action) => write!(f, "a pull request that is {action} has no new commit"),
            Self::Target => f.write_str(
                "`pull_request_target` would hand secrets to the code of strangers: use `on: pull_request` (see `soopervisor init --github`)",
            ),
            Self::UnknownEvent(name) => write!(f, "nothing is done for the event `{name}`"),
            Self::NotCreated(action) => write!(f, "the comment was {action}: only new comments give commands"),
            Self::NoCommand => f.write_str("the comment holds no command"),
            Self::NotAPull => f.write_str("the comment is on an issue, not on a pull request"),
            Self::NotAPerson => f.write_str("the comment was not written by the person who sent it"),
            Self::Closed => f.write_str("the pull request is closed"),
            Self::NotAllowed { user } => write!(f, "{user} may not push to this repository"),
            Self::NotUnderstood(why) => write!(f, "{why}"),
            Self::PushedSince { head } => write!(
                f,
                "{} was pushed after the comment, or within two seconds of it: look at it, then write `/soopervisor run {head}`",
                head.short()
            ),
            Self::NoTime { head } => write!(
                f,
                "when {} was pushed cannot be told: look at it, then write `/soopervisor run {head}`",
                head.short()
            ),
            Self::Busy(running) => write!(
                f,
                "[a run for this pull request]({}) goes on; `/soopervisor cancel` stops it",
                running.address
            ),
            Self::Overtaken { address } => write!(
                f,
                "[a command for this pull request that came first]({address}) is being carried out; `/soopervisor cancel` stops it"
            ),
            Self::Answered => f.write_str(
                "the command was carried out before: `Re-run jobs` does it again, and so does a new comment",
            ),
            Self::TooMany { user, again, .. } => write!(
                f,
                "{user} has asked for {MOST} runs within an hour; from {} on there is another",
                again.strftime("%H:%M:%S UTC")
            ),
            Self::Foreign { commit } => write!(f, "{} is no commit of this pull request", commit.short()),
        }
    }
}

/// Decides. `sha` is the commit of the workflow (`GITHUB_SHA`), for events that say nothing else; `facts` are needed for
/// comments that [call](Call::of) for them, and refused without.
pub fn decide(event: &Event, sha: &CommitSha, sample: SampleInput, facts: Option<&Facts>) -> Decision {
    match event {
        Event::Push(push) => pushed(push, sample),
        Event::Pull(pull) => offered(pull, sample),
        Event::PullTarget => Decision::Refuse(Reason::Target),
        Event::Asked => Decision::Run(Order {
            commit: sha.clone(),
            mode: sample.or(Mode::Full),
            pull: None,
            trust: Trust::Own,
            base: None,
        }),
        Event::Other(name) => Decision::Ignore(Reason::UnknownEvent(name.clone())),
        Event::Comment(comment) => match Call::of(comment) {
            Err(reason) => Decision::Ignore(reason),
            Ok(call) => commanded(comment, &call, facts),
        },
    }
}

fn pushed(push: &PushEvent, sample: SampleInput) -> Decision {
    let Some(commit) = push.after.clone() else { return Decision::Ignore(Reason::Deleted) };
    if !push.reference.starts_with("refs/heads/") {
        return Decision::Ignore(Reason::Tag);
    }
    Decision::Run(Order { commit, mode: sample.or(Mode::Sample), pull: None, trust: Trust::Own, base: None })
}

fn offered(pull: &PullEvent, sample: SampleInput) -> Decision {
    if !matches!(pull.action.as_str(), "opened" | "synchronize" | "reopened") {
        return Decision::Ignore(Reason::NoNewCommit(pull.action.clone()));
    }
    let own = pull.head_repo.as_ref() == Some(&pull.base_repo);
    Decision::Run(Order {
        commit: pull.head.clone(),
        // All data is for those who asked for it.
        mode: if own { sample.or(Mode::Sample) } else { Mode::Sample },
        pull: Some(pull.number),
        trust: if own { Trust::Own } else { Trust::Fork },
        base: Some(Base { branch: pull.base_branch.clone(), commit: pull.base.clone() }),
    })
}

fn commanded(comment: &CommentEvent, call: &Call, facts: Option<&Facts>) -> Decision {
    let not_allowed = || Decision::Refuse(Reason::NotAllowed { user: comment.author.clone() });
    let Some(facts) = facts else { return not_allowed() };
    if facts.permission < Permission::Write {
        return not_allowed();
    }
    let command = match &call.command {
        Err(why) => return Decision::Refuse(Reason::NotUnderstood(why.clone())),
        Ok(command) => command,
    };
    let (mode, named, vouched) = match command {
        Command::Help => return Decision::Help { number: comment.number },
        Command::Cancel => return Decision::Cancel { number: comment.number },
        Command::Run { mode, commit, trust } => (*mode, commit, *trust),
    };
    if !comment.open || !facts.pull.open {
        return Decision::Refuse(Reason::Closed);
    }
    if facts.answered && facts.done.is_none() {
        return Decision::Ignore(Reason::Answered);
    }
    // What was done is told again, however much else was asked for since.
    if let Some(reason) = too_much(comment, mode, facts).filter(|_| facts.done.is_none()) {
        return Decision::Refuse(reason);
    }
    let head = &facts.pull.head.commit;
    let commit = match named {
        Some(commit) if commit == head || facts.named_belongs => commit.clone(),
        Some(commit) => return Decision::Refuse(Reason::Foreign { commit: commit.clone() }),
        None => match facts.pushed {
            None => return Decision::Refuse(Reason::NoTime { head: head.clone() }),
            Some(pushed) if pushed.saturating_add(MARGIN).is_ok_and(|settled| settled <= comment.created) => {
                head.clone()
            }
            Some(_) => return Decision::Refuse(Reason::PushedSince { head: head.clone() }),
        },
    };
    let trust = match (facts.pull.is_fork(), vouched) {
        (false, _) => Trust::Own,
        (true, true) => Trust::Vouched,
        (true, false) => Trust::Fork,
    };
    let base = Base { branch: facts.pull.base.branch.clone(), commit: facts.pull.base.commit.clone() };
    let done = facts.done.as_ref() == Some(&commit);
    let order = Order { commit, mode, pull: Some(comment.number), trust, base: Some(base) };
    if done { Decision::Done(order) } else { Decision::Run(order) }
}

/// Whether enough was asked for already.
fn too_much(comment: &CommentEvent, mode: Mode, facts: &Facts) -> Option<Reason> {
    if let Some(running) = facts.running.as_ref().filter(|running| running.mode == mode) {
        return Some(Reason::Busy(running.clone()));
    }
    let over = facts.asked.len().checked_sub(MOST)?;
    let again = facts.asked[over].saturating_add(WINDOW).unwrap_or(comment.created);
    Some(Reason::TooMany { user: comment.author.clone(), again, first: over == 0 })
}

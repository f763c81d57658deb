//! Tells GitHub how a run goes: a status on the commit, one comment on the pull request, a check run, a reaction.
//!
//! Everything here may fail, and then a warning is all that happens. Edits are spaced, the end is told in time.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::body::Found;
use super::face;
use super::progress::{State, Told as Report};
use crate::comment::{Limit, Marker, render};
use crate::forge::{CheckConclusion, CheckRun, CheckState, CommitStatus, Forge, Me, RepoId, StatusState};
use crate::plan::Mode;
use crate::run::cancel::{Cancel, Urgency};
use crate::run::event::Outcome;
use crate::web::Fault;

mod comment;

/// Edits of a comment are counted by GitHub.
const SPACING: Duration = Duration::from_secs(10);
/// How long the end may take to be told.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long GitHub may stay silent from the beginning once there is an end to tell.
const BLIND: Duration = Duration::from_secs(10);
/// The runner kills us soon after it asked us to stop.
const HASTE: Duration = Duration::from_millis(2500);

/// Where one run is told.
#[derive(Debug, Clone)]
pub struct Post {
    /// Who tells.
    pub forge: Arc<dyn Forge>,
    /// Where.
    pub repo: RepoId,
    /// The pull request, where there is one and comments are wanted.
    pub pull: Option<u64>,
    /// The line by which the comment is found again.
    pub marker: Option<Marker>,
    /// Tells projects of one repository apart.
    pub key: String,
    /// This run of the workflow.
    pub workflow_run: Option<u64>,
    /// Where its log is.
    pub log_url: Option<String>,
    /// Whether we are an App.
    pub checks: bool,
    /// The comment that asked for the run: the pull request's number, and its own.
    pub trigger: Option<(u64, u64)>,
    /// How far apart edits are at least.
    pub spacing: Duration,
    /// Whether it is a fork's: the token that its jobs get may say nothing, whatever the workflow wants.
    pub fork: bool,
}

impl Post {
    /// Edits as far apart as GitHub wants them.
    pub const SPACING: Duration = SPACING;
}

/// What was told already.
#[derive(Default)]
struct Told {
    status: Option<State>,
    /// There was no way to GitHub when it was last tried.
    unreachable: bool,
    me: Option<Me>,
    /// Our comment, as we last wrote it.
    comment: Option<Found>,
    /// Nobody looked since whether that still stands.
    unsure: bool,
    /// There is no time to wait for what is known well enough.
    hasty: bool,
    check: Option<u64>,
    no_checks: bool,
    text: String,
    /// The state that went with the text: it stands in the comment's hidden lines.
    state: Option<State>,
    faults: Vec<String>,
}

/// Tells in the background; [`Poster::finish`] waits for the end of it.
#[derive(Debug)]
pub struct Poster {
    sender: watch::Sender<Report>,
    thread: JoinHandle<Vec<String>>,
}

impl Poster {
    /// Begins with the first report. Once `cancel` says that the job is to stop, the end is told in haste.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(post: Post, first: Report, cancel: Cancel) -> std::io::Result<Self> {
        let (sender, receiver) = watch::channel(first);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("poster".to_owned())
            .spawn(move || runtime.block_on(post.run(receiver, cancel)))?;
        Ok(Self { sender, thread })
    }

    /// Where what is new goes; it is told when it is time.
    pub fn sender(&self) -> watch::Sender<Report> {
        self.sender.clone()
    }

    /// The last report is told at once. Gives back what could not be told, and why.
    pub fn finish(self, last: Report) -> Vec<String> {
        // The thread is gone only where it panicked.
        let _ = self.sender.send(last);
        drop(self.sender);
        self.thread.join().unwrap_or_default()
    }
}

impl Post {
    /// Tells what comes until the sender is gone, then the last of it.
    async fn run(self, mut reports: watch::Receiver<Report>, cancel: Cancel) -> Vec<String> {
        let mut told = Told::default();
        // One that looks for the end has seen what the other has yet to tell.
        let mut ends = reports.clone();
        loop {
            let report = reports.borrow_and_update().clone();
            let last = report.state != State::Running;
            if last {
                self.tell_the_end(&report, &mut told, cancel).await;
                return told.faults;
            }
            let (begun, blind) = (Instant::now(), told.status.is_none());
            let mut late = false;
            // Who was asked to stop has no time for what was on its way.
            tokio::select! {
                () = self.tell(&report, &mut told) => {}
                () = is_late(reports.clone()), if blind => late = true,
                () = has_no_time(ends.clone(), cancel.clone()) => continue,
            }
            told.unreachable |= late && told.status.is_none();
            tokio::select! {
                () = tokio::time::sleep_until(begun + self.spacing) => {}
                ended = ends.wait_for(|report| report.state != State::Running) => match ended {
                    Ok(_) => continue,
                    Err(_) => return told.faults,
                },
            }
            // What is to be told anyway needs no second look.
            if told.unsure && matches!(reports.has_changed(), Ok(false)) {
                tokio::select! {
                    lost = self.was_overwritten(&report, &mut told) => if lost { continue },
                    Ok(_) = ends.wait_for(|report| report.state != State::Running) => continue,
                }
            }
            if reports.changed().await.is_err() {
                return told.faults;
            }
        }
    }

    /// Tells the last report, as long as there is time for it.
    async fn tell_the_end(&self, report: &Report, told: &mut Told, cancel: Cancel) {
        told.hasty = report.state == State::Cancelled || cancel.requested().is_some();
        let patience = if told.unreachable || told.hasty { HASTE } else { PATIENCE };
        let late = tokio::select! {
            () = self.tell(report, told) => None,
            patience = is_too_late(patience, cancel) => Some(patience),
        };
        if let Some(patience) = late {
            told.faults.push(format!("GitHub was not told the end within {patience:?}"));
        }
    }

    /// The cheapest and most important first.
    async fn tell(&self, report: &Report, told: &mut Told) {
        if told.status != Some(report.state) {
            let status = self.status(report);
            match self.forge.set_status(&self.repo, &report.report.commit, &status).await {
                Ok(()) => (told.status, told.unreachable) = (Some(report.state), false),
                Err(Fault::Forbidden(_)) if self.fork => told.status = Some(report.state),
                Err(fault) => {
                    complain(told, "the commit's status was not set", &fault);
                    told.unreachable = fault.is_unconnected();
                    if told.unreachable {
                        return;
                    }
                }
            }
        }
        let text = render(&report.report, Limit::COMMENT);
        if text != told.text || told.state != Some(report.state) {
            if self.pull.is_some() {
                match self.comment(report, told).await {
                    Ok(()) => (told.text, told.state) = (text.clone(), Some(report.state)),
                    Err(Fault::Forbidden(_)) if self.fork => {
                        (told.text, told.state) = (text.clone(), Some(report.state));
                    }
                    Err(fault) => complain(told, "the comment was not written", &fault),
                }
            }
            if self.checks && !told.no_checks {
                self.check(report, &text, told).await;
            }
        }
        if let (Some((number, comment)), true) = (self.trigger, report.state != State::Running) {
            let face = if report.state == State::Succeeded { face::SUCCEEDED } else { face::FAILED };
            if let Err(fault) = self.forge.react(&self.repo, number, comment, face).await {
                complain(told, "the comment got no reaction", &fault);
            }
        }
    }

    fn status(&self, report: &Report) -> CommitStatus {
        let (state, words) = match report.state {
            State::Running => (StatusState::Pending, "running"),
            State::Succeeded => (StatusState::Success, "succeeded"),
            State::Failed => (StatusState::Failure, "failed"),
            State::Broken => (StatusState::Error, "could not be run"),
            State::Cancelled => (StatusState::Error, "cancelled"),
        };
        let ended = report.report.tasks.iter().filter(|task| task.outcome.is_some()).count();
        let reused = report.report.tasks.iter().filter(|task| task.outcome == Some(Outcome::Reused)).count();
        let description = match ended {
            0 => words.to_owned(),
            1 => format!("{words}: 1 task{}", if reused == 1 { ", reused" } else { "" }),
            tasks => format!("{words}: {tasks} tasks, {reused} of them reused"),
        };
        CommitStatus { state, context: self.context(report.report.mode), description, target_url: self.log_url.clone() }
    }

    /// Full and sample runs are two things to wait for.
    fn context(&self, mode: Mode) -> String {
        let mode = if mode == Mode::Sample { "sample" } else { "full" };
        if self.key == "." { format!("soopervisor/{mode}") } else { format!("soopervisor/{}/{mode}", self.key) }
    }

    async fn check(&self, report: &Report, text: &str, told: &mut Told) {
        let state = match report.state {
            State::Running => CheckState::InProgress,
            State::Succeeded => CheckState::Completed(CheckConclusion::Success),
            State::Failed | State::Broken => CheckState::Completed(CheckConclusion::Failure),
            State::Cancelled => CheckState::Completed(CheckConclusion::Cancelled),
        };
        let check = CheckRun {
            name: self.context(report.report.mode),
            state,
            title: report.state.word().to_owned(),
            summary: text.to_owned(),
            details_url: self.log_url.clone(),
        };
        let done = match told.check {
            Some(id) => self.forge.update_check(&self.repo, id, &check).await,
            None => {
                self.forge.create_check(&self.repo, &report.report.commit, &check).await.map(|id| told.check = Some(id))
            }
        };
        match done {
            Ok(()) => {}
            // `checks: write` was not given to the workflow; the status is there.
            Err(Fault::Forbidden(_) | Fault::NotFound) => told.no_checks = true,
            Err(fault) => complain(told, "the check run was not told", &fault),
        }
    }
}

/// Ends when the run has been over for so long that who was told nothing yet will not be told in time.
async fn is_late(mut reports: watch::Receiver<Report>) {
    if reports.wait_for(|report| report.state != State::Running).await.is_err() {
        // Nobody tells of an end any more: whoever listens notices it, too.
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(BLIND).await;
}

/// Ends once the run is over and nothing that is on its way may be waited for: who was asked to stop has no time.
async fn has_no_time(mut ends: watch::Receiver<Report>, mut cancel: Cancel) {
    let ended = ends.wait_for(|report| report.state != State::Running).await.map(|report| report.state);
    match ended {
        Ok(State::Cancelled) => {}
        Ok(_) => {
            cancel.reached(Urgency::Ask).await;
        }
        // Nobody tells of an end any more: whoever listens notices it, too.
        Err(_) => std::future::pending().await,
    }
}

/// Ends after that time, or sooner where the job is to stop meanwhile; says after which.
async fn is_too_late(patience: Duration, mut cancel: Cancel) -> Duration {
    let hasty = async {
        cancel.reached(Urgency::Ask).await;
        tokio::time::sleep(HASTE).await;
    };
    tokio::select! {
        () = tokio::time::sleep(patience) => patience,
        () = hasty => HASTE,
    }
}

fn complain(told: &mut Told, what: &str, fault: &Fault) {
    let words = format!("{what}: {fault}");
    if !told.faults.contains(&words) && told.faults.len() < 10 {
        told.faults.push(words);
    }
}

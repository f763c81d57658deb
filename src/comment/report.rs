//! What there is to say about a run, as it goes on: a value that events are put into, and nothing that draws.

use std::time::Duration;

use crate::compare::Comparison;
use crate::diag::{Diagnostic, Severity};
use crate::id::{CommitSha, ProjectName, RunId};
use crate::plan::Mode;
use crate::run::card::{Card, Published};
use crate::run::event::{Outcome, RunEvent, Step};

/// Findings that are kept; the others are counted.
const MOST_FINDINGS: usize = 50;
/// Tasks that are kept; the others are counted.
const MOST_TASKS: usize = 5000;

/// Everything that is said about one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// How the comment is found again; none in a job summary.
    pub marker: Option<Marker>,
    /// The project.
    pub project: ProjectName,
    /// The commit.
    pub commit: CommitSha,
    /// Sample or full.
    pub mode: Mode,
    /// How it stands.
    pub status: Status,
    /// The run, once there is one.
    pub run: Option<RunId>,
    /// What is special about how it is run, in a sentence: that it comes from a fork and gets no secrets.
    pub policy: Option<String>,
    /// One line at the end, as the program says it.
    pub summary: String,
    /// Steps so far.
    pub steps: Vec<StepRow>,
    /// Tasks so far, in the order in which they began.
    pub tasks: Vec<TaskRow>,
    /// Tasks beyond those that are kept.
    pub more_tasks: usize,
    /// Findings of warning or error.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are kept.
    pub more_findings: usize,
    /// Where the outputs are.
    pub published: Option<Published>,
    /// Where to look: outputs, log, workflow run.
    pub links: Vec<Link>,
    /// Pictures among the outputs.
    pub previews: Vec<Preview>,
    /// What changed since the base commit.
    pub comparison: Option<Comparison>,
    /// What is special about the run that this one is compared with: that it is of a commit before the base.
    pub compared: Option<String>,
    /// In place of a comparison: why there is none.
    pub no_base: Option<String>,
    /// Why it failed.
    pub card: Option<Card>,
}

/// How the one comment of a project in a pull request is found again. Whoever looks for it must check its author too:
/// anybody can write such a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The forge's number of the repository.
    pub repo: u64,
    /// The pull request.
    pub pr: u64,
    /// What tells several comments in one pull request apart: the project.
    pub key: String,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It waits for its turn.
    Queued,
    /// It goes on.
    Running,
    /// It did what it should.
    Succeeded,
    /// It did not.
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// Which.
    pub step: Step,
    /// How it ended; `None` while it goes on.
    pub outcome: Option<Outcome>,
    /// How long it took.
    pub elapsed: Option<Duration>,
    /// A few words; while it goes on, what it does now.
    pub detail: String,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// Ploomber's name.
    pub name: String,
    /// How it ended; `None` while it goes on.
    pub outcome: Option<Outcome>,
    /// How long it took.
    pub elapsed: Option<Duration>,
    /// Why it was executed or not; may be empty.
    pub reason: String,
    /// The commit whose products were taken over.
    pub from: Option<CommitSha>,
}

/// Something about the user's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether the run could not go on with it.
    pub error: bool,
    /// What.
    pub message: String,
    /// `environment.yml:3`, where there is a place.
    pub place: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

/// A place to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// What is there.
    pub text: String,
    /// `https://…`; anything else is shown as text.
    pub address: String,
}

/// A picture among the outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Its path.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Where the base commit's can be seen by everybody who sees the report, if anywhere.
    pub before: Option<String>,
    /// Where this commit's can be seen.
    pub after: Option<String>,
}

impl Marker {
    /// The line, as it stands first in the comment; no `key` can end it early.
    pub fn line(&self) -> String {
        let mut key = String::new();
        for byte in self.key.bytes().take(200) {
            // Two hyphens would end it.
            let plain = byte.is_ascii_alphanumeric() || b"._/".contains(&byte) || (byte == b'-' && !key.ends_with('-'));
            if plain { key.push(byte.into()) } else { key.push_str(&format!("%{byte:02X}")) }
        }
        if key.ends_with('-') {
            key.truncate(key.len() - 1);
            key.push_str("%2D");
        }
        format!("<!-- soopervisor:v1 repo={} pr={} key={key} -->", self.repo, self.pr)
    }
}

impl Report {
    /// A run that waits for its turn.
    pub fn new(project: ProjectName, commit: CommitSha, mode: Mode) -> Self {
        Self {
            marker: None,
            project,
            commit,
            mode,
            status: Status::Queued,
            run: None,
            policy: None,
            summary: String::new(),
            steps: Vec::new(),
            tasks: Vec::new(),
            more_tasks: 0,
            findings: Vec::new(),
            more_findings: 0,
            published: None,
            links: Vec::new(),
            previews: Vec::new(),
            comparison: None,
            compared: None,
            no_base: None,
            card: None,
        }
    }

    /// Puts the next event of the run in. Output is left out: the card has its end.
    pub fn take(&mut self, event: &RunEvent) {
        match event {
            RunEvent::Started { run, .. } => {
                self.run = Some(run.clone());
                self.status = Status::Running;
            }
            RunEvent::StepStarted { step, detail } => {
                self.status = Status::Running;
                self.steps.push(StepRow { step: *step, outcome: None, elapsed: None, detail: detail.clone() });
            }
            RunEvent::StepProgress { step, text } | RunEvent::Warned { step, text } => {
                if let Some(row) = self.step(*step) {
                    row.detail.clone_from(text);
                }
            }
            RunEvent::StepEnded { step, outcome, elapsed, detail } => {
                if let Some(row) = self.step(*step) {
                    (row.outcome, row.elapsed) = (Some(*outcome), Some(*elapsed));
                    row.detail.clone_from(detail);
                }
            }
            RunEvent::TaskStarted { name } => self.task(name, None, None, "", None),
            RunEvent::TaskEnded { name, outcome, elapsed, reason, from } => {
                self.task(name, Some(*outcome), Some(*elapsed), reason, from.as_ref());
            }
            RunEvent::Output { .. } => {}
            RunEvent::Diagnosed(diagnostic) => self.finding(diagnostic),
            RunEvent::Published(published) => self.published = Some(published.clone()),
            RunEvent::Failed(card) => self.card = Some(Card::clone(card)),
            RunEvent::Ended { exit_code, summary } => {
                self.summary.clone_from(summary);
                self.status = match exit_code {
                    0 => Status::Succeeded,
                    130 => Status::Cancelled,
                    _ => Status::Failed,
                };
            }
        }
    }

    /// How long the steps took together.
    pub fn elapsed(&self) -> Duration {
        self.steps.iter().filter_map(|step| step.elapsed).sum()
    }

    fn step(&mut self, step: Step) -> Option<&mut StepRow> {
        self.steps.iter_mut().rev().find(|row| row.step == step && row.outcome.is_none())
    }

    fn task(
        &mut self,
        name: &str,
        outcome: Option<Outcome>,
        elapsed: Option<Duration>,
        reason: &str,
        from: Option<&CommitSha>,
    ) {
        let row = TaskRow { name: name.to_owned(), outcome, elapsed, reason: reason.to_owned(), from: from.cloned() };
        if let Some(open) = self.tasks.iter_mut().rev().find(|open| open.name == name && open.outcome.is_none()) {
            *open = row;
        } else if self.tasks.len() < MOST_TASKS {
            self.tasks.push(row);
        } else if outcome.is_none() {
            self.more_tasks += 1;
        }
    }

    fn finding(&mut self, diagnostic: &Diagnostic) {
        if diagnostic.severity == Severity::Note {
            return;
        }
        if self.findings.len() == MOST_FINDINGS {
            self.more_findings += 1;
            return;
        }
        let line = diagnostic.line_column().map(|(line, _)| format!(":{line}")).unwrap_or_default();
        self.findings.push(Finding {
            error: diagnostic.severity == Severity::Error,
            message: diagnostic.message.clone(),
            place: diagnostic.place.as_ref().map(|(source, _)| format!("{}{line}", source.name)),
            help: diagnostic.help.clone(),
        });
    }
}

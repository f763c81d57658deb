//! What is said and done for an event for which nothing is run. Tells GitHub; what it could not be told is handed back.

use super::body::{find_marker, lost};
use super::decide::{Decision, Reason};
use super::errand::Errand;
use super::event::Event;
use super::progress::State;
use super::{GhaError, face};
use crate::forge::{Forge, Reaction};
use crate::plan::Mode;
use crate::web::Fault;

/// What `/soopervisor help` is answered with.
pub const HELP: &str = "\
`/soopervisor run` runs the whole pipeline for the head of this pull request, if it was pushed before the comment.
`/soopervisor run sample` takes a sample of the data.
`/soopervisor run SHA` and `run sample SHA` run the commit with that full id.
`/soopervisor run trust=SHA` runs that commit of a fork with this repository's secrets and storage: read it first.
`/soopervisor cancel` stops what runs for this pull request.

The command is the first line of a new comment, by somebody who may push here.";

/// What came of an event for which nothing is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For the log.
    pub text: String,
    /// `refused`, `ignored`, `cancelled` or `answered`.
    pub status: &'static str,
    /// What GitHub could not be told.
    pub faults: Vec<String>,
}

impl Errand {
    /// Answers where nothing is run. Only a stranger gets no words: a thumb is enough.
    pub async fn answer(&self, decision: &Decision) -> Answer {
        let mut faults = Vec::new();
        let (text, status) = match decision {
            Decision::Run(order) => (format!("{} is run", order.commit), "answered"),
            Decision::Done(order) => {
                let mode = if order.mode == Mode::Sample { "sample" } else { "full" };
                let text = format!(
                    "the {mode} run of {} that this comment asks for succeeded before, and its outputs are as they were: \
                     nothing is run; `Re-run jobs` runs it again",
                    order.commit.short()
                );
                (text, State::Succeeded.word())
            }
            Decision::Ignore(reason) => (reason.to_string(), "ignored"),
            Decision::Refuse(reason) => {
                self.react(face::REFUSED, &mut faults).await;
                if !matches!(reason, Reason::NotAllowed { .. } | Reason::Target | Reason::TooMany { first: false, .. })
                {
                    self.say(&self.refusal(reason), &mut faults).await;
                }
                (reason.to_string(), "refused")
            }
            Decision::Help { .. } => {
                self.react(face::DONE, &mut faults).await;
                self.say(HELP, &mut faults).await;
                ("help was given".to_owned(), "answered")
            }
            Decision::Cancel { number } => self.cancelled(*number, &mut faults).await,
        };
        Answer { text, status, faults }
    }

    /// What lost to another command says so in a hidden line, too: nobody waits for it then.
    fn refusal(&self, reason: &Reason) -> String {
        let text = format!("Nothing was run: {reason}.");
        match (reason, &self.event) {
            (Reason::Busy(_) | Reason::Overtaken { .. }, Event::Comment(comment)) => {
                format!("{}\n{text}", lost(&self.marker(comment.number), comment.id))
            }
            _ => text,
        }
    }

    async fn cancelled(&self, number: u64, faults: &mut Vec<String>) -> (String, &'static str) {
        let stopped = match self.cancel(number, faults).await {
            Ok(stopped) => stopped,
            Err(error) => {
                self.react(face::FAILED, faults).await;
                return (format!("nothing was cancelled: {error}"), "answered");
            }
        };
        let runs: Vec<String> = stopped.iter().map(ToString::to_string).collect();
        match &runs[..] {
            [] => {
                self.react(face::FAILED, faults).await;
                ("there is nothing to cancel".to_owned(), "answered")
            }
            [run] => {
                self.react(face::DONE, faults).await;
                (format!("the workflow's run {run} was asked to stop"), "cancelled")
            }
            runs => {
                self.react(face::DONE, faults).await;
                (format!("the workflow's runs {} were asked to stop", runs.join(" and ")), "cancelled")
            }
        }
    }

    /// The runs of the workflow that go on, as our comment says, are asked to stop: a sample and a full one there may be.
    async fn cancel(&self, number: u64, faults: &mut Vec<String>) -> Result<Vec<u64>, GhaError> {
        let forge = self.asked()?;
        let me = forge.me().await?;
        let comments = forge.comments(&self.context.repo, number).await?;
        let traces = find_marker(&comments, &me, &self.marker(number)).map(|found| found.traces).unwrap_or_default();
        let going = traces.all().iter().filter(|trace| trace.state == State::Running);
        let mut runs: Vec<u64> = going.map(|trace| trace.run).collect();
        runs.dedup();
        let (mut stopped, mut failed) = (Vec::new(), Vec::new());
        for run in runs {
            match self.stop(&**forge, number, run).await {
                Ok(true) => stopped.push(run),
                Ok(false) => {
                    faults.push(format!(
                        "the comment names the workflow's run {run}, which is none of this pull request's"
                    ));
                }
                Err(fault) => failed.push(fault),
            }
        }
        if stopped.is_empty()
            && let Some(fault) = failed.pop()
        {
            return Err(fault.into());
        }
        faults.extend(failed.into_iter().map(|fault| format!("a run was not cancelled: {fault}")));
        Ok(stopped)
    }

    /// Asks a run to stop, if it is one of this workflow, or of a workflow for this pull request: whoever may push may write
    /// into our comment, too. `false` where it is left alone.
    async fn stop(&self, forge: &dyn Forge, number: u64, run: u64) -> Result<bool, Fault> {
        if let Some(own) = &self.context.workflow {
            let about = forge.workflow_run(&self.context.repo, run).await?;
            if about.path != *own && !about.pulls.contains(&number) {
                return Ok(false);
            }
        }
        forge.cancel_run(&self.context.repo, run).await.map(|()| true)
    }

    async fn react(&self, reaction: Reaction, faults: &mut Vec<String>) {
        let (Some(forge), Event::Comment(comment)) = (&self.forge, &self.event) else { return };
        if let Err(fault) = forge.react(&self.context.repo, comment.number, comment.id, reaction).await {
            faults.push(format!("the comment got no reaction: {fault}"));
        }
    }

    async fn say(&self, text: &str, faults: &mut Vec<String>) {
        let (Some(forge), Event::Comment(comment)) = (&self.forge, &self.event) else { return };
        if let Err(fault) = forge.add_comment(&self.context.repo, comment.number, text).await {
            faults.push(format!("no answer was written: {fault}"));
        }
    }

    /// Says that a command was heard.
    pub async fn heard(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.react(face::HEARD, &mut faults).await;
        faults
    }
}

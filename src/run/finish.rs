//! The end of a run: what it means, the failure card, the record, the last event.

mod failed;

use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::card::{Card, Published};
use super::decide::Decided;
use super::ending::Ending;
use super::event::{Outcome, RunEvent, Step};
use super::execute::Clearing;
use super::findings;
use super::host::Host;
use super::pipeline::{Ran, TaskSeen};
use super::prepare::Prepared;
use super::reproduce;
use super::request::RunRequest;
use super::stop::Stop;
use super::takeover::Settled;
use super::telling::{StepTime, Telling, masked_card};
use super::unimported::Modules;
use crate::diag::Diagnostic;
use crate::environment::Network;
use crate::id::{Digest, Revision, RunId};
use crate::logs::Masker;
use crate::logs::diagnose::{Diagnosis, Kind};
use crate::outputs::manifest::{About, EnvironmentNote, ImageNote, TaskNote, Timing};
use crate::plan::{Limits, Mode};
use crate::repo::Checkout;
use crate::spec::amount::show_duration;
use crate::storage::Location;
use crate::store::{LiveRun, Part, Publication, Record, Status, StoreError};

/// How a run ended, for whoever asked for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub ending: Ending,
    /// Where its outputs are.
    pub published: Option<Published>,
    /// Why it stopped, when it did.
    pub stop: Option<Stop>,
}

/// What a run needs at its end.
pub(super) struct Facts<'a> {
    pub(super) live: &'a LiveRun,
    pub(super) host: &'a Host,
    pub(super) request: &'a RunRequest,
}

/// What is learned on the way.
pub(super) struct Kept {
    /// The record so far.
    pub(super) record: Record,
    /// Hides secrets; nothing until they are known.
    pub(super) masker: Masker,
    tasks: Vec<TaskSeen>,
    branch: Option<String>,
    ran: Option<Trouble>,
    modules: Option<Modules>,
}

/// What is left of a script for the card.
struct Trouble {
    code: i64,
    last_lines: Vec<String>,
    running: Option<String>,
    log_cut: Option<String>,
}

impl Kept {
    pub(super) fn begin(live: &LiveRun, checkout: &Arc<Checkout>, request: &RunRequest, now: Timestamp) -> Self {
        let record = super::runner::first_record(live, checkout, request, now);
        let branch = checkout.branch.clone();
        Self { record, masker: Masker::none(), tasks: Vec::new(), branch, ran: None, modules: None }
    }

    pub(super) fn decided(&mut self, decided: &Decided) {
        let plan = &decided.plan;
        self.record.project = plan.project.clone();
        self.record.revision = plan.revision.clone();
        self.record.mode = plan.mode;
        self.record.storage = match &decided.location {
            Location::Local(_) => decided.location.to_string(),
            _ => plan.storage.clone(),
        };
    }

    pub(super) fn prepared(&mut self, decided: &Decided, prepared: &Prepared) {
        self.modules = Modules::of(decided, prepared);
        self.record.environment = Some(prepared.environment.key);
        self.record.image = Some(prepared.image.reference.clone());
    }

    pub(super) fn ran(&mut self, ran: &Ran) {
        self.tasks.clone_from(&ran.tasks);
        self.ran = Some(Trouble {
            code: ran.executed.exit.code,
            last_lines: ran.last_lines.clone(),
            running: ran.running.clone(),
            log_cut: ran.log_cut.clone(),
        });
    }

    /// Whether the script came to an end.
    pub(super) fn has_run(&self) -> bool {
        self.ran.is_some()
    }

    /// The manifest's part that is not about files.
    pub(super) fn about(
        &self,
        decided: &Decided,
        prepared: &Prepared,
        settled: &Settled,
        telling: &Telling,
        now: Timestamp,
    ) -> About {
        let plan = &decided.plan;
        let timing = |time: StepTime| Timing { name: time.step.word().to_owned(), elapsed_ms: time.elapsed_ms };
        About {
            soopervisor: env!("CARGO_PKG_VERSION").to_owned(),
            project: plan.project.clone(),
            revision: plan.revision.clone(),
            commit: plan.revision.commit.clone(),
            dirty: plan.revision.dirty_tree.is_some(),
            repo: decided.checkout.origin.clone(),
            branch: self.branch.clone(),
            run: self.record.id.clone(),
            mode: if plan.sample_flag { Mode::Sample } else { Mode::Full },
            started: self.record.started_at,
            ended: now,
            steps: telling.times().into_iter().map(timing).collect(),
            environment: Some(EnvironmentNote {
                key: prepared.environment.key,
                lock: prepared.environment.lock.clone(),
            }),
            image: ImageNote {
                reference: prepared.image.reference.clone(),
                id: prepared.image.id.clone(),
                digest: prepared.image.digest.clone(),
            },
            ploomber: prepared.environment.ploomber.clone(),
            script_sha256: Digest(Sha256::digest(&decided.script).into()),
            tasks: self.task_notes(decided, prepared, settled),
            reuse: Some(settled.reuse.clone()),
        }
    }

    /// What was declared and what was seen: what Ploomber prints may be cut. A grid's tasks have names of their own and
    /// say which grid made them; the grid itself is no task beside them.
    fn task_notes(&self, decided: &Decided, prepared: &Prepared, settled: &Settled) -> Vec<TaskNote> {
        let takeover = &prepared.takeover;
        let note = |name: &str, declared: Option<&str>, seen: Option<&TaskSeen>| {
            let (taken, why, from) = takeover.verdict(declared.unwrap_or(name), settled);
            let reused = taken || seen.is_some_and(|seen| seen.outcome == Outcome::Reused);
            let reason = seen.filter(|seen| reused != taken && !seen.reason.is_empty()).map(|seen| seen.reason.clone());
            TaskNote {
                name: name.to_owned(),
                declared: declared.map(str::to_owned),
                outcome: if reused { "reused" } else { "executed" }.to_owned(),
                elapsed_ms: seen.map(|seen| millis(seen.elapsed)),
                reason: reason.unwrap_or(why),
                from,
            }
        };
        let written = &decided.project.pipeline.tasks;
        let grid = |seen: &TaskSeen| {
            let names = written.iter().map(|task| (task.name.as_str(), task.node.get("grid").is_some()));
            super::grid::declared_as(&seen.name, names)
        };
        let seen: Vec<(&TaskSeen, Option<&str>)> = self.tasks.iter().map(|seen| (seen, grid(seen))).collect();
        let told = |name: &str| seen.iter().any(|(seen, grid)| grid.unwrap_or(&seen.name) == name);
        let unseen = decided.plan.tasks.iter().filter(|task| !told(&task.name));
        let noted = seen.iter().map(|(seen, grid)| note(&seen.name, *grid, Some(seen)));
        noted.chain(unseen.map(|task| note(&task.name, None, None))).collect()
    }
}

/// What a script's end means.
pub(super) fn ending_of(ran: &Ran) -> Ending {
    let looks = failed::recent(&ran.last_lines);
    let disk_full = looks.is_some_and(|diagnosis| diagnosis.kind == Kind::DiskFull);
    Ending::of_script(&ran.executed, disk_full)
}

/// The stop for a script that did not succeed.
pub(super) fn stop_of(ending: Ending, ran: &Ran, limits: &Limits) -> Stop {
    let limit = |time: Option<Duration>| time.map(|time| format!(" {}", show_duration(time))).unwrap_or_default();
    let code = ran.executed.exit.code;
    let part = ran.failed_part.as_deref().filter(|part| *part != "build");
    let during = part.map(|part| format!(" in its step `{part}`")).unwrap_or_default();
    let hung = ran.executed.stopped == Some(super::cancel::CancelReason::OutOfMemory);
    let then = if hung { "; the rest of the pipeline was silent for a minute and was stopped" } else { "" };
    let message = match (ending, ran.executed.stopped) {
        (Ending::TimedOut, Some(super::cancel::CancelReason::Idle)) => {
            format!("the pipeline was silent for longer than --idle-timeout{} allows", limit(limits.idle_timeout))
        }
        (Ending::TimedOut, _) => {
            format!("the pipeline ran for longer than --timeout{} allows", limit(limits.timeout))
        }
        (Ending::Cancelled, _) => "stopped on request; nothing was published".to_owned(),
        (Ending::OutOfMemory, _) => match ran.memory_limit {
            Some(bytes) => {
                let limit = crate::spec::amount::show_size(bytes);
                format!("a process was killed because the run's memory ({limit}) was used up{then}")
            }
            None => format!("a process was killed because the machine's memory was used up{then}"),
        },
        (Ending::DiskFull, Some(super::cancel::CancelReason::OutOfDisk)) => {
            let limit = limits.disk_bytes.map(|bytes| format!(" {}", crate::spec::amount::show_size(bytes)));
            format!("the container wrote more than --disk{} allows", limit.unwrap_or_default())
        }
        (Ending::DiskFull, _) => "there is no space left on the disk".to_owned(),
        (Ending::Killed, _) => format!("the container was killed from outside (code {code})"),
        _ => format!("the script ended with code {code}{during}"),
    };
    let help = match ending {
        Ending::OutOfMemory => Some("give it more with `--memory`, or use `--sample`"),
        Ending::DiskFull if ran.executed.stopped == Some(super::cancel::CancelReason::OutOfDisk) => {
            Some("give it more with `--disk`, or let it write to the repository's folder, which does not count")
        }
        Ending::DiskFull => Some("`docker system prune` and `soopervisor doctor` show where space can be won"),
        Ending::TimedOut if ran.executed.stopped == Some(super::cancel::CancelReason::Idle) => {
            Some("give it longer with `--idle-timeout`, or let the task print something now and then")
        }
        Ending::TimedOut => Some("give it longer with `--timeout`, or try `--sample` first"),
        _ => None,
    };
    let help = help.map(str::to_owned).or_else(|| too_many(ending, ran, limits));
    Stop::new(ending, message).help(help)
}

/// The limit that a script ran into which could start no further process.
fn too_many(ending: Ending, ran: &Ran, limits: &Limits) -> Option<String> {
    let looks = failed::recent(&ran.last_lines);
    let said = looks.as_ref().is_some_and(|looks| looks.kind == Kind::TooManyProcesses);
    // What went wrong for another reason has got along with fewer.
    let may_be = ran.processes_refused && looks.as_ref().is_none_or(Diagnosis::is_bare);
    let why = if ran.processes_refused { "that was too few" } else { "most likely too few" };
    (ending == Ending::ScriptFailed && (said || may_be))
        .then(|| format!("{} processes and threads may run at once, {why}: `--pids` gives it more", limits.pids))
}

/// `4 tasks` and how many of them were up to date.
pub(super) fn tasks_in_words(tasks: &[TaskSeen]) -> String {
    let reused = tasks.iter().filter(|task| task.outcome == Outcome::Reused).count();
    let words = super::figures::count(tasks.len() as u64, "task");
    if reused == 0 { words } else { format!("{words}, {reused} up to date") }
}

/// Leaves the command that repeats the script in the run's folder, and the packages that it ran with: a run that fails
/// has no manifest that would hold them.
pub(super) fn keep_reproduction(
    live: &LiveRun,
    decided: &Decided,
    prepared: &Prepared,
    network: &Network,
) -> Result<(), Stop> {
    let path = live.folder().path().join(reproduce::FILE);
    let text = reproduce::script(live, decided, prepared, network);
    let write = || -> std::io::Result<()> {
        use std::io::Write;
        let mut options = std::fs::OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o700).open(&path)?.write_all(text.as_bytes())?;
        std::fs::write(live.folder().packages(), serde_json::to_vec(&prepared.environment.lock)?)
    };
    write().map_err(|error| Stop::of(Ending::of_io(&error), &error))
}

/// Writes the record, sees the container and the work folder off, and tells the end.
pub(super) async fn finish(
    result: Result<Published, Stop>,
    clearing: Option<Clearing>,
    mut kept: Kept,
    facts: &Facts<'_>,
    telling: &Telling,
) -> Finished {
    let step = telling.current();
    let (ending, published, stop) = match result {
        Ok(published) => (Ending::Succeeded, Some(published), None),
        Err(stop) => (stop.ending, None, Some(telling.masked_stop(&stop))),
    };
    // After a success only the report is open, which is what happens here.
    if ending != Ending::Succeeded {
        telling.end_open(if ending == Ending::Cancelled { Outcome::Cancelled } else { Outcome::Failed });
    }
    let card = stop.as_ref().map(|stop| masked_card(&failed::card(stop, step, &kept, facts), &kept.masker));
    if let Some(card) = &card {
        telling.tell(&RunEvent::Failed(Box::new(card.clone())));
    }
    let words = match &stop {
        Some(stop) => stop.words(step, kept.has_run()),
        None => ending.words().to_owned(),
    };
    if let Some(stop) = stop.as_ref().filter(|_| !kept.has_run()) {
        findings::log(facts.live, stop);
    }
    let summary = kept.masker.text(&summary(&kept.record, &words));
    close_record(&mut kept, ending, published.as_ref(), card.as_ref(), &summary, telling, facts);
    // While the engine still takes the container away: what came of the run does not depend on that.
    facts.live.make_room();
    let saved = tokio::task::block_in_place(|| facts.live.save(&kept.record));
    // What a script left is kept for a look when it failed; a snapshot that nothing ran in is of no use to anybody.
    let worth_a_look = ending != Ending::Succeeded && kept.ran.is_some();
    let closed = Instant::now();
    let left = clear(clearing, !worth_a_look && !facts.request.keep_work, facts.live, telling).await;
    if saved.is_err() || !left.is_empty() || closed.elapsed() > UNTOLD {
        for warning in left {
            telling.tell(&RunEvent::Diagnosed(warning));
        }
        (kept.record.findings, kept.record.more_findings) = telling.findings();
        // It took that long for whoever waited.
        kept.record.ended_at = Some((facts.host.clock)());
        kept.record.steps = telling.times_so_far().into_iter().map(part_of_step).collect();
        if let Err(error) = facts.live.save(&kept.record) {
            telling.tell(&RunEvent::Diagnosed(not_recorded(&error, facts.live)));
        }
    }
    if ending == Ending::Succeeded {
        telling.end(Step::Report, Outcome::Done, "");
    }
    telling.tell(&RunEvent::Ended { exit_code: ending.exit_code(), summary });
    Finished { run: kept.record.id, ending, published, stop }
}

/// The run is over whether that can be written down or not: whoever waits learns how.
fn not_recorded(error: &StoreError, live: &LiveRun) -> Diagnostic {
    let message = format!("how this run ended is not in the history: {}", Stop::of(Ending::Internal, error).line());
    let help = format!("see how much room there is: `df -h {}`", live.folder().path().display());
    Diagnostic::warning("run/not-recorded", message).help(help)
}

/// How long an engine takes for a container before somebody wonders.
const UNTOLD: Duration = Duration::from_secs(1);

/// Waits until the container is gone, and takes the work folder away. What stays behind does not change how a run ended.
async fn clear(clearing: Option<Clearing>, work: bool, live: &LiveRun, telling: &Telling) -> Vec<Diagnostic> {
    let mut left = Vec::new();
    let gone = async {
        let mut gone = std::pin::pin!(clearing?.gone());
        if let Ok(gone) = tokio::time::timeout(UNTOLD, &mut gone).await {
            return Some(gone);
        }
        let step = telling.current().unwrap_or(Step::Report);
        telling.warn(step, "the engine is slow to take the container away: waiting until it is gone");
        Some(gone.await)
    };
    if let Some(Err(error)) = gone.await {
        let message = format!("the container could not be removed: {error}");
        let help = "the next run removes it; `soopervisor doctor` tells how the engine is";
        left.push(Diagnostic::warning("run/not-cleared", message).help(help));
    }
    if let Some(Err(error)) = work.then(|| tokio::task::block_in_place(|| live.clear_work())) {
        let message = format!("the run's work folder could not be removed: {error}");
        let help = format!("nobody needs it: remove {}", live.folder().work().display());
        left.push(Diagnostic::warning("run/work-left", message).help(help));
    }
    left
}

fn summary(record: &Record, words: &str) -> String {
    format!("{} {} {words}", record.project, shown(&record.revision))
}

/// A commit as the first and the last line name it; whether there were changes on top of it belongs to it.
pub(super) fn shown(revision: &Revision) -> String {
    let dirty = if revision.dirty_tree.is_some() { "-dirty" } else { "" };
    format!("{}{dirty}", revision.commit.short())
}

fn close_record(
    kept: &mut Kept,
    ending: Ending,
    published: Option<&Published>,
    card: Option<&Card>,
    summary: &str,
    telling: &Telling,
    facts: &Facts<'_>,
) {
    let record = &mut kept.record;
    record.status = match ending {
        Ending::Succeeded => Status::Succeeded,
        Ending::Cancelled => Status::Cancelled,
        _ => Status::Failed,
    };
    record.exit_code = Some(ending.exit_code());
    record.summary = Some(summary.to_owned());
    record.ended_at = Some((facts.host.clock)());
    record.steps = telling.times_so_far().into_iter().map(part_of_step).collect();
    record.tasks = kept.tasks.iter().map(part_of_task).collect();
    (record.findings, record.more_findings) = telling.findings();
    record.published = published.map(|published| Publication {
        location: published.location.clone(),
        files: published.files,
        bytes: published.bytes,
    });
    record.log_bytes = std::fs::metadata(facts.live.folder().log()).map_or(0, |meta| meta.len());
    record.masked = kept.masker.hits().into_iter().collect();
    record.card = card.and_then(|card| serde_json::to_value(card).ok());
}

fn part_of_step(time: StepTime) -> Part {
    Part {
        name: time.step.word().to_owned(),
        outcome: outcome_word(time.outcome).to_owned(),
        elapsed_ms: time.elapsed_ms,
        detail: time.detail,
    }
}

fn part_of_task(task: &TaskSeen) -> Part {
    Part {
        name: task.name.clone(),
        outcome: outcome_word(task.outcome).to_owned(),
        elapsed_ms: millis(task.elapsed),
        detail: task.reason.clone(),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done",
        Outcome::Reused => "reused",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
    }
}

#[cfg(test)]
mod tests;

//! The execute step: the script in its container, its output on its way to the log and to whoever listens.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ahead::Early;
use super::cancel::Cancel;
use super::carry::Carrying;
use super::container::Shape;
use super::decide::Decided;
use super::ending::Ending;
use super::event::{Outcome, RunEvent, Step};
use super::execute::{Clearing, Container, Executed, SILENCE_AFTER_MEMORY_KILL, Watch, execute};
use super::figures;
use super::layers::Over;
use super::prepare::Prepared;
use super::stop::Stop;
use super::takeover::Planned;
use super::telling::Telling;
use crate::diag::Diagnostic;
use crate::engine::ExecSpec;
use crate::environment::Network;
use crate::id::RunId;
use crate::logs::file::{Bound, Cut, Written};
use crate::logs::marker::Marker;
use crate::logs::tasks::{Known, TaskEvent, TaskOutcome};
use crate::logs::{Entry, Feed, Happened, LogFile, Masker, Options, Pipeline, Summary};
use crate::secret::Secret;
use crate::spec;
use crate::spec::amount::{show_duration, show_size};
use crate::store::Folder;

/// One task as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSeen {
    /// Ploomber's name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took.
    pub elapsed: std::time::Duration,
    /// Why it was executed or not; may be empty.
    pub reason: String,
}

/// The run's log on its way to the disk, which is waited for before the run is over.
#[derive(Debug)]
pub struct Syncing(Option<JoinHandle<std::io::Result<()>>>);

/// How long a disk takes for a log before somebody wonders.
const UNTOLD: Duration = Duration::from_secs(1);

impl Syncing {
    fn begin(log: Option<Written>) -> Self {
        Self(log.map(|log| tokio::task::spawn_blocking(move || log.sync())))
    }

    /// Waits until the log would outlive a power cut, and tells why it would not.
    pub async fn done(self, telling: &Telling) {
        let Some(mut syncing) = self.0 else { return };
        let quickly = tokio::time::timeout(UNTOLD, &mut syncing).await;
        let synced = if let Ok(synced) = quickly {
            synced
        } else {
            telling
                .warn(telling.current().unwrap_or(Step::Execute), "the disk is busy: waiting until the log is on it");
            syncing.await
        };
        if let Ok(Err(error)) = synced {
            telling.progress(Step::Execute, format!("the log on disk is not whole: {error}"));
        }
    }
}

/// What came of the script.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub executed: Executed,
    /// Tasks, in the order in which they ended.
    pub tasks: Vec<TaskSeen>,
    /// The end of its output, masked.
    pub last_lines: Vec<String>,
    /// The script's own step that failed: `activate`, `install`, `build`.
    pub failed_part: Option<String>,
    /// The memory it had, where that was limited.
    pub memory_limit: Option<u64>,
    /// The task that had begun and not ended.
    pub running: Option<String>,
    /// What the log on disk lacks, in words.
    pub log_cut: Option<String>,
    /// Whether a process or thread was refused because there were as many as there may be.
    pub processes_refused: bool,
}

/// What the script needs besides the plan.
pub struct Setting<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Its folder.
    pub folder: &'a Folder,
    /// Image, environment, engine.
    pub prepared: &'a Prepared,
    /// Proxies, certificates, indexes.
    pub network: &'a Network,
    /// For the pipeline's environment.
    pub secrets: &'a [Secret],
    /// The container, where it was started beforehand.
    pub ahead: &'a Early,
    /// Hides them.
    pub masker: &'a Masker,
    /// Whether colours may be shown.
    pub colours: bool,
}

/// Runs the script; its container is being cleared away, and its log synced, when this returns.
///
/// # Errors
/// When the engine or the log fail; a script that ends with any code is no error.
pub async fn run_script(
    decided: &Decided,
    setting: &Setting<'_>,
    telling: &Telling,
    cancel: &Cancel,
) -> Result<(Ran, Clearing, Syncing), Stop> {
    let plan = &decided.plan;
    telling.begin(Step::Execute, plan.tasks_in_words());
    if plan.limits.memory_bytes.is_none() {
        let note = "no memory limit is set: the pipeline may use all of the machine's (`--memory 8g` sets one)";
        telling.progress(Step::Execute, note);
    }
    let nonce = nonce().map_err(|error| Stop::of(Ending::Internal, &error))?;
    let (mut sink, feed) = way(decided, setting, &nonce).map_err(|error| Stop::of(Ending::of_io(&error), &error))?;
    let (runtime, listener) = (tokio::runtime::Handle::current(), telling.clone());
    let silence = Silence { idle_timeout: plan.limits.idle_timeout, ..Silence::default() };
    let seen = Seen { planned: setting.prepared.takeover.planned(), silence, ..Seen::default() };
    let (ended, over) = tokio::sync::watch::channel(false);
    let showing = tokio::task::spawn_blocking(move || runtime.block_on(show(feed, listener, seen, over)));
    let ticking = tokio::spawn(sink.clone().tick_until_finished());
    let exec = ExecSpec { script: decided.script.clone(), secrets: secrets(setting), nonce };
    let watch = Watch { timeout: plan.limits.timeout, idle_timeout: plan.limits.idle_timeout, ..Watch::default() };
    let session = Shape::of(plan, setting).session();
    let engine = setting.prepared.engine.as_ref();
    let executed = match (&setting.prepared.environment.volume, &setting.prepared.layered) {
        (Some(volume), _) => {
            let run = Carrying { setting, volume, telling, cancel };
            run.execute(session, exec, watch, &mut sink).await
        }
        (None, Some(layered)) => {
            let run = Over { layered, setting, plan, cancel };
            run.execute(session, exec, watch, &mut sink).await
        }
        (None, None) => {
            let container = match setting.ahead.take(&session) {
                Some(ahead) => Container::Early(ahead, Box::new(session)),
                None => session.into(),
            };
            execute(engine, container, exec, watch, cancel, &mut sink).await
        }
    };
    let mut summary = sink.finish().await;
    let written = summary.as_mut().and_then(|summary| summary.log.take());
    let log_cut = written.as_ref().and_then(Written::cut).map(|cut| told(cut, telling));
    let syncing = Syncing::begin(written);
    ticking.abort();
    ended.send_replace(true);
    let seen = showing.await.map_err(|error| Stop::of(Ending::Internal, &error))?;
    if let Some(error) = summary.as_ref().and_then(|summary| summary.log_error.as_ref()) {
        telling.progress(Step::Execute, format!("the log on disk is not whole: {error}"));
    }
    match executed {
        Ok((executed, clearing)) => {
            let ran = Ran { log_cut, ..ran(executed, summary, seen, plan.limits.memory_bytes) };
            Ok((ran, clearing, syncing))
        }
        Err(error) => {
            syncing.done(telling).await;
            Err(error.into())
        }
    }
}

fn ran(executed: Executed, summary: Option<Summary>, seen: Seen, memory_limit: Option<u64>) -> Ran {
    let last_lines = summary.map(|summary| summary.last_lines).unwrap_or_default();
    let (tasks, failed_part, running, processes_refused) = (seen.tasks, seen.failed_part, seen.current, seen.refused);
    Ran { executed, tasks, last_lines, failed_part, memory_limit, running, log_cut: None, processes_refused }
}

/// The way of a run's output to its log and to whoever is shown it.
fn way(decided: &Decided, setting: &Setting<'_>, nonce: &str) -> std::io::Result<(Pipeline, Feed<Happened>)> {
    let most = decided.plan.limits.log_bytes.unwrap_or(u64::MAX);
    let log = LogFile::open(&setting.folder.log(), most)?.sparing_the_disk();
    let (nonce, tasks) = (Some(nonce.to_owned()), known(&decided.project.pipeline));
    let options = Options { nonce, colours: setting.colours, tasks, ..Options::default() };
    Pipeline::new(setting.masker, log, &options)
}

/// The tasks that a pipeline has. A function that makes them says so only while it runs, as does a placeholder in a name.
fn known(pipeline: &spec::Pipeline) -> Known {
    let names = pipeline.tasks.iter().map(|task| (task.name.as_str().to_owned(), task.node.get("grid").is_some()));
    let names: Vec<(String, bool)> = names.collect();
    if pipeline.location.is_some() || names.iter().any(|(name, _)| name.contains("{{")) {
        return Known::default();
    }
    Known::of(move |seen| super::grid::is_one(seen, names.iter().map(|(name, grid)| (name.as_str(), *grid))))
}

/// Tells what a log lacks.
fn told(cut: Cut, telling: &Telling) -> String {
    let words = cut_in_words(cut);
    telling.warn(Step::Execute, format!("the log on disk is not whole: {words}"));
    words
}

/// What a log lacks, and what it reached.
fn cut_in_words(cut: Cut) -> String {
    let why = match cut.bound {
        Bound::Limit(cap) => format!("its limit is {} (`--log-limit`)", show_size(cap)),
        Bound::Disk(free) => format!("its disk has only {} left", figures::bytes(free)),
    };
    format!("{} of its middle were left out, because {why}", figures::bytes(cut.bytes))
}

/// What was seen while the output went by.
#[derive(Default)]
struct Seen {
    tasks: Vec<TaskSeen>,
    failed_part: Option<String>,
    planned: Planned,
    /// Whether a step of the script goes on: what is copied before the first or after the last one prints nothing.
    in_step: bool,
    /// The task that goes on.
    current: Option<String>,
    /// Whether a process was killed for memory, and that was not told yet.
    lost: bool,
    /// Whether a process or thread was refused.
    refused: bool,
    silence: Silence,
}

/// How long the pipeline may print nothing before that is said. A worker of a process pool that has died is waited for
/// by Ploomber for ever, without a word; tasks that compute for longer and are well lose a line by it.
const SILENCE: Duration = Duration::from_mins(10);

/// The same once a process was killed for memory: what is left may wait for it, and is stopped in the end.
const SILENCE_AFTER_LOSS: Duration = Duration::from_secs(5);

/// When a silence is told, and what will come of it.
#[derive(Clone, Copy)]
struct Silence {
    limit: Duration,
    after_loss: Duration,
    idle_timeout: Option<Duration>,
}

impl Default for Silence {
    fn default() -> Self {
        Self { limit: SILENCE, after_loss: SILENCE_AFTER_LOSS, idle_timeout: None }
    }
}

impl Silence {
    /// What is said of it after a process was lost.
    fn after_loss_in_words(self, task: Option<&str>) -> String {
        let task = task.map(|task| format!("; task `{task}` is running")).unwrap_or_default();
        let silent = show_duration(self.after_loss);
        let limit = show_duration(SILENCE_AFTER_MEMORY_KILL);
        format!(
            "a process was killed because memory was used up, and nothing was printed for {silent}{task}; the run ends \
             after {limit} of it"
        )
    }

    /// What is said of it.
    fn in_words(self, task: Option<&str>) -> String {
        let limit = match self.limit.as_secs() / 60 {
            0 => figures::duration(self.limit),
            minutes => figures::count(minutes, "minute"),
        };
        let task = task.map(|task| format!("; task `{task}` is running")).unwrap_or_default();
        let then = match self.idle_timeout {
            Some(limit) => format!("the run ends after {} of it (`--idle-timeout`)", show_duration(limit)),
            None => "`--idle-timeout 30m` ends such runs".to_owned(),
        };
        format!("nothing was printed for {limit}{task}; {then}")
    }
}

/// What comes next; a long wait for it is told, once.
async fn next(
    feed: &mut Feed<Happened>,
    telling: &Telling,
    seen: &mut Seen,
) -> std::io::Result<Option<Entry<Happened>>> {
    if !seen.in_step {
        return feed.next().await;
    }
    let limit = if seen.lost { seen.silence.after_loss } else { seen.silence.limit };
    if let Ok(entry) = tokio::time::timeout(limit, feed.next()).await {
        return entry;
    }
    let task = seen.current.as_deref();
    let words = if seen.lost { seen.silence.after_loss_in_words(task) } else { seen.silence.in_words(task) };
    seen.lost = false;
    telling.warn(Step::Execute, words);
    feed.next().await
}

/// How long a reader may take nothing once the script has ended, before the rest of its output is left to the log.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hands everything on to the listener, on a thread of its own: a slow one holds up nobody but itself, and one that has
/// stopped reading does not hold up the run's end.
async fn show(mut feed: Feed<Happened>, telling: Telling, mut seen: Seen, mut over: watch::Receiver<bool>) -> Seen {
    let mut shown = true;
    loop {
        let entry = match next(&mut feed, &telling, &mut seen).await {
            Ok(Some(entry)) => entry,
            Ok(None) => return seen,
            Err(error) => {
                telling.progress(Step::Execute, format!("some output cannot be shown: {error}"));
                return seen;
            }
        };
        let event = match entry {
            Entry::Output { .. } if !shown => continue,
            Entry::Output { stream, bytes } => RunEvent::Output { stream, bytes },
            Entry::Event(happened) => match seen.take(happened) {
                Some(event) => event,
                None => continue,
            },
        };
        if shown && !reader_follows(&telling, &mut over).await {
            shown = false;
            telling.progress(Step::Execute, "nobody reads any more: the rest of the output is in the log only");
            continue;
        }
        telling.tell(&event);
    }
}

/// Waits until what was told is written, but for a little; `false` when the script is over and the reader stands still.
async fn reader_follows(telling: &Telling, over: &mut watch::Receiver<bool>) -> bool {
    let (mut taken, mut since) = (telling.backlog().taken(), Instant::now());
    while !telling.backlog().has_room() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = telling.backlog().taken();
        if now != taken || !*over.borrow() {
            (taken, since) = (now, Instant::now());
        } else if since.elapsed() > PATIENCE {
            return false;
        }
    }
    true
}

impl Seen {
    fn take(&mut self, happened: Happened) -> Option<RunEvent> {
        match happened {
            Happened::Step(Marker::Started { name }) => {
                self.in_step = true;
                Some(RunEvent::StepProgress { step: Step::Execute, text: part_in_words(&name).to_owned() })
            }
            Happened::Step(Marker::Ended { name, code, .. }) => {
                self.in_step = false;
                if code != 0 {
                    self.failed_part = Some(name);
                }
                None
            }
            Happened::Task(TaskEvent::Started { name }) => {
                self.current = Some(name.clone());
                Some(RunEvent::TaskStarted { name })
            }
            Happened::Task(TaskEvent::Ended { name, outcome, elapsed }) => {
                self.current.take_if(|current| *current == name);
                let outcome = match outcome {
                    TaskOutcome::Ran => Outcome::Done,
                    TaskOutcome::Skipped => Outcome::Reused,
                    TaskOutcome::Failed => Outcome::Failed,
                };
                let (reason, from) = self.planned.why(&name, outcome);
                self.tasks.push(TaskSeen { name: name.clone(), outcome, elapsed, reason: reason.clone() });
                Some(RunEvent::TaskEnded { name, outcome, elapsed, reason, from })
            }
            // The log has a line about it, and so has everybody who reads it.
            Happened::Gap => None,
            Happened::KilledForMemory => {
                self.lost = true;
                None
            }
            Happened::ProcessesRefused => {
                self.refused = true;
                None
            }
            Happened::DiskNotHeld => Some(RunEvent::Diagnosed(disk_not_held())),
        }
    }
}

fn disk_not_held() -> Diagnostic {
    let message = "the engine's storage driver cannot limit the disk: how much the container has written is looked at \
                   every second, and the run ends once that is more than `--disk` allows";
    let help = "a driver that can: overlay2 on xfs with the mount option pquota, btrfs, zfs";
    Diagnostic::warning("run/disk-not-held", message).help(help)
}

fn part_in_words(name: &str) -> &str {
    match name {
        "activate" => "activating the environment",
        "install" => "installing the project into this run",
        "build" => "ploomber build",
        other => other,
    }
}

fn secrets(setting: &Setting<'_>) -> Vec<Secret> {
    setting.secrets.iter().chain(&setting.network.secret_env).cloned().collect()
}

/// 32 hexadecimal digits that the pipeline cannot know.
fn nonce() -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests;

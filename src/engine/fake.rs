//! An engine without containers, for tests: plays scripted outcomes and remembers what it was asked.
//!
//! It keeps the promises of the room (`tests/engine` holds both engines to them) and runs no script: what a script
//! would have done to mounted folders is played by [`Outcome::effect`].

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{
    Carried, Control, Engine, EngineError, EngineInfo, ExecSpec, Exit, Image, OutputSink, Purpose, Session,
    SessionSpec, Stream, Swept, frame,
};
use crate::secret::Secret;

/// What one session was asked.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The container's name.
    pub name: String,
    /// How it was asked for.
    pub spec: SessionSpec,
    /// The script, once it was given.
    pub script: Option<String>,
    /// The marker nonce, once it was given.
    pub nonce: Option<String>,
    /// The secrets it was given.
    pub secrets: Vec<Secret>,
    /// Whether it was closed.
    pub closed: bool,
}

/// A container of which nothing in particular is asked, for a run of this name.
///
/// # Panics
/// When no run can have that name.
pub fn spec(run: &str) -> SessionSpec {
    SessionSpec {
        run: run.parse().expect("the name of a run"),
        purpose: Purpose::Run,
        image: "image".to_owned(),
        user: (10_001, 10_001),
        mounts: Vec::new(),
        carried: Carried::default(),
        pipes: None,
        env: BTreeMap::new(),
        workdir: "/".to_owned(),
        memory_bytes: None,
        cpus: None,
        pids: 64,
        disk_bytes: None,
        network: false,
        labels: BTreeMap::new(),
    }
}

type Effect = Box<dyn FnOnce(&Seen) + Send>;
type Words = Box<dyn FnOnce(&Seen) -> Vec<u8> + Send>;

enum Step {
    Say(Stream, Words),
    Pause(Duration),
    Gap,
    Effect(Effect),
    KillForMemory,
    FillDisk,
    DiskNotHeld,
    Hang { minds_term: bool },
    Lose(String),
}

/// What one session will do; steps are played in the order in which they were added, then it exits.
pub struct Outcome {
    refusal: Option<EngineError>,
    steps: Vec<Step>,
    exit: Exit,
}

impl Outcome {
    /// Ends with `code`.
    #[must_use]
    pub fn exit(code: i64) -> Self {
        let exit = Exit { code, oom_killed: false, peak_memory_bytes: None };
        Self { refusal: None, steps: Vec::new(), exit }
    }

    /// The container does not even start.
    #[must_use]
    pub fn refuse(error: EngineError) -> Self {
        Self { refusal: Some(error), ..Self::exit(0) }
    }

    fn with(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// Writes to standard output.
    #[must_use]
    pub fn stdout(self, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.with(Step::Say(Stream::Stdout, Box::new(|_| bytes)))
    }

    /// Writes to standard error.
    #[must_use]
    pub fn stderr(self, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.with(Step::Say(Stream::Stderr, Box::new(|_| bytes)))
    }

    /// Writes what depends on the request, such as markers that carry its nonce.
    #[must_use]
    pub fn say(self, stream: Stream, words: impl FnOnce(&Seen) -> Vec<u8> + Send + 'static) -> Self {
        self.with(Step::Say(stream, Box::new(words)))
    }

    /// Takes its time; a stop or kill cuts it short.
    #[must_use]
    pub fn pause(self, time: Duration) -> Self {
        self.with(Step::Pause(time))
    }

    /// Loses some output.
    #[must_use]
    pub fn gap(self) -> Self {
        self.with(Step::Gap)
    }

    /// Does what the script would do, for example to the mounted folders.
    #[must_use]
    pub fn effect(self, effect: impl FnOnce(&Seen) + Send + 'static) -> Self {
        self.with(Step::Effect(Box::new(effect)))
    }

    /// Runs until it is stopped or killed.
    #[must_use]
    pub fn hang(self) -> Self {
        self.with(Step::Hang { minds_term: true })
    }

    /// Runs until it is killed; a stop waits for its whole grace.
    #[must_use]
    pub fn hang_deaf(self) -> Self {
        self.with(Step::Hang { minds_term: false })
    }

    /// The engine goes away.
    #[must_use]
    pub fn lose(self, reason: impl Into<String>) -> Self {
        self.with(Step::Lose(reason.into()))
    }

    /// Some process is killed for memory at this point, and the rest goes on.
    #[must_use]
    pub fn kill_for_memory(self) -> Self {
        self.with(Step::KillForMemory).oom()
    }

    /// It has written more than its disk limit allows at this point, and goes on.
    #[must_use]
    pub fn fill_disk(self) -> Self {
        self.with(Step::FillDisk)
    }

    /// The engine does not hold disk limits.
    #[must_use]
    pub fn disk_not_held(self) -> Self {
        self.with(Step::DiskNotHeld)
    }

    /// Some process was killed for memory; told only when all has ended.
    #[must_use]
    pub fn oom(mut self) -> Self {
        self.exit.oom_killed = true;
        self
    }

    /// The highest memory use that is told.
    #[must_use]
    pub fn peak(mut self, bytes: u64) -> Self {
        self.exit.peak_memory_bytes = Some(bytes);
        self
    }
}

/// The engine; clones share their script and their memory.
#[derive(Clone, Default)]
pub struct Fake {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    planned: VecDeque<(Purpose, Outcome)>,
    seen: Vec<Seen>,
    missing_images: Vec<String>,
    leftovers: Vec<Swept>,
    hides_files: bool,
}

/// Two fakes in one process must not give one name twice.
static NAMES: AtomicU32 = AtomicU32::new(0);

impl Fake {
    /// One that exits 0 whatever it is asked, until told otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere has its own message; the data behind the lock is plain.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next session of that purpose plays `outcome`; several are played in the order in which they were planned.
    pub fn plan(&self, purpose: Purpose, outcome: Outcome) {
        self.state().planned.push_back((purpose, outcome));
    }

    /// `ensure_image` and `start` fail for this reference.
    pub fn lacks_image(&self, reference: impl Into<String>) {
        self.state().missing_images.push(reference.into());
    }

    /// The engine does not see our files.
    pub fn hide_files(&self) {
        self.state().hides_files = true;
    }

    /// The next sweep finds this.
    pub fn leave_behind(&self, leftover: Swept) {
        self.state().leftovers.push(leftover);
    }

    /// Every session so far, in the order in which they were started.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    fn check_image(&self, reference: &str) -> Result<(), EngineError> {
        if self.state().missing_images.iter().any(|missing| missing == reference) {
            return Err(EngineError::Image { reference: reference.to_owned(), reason: "no such image".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl Engine for Fake {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        Ok(EngineInfo {
            name: "fake 1".into(),
            id: "fake".into(),
            address: "fake://".into(),
            architecture: std::env::consts::ARCH.into(),
            cgroup: "cgroup v2".into(),
            rootless: false,
            storage: "fake on nothing".into(),
        })
    }

    async fn find_image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        self.check_image(reference)?;
        Ok(Some(Image { id: format!("sha256:fake-{reference}"), digest: None, reference: reference.to_owned() }))
    }

    async fn ensure_image(
        &self,
        reference: &str,
        _progress: &mut (dyn FnMut(String) + Send),
    ) -> Result<Image, EngineError> {
        self.check_image(reference)?;
        Ok(Image { id: format!("sha256:fake-{reference}"), digest: None, reference: reference.to_owned() })
    }

    async fn shares_files(&self, _folder: &Path, _image: &str) -> Result<bool, EngineError> {
        Ok(!self.state().hides_files)
    }

    async fn start(&self, spec: SessionSpec) -> Result<Box<dyn Session>, EngineError> {
        self.check_image(&spec.image)?;
        let mut state = self.state();
        let next = state.planned.iter().position(|(purpose, _)| *purpose == spec.purpose);
        let outcome = next.and_then(|at| state.planned.remove(at)).map_or_else(|| Outcome::exit(0), |(_, o)| o);
        if let Some(error) = outcome.refusal {
            return Err(error);
        }
        let name = format!("fake-{}-{}", spec.run, NAMES.fetch_add(1, Ordering::Relaxed));
        let seen = Seen { name: name.clone(), spec, script: None, nonce: None, secrets: Vec::new(), closed: false };
        state.seen.push(seen);
        let at = state.seen.len() - 1;
        Ok(Box::new(Played {
            fake: self.clone(),
            at,
            name,
            play: Some((outcome.steps, outcome.exit)),
            signals: Arc::new(Signals {
                sent: watch::channel(0).0,
                ended: watch::channel(false).0,
                killed_for_memory: watch::channel(false).0,
                disk_filled: watch::channel(false).0,
            }),
        }))
    }

    async fn sweep(&self) -> Result<Vec<Swept>, EngineError> {
        Ok(std::mem::take(&mut self.state().leftovers))
    }
}

const TERM: i64 = 15;
const KILL: i64 = 9;

/// What was sent to a session (0, [`TERM`] or [`KILL`]), whether it has ended, lost a process, or written too
/// much.
struct Signals {
    sent: watch::Sender<i64>,
    ended: watch::Sender<bool>,
    killed_for_memory: watch::Sender<bool>,
    disk_filled: watch::Sender<bool>,
}

impl Signals {
    /// Waits for a signal that ends a process: KILL, or TERM where it minds that.
    async fn deadly(&self, minds_term: bool) -> i64 {
        let mut sent = self.sent.subscribe();
        let deadly = sent.wait_for(|signal| *signal == KILL || (minds_term && *signal == TERM)).await;
        deadly.map_or(KILL, |signal| *signal)
    }

    fn end(&self) {
        self.ended.send_replace(true);
    }
}

#[async_trait]
impl Control for Signals {
    async fn stop(&self, grace: Duration) -> Result<(), EngineError> {
        // KILL is not taken back by a later TERM.
        self.sent.send_modify(|signal| *signal = if *signal == KILL { KILL } else { TERM });
        let mut ended = self.ended.subscribe();
        let left = ended.wait_for(|ended| *ended);
        if tokio::time::timeout(grace, left).await.is_err() {
            self.sent.send_replace(KILL);
        }
        Ok(())
    }

    async fn kill(&self) -> Result<(), EngineError> {
        self.sent.send_replace(KILL);
        Ok(())
    }

    async fn out_of_memory(&self) {
        // The sender is `self`: this cannot fail while we wait.
        let _ = self.killed_for_memory.subscribe().wait_for(|killed| *killed).await;
    }

    async fn out_of_disk(&self) {
        let _ = self.disk_filled.subscribe().wait_for(|filled| *filled).await;
    }
}

struct Played {
    fake: Fake,
    at: usize,
    name: String,
    play: Option<(Vec<Step>, Exit)>,
    signals: Arc<Signals>,
}

impl Played {
    fn seen(&self) -> Seen {
        self.fake.state().seen[self.at].clone()
    }

    /// Plays the steps; a signal's number where one ended it early.
    async fn steps(&mut self, steps: Vec<Step>, sink: &mut dyn OutputSink) -> Result<Option<i64>, EngineError> {
        for step in steps {
            match step {
                Step::Say(stream, words) => {
                    let bytes = words(&self.seen());
                    sink.output(stream, &bytes).await;
                }
                Step::Pause(time) => {
                    if let Ok(signal) = tokio::time::timeout(time, self.signals.deadly(true)).await {
                        return Ok(Some(signal));
                    }
                }
                Step::Gap => sink.gap().await,
                Step::Effect(effect) => effect(&self.seen()),
                Step::KillForMemory => {
                    self.signals.killed_for_memory.send_replace(true);
                    sink.killed_for_memory().await;
                }
                Step::FillDisk => {
                    self.signals.disk_filled.send_replace(true);
                }
                Step::DiskNotHeld => sink.disk_not_held().await,
                Step::Hang { minds_term } => return Ok(Some(self.signals.deadly(minds_term).await)),
                Step::Lose(reason) => return Err(EngineError::Gone { reason }),
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Session for Played {
    fn name(&self) -> &str {
        &self.name
    }

    fn control(&self) -> Arc<dyn Control> {
        Arc::clone(&self.signals) as Arc<dyn Control>
    }

    async fn exec(&mut self, spec: ExecSpec, sink: &mut dyn OutputSink) -> Result<Exit, EngineError> {
        // Refuses what a real engine would refuse.
        frame::encode(&spec, "")?;
        let (steps, exit) = self.play.take().ok_or_else(|| EngineError::Refused {
            action: "run a script",
            reason: "this container has already been given one".into(),
        })?;
        {
            let mut state = self.fake.state();
            let seen = &mut state.seen[self.at];
            (seen.script, seen.nonce, seen.secrets) = (Some(spec.script), Some(spec.nonce), spec.secrets);
        }
        let ended_early = self.steps(steps, sink).await;
        self.signals.end();
        Ok(match ended_early? {
            Some(signal) => Exit { code: 128 + signal, ..exit },
            None => exit,
        })
    }

    async fn close(self: Box<Self>) -> Result<(), EngineError> {
        self.signals.end();
        self.fake.state().seen[self.at].closed = true;
        Ok(())
    }
}

//! One script in one container: delivered, watched (time, silence, memory, disk, requests to stop) and always removed.
//!
//! Knows nothing of pipelines; what the exit means for the user is `ending`'s question.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::ahead::Ahead;
use super::cancel::{Cancel, CancelReason, Urgency};
use crate::engine::{Control, Engine, EngineError, ExecSpec, Exit, OutputSink, Session, SessionSpec, Stream};

/// How long a container may take to end after it was asked to.
pub const GRACE: Duration = Duration::from_secs(10);

/// How long the engine may take to report a container that was killed.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// How long a script may be silent once one of its processes was killed for memory. A pool waits for ever for a
/// worker that was killed; what goes on without it says something sooner or later.
pub const SILENCE_AFTER_MEMORY_KILL: Duration = Duration::from_mins(1);

/// What ends a script besides itself.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    /// Wall time.
    pub timeout: Option<Duration>,
    /// Longest silence.
    pub idle_timeout: Option<Duration>,
    /// Longest silence once a process was killed for memory.
    pub after_memory_kill: Duration,
}

impl Default for Watch {
    fn default() -> Self {
        Self { timeout: None, idle_timeout: None, after_memory_kill: SILENCE_AFTER_MEMORY_KILL }
    }
}

/// How a script ended, and who ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Executed {
    /// The shell's exit.
    pub exit: Exit,
    /// Set when it did not end by itself.
    pub stopped: Option<CancelReason>,
}

/// A container that has ended and is being cleared away. Nothing of it runs any more, so what it left can be read;
/// that it is gone is waited for before the run is over.
#[derive(Debug)]
pub struct Clearing(JoinHandle<Result<(), EngineError>>);

impl Clearing {
    fn begin(session: Box<dyn Session>) -> Self {
        Self(tokio::spawn(session.close()))
    }

    /// One that was waited for already.
    pub(super) fn over(result: Result<(), EngineError>) -> Self {
        Self(tokio::spawn(std::future::ready(result)))
    }

    /// Waits until the container is gone.
    ///
    /// # Errors
    /// When the engine does not remove it.
    pub async fn gone(self) -> Result<(), EngineError> {
        self.0.await.unwrap_or_else(|_| Err(EngineError::Gone { reason: "the removal was interrupted".to_owned() }))
    }
}

/// The container for a script.
pub enum Container {
    /// To be started.
    New(Box<SessionSpec>),
    /// Started before; what it was started as, should that have failed.
    Early(Ahead, Box<SessionSpec>),
}

impl From<SessionSpec> for Container {
    fn from(spec: SessionSpec) -> Self {
        Self::New(Box::new(spec))
    }
}

/// Starts the container, runs the script and begins to remove the container, whatever happens in between.
///
/// # Errors
/// When the engine cannot start it or goes away; then the container has been removed, as far as the engine lets us.
pub async fn execute(
    engine: &dyn Engine,
    container: impl Into<Container>,
    exec: ExecSpec,
    watch: Watch,
    cancel: &Cancel,
    sink: &mut dyn OutputSink,
) -> Result<(Executed, Clearing), EngineError> {
    let mut session = match container.into() {
        Container::New(spec) => engine.start(*spec).await?,
        Container::Early(ahead, spec) => match ahead.ready().await {
            Ok(session) => session,
            Err(error) => {
                tracing::debug!(%error, "the container that was started early is not there; starting it again");
                engine.start(*spec).await?
            }
        },
    };
    let heard = Heard::new();
    let control = session.control();
    let mut listening = Listening { inner: sink, heard: Arc::clone(&heard) };
    let outcome = {
        let running = session.exec(exec, &mut listening);
        tokio::pin!(running);
        let asked = tokio::select! {
            exit = &mut running => Err(exit),
            reason = asked_to_stop(watch, cancel.clone(), &heard, control.as_ref()) => Ok(reason),
        };
        match asked {
            Err(exit) => (exit, None),
            Ok(reason) => tokio::select! {
                exit = &mut running => (exit, Some(reason)),
                error = take_down(control.as_ref(), cancel.clone()) => (Err(error), Some(reason)),
            },
        }
    };
    match outcome {
        (Ok(exit), stopped) => Ok((Executed { exit, stopped }, Clearing::begin(session))),
        (Err(error), _) => {
            // The engine's first complaint says more than one about clearing up.
            let _ = session.close().await;
            Err(error)
        }
    }
}

/// Waits for a reason to stop.
async fn asked_to_stop(watch: Watch, mut cancel: Cancel, heard: &Heard, control: &dyn Control) -> CancelReason {
    tokio::select! {
        reason = cancel.reached(Urgency::Ask) => reason,
        () = sleep_or_never(watch.timeout) => CancelReason::Timeout,
        () = heard.silence(watch.idle_timeout) => CancelReason::Idle,
        () = hung_after_memory_kill(watch.after_memory_kill, control, heard) => CancelReason::OutOfMemory,
        () = control.out_of_disk() => CancelReason::OutOfDisk,
    }
}

/// Returns once a process was killed for memory and the rest has been silent since for too long.
async fn hung_after_memory_kill(limit: Duration, control: &dyn Control, heard: &Heard) {
    control.out_of_memory().await;
    // The silence before the kill was work: it does not count.
    heard.silent_since(Instant::now(), limit).await;
}

/// Stops the container, sooner when asked again; returns only when it is still there long after the kill.
async fn take_down(control: &dyn Control, mut cancel: Cancel) -> EngineError {
    let stopped = tokio::select! {
        stopped = control.stop(GRACE) => stopped,
        // A second request must not wait for the grace period of the first.
        _ = cancel.reached(Urgency::Kill) => control.kill().await,
    };
    if let Err(error) = stopped {
        tracing::debug!(%error, "the container ended before it was stopped");
    }
    tokio::time::sleep(LAST_WORDS).await;
    EngineError::Gone { reason: "the container did not end after it was killed".to_owned() }
}

async fn sleep_or_never(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// When something was last heard from the container.
#[derive(Debug)]
struct Heard {
    start: Instant,
    last_ms: AtomicU64,
}

impl Heard {
    fn new() -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), last_ms: AtomicU64::new(0) })
    }

    fn now(&self) {
        let ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Ordering::Relaxed);
    }

    /// Returns after `limit` without a byte; never without a limit.
    async fn silence(&self, limit: Option<Duration>) {
        let Some(limit) = limit else { return std::future::pending().await };
        self.silent_since(self.start, limit).await;
    }

    /// Returns when nothing was heard for `limit`; silence before `since` does not count.
    async fn silent_since(&self, since: Instant, limit: Duration) {
        loop {
            let last = self.start + Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let until = last.max(since) + limit;
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

struct Listening<'a> {
    inner: &'a mut dyn OutputSink,
    heard: Arc<Heard>,
}

#[async_trait]
impl OutputSink for Listening<'_> {
    async fn output(&mut self, stream: Stream, bytes: &[u8]) {
        self.heard.now();
        self.inner.output(stream, bytes).await;
        // A slow reader is not a silent pipeline.
        self.heard.now();
    }

    async fn gap(&mut self) {
        self.inner.gap().await;
    }

    async fn killed_for_memory(&mut self) {
        self.inner.killed_for_memory().await;
    }

    async fn processes_refused(&mut self) {
        self.inner.processes_refused().await;
    }

    async fn disk_not_held(&mut self) {
        self.inner.disk_not_held().await;
    }
}

#[cfg(test)]
mod tests;

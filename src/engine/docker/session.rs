//! One live container: delivers the script, streams its output, tells how it ended, and goes away with us.
//!
//! Never decides how long a script may take: the caller stops it through [`Control`].

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures::{Stream as Streaming, StreamExt as _};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

use super::control::Ladder;
use super::fate::{Fate, Watch};
use super::fault::{deepest, fault, status, within};
use super::memory;
use super::pipes::Pipes;
use super::word::{Said, Word};
use crate::engine::{Control, EngineError, ExecSpec, Exit, OutputSink, Session, Stream, frame};

/// After the last output byte the engine needs tens of milliseconds to tell the exit; beyond this something is wrong.
const EXIT_NOTICE: Duration = Duration::from_secs(10);
/// So many frames, of 32 KiB at most, are handed on together.
const TOGETHER: usize = 8;
/// How long a restarting daemon may stay away before a run is given up.
const RETURN: Duration = Duration::from_secs(30);
/// How long an ended container's own removal is waited for before it is asked for.
const REMOVAL: Duration = Duration::from_secs(10);
/// How long the engine may take to clear a container away: big writable layers take seconds.
const CLEARING: Duration = Duration::from_mins(2);

type Output = Pin<Box<dyn Streaming<Item = Result<LogOutput, Error>> + Send>>;
type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// A container that waits for its script, runs it, or has ended.
pub(super) struct Live {
    client: bollard::Docker,
    id: String,
    name: String,
    watch: Option<Watch>,
    attached: Option<AttachContainerResults>,
    /// The script's output, where the container takes them.
    pipes: Option<Pipes>,
    disk: Option<Disk>,
    /// When it was last asked to start.
    started: tokio::time::Instant,
    ended: bool,
    closed: bool,
}

/// A limit for what the container writes to its own layer.
#[derive(Clone, Copy)]
pub(super) struct Disk {
    /// Bytes.
    pub(super) limit: u64,
    /// Whether the storage driver took it; what some of them take and do not hold to is looked after all the same.
    pub(super) held: bool,
}

/// What the container itself says, and where it is kept.
struct Told {
    word: Word,
    known: Option<watch::Sender<Fate>>,
    /// The script writes into our pipes.
    piped: bool,
    /// The script has ended with code 0 and left no process.
    done: bool,
}

impl Told {
    /// The engine's stream broke off. What goes through pipes waits in them.
    async fn gap(&self, sink: &mut dyn OutputSink) {
        if !self.piped {
            sink.gap().await;
        }
    }

    /// Takes what is not standard output: the container's own word is taken out of it.
    async fn beside(&mut self, frame: LogOutput, sink: &mut dyn OutputSink) {
        match frame {
            // Not a frame of a container without a terminal, but the daemon's own words about a broken stream.
            LogOutput::Console { message } => {
                tracing::warn!(message = %String::from_utf8_lossy(&message), "the engine wrote beside the frames");
            }
            frame => {
                let message = frame.into_bytes();
                let (text, said) = self.word.take(&message);
                self.piped |= said.contains(&Said::Piped);
                self.done |= said.contains(&Said::Done);
                let killed = said.contains(&Said::KilledForMemory);
                if let (true, Some(known)) = (killed, &self.known) {
                    known.send_modify(|fate| fate.oom_killed = true);
                }
                if !text.is_empty() {
                    sink.output(Stream::Stderr, &text).await;
                }
                if killed {
                    sink.killed_for_memory().await;
                }
                if said.contains(&Said::ProcessesRefused) {
                    sink.processes_refused().await;
                }
            }
        }
    }
}

fn of_pipes(error: &std::io::Error) -> EngineError {
    EngineError::Refused { action: "read the output", reason: error.to_string() }
}

async fn hand_on(out: &mut Vec<u8>, sink: &mut dyn OutputSink) {
    if !out.is_empty() {
        sink.output(Stream::Stdout, out).await;
        out.clear();
    }
}

impl Live {
    /// Takes charge of a container that was just created: from here on it is removed whatever happens.
    pub(super) fn new(
        client: bollard::Docker,
        id: String,
        name: String,
        disk: Option<Disk>,
        pipes: Option<Pipes>,
    ) -> Self {
        let started = tokio::time::Instant::now();
        Self { client, id, name, watch: None, attached: None, pipes, disk, started, ended: false, closed: false }
    }

    /// Attaches, begins to watch, then starts: any other order loses output or the exit code.
    pub(super) async fn start(&mut self) -> Result<(), EngineError> {
        self.attached = Some(attach(&self.client, &self.id).await?);
        self.watch = Some(Watch::begin(self.client.clone(), self.id.clone()));
        let started =
            within("start a container", self.client.start_container(&self.id, None)).await.map_err(
                |error| match error {
                    EngineError::Refused { action, reason }
                        if reason.contains("\"bash\"") || reason.contains("`bash`") =>
                    {
                        EngineError::Refused {
                            action,
                            reason: format!("the image has no bash, which scripts need ({reason})"),
                        }
                    }
                    other => other,
                },
            );
        self.started = tokio::time::Instant::now();
        started
    }

    /// Delivers until the engine's stream ends; `Err` only says that it broke off. What is left in the pipes then is not
    /// delivered: whether somebody still writes is for the caller to know.
    async fn pump(
        output: Output,
        pipes: &mut Option<Pipes>,
        told: &mut Told,
        sink: &mut dyn OutputSink,
    ) -> Result<(), Error> {
        // Everything behind us costs by the call: what came while we were busy goes on together.
        let mut waiting = output.ready_chunks(TOGETHER);
        let mut out = Vec::new();
        loop {
            let frames = match pipes.as_mut().filter(|_| told.piped) {
                None => waiting.next().await,
                Some(pipes) => tokio::select! {
                    frames = waiting.next() => frames,
                    piece = pipes.next() => {
                        let (stream, bytes) = piece?;
                        sink.output(stream, bytes).await;
                        continue;
                    }
                },
            };
            let Some(frames) = frames else { return Ok(()) };
            for frame in frames {
                match frame {
                    Ok(LogOutput::StdOut { message } | LogOutput::StdIn { message }) => out.extend_from_slice(&message),
                    other => {
                        hand_on(&mut out, sink).await;
                        told.beside(other?, sink).await;
                    }
                }
            }
            hand_on(&mut out, sink).await;
        }
    }

    /// After the last byte: how the container ended, or `None` where it runs on without us.
    async fn fate(&mut self) -> Option<Fate> {
        let watch = self.watch.as_mut()?;
        let fate = tokio::time::timeout(EXIT_NOTICE, watch.settled()).await.ok()?;
        fate.code.is_some().then_some(fate)
    }

    /// Takes hold of a container again that outlived its daemon; its fate where it ended meanwhile.
    async fn take_up(&mut self) -> Result<Result<AttachContainerResults, Fate>, EngineError> {
        let reason = "the connection broke and did not come back";
        let by = tokio::time::Instant::now() + RETURN;
        let found = loop {
            match tokio::time::timeout_at(by, self.client.inspect_container(&self.id, None)).await {
                Ok(Ok(found)) => break found,
                Ok(Err(error)) if status(&error) == Some(404) => {
                    return Err(EngineError::Gone {
                        reason: "the connection broke, and the container ended before it came back".into(),
                    });
                }
                Ok(Err(error)) if tokio::time::Instant::now() > by => {
                    return Err(EngineError::Gone { reason: format!("{reason}: {}", deepest(&error)) });
                }
                Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(250)).await,
                Err(_) => return Err(EngineError::Gone { reason: reason.into() }),
            }
        };
        let state = found.state.unwrap_or_default();
        if state.running == Some(true) {
            // Never attach to a container that has ended: Podman resets its exit code. So the watch comes first.
            let (client, id) = (self.client.clone(), self.id.clone());
            self.watch = Some(match self.watch.take() {
                Some(watch) => watch.resume(client, id),
                None => Watch::begin(client, id),
            });
            return attach(&self.client, &self.id).await.map(Ok);
        }
        let fate = Fate { code: state.exit_code, oom_killed: state.oom_killed == Some(true), ..Fate::default() };
        Ok(Err(fate))
    }

    async fn run(
        &mut self,
        frame: &[u8],
        attached: AttachContainerResults,
        told: &mut Told,
        sink: &mut dyn OutputSink,
    ) -> Result<Fate, EngineError> {
        let AttachContainerResults { output, input } = attached;
        // Both at once: a container that writes before it has read its frame would wait for us for ever. The input
        // stays open until the end: closing it is the signal that we are gone.
        let pump = Self::pump(output, &mut self.pipes, told, sink);
        let (_lifeline, pumped) = tokio::join!(feed(input, frame), pump);
        if let (Ok(()), true, Some(known)) = (&pumped, told.done, &told.known) {
            // All of its output is here and nothing runs any more. The engine tells the exit only once it has taken the
            // container's network down, which takes longer than everything that is still to be done with the outputs.
            return Ok(Fate { code: Some(0), ..known.borrow().clone() });
        }
        if let Some(fate) = self.fate().await {
            if let Err(error) = pumped {
                tracing::warn!(%error, "the output broke off shortly before the container ended");
                told.gap(sink).await;
            }
            return Ok(fate);
        }
        let again = self.take_up().await?;
        told.gap(sink).await;
        let again = match again {
            Ok(again) => again,
            Err(fate) => return Ok(fate),
        };
        let AttachContainerResults { output, input: _lifeline } = again;
        let broken = Self::pump(output, &mut self.pipes, told, sink).await.err().map(|error| deepest(&error));
        self.fate().await.ok_or_else(|| EngineError::Gone {
            reason: broken.unwrap_or_else(|| "the connection broke a second time".into()),
        })
    }
}

/// A write that fails means that the container ended early: its own words and exit code tell more than the error.
async fn feed(mut input: Input, frame: &[u8]) -> Input {
    let written = async {
        input.write_all(frame).await?;
        input.flush().await
    };
    if let Err(error) = written.await {
        tracing::debug!(%error, "the container ended before it had read its script");
    }
    input
}

async fn attach(client: &bollard::Docker, id: &str) -> Result<AttachContainerResults, EngineError> {
    let options = AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).stderr(true).build();
    within("attach to a container", client.attach_container(id, Some(options))).await
}

/// Waits for an ended container to be removed by the engine, which is under way; whether that was seen.
async fn removes_itself(client: &bollard::Docker, id: &str) -> bool {
    let removed = WaitContainerOptionsBuilder::default().condition("removed").build();
    let mut waiting = pin!(client.wait_container(id, Some(removed)));
    match tokio::time::timeout(REMOVAL, waiting.next()).await {
        // bollard calls every exit code but 0 an error.
        Ok(Some(Ok(_) | Err(Error::DockerContainerWaitError { .. }))) => true,
        Ok(Some(Err(error))) => status(&error) == Some(404),
        Ok(None) | Err(_) => false,
    }
}

/// Removes a container and waits until it is gone; one that is gone already is fine.
async fn remove(client: &bollard::Docker, id: &str) -> Result<(), EngineError> {
    const ACTION: &str = "remove a container";
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let by = tokio::time::Instant::now() + CLEARING;
    loop {
        let error = match tokio::time::timeout_at(by, client.remove_container(id, Some(options.clone()))).await {
            Err(_) => return Err(EngineError::Gone { reason: format!("no answer when asked to {ACTION}") }),
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if status(&error) == Some(404) => return Ok(()),
            Ok(Err(error)) => error,
        };
        // 409: its own removal is under way. 500: the same two removals, met at a worse moment.
        if !matches!(status(&error), Some(409 | 500)) || tokio::time::Instant::now() > by {
            return Err(fault(ACTION, &error));
        }
        let removed = WaitContainerOptionsBuilder::default().condition("removed").build();
        let mut waiting = pin!(client.wait_container(id, Some(removed)));
        // Whatever it says, the next round finds out; the pause is for an engine that answers at once without cause.
        let _ = tokio::time::timeout_at(by, waiting.next()).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[async_trait]
impl Session for Live {
    fn name(&self) -> &str {
        &self.name
    }

    fn control(&self) -> Arc<dyn Control> {
        let fate = self.watch.as_ref().map(Watch::subscribe);
        let disk = self.disk.map(|disk| disk.limit);
        Arc::new(Ladder::new(self.client.clone(), self.id.clone(), self.started, fate, disk))
    }

    async fn exec(&mut self, spec: ExecSpec, sink: &mut dyn OutputSink) -> Result<Exit, EngineError> {
        let known = self.watch.as_ref().map(Watch::known);
        let mut told = Told { word: Word::new(), known, piped: false, done: false };
        if let Some(pipes) = &self.pipes {
            pipes.greet(told.word.as_str()).map_err(|error| of_pipes(&error))?;
        }
        let frame = frame::encode(&spec, told.word.as_str())?;
        let attached = self.attached.take().ok_or_else(|| EngineError::Refused {
            action: "run a script",
            reason: "this container has already been given one".into(),
        })?;
        drop(spec);
        if self.disk.is_some_and(|disk| !disk.held) {
            sink.disk_not_held().await;
        }
        let peak = memory::Gauge::begin(self.client.clone(), self.id.clone());
        let fate = self.run(&frame, attached, &mut told, sink).await;
        let rest = told.word.rest();
        if !rest.is_empty() {
            sink.output(Stream::Stderr, &rest).await;
        }
        if let (Some(pipes), true) = (&mut self.pipes, told.piped) {
            pipes.rest(sink).await.map_err(|error| of_pipes(&error))?;
        }
        let fate = fate?;
        self.ended = true;
        Ok(Exit { code: fate.code.unwrap_or(-1), oom_killed: fate.oom_killed, peak_memory_bytes: peak.highest() })
    }

    async fn close(mut self: Box<Self>) -> Result<(), EngineError> {
        self.watch = None;
        self.attached = None;
        if !(self.ended && removes_itself(&self.client, &self.id).await) {
            remove(&self.client, &self.id).await?;
        }
        self.closed = true;
        Ok(())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        tracing::warn!(container = %self.name, "dropped without being closed; removing it in the background");
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (client, id) = (self.client.clone(), self.id.clone());
            runtime.spawn(async move { remove(&client, &id).await });
        }
    }
}

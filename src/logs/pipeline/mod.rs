//! One run's output from raw bytes to people: markers split off, control sequences taken out, secrets masked, written
//! to the log, then queued for whoever shows it.
//!
//! A handle is cheap to clone; the engine drives one as its [`OutputSink`], a timer drives another with
//! [`Pipeline::tick`], so that a prompt or a progress bar never hangs on its last letters.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::feed::{self, Feed, Sender};
use super::file::{LogFile, Written};
use super::last::LastLines;
use super::marker::{Marker, Piece, Splitter};
use super::mask::{Mark, MaskStream, MaskedBytes, Masker};
use super::plain::Plain;
use super::tasks::{Known, TaskEvent, TaskTime, Tasks};
use crate::engine::{OutputSink, Stream};

/// After so long without output, what is held back is looked at again.
const IDLE: Duration = Duration::from_millis(100);

/// What stands between the bytes of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// The script began or ended a step.
    Step(Marker),
    /// Ploomber began or ended a task.
    Task(TaskEvent),
    /// The engine lost some output.
    Gap,
    /// The kernel has killed a process for memory.
    KilledForMemory,
    /// A process or thread was refused because there were too many.
    ProcessesRefused,
    /// The engine does not hold the disk limit.
    DiskNotHeld,
}

/// How a pipeline is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// The nonce of the step markers; without one there are none to split off.
    pub nonce: Option<String>,
    /// Whether colours reach the feed (a terminal). The log never has any.
    pub colours: bool,
    /// How many bytes wait in memory for a slow reader.
    pub queue_bytes: usize,
    /// How many of the last lines are kept for the failure card, which looks for the user's own line among them.
    pub last_lines: usize,
    /// Which tasks may be told of.
    pub tasks: Known,
}

impl Default for Options {
    fn default() -> Self {
        Self { nonce: None, colours: false, queue_bytes: 1024 * 1024, last_lines: 1000, tasks: Known::default() }
    }
}

/// What is left when a run's output is over.
#[derive(Debug)]
pub struct Summary {
    /// The last lines, oldest first, masked.
    pub last_lines: Vec<String>,
    /// Ploomber's table.
    pub tasks: Vec<TaskTime>,
    /// Raw bytes that came from the container.
    pub bytes: u64,
    /// The log, to be made durable while others do something else; `None` where it could not be written.
    pub log: Option<Written>,
    /// The first thing that went wrong with the log on disk; the output itself went on.
    pub log_error: Option<io::Error>,
}

/// A handle to the way of one run's output.
#[derive(Clone)]
pub struct Pipeline {
    core: Arc<Mutex<Option<Core>>>,
}

impl Pipeline {
    /// Begins; the feed is for whoever shows the output.
    ///
    /// # Errors
    /// When the log cannot be opened for reading back.
    pub fn new(masker: &Masker, log: LogFile, options: &Options) -> io::Result<(Self, Feed<Happened>)> {
        let (sender, feed) = feed::channel(options.queue_bytes, log.reader()?);
        let lane = || Lane {
            splitter: options.nonce.as_deref().map(Splitter::new),
            plain: Plain::new(),
            mask: masker.stream(),
            tasks: Tasks::of(options.tasks.clone()),
        };
        let core = Core {
            lanes: [lane(), lane()],
            outlet: Outlet {
                log,
                sender,
                colours: options.colours,
                last: LastLines::new(options.last_lines),
                log_error: None,
                midline: false,
            },
            bytes: 0,
            touched: Instant::now(),
            idle: true,
        };
        Ok((Self { core: Arc::new(Mutex::new(Some(core))) }, feed))
    }

    /// To be called every 100 ms or so from a timer; says whether the pipeline is still open.
    pub async fn tick(&self) -> bool {
        let mut core = self.core.lock().await;
        let Some(core) = core.as_mut() else { return false };
        if !core.idle && core.touched.elapsed() >= IDLE {
            core.release_idle().await;
        }
        true
    }

    /// Ticks until [`Pipeline::finish`]: to be spawned beside the run.
    pub async fn tick_until_finished(self) {
        while self.tick().await {
            tokio::time::sleep(IDLE).await;
        }
    }

    /// The end of the output: everything leaves, the log is whole, the feed ends. `None` when it had ended before.
    pub async fn finish(&self) -> Option<Summary> {
        let core = self.core.lock().await.take()?;
        Some(core.finish().await)
    }
}

#[async_trait]
impl OutputSink for Pipeline {
    async fn output(&mut self, stream: Stream, bytes: &[u8]) {
        if let Some(core) = self.core.lock().await.as_mut() {
            core.output(stream, bytes).await;
        }
    }

    async fn gap(&mut self) {
        if let Some(core) = self.core.lock().await.as_mut() {
            core.outlet.note("[some output was lost here: the container engine could not be reached]\n").await;
            core.outlet.sender.event(Happened::Gap);
        }
    }

    async fn killed_for_memory(&mut self) {
        if let Some(core) = self.core.lock().await.as_ref() {
            core.outlet.sender.event(Happened::KilledForMemory);
        }
    }

    async fn processes_refused(&mut self) {
        if let Some(core) = self.core.lock().await.as_ref() {
            core.outlet.sender.event(Happened::ProcessesRefused);
        }
    }

    async fn disk_not_held(&mut self) {
        if let Some(core) = self.core.lock().await.as_ref() {
            core.outlet.sender.event(Happened::DiskNotHeld);
        }
    }
}

struct Core {
    lanes: [Lane; 2],
    outlet: Outlet,
    bytes: u64,
    touched: Instant,
    /// Whether everything that may leave has left.
    idle: bool,
}

/// One of the container's two streams.
struct Lane {
    splitter: Option<Splitter>,
    plain: Plain,
    mask: MaskStream,
    tasks: Tasks,
}

/// Masked bytes with their colours, or a marker.
enum Ready {
    Bytes(MaskedBytes, Vec<Mark>),
    Marker(Marker),
}

impl Lane {
    fn push(&mut self, bytes: &[u8]) -> Vec<Ready> {
        let mut ready = Vec::new();
        let (plain, mask) = (&mut self.plain, &mut self.mask);
        let mut take = |piece: Piece<'_>| match piece {
            Piece::Text(text) => ready.push(through(plain, mask, text)),
            Piece::Marker(marker) => {
                // Held bytes stay held: a marker in the middle of a secret must not set its first half free.
                let (bytes, marks) = mask.idle_marked();
                ready.push(Ready::Bytes(bytes, marks));
                ready.push(Ready::Marker(marker));
            }
        };
        match &mut self.splitter {
            Some(splitter) => splitter.push(bytes, &mut take),
            None => take(Piece::Text(bytes)),
        }
        ready
    }

    fn finish(&mut self, rest: MaskStream) -> Vec<Ready> {
        let mut mask = std::mem::replace(&mut self.mask, rest);
        let mut ready = Vec::new();
        if let Some(splitter) = self.splitter.take() {
            splitter.finish(|piece| {
                if let Piece::Text(text) = piece {
                    ready.push(through(&mut self.plain, &mut mask, text));
                }
            });
        }
        let (bytes, marks) = mask.finish_marked();
        ready.push(Ready::Bytes(bytes, marks));
        ready
    }
}

fn through(plain: &mut Plain, mask: &mut MaskStream, text: &[u8]) -> Ready {
    let mut marks = Vec::new();
    let text = plain.push(text, &mut marks);
    let (bytes, marks) = mask.push_marked(&text, &marks);
    Ready::Bytes(bytes, marks)
}

impl Core {
    async fn output(&mut self, stream: Stream, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.touched = Instant::now();
        self.idle = false;
        let ready = self.lanes[stream as usize].push(bytes);
        self.hand_on(stream, ready).await;
    }

    async fn release_idle(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let (bytes, marks) = self.lanes[stream as usize].mask.idle_marked();
            self.hand_on(stream, vec![Ready::Bytes(bytes, marks)]).await;
        }
        self.idle = true;
    }

    async fn hand_on(&mut self, stream: Stream, ready: Vec<Ready>) {
        let tasks = &mut self.lanes[stream as usize].tasks;
        for ready in ready {
            match ready {
                Ready::Bytes(bytes, marks) => self.outlet.bytes(stream, tasks, bytes, &marks).await,
                Ready::Marker(marker) => self.outlet.marker(marker),
            }
        }
    }

    async fn finish(mut self) -> Summary {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let ready = self.lanes[stream as usize].finish(Masker::none().stream());
            self.hand_on(stream, ready).await;
        }
        let Self { lanes, outlet, bytes, .. } = self;
        let mut tasks = Vec::new();
        for lane in lanes {
            tasks.extend_from_slice(lane.tasks.table());
        }
        let (log, log_error) = match outlet.log.finish() {
            Ok(log) => (Some(log), outlet.log_error),
            Err(error) => (None, outlet.log_error.or(Some(error))),
        };
        Summary { last_lines: outlet.last.finish(), tasks, bytes, log, log_error }
    }
}

/// Where masked bytes go.
struct Outlet {
    log: LogFile,
    sender: Sender<Happened>,
    colours: bool,
    last: LastLines,
    log_error: Option<io::Error>,
    /// Whether the log stands in the middle of a line.
    midline: bool,
}

impl Outlet {
    async fn bytes(&mut self, stream: Stream, tasks: &mut Tasks, bytes: MaskedBytes, marks: &[Mark]) {
        if bytes.is_empty() && marks.is_empty() {
            return;
        }
        let on_disk = self.write(&bytes);
        let bytes = Arc::new(bytes);
        self.last.push(stream, &bytes);
        let mut happened = Vec::new();
        tasks.push(&bytes, Instant::now(), |event| happened.push(event));
        let shown = if self.colours && !marks.is_empty() { Arc::new(bytes.with_marks(marks)) } else { bytes };
        self.sender.output(stream, shown, on_disk).await;
        for event in happened {
            self.sender.event(Happened::Task(event));
        }
    }

    fn marker(&mut self, marker: Marker) {
        if let Marker::Started { name } = &marker {
            let heading = Masker::none().stream().push(format!("==> {name}\n").as_bytes());
            self.end_line();
            self.write(&heading);
        }
        self.sender.event(Happened::Step(marker));
    }

    /// Our own words, for the log and its readers.
    async fn note(&mut self, text: &str) {
        let bytes = Masker::none().stream().push(text.as_bytes());
        self.end_line();
        let on_disk = self.write(&bytes);
        self.sender.output(Stream::Stdout, Arc::new(bytes), on_disk).await;
    }

    fn end_line(&mut self) {
        if self.midline {
            self.write(&Masker::none().stream().push(b"\n"));
        }
    }

    fn write(&mut self, bytes: &MaskedBytes) -> Option<std::ops::Range<u64>> {
        if let Some(last) = bytes.as_bytes().last() {
            self.midline = *last != b'\n';
        }
        if self.log_error.is_some() {
            return None;
        }
        self.log.write(bytes).unwrap_or_else(|error| {
            self.log_error = Some(error);
            None
        })
    }
}

#[cfg(test)]
mod tests;

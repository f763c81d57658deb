//! One script in one builder container, with its output kept short for people.
//!
//! Knows the engine's traits only, and nothing of conda or pip.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::EnvironmentError;
use super::network::without_credentials;
use crate::engine::{Carried, Engine, ExecSpec, Exit, Mount, OutputSink, Purpose, Session, SessionSpec, Stream};
use crate::id::RunId;
use crate::secret::Secret;

/// Lines of output that an error shows.
const TAIL_LINES: usize = 40;
/// A line longer than this is cut.
const LINE_BYTES: usize = 2000;

/// What every builder of one environment has in common.
pub(super) struct Builder<'a> {
    pub(super) engine: &'a dyn Engine,
    pub(super) image: &'a str,
    pub(super) run: &'a RunId,
    pub(super) user: (u32, u32),
    pub(super) cancel: &'a CancellationToken,
    /// Values that must not appear in progress or errors.
    pub(super) mask: Vec<Secret>,
}

/// One script.
pub(super) struct Job {
    pub(super) mounts: Vec<Mount>,
    /// In the place of mounts, for an engine that does not see our files.
    pub(super) carried: Carried,
    pub(super) env: BTreeMap<String, String>,
    pub(super) secrets: Vec<Secret>,
    pub(super) script: String,
    /// Whether it may ask anybody.
    pub(super) network: bool,
}

/// How it went.
pub(super) struct Finished {
    pub(super) exit: Exit,
    /// Last lines, credentials removed.
    pub(super) tail: String,
}

impl Builder<'_> {
    /// Runs the script and removes the container, also when it is cancelled.
    pub(super) async fn run(
        &self,
        job: Job,
        progress: &mut (dyn FnMut(String) + Send),
    ) -> Result<Finished, EnvironmentError> {
        let mut session = self.engine.start(self.spec(&job)).await?;
        let mut sink = Tail { lines: VecDeque::new(), open: Vec::new(), mask: &self.mask, progress };
        let exec = ExecSpec { script: job.script, secrets: job.secrets, nonce: String::new() };
        let result = self.exec(session.as_mut(), exec, &mut sink).await;
        sink.flush();
        let tail = sink.lines.make_contiguous().join("\n");
        let closed = session.close().await;
        let exit = result?;
        closed?;
        Ok(Finished { exit, tail })
    }

    async fn exec(
        &self,
        session: &mut dyn Session,
        spec: ExecSpec,
        sink: &mut Tail<'_>,
    ) -> Result<Exit, EnvironmentError> {
        let control = session.control();
        let exec = session.exec(spec, sink);
        tokio::pin!(exec);
        tokio::select! {
            done = &mut exec => Ok(done?),
            () = self.cancel.cancelled() => {
                control.kill().await?;
                // The container is gone: what its last words were does not matter any more.
                let _ = exec.await;
                Err(EnvironmentError::Cancelled)
            }
        }
    }

    fn spec(&self, job: &Job) -> SessionSpec {
        SessionSpec {
            run: self.run.clone(),
            purpose: Purpose::Build,
            image: self.image.to_owned(),
            user: self.user,
            mounts: job.mounts.clone(),
            carried: job.carried.clone(),
            pipes: None,
            env: job.env.clone(),
            workdir: "/".to_owned(),
            memory_bytes: None,
            cpus: None,
            pids: 4096,
            disk_bytes: None,
            network: job.network,
            labels: BTreeMap::new(),
        }
    }
}

/// Cuts output into lines, hands them on and keeps the last ones.
struct Tail<'a> {
    lines: VecDeque<String>,
    open: Vec<u8>,
    mask: &'a [Secret],
    progress: &'a mut (dyn FnMut(String) + Send),
}

impl Tail<'_> {
    fn line(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LINE_BYTES)]);
        let mut text = without_credentials(text.trim_end());
        for secret in self.mask {
            if let Ok(value) = std::str::from_utf8(secret.expose()).map(str::trim)
                && !value.is_empty()
            {
                text = text.replace(value, "***");
            }
        }
        if text.trim().is_empty() {
            return;
        }
        if self.lines.len() == TAIL_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(text.clone());
        (self.progress)(text);
    }

    fn flush(&mut self) {
        let rest = std::mem::take(&mut self.open);
        self.line(&rest);
    }
}

#[async_trait]
impl OutputSink for Tail<'_> {
    async fn output(&mut self, _stream: Stream, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            self.open.extend_from_slice(part);
            if part.ends_with(b"\n") || part.ends_with(b"\r") || self.open.len() > LINE_BYTES * 8 {
                self.flush();
            }
        }
    }

    async fn gap(&mut self) {
        self.line(b"(some output was lost: the container engine restarted)");
    }
}

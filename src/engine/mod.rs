//! Container engines: find one, start a hardened container, run one script in it, and leave nothing behind.
//!
//! This room does not know what a pipeline, an environment or an output is.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::id::RunId;
use crate::secret::Secret;

pub mod docker;
mod error;
pub mod fake;
mod frame;
mod owner;
pub mod volume;

pub use error::EngineError;
pub use volume::{Carried, VolumeMount, Volumes};

/// A path on the engine's host, as we see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostPath(pub PathBuf);

/// A path inside the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestPath(pub String);

/// One host folder or file shown inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Outside.
    pub host: HostPath,
    /// Inside.
    pub guest: GuestPath,
    /// Whether the container may write to it.
    pub writable: bool,
}

/// Why the container exists; part of its name and labels, and told apart by the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Executes a pipeline.
    Run,
    /// Builds an environment.
    Build,
    /// Looks whether the engine sees our files, and the like.
    Probe,
    /// Does something in the background that may outlive us.
    Errand,
}

/// One container to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionSpec {
    /// Whose it is.
    pub run: RunId,
    /// Why it exists.
    pub purpose: Purpose,
    /// An image id or reference that is present (see [`Engine::ensure_image`]).
    pub image: String,
    /// User and group the processes get; never 0 unless asked.
    pub user: (u32, u32),
    /// What is shown inside.
    pub mounts: Vec<Mount>,
    /// What an engine that does not see our files gets in the place of mounts; no part of what is written down.
    #[serde(skip)]
    pub carried: Carried,
    /// A folder of ours below which the engine may make named pipes for the output, which then need not go through its
    /// daemon; it makes the folder itself. Only asked for where the engine sees our files.
    #[serde(default)]
    pub pipes: Option<HostPath>,
    /// Variables that are no secrets.
    pub env: BTreeMap<String, String>,
    /// Where the script starts.
    pub workdir: String,
    /// Bytes of memory, swap included.
    pub memory_bytes: Option<u64>,
    /// Processors.
    pub cpus: Option<f64>,
    /// Processes and threads.
    pub pids: u32,
    /// Bytes of its own layer on the disk; looked after from time to time where the storage driver holds no limit.
    pub disk_bytes: Option<u64>,
    /// Whether it has a network.
    pub network: bool,
    /// More labels (`soopervisor.*` are set by the engine).
    pub labels: BTreeMap<String, String>,
}

/// One script to run: delivered over the attached stdin in length frames, never on a stdin that children can eat.
pub struct ExecSpec {
    /// Bash text without NUL.
    pub script: String,
    /// Reach the script's environment without touching the daemon's disk, argv or `inspect`.
    pub secrets: Vec<Secret>,
    /// The unforgeable part of step markers: handed to the script as the unexported shell variable `SOOPERVISOR_NONCE`.
    pub nonce: String,
}

/// Which stream bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes raw output, in the order in which the engine delivers it. Must return soon: back-pressure reaches the container.
#[async_trait]
pub trait OutputSink: Send {
    /// The next bytes; frames carry no line meaning.
    async fn output(&mut self, stream: Stream, bytes: &[u8]);
    /// Some output was lost (the daemon restarted); said once a gap.
    async fn gap(&mut self);
    /// The kernel has killed a process for memory; the others may go on.
    async fn killed_for_memory(&mut self) {}
    /// A process or thread was refused because there were as many as there may be; said at the end of a script that
    /// failed.
    async fn processes_refused(&mut self) {}
    /// The storage driver does not hold the limit that was asked for ([`Control::out_of_disk`] looks after it); said
    /// before any output.
    async fn disk_not_held(&mut self) {}
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The shell's exit code; 128 + signal where a signal ended it.
    pub code: i64,
    /// The kernel killed some process for memory.
    pub oom_killed: bool,
    /// Highest memory use, where the engine tells.
    pub peak_memory_bytes: Option<u64>,
}

/// A program that nobody waits for: of the lowest priority, without input or output, and with a lease in place of an
/// owner. It may outlive the process that sent it; the sweep removes it once its time is over.
#[derive(Debug, Clone)]
pub struct Errand {
    /// The container; limits and mounts are kept as everywhere.
    pub spec: SessionSpec,
    /// Program and arguments. Anybody who may ask the engine can read them.
    pub command: Vec<String>,
    /// How long it may take.
    pub lasts: Duration,
}

/// What the engine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineInfo {
    /// `docker 20.10.24`, `podman 4.3`.
    pub name: String,
    /// The daemon's own id, which it keeps for life; empty where it has none.
    pub id: String,
    /// The address in use.
    pub address: String,
    /// `x86_64`, `aarch64`.
    pub architecture: String,
    /// `cgroup v1`, `v2`.
    pub cgroup: String,
    /// Whether the daemon runs without root.
    pub rootless: bool,
    /// The storage driver and what it lies on, `overlay2 on extfs`; empty where it does not say.
    #[serde(default)]
    pub storage: String,
}

/// An image that is present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What to start: the image id (`sha256:…`).
    pub id: String,
    /// The registry digest, where it came from a registry.
    pub digest: Option<String>,
    /// The reference it was asked by.
    pub reference: String,
}

/// Something an earlier, dead process left and the sweep removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// The container's name, or the volume's.
    pub name: String,
    /// The run it belonged to.
    pub run: String,
}

/// Starts containers.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Asks the engine what it is; the cheapest call there is.
    async fn info(&self) -> Result<EngineInfo, EngineError>;

    /// The image, if it is present; never pulls.
    async fn find_image(&self, reference: &str) -> Result<Option<Image>, EngineError>;

    /// Makes sure that an image is present, pulling it where it is not; `progress` gets lines for people.
    async fn ensure_image(
        &self,
        reference: &str,
        progress: &mut (dyn FnMut(String) + Send),
    ) -> Result<Image, EngineError>;

    /// Whether the daemon sees the same files as we do at `folder` (a nonce file is shown to a container and read back).
    async fn shares_files(&self, folder: &Path, image: &str) -> Result<bool, EngineError>;

    /// Whether the engine shows two folders of ours as one ([`volume::Overlay`]) to a user: tried below `folder`, with
    /// writing, deleting and replacing.
    async fn overlays(&self, _folder: &Path, _image: &str, _user: (u32, u32)) -> Result<bool, EngineError> {
        Ok(false)
    }

    /// Creates and starts a container that waits for its script.
    async fn start(&self, spec: SessionSpec) -> Result<Box<dyn Session>, EngineError>;

    /// Removes what dead processes of this host left: never a container whose process lives, nor an errand whose time
    /// is not over.
    async fn sweep(&self) -> Result<Vec<Swept>, EngineError>;

    /// Starts a program and leaves it to itself; returns the container's name.
    async fn send(&self, _: &Errand) -> Result<String, EngineError> {
        let reason = "it can only run what is waited for".to_owned();
        Err(EngineError::Refused { action: "run an errand", reason })
    }

    /// Files and folders of ours that live containers are shown, whoever started them.
    async fn shown(&self) -> Result<Vec<PathBuf>, EngineError> {
        Ok(Vec::new())
    }

    /// Volumes, for an engine that does not see our files; `None` where there are none.
    fn volumes(&self) -> Option<&dyn Volumes> {
        None
    }
}

/// One live container.
#[async_trait]
pub trait Session: Send {
    /// The container's name.
    fn name(&self) -> &str;

    /// A handle that stops it from elsewhere while [`Session::exec`] runs.
    fn control(&self) -> Arc<dyn Control>;

    /// Runs the script to its end and delivers all of its output; callable once.
    async fn exec(&mut self, spec: ExecSpec, sink: &mut dyn OutputSink) -> Result<Exit, EngineError>;

    /// Removes the container, whatever state it is in. Must be awaited; dropping only warns.
    async fn close(self: Box<Self>) -> Result<(), EngineError>;
}

/// Stops a container from elsewhere.
#[async_trait]
pub trait Control: Send + Sync {
    /// Asks it to end (TERM), kills it after `grace`.
    async fn stop(&self, grace: Duration) -> Result<(), EngineError>;
    /// Ends it at once.
    async fn kill(&self) -> Result<(), EngineError>;
    /// Returns once the kernel has killed one of its processes for memory; the others may live on. Never returns
    /// where that does not happen, or where the engine does not tell.
    async fn out_of_memory(&self) {
        std::future::pending::<()>().await;
    }
    /// Returns once it has written more to its own layer than its limit allows, seen from time to time. Never returns
    /// where there is no limit, or where the engine does not tell.
    async fn out_of_disk(&self) {
        std::future::pending::<()>().await;
    }
}

//! What a mode asks for: the command line, and later the Action and the server, all end in one [`RunRequest`].
//!
//! Nothing is decided here: an option that was not given stays `None` (or empty), so that settings and defaults can
//! fill it in `plan`. No secret value is ever part of a request, only where to find it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::ProjectName;
use crate::plan::{Mode, Network, OnConflict};

/// Everything that a run needs to be told.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRequest {
    /// The repository, or a folder in it.
    pub path: PathBuf,
    /// The pipeline's file below the folder, instead of the one that is found.
    pub pipeline: Option<String>,
    /// The environment's file below the folder, instead of `environment.yml`.
    pub environment: Option<String>,
    /// The text of a soopervisor.yaml to go by instead of the commit's own: somebody else's commit does not decide where
    /// its outputs go, or with which secrets it runs. Empty where there is none to go by.
    pub settings: Option<String>,
    /// Hand no secret to the pipeline, whatever the project and this machine's settings name.
    pub no_secrets: bool,
    /// Install packages from wheels only: no code of anybody's is executed while the environment is built.
    pub wheels_only: bool,
    /// This machine is a server, and not its user's own: the commit's settings name no variable or file of it as a secret,
    /// no storage and no project.
    pub hosted: bool,
    /// The storage as written: `local:DIR`; relative folders are meant from the current directory.
    pub storage: Option<String>,
    /// First folder in the storage.
    pub project: Option<ProjectName>,
    /// Sample or full.
    pub mode: Option<Mode>,
    /// The container image.
    pub image: Option<String>,
    /// Plain variables, in the order given; the last one of a name counts.
    pub env: Vec<EnvAsk>,
    /// Secrets as typed: `NAME`, `NAME=env:OTHER`, `NAME=file:PATH`.
    pub secrets: Vec<String>,
    /// What it may use.
    pub limits: LimitAsk,
    /// The container's network.
    pub network: Option<Network>,
    /// What to do with an existing folder.
    pub on_conflict: Option<OnConflict>,
    /// Run the working tree as it is, when it has uncommitted changes.
    pub allow_dirty: bool,
    /// Keep stdout and stderr apart.
    pub split_streams: bool,
    /// Solve the environment anew, also for later runs.
    pub refresh: bool,
    /// Take exactly the packages that a published commit ran with.
    pub frozen_as: Option<String>,
    /// Execute every task, whatever was published before.
    pub no_reuse: bool,
    /// Keep the run's work folder, also after success.
    pub keep_work: bool,
    /// Whether the pipeline's output may keep its colours: it is shown on a terminal.
    pub colours: bool,
    /// Arguments for `ploomber build`.
    pub build_args: Vec<String>,
}

/// One plain variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvAsk {
    /// Its name.
    pub name: String,
    /// Its value; `None` takes the one that soopervisor's own environment has.
    pub value: Option<String>,
}

/// Limits that were asked for; `None` leaves the choice to the settings, then to the default.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitAsk {
    /// Bytes of memory, swap included.
    pub memory_bytes: Option<u64>,
    /// Processors.
    pub cpus: Option<f64>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Bytes of disk.
    pub disk_bytes: Option<u64>,
    /// Bytes of the log on this machine's disk, but for its end.
    pub log_bytes: Option<u64>,
    /// Wall time of the execute step.
    pub timeout: Option<Duration>,
    /// Longest silence in the output.
    pub idle_timeout: Option<Duration>,
}

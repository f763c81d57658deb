//! What will happen, fully decided: the request and the checked specs become one [`RunPlan`].
//!
//! Pure: no I/O, no clock, no randomness; the same input gives the same plan.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::id::{ProjectName, RelPath, Revision};

mod describe;
mod image;
mod paths;
mod request;
mod resolve;
#[cfg(test)]
mod tests;

pub use request::{Declared, DeclaredTask, Facts, Request};
pub use resolve::resolve;

/// How much of the pipeline's data is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A small sample: `--env--sample true`, where env.yaml declares the key.
    Sample,
    /// Everything.
    Full,
}

/// What to do when the commit's folder exists already with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum OnConflict {
    /// Stop with exit code 7 and say what differs.
    #[default]
    Fail,
    /// Leave what is there; the run counts as done.
    Keep,
    /// Publish beside it as `{commit}/` + `-run-{run id}`.
    NewRun,
}

/// Which packages the environment gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Packages {
    /// Those it had before; solved where there is no before.
    #[default]
    AsKept,
    /// What is solved now, also for later runs.
    Anew,
    /// Those that a published commit ran with, as its manifest has them.
    AsOf(String),
}

/// The container's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The engine's bridge.
    #[default]
    Bridge,
    /// No network at all.
    None,
}

/// What a run may use. `None` means the engine's own limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limits {
    /// Bytes of memory, swap included.
    pub memory_bytes: Option<u64>,
    /// Processors, fractions allowed.
    pub cpus: Option<f64>,
    /// Processes and threads; default 4096.
    pub pids: u32,
    /// Wall time of the execute step; default none.
    pub timeout: Option<Duration>,
    /// Longest silence in the output; default none.
    pub idle_timeout: Option<Duration>,
    /// Bytes that the container may write to its own layer: held by the engine's driver, or looked after.
    pub disk_bytes: Option<u64>,
    /// Bytes of the log on this machine's disk, but for its end; default as much as comes.
    pub log_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: None,
            cpus: None,
            pids: 4096,
            timeout: None,
            idle_timeout: None,
            disk_bytes: None,
            log_bytes: None,
        }
    }
}

/// One task as the pipeline declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedTask {
    /// Ploomber's name for it.
    pub name: String,
    /// The source as written.
    pub source: String,
    /// File products, placeholders expanded where they can be known beforehand.
    pub products: Vec<PlannedProduct>,
    /// Names of the tasks it declares as upstream.
    pub upstream: Vec<String>,
}

/// One declared file product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedProduct {
    /// The key in a product mapping (`nb`, `data`), where there is one.
    pub key: Option<String>,
    /// As written, after expansion.
    pub declared: String,
    /// Where it lies inside the snapshot (from the snapshot's root); `None` when it lies outside (absolute, `../`)
    /// or cannot be known before the run.
    pub path: Option<RelPath>,
}

/// Which files are collected besides declared products and `/output`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct OutputRules {
    /// Globs below the pipeline's folder, from soopervisor.yaml's `outputs`.
    pub include: Vec<String>,
    /// Globs that are left out.
    pub exclude: Vec<String>,
}

/// Everything that was decided before the first container starts.
#[derive(Debug, Clone, Serialize)]
pub struct RunPlan {
    /// First folder in the storage.
    pub project: ProjectName,
    /// What is run.
    pub revision: Revision,
    /// Sample or full.
    pub mode: Mode,
    /// The pipeline's folder in the snapshot.
    pub pipeline_dir: RelPath,
    /// The entry point, relative to `pipeline_dir`: `pipeline.yaml`, or as setup.cfg names it.
    pub entry_point: String,
    /// Whether `--env--sample true` is passed (mode is sample and env.yaml declares it).
    pub sample_flag: bool,
    /// Arguments after `--`, and soopervisor.yaml's `args`.
    pub build_args: Vec<String>,
    /// Lines for the per-run user base: `.`, `-e .`, local paths, in the order written; empty when the repository is no package.
    pub local_installs: Vec<String>,
    /// Which packages the environment gets.
    pub packages: Packages,
    /// The image as asked for; `None` takes the runner image.
    pub image: Option<String>,
    /// What it may use.
    pub limits: Limits,
    /// Its network.
    pub network: Network,
    /// Plain variables for the pipeline (`--env`, settings, environment.yml's `variables:` come through activation).
    pub env: BTreeMap<String, String>,
    /// Names of the secrets it gets.
    pub secret_names: Vec<String>,
    /// Tasks as declared.
    pub tasks: Vec<PlannedTask>,
    /// The function that makes the tasks in place of declared ones: which these are, only the run knows.
    pub factory: Option<String>,
    /// What else is collected.
    pub outputs: OutputRules,
    /// The storage as written: `local:DIR`; empty in a plan that is only shown, where none was given.
    pub storage: String,
    /// What to do with an existing folder.
    pub on_conflict: OnConflict,
    /// Keep stdout and stderr apart instead of merging them in order.
    pub split_streams: bool,
    /// Whether tasks may be taken over from an earlier commit.
    pub reuse: bool,
}

/// The folder that a line installs, where it says nothing else: `.`, `./lib`. Such a line may be fulfilled by a wheel of
/// the same files; `-e`, extras and archives are installed as they are written.
pub fn plain_folder(line: &str) -> Option<&str> {
    let line = line.trim();
    let path = if line == "." { line } else { line.strip_prefix("./")? };
    let plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-/.".contains(&b));
    let archive = [".whl", ".gz", ".zip", ".bz2", ".tgz"].iter().any(|end| path.ends_with(end));
    (plain && !archive && !path.contains("..")).then_some(path)
}

impl RunPlan {
    /// The first argument for `ploomber build` that asks for executions, chooses among tasks, or is not known to leave
    /// both alone; then nothing of an earlier commit is taken over.
    pub fn executes_anew(&self) -> Option<&str> {
        let mut arguments = self.build_args.iter();
        while let Some(argument) = arguments.next() {
            let name = argument.split('=').next().unwrap_or_default();
            let harmless = matches!(name, "--log" | "-l" | "--log-file" | "-F") || name.starts_with("--env--");
            if !harmless {
                return Some(argument);
            }
            if !argument.contains('=') {
                arguments.next();
            }
        }
        None
    }

    /// Whether the arguments for `ploomber build` leave tasks out: `--partially`, in any form that argparse takes.
    pub fn leaves_tasks_out(&self) -> bool {
        self.build_args.iter().any(|arg| {
            let name = arg.split('=').next().unwrap_or_default();
            let short = arg.starts_with("-p") || (arg.starts_with("-f") && arg.contains('p') && !arg.starts_with("--"));
            short || (name.len() > 2 && "--partially".starts_with(name))
        })
    }
}

//! What the user asked for, before anything was decided: the command line, and soopervisor.yaml in the same words.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Mode, Network, OnConflict, OutputRules, PlannedTask};
use crate::id::{RelPath, Revision};

/// What a command line, a trigger or a button asks for. `None` and empty mean "not said".
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `--sample`, `--full`; default full.
    pub mode: Option<Mode>,
    /// `--project`.
    pub project: Option<String>,
    /// `--image`.
    pub image: Option<String>,
    /// `--env NAME=VALUE`.
    pub env: BTreeMap<String, String>,
    /// `--secret NAME`.
    pub secret_names: Vec<String>,
    /// `--memory`.
    pub memory_bytes: Option<u64>,
    /// `--cpus`.
    pub cpus: Option<f64>,
    /// `--pids`.
    pub pids: Option<u32>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--idle-timeout`.
    pub idle_timeout: Option<Duration>,
    /// `--disk`.
    pub disk_bytes: Option<u64>,
    /// `--log-limit`.
    pub log_bytes: Option<u64>,
    /// `--network`.
    pub network: Option<Network>,
    /// Arguments after `--`.
    pub build_args: Vec<String>,
    /// `--storage`.
    pub storage: Option<String>,
    /// `--on-conflict`.
    pub on_conflict: Option<OnConflict>,
    /// `--split-streams`.
    pub split_streams: bool,
    /// `--refresh`.
    pub refresh: bool,
    /// `--frozen-as COMMIT`.
    pub frozen_as: Option<String>,
    /// `--no-reuse`.
    pub no_reuse: bool,
}

/// What is known about the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// What is run.
    pub revision: Revision,
    /// The pipeline's folder in the snapshot.
    pub pipeline_dir: RelPath,
    /// The project's name unless somebody says another.
    pub project_hint: String,
}

/// What the checked specs say, as far as a plan needs it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Declared {
    /// The pipeline file, relative to the pipeline's folder.
    pub entry_point: String,
    /// Whether env.yaml has the key `sample`.
    pub declares_sample: bool,
    /// The tasks of pipeline.yaml.
    pub tasks: Vec<DeclaredTask>,
    /// The function that makes the tasks, where the pipeline names one in place of them.
    pub factory: Option<String>,
    /// Lines that install from the repository: `.`, `-e .`, `./lib`.
    pub local_installs: Vec<String>,
    /// soopervisor.yaml, in the words of the command line. Its `build_args` come before the command line's.
    pub settings: Request,
    /// soopervisor.yaml's `outputs`.
    pub outputs: OutputRules,
}

/// One task of pipeline.yaml.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeclaredTask {
    /// Ploomber's name for it.
    pub name: String,
    /// The source as written.
    pub source: String,
    /// File products: the key in a mapping, and the path after expansion. A path that cannot be known yet has `{{`.
    pub products: Vec<(Option<String>, String)>,
    /// The folder that relative products start from, relative to the pipeline's folder; `.` unless
    /// `product_relative_to_source` is set.
    pub products_from: String,
    /// Names of the tasks it declares as upstream.
    pub upstream: Vec<String>,
}

impl DeclaredTask {
    /// With every product's place in the snapshot worked out.
    pub(super) fn planned(&self, pipeline_dir: &RelPath) -> PlannedTask {
        let products = self.products.iter().map(|(key, declared)| super::PlannedProduct {
            key: key.clone(),
            declared: declared.clone(),
            path: super::paths::in_snapshot(pipeline_dir, &self.products_from, declared),
        });
        PlannedTask {
            name: self.name.clone(),
            source: self.source.clone(),
            products: products.collect(),
            upstream: self.upstream.clone(),
        }
    }
}

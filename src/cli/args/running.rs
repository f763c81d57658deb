//! Arguments of a run: what is run, where its outputs go, what it may use. Nothing that decides.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::parse;
use crate::id::ProjectName;
use crate::run::request::EnvAsk;

/// Options that decide what is run, shared by `run` and `script`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Pipeline")]
pub struct Pipeline {
    /// The repository, or the folder in it that holds pipeline.yaml
    // Numbered, as the last ones are: clap counts them in the order in which it got them, and `script`, which changes
    // this one, hands it in anew.
    #[arg(index = 1)]
    pub path: PathBuf,
    /// Which files of it.
    #[command(flatten)]
    pub files: Files,
    /// Run with a sample of the data (env.yaml must declare `sample`)
    #[arg(long, conflicts_with = "full")]
    pub sample: bool,
    /// Run with all data (the default)
    #[arg(long)]
    pub full: bool,
    /// First folder in the storage [default: the repository's name]
    #[arg(long, env = "SOOPERVISOR_PROJECT", hide_env_values = true, value_name = "NAME")]
    pub project: Option<ProjectName>,
    /// Container image; any with glibc and bash will do [default: the runner image]
    #[arg(long, env = "SOOPERVISOR_IMAGE", hide_env_values = true, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Give the pipeline a variable; without a value, the one that is set here (repeatable)
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = parse::env)]
    pub env: Vec<EnvAsk>,
    /// Give the pipeline a secret and hide it in all output; `NAME` alone takes the variable NAME (repeatable)
    // Checked after parsing: clap repeats a value that it refuses, and this one may be the secret itself.
    #[arg(long, value_name = "NAME[=env:VAR|=file:PATH]")]
    pub secret: Vec<String>,
    /// Run uncommitted changes too; published as COMMIT-dirty-TREE
    #[arg(long, env = "SOOPERVISOR_ALLOW_DIRTY", hide_env_values = true, value_parser = parse::switch)]
    pub allow_dirty: bool,
    /// Keep stdout and stderr apart instead of in order
    #[arg(long, env = "SOOPERVISOR_SPLIT_STREAMS", hide_env_values = true, value_parser = parse::switch)]
    pub split_streams: bool,
    /// Execute every task, also those that nothing changed for since an earlier commit
    #[arg(long, env = "SOOPERVISOR_NO_REUSE", hide_env_values = true, value_parser = parse::switch)]
    pub no_reuse: bool,
    /// Arguments for `ploomber build`
    #[arg(index = 2, last = true, value_name = "PLOOMBER ARGS")]
    pub build_args: Vec<String>,
}

/// Files that are not called what they usually are.
#[derive(Debug, Clone, Default, Args)]
pub struct Files {
    /// The pipeline's file below PATH [default: pipeline.yaml, or a package's src/*/pipeline.yaml]
    #[arg(long, env = "SOOPERVISOR_PIPELINE", hide_env_values = true, value_name = "FILE")]
    pub pipeline: Option<String>,
    /// The environment's file below PATH [default: environment.yml]
    #[arg(long, env = "SOOPERVISOR_ENVIRONMENT", hide_env_values = true, value_name = "FILE")]
    pub environment: Option<String>,
}

/// Arguments of `run`.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// What is run.
    #[command(flatten)]
    pub pipeline: Pipeline,
    /// Where the outputs go.
    #[command(flatten)]
    pub storage: Storage,
    /// What to do when the commit's folder exists with other content
    #[arg(long, env = "SOOPERVISOR_ON_CONFLICT", hide_env_values = true, value_enum, value_name = "WHAT")]
    #[arg(help_heading = "Storage")]
    pub on_conflict: Option<OnConflict>,
    /// Solve environment.yml anew instead of taking the packages it had; later runs get the same
    #[arg(long, conflicts_with = "frozen_as", help_heading = "Environment")]
    pub refresh: bool,
    /// Take exactly the packages that a published commit ran with: a sha, a branch, `latest`
    #[arg(long, value_name = "COMMIT", help_heading = "Environment")]
    pub frozen_as: Option<String>,
    /// What it may use.
    #[command(flatten)]
    pub limits: Limits,
    /// How it is told
    #[arg(
        long,
        env = "SOOPERVISOR_FORMAT",
        hide_env_values = true,
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    #[arg(help_heading = "Output")]
    pub format: Format,
    /// Say what would be done, without a container and without touching the storage
    #[arg(long, help_heading = "Output")]
    pub dry_run: bool,
    /// Keep the folder in which the pipeline ran
    #[arg(long, env = "SOOPERVISOR_KEEP_WORK", hide_env_values = true, value_parser = parse::switch)]
    #[arg(help_heading = "Output")]
    pub keep_work: bool,
}

/// Where outputs are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Storage")]
pub struct Storage {
    /// Where outputs are published: `local:DIR`, a path, `box`, `s3://BUCKET`, …
    #[arg(long, env = "SOOPERVISOR_STORAGE", hide_env_values = true, value_name = "STORAGE", group = "place")]
    pub storage: Option<String>,
    /// Short for `--storage dropbox`
    #[arg(long, group = "place")]
    pub dropbox: bool,
    /// Short for `--storage gdrive`
    #[arg(long, group = "place")]
    pub gdrive: bool,
    /// Short for `--storage onedrive`
    #[arg(long, group = "place")]
    pub onedrive: bool,
    /// Short for `--storage box`
    #[arg(long = "box", group = "place")]
    pub box_: bool,
}

/// What a run may use.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Longest time for the pipeline: `90s`, `30m`, `1h30m`
    #[arg(long, env = "SOOPERVISOR_TIMEOUT", hide_env_values = true, value_name = "TIME", value_parser = parse::duration)]
    pub timeout: Option<Duration>,
    /// Longest time without any output
    #[arg(long, env = "SOOPERVISOR_IDLE_TIMEOUT", hide_env_values = true, value_name = "TIME")]
    #[arg(value_parser = parse::duration)]
    pub idle_timeout: Option<Duration>,
    /// Memory, and no swap beside it: `512m`, `4g`
    #[arg(long, env = "SOOPERVISOR_MEMORY", hide_env_values = true, value_name = "SIZE", value_parser = parse::size)]
    pub memory: Option<u64>,
    /// Processors: `2`, `0.5`
    #[arg(long, env = "SOOPERVISOR_CPUS", hide_env_values = true, value_name = "NUMBER", value_parser = parse::cpus)]
    pub cpus: Option<f64>,
    /// Processes and threads [default: 4096]
    #[arg(long, env = "SOOPERVISOR_PIDS", hide_env_values = true, value_name = "NUMBER")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub pids: Option<u32>,
    /// Disk beside the repository's folder, as /tmp: `10g`
    #[arg(long, env = "SOOPERVISOR_DISK", hide_env_values = true, value_name = "SIZE", value_parser = parse::size)]
    pub disk: Option<u64>,
    /// Most of the log that is kept on disk, its last 4 MiB beside that [default: all of it]
    #[arg(long, env = "SOOPERVISOR_LOG_LIMIT", hide_env_values = true, value_name = "SIZE")]
    #[arg(value_parser = parse::size)]
    pub log_limit: Option<u64>,
    /// The container's network
    #[arg(long, env = "SOOPERVISOR_NETWORK", hide_env_values = true, value_enum, value_name = "NETWORK")]
    pub network: Option<Network>,
}

/// What to do when the commit's folder exists with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    /// Stop and say what differs (the default)
    Fail,
    /// Leave what is there
    Keep,
    /// Publish beside it
    NewRun,
}

/// The container's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// No network at all
    None,
    /// The engine's bridge (the default)
    Bridge,
}

/// How a run is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// What fits the place: a live view, workflow commands, or plain lines
    #[default]
    Auto,
    /// Lines with time stamps
    Plain,
    /// One JSON object a line
    Json,
    /// Workflow commands for GitHub Actions
    Github,
}

//! Arguments as typed: clap's derive, and nothing that decides.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::parse;
use crate::id::ProjectName;
use crate::run::request::EnvAsk;

mod machine;
mod stored;

pub use machine::{
    Auth, AuthExport, AuthLogin, AuthLogout, AuthStatus, BuildChannel, Channel, Env, EnvList, EnvPrune, EnvWhy, Image,
};
pub use stored::{Diff, DiffFormat, Download, Prune, Stored, Verify};

const EXIT_CODES: &str = "\
Exit codes:
  0 ok                  5 engine unavailable   10 disk full
  1 internal error      6 outputs missing      11 killed from outside
  2 wrong usage         7 storage failed       12 different (diff --exit-code)
  3 invalid spec        8 timed out           130 cancelled
  4 script failed       9 out of memory";

/// Run a Ploomber pipeline for one commit in a hardened container and publish what it produced, all or nothing
#[derive(Debug, Parser)]
#[command(
    name = "soopervisor",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    override_usage = "soopervisor [run] PATH --storage local:DIR [OPTIONS] [-- PLOOMBER ARGS]\n       soopervisor VERB …",
    after_help = EXIT_CODES
)]
pub struct Cli {
    /// What holds for every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What holds for every verb.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Say less: findings, failures and the last line
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Use colour [env: NO_COLOR turns it off]
    #[arg(long, global = true, value_enum, default_value_t, hide_default_value = true, value_name = "WHEN")]
    pub color: Color,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a commit's pipeline and publish its outputs (`run` may be left out)
    Run(Box<Run>),
    /// Check a project's files and say everything that is wrong
    Validate(Validate),
    /// Print the bash script that a run would execute
    Script(Script),
    /// Write the files that a folder lacks to be run
    Init(Init),
    /// Check this machine and say how to mend what is wrong
    Doctor(Doctor),
    /// List the runs of this machine
    Runs(Runs),
    /// Show one run: its steps, its outputs, or why it failed
    Show(Show),
    /// Print the log of a run
    Logs(Logs),
    /// Fetch a commit's outputs from the storage and verify them
    Download(Download),
    /// Check a commit's outputs in the storage against their manifest
    Verify(Verify),
    /// Say what changed from one commit's outputs to another's
    Diff(Diff),
    /// Remove old commits' outputs from the storage
    Prune(Prune),
    /// Log in to a drive, say who is logged in, log out, or name what CI needs
    #[command(subcommand)]
    Auth(Auth),
    /// List built environments, make room, or say why one would be built
    #[command(subcommand)]
    Env(Env),
    /// Check a server's file, or rehearse its handlers against an event
    #[cfg(feature = "server")]
    #[command(subcommand)]
    Handlers(Handlers),
    /// Build or use a local conda channel, for networks without one
    #[command(subcommand)]
    Channel(Channel),
    /// Build or fetch the runner image
    Image(Image),
    /// Watch repositories, keep history, answer over HTTP
    #[cfg(feature = "server")]
    Serve(super::serve::Serve),
    /// Work on runs of a server, beside it or on another machine
    #[cfg(feature = "server")]
    Worker(super::worker::Worker),
    /// Drive one run for a worker of the server, which starts it
    #[cfg(feature = "server")]
    #[command(hide = true)]
    Driver(super::driver::Driver),
    /// Ask the server of this machine for a run
    #[cfg(feature = "server")]
    Trigger(super::trigger::Trigger),
    /// Make, list and take back API tokens of the server
    #[cfg(feature = "server")]
    #[command(subcommand)]
    Token(super::token::Token),
    /// Copy the server's database
    #[cfg(feature = "server")]
    #[command(subcommand)]
    Admin(super::token::Admin),
    /// Do what a GitHub workflow's event asks for (the action starts it)
    Action,
    /// Print completions for a shell
    Completions(Completions),
    /// Print the manual page, or write all of them to a folder
    Man(Man),
}

/// Options that decide what is run, shared by `run` and `script`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Pipeline")]
pub struct Pipeline {
    /// The repository, or the folder in it that holds pipeline.yaml
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
    #[arg(last = true, value_name = "PLOOMBER ARGS")]
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
    /// Disk, where the engine's storage driver can limit it
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

/// How findings are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum FindingFormat {
    /// With source lines and underlines
    #[default]
    Human,
    /// One JSON document
    Json,
    /// Annotations for GitHub Actions
    Github,
}

/// Arguments of `validate`.
#[derive(Debug, Clone, Args)]
pub struct Validate {
    /// The repository, or the folder in it that holds pipeline.yaml
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Which files of it.
    #[command(flatten)]
    pub files: Files,
    /// How findings are told
    #[arg(long, value_enum, default_value_t)]
    pub format: FindingFormat,
    /// List every rule and what it is about
    #[arg(long)]
    pub list_rules: bool,
}

/// Arguments of `script`.
#[derive(Debug, Clone, Args)]
#[command(override_usage = "soopervisor script [OPTIONS] [PATH] [-- <PLOOMBER ARGS>...]")]
#[command(mut_arg("path", |path| path.required(false).default_value(".")))]
pub struct Script {
    /// What would be run.
    #[command(flatten)]
    pub pipeline: Pipeline,
}

/// Arguments of `init`.
#[derive(Debug, Clone, Args)]
pub struct Init {
    /// The folder
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Write the workflows of GitHub Actions, too
    #[arg(long)]
    pub github: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Clone, Args)]
pub struct Doctor {
    /// One JSON document
    #[arg(long)]
    pub json: bool,
    /// Check without touching the network
    #[arg(long)]
    pub offline: bool,
    /// The storage to check.
    #[command(flatten)]
    pub storage: Storage,
}

/// Arguments of `runs`.
#[derive(Debug, Clone, Args)]
pub struct Runs {
    /// One JSON document
    #[arg(long)]
    pub json: bool,
    /// How many, newest first
    #[arg(short = 'n', long, default_value = "20", value_parser = parse::some, value_name = "NUMBER")]
    pub limit: usize,
}

/// Arguments of `show`.
#[derive(Debug, Clone, Args)]
pub struct Show {
    /// A run's id, the beginning of one, or `latest`
    #[arg(default_value = "latest")]
    pub run: String,
    /// The record as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `logs`.
#[derive(Debug, Clone, Args)]
pub struct Logs {
    /// A run's id, the beginning of one, or `latest`
    #[arg(default_value = "latest")]
    pub run: String,
    /// Go on until the run ends
    #[arg(short, long)]
    pub follow: bool,
}

/// What to do with handlers.
#[cfg(feature = "server")]
#[derive(Debug, Clone, Subcommand)]
pub enum Handlers {
    /// Check a server's file and say everything that is wrong
    Check(HandlersCheck),
    /// Say which handlers an event is for, why, and what they would do; nothing is done
    Test(HandlersTest),
    /// Print the JSON Schema of a server's file, for editors
    Schema,
}

/// How answers are written.
#[cfg(feature = "server")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PlainFormat {
    /// For people
    #[default]
    Human,
    /// One JSON document
    Json,
}

/// Arguments of `handlers check`.
#[cfg(feature = "server")]
#[derive(Debug, Clone, Args)]
pub struct HandlersCheck {
    /// The server's file
    pub file: PathBuf,
    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub format: PlainFormat,
}

/// Arguments of `handlers test`.
#[cfg(feature = "server")]
#[derive(Debug, Clone, Args)]
pub struct HandlersTest {
    /// The server's file
    pub file: PathBuf,
    /// A recorded event
    #[arg(long, value_name = "FILE.json", required_unless_present = "event_id", conflicts_with = "event_id")]
    pub event: Option<PathBuf>,
    /// An event that the server has recorded, by its number in /api/events
    #[arg(long, value_name = "NUMBER")]
    pub event_id: Option<i64>,
    /// The server's database, for `--event-id` [default: what the file says, else a file in the data folder]
    #[arg(long, env = "SOOPERVISOR_DATABASE", hide_env_values = true, value_name = "ADDRESS")]
    pub database: Option<String>,
    /// This handler only
    #[arg(long, value_name = "NAME")]
    pub handler: Option<String>,
    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub format: PlainFormat,
}

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Clone, Args)]
pub struct Man {
    /// Write one page a verb to this folder
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_is_well_formed() {
        Cli::command().debug_assert();
    }
}

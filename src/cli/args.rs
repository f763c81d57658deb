//! Arguments as typed: clap's derive, and nothing that decides.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use super::parse;

#[cfg(feature = "server")]
mod handlers;
mod machine;
mod running;
mod stored;

#[cfg(feature = "server")]
pub use handlers::{Handlers, HandlersCheck, HandlersTest, PlainFormat};
pub use machine::{
    Auth, AuthExport, AuthLogin, AuthLogout, AuthStatus, BuildChannel, Channel, Env, EnvList, EnvPrune, EnvWhy, Image,
};
pub use running::{Files, Format, Limits, Network, OnConflict, Pipeline, Run, Storage};
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

/// How a server's log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// Lines with times; for systemd's journal, with priorities in their place
    #[default]
    Auto,
    /// Lines with times
    Plain,
    /// One JSON object a line
    Json,
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
    /// What a server does, in a program that was built without it
    #[cfg(not(feature = "server"))]
    #[command(name = "serve", aliases = ["worker", "trigger", "token", "admin", "handlers"], hide = true)]
    Absent(Absent),
    /// Do what a GitHub workflow's event asks for (the action starts it)
    Action,
    /// Print completions for a shell
    Completions(Completions),
    /// Print the manual page, or write all of them to a folder
    Man(Man),
}

/// Whatever follows a verb that this program does not have.
#[cfg(not(feature = "server"))]
#[derive(Debug, Clone, Args)]
pub struct Absent {
    /// Not looked at
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<std::ffi::OsString>,
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

    #[test]
    fn what_follows_two_dashes_is_ploombers_with_a_path_and_without_one() {
        let script = |words: &[&str]| match Cli::try_parse_from([&["soopervisor", "script"][..], words].concat()) {
            Ok(Cli { verb: Verb::Script(script), .. }) => (script.pipeline.path, script.pipeline.build_args),
            other => panic!("{words:?}: {other:?}"),
        };
        let none = Vec::<String>::new();
        assert_eq!(script(&[]), (".".into(), none.clone()));
        assert_eq!(script(&["repo"]), ("repo".into(), none));
        assert_eq!(script(&["--", "--force"]), (".".into(), vec!["--force".to_owned()]));
        let both = vec!["--force".to_owned(), "x".to_owned()];
        assert_eq!(script(&["repo", "--sample", "--", "--force", "x"]), ("repo".into(), both.clone()));
        match Cli::try_parse_from(["soopervisor", "run", "repo", "--dry-run", "--", "--force", "x"]) {
            Ok(Cli { verb: Verb::Run(run), .. }) => {
                assert_eq!((&run.pipeline.path, &run.pipeline.build_args), (&"repo".into(), &both));
            }
            other => panic!("{other:?}"),
        }
    }
}

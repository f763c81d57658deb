//! Arguments of what this machine keeps: logins, environments, channels, the image. Nothing that decides.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Files;
use crate::cli::parse;

/// What to do with logins.
#[derive(Debug, Clone, Subcommand)]
pub enum Auth {
    /// Log in to a drive and keep the login on this machine
    Login(AuthLogin),
    /// Say who is logged in where, until when, and how much room there is
    Status(AuthStatus),
    /// End a login, here and at the service
    Logout(AuthLogout),
    /// Name the variables that CI needs, and how to hand them over unseen
    Export(AuthExport),
}

/// Arguments of `auth login`.
#[derive(Debug, Clone, Args)]
pub struct AuthLogin {
    /// `box`, `dropbox`, `onedrive`, `gdrive`, or a remote of config.yaml
    pub remote: String,
    /// Print the login as one variable for a machine without a browser, and keep nothing here
    #[arg(long, conflicts_with = "token_stdin")]
    pub on_desktop: bool,
    /// Take what `--on-desktop` printed elsewhere from stdin
    #[arg(long)]
    pub token_stdin: bool,
    /// Agree in a browser on this machine; onedrive, gdrive and dropbox can do without one
    #[arg(long, conflicts_with_all = ["no_browser", "token_stdin"])]
    pub browser: bool,
    /// Open no browser here; say what to open
    #[arg(long)]
    pub no_browser: bool,
}

/// Arguments of `auth status`.
#[derive(Debug, Clone, Args)]
pub struct AuthStatus {
    /// One remote only
    pub remote: Option<String>,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `auth logout`.
#[derive(Debug, Clone, Args)]
pub struct AuthLogout {
    /// The remote
    pub remote: String,
}

/// Arguments of `auth export`.
#[derive(Debug, Clone, Args)]
pub struct AuthExport {
    /// The remote
    pub remote: String,
    /// Print the commands that set them as secrets of a GitHub repository
    #[arg(long)]
    pub github: bool,
    /// Print one value and nothing else, for another program to read
    #[arg(long, value_name = "NAME", conflicts_with = "github")]
    pub value: Option<String>,
    /// Print values where somebody may see them
    #[arg(long, conflicts_with = "github")]
    pub reveal: bool,
}

/// What to do with environments.
#[derive(Debug, Clone, Subcommand)]
pub enum Env {
    /// List what is built: for whom, how old, how large, and who uses it now
    List(EnvList),
    /// Remove what is not needed; without options, what the limits in config.yaml ask for
    Prune(EnvPrune),
    /// Say which inputs made an environment, or whether a project has one and what would be different
    Why(EnvWhy),
}

/// Arguments of `env list`.
#[derive(Debug, Clone, Args)]
pub struct EnvList {
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `env prune`.
#[derive(Debug, Clone, Args)]
pub struct EnvPrune {
    /// Remove environments that no run used for this long: `30d`, `12h`
    #[arg(long, value_name = "TIME", value_parser = parse::age)]
    pub older_than: Option<Duration>,
    /// Then the least recently used, until no more than this is left: `20GB`
    #[arg(long, value_name = "SIZE", value_parser = parse::room)]
    pub keep_size: Option<u64>,
    /// Remove everything that is not in use now, caches included
    #[arg(long, conflicts_with_all = ["older_than", "keep_size"])]
    pub all: bool,
    /// Only say what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask, on a terminal, before everything is removed
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
}

/// Arguments of `env why`.
#[derive(Debug, Clone, Args)]
pub struct EnvWhy {
    /// A project's folder, or a key or the beginning of one, as `env list` shows it
    #[arg(value_name = "KEY|PATH")]
    pub what: PathBuf,
    /// Which files of the project.
    #[command(flatten)]
    pub files: Files,
}

/// What to do with channels.
#[derive(Debug, Clone, Subcommand)]
pub enum Channel {
    /// Build a channel from CPython, pip and wheels
    Build(BuildChannel),
    /// Add what environment.yml files ask for to the channel in use
    Add {
        /// environment.yml
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Use a channel instead of the ones in environment.yml
    Use {
        /// A folder or an address; `none` uses what environment.yml says again
        channel: String,
    },
}

/// Arguments of `channel build`.
#[derive(Debug, Clone, Args)]
pub struct BuildChannel {
    /// Folder to write it to; what earlier builds were asked for stays part of it
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
    /// Minor version of CPython, such as 3.11 (repeat) [default: every one found on this machine]
    #[arg(long, value_name = "VERSION")]
    pub python: Vec<String>,
    /// Package to add, such as `scikit-learn` or `pandas=2.1` (repeat)
    #[arg(long, value_name = "NAME")]
    pub package: Vec<String>,
    /// environment.yml whose conda dependencies are added (repeat)
    #[arg(long, value_name = "FILE")]
    pub spec: Vec<PathBuf>,
    /// Build even if nothing changed, to see newer versions on the package index
    #[arg(long)]
    pub refresh: bool,
}

/// Arguments of `image`.
#[derive(Debug, Clone, Args)]
pub struct Image {
    /// Build it even when it is there
    #[arg(long)]
    pub rebuild: bool,
}

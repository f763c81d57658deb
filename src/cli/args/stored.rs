//! Arguments of what is asked of a storage: fetch, check, compare, remove. Nothing that decides.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::Storage;
use crate::cli::parse;
use crate::id::ProjectName;

/// Which outputs.
#[derive(Debug, Clone, Args)]
pub struct Stored {
    /// A commit (4 digits or more), the name of its folder, a branch, a tag of the repository here, or `latest`
    pub commit: String,
    /// Where they are.
    #[command(flatten)]
    pub storage: Storage,
    /// First folder in the storage [default: the name of the repository in the current folder]
    #[arg(long, env = "SOOPERVISOR_PROJECT", hide_env_values = true, value_name = "NAME")]
    pub project: Option<ProjectName>,
}

/// Arguments of `download`.
#[derive(Debug, Clone, Args)]
pub struct Download {
    /// Which outputs.
    #[command(flatten)]
    pub stored: Stored,
    /// Only files that one of these fits: `*.csv`, `plots/**`
    #[arg(value_name = "GLOB", help_heading = None)]
    pub globs: Vec<String>,
    /// Folder to write to [default: a folder named like the commit]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Overwrite files that differ
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `verify`.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// Which outputs.
    #[command(flatten)]
    pub stored: Stored,
}

/// Arguments of `diff`.
#[derive(Debug, Clone, Args)]
pub struct Diff {
    /// The base: a commit (4 digits or more), the name of its folder, a branch, a tag of the repository here, or `latest`
    pub before: String,
    /// What is compared with it, named in the same ways
    pub after: String,
    /// Only files that one of these fits: `*.csv`, `plots/**`
    #[arg(value_name = "GLOB")]
    pub globs: Vec<String>,
    /// How it is told
    #[arg(long, value_enum, default_value_t)]
    pub format: DiffFormat,
    /// Also write a page with pictures side by side, which needs no other file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// End with 12 when the outputs differ
    #[arg(long)]
    pub exit_code: bool,
    /// Where they are.
    #[command(flatten)]
    pub storage: Storage,
    /// First folder in the storage [default: the name of the repository in the current folder]
    #[arg(long, env = "SOOPERVISOR_PROJECT", hide_env_values = true, value_name = "NAME")]
    pub project: Option<ProjectName>,
}

/// How a comparison is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DiffFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// Arguments of `prune`.
#[derive(Debug, Clone, Args)]
pub struct Prune {
    /// Keep so many of the newest
    #[arg(long, value_name = "NUMBER")]
    pub keep_last: Option<usize>,
    /// Keep what is younger: `30d`, `12h`
    #[arg(long, value_name = "TIME", value_parser = parse::age)]
    pub keep_for: Option<Duration>,
    /// The same in days: `30`
    #[arg(long, value_name = "NUMBER", value_parser = parse::days, conflicts_with = "keep_for")]
    pub keep_days: Option<Duration>,
    /// Keep the newest that have no more than this together: `20GB`
    #[arg(long, value_name = "SIZE", value_parser = parse::room)]
    pub keep_size: Option<u64>,
    /// Keep the newest run of this branch, whatever the limits say (repeatable)
    #[arg(long, value_name = "NAME")]
    pub keep_branch: Vec<String>,
    /// Keep the commits that branches of the repository in the current folder point to
    #[arg(long)]
    pub keep_heads: bool,
    /// Keep the commits that its tags point to
    #[arg(long)]
    pub keep_tags: bool,
    /// Remove folders also into which somebody put files of their own
    #[arg(long)]
    pub with_foreign: bool,
    /// Where they are.
    #[command(flatten)]
    pub storage: Storage,
    /// First folder in the storage [default: the name of the repository in the current folder]
    #[arg(long, env = "SOOPERVISOR_PROJECT", hide_env_values = true, value_name = "NAME")]
    pub project: Option<ProjectName>,
    /// Only say what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Remove without asking
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

impl Prune {
    /// What is younger stays, in whichever of the two ways it is said.
    pub fn age(&self) -> Option<Duration> {
        self.keep_for.or(self.keep_days)
    }
}

//! Arguments of `handlers`: check a server's file, rehearse what it does. Nothing that decides.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What to do with handlers.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PlainFormat {
    /// For people
    #[default]
    Human,
    /// One JSON document
    Json,
}

/// Arguments of `handlers check`.
#[derive(Debug, Clone, Args)]
pub struct HandlersCheck {
    /// The server's file
    pub file: PathBuf,
    /// How to answer
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    pub format: PlainFormat,
}

/// Arguments of `handlers test`.
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

//! The history of runs on this machine: one folder a run, with its record, its script and its masked log; and, for the
//! server, its database.
//!
//! Never holds a secret: everything that is written here was masked before.

#[cfg(feature = "server")]
pub mod database;
mod error;
mod file;
mod home;
mod live;
mod process;
mod prune;
mod record;
mod runs;

pub use error::StoreError;
pub use home::Home;
pub use live::{Folder, LiveRun, is_live};
pub use process::ProcessMark;
pub use prune::{Limits, Pruned};
pub use record::{Finding, Part, Publication, Record, SCHEMA, Status};
pub use runs::{Entry, Runs};

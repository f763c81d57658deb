//! Run a Ploomber pipeline for one commit in a hardened container and publish what it produced.
//!
//! The rooms are listed in the order in which data flows through them; a room may use the rooms above it,
//! never those below (`tests/tidy.rs` holds the exact table, `ARCHITECTURE.md` explains it).

// words
pub mod archive;
pub mod auth;
pub mod diag;
pub mod forge;
pub mod id;
pub mod secret;
pub mod web;
// the line: one run, top to bottom
pub mod engine;
pub mod environment;
pub mod logs;
pub mod outputs;
pub mod plan;
pub mod repo;
pub mod reuse;
pub mod script;
pub mod spec;
pub mod storage;
pub mod validate;
// the hall: where the line is driven
pub mod comment;
pub mod compare;
pub mod report;
pub mod run;
pub mod store;
// the doors
pub mod cli;
pub mod gha;
#[cfg(feature = "server")]
pub mod server;

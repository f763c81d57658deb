//! The GitHub Action: its rules as a table, GitHub's own payloads, and the program as a runner starts it, against GitHub
//! in small (`tests/fake_github`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../bridge/mod.rs"]
mod bridge;
#[path = "../fake_github/mod.rs"]
mod fake_github;

mod caching;
mod commenting;
mod describing;
mod forking;
mod hiding;
mod installing;
mod judges;
mod matrix;
mod payloads;
mod racing;
mod runner;
mod running;
mod scene;
mod telling;
mod unbegun;
mod whole_matrix;

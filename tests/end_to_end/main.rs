//! The whole line with real parts: real repositories, the real program, a real engine, real Ploomber.
//!
//! Needs a container engine, the runner image and a conda channel that answers (`make setup`); fails without.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod afterwards;
mod cancelling;
mod examples;
mod failing;
#[path = "../pty/mod.rs"]
mod pty;
mod publishing;
mod reuse;
mod secrets;
mod snapshots;
mod support;
mod terminal;
mod wheels;

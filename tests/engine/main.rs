//! What every engine promises (`promises`), and what only containers can get wrong (the others).
//!
//! Needs a Docker daemon and the runner image; without them every test here fails and says so in one line.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in what it calls too")]

mod death;
mod elsewhere;
mod hardening;
mod kit;
mod output;
mod pipes;
mod places;
mod promises;

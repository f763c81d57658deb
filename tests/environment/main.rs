//! The environment store from outside: built once per key, published whole, reused offline, repaired after a crash.
//!
//! The channel is a folder with packages made here; only the tests in `bytecode`, `process` and `real` start containers.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are test code")]

#[path = "../bridge/mod.rs"]
mod bridge;
mod bytecode;
mod channel;
mod corpus;
mod credentials;
mod engines;
mod flags;
mod locks;
mod mirrors;
mod process;
mod pruning;
mod real;
mod space;
mod store;
mod wheels;

//! The environment store from outside: built once per key, published whole, reused offline, repaired after a crash.
//!
//! The channel is a folder with packages made here; only the tests in `process` and `real` start containers.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are test code")]

mod channel;
mod corpus;
mod credentials;
mod engines;
mod flags;
mod locks;
mod process;
mod real;
mod store;
mod wheels;

//! A second Docker daemon that sees none of our files, reached over TCP: what every engine promises, volumes, and whole
//! runs of the real program through it.
//!
//! The daemon is started here, in mount and process namespaces of its own, with its own data and bridge, and ends with
//! this program. Needs root (or a sudo that does not ask), `dockerd`, `ip` and `unshare`, and a first daemon with the runner image; what is missing
//! fails every test here and says so.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails, in what it calls too")]

mod builds;
mod daemon;
mod kit;
#[path = "../engine/promises.rs"]
mod promises;
mod proxy;
mod runs;
mod volumes;

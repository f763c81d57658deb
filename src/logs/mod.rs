//! The container's bytes on their way to people: steps split off, secrets masked, lines rejoined, written down.
//!
//! Nothing after [`mask`] sees raw bytes: [`MaskedBytes`] can be made there only.

pub mod diagnose;
pub mod feed;
pub mod file;
mod last;
pub mod lines;
pub mod marker;
pub mod mask;
pub mod pipeline;
mod plain;
pub mod tasks;
mod traceback;

pub use diagnose::{Diagnosis, diagnose};
pub use feed::{Entry, Feed};
pub use file::{LogFile, follow};
pub use mask::{MaskedBytes, Masker};
pub use pipeline::{Happened, Options, Pipeline, Summary};
pub use plain::Plain;
pub use traceback::{Trace, trace};

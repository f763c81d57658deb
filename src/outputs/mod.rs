//! What came out of a run: found, checked, hashed and described.
//!
//! This room does not know what Docker is; it reads folders through rooted capabilities and never follows a link
//! out of them. It never writes anything.
//!
//! # What is an output
//! 1. Every declared product that lies inside the snapshot, a file or a folder with everything below it, and the
//!    Ploomber metadata beside it (`.{name}.metadata`).
//! 2. Every file or folder below the pipeline's folder with such metadata beside it that is new or changed: a task
//!    made it, although nobody could name it beforehand (`{{now}}`, `{{git}}`, a grid's numbers, `location:`).
//! 3. Everything below `/output`.
//! 4. What the `outputs:` globs of soopervisor.yaml match below the pipeline's folder, unless the snapshot held it
//!    already and the run left it alone ([`Baseline`]); `.git` is never looked into.
//!
//! `exclude:` globs win over all four and match the published path.
//!
//! # Where it is published
//! | it lies | it is published as |
//! |---|---|
//! | inside the pipeline's folder | its path from there |
//! | elsewhere in the snapshot (a `../` product) | `_root/` + its path from the snapshot's root |
//! | below `/output` | `output/` + its path from there |
//! | at a name we need ourselves (`manifest.json`, `.soopervisor*`, first part only) | `_/` + that path |
//!
//! Two sources of one path are one output where their bytes are the same (`cp -r output/. /output` is common), and
//! an error that names both where they are not.
//!
//! # What is kept of it
//! - Files: bytes, permission bits (no setuid, setgid, sticky), modification time. Hard links become separate files,
//!   holes stay holes.
//! - Empty folders, with their mode. Other folders exist through what is in them.
//! - Links: kept where what they finally lead to is an output too, or a folder that holds some, and then point straight
//!   at it. A declared product
//!   that is a link to something else inside the snapshot is published as what it leads to. All other links
//!   (absolute, outside, dangling, into what is not published) are refused.
//! - Devices, fifos, sockets and what cannot be read are refused. What is refused is listed in the manifest; a declared
//!   product that is refused counts as missing.
//! - Names are bytes: newlines and broken UTF-8 are kept. Names that differ only in case are kept and noted in the
//!   manifest, because other storages cannot hold both.

use std::os::fd::{AsFd, BorrowedFd};

use serde::{Deserialize, Serialize};

pub(crate) use crate::archive::rooted;
use crate::id::RelPath;

mod baseline;
mod clash;
mod collect;
mod error;
pub mod layers;
mod link;
pub mod manifest;
pub mod meaning;
pub mod pattern;
mod stray;
#[cfg(test)]
mod tests;
mod witness;

pub use baseline::Baseline;
pub use collect::collect;
pub use error::OutputsError;
pub use stray::{Traces, traces};

/// What kind of thing an output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputKind {
    /// A regular file.
    File,
    /// An empty folder (others exist through their files).
    Folder,
    /// A symbolic link whose target stays inside the published folder.
    Link,
}

/// One output before it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its path in the published folder.
    pub path: RelPath,
    /// Which root it is read from, and the path there.
    pub from: (Root, RelPath),
    /// What it is.
    pub kind: OutputKind,
    /// In bytes; 0 for folders and links.
    pub size: u64,
    /// Bytes it takes on disk; less than `size` for a file with holes.
    pub allocated: u64,
    /// Unix permission bits, without setuid, setgid and sticky.
    pub mode: u32,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Where a link points: a path in the published folder.
    pub link_target: Option<RelPath>,
    /// The task that declares it.
    pub task: Option<String>,
}

/// The folders outputs are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// The snapshot in which the pipeline ran.
    Work,
    /// `/output`.
    Output,
}

/// Both roots, opened once; everything is read below these and nowhere else.
#[derive(Debug)]
pub struct Roots {
    /// The snapshot's folder on the host.
    pub work: cap_std::fs::Dir,
    /// The folder mounted at `/output`, on the host.
    pub output: cap_std::fs::Dir,
    /// Where the snapshot was seen by the pipeline: a product declared as `{guest_work}/x` is `x` in the snapshot.
    pub guest_work: &'static str,
    /// Where `/output` was seen by the pipeline, for products that are declared there.
    pub guest_output: &'static str,
}

impl Roots {
    /// The folder itself.
    pub fn dir(&self, root: Root) -> &cap_std::fs::Dir {
        match root {
            Root::Work => &self.work,
            Root::Output => &self.output,
        }
    }

    /// The folder's descriptor.
    pub(crate) fn fd(&self, root: Root) -> BorrowedFd<'_> {
        self.dir(root).as_fd()
    }
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The pipeline's folder in the snapshot.
    pub pipeline_dir: &'a RelPath,
    /// Tasks with their declared products.
    pub tasks: &'a [crate::plan::PlannedTask],
    /// `outputs:` and `exclude:`.
    pub rules: &'a crate::plan::OutputRules,
    /// What the snapshot held before the run.
    pub baseline: &'a Baseline,
    /// How much is looked at.
    pub bounds: Bounds,
}

/// How much is looked at before the tree counts as hostile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Files, folders and links; more is an error.
    pub entries: u64,
    /// Folders in each other; deeper ones are refused.
    pub depth: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { entries: 2_000_000, depth: 100 }
    }
}

/// Everything that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collection {
    /// What will be published, sorted by path, no path twice.
    pub outputs: Vec<Output>,
    /// Declared products that are not there.
    pub missing: Vec<MissingProduct>,
    /// What is there and will not be published.
    pub refused: Vec<Refused>,
    /// Outputs that had to be stored under another name, and why that is so.
    pub moved: Vec<Moved>,
}

/// A declared product that did not come out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingProduct {
    /// The task that declares it.
    pub task: String,
    /// As declared.
    pub product: String,
    /// Why it is not among the outputs.
    pub why: MissingReason,
}

/// Why a declared product is not among the outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingReason {
    /// Nothing stands at its path.
    Absent,
    /// Its path leads outside the snapshot and `/output`, so it went with the container.
    Outside,
    /// Its path could not be known before the run, and no new metadata speaks for it.
    Unknown,
    /// It is there and cannot be published; see the refused entries.
    Refused,
}

/// Something that is there and will not be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which root it lies in.
    pub root: Root,
    /// Its path there.
    pub path: RelPath,
    /// Why.
    pub reason: RefusedReason,
}

/// Why something will not be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedReason {
    /// A block or character device, or a kind of file nobody knows.
    #[error("a device")]
    Device,
    /// A named pipe.
    #[error("a named pipe")]
    Fifo,
    /// A socket.
    #[error("a socket")]
    Socket,
    /// A link that leads outside.
    #[error("a link that leads outside")]
    LinkOutside,
    /// A link that leads nowhere or in a circle.
    #[error("a link that leads nowhere")]
    LinkDangling,
    /// A link to something that is not an output.
    #[error("a link to something that is not published")]
    LinkUnpublished,
    /// The user who runs soopervisor may not read it.
    #[error("not readable")]
    Unreadable,
    /// It went away while it was looked at.
    #[error("gone while it was looked at")]
    Vanished,
    /// Deeper than [`Bounds::depth`], or a path longer than 4096 bytes.
    #[error("too many folders in each other")]
    TooDeep,
    /// A product that names the pipeline's folder itself or one above it.
    #[error("the whole pipeline folder")]
    Whole,
}

/// An output that was stored under another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Where it would have been published.
    pub wanted: RelPath,
    /// Where it is.
    pub stored: RelPath,
}

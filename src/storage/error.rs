//! What can go wrong with a storage: what, where and why. The next step is in [`help`].

use std::path::PathBuf;

use thiserror::Error;

use super::conflict::Differences;
use super::key::Folder;
use crate::id::{Digest, ProjectName, RelPath};
use crate::outputs::manifest::ManifestError;
use crate::spec::amount::{count, decimal};
use crate::web::Fault;

mod help;

/// Why the storage could not do it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The storage was not named.
    #[error("no storage is named")]
    NoLocation,
    /// A backend that exists in the world and not in this build.
    #[error("the storage backend `{0}` is not part of this build")]
    NotBuilt(String),
    /// A backend nobody knows.
    #[error("there is no storage `{name}`")]
    UnknownBackend {
        /// As written, without what follows it (it may hold credentials).
        name: String,
        /// The nearest known one; with `://` where an address follows it.
        near: Option<String>,
    },
    /// An address that leads nowhere.
    #[error("the storage `{scheme}` is not understood: {why}")]
    Address {
        /// Its beginning; the rest may hold credentials.
        scheme: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A folder that no drive of that kind can have.
    #[error("{title} has no folder called `{name}`: {why}")]
    Name {
        /// Whose drive it is.
        title: &'static str,
        /// The part of the place, without characters that a terminal obeys.
        name: String,
        /// The vendor's rule.
        why: &'static str,
        /// The storage, as it is written before the folder.
        remote: String,
    },
    /// A project whose folder no drive of that kind can have.
    #[error("{title} has no folder called `{project}`, as the project is: {why}")]
    Project {
        /// Whose drive it is.
        title: &'static str,
        /// The project.
        project: ProjectName,
        /// The vendor's rule.
        why: &'static str,
    },
    /// Credentials in an address end up in the shell's history, in process lists and in logs.
    #[error("the address after `{scheme}:` holds a user or a password, which it never should")]
    Credentials {
        /// As written.
        scheme: String,
        /// The name of variables.
        remote: &'static str,
    },
    /// A variable makes a remote of a kind that there is not.
    #[error("{variable} names no kind of storage")]
    RemoteType {
        /// Which variable.
        variable: String,
    },
    /// A place that cannot be opened as it is set.
    #[error("{place} cannot be opened: {fault}")]
    Open {
        /// Where.
        place: String,
        /// Why.
        fault: Fault,
    },
    /// `~` was not expanded by the shell.
    #[error("`{0}` would be a folder called `~`")]
    Tilde(String),
    /// Something else stands where a folder has to be.
    #[error("`{}` is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The same in a service of the network.
    #[error("`{path}` is a file where a folder has to be")]
    Blocked {
        /// The place, and what in it.
        path: String,
    },
    /// Mounted read-only.
    #[error("`{}` is on a read-only file system", .0.display())]
    ReadOnly(PathBuf),
    /// Not allowed.
    #[error("no permission to {action} `{}`", .path.display())]
    Forbidden {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// Too little space.
    #[error("`{}` has {} free, {} are needed", .path.display(), decimal(*.free), decimal(*.needed))]
    DiskFull {
        /// Where.
        path: PathBuf,
        /// Bytes of the whole publication.
        needed: u64,
        /// Bytes that were free.
        free: u64,
    },
    /// Too few inodes.
    #[error("`{}` has room for {}, {needed} are needed", .path.display(), count(*.free, "more file"))]
    TooManyFiles {
        /// Where.
        path: PathBuf,
        /// Files of the whole publication.
        needed: u64,
        /// Files that could be made.
        free: u64,
    },
    /// A file of ours grew over a limit of the system.
    #[error("`{path}` is larger than a file may be in the storage")]
    FileTooLarge {
        /// Its path in the published folder.
        path: RelPath,
    },
    /// An output cannot be read.
    #[error("the output `{path}` cannot be read")]
    Source {
        /// Its path in the published folder.
        path: RelPath,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// An output changed after the run was over.
    #[error("the output `{path}` changed while it was published")]
    Changed {
        /// Its path in the published folder.
        path: RelPath,
    },
    /// The commit is there with other content.
    #[error("`{folder}` is published already with other content: {differences}")]
    Conflict {
        /// The folder.
        folder: Folder,
        /// What differs.
        differences: Differences,
    },
    /// Names that differ only in case are one in this storage.
    #[error(
        "project `{project}` has no folder of its own in {place}: names that differ only in case are one there, and \
         `{folder}` holds what project `{other}` published"
    )]
    OneFolder {
        /// The project that was to be published.
        project: ProjectName,
        /// Whose folder it is.
        other: ProjectName,
        /// As it is spelt there.
        folder: String,
        /// Where.
        place: String,
    },
    /// Something that is not ours stands at the commit's name.
    #[error("`{place}` is there already and is not a published folder: {reason}")]
    Foreign {
        /// Where.
        place: String,
        /// Why it is not taken for one.
        reason: String,
    },
    /// A publish of the same commit by somebody else is under way, or was left behind, in a storage that cannot tell.
    #[error("`{place}` holds `{path}` with other content and no manifest: another publish is under way or broke off")]
    Unfinished {
        /// Where.
        place: String,
        /// The first file that differs.
        path: RelPath,
    },
    /// The same run is being published by another process.
    #[error("run `{0}` is being published by another process")]
    Busy(String),
    /// No such project.
    #[error("there is no project `{project}` in {place}")]
    NoProject {
        /// As asked.
        project: ProjectName,
        /// Where was looked.
        place: String,
        /// Those that are there, at most ten.
        known: Vec<ProjectName>,
    },
    /// No such commit, branch or folder.
    #[error("project `{project}` has nothing published for `{wanted}`")]
    NoCommit {
        /// The project.
        project: ProjectName,
        /// As asked.
        wanted: String,
        /// The newest of those that are there.
        known: Vec<Folder>,
        /// Some of those whose manifest is missing or not to be believed.
        unreadable: Vec<Folder>,
    },
    /// Nothing of the project is published yet, and something else of it than what was asked for was begun.
    #[error(
        "project `{project}` has nothing published for `{wanted}`, nor anything else yet: publishes of it broke off or \
         are under way ({})",
        list(.begun)
    )]
    NoneFinished {
        /// The project.
        project: ProjectName,
        /// As asked.
        wanted: String,
        /// The newest folders of it that have no manifest; at least one.
        begun: Vec<Folder>,
        /// Where.
        place: String,
    },
    /// A publish of that commit was begun and not finished.
    #[error(
        "`{folder}` is incomplete in {place}: a publish of it was begun and has no manifest yet ({}, {})",
        count(u64::try_from(*.files).unwrap_or(u64::MAX), "file"), decimal(*.bytes)
    )]
    Incomplete {
        /// Whose folder it is.
        project: ProjectName,
        /// The folder.
        folder: Box<Folder>,
        /// Files that are there.
        files: usize,
        /// Bytes of them.
        bytes: u64,
        /// Where.
        place: String,
    },
    /// Several fit.
    #[error("`{wanted}` fits {} published folders: {}", .candidates.len(), list(.candidates))]
    Ambiguous {
        /// As asked.
        wanted: String,
        /// All that fit.
        candidates: Vec<Folder>,
    },
    /// The folder's manifest is missing or not to be believed.
    #[error("the manifest of `{folder}` is not to be believed")]
    Manifest {
        /// The folder.
        folder: Folder,
        /// What is wrong with it.
        #[source]
        source: ManifestError,
    },
    /// A file of the manifest is not there.
    #[error("`{path}` is missing in `{folder}`")]
    Missing {
        /// The folder.
        folder: Folder,
        /// The file.
        path: RelPath,
    },
    /// A link, a folder or a device stands where a published file lay.
    #[error("`{path}` in `{folder}` is no file any more: something else was put in its place")]
    Replaced {
        /// The folder.
        folder: Folder,
        /// The file.
        path: RelPath,
    },
    /// A file is not what the manifest says.
    #[error("`{path}` has sha256 {found}, the manifest says {expected}")]
    Corrupt {
        /// The file.
        path: RelPath,
        /// As in the manifest.
        expected: Digest,
        /// As computed.
        found: Digest,
    },
    /// Several files are missing or not what the manifest says.
    #[error("missing or damaged in `{folder}`: {} ({})", count(u64::try_from(*.total).unwrap_or(u64::MAX), "file"), list(.first))]
    Damaged {
        /// The folder.
        folder: Folder,
        /// At most ten of them.
        first: Vec<RelPath>,
        /// How many.
        total: usize,
    },
    /// Other files stand where a download would write.
    #[error("other files are there already ({total}): {}", list(.first))]
    WouldOverwrite {
        /// At most ten of them.
        first: Vec<RelPath>,
        /// How many.
        total: usize,
    },
    /// Another process writes the same file.
    #[error("`{path}` is being downloaded by another process")]
    Downloading {
        /// The file.
        path: RelPath,
    },
    /// A pattern is none.
    #[error(transparent)]
    Pattern(#[from] crate::outputs::OutputsError),
    /// No file fits the patterns.
    #[error("no published file matches {0}")]
    NothingMatches(String),
    /// The user asked to stop.
    #[error("stopped; nothing was published")]
    Cancelled,
    /// The user asked to stop, or the service failed, when the manifest was on its way.
    #[error(
        "{} while the manifest of `{folder}` was on its way to {place}: it may be published, or not{}",
        how(.fault.as_ref()), why(.fault.as_ref())
    )]
    Undecided {
        /// Whose folder it is.
        project: ProjectName,
        /// The folder.
        folder: Box<Folder>,
        /// Where.
        place: String,
        /// What went wrong; `None` where the user asked to stop.
        fault: Option<Fault>,
    },
    /// The user asked to stop while the doctor's file was on its way, or before it was known to be removed.
    #[error("stopped while `{key}` was on its way, which may be left in {}", .place.trim_end_matches(':'))]
    TrialLeft {
        /// What the file is called.
        key: String,
        /// Where.
        place: String,
    },
    /// A system call failed in a way that has no word of its own here.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// The account has too little room for the whole publication.
    #[error("{place} has {} free, {} are needed", decimal(*.free), decimal(*.needed))]
    Full {
        /// Where.
        place: String,
        /// Bytes of what is to be sent.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A service failed.
    #[error("{place} cannot {action} `{key}`: {fault}")]
    Service {
        /// What was tried.
        action: &'static str,
        /// The key.
        key: String,
        /// Where.
        place: String,
        /// Why.
        fault: Fault,
    },
}

impl StorageError {
    /// The file that is missing or not what was published, where that is what is wrong: another try finds the same.
    pub fn damaged(&self) -> Option<&RelPath> {
        match self {
            Self::Corrupt { path, .. } | Self::Replaced { path, .. } | Self::Missing { path, .. } => Some(path),
            _ => None,
        }
    }

    /// No published file fits these patterns.
    pub fn nothing_matches(globs: &[String]) -> Self {
        Self::NothingMatches(list(globs))
    }
}

fn how(fault: Option<&Fault>) -> &'static str {
    if fault.is_some() { "broken off" } else { "stopped" }
}

fn why(fault: Option<&Fault>) -> String {
    fault.map(|fault| format!(" ({fault})")).unwrap_or_default()
}

fn list<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("`{item}`")).collect::<Vec<_>>().join(", ")
}

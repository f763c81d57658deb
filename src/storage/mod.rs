//! The user's own storage: a commit's folder appears there whole, with a manifest, or not at all.
//!
//! `key` alone decides paths. Readers trust the manifest only.
//!
//! # Publishing a commit that is there already
//! Two runs came to the same content when every path, kind, executable bit, link and byte is the same; the times and
//! random ids that Ploomber writes into its metadata, papermill into notebooks and nbconvert into HTML do not count
//! ([`crate::outputs::meaning`]). Then publishing is a success that changes nothing. Otherwise `--on-conflict` decides:
//! `fail` (the default) names the first ten differences, `keep` leaves what is there, `new-run` publishes beside it as
//! `{commit}-run-{run id}`. A published folder is never written to again.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::io::AsyncRead;

use crate::id::{Digest, ProjectName, RelPath};
use crate::outputs::manifest::{About, Entry, Manifest};
use crate::outputs::{Collection, Output, OutputKind, Roots};
use crate::plan::OnConflict;
use crate::web::Waiting;

mod address;
pub mod backend;
mod conflict;
mod describe;
pub mod download;
pub mod drive;
mod error;
pub mod key;
pub mod local;
pub mod location;
pub mod open;
mod others;
pub mod patience;
pub mod prune;
pub mod remote;
pub mod remotes;
pub mod resolve;
#[cfg(test)]
mod samples;
#[cfg(feature = "sftp")]
pub mod sftp;
mod source;
pub mod stores;
mod twin;
pub mod verify;
#[cfg(feature = "webdav")]
pub mod webdav;

pub use conflict::{Difference, Differences, How};
pub use error::StorageError;
pub use key::Folder;
pub use location::Location;
pub use open::Access;
pub use remotes::Remotes;

/// A file's bytes as they come.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// One service that holds published folders.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync {
    /// Where it is, for people: `local:/data/artifacts`. Holds no credentials.
    fn place(&self) -> String;

    /// What it waits for at present instead of asking its service; `None` where it does not.
    fn waiting(&self) -> Option<Waiting> {
        None
    }

    /// Whether links and empty folders are stored themselves, and not in the manifest alone.
    fn keeps_links(&self) -> bool;

    /// Publishes one run: all of it, or nothing.
    ///
    /// # Errors
    /// When it could not be published; then nothing of it can be seen.
    async fn publish(&self, publication: Publication, progress: Arc<dyn Progress>) -> Result<Published, StorageError>;

    /// Every project, sorted.
    async fn projects(&self) -> Result<Vec<ProjectName>, StorageError>;

    /// Every published folder of a project, sorted; none when there is no such project.
    async fn folders(&self, project: &ProjectName) -> Result<Vec<Folder>, StorageError>;

    /// The manifest of one folder, checked.
    async fn manifest(&self, project: &ProjectName, folder: &Folder) -> Result<Manifest, StorageError>;

    /// [`Self::manifest`] of a folder that was found published. A service that says that it is not there is asked once more
    /// before it is called missing, which costs a request more.
    async fn expected_manifest(&self, project: &ProjectName, folder: &Folder) -> Result<Manifest, StorageError> {
        self.manifest(project, folder).await
    }

    /// The bytes of one file of the folder's manifest from `offset` on.
    async fn open(
        &self,
        project: &ProjectName,
        folder: &Folder,
        entry: &Entry,
        offset: u64,
    ) -> Result<Reader, StorageError>;

    /// What a service says of one file of the folder's manifest as it has it now: its length, and a checksum of some kind
    /// where it tells one. `None` where the file is not there, and where there is nobody to ask.
    async fn told(
        &self,
        _project: &ProjectName,
        _folder: &Folder,
        _entry: &Entry,
    ) -> Result<Option<backend::Meta>, StorageError> {
        Ok(None)
    }

    /// The name of one file of the folder's manifest below the place of the storage: `project/commit/plots/roc.png`.
    fn name_of(&self, project: &ProjectName, folder: &Folder, entry: &Entry) -> String;

    /// An address at which whoever has it reads the file for so long; `None` where the storage gives none. It is a
    /// credential: it is for those who asked for it, and for no log.
    async fn signed_address(
        &self,
        _project: &ProjectName,
        _folder: &Folder,
        _entry: &Entry,
        _lasts: std::time::Duration,
    ) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    /// Where those who may see the storage look at a folder with a browser; `None` where that is not known.
    async fn web_address(&self, _project: &ProjectName, _folder: &Folder) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    /// Everything that really lies in a folder, whatever its manifest says. Where a name may be taken twice a path may
    /// come several times, what it stands for first.
    async fn list(&self, project: &ProjectName, folder: &Folder) -> Result<Vec<Listed>, StorageError>;

    /// Takes a published folder away: its manifest first, so that nobody takes the rest for a commit. It is left alone where
    /// somebody turns out to have to do with it meanwhile.
    ///
    /// # Errors
    /// When something of it is left.
    async fn unpublish(&self, project: &ProjectName, folder: &Folder) -> Result<Swept, StorageError>;

    /// What broken-off publishes of a project left that readers never see, sorted; nothing where a storage mends that by
    /// itself with the next publish.
    async fn unfinished(&self, _project: &ProjectName) -> Result<Vec<Unfinished>, StorageError> {
        Ok(Vec::new())
    }

    /// Removes one of these for good, unless somebody wrote to it during the last week, by the storage's own clock, or
    /// goes on with it now; and unless files lie in it that nothing proves to be ours, where it is not wanted
    /// `with_foreign` files. May be stopped at any point, and done again.
    ///
    /// # Errors
    /// When some of it could not be removed; then the rest is as unfinished as it was.
    async fn sweep(
        &self,
        _project: &ProjectName,
        _folder: &Folder,
        _with_foreign: bool,
        _progress: &dyn Progress,
    ) -> Result<Swept, StorageError> {
        Ok(Swept::Left("nothing is ever left here".to_owned()))
    }

    /// Whether a project's folder would be that of another one: refused, before anything is spent on it. So it is where
    /// names that differ only in case are one.
    ///
    /// # Errors
    /// [`StorageError::OneFolder`], and when the storage cannot be read.
    async fn tell_apart(&self, _project: &ProjectName) -> Result<(), StorageError> {
        Ok(())
    }

    /// Whether it can be published to; for `doctor`. Leaves nothing behind.
    async fn check(&self) -> Result<Health, StorageError>;

    /// Whether it takes a file: writes a small one and removes it, also for who is stopped meanwhile, and with it those that
    /// a killed process left; for `doctor`. A folder was tried by [`Self::check`].
    ///
    /// # Errors
    /// [`StorageError::Cancelled`], or [`StorageError::TrialLeft`] where who was stopped may leave the file there; and when
    /// it could not be written or removed.
    async fn try_writing(&self, _progress: &dyn Progress) -> Result<(), StorageError> {
        Ok(())
    }
}

/// What is published, and how.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The run it comes from.
    pub about: About,
    /// Where outputs are read.
    pub roots: Arc<Roots>,
    /// What was found there.
    pub collection: Collection,
    /// What to do with an existing folder that holds something else.
    pub on_conflict: OnConflict,
    /// Outputs that are files of an earlier folder, so that they need not be uploaded again.
    pub same: Option<Same>,
}

/// Outputs that were fetched from an earlier folder, checked, and left alone since.
///
/// A storage may copy these on its own side, in any way that lets a later change of one copy leave the other alone. It
/// need not: the output is there to be read like any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Same {
    /// The folder of the same project.
    pub folder: Folder,
    /// By the path of the output.
    pub files: BTreeMap<RelPath, SameFile>,
}

/// A file of an earlier folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SameFile {
    /// Its path there.
    pub path: RelPath,
    /// Of its bytes, as they were when it was fetched.
    pub sha256: Digest,
    /// Of what it means, where its manifest has that.
    pub meaning: Option<Digest>,
}

impl Publication {
    /// What is known of an output that need not be read again.
    fn known(&self, output: &Output) -> Option<&SameFile> {
        self.same.as_ref()?.files.get(&output.path).filter(|_| output.kind == OutputKind::File)
    }
}

/// Follows a long action, and may stop it.
pub trait Progress: Send + Sync {
    /// Called now and then, from any thread.
    fn at(&self, _done: Done) {}

    /// Called now and then while nothing can be done but wait, with what for.
    fn waits(&self, _what: &str) {}

    /// Called now and then while the service lets nothing through, with a sentence about it.
    fn held(&self, _sentence: &str) {}

    /// Called now and then with the time since the last look, while the service lets nobody ask it anything.
    fn waited(&self, _time: std::time::Duration) {}

    /// Asked between any two chunks; `true` stops the action, which then cleans up.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Nobody follows.
impl Progress for () {}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Done {
    /// Entries that are done.
    pub files: u64,
    /// Entries of which nothing is to be sent any more, though they may not be visible yet; 0 where that is the same.
    pub files_sent: u64,
    /// Entries in all.
    pub files_total: u64,
    /// Bytes that are done.
    pub bytes: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}

/// What publishing came to.
#[derive(Debug, Clone)]
pub struct Published {
    /// The folder below the project.
    pub folder: Folder,
    /// Where it is, for people.
    pub place: String,
    /// What was done.
    pub outcome: PublishOutcome,
    /// What lies there.
    pub manifest: Manifest,
    /// Names in the folder of files that the manifest does not name and nothing proves to be ours: they were left alone.
    pub others: Vec<String>,
}

/// What publishing did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishOutcome {
    /// A new folder appeared.
    Created,
    /// The same content was there already.
    Identical,
    /// Other content was there and was kept, as `--on-conflict keep` asks.
    Kept,
}

/// One thing that lies in a published folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path; of what no manifest names, one that is no output's.
    pub path: RelPath,
    /// What it is called in its folder, where that is not its path and can be told as one.
    pub name: Option<RelPath>,
    /// What it is; `None` for what soopervisor never stores.
    pub kind: Option<OutputKind>,
    /// What a link says, as it stands there.
    pub link: Option<Vec<u8>>,
    /// A file's permission bits; `None` where they are not kept.
    pub mode: Option<u32>,
    /// The service's own name for it, where a path may be of several.
    pub id: Option<String>,
}

impl Listed {
    /// The name by which people find it in its folder.
    fn into_name(self) -> RelPath {
        self.name.unwrap_or(self.path)
    }
}

/// A folder of ours without a manifest, in which files lie, or where storages keep such, folders only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// The folder.
    pub folder: Folder,
    /// Files in it.
    pub files: usize,
    /// Those of them that nothing proves to be ours: somebody may have put them there.
    pub unproven: usize,
    /// Bytes of all of them.
    pub bytes: u64,
    /// When any of it was last written, by the storage's clock, but for what a prune that broke off put there; `None` where
    /// that is not told of all of it, or nothing else is there.
    pub touched: Option<jiff::Timestamp>,
    /// Whether it was published, and a prune that broke off began to take it away: then it is of nobody, however young.
    pub begun: bool,
    /// Why it is left alone for now, whatever lies in it, as far as this machine knows: somebody may be at it.
    pub busy: Option<&'static str>,
}

/// What taking a folder away came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swept {
    /// It is gone.
    Gone {
        /// Whether its room is free at once; some drives keep what is removed in a bin first.
        freed: bool,
    },
    /// It is left alone, and why.
    Left(String),
}

/// What `doctor` says about a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Where it is.
    pub place: String,
    /// Free bytes, where that can be known.
    pub free: Option<u64>,
    /// What a user should know.
    pub notes: Vec<String>,
}

impl Health {
    /// What even a manifest without files takes.
    const LEAST: u64 = 1024;

    /// Whether anything can be published there at all; how much there is to publish is known only after the pipeline.
    ///
    /// # Errors
    /// When no byte is free.
    pub fn has_room(&self) -> Result<(), StorageError> {
        if self.free == Some(0) {
            return Err(StorageError::Full { place: self.place.clone(), needed: Self::LEAST, free: 0 });
        }
        Ok(())
    }
}

//! Volumes: where files live for an engine that does not see ours. Named, labelled, filled and read as tar streams.
//!
//! A volume of a run goes with the run, or with the sweep when its process died. A kept one stays until whoever keeps
//! it removes it.

use std::path::PathBuf;

use async_trait::async_trait;

use super::{EngineError, GuestPath, Mount};
use crate::archive::{Load, Rules, Unpacked};
use crate::id::RunId;

/// What an engine that does not see our files gets in the place of mounts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Carried {
    /// Volumes that are shown inside.
    pub volumes: Vec<VolumeMount>,
    /// Files of ours that are copied into the container before it starts; readable, never written back.
    pub files: Vec<Mount>,
}

/// One volume shown inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// Its name.
    pub volume: String,
    /// Inside.
    pub guest: GuestPath,
    /// Whether the container may write to it.
    pub writable: bool,
}

/// One volume to be.
#[derive(Debug, Clone)]
pub struct VolumeSpec {
    /// Its name; nothing else has it.
    pub name: String,
    /// Whose it is.
    pub run: RunId,
    /// What it is kept as, where it outlives its run.
    pub kept: Option<String>,
    /// Folders of ours that it is made of, for an engine that sees them.
    pub overlay: Option<Overlay>,
}

/// Two folders shown as one: what is written goes into the upper one, the lower one stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Shown where the upper one has nothing.
    pub lower: PathBuf,
    /// Holds what is new, changed or deleted.
    pub upper: PathBuf,
    /// An empty folder on the same file system as `upper`, for the kernel itself.
    pub scratch: PathBuf,
}

/// A volume that outlives the run that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// What it is kept as.
    pub kept: String,
    /// Whether the process that made it is surely gone.
    pub abandoned: bool,
}

/// An engine's volumes.
#[async_trait]
pub trait Volumes: Send + Sync {
    /// Makes an empty volume; one of that name that is there already is taken as it is.
    async fn create(&self, spec: &VolumeSpec) -> Result<(), EngineError>;

    /// Whether a volume of that name is there.
    async fn exists(&self, name: &str) -> Result<bool, EngineError>;

    /// Removes a volume; one that is not there is fine, one that a container uses is refused.
    async fn remove(&self, name: &str) -> Result<(), EngineError>;

    /// The kept volumes that processes of this host made.
    async fn kept(&self) -> Result<Vec<Kept>, EngineError>;

    /// Takes hold of volumes, to fill and to read them; they cannot be removed meanwhile. Needs an image that is
    /// present, of which nothing is run.
    async fn hold(&self, run: &RunId, image: &str, volumes: &[String]) -> Result<Box<dyn Hold>, EngineError>;
}

/// Volumes that can be filled and read.
#[async_trait]
pub trait Hold: Send {
    /// Puts folders into volumes: each goes to the top of the volume that its [`Load::below`] names, beside what is
    /// there. The volume's own folder gets the folder's mode and owner.
    async fn put(&mut self, loads: Vec<Load>) -> Result<(), EngineError>;

    /// Makes a folder of ours hold what a volume holds; `leave` names what is passed over at its top.
    async fn fetch(
        &mut self,
        volume: &str,
        into: cap_std::fs::Dir,
        leave: &'static [&'static str],
    ) -> Result<Unpacked, EngineError>;

    /// Lets go. Must be awaited; dropping only warns.
    async fn close(self: Box<Self>) -> Result<(), EngineError>;
}

/// The rules for what comes back from a volume.
pub(super) fn rules<'a>(volume: &'a str, leave: &'a [&'a str]) -> Rules<'a> {
    Rules { below: volume, leave, bounds: crate::archive::Bounds::default() }
}

/// Packs or unpacks on a thread that may block; its panic is told as an error.
pub(super) async fn blocking<T: Send + 'static>(
    action: &'static str,
    work: impl FnOnce() -> Result<T, crate::archive::ArchiveError> + Send + 'static,
) -> Result<T, EngineError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|source| EngineError::Carry { action, source }),
        Err(error) => Err(EngineError::Refused { action, reason: error.to_string() }),
    }
}

//! A folder of this machine as storage.
//!
//! # How a folder appears
//! 1. Folders of dead publishers (`.staging-*` that nobody holds a lock on) are removed.
//! 2. `{project}/.staging-{run}` is made beside the final folder and locked; the kernel lets go of the lock when its
//!    process dies, whatever way.
//! 3. Every output is copied into it and hashed in the same pass; what is a file of an earlier commit is cloned from
//!    there (`same`).
//! 4. `manifest.json` is written, last.
//! 5. The file system is told to put all of it on disk, once.
//! 6. The folder is renamed to its name, which fails when that name exists: of two publishers one wins, and the other
//!    compares what it has.
//!
//! A crash between any two steps leaves a `.staging-*` folder and never half a commit.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::{Folder, Health, Listed, Progress, Publication, Published, Reader, Storage, StorageError, Swept, twin};
use crate::id::ProjectName;
use crate::outputs::manifest::{Entry, Manifest};

pub(super) mod copy;
mod publish;
mod read;
mod remove;
mod same;
mod stage;
pub(super) mod system;

pub(super) use copy::times;

/// A moment in publishing, for those who watch it closely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The project's folder is there.
    Opened,
    /// What dead publishers left is removed.
    Swept,
    /// The staging folder is made and locked.
    Staged,
    /// So many files are copied.
    Copied(usize),
    /// Everything is copied.
    Filled,
    /// The manifest is written.
    Described,
    /// Everything is on disk.
    Synced,
    /// The folder has its name.
    Renamed,
}

type Watcher = Arc<dyn Fn(Point) + Send + Sync>;

/// A folder of this machine.
#[derive(Clone)]
pub struct Local {
    root: PathBuf,
    durable: bool,
    watcher: Option<Watcher>,
}

impl Local {
    /// Storage in the folder `root`; made when something is published first.
    pub fn new(root: PathBuf) -> Self {
        Self { root, durable: true, watcher: None }
    }

    /// Whether a published folder survives a power cut; `true` unless said otherwise. A crash of our own process it
    /// survives in any case.
    #[must_use]
    pub fn durable(mut self, durable: bool) -> Self {
        self.durable = durable;
        self
    }

    /// Calls `watcher` at every [`Point`], before going on; it may stop the process there, which is how crashes are
    /// tested.
    #[must_use]
    pub fn watched(mut self, watcher: impl Fn(Point) + Send + Sync + 'static) -> Self {
        self.watcher = Some(Arc::new(watcher));
        self
    }

    fn at(&self, point: Point) {
        if let Some(watcher) = &self.watcher {
            watcher(point);
        }
    }

    fn project_path(&self, project: &ProjectName) -> PathBuf {
        self.root.join(project.as_str())
    }

    fn folder_path(&self, project: &ProjectName, folder: &Folder) -> PathBuf {
        self.project_path(project).join(folder.to_string())
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Local({})", self.root.display())
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    at: &Path,
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let lost = |error: tokio::task::JoinError| StorageError::Io {
        action: "finish the work on",
        path: at.to_owned(),
        source: std::io::Error::other(error),
    };
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}

#[async_trait]
impl Storage for Local {
    fn place(&self) -> String {
        format!("local:{}", self.root.display())
    }

    fn keeps_links(&self) -> bool {
        true
    }

    async fn publish(&self, publication: Publication, progress: Arc<dyn Progress>) -> Result<Published, StorageError> {
        self.tell_apart(&publication.about.project).await?;
        let local = self.clone();
        blocking(&self.root, move || publish::publish(&local, &publication, &*progress)).await
    }

    async fn projects(&self) -> Result<Vec<ProjectName>, StorageError> {
        let local = self.clone();
        blocking(&self.root, move || read::projects(&local.root)).await
    }

    async fn folders(&self, project: &ProjectName) -> Result<Vec<Folder>, StorageError> {
        let path = self.project_path(project);
        blocking(&self.root, move || read::folders(&path)).await
    }

    async fn manifest(&self, project: &ProjectName, folder: &Folder) -> Result<Manifest, StorageError> {
        let (path, project, folder) = (self.folder_path(project, folder), project.clone(), folder.clone());
        blocking(&self.root, move || read::manifest(&path, &project, &folder)).await
    }

    async fn open(
        &self,
        project: &ProjectName,
        folder: &Folder,
        entry: &Entry,
        offset: u64,
    ) -> Result<Reader, StorageError> {
        let (at, folder, path) = (self.folder_path(project, folder), folder.clone(), entry.path.clone());
        let file = blocking(&self.root, move || read::open(&at, &folder, &path, offset)).await?;
        Ok(Box::pin(tokio::fs::File::from_std(file)))
    }

    fn name_of(&self, project: &ProjectName, folder: &Folder, entry: &Entry) -> String {
        format!("{project}/{folder}/{}", String::from_utf8_lossy(entry.path.as_bytes()))
    }

    async fn list(&self, project: &ProjectName, folder: &Folder) -> Result<Vec<Listed>, StorageError> {
        let path = self.folder_path(project, folder);
        blocking(&self.root, move || read::list(&path)).await
    }

    async fn unpublish(&self, project: &ProjectName, folder: &Folder) -> Result<Swept, StorageError> {
        let (path, folder) = (self.project_path(project), folder.clone());
        blocking(&self.root, move || remove::remove(&path, &folder)).await?;
        Ok(Swept::Gone { freed: true })
    }

    async fn tell_apart(&self, project: &ProjectName) -> Result<(), StorageError> {
        let (root, at) = (self.root.clone(), self.project_path(project));
        // What is wrong with it says whoever needs it.
        let look = move || Ok((read::folders(&at).unwrap_or_default(), read::names(&root).unwrap_or_default()));
        let (commits, beside) = blocking(&self.root, look).await?;
        twin::refuse(self, project, &commits, std::future::ready(beside)).await
    }

    async fn check(&self) -> Result<Health, StorageError> {
        let local = self.clone();
        blocking(&self.root, move || read::check(&local)).await
    }
}

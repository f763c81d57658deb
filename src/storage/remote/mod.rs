//! Commits in a service of the network, whichever it is.
//!
//! # How a folder appears
//! 1. What is published already is compared, and the room that is needed is asked for.
//! 2. What lies in the folder without a manifest is what a publish left that broke off: files that are the same are
//!    taken as sent. Before any is trusted, a mark is put there that keeps `prune` from removing them ([`marks`]).
//! 3. Every other output is created under its own key, which never overwrites. Where a key holds something else (of a
//!    run that broke off, or of one that is under way), the output gets another name, and the manifest says which.
//! 4. `manifest.json` is created, last, if the mark is still there. Of two publishers one succeeds; the other compares what it has, and removes what
//!    only it made. Where names are not exclusive the first manifest counts, which is looked for while somebody else shows
//!    in the folder ([`rivals`]).
//! 5. Of what the manifest does not name, that goes which has a name that only we give, and what this machine had sent
//!    whole, while the service's checksum and id prove that ([`proof`]). What else is in the folder may be somebody's, and
//!    stays, whatever it is called, whenever it came and whoever publishes the commit again; the run tells it. Where a
//!    name may be of several objects, the manifest names ids, and what goes goes by its id. Pointers (`latest.json`,
//!    `index/`) are conveniences: readers trust manifests only. Who finds the commit published writes those that a killed
//!    publisher had not.
//!
//! A crash between any two steps leaves a folder without a manifest, which nobody takes for a commit and the next
//! publish goes on with. Links and empty folders are in the manifest only.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};

use super::backend::{Backend, Fault, Made, Meta};
use super::{
    Folder, Health, Listed, Progress, Publication, Published, Reader, Storage, StorageError, Swept, Unfinished, key,
    twin,
};
use crate::id::{ProjectName, RelPath};
use crate::outputs::OutputKind;
use crate::outputs::manifest::{Entry, Manifest};
use crate::web::Waiting;

mod blocked;
mod journal;
mod lanes;
mod leftovers;
mod marks;
mod pointer;
mod proof;
mod publish;
mod rivals;
mod send;
mod sweep;
mod tally;
mod tidy;
mod trial;
mod unpublish;
mod withheld;

pub use marks::Bounds;

/// Questions asked at once.
const LANES: usize = 8;

/// Storage over a service.
#[derive(Debug, Clone)]
pub struct Remote {
    service: Arc<dyn Backend>,
    /// Where half-sent files are kept track of; nowhere for one that lives as long as this process.
    journals: Option<PathBuf>,
    /// What a user should know before anything is sent.
    notes: Vec<String>,
    bounds: Bounds,
}

impl Remote {
    /// Storage over `service`. Half-sent files are kept track of in the folder `journals`, which is the user's own.
    pub fn new(service: Arc<dyn Backend>, journals: Option<PathBuf>) -> Self {
        Self { service, journals, notes: Vec::new(), bounds: Bounds::default() }
    }

    /// With something that a user should know: a login that ends soon.
    #[must_use]
    pub fn noting(self, notes: Vec<String>) -> Self {
        Self { notes, ..self }
    }

    /// With other times than the program's.
    #[must_use]
    pub fn bounded(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    fn fault(&self, action: &'static str, key: &str, fault: Fault) -> StorageError {
        StorageError::Service { action, key: key.to_owned(), place: self.service.place(), fault }
    }

    /// What is wrong with the place as a whole.
    fn unreached(&self, fault: Fault) -> StorageError {
        match fault {
            // It is about how the place is written, and not about something in it.
            Fault::Setting(_) => StorageError::Open { place: self.service.place(), fault },
            fault => self.fault("reach", "/", fault),
        }
    }

    /// The published manifest, if the folder is published.
    async fn published(&self, project: &ProjectName, folder: &Folder) -> Result<Option<Manifest>, StorageError> {
        match self.manifest(project, folder).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(StorageError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Says in a published folder that it is taken away: who publishes the commit again waits, and should this be killed
    /// once the manifest is gone, the next prune goes on with the rest, which the manifest in the mark proves to be ours. In a
    /// full account there may be no room for it.
    async fn announce(&self, project: &ProjectName, folder: &Folder, manifest: Option<&Manifest>) -> Option<String> {
        let mark = key::taken(project, folder);
        let put = match manifest.and_then(|manifest| manifest.to_bytes().ok()) {
            Some(bytes) => marks::put_saying(self, &mark, bytes.into()).await,
            None => marks::put_mark(self, &mark).await,
        };
        match put {
            Ok(()) => Some(mark),
            Err(fault) => {
                tracing::info!(%fault, "taken away without a mark");
                None
            }
        }
    }

    /// Everything that lies in a folder, its keys relative to it.
    async fn contents(&self, project: &ProjectName, folder: &Folder) -> Result<Vec<Meta>, StorageError> {
        let prefix = key::object_folder(project, folder);
        let folder = prefix.trim_end_matches('/');
        let listed = self.service.list(folder, true).await.map_err(|fault| self.fault("list", folder, fault))?;
        Ok(listed
            .into_iter()
            .filter(|meta| !meta.folder)
            .filter_map(|meta| {
                // As we wrote it: a server may list letters taken apart that were composed.
                let key = key::composed(meta.key.strip_prefix(&prefix)?);
                Some(Meta { key, ..meta })
            })
            .collect())
    }

    /// Names directly below a folder that are folders.
    async fn folders_below(&self, folder: &str) -> Result<Vec<String>, StorageError> {
        let listed = self.service.list(folder, false).await.map_err(|fault| self.fault("list", folder, fault))?;
        let mut names: Vec<String> = listed
            .into_iter()
            .filter(|meta| meta.folder)
            .filter_map(|meta| Some(meta.key.trim_end_matches('/').rsplit('/').next()?.to_owned()))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// What an entry is stored as.
fn object(project: &ProjectName, folder: &Folder, entry: &Entry) -> String {
    format!("{}{}", key::object_folder(project, folder), stored(entry))
}

/// What an entry is called in its folder. The manifest notes a name that is not the path, so that what fitted every service
/// when it was published is found whatever is known of names since.
fn stored(entry: &Entry) -> String {
    match (&entry.stored, entry.path.as_str()) {
        (Some(name), _) if key::is_stored_name(name) => name.clone(),
        (None, Some(path)) if key::is_stored_name(path) => path.to_owned(),
        _ => key::stored_name(&entry.path),
    }
}

#[async_trait]
impl Storage for Remote {
    fn place(&self) -> String {
        self.service.place()
    }

    fn waiting(&self) -> Option<Waiting> {
        self.service.waiting()
    }

    fn keeps_links(&self) -> bool {
        false
    }

    async fn publish(&self, publication: Publication, progress: Arc<dyn Progress>) -> Result<Published, StorageError> {
        match publish::publish(self, &publication, &progress).await {
            Err(error) => Err(blocked::explained(self, &publication, error).await),
            published => published,
        }
    }

    async fn projects(&self) -> Result<Vec<ProjectName>, StorageError> {
        let mut projects = Vec::new();
        for name in self.folders_below("").await? {
            if let Ok(project) = name.parse::<ProjectName>()
                && !self.folders(&project).await?.is_empty()
            {
                projects.push(project);
            }
        }
        projects.sort();
        Ok(projects)
    }

    async fn folders(&self, project: &ProjectName) -> Result<Vec<Folder>, StorageError> {
        let names = self.folders_below(project.as_str()).await?;
        let named = names.into_iter().filter_map(|name| name.parse::<Folder>().ok());
        let published = |folder: Folder| async move {
            let key = key::object_manifest(project, &folder);
            let there = self.service.stat(&key).await.map_err(|fault| self.fault("look at", &key, fault))?;
            Ok::<_, StorageError>(there.map(|_| folder))
        };
        let found: Vec<Option<Folder>> =
            futures::stream::iter(named.map(published)).buffered(LANES).try_collect().await?;
        let mut folders: Vec<Folder> = found.into_iter().flatten().collect();
        folders.sort_by_key(ToString::to_string);
        Ok(folders)
    }

    async fn manifest(&self, project: &ProjectName, folder: &Folder) -> Result<Manifest, StorageError> {
        let key = key::object_manifest(project, folder);
        let unsound = |source| StorageError::Manifest { folder: folder.clone(), source };
        let parsed = match pointer::read_manifest(&*self.service, &key).await {
            Ok(parsed) => parsed,
            Err(Fault::NotFound) => {
                let path = RelPath::from_bytes(key::MANIFEST.as_bytes()).unwrap_or_default();
                return Err(StorageError::Missing { folder: folder.clone(), path });
            }
            Err(fault) => return Err(self.fault("read", &key, fault)),
        };
        parsed.and_then(|manifest| manifest.of(project, &folder.revision)).map_err(unsound)
    }

    async fn open(
        &self,
        project: &ProjectName,
        folder: &Folder,
        entry: &Entry,
        offset: u64,
    ) -> Result<Reader, StorageError> {
        if offset >= entry.size {
            return Ok(Box::pin(tokio::io::empty()));
        }
        let key = object(project, folder, entry);
        match self.read_named(Made { key: &key, id: entry.id.as_deref() }, offset).await? {
            Some(stream) => Ok(Box::pin(tokio_util::io::StreamReader::new(stream.map_err(std::io::Error::other)))),
            None => Err(StorageError::Missing { folder: folder.clone(), path: entry.path.clone() }),
        }
    }

    async fn told(&self, project: &ProjectName, folder: &Folder, entry: &Entry) -> Result<Option<Meta>, StorageError> {
        let key = object(project, folder, entry);
        let there = self.service.stat_made(Made { key: &key, id: entry.id.as_deref() }).await;
        there.map_err(|fault| self.fault("look at", &key, fault))
    }

    fn name_of(&self, project: &ProjectName, folder: &Folder, entry: &Entry) -> String {
        object(project, folder, entry)
    }

    async fn signed_address(
        &self,
        project: &ProjectName,
        folder: &Folder,
        entry: &Entry,
        lasts: std::time::Duration,
    ) -> Result<Option<String>, StorageError> {
        let key = object(project, folder, entry);
        let signed = self.service.signed_address(&key, lasts).await;
        signed.map_err(|fault| self.fault("sign an address of", &key, fault))
    }

    async fn web_address(&self, project: &ProjectName, folder: &Folder) -> Result<Option<String>, StorageError> {
        let prefix = key::object_folder(project, folder);
        let whole = prefix.trim_end_matches('/');
        self.service.web_address(whole).await.map_err(|fault| self.fault("look for", whole, fault))
    }

    async fn list(&self, project: &ProjectName, folder: &Folder) -> Result<Vec<Listed>, StorageError> {
        let manifest = self.expected_manifest(project, folder).await?;
        let prefix = key::object_folder(project, folder);
        let ours = manifest.files.iter().filter(|entry| entry.kind == OutputKind::File);
        let own: HashMap<String, &RelPath> = ours
            .filter_map(|entry| Some((object(project, folder, entry).strip_prefix(&prefix)?.to_owned(), &entry.path)))
            .collect();
        let paths: HashSet<&RelPath> = manifest.files.iter().map(|entry| &entry.path).collect();
        let contents = self.contents(project, folder).await?;
        // The one that is read; should there be a second one, it is as little ours as any other second file.
        let read = contents.iter().position(|meta| meta.key == key::MANIFEST);
        let files = contents.into_iter().enumerate().filter(|(at, _)| Some(*at) != read);
        // Marks are of nobody once there is a manifest, and go with the next publish.
        let files = files.map(|(_, meta)| meta).filter(|meta| !key::is_mark(&meta.key));
        let duplicates = self.service.traits().duplicates;
        Ok(files
            .map(|meta| {
                let path = match own.get(&meta.key) {
                    Some(path) => (*path).clone(),
                    None => key::foreign(&meta.key, |path| paths.contains(path)),
                };
                let name = RelPath::from_bytes(meta.key.as_bytes()).ok().filter(|name| *name != path);
                let id = meta.id.filter(|_| duplicates);
                Listed { path, name, kind: Some(OutputKind::File), link: None, mode: None, id }
            })
            .collect())
    }

    async fn expected_manifest(&self, project: &ProjectName, folder: &Folder) -> Result<Manifest, StorageError> {
        let key = key::object_manifest(project, folder);
        let mut tries = 0;
        loop {
            let missing = match self.manifest(project, folder).await {
                Err(missing @ StorageError::Missing { .. }) => missing,
                answered => return answered,
            };
            if !self.is_withheld(Made { key: &key, id: None }, tries).await? {
                return Err(missing);
            }
            tries += 1;
        }
    }

    async fn unpublish(&self, project: &ProjectName, folder: &Folder) -> Result<Swept, StorageError> {
        unpublish::unpublish(self, project, folder).await
    }

    async fn unfinished(&self, project: &ProjectName) -> Result<Vec<Unfinished>, StorageError> {
        sweep::unfinished(self, project).await
    }

    async fn sweep(
        &self,
        project: &ProjectName,
        folder: &Folder,
        with_foreign: bool,
        progress: &dyn Progress,
    ) -> Result<Swept, StorageError> {
        tally::unless_cancelled(progress, sweep::sweep(self, project, folder, with_foreign, progress)).await
    }

    async fn tell_apart(&self, project: &ProjectName) -> Result<(), StorageError> {
        if !self.service.may_fold_case() {
            return Ok(());
        }
        let below = match self.folders_below(project.as_str()).await {
            // What is in the way there is told by who makes the folder, and by who may not look into it.
            Err(StorageError::Service { fault, .. }) if !fault.is_passing() => return Ok(()),
            below => below?,
        };
        let commits: Vec<Folder> = below.iter().filter_map(|name| name.parse::<Folder>().ok()).collect();
        // Who may see what is in a folder may not be allowed to see what lies beside it.
        let beside = async { self.folders_below("").await.unwrap_or_default() };
        twin::refuse(self, project, &commits, beside).await
    }

    async fn check(&self) -> Result<Health, StorageError> {
        let space = self.service.space().await.map_err(|fault| self.unreached(fault))?;
        self.service.look_at_place().await.map_err(|fault| self.unreached(fault))?;
        let notes = self.notes.iter().cloned().chain(space.notes).collect();
        Ok(Health { place: self.place(), free: space.free, notes })
    }

    async fn try_writing(&self, progress: &dyn Progress) -> Result<(), StorageError> {
        trial::write(self, progress).await
    }
}

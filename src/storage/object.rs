//! Any object service that opendal reaches as storage: every key is written once, the manifest last.
//!
//! Keys are created, never overwritten, so that two publishers cannot mix their files: who finds a key taken reads it
//! back, and goes on only where the bytes are its own. The manifest is create-only too and makes the folder a published
//! one. What a broken-off publish left is gone on with by the next one of the same content, and named to any other.
//! Links and empty folders are in the manifest only. What is a file of an earlier folder is copied by the service itself
//! where it can do that without overwriting. Services whose keys cannot be created exclusively are refused.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use opendal::{ErrorKind, Operator};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;

use super::source::{self, Sources};
use super::verify::digest;
use super::{
    Differences, Done, Folder, Health, Listed, Progress, Publication, PublishOutcome, Published, Reader, SameFile,
    Storage, StorageError, key,
};
use crate::id::{Digest, ProjectName, RelPath};
use crate::outputs::manifest::{Entry, Manifest, ManifestError};
use crate::outputs::{Output, OutputKind, meaning};
use crate::plan::OnConflict;

const CHUNK: usize = 8 * 1024 * 1024;
const LANES: usize = 4;

/// An object service.
#[derive(Debug, Clone)]
pub struct Object {
    operator: Operator,
    place: String,
}

impl Object {
    /// Storage over `operator`; `place` is how people know it, without credentials.
    pub fn new(operator: Operator, place: String) -> Self {
        Self { operator, place }
    }

    async fn upload(
        &self,
        publication: &Publication,
        output: &Output,
        key: Option<&str>,
    ) -> Result<Entry, StorageError> {
        if output.kind != OutputKind::File {
            return Ok(Entry::new(output, None, None));
        }
        if let Some(same) = publication.known(output)
            && (key.is_none() || self.copied(publication, same, output, key).await)
        {
            return Ok(Entry::new(output, Some(same.sha256), same.meaning));
        }
        let (roots, opened) = (Arc::clone(&publication.roots), output.clone());
        let blocked = |error: std::io::Error| StorageError::Source { path: output.path.clone(), source: error };
        let file = tokio::task::spawn_blocking(move || Sources::new(&roots).open(&opened)).await;
        let file = file.map_err(|error| blocked(std::io::Error::other(error)))??;
        let again = file.try_clone().map_err(blocked)?;
        let mut from = tokio::fs::File::from_std(file).take(output.size);
        let keep = meaning::applies(&output.path, output.size);
        let (mut hash, mut whole, mut bytes) = (Sha256::new(), Vec::new(), 0);
        let mut upload = match key {
            Some(key) => Some(Upload::start(&self.operator, key).await?),
            None => None,
        };
        loop {
            let mut chunk = Vec::with_capacity(usize::try_from(output.size).unwrap_or(CHUNK).min(CHUNK));
            let read = (&mut from).take(CHUNK as u64).read_to_end(&mut chunk).await.map_err(blocked)?;
            if read == 0 {
                break;
            }
            hash.update(&chunk);
            bytes += read as u64;
            if keep {
                whole.extend_from_slice(&chunk);
            }
            if let Some(upload) = &mut upload {
                upload.write(chunk.into()).await?;
            }
        }
        if bytes != output.size {
            return Err(source::changed(&output.path));
        }
        source::recheck(output, &again)?;
        let sha256 = Digest(hash.finalize().into());
        if let (Some(upload), Some(key)) = (upload, key) {
            self.settle(upload, key, output, sha256).await?;
        }
        Ok(source::entry(output, sha256, keep.then_some(&whole[..])))
    }

    /// Whether the service has copied the earlier file to a key that was free. Whatever stands in the way of that, the
    /// output is there to be uploaded.
    async fn copied(&self, publication: &Publication, same: &SameFile, output: &Output, key: Option<&str>) -> bool {
        let capability = self.operator.info().capability();
        let (Some(key), Some(earlier)) = (key, &publication.same) else { return false };
        if !(capability.copy && capability.copy_with_if_not_exists) {
            return false;
        }
        let from = key::object(&publication.about.project, &earlier.folder, &same.path);
        let size = match self.operator.stat(&from).await {
            Ok(stat) if stat.content_length() == output.size => output.size,
            _ => return false,
        };
        if self.operator.copy_with(&from, key).if_not_exists(true).await.is_err() {
            return false;
        }
        self.operator.stat(key).await.is_ok_and(|stat| stat.content_length() == size)
    }

    /// Closes an upload and makes sure that the key holds our bytes.
    async fn settle(&self, upload: Upload, key: &str, output: &Output, sha256: Digest) -> Result<(), StorageError> {
        if upload.finish().await? {
            let stat = self.operator.stat(key).await.map_err(|error| backend("look at", key, error))?;
            if stat.content_length() == output.size {
                return Ok(());
            }
        }
        let (found, _) = digest(self.reader(key, 0).await?).await.map_err(|source| StorageError::Io {
            action: "read back",
            path: key.into(),
            source,
        })?;
        if found == sha256 {
            return Ok(());
        }
        let place = format!("{}/{key}", self.place);
        let place = place.strip_suffix(&format!("/{}", output.path)).map_or(place.clone(), str::to_owned);
        Err(StorageError::Unfinished { place, path: output.path.clone() })
    }

    async fn reader(&self, key: &str, offset: u64) -> Result<Reader, StorageError> {
        let wrong = |error| backend("read", key, error);
        let reader = self.operator.reader(key).await.map_err(wrong)?;
        let stream = reader.into_bytes_stream(offset..).await.map_err(wrong)?;
        Ok(Box::pin(tokio_util::io::StreamReader::new(stream)))
    }

    /// Reads every output, uploads it where there is a folder, and describes all of them.
    async fn describe(
        &self,
        publication: &Publication,
        folder: Option<&Folder>,
        progress: &dyn Progress,
    ) -> Result<Manifest, StorageError> {
        let collection = &publication.collection;
        let mut done = Done {
            files_total: collection.outputs.len() as u64,
            bytes_total: collection.outputs.iter().map(|output| output.size).sum(),
            ..Done::default()
        };
        let outputs = &collection.outputs;
        let mut lanes = futures::stream::iter(0..outputs.len())
            .map(|at| async move {
                let key = folder.map(|folder| key::object(&publication.about.project, folder, &outputs[at].path));
                self.upload(publication, &outputs[at], key.as_deref()).await
            })
            .buffer_unordered(LANES);
        let mut entries = Vec::with_capacity(collection.outputs.len());
        while let Some(entry) = lanes.next().await {
            if progress.cancelled() {
                return Err(StorageError::Cancelled);
            }
            let entry = entry?;
            done.files += 1;
            done.bytes += entry.size;
            progress.at(done);
            entries.push(entry);
        }
        let manifest = Manifest::new(publication.about.clone(), entries);
        Ok(manifest.noting(collection.missing.clone(), collection.refused.clone(), collection.moved.clone()))
    }

    /// The published manifest, if the folder is published.
    async fn published(&self, project: &ProjectName, folder: &Folder) -> Result<Option<Manifest>, StorageError> {
        match self.manifest(project, folder).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(StorageError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Uploads everything and the manifest; `None` when another publisher's manifest was first.
    async fn create(
        &self,
        publication: &Publication,
        folder: &Folder,
        progress: &dyn Progress,
    ) -> Result<Option<Manifest>, StorageError> {
        let ours = self.describe(publication, Some(folder), progress).await?;
        let key = key::object_manifest(&publication.about.project, folder);
        let bytes = ours
            .to_bytes()
            .map_err(|error| StorageError::Manifest { folder: folder.clone(), source: ManifestError::Form(error) })?;
        let mut upload = Upload::start(&self.operator, &key).await?;
        upload.write(bytes.into()).await?;
        Ok(upload.finish().await?.then_some(ours))
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        match self.operator.list(prefix).await {
            Ok(entries) => Ok(entries
                .iter()
                .filter_map(|entry| entry.path().strip_prefix(prefix)?.strip_suffix('/'))
                .filter(|name| !name.is_empty() && !name.contains('/'))
                .map(str::to_owned)
                .collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(backend("list", prefix, error)),
        }
    }
}

/// One key being created.
struct Upload {
    writer: Option<opendal::Writer>,
    operator: Operator,
    key: String,
    /// For services that take a key in one piece only.
    whole: Vec<Bytes>,
    taken: bool,
}

impl Upload {
    async fn start(operator: &Operator, key: &str) -> Result<Self, StorageError> {
        let multi = operator.info().capability().write_can_multi;
        let mut upload =
            Self { writer: None, operator: operator.clone(), key: key.to_owned(), whole: Vec::new(), taken: false };
        if multi {
            match operator.writer_with(key).if_not_exists(true).await {
                Ok(writer) => upload.writer = Some(writer),
                Err(error) => upload.failed(error)?,
            }
        }
        Ok(upload)
    }

    /// A key that exists is no failure yet: its bytes decide.
    fn failed(&mut self, error: opendal::Error) -> Result<(), StorageError> {
        if matches!(error.kind(), ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists) {
            self.taken = true;
            return Ok(());
        }
        Err(backend("write", &self.key, error))
    }

    async fn write(&mut self, chunk: Bytes) -> Result<(), StorageError> {
        match &mut self.writer {
            _ if self.taken => {}
            None => self.whole.push(chunk),
            Some(writer) => {
                if let Err(error) = writer.write(chunk).await {
                    self.failed(error)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the key is ours now; `false` when it was taken.
    async fn finish(mut self) -> Result<bool, StorageError> {
        if self.taken {
            return Ok(false);
        }
        let result = if let Some(writer) = &mut self.writer {
            writer.close().await.map(drop)
        } else {
            let whole: opendal::Buffer = std::mem::take(&mut self.whole).into();
            self.operator.write_with(&self.key, whole).if_not_exists(true).await.map(drop)
        };
        if let Err(error) = result {
            self.failed(error)?;
        }
        Ok(!self.taken)
    }
}

fn backend(action: &'static str, key: &str, error: opendal::Error) -> StorageError {
    StorageError::Backend { action, key: key.to_owned(), source: Box::new(error) }
}

#[async_trait]
impl Storage for Object {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn keeps_links(&self) -> bool {
        false
    }

    async fn publish(&self, publication: Publication, progress: Arc<dyn Progress>) -> Result<Published, StorageError> {
        let project = &publication.about.project;
        let commit = Folder::of(&publication.about.revision);
        let beside = commit.beside(&publication.about.run);
        let mut folder = &commit;
        let finish = |folder: &Folder, outcome, manifest| {
            let place = format!("{}/{project}/{folder}", self.place);
            Published { folder: folder.clone(), place, outcome, manifest }
        };
        loop {
            let Some(there) = self.published(project, folder).await? else {
                match self.create(&publication, folder, &*progress).await {
                    Ok(Some(ours)) => return Ok(finish(folder, PublishOutcome::Created, ours)),
                    // Another publisher's manifest was first: compare with it.
                    Ok(None) => {}
                    Err(StorageError::Unfinished { .. })
                        if publication.on_conflict == OnConflict::NewRun && folder.run.is_none() =>
                    {
                        folder = &beside;
                    }
                    Err(error) => return Err(error),
                }
                continue;
            };
            if publication.on_conflict == OnConflict::Keep {
                return Ok(finish(folder, PublishOutcome::Kept, there));
            }
            let ours = self.describe(&publication, None, &*progress).await?;
            let differences = Differences::between(&there, &ours);
            if differences.is_empty() {
                return Ok(finish(folder, PublishOutcome::Identical, there));
            }
            if publication.on_conflict != OnConflict::NewRun || folder.run.is_some() {
                return Err(StorageError::Conflict { folder: folder.clone(), differences });
            }
            folder = &beside;
        }
    }

    async fn projects(&self) -> Result<Vec<ProjectName>, StorageError> {
        let mut projects = Vec::new();
        for name in self.names("").await? {
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
        let mut folders = Vec::new();
        for name in self.names(&format!("{project}/")).await? {
            let Ok(folder) = name.parse::<Folder>() else { continue };
            let key = key::object_manifest(project, &folder);
            if self.operator.exists(&key).await.map_err(|error| backend("look at", &key, error))? {
                folders.push(folder);
            }
        }
        folders.sort_by_key(ToString::to_string);
        Ok(folders)
    }

    async fn manifest(&self, project: &ProjectName, folder: &Folder) -> Result<Manifest, StorageError> {
        let key = key::object_manifest(project, folder);
        let unsound = |source| StorageError::Manifest { folder: folder.clone(), source };
        let bytes = match self.operator.read(&key).await {
            Ok(bytes) => bytes.to_bytes(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let path = RelPath::from_bytes(key::MANIFEST.as_bytes()).unwrap_or_default();
                return Err(StorageError::Missing { folder: folder.clone(), path });
            }
            Err(error) => return Err(backend("read", &key, error)),
        };
        let manifest = Manifest::parse(&bytes).map_err(unsound)?;
        if manifest.about.project == *project && manifest.about.revision == folder.revision {
            Ok(manifest)
        } else {
            Err(unsound(ManifestError::Unsound("it belongs to another commit or project".to_owned())))
        }
    }

    async fn open(
        &self,
        project: &ProjectName,
        folder: &Folder,
        path: &RelPath,
        offset: u64,
    ) -> Result<Reader, StorageError> {
        let key = key::object(project, folder, path);
        match self.operator.stat(&key).await {
            Ok(_) => self.reader(&key, offset).await,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(StorageError::Missing { folder: folder.clone(), path: path.clone() })
            }
            Err(error) => Err(backend("look at", &key, error)),
        }
    }

    async fn list(&self, project: &ProjectName, folder: &Folder) -> Result<Vec<Listed>, StorageError> {
        let prefix = key::object_folder(project, folder);
        let wrong = |error| backend("list", &prefix, error);
        let lister = self.operator.lister_with(&prefix).recursive(true).await.map_err(wrong)?;
        let entries: Vec<opendal::Entry> = lister.try_collect().await.map_err(wrong)?;
        let files = entries.iter().filter_map(|entry| entry.path().strip_prefix(&prefix));
        let files = files.filter(|rest| !rest.is_empty() && !rest.ends_with('/') && *rest != key::MANIFEST);
        Ok(files
            .filter_map(key::from_object)
            .map(|path| Listed { path, kind: Some(OutputKind::File), link: None })
            .collect())
    }

    async fn check(&self) -> Result<Health, StorageError> {
        self.operator.check().await.map_err(|error| backend("reach", "/", error))?;
        Ok(Health { place: self.place(), free: None, notes: Vec::new() })
    }
}

//! Small objects: manifests read whole, and the pointers beside them that only make looking faster.

use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::id::ProjectName;
use crate::outputs::manifest::{Manifest, ManifestError};
use crate::storage::backend::{Backend, Fault, Hasher, Made, misread};
use crate::storage::{Folder, key};

/// A manifest of two million entries stays below it.
const LARGEST: usize = 1024 * 1024 * 1024;

/// Times that what is no manifest is read.
const READINGS: usize = 3;

/// Reads an object that fits into memory, from its first byte again where the connection broke.
pub(super) async fn read_small(service: &dyn Backend, key: &str) -> Result<Vec<u8>, Fault> {
    read_small_made(service, Made { key, id: None }).await
}

/// As [`read_small`], of the very object that was listed.
pub(super) async fn read_small_made(service: &dyn Backend, made: Made<'_>) -> Result<Vec<u8>, Fault> {
    let mut tries = 0;
    loop {
        match read_once(service, made).await {
            Err(fault) if fault.is_passing() && tries < 3 => tries += 1,
            done => return done,
        }
    }
}

async fn read_once(service: &dyn Backend, made: Made<'_>) -> Result<Vec<u8>, Fault> {
    let mut stream = service.read_made(made, 0).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.try_next().await? {
        if bytes.len() + chunk.len() > LARGEST {
            return Err(Fault::Form("it is too long".to_owned()));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Reads a manifest. What is none is read again, and is only then told as none when the service's own checksum bears out
/// that these bytes are stored, or, where it tells none, when they came twice alike: what was cut on its way is nothing that
/// anybody has to remove.
///
/// # Errors
/// When it cannot be read; a passing one when the bytes that arrive never are what is stored.
pub(super) async fn read_manifest(service: &dyn Backend, key: &str) -> Result<Result<Manifest, ManifestError>, Fault> {
    let (mut before, mut fault) = (None, misread("no two readings are alike"));
    for _ in 0..READINGS {
        let bytes = read_small(service, key).await?;
        let error = match Manifest::parse(&bytes) {
            Err(error) if !matches!(error, ManifestError::Newer { .. }) => error,
            parsed => return Ok(parsed),
        };
        let there = service.stat(key).await?.ok_or(Fault::NotFound)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let found = there.checksum.as_ref().map(|told| Hasher::of(told.kind, &bytes));
        match there.bears_out(size, found.as_ref()) {
            Some(true) => return Ok(Err(error)),
            None if before.as_ref() == Some(&bytes) => return Ok(Err(error)),
            None => before = Some(bytes),
            Some(false) => fault = there.misread(size),
        }
        tracing::debug!(%error, key, "what came is no manifest");
    }
    Err(fault)
}

/// What `latest.json` and the lines of the index say.
#[derive(Debug, Serialize, Deserialize)]
struct Pointer {
    schema: u32,
    folder: String,
    run: String,
    ended: jiff::Timestamp,
    branch: Option<String>,
    content: String,
    files: usize,
    total_bytes: u64,
}

impl Pointer {
    /// What is written of a folder.
    fn bytes(folder: &Folder, manifest: &Manifest) -> Option<Bytes> {
        let pointer = Self {
            schema: 1,
            folder: folder.to_string(),
            run: manifest.about.run.to_string(),
            ended: manifest.about.ended,
            branch: manifest.about.branch.clone(),
            content: manifest.content.to_string(),
            files: manifest.files.len(),
            total_bytes: manifest.total_bytes,
        };
        serde_json::to_vec_pretty(&pointer).ok().map(Bytes::from)
    }
}

/// Points to a folder that was just published. Whatever goes wrong, the folder is published.
pub(super) async fn point(service: &dyn Backend, project: &ProjectName, folder: &Folder, manifest: &Manifest) {
    enter(service, project, folder, manifest).await;
    let Some(bytes) = Pointer::bytes(folder, manifest) else { return };
    let latest = key::latest(project);
    if let Err(fault) = service.replace(&latest, bytes).await {
        tracing::info!(%fault, key = latest, "not written");
    }
}

/// Adds a folder to the index.
async fn enter(service: &dyn Backend, project: &ProjectName, folder: &Folder, manifest: &Manifest) {
    let Some(bytes) = Pointer::bytes(folder, manifest) else { return };
    let index = key::index(project, folder, manifest.about.ended);
    let above = index.rsplit_once('/').map(|(above, _)| above.to_owned()).unwrap_or_default();
    if let Err(fault) = service.make_folders(&[above]).await {
        tracing::info!(%fault, "the index is not kept");
    }
    if let Err(fault) = service.put(&index, bytes).await {
        tracing::info!(%fault, key = index, "not written");
    }
}

/// Points to a folder that was found published: whoever published it may have been killed right behind its manifest. Asks
/// no more than once or twice where nothing is amiss, and never fails.
pub(super) async fn mend(service: &dyn Backend, project: &ProjectName, folder: &Folder, manifest: &Manifest) {
    let newest = match read_small(service, &key::latest(project)).await {
        Ok(bytes) => serde_json::from_slice::<Pointer>(&bytes).ok(),
        Err(Fault::NotFound) => None,
        Err(fault) => {
            tracing::info!(%fault, "what points to the folder is not known");
            return;
        }
    };
    let ended = manifest.about.ended;
    match newest {
        // The index came first.
        Some(newest) if newest.folder == folder.to_string() => {}
        Some(newest) if newest.ended >= ended => {
            if let Ok(None) = service.stat(&key::index(project, folder, ended)).await {
                enter(service, project, folder, manifest).await;
            }
        }
        _ => point(service, project, folder, manifest).await,
    }
}

/// Takes a folder that is about to go out of the index. Nobody is misled by an entry that stays, or that is missing:
/// readers go by manifests.
pub(super) async fn forget(service: &dyn Backend, project: &ProjectName, folder: &Folder, ended: jiff::Timestamp) {
    let index = key::index(project, folder, ended);
    if let Err(fault) = service.remove(&index).await {
        tracing::info!(%fault, key = index, "not removed");
    }
}

/// The folder that `latest.json` names, if it says anything sensible.
pub(super) async fn latest(service: &dyn Backend, project: &ProjectName) -> Option<Folder> {
    let bytes = read_small(service, &key::latest(project)).await.ok()?;
    serde_json::from_slice::<Pointer>(&bytes).ok()?.folder.parse().ok()
}

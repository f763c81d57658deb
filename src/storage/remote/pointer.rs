//! Small objects: manifests read whole, and the pointers beside them that only make looking faster.

use bytes::Bytes;
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::id::ProjectName;
use crate::outputs::manifest::Manifest;
use crate::storage::backend::{Backend, Fault, Made};
use crate::storage::{Folder, key};

/// A manifest of two million entries stays below it.
const LARGEST: usize = 1024 * 1024 * 1024;

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

/// Points to a folder that was just published. Whatever goes wrong, the folder is published.
pub(super) async fn point(service: &dyn Backend, project: &ProjectName, folder: &Folder, manifest: &Manifest) {
    let pointer = Pointer {
        schema: 1,
        folder: folder.to_string(),
        run: manifest.about.run.to_string(),
        ended: manifest.about.ended,
        branch: manifest.about.branch.clone(),
        content: manifest.content.to_string(),
        files: manifest.files.len(),
        total_bytes: manifest.total_bytes,
    };
    let Ok(bytes) = serde_json::to_vec_pretty(&pointer) else { return };
    let index = key::index(project, folder, manifest.about.ended);
    let above = index.rsplit_once('/').map(|(above, _)| above.to_owned()).unwrap_or_default();
    if let Err(fault) = service.make_folders(&[above]).await {
        tracing::info!(%fault, "the index is not kept");
    }
    for (key, done) in [
        (index.clone(), service.put(&index, Bytes::from(bytes.clone())).await.map(drop)),
        (key::latest(project), service.replace(&key::latest(project), Bytes::from(bytes)).await),
    ] {
        if let Err(fault) = done {
            tracing::info!(%fault, key, "not written");
        }
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

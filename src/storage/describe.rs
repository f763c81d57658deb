//! The manifest that a publication would get, without publishing it: what is compared with what is there.

use std::sync::Arc;

use super::local::copy::{Failure, Job};
use super::{Progress, Publication, StorageError};
use crate::outputs::manifest::Manifest;

/// Reads every output and describes all of them.
pub(super) async fn describe(
    publication: &Publication,
    progress: &Arc<dyn Progress>,
) -> Result<Manifest, StorageError> {
    let (publication, progress) = (publication.clone(), Arc::clone(progress));
    let work = move || {
        let collection = &publication.collection;
        let job = Job {
            roots: &publication.roots,
            outputs: &collection.outputs,
            target: None,
            earlier: None,
            progress: &*progress,
            copied: &|_| {},
        };
        let entries = job.run().map_err(|failure| match failure {
            Failure::Ours(error) => error,
            Failure::Target(path, source) => StorageError::Source { path, source },
        })?;
        let manifest = Manifest::new(publication.about.clone(), entries);
        Ok(manifest.noting(collection.missing.clone(), collection.refused.clone(), collection.moved.clone()))
    };
    let lost =
        |error| StorageError::Io { action: "read", path: "outputs".into(), source: std::io::Error::other(error) };
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}

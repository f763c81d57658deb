//! Containers that nobody waits for: started and left alone, and what any live container of ours is shown.
//!
//! Never attaches, and removes nothing: an errand removes itself when it ends, the sweep when it does not.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use bollard::query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder};

use super::container::{self, label};
use super::fault::within;
use super::{Kind, sweep};
use crate::engine::owner::Owner;
use crate::engine::{EngineError, Errand};

/// Creates and starts it; what does not start does not stay.
pub(super) async fn send(
    client: &bollard::Docker,
    owner: &Owner,
    errand: &Errand,
    kind: Kind,
) -> Result<String, EngineError> {
    let ends = SystemTime::now() + errand.lasts;
    let until = ends.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let body = container::errand(errand, owner, until, kind)?;
    let name = container::name(&errand.spec);
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    let id = within("create a container", client.create_container(Some(options), body)).await?.id;
    let started = within("start a container", client.start_container(&id, None)).await;
    if started.is_err() {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        // The start's own error matters more, and the sweep comes by later.
        let _ = client.remove_container(&id, Some(options)).await;
    }
    started.map(|()| name)
}

/// Sources of all bind mounts of live containers with our labels.
pub(super) async fn shown(client: &bollard::Docker) -> Result<Vec<PathBuf>, EngineError> {
    let filters = HashMap::from([("label", vec![label::PURPOSE.to_owned()])]);
    let found = sweep::list(client, filters, false).await?;
    let mounts = found.into_iter().flat_map(|container| container.mounts.unwrap_or_default());
    Ok(mounts.filter_map(|mount| mount.source).map(PathBuf::from).collect())
}

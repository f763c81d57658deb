//! Docker's volumes, filled and read through the archive API of a container that is created and never started.
//!
//! Nothing is executed for it: neither image nor volume need a `tar`, and a hostile file is only ever data.

use std::collections::HashMap;
use std::path::Path;

use async_trait::async_trait;
use bollard::models::{ContainerCreateBody, HostConfig, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions, UploadToContainerOptionsBuilder,
};
use cap_std::fs::Dir;
use futures::{StreamExt as _, TryStreamExt as _};

use super::Docker;
use super::container::{label, owned, random, shown_volume};
use super::fault::{deepest, fault, status, within};
use super::sweep;
use crate::archive::{self, Chunks, Load, Unpacked};
use crate::engine::volume::{Hold, Kept, Overlay, VolumeSpec, Volumes, blocking, rules};
use crate::engine::{EngineError, GuestPath, Mount, VolumeMount};
use crate::id::{RelPath, RunId};

/// Where volumes are shown in the container that holds them.
const SHELF: &str = "/soopervisor-volumes";
const TO: &str = "copy files to";
const FROM: &str = "copy files from";

#[async_trait]
impl Volumes for Docker {
    async fn create(&self, spec: &VolumeSpec) -> Result<(), EngineError> {
        let mut labels = owned(&spec.run, &self.owner);
        labels.extend(spec.kept.clone().map(|kept| (label::KEPT.to_owned(), kept)));
        let request = VolumeCreateRequest {
            name: Some(spec.name.clone()),
            labels: Some(labels),
            driver_opts: spec.overlay.as_ref().map(overlay).transpose()?,
            ..VolumeCreateRequest::default()
        };
        within("make a volume", self.client.create_volume(request)).await.map(drop)
    }

    async fn exists(&self, name: &str) -> Result<bool, EngineError> {
        match self.client.inspect_volume(name).await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(404) => Ok(false),
            Err(error) => Err(fault("look for a volume", &error)),
        }
    }

    async fn remove(&self, name: &str) -> Result<(), EngineError> {
        match self.client.remove_volume(name, None::<RemoveVolumeOptions>).await {
            Ok(()) => Ok(()),
            Err(error) if status(&error) == Some(404) => Ok(()),
            Err(error) => Err(fault("remove a volume", &error)),
        }
    }

    async fn kept(&self) -> Result<Vec<Kept>, EngineError> {
        let found = sweep::volumes(&self.client, &self.owner).await?;
        Ok(found
            .into_iter()
            .filter_map(|volume| {
                let kept = volume.labels.get(label::KEPT)?.clone();
                Some(Kept { kept, abandoned: sweep::is_orphan(&self.owner, &volume.labels), name: volume.name })
            })
            .collect())
    }

    async fn hold(&self, run: &RunId, image: &str, volumes: &[String]) -> Result<Box<dyn Hold>, EngineError> {
        let mounts = volumes.iter().map(|volume| {
            let guest = GuestPath(format!("{SHELF}/{volume}"));
            shown_volume(&VolumeMount { volume: volume.clone(), guest, writable: true })
        });
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(vec!["never-started".to_owned()]),
            labels: Some(owned(run, &self.owner)),
            host_config: Some(HostConfig {
                mounts: Some(mounts.collect()),
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let name = format!("soopervisor-{run}-hold-{:08x}", random() & 0xffff_ffff);
        let options = CreateContainerOptionsBuilder::default().name(&name).build();
        let created = within("create a container", self.client.create_container(Some(options), body)).await?;
        Ok(Box::new(Holding { client: self.client.clone(), id: created.id, closed: false }))
    }
}

/// Whether the kernel may be told not to sync the whole file system when it takes an overlay away (`volatile`, since Linux
/// 5.10): a run's folder is not meant to outlive a power cut, and what is published is synced there. It leaves a folder
/// of root's with something in it in `scratch`, which nobody else could remove.
fn may_be_hasty() -> bool {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    rustix::process::geteuid().is_root() && is_since_5_10(&kernel)
}

fn is_since_5_10(kernel: &str) -> bool {
    let mut numbers = kernel.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    numbers.next().zip(numbers.next()).is_some_and(|version| version >= (5, 10))
}

/// What the local driver hands to the kernel. Without privileges nobody could read the kernel's usual marks in the upper
/// folder, so it is asked for those that its owner can (`userxattr`).
fn overlay(folders: &Overlay) -> Result<HashMap<String, String>, EngineError> {
    let path = |path: &Path| match path.to_str() {
        Some(text) if !text.contains([',', ':', '\\']) => Ok(text.to_owned()),
        _ => Err(EngineError::Refused {
            action: "lay one folder over another",
            reason: format!("`{}` has a character that mount options cannot hold", path.display()),
        }),
    };
    let Overlay { lower, upper, scratch } = folders;
    let hasty = if may_be_hasty() { ",volatile" } else { "" };
    let options =
        format!("lowerdir={},upperdir={},workdir={},userxattr{hasty}", path(lower)?, path(upper)?, path(scratch)?);
    let pairs = [("type", "overlay".to_owned()), ("device", "overlay".to_owned()), ("o", options)];
    Ok(pairs.map(|(name, value)| (name.to_owned(), value)).into())
}

struct Holding {
    client: bollard::Docker,
    id: String,
    closed: bool,
}

#[async_trait]
impl Hold for Holding {
    async fn put(&mut self, loads: Vec<Load>) -> Result<(), EngineError> {
        upload(&self.client, &self.id, SHELF, move |out| archive::pack(&loads, out)).await
    }

    async fn fetch(
        &mut self,
        volume: &str,
        into: Dir,
        leave: &'static [&'static str],
    ) -> Result<Unpacked, EngineError> {
        let options = DownloadFromContainerOptionsBuilder::default().path(&format!("{SHELF}/{volume}")).build();
        let stream = self.client.download_from_container(&self.id, Some(options));
        let mut stream = Box::pin(stream.map_err(|error| std::io::Error::other(fault(FROM, &error))));
        // A refusal comes in the place of the first piece.
        let first = stream.try_next().await.map_err(|error| refusal(error, FROM))?;
        let chunks: Chunks = futures::stream::iter(first.map(Ok)).chain(stream).boxed();
        let (reader, volume) = (archive::reader(chunks), volume.to_owned());
        blocking(FROM, move || archive::mirror(reader, &into, &rules(&volume, leave))).await
    }

    async fn close(mut self: Box<Self>) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        match self.client.remove_container(&self.id, Some(options)).await {
            Err(error) if status(&error) != Some(404) => return Err(fault("remove a container", &error)),
            _ => {}
        }
        self.closed = true;
        Ok(())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        tracing::warn!(container = %self.id, "dropped without being closed; removing it in the background");
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (client, id) = (self.client.clone(), self.id.clone());
            let options = RemoveContainerOptionsBuilder::default().force(true).build();
            runtime.spawn(async move { client.remove_container(&id, Some(options)).await });
        }
    }
}

/// The engine's own words, which travelled inside of an input error.
fn refusal(error: std::io::Error, action: &'static str) -> EngineError {
    match error.downcast::<EngineError>() {
        Ok(refused) => refused,
        Err(error) => EngineError::Gone { reason: format!("{error} when asked to {action}") },
    }
}

/// Sends what `pack` writes to a folder of a container.
async fn upload(
    client: &bollard::Docker,
    id: &str,
    to: &str,
    pack: impl FnOnce(&mut dyn std::io::Write) -> Result<(), archive::ArchiveError> + Send + 'static,
) -> Result<(), EngineError> {
    let (mut writer, chunks) = archive::writer();
    let packing = blocking(TO, move || {
        pack(&mut writer)?;
        // Where the engine stopped reading, its own words are told.
        let _ = writer.finish();
        Ok(())
    });
    let options = UploadToContainerOptionsBuilder::default().path(to).build();
    let sending = client.upload_to_container(id, Some(options), bollard::body_try_stream(chunks));
    let (packed, sent) = tokio::join!(packing, sending);
    match (packed, sent) {
        (Ok(()), Ok(())) => Ok(()),
        // An upload that we broke off ourselves fails as well; one that the engine refused breaks off the packing.
        (_, Err(error)) if status(&error).is_some() => Err(fault(TO, &error)),
        (Err(error), _) => Err(error),
        (_, Err(error)) => Err(EngineError::Gone { reason: format!("{} when asked to {TO} it", deepest(&error)) }),
    }
}

/// Copies files of ours into a container that has not been started.
pub(super) async fn put_files(client: &bollard::Docker, id: &str, files: &[Mount]) -> Result<(), EngineError> {
    if files.is_empty() {
        return Ok(());
    }
    let guest = |file: &Mount| RelPath::from_bytes(file.guest.0.trim_start_matches('/').as_bytes()).unwrap_or_default();
    let files: Vec<_> = files.iter().map(|file| (file.host.0.clone(), guest(file))).collect();
    upload(client, id, "/", move |out| archive::pack_files(&files, out)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_know_hasty_overlays_are_told_by_their_version() {
        for (kernel, knows) in
            [("6.18.44-fc", true), ("5.10.0-30-amd64", true), ("5.9.16", false), ("4.19", false), ("", false)]
        {
            assert_eq!(is_since_5_10(kernel), knows, "{kernel}");
        }
    }
}

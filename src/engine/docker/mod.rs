//! Docker and what speaks its protocol (Podman's socket, rootless and desktop variants). Only this folder names bollard.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use async_trait::async_trait;
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::owner::Owner;
use super::{Engine, EngineError, EngineInfo, Errand, Image, Session, SessionSpec, Swept, Volumes};

pub mod address;
mod connect;
mod container;
mod control;
mod disk;
mod errand;
mod fate;
mod fault;
mod greeting;
mod image;
mod known;
mod memory;
mod pipes;
mod probe;
mod session;
mod sweep;
mod volume;
mod wire;
mod word;

pub use container::owned_by_shell;

/// Where the two that speak the protocol differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Docker, and what is built on it.
    Docker,
    /// Podman.
    Podman,
}

/// A connection to one engine.
pub struct Docker {
    client: bollard::Docker,
    address: String,
    name: String,
    kind: Kind,
    owner: Owner,
    /// What it said of itself before.
    known: Option<known::Memory>,
    /// Whether the storage driver limits the writable layer; unknown until it was first asked for.
    limits_disk: OnceLock<bool>,
}

impl Docker {
    /// Finds the engine as the `docker` command would (`DOCKER_HOST`, context), then in the usual places, and agrees
    /// on a protocol version with it.
    ///
    /// # Errors
    /// `Unavailable` lists what was tried; `Forbidden` when an engine is there and this user may not use it.
    pub fn connect(
        env: &dyn Fn(&str) -> Option<String>,
    ) -> impl Future<Output = Result<Self, EngineError>> + Send + use<> {
        let candidates = address::candidates(env);
        async move {
            let connect::Connected { client, address, name } = connect::first_answering(candidates?).await?;
            tracing::debug!(engine.address = %address, engine.name = %name, "connected");
            let kind = if name.starts_with("podman") { Kind::Podman } else { Kind::Docker };
            let owner = Owner::current();
            Ok(Self { client, address, name, kind, owner, known: None, limits_disk: OnceLock::new() })
        }
    }

    /// Remembers in `folder` what the engine says of itself, for a day, so that the next process need not ask.
    #[must_use]
    pub fn remembering(mut self, folder: &Path) -> Self {
        self.known = known::Memory::new(folder, &self.address, &self.owner.boot);
        self
    }

    /// Whether a disk limit takes effect here; `None` until a container with one was asked for.
    pub fn limits_disk(&self) -> Option<bool> {
        self.limits_disk.get().copied()
    }

    /// Podman says it in a place of its own, which bollard does not read; so its socket's owner is asked, and elsewhere
    /// the folder of its images.
    fn podman_is_rootless(&self, root: &str) -> bool {
        let socket = self.address.strip_prefix("unix://").map(Path::new);
        match socket.and_then(|socket| socket.metadata().ok()) {
            Some(meta) => std::os::unix::fs::MetadataExt::uid(&meta) != 0,
            None => root.contains("/.local/share/containers"),
        }
    }

    async fn create(&self, spec: &SessionSpec, name: &str) -> Result<String, EngineError> {
        let wants = spec.disk_bytes.is_some();
        let limit = wants && self.limits_disk() != Some(false);
        let created = self.create_with(spec, name, limit).await;
        match created {
            Err(EngineError::Refused { reason, .. }) if limit && is_about_disk(&reason) => {
                tracing::info!(%reason, "this storage driver cannot limit disk use; it is looked after instead");
                let created = self.create_with(spec, name, false).await;
                self.limits_disk.get_or_init(|| false);
                created
            }
            Ok(id) if limit => {
                self.limits_disk.get_or_init(|| true);
                Ok(id)
            }
            other => other,
        }
    }

    async fn create_with(&self, spec: &SessionSpec, name: &str, limit_disk: bool) -> Result<String, EngineError> {
        if let (Kind::Podman, Some(absent)) = (self.kind, spec.mounts.iter().find(|mount| !mount.host.0.exists())) {
            // Docker refuses it in these words, Podman would make the folder.
            let reason = format!("bind source path does not exist: {}", absent.host.0.display());
            return Err(EngineError::Refused { action: "create a container", reason });
        }
        let body = container::body(spec, &self.owner, limit_disk, self.kind)?;
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let created = self.client.create_container(Some(options), body);
        let created = fault::within("create a container", created).await.map_err(|error| match error {
            EngineError::Refused { reason, .. } if is_about_image(&reason) => {
                EngineError::Image { reference: spec.image.clone(), reason: "it is not present".into() }
            }
            EngineError::Refused { action, reason }
                if probe::is_about_mounts(&reason) && spec.mounts.iter().all(|mount| mount.host.0.exists()) =>
            {
                let why = "it is there for soopervisor and not for the engine: if soopervisor runs in a container, it \
                           needs that folder at the same path as on the host";
                EngineError::Refused { action, reason: format!("{reason}; {why}") }
            }
            other => other,
        })?;
        for warning in created.warnings {
            tracing::warn!(%warning, "from the container engine");
        }
        Ok(created.id)
    }
}

/// The storage driver and what it lies on: `overlay2 on extfs`.
fn storage(driver: Option<String>, status: Option<Vec<Vec<String>>>) -> String {
    let below = status.unwrap_or_default().into_iter().find_map(|pair| match <[String; 2]>::try_from(pair) {
        Ok([key, value]) if key == "Backing Filesystem" => Some(format!(" on {value}")),
        _ => None,
    });
    driver.unwrap_or_default() + &below.unwrap_or_default()
}

/// The words of Docker, and of Podman.
fn is_about_image(reason: &str) -> bool {
    reason.contains("No such image") || reason.contains("no such image") || reason.contains("image not known")
}

/// The words of Docker's overlay2 and vfs, and of Podman.
fn is_about_disk(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["storage-opt", "storage opt", "pquota", "project quota"].iter().any(|words| reason.contains(words))
}

#[async_trait]
impl Engine for Docker {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        if let Some(known) = self.known.as_ref().and_then(|memory| memory.recall(&self.name)) {
            return Ok(known);
        }
        let info = fault::within("describe itself", self.client.info()).await?;
        let options = info.security_options.unwrap_or_default();
        let root = info.docker_root_dir.unwrap_or_default();
        let info = EngineInfo {
            name: self.name.clone(),
            id: match self.kind {
                Kind::Docker => info.id.unwrap_or_default(),
                // Podman makes up another one for every answer.
                Kind::Podman => {
                    format!("podman {} {} {root}", self.address, info.name.unwrap_or_default())
                }
            },
            address: self.address.clone(),
            architecture: info.architecture.unwrap_or_default(),
            cgroup: match info.cgroup_version {
                Some(bollard::models::SystemInfoCgroupVersionEnum::_1) => "cgroup v1".into(),
                Some(bollard::models::SystemInfoCgroupVersionEnum::_2) => "cgroup v2".into(),
                _ => "unknown".into(),
            },
            storage: storage(info.driver, info.driver_status),
            rootless: options.iter().any(|option| option.contains("name=rootless"))
                || (self.kind == Kind::Podman && self.podman_is_rootless(&root)),
        };
        if let Some(memory) = &self.known {
            memory.remember(&info);
        }
        Ok(info)
    }

    async fn find_image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        image::present(&self.client, reference).await
    }

    async fn ensure_image(
        &self,
        reference: &str,
        progress: &mut (dyn FnMut(String) + Send),
    ) -> Result<Image, EngineError> {
        image::ensure(&self.client, reference, progress).await
    }

    async fn shares_files(&self, folder: &Path, image: &str) -> Result<bool, EngineError> {
        probe::shares_files(self, folder, image).await
    }

    async fn overlays(&self, folder: &Path, image: &str, user: (u32, u32)) -> Result<bool, EngineError> {
        probe::overlays(self, folder, image, user).await
    }

    async fn start(&self, mut spec: SessionSpec) -> Result<Box<dyn Session>, EngineError> {
        let name = container::name(&spec);
        let pipes = spec.pipes.take().and_then(|place| {
            pipes::Pipes::make(&place.0)
                .inspect_err(|error| tracing::debug!(%error, "the output comes through the engine"))
                .ok()
        });
        spec.mounts.extend(pipes.as_ref().and_then(pipes::Pipes::mount));
        let id = self.create(&spec, &name).await?;
        let disk = spec.disk_bytes.map(|limit| session::Disk { limit, held: self.limits_disk() != Some(false) });
        let mut live = Box::new(session::Live::new(self.client.clone(), id.clone(), name, disk, pipes));
        let started = match volume::put_files(&self.client, &id, &spec.carried.files).await {
            Ok(()) => live.start().await,
            Err(error) => Err(error),
        };
        match started {
            Ok(()) => Ok(live),
            Err(error) => {
                // What could not be started must still go; its own error matters more than one about removing it.
                if let Err(left) = live.close().await {
                    tracing::warn!(error = %left, "a container that did not start could not be removed");
                }
                Err(error)
            }
        }
    }

    async fn sweep(&self) -> Result<Vec<Swept>, EngineError> {
        sweep::sweep(&self.client, &self.owner).await
    }

    async fn send(&self, errand: &Errand) -> Result<String, EngineError> {
        errand::send(&self.client, &self.owner, errand, self.kind).await
    }

    async fn shown(&self) -> Result<Vec<PathBuf>, EngineError> {
        errand::shown(&self.client).await
    }

    fn volumes(&self) -> Option<&dyn Volumes> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_storage_driver_is_told_with_what_it_lies_on() {
        let pair = |key: &str, value: &str| vec![key.to_owned(), value.to_owned()];
        let status = vec![pair("Backing Filesystem", "extfs"), pair("Supports d_type", "true"), vec!["odd".to_owned()]];
        assert_eq!(storage(Some("overlay2".to_owned()), Some(status)), "overlay2 on extfs");
        assert_eq!(storage(Some("vfs".to_owned()), None), "vfs");
        assert_eq!(storage(None, None), "");
    }
}

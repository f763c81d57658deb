//! A large snapshot without a copy: the kept one is the lower layer of an overlay volume, the run's folder the upper one.
//!
//! Only where a probe has shown that the engine mounts it as the kernel documents it; the answer is remembered for a
//! day, for one engine, boot, folder and user. What the run left is completed into a folder that outputs are found in.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};

use super::cancel::Cancel;
use super::execute::{Clearing, Executed, Watch, execute};
use super::pipeline::Setting;
use crate::archive::ArchiveError;
use crate::engine::volume::{Overlay, VolumeSpec};
use crate::engine::{Engine, EngineError, EngineInfo, ExecSpec, GuestPath, OutputSink, SessionSpec, VolumeMount};
use crate::id::RelPath;
use crate::outputs::layers::{self, Hidden};
use crate::plan::RunPlan;
use crate::repo::Snapshot;
use crate::script::guest;

/// How long a yes is believed.
const BELIEVED: Duration = Duration::from_hours(24);

/// A snapshot that a run's folder lies over.
#[derive(Debug)]
pub struct Layered {
    /// The commit's files, which nobody changes.
    pub(super) lower: PathBuf,
    /// A folder that the kernel wants for itself.
    pub(super) scratch: PathBuf,
    /// What the run hid of the commit's files; known after the run.
    hidden: OnceLock<Hidden>,
    // Held, never read: it keeps the lower layer from being removed.
    _snapshot: Snapshot,
}

impl Layered {
    pub(super) fn over(snapshot: Snapshot, scratch: PathBuf) -> Self {
        Self { lower: snapshot.files(), scratch, hidden: OnceLock::new(), _snapshot: snapshot }
    }

    /// Whether a path of the commit that is not in the run's folder is still there for the run.
    pub(super) fn shows(&self, path: &RelPath) -> bool {
        self.hidden.get().is_some_and(|hidden| !hidden.hides(path))
    }

    pub(super) fn overlay(&self, upper: PathBuf) -> Overlay {
        Overlay { lower: self.lower.clone(), upper, scratch: self.scratch.clone() }
    }
}

/// Who was asked.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    engine: String,
    address: String,
    boot: String,
    device: u64,
    user: (u32, u32),
}

/// Whether the engine lays a folder of ours over another one. Any doubt is a no: then the snapshot is copied.
pub(super) async fn possible(
    engine: &dyn Engine,
    info: &EngineInfo,
    image: &str,
    user: (u32, u32),
    folder: &Path,
) -> bool {
    let Ok(seen) = seen(info, user, folder) else { return false };
    let file = folder.join(".layers");
    if remembers(&file, &seen) {
        return true;
    }
    match engine.overlays(folder, image, user).await {
        Ok(true) => {
            let kept = serde_json::to_vec(&seen).map_err(std::io::Error::other);
            if let Err(error) = kept.and_then(|text| std::fs::write(&file, text)) {
                tracing::debug!(%error, "the engine will be probed again next time");
            }
            true
        }
        Ok(false) => false,
        Err(error) => {
            tracing::debug!(%error, "the engine mounts no overlay: the snapshot is copied");
            false
        }
    }
}

fn seen(info: &EngineInfo, user: (u32, u32), folder: &Path) -> std::io::Result<Seen> {
    std::fs::create_dir_all(folder)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    let device = std::fs::metadata(folder)?.dev();
    Ok(Seen { engine: info.id.clone(), address: info.address.clone(), boot, device, user })
}

fn remembers(file: &Path, seen: &Seen) -> bool {
    let modified = std::fs::metadata(file).and_then(|meta| meta.modified());
    let fresh = modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|passed| passed < BELIEVED));
    fresh && std::fs::read(file).is_ok_and(|text| serde_json::from_slice::<Seen>(&text).is_ok_and(|s| s == *seen))
}

/// A script over a layered snapshot.
pub(super) struct Over<'a> {
    pub(super) layered: &'a Layered,
    pub(super) setting: &'a Setting<'a>,
    pub(super) plan: &'a RunPlan,
    pub(super) cancel: &'a Cancel,
}

impl Over<'_> {
    /// Executes it, and completes what it left when it succeeded.
    pub(super) async fn execute(
        &self,
        mut session: SessionSpec,
        exec: ExecSpec,
        watch: Watch,
        sink: &mut dyn OutputSink,
    ) -> Result<(Executed, Clearing), EngineError> {
        let (run, engine) = (self.setting.run, self.setting.prepared.engine.as_ref());
        let address = "this address".to_owned();
        let volumes = engine.volumes().ok_or(EngineError::NoSharedFiles { address })?;
        let name = format!("soopervisor-{run}-snapshot");
        let upper = self.setting.folder.work();
        let overlay = Some(self.layered.overlay(upper.clone()));
        volumes.create(&VolumeSpec { name: name.clone(), run: run.clone(), kept: None, overlay }).await?;
        session.mounts.retain(|mount| mount.guest.0 != guest::WORK);
        let work = GuestPath(guest::WORK.to_owned());
        session.carried.volumes.push(VolumeMount { volume: name.clone(), guest: work, writable: true });
        let executed = execute(engine, session, exec, watch, self.cancel, sink).await;
        let executed = match executed {
            // It uses the volume until it is gone.
            Ok((executed, clearing)) => Ok((executed, clearing.gone().await)),
            Err(error) => Err(error),
        };
        // The folders must not go before the volume that mounts them.
        if let Err(error) = volumes.remove(&name).await {
            tracing::warn!(%error, "the volume of this run stays for now; the next run tries again");
        }
        let (executed, gone) = executed?;
        if executed.exit.code == 0 && executed.stopped.is_none() {
            let hidden = complete(upper, self.layered.lower.clone(), self.plan).await?;
            let _ = self.layered.hidden.set(hidden);
        }
        Ok((executed, Clearing::over(gone)))
    }
}

async fn complete(upper: PathBuf, lower: PathBuf, plan: &RunPlan) -> Result<Hidden, EngineError> {
    let products = plan.tasks.iter().flat_map(|task| &task.products);
    let products: Vec<RelPath> = products.filter_map(product_path).collect();
    let pipeline_dir = plan.pipeline_dir.clone();
    let shown = upper.display().to_string();
    let completing = tokio::task::spawn_blocking(move || {
        let open = |path: &Path| Dir::open_ambient_dir(path, ambient_authority());
        layers::complete(&open(&upper)?, &open(&lower)?, &pipeline_dir, &products)
    });
    let completed = completing.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    completed.map_err(|source| EngineError::Carry {
        action: "take over what the run left with",
        source: ArchiveError::Io { doing: "complete", path: shown, source },
    })
}

/// Where a product lies in the snapshot, as `outputs` will look for it.
fn product_path(product: &crate::plan::PlannedProduct) -> Option<RelPath> {
    let inside = || RelPath::normalise(product.declared.strip_prefix(guest::WORK)?.strip_prefix('/')?).ok();
    product.path.clone().or_else(inside)
}

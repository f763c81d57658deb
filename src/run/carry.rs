//! A script on an engine that does not see this machine's files: snapshot and folders are sent into volumes of this run,
//! what came out is brought back into the run's folder, and the volumes go, whatever happens.
//!
//! Everything before and after is as for any other run: it sees the run's folder only.

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::cancel::{Cancel, Urgency};
use super::event::{RunEvent, Step};
use super::execute::{Clearing, Executed, Watch, execute};
use super::pipeline::Setting;
use super::telling::Telling;
use crate::archive::{ArchiveError, Load, Unpacked};
use crate::diag::Diagnostic;
use crate::engine::volume::{Hold, VolumeSpec};
use crate::engine::{Carried, EngineError, ExecSpec, GuestPath, Mount, OutputSink, SessionSpec, VolumeMount, Volumes};
use crate::script::guest;

/// One run that is carried there and back.
pub(super) struct Carrying<'a> {
    pub(super) setting: &'a Setting<'a>,
    /// The environment's volume.
    pub(super) volume: &'a str,
    pub(super) telling: &'a Telling,
    pub(super) cancel: &'a Cancel,
}

/// The three folders of a run: what they are called, and where they are seen.
const FOLDERS: [(&str, &str); 3] = [("work", guest::WORK), ("output", guest::OUTPUT), ("home", guest::HOME)];

/// The `.git` that some runs get is theirs alone; in HOME, what installers leave is large and no trace of a task.
const LEFT_THERE: &[&str] = &[".git", ".soopervisor"];

impl Carrying<'_> {
    /// Sends, executes, brings back, clears away: what is needed is here, and the container is gone, when this returns.
    pub(super) async fn execute(
        &self,
        session: SessionSpec,
        exec: ExecSpec,
        watch: Watch,
        sink: &mut dyn OutputSink,
    ) -> Result<(Executed, Clearing), EngineError> {
        let address = "this address".to_owned();
        let volumes = self.setting.prepared.engine.volumes().ok_or(EngineError::NoSharedFiles { address })?;
        let done = self.carry(volumes, session, exec, watch, sink).await;
        for (folder, _) in FOLDERS {
            if let Err(error) = volumes.remove(&self.name(folder)).await {
                tracing::warn!(%error, "a volume of this run stays for now; the next run tries again");
            }
        }
        done
    }

    async fn carry(
        &self,
        volumes: &dyn Volumes,
        session: SessionSpec,
        exec: ExecSpec,
        watch: Watch,
        sink: &mut dyn OutputSink,
    ) -> Result<(Executed, Clearing), EngineError> {
        let run = self.setting.run;
        for (folder, _) in FOLDERS {
            volumes
                .create(&VolumeSpec { name: self.name(folder), run: run.clone(), kept: None, overlay: None })
                .await?;
        }
        let names = FOLDERS.map(|(folder, _)| self.name(folder));
        let mut hold = volumes.hold(run, &session.image, &names).await?;
        let done = self.with(hold.as_mut(), session, exec, watch, sink).await;
        let closed = hold.close().await;
        let done = done?;
        closed?;
        Ok(done)
    }

    async fn with(
        &self,
        hold: &mut dyn Hold,
        mut session: SessionSpec,
        exec: ExecSpec,
        watch: Watch,
        sink: &mut dyn OutputSink,
    ) -> Result<(Executed, Clearing), EngineError> {
        let mut cancel = self.cancel.clone();
        tokio::select! {
            sent = self.send(hold) => sent?,
            // The script is not started any more: `execute` sees the wish at once.
            _ = cancel.reached(Urgency::Ask) => {}
        }
        session.carried = self.carried(std::mem::take(&mut session.mounts));
        session.pipes = None;
        let engine = self.setting.prepared.engine.as_ref();
        let (executed, clearing) = execute(engine, session, exec, watch, self.cancel, sink).await?;
        let brought = self.bring_back(hold, executed).await;
        // Its volumes can only be removed after it.
        let gone = clearing.gone().await;
        brought?;
        Ok((executed, Clearing::over(gone)))
    }

    async fn bring_back(&self, hold: &mut dyn Hold, executed: Executed) -> Result<(), EngineError> {
        let mut cancel = self.cancel.clone();
        tokio::select! {
            fetched = self.fetch(hold) => match fetched {
                Err(error) if executed.exit.code == 0 && executed.stopped.is_none() => return Err(error),
                // It failed by itself; that matters more than what could have been looked at.
                Err(error) => tracing::warn!(%error, "what the script left could not be brought back"),
                Ok(()) => {}
            },
            // Nothing will be published.
            _ = cancel.reached(Urgency::Ask) => {}
        }
        Ok(())
    }

    async fn send(&self, hold: &mut dyn Hold) -> Result<(), EngineError> {
        self.telling.progress(Step::Execute, "sending the snapshot to the engine");
        let owner = self.setting.prepared.user;
        let mut loads = Vec::new();
        for (folder, _) in FOLDERS {
            let from = if folder == "home" { None } else { Some(self.open(folder)?) };
            loads.push(Load { from, below: self.name(folder), owner });
        }
        hold.put(loads).await
    }

    async fn fetch(&self, hold: &mut dyn Hold) -> Result<(), EngineError> {
        self.telling.progress(Step::Execute, "bringing the outputs back from the engine");
        for (folder, _) in FOLDERS {
            let into = self.open(folder)?;
            let Unpacked { left_out, .. } = hold.fetch(&self.name(folder), into, LEFT_THERE).await?;
            for path in left_out {
                let message = format!("`{path}` is not published: a device");
                self.telling.tell(&RunEvent::Diagnosed(Diagnostic::warning("outputs/refused", message)));
            }
        }
        Ok(())
    }

    fn open(&self, folder: &str) -> Result<Dir, EngineError> {
        let path = match folder {
            "output" => self.setting.folder.output(),
            "home" => self.setting.folder.home(),
            _ => self.setting.folder.work(),
        };
        Dir::open_ambient_dir(&path, ambient_authority()).map_err(|source| EngineError::Carry {
            action: "copy files to",
            source: ArchiveError::Io { doing: "open", path: path.display().to_string(), source },
        })
    }

    fn name(&self, folder: &str) -> String {
        format!("soopervisor-{}-{folder}", self.setting.run)
    }

    /// Volumes for folders, copies for files. The environment's own pip serves installs: uv stays here.
    fn carried(&self, mounts: Vec<Mount>) -> Carried {
        let show = |volume: String, guest: &str, writable| VolumeMount {
            volume,
            guest: GuestPath(guest.to_owned()),
            writable,
        };
        let mut volumes: Vec<VolumeMount> =
            FOLDERS.iter().map(|(folder, guest)| show(self.name(folder), guest, true)).collect();
        volumes.push(show(self.volume.to_owned(), &self.setting.prepared.environment.guest_prefix, false));
        let files = mounts.into_iter().filter(|mount| mount.host.0.is_file() && mount.guest.0 != guest::UV);
        Carried { volumes, files: files.collect() }
    }
}

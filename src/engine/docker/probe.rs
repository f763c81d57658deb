//! Whether the engine sees our files: writes a nonce, shows it to a container, reads it back.
//!
//! A folder of that name on another machine must not pass, so only the nonce's own bytes count.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use async_trait::async_trait;

use super::container::random;
use crate::engine::volume::{Overlay, VolumeSpec, Volumes};
use crate::engine::{
    Carried, Engine, EngineError, ExecSpec, GuestPath, HostPath, Mount, OutputSink, Purpose, SessionSpec, Stream,
    VolumeMount,
};
use crate::id::RunId;

/// Nobody: the probe only reads a file that everybody may read.
const NOBODY: (u32, u32) = (65534, 65534);

struct Heard(Vec<u8>);

#[async_trait]
impl OutputSink for Heard {
    async fn output(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stdout && self.0.len() < 4096 {
            self.0.extend_from_slice(bytes);
        }
    }

    async fn gap(&mut self) {}
}

pub(super) async fn shares_files(engine: &super::Docker, folder: &Path, image: &str) -> Result<bool, EngineError> {
    let unwritable = |error: std::io::Error| EngineError::Refused {
        action: "look for shared files",
        reason: format!("`{}`: {error}", folder.display()),
    };
    let inside = tempfile::Builder::new().prefix(".probe-").tempdir_in(folder).map_err(unwritable)?;
    let nonce = format!("{:016x}{:016x}", random(), random());
    let file = inside.path().join("nonce");
    fs_err::write(&file, &nonce).map_err(unwritable)?;
    // Readable by whoever the container's user is; the folders above it do not matter to a mount.
    for (path, mode) in [(inside.path(), 0o755), (file.as_path(), 0o644)] {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(unwritable)?;
    }

    let mut session = match engine.start(spec(inside.path(), image)?).await {
        Ok(session) => session,
        Err(EngineError::Refused { reason, .. }) if is_about_mounts(&reason) => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut heard = Heard(Vec::new());
    let script = ExecSpec { script: "cat /probe/nonce\n".into(), secrets: Vec::new(), nonce: String::new() };
    let ran = session.exec(script, &mut heard).await;
    session.close().await?;
    ran.map(|_| heard.0 == nonce.as_bytes())
}

/// Whether two folders of ours can be shown as one: everything that a run may do to a snapshot is done to a small one.
pub(super) async fn overlays(
    engine: &super::Docker,
    folder: &Path,
    image: &str,
    user: (u32, u32),
) -> Result<bool, EngineError> {
    let failed = |error: std::io::Error| EngineError::Refused {
        action: "try an overlay",
        reason: format!("`{}`: {error}", folder.display()),
    };
    let inside = tempfile::Builder::new().prefix(".probe-").tempdir_in(folder).map_err(failed)?;
    let folders = Overlay {
        lower: inside.path().join("lower"),
        upper: inside.path().join("upper"),
        scratch: inside.path().join("scratch"),
    };
    stage(&folders, user).map_err(failed)?;
    let mut spec = spec(inside.path(), image)?;
    let name = format!("soopervisor-probe-{:016x}", random());
    let volume = VolumeSpec { name: name.clone(), run: spec.run.clone(), kept: None, overlay: Some(folders.clone()) };
    Volumes::create(engine, &volume).await?;
    spec.mounts.clear();
    spec.user = user;
    let guest = GuestPath("/probe".into());
    spec.carried.volumes = vec![VolumeMount { volume: name.clone(), guest, writable: true }];
    let ran = async {
        let mut session = engine.start(spec).await?;
        let script = "cd /probe && [ \"$(cat kept)\" = below ] && echo above >changed && rm gone && rm -r replaced && \
                      mkdir replaced && echo above >replaced/new && ls -A replaced";
        let mut heard = Heard(Vec::new());
        let script = ExecSpec { script: script.into(), secrets: Vec::new(), nonce: String::new() };
        let exit = session.exec(script, &mut heard).await;
        session.close().await?;
        Ok(exit?.code == 0 && heard.0 == b"new\n")
    };
    let ran: Result<bool, EngineError> = ran.await;
    engine.remove(&name).await?;
    // The kernel's own folder in there, which nobody may read: without root, what is its owner's could not be removed.
    let own = std::fs::Permissions::from_mode(0o700);
    let _ = fs_err::set_permissions(folders.scratch.join("work"), own);
    Ok(ran? && looks_right(&folders))
}

fn stage(folders: &Overlay, user: (u32, u32)) -> std::io::Result<()> {
    let deep = folders.lower.join("replaced");
    for folder in [&folders.lower, &folders.upper, &folders.scratch, &deep] {
        fs_err::create_dir(folder)?;
    }
    let files = ["kept", "changed", "gone", "replaced/old"].map(|name| folders.lower.join(name));
    for file in &files {
        fs_err::write(file, "below")?;
    }
    // Only root can give files away, and only root needs to.
    if rustix::process::geteuid().is_root() {
        for path in files.iter().chain([&folders.lower, &folders.upper, &deep]) {
            std::os::unix::fs::chown(path, Some(user.0), Some(user.1))?;
        }
    }
    Ok(())
}

/// The lower folder as it was; in the upper one what is new, and marks that we can read for what is not there any more.
fn looks_right(folders: &Overlay) -> bool {
    let below = ["kept", "changed", "gone", "replaced/old"];
    let untouched = below.iter().all(|name| fs_err::read(folders.lower.join(name)).is_ok_and(|text| text == b"below"));
    let above = |name: &str| folders.upper.join(name);
    let new = fs_err::read(above("changed")).is_ok_and(|text| text == b"above\n");
    let gone =
        fs_err::symlink_metadata(above("gone")).is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0);
    let mut mark = [0; 8];
    let replaced = rustix::fs::getxattr(above("replaced"), c"user.overlay.opaque", &mut mark[..]);
    untouched && new && gone && replaced == Ok(1) && mark[0] == b'y' && !above("kept").exists()
}

/// How Docker, Docker Desktop and Podman say that they see no such folder.
pub(super) fn is_about_mounts(reason: &str) -> bool {
    let reason = reason.to_ascii_lowercase();
    ["bind source path does not exist", "mounts denied", "is not shared from the host", "statfs "]
        .iter()
        .any(|words| reason.contains(words))
}

fn spec(shown: &Path, image: &str) -> Result<SessionSpec, EngineError> {
    let run: RunId = "probe".parse().map_err(|error: crate::id::IdError| EngineError::Refused {
        action: "look for shared files",
        reason: error.to_string(),
    })?;
    Ok(SessionSpec {
        run,
        purpose: Purpose::Probe,
        image: image.to_owned(),
        user: NOBODY,
        mounts: vec![Mount { host: HostPath(shown.to_owned()), guest: GuestPath("/probe".into()), writable: false }],
        carried: Carried::default(),
        pipes: None,
        env: BTreeMap::new(),
        workdir: "/".into(),
        memory_bytes: Some(64 << 20),
        cpus: None,
        pids: 64,
        disk_bytes: None,
        network: false,
        labels: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_a_daemon_that_sees_other_files_by_its_words() {
        for words in [
            "invalid mount config for type \"bind\": bind source path does not exist: /x",
            "Mounts denied: The path /x is not shared from the host and is not known to Docker",
            "statfs /x: no such file or directory",
        ] {
            assert!(is_about_mounts(words), "{words}");
        }
        assert!(!is_about_mounts("OCI runtime create failed: exec: \"bash\": stat bash: no such file or directory"));
    }
}

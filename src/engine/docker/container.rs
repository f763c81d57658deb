//! From a [`SessionSpec`] to what the engine is asked to create: everything that hardens a container is here.
//!
//! Pure; it never talks to the engine.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount as Shown, MountType, MountVolumeOptions,
    RestartPolicy, RestartPolicyNameEnum,
};

use super::Kind;
use crate::engine::owner::Owner;
use crate::engine::{EngineError, Errand, Mount, Purpose, SessionSpec, VolumeMount, frame};
use crate::id::RunId;

/// Labels that the sweep reads back.
pub(super) mod label {
    pub(in super::super) const RUN: &str = "soopervisor.run";
    pub(in super::super) const PURPOSE: &str = "soopervisor.purpose";
    pub(in super::super) const HOST: &str = "soopervisor.host";
    pub(in super::super) const BOOT: &str = "soopervisor.boot";
    pub(in super::super) const PID: &str = "soopervisor.pid";
    pub(in super::super) const PID_START: &str = "soopervisor.pid-start";
    pub(in super::super) const VERSION: &str = "soopervisor.version";
    /// In place of a process: when an errand's lease ends, in seconds since 1970.
    pub(in super::super) const UNTIL: &str = "soopervisor.until";
    /// On volumes that outlive their run: what they are kept as.
    pub(in super::super) const KEPT: &str = "soopervisor.kept";
}

/// Shared memory that data loaders want; more would only be charged to the container's memory anyway.
const SHARED_MEMORY: u64 = 1 << 30;

/// An errand's share of busy processors, where everything else has 1024: little, but enough to come to its end.
const FEW_SHARES: i64 = 64;

/// A name nothing else has.
pub(super) fn name(spec: &SessionSpec) -> String {
    if spec.purpose == Purpose::Errand {
        // It is no part of the run that happened to send it.
        return format!("soopervisor-errand-{:016x}", random());
    }
    format!("soopervisor-{}-{}-{:08x}", spec.run, word(spec.purpose), random() & 0xffff_ffff)
}

/// Random enough for names; the standard library seeds every hasher state anew.
pub(super) fn random() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

fn word(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Run => "run",
        Purpose::Build => "build",
        Purpose::Probe => "probe",
        Purpose::Errand => "errand",
    }
}

/// What is asked for. `limit_disk` adds the size of the writable layer, which only some storage drivers take.
pub(super) fn body(
    spec: &SessionSpec,
    owner: &Owner,
    limit_disk: bool,
    kind: Kind,
) -> Result<ContainerCreateBody, EngineError> {
    let boot = ["bash", "-p", "-c", frame::BOOT, "soopervisor"];
    Ok(ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: Some(boot.iter().map(|word| (*word).to_owned()).collect()),
        cmd: Some(Vec::new()),
        user: Some(format!("{}:{}", spec.user.0, spec.user.1)),
        working_dir: Some(spec.workdir.clone()),
        env: Some(variables(spec, kind)?),
        labels: Some(labels(spec, owner)),
        tty: Some(false),
        open_stdin: Some(true),
        // With StdinOnce the end of our connection is the end of the container's input: the lifeline hangs on it.
        stdin_once: Some(true),
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() }),
        host_config: Some(host_config(spec, limit_disk, kind)?),
        ..ContainerCreateBody::default()
    })
}

/// As [`body`], hardened alike, with the errand's own program; what else the machine does comes first.
pub(super) fn errand(
    errand: &Errand,
    owner: &Owner,
    until: u64,
    kind: Kind,
) -> Result<ContainerCreateBody, EngineError> {
    let body = body(&errand.spec, owner, false, kind)?;
    let mut labels = body.labels.unwrap_or_default();
    for name in [label::PID, label::PID_START] {
        labels.remove(name);
    }
    labels.insert(label::UNTIL.to_owned(), until.to_string());
    let host_config =
        body.host_config.map(|config| HostConfig { cpu_shares: Some(FEW_SHARES), oom_score_adj: Some(1000), ..config });
    Ok(ContainerCreateBody {
        entrypoint: Some(errand.command.clone()),
        labels: Some(labels),
        open_stdin: Some(false),
        stdin_once: Some(false),
        attach_stdin: Some(false),
        attach_stdout: Some(false),
        attach_stderr: Some(false),
        host_config,
        ..body
    })
}

fn host_config(spec: &SessionSpec, limit_disk: bool, kind: Kind) -> Result<HostConfig, EngineError> {
    let (binds, mounts) = mounts(spec, kind)?;
    let memory = spec.memory_bytes.map(signed);
    let shared = spec.memory_bytes.map_or(SHARED_MEMORY, |bytes| SHARED_MEMORY.min(bytes / 2));
    let disk = spec.disk_bytes.filter(|_| limit_disk);
    Ok(HostConfig {
        init: Some(true),
        auto_remove: Some(true),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        // The daemon's own log copies are seven times slower than a bare attach, and leave output on its disk.
        log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
        privileged: Some(false),
        cap_drop: Some(vec!["ALL".into()]),
        security_opt: Some(vec!["no-new-privileges".into()]),
        ipc_mode: Some("private".into()),
        network_mode: Some(if spec.network { "bridge" } else { "none" }.into()),
        pids_limit: Some(i64::from(spec.pids)),
        memory,
        // Equal to memory: no swap at all.
        memory_swap: memory,
        nano_cpus: spec.cpus.map(nano),
        shm_size: Some(signed(shared)),
        storage_opt: disk.map(|bytes| HashMap::from([("size".to_owned(), bytes.to_string())])),
        binds: Some(binds).filter(|binds| !binds.is_empty()),
        mounts: Some(mounts),
        ..HostConfig::default()
    })
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "a float that is too large saturates, and the engine refuses it")]
fn nano(cpus: f64) -> i64 {
    (cpus * 1e9).round() as i64
}

/// Texts, for what a structure cannot say, and structures.
fn mounts(spec: &SessionSpec, kind: Kind) -> Result<(Vec<String>, Vec<Shown>), EngineError> {
    let (mut binds, mut mounts) = (Vec::new(), Vec::new());
    for mount in &spec.mounts {
        let shown = shown(mount)?;
        let host = shown.source.as_deref().unwrap_or_default();
        match kind {
            // Podman makes a line of comma-separated values of the structure, and does not quote them.
            Kind::Podman if host.contains([',', '"', '\n', '\r']) => binds.push(bind(mount, host)?),
            Kind::Podman | Kind::Docker => mounts.push(shown),
        }
    }
    mounts.extend(spec.carried.volumes.iter().map(shown_volume));
    Ok((binds, mounts))
}

fn bind(mount: &Mount, host: &str) -> Result<String, EngineError> {
    if host.contains(':') {
        return Err(EngineError::Refused {
            action: "mount a folder",
            reason: format!("Podman cannot be told a path with a colon and a comma, quote or newline: `{host}`"),
        });
    }
    Ok(format!("{host}:{}:{}", mount.guest.0, if mount.writable { "rw" } else { "ro" }))
}

/// Never filled with what the image has at that place: it holds what was put into it.
pub(super) fn shown_volume(volume: &VolumeMount) -> Shown {
    Shown {
        typ: Some(MountType::VOLUME),
        source: Some(volume.volume.clone()),
        target: Some(volume.guest.0.clone()),
        read_only: Some(!volume.writable),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..Shown::default()
    }
}

/// As a structure, not as `host:guest:ro`: paths hold colons, commas and newlines.
fn shown(mount: &Mount) -> Result<Shown, EngineError> {
    let host = mount.host.0.to_str().ok_or_else(|| EngineError::Refused {
        action: "mount a folder",
        reason: format!("the path `{}` is not UTF-8, which the engine cannot be told", mount.host.0.display()),
    })?;
    Ok(Shown {
        typ: Some(MountType::BIND),
        source: Some(host.to_owned()),
        target: Some(mount.guest.0.clone()),
        read_only: Some(!mount.writable),
        ..Shown::default()
    })
}

fn variables(spec: &SessionSpec, kind: Kind) -> Result<Vec<String>, EngineError> {
    let mut all = Vec::with_capacity(spec.env.len() + 1);
    for (name, value) in &spec.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(EngineError::Refused {
                action: "set a variable",
                reason: format!("`{}` is not a name and value that an environment takes", name.escape_debug()),
            });
        }
        all.push(format!("{name}={value}"));
    }
    // Docker's init hands TERM to the script's children too: a shell runs its traps only once its child has ended.
    // Podman's knows no such thing, and `boot.sh` does it in its place where this is not set.
    if kind == Kind::Docker {
        all.push("TINI_KILL_PROCESS_GROUP=1".into());
    }
    Ok(all)
}

fn labels(spec: &SessionSpec, owner: &Owner) -> HashMap<String, String> {
    let mut all: HashMap<_, _> = spec.labels.clone().into_iter().collect();
    all.insert(label::PURPOSE.to_owned(), word(spec.purpose).to_owned());
    all.extend(owned(&spec.run, owner));
    all
}

/// Words of bash for what a script makes with `docker` by itself, for a run that is over: a line that comes before, and
/// options that label it as its shell's. Once that shell is gone, a sweep removes it.
pub fn owned_by_shell(run: &RunId) -> (&'static str, String) {
    let labels = [
        (label::RUN, run.to_string()),
        (label::HOST, Owner::current().host),
        (label::BOOT, "$(cat /proc/sys/kernel/random/boot_id)".to_owned()),
        (label::PID, "$$".to_owned()),
        (label::PID_START, "${process[21]}".to_owned()),
    ];
    let options = labels.map(|(name, value)| format!("--label \"{name}={value}\""));
    ("read -ra process </proc/$$/stat", options.join(" "))
}

/// By which the sweep knows whose something is.
pub(super) fn owned(run: &RunId, owner: &Owner) -> HashMap<String, String> {
    let ours = [
        (label::RUN, run.to_string()),
        (label::HOST, owner.host.clone()),
        (label::BOOT, owner.boot.clone()),
        (label::PID, owner.pid.to_string()),
        (label::PID_START, owner.started.clone()),
        (label::VERSION, env!("CARGO_PKG_VERSION").to_owned()),
    ];
    ours.map(|(name, value)| (name.to_owned(), value)).into()
}

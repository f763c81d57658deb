//! What a run's container is: mounts, variables, limits. Pure; it never talks to the engine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::pipeline::Setting;
use crate::engine::{Carried, GuestPath, HostPath, Mount, Purpose, SessionSpec};
use crate::environment::{self, Network};
use crate::id::RunId;
use crate::plan::{self, RunPlan};
use crate::script::guest;
use crate::store::Folder;

/// Everything that decides what a run's container looks like.
pub(super) struct Shape<'a> {
    /// The plan.
    pub(super) plan: &'a RunPlan,
    /// The run.
    pub(super) run: &'a RunId,
    /// Its folder.
    pub(super) folder: &'a Folder,
    /// The image's id.
    pub(super) image: &'a str,
    /// The user inside.
    pub(super) user: (u32, u32),
    /// The environment.
    pub(super) environment: &'a environment::Prepared,
    /// The uv program; it may not be there.
    pub(super) uv: &'a Path,
    /// Wheels of the project's own packages, each with the number of its line.
    pub(super) wheels: &'a [(usize, PathBuf)],
    /// Proxies, certificates, indexes.
    pub(super) network: &'a Network,
    /// Whether a repository is around the snapshot.
    pub(super) has_git: bool,
}

impl<'a> Shape<'a> {
    /// Of a run that is prepared.
    pub(super) fn of(plan: &'a RunPlan, setting: &Setting<'a>) -> Self {
        let prepared = setting.prepared;
        Self {
            plan,
            run: setting.run,
            folder: setting.folder,
            image: &prepared.image.id,
            user: prepared.user,
            environment: &prepared.environment,
            uv: &prepared.uv,
            wheels: &prepared.wheels,
            network: setting.network,
            has_git: setting.folder.work().join(".git").is_dir(),
        }
    }

    /// What the engine is asked for.
    pub(super) fn session(&self) -> SessionSpec {
        let mut env =
            BTreeMap::from([("HOME", guest::HOME), ("USER", "runner"), ("LOGNAME", "runner"), ("LANG", "C.UTF-8")]);
        if self.environment.lacks_bytecode() {
            // A first run: what one of its processes compiles, the next one need not.
            env.insert("PYTHONPYCACHEPREFIX", guest::BYTECODE);
        }
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        // Whose files these are for git depends on how the engine maps users; they are the run's own.
        let trusted =
            [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "safe.directory"), ("GIT_CONFIG_VALUE_0", guest::WORK)];
        let trusted =
            trusted.into_iter().filter(|_| self.has_git).map(|(name, value)| (name.to_owned(), value.to_owned()));
        let limits = &self.plan.limits;
        SessionSpec {
            run: self.run.clone(),
            purpose: Purpose::Run,
            image: self.image.to_owned(),
            user: self.user,
            mounts: self.mounts(),
            carried: Carried::default(),
            pipes: Some(HostPath(self.folder.pipes())),
            env: env.chain(trusted).chain(self.network.env.clone()).collect(),
            workdir: guest::WORK.to_owned(),
            memory_bytes: limits.memory_bytes,
            cpus: limits.cpus,
            pids: limits.pids,
            disk_bytes: limits.disk_bytes,
            network: self.plan.network == plan::Network::Bridge,
            labels: BTreeMap::from([("soopervisor.project".to_owned(), self.plan.project.to_string())]),
        }
    }

    fn mounts(&self) -> Vec<Mount> {
        let mount = |host: PathBuf, guest: &str, writable| Mount {
            host: HostPath(host),
            guest: GuestPath(guest.to_owned()),
            writable,
        };
        let (folder, environment) = (self.folder, self.environment);
        let mut mounts = vec![
            mount(folder.work(), guest::WORK, true),
            mount(folder.output(), guest::OUTPUT, true),
            mount(folder.home(), guest::HOME, true),
            mount(environment.host_prefix.clone(), &environment.guest_prefix, false),
            mount(environment.activation.clone(), guest::ACTIVATE, false),
        ];
        let optional = [(environment.constraints(), guest::CONSTRAINTS), (self.uv.to_owned(), guest::UV)];
        let there = optional.into_iter().filter(|(host, _)| host.is_file());
        mounts.extend(there.map(|(host, guest)| mount(host, guest, false)));
        let wheels = self.wheels.iter();
        mounts.extend(wheels.map(|(number, host)| mount(host.clone(), &format!("{}/{number}", guest::WHEELS), false)));
        mounts.extend(self.network.mounts.iter().cloned());
        mounts
    }
}

//! One build: solve, link, install the `pip:` section, write down what came out. Leaves nothing behind when it fails.

use std::path::Path;

use rattler_conda_types::RepoDataRecord;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::bench::Bench;
use super::builder::Builder;
use super::config::PLOOMBER_PIN;
use super::error::chain;
use super::link::{self, Link};
use super::lock::Distribution;
use super::pip::Part;
use super::solve::Conda;
use super::store::{Request, Store, Wish, write_readable};
use super::volume::Far;
use super::{EnvironmentError, Lock, activate, bytecode, kept, lock, network, pip, space, strangers, uv};
use crate::spec::amount::count;

mod apart;

/// A prefix that is complete and still on its bench.
pub(super) struct Built {
    pub(super) bench: Bench,
    pub(super) activation: String,
    pub(super) lock: Value,
    pub(super) ploomber: String,
    /// Bytes that it takes in its volume, for a far engine that told them.
    pub(super) volume_bytes: Option<u64>,
}

/// Where the packages of a build come from.
#[derive(Clone, Copy)]
pub(super) enum Packages<'a> {
    /// Solved from what the channels have now.
    OfChannels,
    /// Those of a lock, and no others.
    Of(&'a Lock),
}

/// The activation's text, the lock document and ploomber's version.
type Described = (String, Value, String);

type Progress<'a> = &'a mut (dyn FnMut(String) + Send);

/// Builds the prefix `id`.
pub(super) async fn build(
    store: &Store,
    request: &Request<'_>,
    packages: Packages<'_>,
    id: &str,
    progress: Progress<'_>,
    cancel: &CancellationToken,
) -> Result<Built, EnvironmentError> {
    for note in &request.config.notes {
        progress(note.clone());
    }
    let (lock, lines) = match packages {
        Packages::OfChannels => (None, None),
        Packages::Of(lock) => (Some(lock), Some(lock.lines(request.inputs))),
    };
    let wanted = !lines.as_ref().unwrap_or(&request.inputs.pip).is_empty();
    let uv = match cancellable(cancel, uv::program(request.config, progress)).await {
        Ok(uv) => wanted.then_some(uv),
        Err(_) if !wanted => None,
        Err(error) => return Err(error),
    };
    let conda = Conda::new(request.inputs, request.config, matches!(request.wish, Wish::Anew))?;
    let records = if let Some(lock) = lock {
        progress(format!("conda: taking the {} of the lock", count(lock.packages() as u64, "package")));
        cancellable(cancel, Box::pin(conda.fetch(lock, &request.config.root))).await?
    } else {
        progress("conda: asking the channels".to_owned());
        cancellable(cancel, Box::pin(conda.solve(request.inputs, request.config))).await?
    };
    space::check(&store.root, &records)?;
    progress(format!("conda: fetching and linking {}", count(records.len() as u64, "package")));
    let job = Build { store, request, id, conda, records, lock, lines, uv, cancel };
    let built = job.run(progress).await?;
    match lock.map_or(Ok(()), |lock| kept::check(lock, &built.lock)) {
        Ok(()) => Ok(built),
        Err(error) => {
            if let Some(far) = &built.bench.far {
                far.leave(&job.builder(), false).await;
            }
            built.bench.discard();
            Err(error)
        }
    }
}

async fn cancellable<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, EnvironmentError>>,
) -> Result<T, EnvironmentError> {
    tokio::select! {
        done = work => done,
        () = cancel.cancelled() => Err(EnvironmentError::Cancelled),
    }
}

struct Build<'a> {
    store: &'a Store,
    request: &'a Request<'a>,
    id: &'a str,
    conda: Conda,
    records: Vec<RepoDataRecord>,
    lock: Option<&'a Lock>,
    /// The lock's lines for uv.
    lines: Option<Vec<String>>,
    uv: Option<std::path::PathBuf>,
    cancel: &'a CancellationToken,
}

impl Build<'_> {
    /// Wheels only on the shared bench first; with source builds on a private bench where that is needed: of the lines
    /// that have no wheel, or, where these cannot be told, of everything.
    async fn run(&self, progress: Progress<'_>) -> Result<Built, EnvironmentError> {
        let Request { inputs, config, .. } = *self.request;
        let curated = match self.lock {
            Some(lock) => lock.is_curated(config),
            None => inputs.sources.iter().all(|source| source.is_curated(config)),
        };
        let lines = self.lines.as_ref().unwrap_or(&inputs.pip);
        let built = self.lock.is_some_and(|lock| !lock.built().is_empty());
        let source = built || pip::needs_source(lines, &inputs.pip_options);
        if source && config.wheels_only {
            return Err(strangers::no_builds("install", "a line would have to be built from source".to_owned()));
        }
        if !curated {
            progress(
                "pip: a channel of the repository's own choosing: building apart from the shared cache".to_owned(),
            );
            return self.attempt(false, progress).await;
        }
        if source {
            progress("pip: a line has to be built from source, which is done apart from the shared cache".to_owned());
        } else {
            match self.attempt(true, progress).await {
                Err(EnvironmentError::Pip { tail, step, .. }) if pip::wants_source(&tail) && config.wheels_only => {
                    return Err(strangers::no_builds(step, tail));
                }
                Err(EnvironmentError::Pip { tail, .. }) if pip::wants_source(&tail) => progress(
                    "pip: not possible with wheels alone; trying again with source builds, apart from the shared cache"
                        .to_owned(),
                ),
                done => return done,
            }
        }
        if config.far.is_none()
            && let Some(built) = Box::pin(self.apart(progress)).await?
        {
            return Ok(built);
        }
        self.attempt(false, progress).await
    }

    async fn attempt(&self, shared: bool, progress: Progress<'_>) -> Result<Built, EnvironmentError> {
        let mut bench = Bench::new(&self.store.root, self.id, shared)?;
        let described = self.make(&mut bench, progress).await;
        if let Some(far) = &bench.far {
            far.leave(&self.builder(), described.is_ok()).await;
        }
        match described {
            Ok((activation, lock, ploomber)) => {
                let volume_bytes = bench.far.as_ref().and_then(|_| Far::take_size(&bench));
                Ok(Built { bench, activation, lock, ploomber, volume_bytes })
            }
            Err(error) => {
                bench.discard();
                Err(error)
            }
        }
    }

    /// Fills the bench, here or in volumes, and describes what came out.
    async fn make(&self, bench: &mut Bench, progress: Progress<'_>) -> Result<Described, EnvironmentError> {
        if self.request.config.far.is_some() {
            bench.far = Some(Far::make(&self.builder(), self.store, self.id, bench.shared).await?);
        }
        let pip_lock = self.fill(bench, progress).await?;
        if bench.far.is_some() {
            bench.prefix = Far::described(bench);
        }
        let described = self.describe(bench, &pip_lock)?;
        match &bench.far {
            Some(far) => far.send_constraints(&self.builder(), bench).await?,
            // What is in a volume shares no files with the shelf: the builder has compiled it.
            None => bytecode::link_known(&self.store.root, bench, self.id)?,
        }
        Ok(described)
    }

    /// Links the conda packages and installs the rest; returns uv's lock.
    async fn fill(&self, bench: &Bench, progress: Progress<'_>) -> Result<String, EnvironmentError> {
        // What is sent away may share files with the cache: nothing runs beside them here.
        self.link_all(bench, bench.shared || bench.far.is_some(), progress).await?;
        pip::install(&self.builder(), bench, &self.what(Part::All), self.request.config, progress).await
    }

    /// What uv gets to do.
    fn what(&self, part: Part) -> pip::What<'_> {
        let Request { inputs, config, wish, .. } = *self.request;
        let (locked, uv) = (self.lines.as_deref(), self.uv.as_deref());
        let (anew, no_index) = (matches!(wish, Wish::Anew), config.asks_no_index());
        pip::What { inputs, locked, uv, part, wheels_only: config.wheels_only, anew, no_index }
    }

    /// Links the conda packages, sends them where they are built elsewhere, and runs what they want to have run.
    async fn link_all(&self, bench: &Bench, shared: bool, progress: Progress<'_>) -> Result<(), EnvironmentError> {
        let mut link = Link { host: &bench.prefix, guest: &bench.guest_prefix, shared };
        self.link(&link, progress).await?;
        let mut scripts = link::post_link_scripts(&bench.prefix, &self.records);
        if !scripts.is_empty() && link.shared && bench.far.is_none() {
            // They write where they like: not into files that the cache shares with every other prefix.
            empty(&bench.prefix)?;
            link.shared = false;
            self.link(&link, progress).await?;
            scripts = link::post_link_scripts(&bench.prefix, &self.records);
        }
        let builder = self.builder();
        if let Some(far) = &bench.far {
            progress("sending the conda packages to the engine".to_owned());
            cancellable(self.cancel, far.send_prefix(&builder, bench)).await?;
        }
        if scripts.is_empty() {
            return Ok(());
        }
        progress(format!("conda: running {} in a container", count(scripts.len() as u64, "post-link script")));
        pip::post_link(&builder, bench, &scripts, self.request.config, progress).await
    }

    async fn link(&self, link: &Link<'_>, progress: Progress<'_>) -> Result<(), EnvironmentError> {
        cancellable(self.cancel, link::link(&self.conda, &self.records, link, &self.store.root, progress)).await
    }

    fn builder(&self) -> Builder<'_> {
        let Request { inputs, config, engine, image, run, .. } = *self.request;
        let mut mask = inputs.secrets();
        mask.extend(network::network_env(config).mask);
        Builder { engine, image, run, user: config.container_user, cancel: self.cancel, mask }
    }

    /// The activation text, the lock document and ploomber's version; writes the constraints into the prefix.
    fn describe(&self, bench: &Bench, pip_lock: &str) -> Result<Described, EnvironmentError> {
        let failed = |error| EnvironmentError::io(&bench.prefix, "reading a new environment", error);
        let dists = lock::distributions(&bench.prefix).map_err(failed)?;
        let ploomber = ploomber(&dists, &self.records).ok_or(EnvironmentError::NoPloomber { pin: PLOOMBER_PIN })?;
        let constraints: Vec<String> = dists.iter().map(|dist| format!("{}=={}", dist.name, dist.version)).collect();
        let limits = bench.prefix.join(activate::CONSTRAINTS);
        write_readable(&limits, &(constraints.join("\n") + "\n")).map_err(failed)?;
        let variables = &self.request.inputs.variables;
        let activation = activate::text(&bench.prefix, &bench.guest_prefix, variables, self.conda.platform)
            .map_err(|error| EnvironmentError::Install { reason: chain(&error) })?;
        // What was built once is built whenever its lock is installed. A shared cache holds no source: there, nothing was.
        let mut built = self.lock.map(|lock| lock.built().clone()).unwrap_or_default();
        if !bench.shared {
            built.extend(apart::from_source(&bench.root.join("uv")));
        }
        Ok((activation, lock::document(&self.records, &dists, pip_lock, &built), ploomber))
    }
}

/// From the file system: importing it takes seconds.
fn ploomber(dists: &[Distribution], records: &[RepoDataRecord]) -> Option<String> {
    let installed = dists.iter().find(|dist| dist.name == "ploomber").map(|dist| dist.version.clone());
    let record = || records.iter().find(|record| record.package_record.name.as_normalized() == "ploomber");
    installed.or_else(|| record().map(|record| record.package_record.version.to_string()))
}

fn empty(prefix: &Path) -> Result<(), EnvironmentError> {
    std::fs::remove_dir_all(prefix)
        .and_then(|()| std::fs::create_dir(prefix))
        .map_err(|error| EnvironmentError::io(prefix, "linking again", error))
}

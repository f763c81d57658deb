//! Everything a script needs before it can start: image, environment, snapshot, folders. Side by side where possible.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::cancel::{Cancel, Urgency};
use super::decide::Decided;
use super::ending::Ending;
use super::event::{Outcome, Step};
use super::host::{FALLBACK_IMAGE, Host, RUNNER_IMAGE};
use super::layers::{self, Layered};
use super::stop::Stop;
use super::telling::Telling;
use crate::engine::{Engine, EngineError, EngineInfo, Image, Swept};
use crate::environment::{self, Config, Inputs, Store};
use crate::id::RunId;
use crate::outputs::{Baseline, Roots};
use crate::repo::Snapshots;
use crate::script::guest;
use crate::store::Folder;

/// What a script can start with.
pub struct Prepared {
    /// The engine.
    pub engine: Arc<dyn Engine>,
    /// The image.
    pub image: Image,
    /// The environment.
    pub environment: environment::Prepared,
    /// The uv program, for installing the project; it may not be there.
    pub uv: PathBuf,
    /// The user inside.
    pub user: (u32, u32),
    /// The snapshot and `/output`, on our side.
    pub roots: Arc<Roots>,
    /// What the snapshot held before the pipeline ran.
    pub baseline: Arc<Baseline>,
    /// The kept snapshot that the run's folder lies over, where it was not copied.
    pub layered: Option<Layered>,
}

/// Where a run happens.
pub(super) struct Place<'a> {
    /// The machine.
    pub(super) host: &'a Host,
    /// The run.
    pub(super) run: &'a RunId,
    /// Its folder.
    pub(super) folder: &'a Folder,
}

/// An engine that is being asked who it is, and cleared of what dead runs left.
pub(super) struct Approach(AbortOnDropHandle<Result<Found, EngineError>>);

/// The engine, before anything is wanted of it.
struct Found {
    engine: Arc<dyn Engine>,
    info: EngineInfo,
    swept: Vec<Swept>,
}

/// Turns to the engine at once: it takes as long to answer as the project takes to be read and checked.
pub(super) fn approach(host: &Host) -> Approach {
    let connecting = (host.connect)();
    Approach(AbortOnDropHandle::new(tokio::spawn(async move {
        let engine = connecting.await?;
        let (info, swept) = tokio::try_join!(engine.info(), engine.sweep())?;
        Ok(Found { engine, info, swept })
    })))
}

/// The engine, and the image on it.
struct Engaged {
    engine: Arc<dyn Engine>,
    info: EngineInfo,
    image: Image,
}

/// Prepares a run in its folder.
///
/// # Errors
/// When the engine, the image, the environment or the snapshot cannot be had; all are tried, one is told.
pub(super) async fn prepare(
    decided: &Decided,
    inputs: &Inputs,
    config: &Config,
    &Place { host, run, folder }: &Place<'_>,
    approach: Approach,
    telling: &Telling,
    cancel: &Cancel,
) -> Result<Prepared, Stop> {
    telling.begin(Step::Prepare, "image, environment, snapshot");
    let engaged = engage(decided, approach, telling).await?;
    let user = host.container_user(engaged.info.rootless);
    // Only root can give files to somebody else, and only root needs to.
    let owner = (host.user.0 == 0 && user.0 != 0).then_some(user);
    let config = Config { container_user: user, ..config.clone() };
    let (environment, snapshot) =
        tokio::try_join!(async { ensure_environment(&engaged, inputs, &config, run, telling, cancel).await }, async {
            lay_out(decided, host, folder, &engaged, (user, owner), telling).await
        },)?;
    let LaidOut { roots, baseline, layered } = snapshot;
    let words = if environment.reused { "environment reused" } else { "environment built" };
    telling.end(Step::Prepare, if environment.reused { Outcome::Reused } else { Outcome::Done }, words);
    let uv = environment::uv_program(&config);
    Ok(Prepared {
        engine: engaged.engine,
        image: engaged.image,
        environment,
        uv,
        user,
        roots,
        baseline: Arc::new(baseline),
        layered,
    })
}

async fn engage(decided: &Decided, approach: Approach, telling: &Telling) -> Result<Engaged, Stop> {
    let found = approach.0.await.map_err(|error| Stop::of(Ending::Internal, &error))?;
    let Found { engine, info, swept } = found?;
    telling.progress(Step::Prepare, format!("{} at {}", info.name, info.address));
    for swept in swept {
        telling.progress(Step::Prepare, format!("removed {}, left by run {} that is dead", swept.name, swept.run));
    }
    let image = ensure_image(engine.as_ref(), decided.plan.image.as_deref(), telling).await?;
    Ok(Engaged { engine, info, image })
}

/// The image that was asked for, or the runner image, or what stands in for it.
async fn ensure_image(engine: &dyn Engine, asked: Option<&str>, telling: &Telling) -> Result<Image, Stop> {
    let mut progress = |line: String| telling.progress(Step::Prepare, line);
    if let Some(asked) = asked {
        return Ok(engine.ensure_image(asked, &mut progress).await?);
    }
    match engine.find_image(RUNNER_IMAGE).await? {
        Some(image) => Ok(image),
        None => engine.ensure_image(FALLBACK_IMAGE, &mut progress).await.map_err(|error| match error {
            EngineError::Image { reason, .. } => {
                let message =
                    format!("the runner image `{RUNNER_IMAGE}` is not here and no registry answers: {reason}");
                Stop::new(Ending::EngineUnavailable, message).help(
                    "`make image` builds it from this distribution's packages, `--image IMAGE` takes another"
                        .to_owned(),
                )
            }
            other => other.into(),
        }),
    }
}

async fn ensure_environment(
    engaged: &Engaged,
    inputs: &Inputs,
    config: &Config,
    run: &RunId,
    telling: &Telling,
    cancel: &Cancel,
) -> Result<environment::Prepared, Stop> {
    let store = Store::open(&config.root)?;
    let mut config = config.clone();
    if !store.is_seen_by(engaged.engine.as_ref(), &engaged.info, &engaged.image.id).await? {
        config.far = Some(far(engaged, &config)?);
        telling.progress(Step::Prepare, "the engine does not see this machine's files: they are copied to and from it");
    }
    let engine = engaged.engine.as_ref();
    let request = environment::Request { inputs, config: &config, engine, image: &engaged.image.id, run };
    let token = CancellationToken::new();
    let _watch = watch(cancel.clone(), token.clone());
    let prepared = store.ensure(&request, &mut |line| telling.progress(Step::Prepare, line), &token).await?;
    for note in &prepared.notes {
        telling.progress(Step::Prepare, note.clone());
    }
    Ok(prepared)
}

/// The name of an engine that is served through volumes.
fn far(Engaged { engine, info, .. }: &Engaged, config: &Config) -> Result<String, Stop> {
    if engine.volumes().is_none() {
        return Err(Stop::from(EngineError::NoSharedFiles { address: info.address.clone() }).help(
            "use an engine on this machine: unset DOCKER_HOST, or set it to unix:///var/run/docker.sock".to_owned(),
        ));
    }
    let theirs = environment::platform_of(&info.architecture);
    if theirs != Some(&config.platform) {
        let message = format!(
            "the engine at {} runs {}, this machine {}",
            info.address,
            info.architecture,
            std::env::consts::ARCH
        );
        return Err(Stop::new(Ending::EngineUnavailable, message)
            .help("environments are linked for this machine's architecture: use an engine of the same".to_owned()));
    }
    Ok(if info.id.is_empty() { info.address.clone() } else { info.id.clone() })
}

/// Turns the first request to stop into the token that the environment listens to; ends with the guard.
fn watch(mut cancel: Cancel, token: CancellationToken) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        cancel.reached(Urgency::Ask).await;
        token.cancel();
    }))
}

/// A snapshot that a pipeline can run in.
struct LaidOut {
    roots: Arc<Roots>,
    baseline: Baseline,
    layered: Option<Layered>,
}

/// Makes the run's folders and writes the snapshot, or lays the run's folder over a kept one; on threads that may block.
async fn lay_out(
    decided: &Decided,
    host: &Host,
    folder: &Folder,
    engaged: &Engaged,
    (user, owner): ((u32, u32), Option<(u32, u32)>),
    telling: &Telling,
) -> Result<LaidOut, Stop> {
    let (checkout, snapshots) = (Arc::clone(&decided.checkout), Snapshots::at(host.home.snapshots()));
    let kept = blocking(move || Ok(checkout.kept(&snapshots, owner)?)).await?;
    let (engine, place) = (engaged.engine.as_ref(), host.home.snapshots());
    let over = kept.is_some() && layers::possible(engine, &engaged.info, &engaged.image.id, user, &place).await;
    let (checkout, snapshots) = (Arc::clone(&decided.checkout), Snapshots::at(place));
    let (folder, asks_git) = (folder.clone(), decided.asks_git);
    let (laid, files) = blocking(move || {
        let work = make_folder(&folder.work(), owner)?;
        let output = make_folder(&folder.output(), owner)?;
        make_folder(&folder.home(), owner)?;
        let (contents, layered) = match kept {
            Some(kept) if over => {
                make_folder(&folder.layers(), None)?;
                (kept.contents().clone(), Some(Layered::over(kept, folder.layers())))
            }
            kept => (checkout.lay_out(kept, &snapshots, &work, owner)?, None),
        };
        if asks_git {
            let files = layered.as_ref().map_or_else(|| folder.work(), |layered: &Layered| layered.lower.clone());
            checkout.add_git(&folder.work(), &files, owner)?;
        }
        let roots = Roots { work, output, guest_work: guest::WORK, guest_output: guest::OUTPUT };
        let files = contents.exported.files;
        let baseline = Baseline::of(contents.entries, contents.mtime_ns);
        Ok((LaidOut { roots: Arc::new(roots), baseline, layered }, files))
    })
    .await?;
    let how = if laid.layered.is_some() { " of a kept snapshot, not copied" } else { "" };
    telling.progress(Step::Prepare, format!("snapshot: {files} files{how}"));
    Ok(laid)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Stop> + Send + 'static) -> Result<T, Stop> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Stop::of(Ending::Internal, &error))?
}

fn make_folder(path: &Path, owner: Option<(u32, u32)>) -> Result<Dir, Stop> {
    let make = || {
        std::fs::DirBuilder::new().mode(0o755).create(path)?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
        }
        Dir::open_ambient_dir(path, ambient_authority())
    };
    make().map_err(|error: std::io::Error| Stop {
        causes: vec![error.to_string()],
        ..Stop::new(Ending::of_io(&error), format!("cannot make the run's folder `{}`", path.display()))
    })
}

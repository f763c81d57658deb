//! Everything a script needs before it can start: image, environment, snapshot, folders. Side by side where possible.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::ahead::{Answering, Early};
use super::blame;
use super::cancel::{Cancel, Urgency};
use super::container::Shape;
use super::decide::Decided;
use super::deliver::Follow;
use super::ending::Ending;
use super::event::{Outcome, RunEvent, Step};
use super::frozen;
use super::host::{FALLBACK_IMAGE, Host, RUNNER_IMAGE};
use super::layers::Layered;
use super::laying::{Folders, Laid, LaidOut, Laying, laid_out};
use super::stop::Stop;
use super::takeover::{self, Search, Takeover};
use super::telling::Telling;
use crate::diag::Diagnostic;
use crate::engine::{Engine, EngineError, EngineInfo, Image, Swept};
use crate::environment::{self, Chore, Config, EnvironmentError, Inputs, Lock, Network, Project, Store, Wish};
use crate::id::{RelPath, RunId};
use crate::outputs::{Baseline, Roots};
use crate::plan::{self, Packages};
use crate::spec::Environment;
use crate::storage::{Storage, patience};
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
    /// Wheels of the project's own packages, with the number of the line that each fulfils.
    pub wheels: Vec<(usize, PathBuf)>,
    /// What the snapshot held before the pipeline ran, without what was taken over.
    pub baseline: Arc<Baseline>,
    /// What was taken over from an earlier commit.
    pub takeover: Takeover,
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
    /// Where outputs go, and where earlier ones are.
    pub(super) storage: &'a Arc<dyn Storage>,
    /// Where a container is kept that was started early.
    pub(super) early: &'a Early,
}

/// What an environment is built from.
pub(super) struct Wanted<'a> {
    /// environment.yml, decided.
    pub(super) inputs: &'a Inputs,
    /// How this machine gets packages.
    pub(super) config: &'a Config,
    /// The packages of `--frozen-as`.
    pub(super) lock: Option<&'a Lock>,
    /// What its container gets of the network's settings.
    pub(super) network: &'a Network,
    /// Where environment.yml is, as a person types it.
    pub(super) file: &'a str,
    /// What stands in it.
    pub(super) written: &'a Environment,
}

/// An engine that is being asked who it is, and cleared of what dead runs left.
pub(super) struct Approach(AbortOnDropHandle<Result<Found, EngineError>>);

/// The engine, before anything is wanted of it.
struct Found {
    engine: Arc<dyn Engine>,
    info: EngineInfo,
    sweeping: Sweeping,
}

/// What dead runs left is cleared away while the run goes on.
type Sweeping = AbortOnDropHandle<Result<Vec<Swept>, EngineError>>;

/// Turns to the engine at once: it takes as long to answer as the project takes to be read and checked. The engine alone
/// is there as soon as it has answered.
pub(super) fn approach(host: &Host) -> (Approach, Answering) {
    let connecting = (host.connect)();
    let (answer, answering) = tokio::sync::oneshot::channel();
    let approach = Approach(AbortOnDropHandle::new(tokio::spawn(async move {
        let engine = connecting.await?;
        // Whoever wants it early may not be there.
        let _ = answer.send(Arc::clone(&engine));
        let sweeper = Arc::clone(&engine);
        let sweeping = AbortOnDropHandle::new(tokio::spawn(async move { sweeper.sweep().await }));
        let info = engine.info().await?;
        Ok(Found { engine, info, sweeping })
    })));
    (approach, answering)
}

/// Whose the run's files are, where that is another than this process. Only root can give files to somebody else, and only
/// root needs to.
pub(super) fn owner_of(host: &Host, user: (u32, u32)) -> Option<(u32, u32)> {
    (host.user.0 == 0 && user.0 != 0).then_some(user)
}

/// The engine, and the image on it.
struct Engaged {
    engine: Arc<dyn Engine>,
    info: EngineInfo,
    image: Image,
    sweeping: Sweeping,
}

/// Prepares a run in its folder.
///
/// # Errors
/// When the engine, the image, the environment or the snapshot cannot be had; all are tried, one is told.
pub(super) async fn prepare(
    decided: &Decided,
    wanted: &Wanted<'_>,
    &Place { host, run, folder, storage, early }: &Place<'_>,
    approach: Approach,
    telling: &Telling,
    cancel: &Cancel,
) -> Result<Prepared, Stop> {
    telling.begin(Step::Prepare, "image, environment, snapshot");
    let mut engaged = engage(decided, approach, telling).await?;
    let user = host.container_user(engaged.info.rootless);
    let owner = owner_of(host, user);
    let config = Config { container_user: user, ..wanted.config.clone() };
    let wanted = Wanted { config: &config, ..*wanted };
    let wish = wish(decided, wanted.lock);
    let store = Store::open(&config.root)?.keeping(super::host::keep(host));
    let folders = folders(folder, owner, early).await?;
    let mut laying = tokio::spawn(laying(decided, host, (folder, folders), &engaged, (user, owner)).run());
    let uv = environment::uv_program(&config);
    let place = Place { host, run, folder, storage, early };
    let unknown = !store.knows(wanted.inputs, &config);
    let filling =
        Filling { decided, engaged: &engaged, wanted: &wanted, place: &place, owner, telling, cancel, unknown };
    let ((know, known), (have, had)) = (oneshot::channel(), oneshot::channel());
    let both = tokio::try_join!(
        async {
            let asked = (wish, known);
            let environment = ensure_environment(&store, &engaged, &wanted, asked, run, telling, cancel).await?;
            if starts_early(decided, &environment) {
                let image = &engaged.image.id;
                let (plan, network, has_git) = (&decided.plan, wanted.network, decided.project.asks_git);
                let environment = &environment;
                let shape =
                    Shape { plan, run, folder, image, user, environment, uv: &uv, wheels: &[], network, has_git };
                early.want(&engaged.engine, shape.session());
            } else if environment.volume.is_some() || decided.checkout.is_worth_keeping() {
                early.give_up();
            }
            // Nobody listens where nothing is installed.
            let _ = have.send(environment.clone());
            Ok::<_, Stop>(environment)
        },
        filling.fill(&mut laying, know, had),
    );
    if both.is_err() && !laying.is_finished() {
        // It writes into the run's folder, which is about to be removed.
        let _ = laying.await;
    }
    let (environment, (LaidOut { roots, baseline, layered }, mut takeover, wheels)) = both?;
    takeover.confirm(&environment.lock, &roots)?;
    store.used_by(&environment, decided.plan.project.as_str());
    compile_later(host, &engaged, &environment, store, user, run);
    tell_swept(&mut engaged.sweeping, telling).await;
    let words = if environment.reused { "environment reused" } else { "environment built" };
    let words = std::iter::once(words.to_owned()).chain(takeover.in_words()).collect::<Vec<_>>().join("; ");
    telling.end(Step::Prepare, if environment.reused { Outcome::Reused } else { Outcome::Done }, words);
    Ok(Prepared {
        engine: engaged.engine,
        image: engaged.image,
        environment,
        uv,
        wheels,
        user,
        roots,
        baseline: Arc::new(baseline),
        takeover,
        layered,
    })
}

/// What fills the snapshot, beside the environment.
struct Filling<'a> {
    decided: &'a Decided,
    engaged: &'a Engaged,
    wanted: &'a Wanted<'a>,
    place: &'a Place<'a>,
    owner: Option<(u32, u32)>,
    telling: &'a Telling,
    cancel: &'a Cancel,
    /// Whether this machine knows nothing of the environment's packages.
    unknown: bool,
}

/// Wheels of the project's own packages, with the number of the line that each fulfils.
type Wheels = Vec<(usize, PathBuf)>;

impl Filling<'_> {
    /// The commit's files, wheels of them, and what is taken over from an earlier commit. `know` gets the lock of that
    /// one, for a machine that has none; `had` gives the environment, which only an install waits for.
    async fn fill(
        &self,
        laying: &mut JoinHandle<Laid>,
        know: oneshot::Sender<Option<Lock>>,
        mut had: oneshot::Receiver<environment::Prepared>,
    ) -> Result<(LaidOut, Takeover, Wheels), Stop> {
        let Self { decided, engaged, wanted, place, owner, telling, cancel, .. } = *self;
        let Place { storage, folder, .. } = *place;
        let (inputs, config, image) = (wanted.inputs, wanted.config, engaged.image.id.as_str());
        let search = Search { decided, storage, inputs, config, image, unknown: self.unknown };
        let found = async {
            let follow = Follow::new(telling, cancel, Step::Prepare);
            let found = patience::followed(&**storage, &follow, Box::pin(takeover::search(&search))).await;
            // Nobody listens where the environment is there.
            let _ = know.send(found.as_ref().ok().and_then(takeover::Found::lock));
            if found.as_ref().is_err_and(|stop| stop.ending == Ending::Cancelled) {
                // What builds the environment hears it too, and must not be dropped before it has cleared away.
                let _ = (&mut had).await;
            }
            found
        };
        let (laid, found) = tokio::try_join!(laid_out(laying, telling), found)?;
        // Of what the commit holds: nothing of an earlier one may lie there yet.
        let wheels = if decided.plan.local_installs.is_empty() {
            Wheels::new()
        } else {
            let environment = had.await.map_err(|_| EnvironmentError::Cancelled)?;
            let snapshot = laid.layered.as_ref().map_or_else(|| folder.work(), |layered| layered.lower.clone());
            wheels(decided, engaged, wanted, &environment, (place, &snapshot), (telling, cancel)).await?
        };
        let follow = Follow::new(telling, cancel, Step::Prepare);
        let restoring = Box::pin(takeover::lay(found, decided, &wheels, storage, &laid, owner, cancel));
        // It looks itself whether it is to stop, and removes what it was writing.
        let taken = patience::told(&**storage, &follow, restoring).await?;
        Ok((laid, taken, wheels))
    }
}

/// Whether the container can be started while the snapshot is written: all that it is shown must be known by then.
fn starts_early(decided: &Decided, environment: &environment::Prepared) -> bool {
    environment.volume.is_none() && decided.plan.local_installs.is_empty() && !decided.checkout.is_worth_keeping()
}

fn laying(
    decided: &Decided,
    host: &Host,
    (folder, folders): (&Folder, Folders),
    engaged: &Engaged,
    (user, owner): ((u32, u32), Option<(u32, u32)>),
) -> Laying {
    Laying {
        checkout: Arc::clone(&decided.checkout),
        asks_git: decided.project.asks_git,
        snapshots: host.home.snapshots(),
        folder: folder.clone(),
        folders,
        engine: Arc::clone(&engaged.engine),
        info: engaged.info.clone(),
        image: engaged.image.id.clone(),
        user,
        owner,
    }
}

async fn engage(decided: &Decided, approach: Approach, telling: &Telling) -> Result<Engaged, Stop> {
    let found = approach.0.await.map_err(|error| Stop::of(Ending::Internal, &error))?;
    let Found { engine, info, sweeping } = found?;
    telling.progress(Step::Prepare, format!("{} at {}", info.name, info.address));
    let image = ensure_image(engine.as_ref(), decided.plan.image.as_deref(), telling).await?;
    Ok(Engaged { engine, info, image, sweeping })
}

/// The run's folders: those that were made for a guessed container, if they are whose they should be.
async fn folders(folder: &Folder, owner: Option<(u32, u32)>, early: &Early) -> Result<Folders, Stop> {
    match early.folders() {
        Some((folders, made_for)) if made_for == owner => return Ok(folders),
        Some(_) => {
            // Its user was another, so it is none for this run.
            early.discard().await;
            Folders::unmake(folder)?;
        }
        None => {}
    }
    tokio::task::block_in_place(|| Folders::make(folder, owner))
}

/// Tells what dead runs had left. That it could not be cleared away is for the next run, too; this one goes on.
async fn tell_swept(sweeping: &mut Sweeping, telling: &Telling) {
    match sweeping.await {
        Ok(Ok(all)) => {
            for Swept { name, run } in all {
                telling.progress(Step::Prepare, format!("removed {name}, left by run {run} that is dead"));
            }
        }
        Ok(Err(error)) => {
            let message = format!("what earlier runs left could not be cleared away: {error}");
            let help = "the next run tries again; `soopervisor doctor` tells how the engine is";
            telling.tell(&RunEvent::Diagnosed(Diagnostic::warning("run/not-swept", message).help(help)));
        }
        Err(error) => tracing::warn!(%error, "the sweep ended without a word"),
    }
}

/// Nothing waits for it, and nothing here ends it: what it sends goes on without us.
fn compile_later(
    host: &Host,
    engaged: &Engaged,
    environment: &environment::Prepared,
    store: Store,
    user: (u32, u32),
    run: &RunId,
) {
    if environment.is_compiled() || host.config.environments.bytecode == Some(false) {
        return;
    }
    let (prepared, engine, image) = (environment.clone(), Arc::clone(&engaged.engine), engaged.image.id.clone());
    tokio::spawn(Chore { store, prepared, engine, image, user, run: run.clone() }.run());
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

/// Which packages were asked for.
fn wish<'a>(decided: &Decided, lock: Option<&'a Lock>) -> Wish<'a> {
    match (&decided.plan.packages, lock) {
        (_, Some(lock)) => Wish::Exactly(lock),
        (Packages::Anew, None) => Wish::Anew,
        _ => Wish::AsKept,
    }
}

async fn ensure_environment(
    store: &Store,
    engaged: &Engaged,
    &Wanted { inputs, config, file, written, .. }: &Wanted<'_>,
    (wish, known): (Wish<'_>, oneshot::Receiver<Option<Lock>>),
    run: &RunId,
    telling: &Telling,
    cancel: &Cancel,
) -> Result<environment::Prepared, Stop> {
    let mut config = config.clone();
    if !store.is_seen_by(engaged.engine.as_ref(), &engaged.info, &engaged.image.id).await? {
        config.far = Some(far(engaged, &config)?);
        telling.progress(Step::Prepare, "the engine does not see this machine's files: they are copied to and from it");
    }
    // Only a machine that knows nothing of this environment waits for what the storage tells of it.
    let asks = !matches!(wish, Wish::Exactly(_)) && !store.knows(inputs, &config);
    let earlier = if asks { known.await.ok().flatten() } else { None };
    let wish = earlier.as_ref().filter(|_| matches!(wish, Wish::AsKept)).map_or(wish, Wish::Rather);
    let (engine, image) = (engaged.engine.as_ref(), &engaged.image.id);
    let request = environment::Request { inputs, config: &config, engine, image, run, wish };
    let token = CancellationToken::new();
    let _watch = watch(cancel.clone(), token.clone());
    let prepared = store.ensure(&request, &mut |line| telling.progress(Step::Prepare, line), &token).await;
    let mut prepared = prepared.map_err(|error| blame::stop(error.about(file), written, telling))?;
    if let (Wish::Anew, Some(earlier)) = (wish, &earlier) {
        prepared.changes = earlier.differences(&prepared.lock);
    }
    for note in &prepared.notes {
        telling.progress(Step::Prepare, note.clone());
    }
    match frozen::drift(&prepared.changes) {
        Some(warning) => telling.tell(&RunEvent::Diagnosed(warning)),
        None if matches!(wish, Wish::Anew) => {
            telling.progress(Step::Prepare, "solved anew; no package is known to be another than before");
        }
        None => {}
    }
    Ok(prepared)
}

/// Wheels for the lines that one may fulfil. What cannot be had is installed inside the run: that is slower, and no
/// failure.
async fn wheels(
    decided: &Decided,
    engaged: &Engaged,
    &Wanted { inputs, config, .. }: &Wanted<'_>,
    environment: &environment::Prepared,
    (place, snapshot): (&Place<'_>, &Path),
    (telling, cancel): (&Telling, &Cancel),
) -> Result<Wheels, Stop> {
    let mut found = Wheels::new();
    if environment.volume.is_some() {
        // A wheel is built in folders that the engine sees, and is shown to the run from there.
        return Ok(found);
    }
    for (number, line) in decided.plan.local_installs.iter().enumerate() {
        let Some(path) = plan::plain_folder(line) else { continue };
        let Ok(inside) = RelPath::normalise(path) else { continue };
        let folder = decided.plan.pipeline_dir.join(&inside);
        let Some(digest) = decided.checkout.digest(&folder) else { continue };
        let project = Project { source: snapshot.join(folder.as_path()), digest };
        let (engine, image) = (engaged.engine.as_ref(), &engaged.image.id);
        let request = environment::Request { inputs, config, engine, image, run: place.run, wish: Wish::AsKept };
        let token = CancellationToken::new();
        let _watch = watch(cancel.clone(), token.clone());
        let store = Store::open(&config.root)?;
        let mut tell = |line| telling.progress(Step::Prepare, line);
        match store.wheel(&request, environment, &project, &mut tell, &token).await {
            Ok(wheel) => found.extend(wheel.map(|wheel| (number, wheel.folder))),
            Err(EnvironmentError::Cancelled) => return Err(EnvironmentError::Cancelled.into()),
            Err(error) => telling.progress(Step::Prepare, format!("`{line}` is installed inside the run: {error}")),
        }
    }
    Ok(found)
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

#[cfg(test)]
mod tests;

//! Taking tasks over from an earlier commit: looked for while the environment is prepared, laid into the snapshot,
//! confirmed, and judged after the run. Nothing here ever fails a run, except what could spoil its result.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use sha2::{Digest as _, Sha256};

use super::cancel::Cancel;
use super::decide::Decided;
use super::ending::Ending;
use super::event::Outcome;
use super::figures::count;
use super::installed;
use super::layers::Layered;
use super::laying::LaidOut;
use super::prepare::Prepared;
use super::stop::Stop;
use crate::environment::{Config, Inputs, Lock, told_apart};
use crate::id::{CommitSha, Digest, ProjectName, RelPath};
use crate::outputs::manifest::ReuseNote;
use crate::outputs::{Bounds, Collection, Roots, Traces, Wanted, traces};
use crate::plan::RunPlan;
use crate::repo::{Ancestors, Checkout, CommitTree};
use crate::reuse::{self, Candidate, Case, Decision, Now, Offer, Restoration, Side};
use crate::script::{self, ScriptError};
use crate::storage::{Folder, Same, Storage};
use crate::validate::{self, Origin, Project};

/// How many commits before this one are looked for in the storage.
const LOOKED_BACK: usize = 100;

/// What was taken over, and why the rest was not.
#[derive(Debug, Default)]
pub struct Takeover {
    /// The folder that tasks were taken from.
    from: Option<Folder>,
    /// Its environment, as the manifest says it.
    lock: Option<serde_json::Value>,
    /// For each task why it is executed; without a reason it is taken over.
    planned: BTreeMap<String, Option<String>>,
    /// Why nothing was taken over, where that is one reason for all.
    because: Option<String>,
    restoration: Restoration,
    /// What else decides what tasks come to, for the manifest.
    setting: BTreeMap<String, Digest>,
}

/// What is said about tasks while they run, apart from the files: threads share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Planned {
    from: Option<CommitSha>,
    tasks: Arc<BTreeMap<String, Option<String>>>,
}

impl Planned {
    /// Why a task was executed or not, and the commit it was taken from.
    pub(super) fn why(&self, name: &str, outcome: Outcome) -> (String, Option<CommitSha>) {
        let words = |text: &str| (text.to_owned(), None);
        match (outcome, self.tasks.get(name)) {
            (Outcome::Reused, Some(None)) => {
                let from = self.from.as_ref().map(|from| from.short().to_owned()).unwrap_or_default();
                (format!("nothing that matters to it changed since {from}"), self.from.clone())
            }
            (Outcome::Reused, Some(Some(_))) => words("Ploomber found it up to date"),
            (Outcome::Done, Some(None)) => words("Ploomber found it out of date"),
            (Outcome::Done, Some(Some(reason))) => words(reason),
            _ => words(""),
        }
    }
}

impl Takeover {
    fn nothing(because: String, setting: BTreeMap<String, Digest>) -> Self {
        Self { because: Some(because).filter(|because| !because.is_empty()), setting, ..Self::default() }
    }

    /// For those who tell about tasks.
    pub(super) fn planned(&self) -> Planned {
        Planned {
            from: self.from.as_ref().map(|from| from.revision.commit.clone()),
            tasks: Arc::new(self.planned.clone()),
        }
    }

    /// One line for people; nothing where there was nothing to take.
    pub(super) fn in_words(&self) -> Option<String> {
        let reused = self.planned.values().filter(|reason| reason.is_none()).count();
        match (&self.from, &self.because) {
            (Some(from), _) if reused > 0 => {
                let all = self.planned.len() as u64;
                Some(format!("{reused} of {} taken over from {}", count(all, "task"), from.revision.commit.short()))
            }
            (_, Some(because)) => Some(format!("every task is executed: {because}")),
            _ => None,
        }
    }
}

/// What a search needs.
pub(super) struct Search<'a> {
    pub(super) decided: &'a Decided,
    pub(super) storage: &'a Arc<dyn Storage>,
    pub(super) inputs: &'a Inputs,
    pub(super) config: &'a Config,
    /// The image's id.
    pub(super) image: &'a str,
    /// Whether this machine knows nothing of the environment's packages.
    pub(super) unknown: bool,
}

/// An ancestor that fits, compared.
struct Prospect {
    candidate: Candidate,
    offer: Offer,
    compared: Arc<Compared>,
    decision: Decision,
}

/// Both commits, for the case that the decision has to be made again.
struct Compared {
    before: (CommitTree, Project),
    after: (CommitTree, Arc<Project>),
    changed: Vec<RelPath>,
}

impl Compared {
    fn decide(&self, offer: &Offer) -> Decision {
        reuse::decide(&Case {
            before: Side { tree: &self.before.0, project: &self.before.1 },
            after: Side { tree: &self.after.0, project: &self.after.1 },
            changed: &self.changed,
            unavailable: &offer.unavailable,
            entangled: offer.entangled.as_deref(),
        })
    }
}

/// What was found before there is a snapshot.
pub(super) struct Found {
    prospect: Result<Box<Prospect>, Takeover>,
    /// The packages of a commit that had the same environment.yml, where no tasks are taken over.
    known: Option<serde_json::Value>,
    setting: BTreeMap<String, Digest>,
}

impl Found {
    /// The lock that an earlier commit ran with, which a machine that never had this environment had better take: other
    /// versions would execute everything, and might come to something else.
    pub(super) fn lock(&self) -> Option<Lock> {
        let document = match &self.prospect {
            Ok(prospect) => &prospect.candidate.manifest.about.environment.as_ref()?.lock,
            Err(_) => self.known.as_ref()?,
        };
        let lock = Lock::parse(document);
        lock.inspect_err(|error| tracing::debug!(%error, "the lock of an earlier commit is passed over")).ok()
    }
}

/// Looks for an ancestor and decides; reads Git and the storage, writes nothing.
///
/// # Errors
/// Only when the plan cannot be written down.
pub(super) async fn search(search: &Search<'_>) -> Result<Found, Stop> {
    let plan = &search.decided.plan;
    let setting = setting(plan)?;
    let prospect = match barred(plan, search.decided.project.asks_git) {
        Some(because) => Err(because),
        None => prospect(search, &setting).await,
    };
    let prospect = prospect.map_err(|because| Takeover::nothing(because, setting.clone()));
    let known = if prospect.is_err() && search.unknown { packages(search).await } else { None };
    Ok(Found { prospect: prospect.map(Box::new), known, setting })
}

/// The packages of the nearest published commit with the same environment.yml, this one among them.
async fn packages(search: &Search<'_>) -> Option<serde_json::Value> {
    let Search { decided, storage, inputs, config, .. } = *search;
    let (plan, checkout) = (&decided.plan, Arc::clone(&decided.checkout));
    let history = tokio::task::spawn_blocking(move || checkout.ancestors(LOOKED_BACK)).await.ok()?;
    let earlier = history.map(|history| history.commits).unwrap_or_default();
    let commits: Vec<_> = std::iter::once(plan.revision.commit.clone()).chain(earlier).collect();
    reuse::packages(storage.as_ref(), &plan.project, &plan.revision, &commits, &inputs.key(config)).await
}

/// Why nothing is looked for; empty where nobody has to be told.
fn barred(plan: &RunPlan, asks_git: bool) -> Option<String> {
    if !plan.reuse {
        return Some(String::new());
    }
    if plan.revision.dirty_tree.is_some() {
        return Some("there are uncommitted changes".to_owned());
    }
    if asks_git {
        // Two commits are never the same to it.
        return Some("`{{git}}` or `{{git_hash}}` stands in the specs".to_owned());
    }
    plan.executes_anew().map(|argument| format!("`{argument}` is given to Ploomber"))
}

/// An `Err` says why there is none; empty where nobody has to be told.
async fn prospect(search: &Search<'_>, setting: &BTreeMap<String, Digest>) -> Result<Prospect, String> {
    let Search { decided, storage, inputs, config, image, .. } = *search;
    let plan = Arc::clone(&decided.plan);
    let checkout = Arc::clone(&decided.checkout);
    let lost = |error: tokio::task::JoinError| error.to_string();
    let history = tokio::task::spawn_blocking(move || checkout.ancestors(LOOKED_BACK)).await.map_err(lost)?;
    let history = history.map_err(|error| error.to_string())?;
    let now = Now { setting: setting.clone(), environment: inputs.key(config), image: image.to_owned() };
    let found = reuse::candidates(storage.as_ref(), &plan.project, &plan.revision, &history.commits, &now).await?;
    let Some(candidate) = found else { return Err(nothing_found(storage.as_ref(), &plan.project, &history).await) };
    let (checkout, project) = (Arc::clone(&decided.checkout), Arc::clone(&decided.project));
    let options = decided.options.clone();
    tokio::task::spawn_blocking(move || compare(&checkout, project, &options, candidate, &plan)).await.map_err(lost)?
}

/// Why no earlier commit is published, where a user may be taken by surprise.
async fn nothing_found(storage: &dyn Storage, project: &ProjectName, history: &Ancestors) -> String {
    let known = history.commits.len() as u64;
    // Most often the project has another name than before: it is a clone's, or was written differently.
    let first = known > 0 && storage.projects().await.is_ok_and(|projects| !projects.contains(project));
    match (first, history.shallow) {
        (true, _) => format!("nothing is published under the project `{project}` yet"),
        (false, true) => format!(
            "the clone is shallow ({} known), and none of these is published: `git fetch --unshallow`",
            count(known, "earlier commit")
        ),
        (false, false) => String::new(),
    }
}

fn compare(
    checkout: &Checkout,
    project: Arc<Project>,
    options: &validate::Options,
    candidate: Candidate,
    plan: &RunPlan,
) -> Result<Prospect, String> {
    let commit = &candidate.folder.revision.commit;
    let offer = reuse::offers(&candidate.manifest, &plan.tasks, &plan.pipeline_dir, &plan.outputs)?;
    let before = checkout.earlier(commit).map_err(|error| format!("{} cannot be read: {error}", commit.short()))?;
    let after = checkout.tree();
    let changed = after.changed_since(&before);
    let checked = validate::check(&before, &checkout.pipeline_dir, options);
    let old = checked.project.ok_or_else(|| format!("the files of {} cannot be read", commit.short()))?;
    let compared = Compared { before: (before, old), after: (after, project), changed };
    let decision = compared.decide(&offer);
    Ok(Prospect { candidate, offer, compared: Arc::new(compared), decision })
}

/// Lays the files of the tasks that were decided on into the snapshot, unless a line that no wheel of `wheels` fulfils
/// would install them.
///
/// # Errors
/// When a file lies there that must not, and cannot be removed.
pub(super) async fn lay(
    found: Found,
    decided: &Decided,
    wheels: &[(usize, PathBuf)],
    storage: &Arc<dyn Storage>,
    LaidOut { roots, layered, .. }: &LaidOut,
    owner: Option<(u32, u32)>,
    cancel: &Cancel,
) -> Result<Takeover, Stop> {
    let Found { prospect, setting, .. } = found;
    let Prospect { candidate, mut offer, compared, mut decision } = match prospect {
        Ok(prospect) => *prospect,
        Err(takeover) => return Ok(takeover),
    };
    let plan = &decided.plan;
    let wanted: BTreeMap<&str, &[reuse::Piece]> =
        decision.reused().filter_map(|task| Some((task, offer.tasks.get(task)?.as_slice()))).collect();
    let fulfilled: Vec<usize> = wheels.iter().map(|(number, _)| *number).collect();
    let files = wanted.values().flat_map(|pieces| pieces.iter().map(|piece| &piece.to));
    if let Some(because) = installed::spoilt(plan, &decided.checkout.tree(), &fulfilled, files) {
        return Ok(Takeover::nothing(because, setting));
    }
    let open = |layered: &Layered| Dir::open_ambient_dir(&layered.lower, ambient_authority());
    let beneath = layered.as_ref().map(open).transpose().map_err(|error| Stop::of(Ending::of_io(&error), &error))?;
    let (folder, beneath) = (&candidate.folder, beneath.as_ref());
    let source = reuse::Source { storage: storage.as_ref(), project: &plan.project, folder, beneath };
    let stop = || cancel.requested().is_some();
    let restored = reuse::restore(source, &wanted, roots, owner, &stop).await;
    let mut restoration = restored.map_err(|error| spoilt(&error))?;
    if !restoration.failed.is_empty() {
        offer.unavailable.append(&mut restoration.failed);
        let again = Arc::clone(&compared);
        let redone = tokio::task::spawn_blocking(move || again.decide(&offer)).await;
        decision = redone.map_err(|error| Stop::of(Ending::Internal, &error))?;
        let kept: BTreeSet<String> = decision.reused().map(str::to_owned).collect();
        reuse::remove(&mut restoration, roots, &|task| !kept.contains(task)).map_err(|error| spoilt(&error))?;
    }
    let because = common_reason(&decision);
    let lock = candidate.manifest.about.environment.as_ref().map(|environment| environment.lock.clone());
    let planned = decision.tasks.into_iter().collect();
    Ok(Takeover { from: Some(candidate.folder), lock, planned, because, restoration, setting })
}

/// The reason, where all tasks are executed for the same one.
fn common_reason(decision: &Decision) -> Option<String> {
    let reasons: BTreeSet<Option<&String>> = decision.tasks.iter().map(|(_, reason)| reason.as_ref()).collect();
    if decision.reused().next().is_some() {
        return None;
    }
    match reasons.into_iter().collect::<Vec<_>>()[..] {
        [Some(reason)] => Some(reason.clone()),
        _ => Some("each has changed, or needs one that has".to_owned()),
    }
}

fn spoilt(error: &std::io::Error) -> Stop {
    let stop = Stop::of(Ending::of_io(error), error);
    Stop { message: format!("the snapshot cannot be cleared of what was taken over: {}", stop.message), ..stop }
        .help("`--no-reuse` executes every task".to_owned())
}

impl Takeover {
    /// Gives everything back when the environment turned out to be another one: equal inputs can be solved differently.
    ///
    /// # Errors
    /// When a file stays that must not.
    pub(super) fn confirm(&mut self, lock: &serde_json::Value, roots: &Roots) -> Result<(), Stop> {
        if self.from.is_none() {
            return Ok(());
        }
        let unknown = || "nothing is known of the packages that it ran with".to_owned();
        let Some(because) = self.lock.as_ref().map_or_else(|| Some(unknown()), |then| told_apart(then, lock)) else {
            return Ok(());
        };
        reuse::remove(&mut self.restoration, roots, &|_| true).map_err(|error| spoilt(&error))?;
        self.planned.values_mut().for_each(|reason| *reason = Some(because.clone()));
        self.because = Some(because);
        Ok(())
    }

    /// Looks at what the run did: for the manifest, and for the storage.
    ///
    /// # Errors
    /// When the run's folders cannot be read.
    pub(super) fn settle(
        &self,
        decided: &Decided,
        Prepared { roots, baseline, layered, .. }: &Prepared,
        found: &Collection,
        home: &std::path::Path,
    ) -> Result<Settled, Stop> {
        let failed = |error: std::io::Error| Stop::of(Ending::Internal, &error);
        let fate = match &self.from {
            Some(from) => reuse::kept(&self.restoration.laid, from, roots),
            None => reuse::Fate::default(),
        };
        let plan = &decided.plan;
        let wanted = Wanted {
            pipeline_dir: &plan.pipeline_dir,
            tasks: &plan.tasks,
            rules: &plan.outputs,
            baseline,
            bounds: Bounds::default(),
        };
        let home = Dir::open_ambient_dir(home, ambient_authority()).map_err(failed)?;
        let origins = validate::origins(&decided.checkout.tree(), &decided.project);
        let sources = origins.into_iter().filter_map(|origin| match origin {
            Origin::File(path) => Some(path),
            _ => None,
        });
        let beneath = |path: &RelPath| layered.as_ref().is_some_and(|layered| layered.shows(path));
        let installs = !plan.local_installs.is_empty();
        let Traces { strays, unsettled } =
            traces(roots, &wanted, found, &home, &sources.collect(), installs, &beneath).map_err(failed)?;
        let reuse = ReuseNote { layout: reuse::LAYOUT, setting: self.setting.clone(), strays, unsettled };
        Ok(Settled { executed: fate.executed, same: fate.same, reuse })
    }

    /// What is to be said of a task in the manifest: whether it was taken over, why, and from where.
    pub(super) fn verdict(&self, task: &str, settled: &Settled) -> (bool, String, Option<CommitSha>) {
        let reused = matches!(self.planned.get(task), Some(None)) && !settled.executed.contains(task);
        let outcome = if reused { Outcome::Reused } else { Outcome::Done };
        let (reason, from) = self.planned().why(task, outcome);
        (reused, reason, from)
    }
}

/// What a run came to, as far as reuse is concerned.
pub(super) struct Settled {
    executed: BTreeSet<String>,
    pub(super) same: Option<Same>,
    pub(super) reuse: ReuseNote,
}

/// What else decides what tasks come to, in digests by name.
fn setting(plan: &RunPlan) -> Result<BTreeMap<String, Digest>, ScriptError> {
    let digest = |text: &str| Digest(Sha256::digest(text).into());
    let mut plain = plan.clone();
    plain.revision.commit = "0".repeat(40).parse().unwrap_or(plain.revision.commit);
    (plain.revision.sample, plain.revision.partial, plain.revision.dirty_tree) = (false, false, None);
    plain.split_streams = false;
    plain.env.clear();
    plain.secret_names.clear();
    plain.build_args.clear();
    let mut secrets = plan.secret_names.clone();
    secrets.sort();
    let said = [
        ("script", script::render(&plain)?),
        ("arguments", format!("{:?}", plan.build_args)),
        ("variables", format!("{:?}", plan.env)),
        ("secrets", format!("{secrets:?}")),
        ("mode", format!("{:?} {}", plan.mode, plan.sample_flag)),
        ("network", format!("{:?}", plan.network)),
    ];
    Ok(said.iter().map(|(name, text)| ((*name).to_owned(), digest(text))).collect())
}

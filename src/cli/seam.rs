//! Where the verbs meet the rest of the program: one function a question, so that verbs hold no wiring.
//!
//! What is not wired yet says so and ends with the internal exit code; it never pretends.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit::Exit;
use super::failure::Failure;
use crate::diag::{Diagnostic, Severity, SourceText, has_errors};
use crate::engine::{Engine, EngineInfo};
use crate::id::{ProjectName, RunId};
use crate::plan::RunPlan;
use crate::report::Reporter;
use crate::run::cancel::Cancel;
use crate::run::host::{Host, RUNNER_IMAGE};
use crate::run::request::RunRequest;
use crate::run::stop::Stop;
use crate::secret::{Secret, SecretSet};
use crate::spec::{self, Config};
use crate::store::Home;
use crate::{environment, repo, run, storage};

mod left;
pub(super) mod looked;
mod stored;

pub(super) use left::Left;
pub(super) use stored::{Pruning, Verified, Wanted, compare, download, location, storage_health, verify};

/// A decision, and what was found on the way to it.
pub(super) struct Decided<T> {
    /// All findings.
    pub findings: Vec<Diagnostic>,
    /// `None` when an error among them stands in the way.
    pub value: Option<T>,
}

/// Published outputs that are as their manifest says.
pub(super) struct Standing {
    /// Where they are.
    pub place: String,
    /// The run that left them.
    pub run: RunId,
}

/// What the engine is, what it has, and whether it sees our files.
pub(super) struct EngineFacts {
    /// What it says of itself.
    pub info: EngineInfo,
    /// The image that runs use, and whether the engine has it.
    pub image: (String, bool),
    /// Whether a container saw a file of ours, or why not; else what has to be mended before it can be tried.
    pub shares_files: Result<Result<bool, String>, &'static str>,
}

/// Runs the request to its end; events go to `reporter`, which is finished afterwards.
pub(super) fn run(request: &RunRequest, home: &Home, reporter: Box<dyn Reporter>) -> Result<Exit, Failure> {
    super::drive::run(request, &host(home)?, reporter, &super::signals::hear(None)?)
}

/// As [`run`], for somebody who hears signals already; what is kept for later runs is kept in `keep`, where that is given.
pub(super) fn run_within(
    request: &RunRequest,
    home: &Home,
    keep: Option<&Path>,
    reporter: Box<dyn Reporter>,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let mut host = host(home)?;
    if let Some(keep) = keep {
        host.home = Home::at(keep);
    }
    super::drive::run(request, &host, reporter, cancel)
}

/// What a run would do. Where all that it lacks is a storage, it is told with what can be said of the rest.
pub(super) fn plan(request: &RunRequest, home: &Home) -> Result<Decided<RunPlan>, Failure> {
    let decided = planned(request, home)?;
    let Some(lacking) = lacks_storage_only(&decided.findings) else { return Ok(decided) };
    // Where outputs would go says nothing about how they are made.
    let stand_in = RunRequest { storage: Some("local:artifacts".to_owned()), ..request.clone() };
    let Decided { mut findings, value } = planned(&stand_in, home)?;
    findings.push(lacking);
    Ok(Decided { findings, value: value.map(|plan| RunPlan { storage: String::new(), ..plan }) })
}

/// The finding that no storage is given, where no other error stands in the way.
fn lacks_storage_only(findings: &[Diagnostic]) -> Option<Diagnostic> {
    let errors: Vec<&Diagnostic> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    match errors[..] {
        [only] if only.code == "plan/no-storage" => Some(only.clone()),
        _ => None,
    }
}

/// The plan of a run. Secrets are looked at, as a run does before anything else.
fn planned(request: &RunRequest, home: &Home) -> Result<Decided<RunPlan>, Failure> {
    let Decided { mut findings, value } = decide(request, home, |decided| decided)?;
    let Some(decided) = value else { return Ok(Decided { findings, value: None }) };
    // A run sees it when it writes the commit out.
    decided.checkout.check_lfs().map_err(Stop::from)?;
    findings.extend(run::decide::judge_secrets(&decided.secrets));
    let value = (!has_errors(&findings)).then(|| RunPlan::clone(&decided.plan));
    Ok(Decided { findings, value })
}

/// The secrets that a run of the request gets, whichever file names them. Of one that cannot be had the run tells.
pub(super) fn secrets(request: &RunRequest, home: &Home) -> Result<Vec<Secret>, Failure> {
    let named = decide(request, home, |decided| decided.secrets)?.value.unwrap_or_default();
    Ok(named.iter().filter_map(|spec| spec.resolve().ok()).collect())
}

/// The project that a run of the request publishes to.
pub(super) fn project(request: &RunRequest, home: &Home) -> Result<ProjectName, Failure> {
    let decided = decide(request, home, |decided| decided.plan.project.clone())?;
    decided.value.ok_or_else(|| Failure::new(Exit::InvalidSpec, "the project cannot run"))
}

/// The script of a run.
pub(super) fn script(request: &RunRequest, home: &Home) -> Result<Decided<String>, Failure> {
    decide(request, home, |decided| decided.script)
}

/// Decides as a run would. Findings with errors are a decision too; everything else that stops it is a failure.
fn decide<T>(
    request: &RunRequest,
    home: &Home,
    take: impl FnOnce(run::decide::Decided) -> T,
) -> Result<Decided<T>, Failure> {
    let host = host(home)?;
    let published = run::runner::published_here(request, &host);
    let checkout = Arc::new(repo::open_without(&request.path, request.allow_dirty, &published).map_err(Stop::from)?);
    let mut findings = checkout.notes.clone();
    match run::decide::decide(&checkout, request, &host, &mut findings) {
        Ok(decided) => Ok(Decided { findings, value: Some(take(decided)) }),
        Err(_) if has_errors(&findings) => Ok(Decided { findings, value: None }),
        Err(stop) => Err(stop.into()),
    }
}

/// What a run of the request would publish, if it lies in the storage already and all of it is as its manifest says.
pub(super) async fn standing(request: RunRequest, home: Home) -> Result<Option<Standing>, Failure> {
    let access = host(&home)?.access()?;
    let what = move || {
        decide(&request, &home, |decided| {
            (decided.location.clone(), decided.plan.project.clone(), storage::Folder::of(&decided.plan.revision))
        })
    };
    let decided = tokio::task::spawn_blocking(what).await.map_err(|error| Failure::of(Exit::Internal, &error))??;
    let Some((location, project, folder)) = decided.value else { return Ok(None) };
    let storage = location.open(&access).map_err(Stop::from)?;
    if !storage.folders(&project).await.map_err(Stop::from)?.contains(&folder) {
        return Ok(None);
    }
    let report = storage::verify::verify(&*storage, &project, &folder, &()).await.map_err(Stop::from)?;
    if !report.is_sound() {
        return Ok(None);
    }
    let about = storage.expected_manifest(&project, &folder).await.map_err(Stop::from)?.about;
    let place = format!("{}/{project}/{folder}", storage.place().trim_start_matches("local:"));
    Ok(Some(Standing { place, run: about.run }))
}

/// The environment that a run of the request would use. Changes nothing.
pub(super) fn environment_of(request: &RunRequest, home: &Home) -> Result<Decided<environment::Verdict>, Failure> {
    let host = host(home)?;
    let decided = decide(request, home, |decided| decided)?;
    let Some(project) = decided.value else { return Ok(Decided { findings: decided.findings, value: None }) };
    // A secret that is not set here matters only where a channel's address has it, and is named there.
    let secrets = SecretSet::resolve(&project.secrets).unwrap_or_default();
    let config = run::host::environment_config(&host)?;
    let inputs = project.inputs(&config, &secrets)?;
    let verdict = match environments(home)? {
        Some(store) => store.judge(&inputs, &config).map_err(Stop::from)?,
        None => environment::Verdict::unbuilt(&inputs, &config),
    };
    Ok(Decided { findings: decided.findings, value: Some(verdict) })
}

/// The store of environments with this machine's limits; `None` where nothing was ever built.
pub(super) fn environments(home: &Home) -> Result<Option<environment::Store>, Failure> {
    let folder = home.environments();
    if !folder.join("keys").is_dir() {
        return Ok(None);
    }
    let store = environment::Store::open(&folder).map_err(Stop::from)?;
    Ok(Some(store.keeping(run::host::keep(&host(home)?))))
}

/// Removes volumes of environments that are gone from the engine that answers here; returns how many went.
pub(super) fn sweep_volumes(store: &environment::Store, home: &Home) -> Result<usize, Failure> {
    let host = host(home)?;
    block_on(async {
        let engine = (host.connect)().await?;
        Ok(store.sweep_volumes(engine.as_ref()).await.map_err(Stop::from)?)
    })
}

/// What this machine keeps of environments.
pub(super) fn keep(home: &Home) -> Result<environment::Keep, Failure> {
    Ok(run::host::keep(&host(home)?))
}

/// Folders that live containers are shown, or why that cannot be told.
pub(super) fn shown(home: &Home) -> Result<Vec<PathBuf>, Failure> {
    let host = host(home)?;
    block_on(async { Ok((host.connect)().await?.shown().await?) })
}

/// Codes of all rules, and what each is about.
pub(super) fn rules() -> Vec<(&'static str, &'static str)> {
    crate::validate::rules().into_iter().map(|rule| (rule.code, rule.about)).collect()
}

fn current_dir() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| Failure::of(Exit::Internal, &error))
}

pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::of(Exit::Internal, &error))?;
    runtime.block_on(work)
}

/// This machine, with the user's settings for it.
pub(super) fn host(home: &Home) -> Result<Host, Failure> {
    Ok(Host::this(home.clone(), config(home)?.unwrap_or_default(), current_dir()?))
}

/// The user's settings; `None` when there are none.
pub(super) fn config(home: &Home) -> Result<Option<Config>, Failure> {
    let path = home.config();
    let text = match fs_err::read_to_string(path) {
        Ok(text) => text,
        // Below what is no folder, as `HOME=/dev/null`, there is none either.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(Failure::of(Exit::Usage, &error)),
    };
    let source = Arc::new(SourceText { name: path.display().to_string(), text });
    let (document, mut findings) = spec::yaml::parse(&source);
    let config = document.map(|document| {
        let (config, more) = spec::config::read(&document, &source);
        findings.extend(more);
        config
    });
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let failure = Failure::new(Exit::Usage, format!("`{}` is not understood", path.display()));
    let failure = errors.map(line_of).fold(failure, Failure::why);
    if failure.why.is_empty() { Ok(config) } else { Err(failure) }
}

pub(super) fn line_of(finding: &Diagnostic) -> String {
    let line = finding.line_column().map(|(line, _)| format!("line {line}: ")).unwrap_or_default();
    format!("{line}{}", finding.message)
}

/// Whether the engine has an image.
pub(super) fn has_image(reference: &str, home: &Home) -> Result<bool, Failure> {
    let host = host(home)?;
    block_on(async {
        let engine = (host.connect)().await?;
        Ok(engine.find_image(reference).await?.is_some())
    })
}

/// Asks the engine what it is, and shows a file to one of its containers.
pub(super) fn engine(home: &Home) -> Result<EngineFacts, Failure> {
    let host = host(home)?;
    block_on(async {
        let engine = (host.connect)().await?;
        let info = engine.info().await?;
        let wanted = host.config.image.as_ref().map_or(RUNNER_IMAGE, |image| &image.value);
        let image = engine.find_image(wanted).await?;
        let shares_files = match &image {
            Some(image) => shares_files(engine.as_ref(), home, &image.id).await,
            None => Err("the image is here"),
        };
        Ok(EngineFacts { info, image: (wanted.to_owned(), image.is_some()), shares_files })
    })
}

async fn shares_files(engine: &dyn Engine, home: &Home, image: &str) -> Result<Result<bool, String>, &'static str> {
    let folder = home.environments();
    // A file is put there for the container to see: where that fails, the engine is not to blame.
    let writable = fs_err::create_dir_all(&folder).and_then(|()| tempfile::tempfile_in(&folder).map(drop));
    writable.map_err(|_| "the folder for the cache can be written")?;
    Ok(engine.shares_files(&folder, image).await.map_err(|error| error.to_string()))
}

/// Where this machine gets packages.
pub(super) fn packages(home: &Home) -> Result<environment::Config, Failure> {
    Ok(run::host::environment_config(&host(home)?)?)
}

/// How this machine reaches services: proxies and the CA bundle, as its variables and settings say.
pub(super) fn reach(home: &Home) -> Result<crate::web::Reach, Failure> {
    Ok(host(home)?.access()?.reach)
}

/// Every storage that has a name here.
pub(super) fn remotes(home: &Home) -> Result<storage::Remotes, Failure> {
    Ok(host(home)?.remotes())
}

/// Where the user's settings for this machine are; `None` when there are none.
pub(super) fn settings(home: &Home) -> Result<Option<String>, Failure> {
    let config = config(home)?;
    Ok(config.map(|_| home.config().display().to_string()))
}

//! `soopervisor action`: the entry of the GitHub Action. Reads what the runner says, runs what is decided, tells it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;

use super::args::{Cli, Verb};
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{run, seam, signals};
use crate::comment::escape::prose;
use crate::comment::{Limit, render};
use crate::gha::{
    self, Answer, Carried, Decision, Errand, Files, GhaError, Order, Outputs, Poster, Progress, Reason, State, Told,
    Trust,
};
use crate::plan::Mode;
use crate::report::{self, Reporter};
use crate::run::cancel::Cancel;
use crate::run::card::Card;
use crate::run::event::{RunEvent, Step};
use crate::run::request::RunRequest;
use crate::secret::{Secret, SecretSet, SecretSpec};
use crate::store::Home;

mod look;

/// The runner asks with SIGINT, after 7.5 s with SIGTERM, and kills 2.5 s later: a pipeline that does not listen is
/// killed in time for its container to be cleared away and the end to be told.
const PATIENCE: Duration = Duration::from_secs(4);

/// How a start of the Action ended of which the runner's files tell.
type Ended = Result<Exit, Failure>;

/// One start of the Action.
struct Job<'a> {
    errand: Errand,
    files: &'a Files,
    home: Home,
    console: Console,
    /// What the runner's signals asked for, from the beginning of the job to its end.
    cancel: Cancel,
}

impl Job<'_> {
    /// Does what takes long, unless the runner cancels the job meanwhile.
    fn unless_cancelled<T>(&self, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        signals::unless(&self.cancel, "stopped before it began", work)
    }
}

pub(super) fn execute(console: Console) -> Result<Exit, Failure> {
    let files = Files::read(&variable);
    let ended = begin(&files, console).unwrap_or_else(|failure| {
        unbegun(&failure, &files);
        Err(failure)
    });
    ended.inspect_err(|failure| Console::answer(&command("error", &in_words(failure))))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What happened and why, and what to do.
fn in_words(failure: &Failure) -> String {
    let help = failure.help.iter().map(|help| format!("help: {help}"));
    std::iter::once(failure.what.clone()).chain(failure.why.iter().cloned()).chain(help).collect::<Vec<_>>().join("\n")
}

/// It is not even known what is to be run: later steps and the job's page learn why.
fn unbegun(failure: &Failure, files: &Files) {
    let status = State::of_exit(failure.exit.code()).word();
    let words: Vec<String> = in_words(failure).lines().map(|line| prose(line, 1_000)).collect();
    let summary = format!("### ❌ soopervisor: {status} before anything ran\n\n{}\n", words.join("\n\n"));
    write(files, &Outputs { status: status.to_owned(), ..Outputs::default() }, Some(&summary));
}

/// Reads, decides, and does it. The error is of what comes before the runner's files are written.
fn begin(files: &Files, console: Console) -> Result<Ended, Failure> {
    let cancel = signals::hear(Some(PATIENCE))?;
    let home = Home::from_env()?;
    let errand = Errand::read(&variable, seam::reach(&home)?)?;
    Console::answer(&gha::masks(&hidden(&errand)));
    let job = Job { errand, files, home, console, cancel };
    let decision = job.unless_cancelled(async { Ok(job.errand.decide().await?) })?;
    match decision {
        Decision::Run(order) => in_turn(&job, &order, false),
        Decision::Done(order) => match standing(&job, &order) {
            Ok(Some(standing)) => already(&job, order, standing),
            // Should something be wrong, the run says it better.
            Ok(None) => in_turn(&job, &order, true),
            Err(failure) if failure.exit == Exit::Cancelled => Err(failure),
            Err(failure) => {
                warn(&[format!("whether its outputs are still there cannot be told: {}", failure.what)]);
                in_turn(&job, &order, true)
            }
        },
        other => answer(&job, &other),
    }
}

/// Every secret that is known before anything is asked: nothing that holds one may be printed earlier.
fn hidden(errand: &Errand) -> Vec<Secret> {
    const TELLING: [&str; 7] = ["TOKEN", "SECRET", "PASSWORD", "PASSPHRASE", "KEY", "CREDENTIAL", "JWT"];
    let mut set = SecretSet::default();
    for secret in errand.inputs.hidden() {
        set.hide(secret.name(), secret.expose());
    }
    // One that is not set is told when it is needed.
    let specs = errand.inputs.secrets.iter().filter_map(|text| text.parse::<SecretSpec>().ok());
    for secret in specs.filter_map(|spec| spec.resolve().ok()) {
        set.hide(secret.name(), secret.expose());
    }
    for (name, value) in std::env::vars() {
        let ours = ["SOOPERVISOR_", "AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
        // Of proxies and package indexes.
        for password in gha::passwords(&value) {
            set.hide(name.clone(), password.as_bytes());
        }
        if ours && TELLING.iter().any(|word| name.contains(word)) {
            set.hide(name, value.as_bytes());
        }
    }
    set.mask_only
}

/// Nothing is run.
fn answer(job: &Job<'_>, decision: &Decision) -> Result<Ended, Failure> {
    let answer = job.unless_cancelled(async { Ok(job.errand.answer(decision).await) })?;
    let target = matches!(decision, Decision::Refuse(Reason::Target));
    Console::answer(&command(if target { "error" } else { "notice" }, &answer.text));
    warn(&answer.faults);
    let summary = nothing_ran(decision, &answer, target);
    write(job.files, &Outputs { status: answer.status.to_owned(), ..Outputs::default() }, Some(&summary));
    // A refusal is an answer; a workflow that can only ever be refused is set up wrongly.
    Ok(Ok(if target { Exit::Usage } else { Exit::Ok }))
}

/// What the job's page says where nothing is run.
fn nothing_ran(decision: &Decision, answer: &Answer, failed: bool) -> String {
    let words = match decision {
        // These are Markdown, as comments show them.
        Decision::Refuse(_) | Decision::Ignore(_) => format!("Nothing was run: {}", answer.text),
        // An error among them may quote anything.
        _ => prose(&answer.text, 1_000),
    };
    format!("### {}soopervisor: {}\n\n{words}.\n", if failed { "❌ " } else { "" }, answer.status)
}

/// What was published for the very same command, if all of it is still as it was.
fn standing(job: &Job<'_>, order: &Order) -> Result<Option<seam::Standing>, Failure> {
    let asked = variables()?;
    job.unless_cancelled(async {
        let request = job.errand.request(order, asked).await?;
        seam::standing(request, job.home.clone()).await
    })
}

/// Nothing is run: later steps get what an earlier run left.
fn already(job: &Job<'_>, order: Order, standing: seam::Standing) -> Result<Ended, Failure> {
    let (commit, mode) = (order.commit.to_string(), mode_of(order.mode));
    let answer = job.unless_cancelled(async { Ok(job.errand.answer(&Decision::Done(order)).await) })?;
    Console::answer(&command("notice", &format!("{}: {}", answer.text, standing.place)));
    warn(&answer.faults);
    let outputs = Outputs {
        run_id: standing.run.to_string(),
        commit,
        mode,
        manifest_path: format!("{}/manifest.json", standing.place),
        artifact_url: standing.place,
        status: answer.status.to_owned(),
    };
    write(job.files, &outputs, Some(&format!("{}.\n", answer.text)));
    Ok(Ok(Exit::Ok))
}

fn mode_of(mode: Mode) -> String {
    if mode == Mode::Sample { "sample" } else { "full" }.to_owned()
}

/// Runs it, unless another command of its kind came first. `again` where it was run before.
fn in_turn(job: &Job<'_>, order: &Order, again: bool) -> Result<Ended, Failure> {
    let claim = job.unless_cancelled(async { Ok(job.errand.claim(order.mode, again).await) })?;
    warn(&claim.faults);
    match claim.lost {
        Some(reason) => answer(job, &Decision::Refuse(reason)),
        None => carry_out(job, order),
    }
}

fn carry_out(job: &Job<'_>, order: &Order) -> Result<Ended, Failure> {
    let progress = job.errand.progress(order)?;
    let post = job.errand.post(order);
    let poster = post.map(|post| Poster::start(post, progress.told().clone(), job.cancel.clone())).transpose();
    // Nobody is told, and the run goes on.
    let poster = poster.unwrap_or_else(|error| {
        warn(&[format!("nobody is told how it goes: {error}")]);
        None
    });
    let progress = Arc::new(Mutex::new(progress));
    let ended = execute_order(job, order, &progress, poster.as_ref());
    let mut last = lock(&progress).clone();
    match &ended {
        Ok(ran) => {
            if ran.exit == Exit::Ok {
                warn(&look::look(job, order, &ran.request, last.report()));
            }
            last.end(State::of_exit(ran.exit.code()), None);
        }
        Err(failure) => {
            if failure.exit != Exit::Cancelled {
                last.report().card.get_or_insert_with(|| card(failure));
            }
            last.end(State::of_exit(failure.exit.code()), Some(&failure.what));
        }
    }
    let faults = poster.map(|poster| poster.finish(last.told().clone())).unwrap_or_default();
    warn(&faults);
    write(job.files, &outputs(last.told()), Some(&render(&last.told().report, Limit::SUMMARY)));
    let ended = ended.map(|ran| ran.exit);
    // A job that fails saves no cache.
    if let (Ok(Exit::Ok), Some(carried)) = (&ended, carried(job, order)) {
        let sent =
            signals::unless(&job.cancel, "the job was cancelled: its environments are not for the cache", async {
                Ok(apart(move || carried.send()).await?)
            });
        warn(&sent.err().map(|failure| in_words(&failure)).into_iter().collect::<Vec<_>>());
    }
    Ok(ended)
}

/// Does what blocks where whoever asks us to stop does not wait for it.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, GhaError> + Send + 'static) -> Result<T, GhaError> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}

/// Why there was no run, where a run would say why it failed.
fn card(failure: &Failure) -> Card {
    let why = std::iter::once(&failure.what).chain(&failure.why);
    Card {
        step: Step::Checkout,
        task: None,
        exit: None,
        reason: why.map(String::as_str).collect::<Vec<_>>().join("\n"),
        place: None,
        trace: Vec::new(),
        last_lines: Vec::new(),
        diagnosis: None,
        hint: failure.help.clone(),
        reproduce: None,
        log_path: None,
        log_cut: None,
        kept: None,
        again: None,
    }
}

/// What a workflow's cache brings and takes; a fork's code has nothing of it.
fn carried(job: &Job<'_>, order: &Order) -> Option<Carried> {
    Carried::of(&job.errand.context, job.home.environments(), order.trust)
}

/// A run that came to its end.
struct Ran {
    exit: Exit,
    /// What was run; its path is a folder of a work tree that holds the commit and what is above it.
    request: RunRequest,
}

fn execute_order(
    job: &Job<'_>,
    order: &Order,
    progress: &Arc<Mutex<Progress>>,
    poster: Option<&Poster>,
) -> Result<Ran, Failure> {
    let request = prepared(job, order)?;
    if !request.path.is_dir() {
        let path = job.errand.inputs.path.to_string();
        return Err(Failure::new(Exit::Usage, format!("`{}` has no folder `{path}`", order.commit))
            .help("the input `path` names the folder of the repository that holds pipeline.yaml"));
    }
    if let Some(carried) = carried(job, order) {
        let brought = job.unless_cancelled(async { Ok(apart(move || carried.arrive()).await?) })?;
        warn(&brought.map(str::to_owned).into_iter().collect::<Vec<_>>());
    }
    hide_more(job, &request)?;
    let inner = report::open(report::Format::GitHub, job.console.stdout(), &run::token()?);
    let telling = Telling { inner, progress: Arc::clone(progress), sender: poster.map(Poster::sender) };
    let keep = (order.trust == Trust::Fork).then(|| job.errand.fork_home());
    let exit = seam::run_within(&request, &job.home, keep.as_deref(), Box::new(telling), &job.cancel)?;
    Ok(Ran { exit, request })
}

/// Tells the runner of secrets that only the request, or GitHub, brought: before the run, as between two of its lines
/// the runner may be hearing no commands.
fn hide_more(job: &Job<'_>, request: &RunRequest) -> Result<(), Failure> {
    let secrets = job.unless_cancelled(async {
        let mut secrets: Vec<Secret> = job.errand.minted().await.into_iter().collect();
        if !request.no_secrets {
            let (request, home) = (request.clone(), job.home.clone());
            let named = tokio::task::spawn_blocking(move || seam::secrets(&request, &home)).await;
            // What is wrong with the project is said by the run.
            secrets.extend(named.map_err(|error| Failure::of(Exit::Internal, &error))?.unwrap_or_default());
        }
        Ok(secrets)
    })?;
    Console::answer(&gha::masks(&secrets));
    Ok(())
}

/// The request, unless the runner cancels the job before it is there.
fn prepared(job: &Job<'_>, order: &Order) -> Result<RunRequest, Failure> {
    let asked = variables()?;
    job.unless_cancelled(async { Ok(job.errand.request(order, asked).await?) })
}

/// What `SOOPERVISOR_…` variables ask for, as for `soopervisor run`.
fn variables() -> Result<RunRequest, Failure> {
    let cli = Cli::try_parse_from(["soopervisor", "run", "."]).map_err(|error| {
        let text = error.to_string();
        Failure::new(Exit::Usage, text.lines().next().unwrap_or_default().trim_start_matches("error: "))
    })?;
    match cli.verb {
        Verb::Run(run) => Ok(run.request()),
        _ => Ok(RunRequest::default()),
    }
}

/// Draws for the log and keeps what is told.
struct Telling {
    inner: Box<dyn Reporter>,
    progress: Arc<Mutex<Progress>>,
    sender: Option<tokio::sync::watch::Sender<Told>>,
}

impl Reporter for Telling {
    fn event(&mut self, event: &RunEvent) {
        self.inner.event(event);
        let mut progress = lock(&self.progress);
        if progress.take(event)
            && let Some(sender) = &self.sender
        {
            // The poster is gone only where it panicked.
            let _ = sender.send(progress.told().clone());
        }
    }

    fn finish(&mut self) {
        self.inner.finish();
    }
}

fn lock(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

fn outputs(told: &Told) -> Outputs {
    let report = &told.report;
    let location = report.published.as_ref().map(|published| published.location.clone()).unwrap_or_default();
    let manifest = if location.is_empty() { String::new() } else { format!("{location}/manifest.json") };
    Outputs {
        run_id: report.run.as_ref().map(ToString::to_string).unwrap_or_default(),
        commit: report.commit.to_string(),
        mode: mode_of(report.mode),
        artifact_url: location,
        manifest_path: manifest,
        status: told.state.word().to_owned(),
    }
}

/// Hands on what later steps and the job's page show; a failure to do so changes no result.
fn write(files: &Files, outputs: &Outputs, summary: Option<&str>) {
    let written = files.write_outputs(outputs);
    let shown = summary.map_or(Ok(()), |summary| files.write_summary(summary));
    let faults: Vec<String> = [written, shown].into_iter().filter_map(|done| Some(done.err()?.to_string())).collect();
    warn(&faults);
}

fn warn(faults: &[String]) {
    for fault in faults {
        Console::answer(&command("warning", fault));
    }
}

/// A workflow command with a text that cannot end it.
fn command(name: &str, text: &str) -> String {
    let data = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    format!("::{name} title=soopervisor::{data}\n")
}

impl From<GhaError> for Failure {
    fn from(error: GhaError) -> Self {
        let exit = match &error {
            GhaError::NoRunner(_) | GhaError::Input { .. } => Exit::Usage,
            _ => Exit::Internal,
        };
        Self::of(exit, &error)
    }
}

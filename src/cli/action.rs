//! `soopervisor action`: the entry of the GitHub Action. Reads what the runner says, runs what is decided, tells it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Cli, Verb};
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{run, seam};
use crate::comment::escape::prose;
use crate::comment::{Limit, Report, render};
use crate::gha::{
    self, Carried, Decision, Errand, Files, GhaError, Order, Outputs, Poster, Progress, Reason, State, Told, Trust,
};
use crate::plan::Mode;
use crate::report::{self, Reporter};
use crate::run::card::Card;
use crate::run::event::{RunEvent, Step};
use crate::run::request::RunRequest;
use crate::secret::{SecretSet, SecretSpec};
use crate::store::Home;

/// The runner asks with SIGINT, after 7.5 s with SIGTERM, and kills 2.5 s later: a pipeline that does not listen is
/// killed in time for its container to be cleared away and the end to be told.
const PATIENCE: Duration = Duration::from_secs(4);

/// How a start of the Action ended of which the runner's files tell.
type Ended = Result<Exit, Failure>;

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
    let home = Home::from_env()?;
    let errand = Errand::read(&variable, seam::reach(&home)?)?;
    Console::answer(&gha::masks(&hidden(&errand)));
    let decision = seam::block_on(async { Ok(errand.decide().await?) })?;
    match decision {
        Decision::Run(order) => in_turn(&errand, &order, false, files, &home, console),
        Decision::Done(order) => match standing(&errand, &order, &home) {
            Ok(Some(standing)) => already(&errand, order, standing, files),
            // Should something be wrong, the run says it better.
            Ok(None) => in_turn(&errand, &order, true, files, &home, console),
            Err(failure) if failure.exit == Exit::Cancelled => Err(failure),
            Err(failure) => {
                warn(&[format!("whether its outputs are still there cannot be told: {}", failure.what)]);
                in_turn(&errand, &order, true, files, &home, console)
            }
        },
        other => answer(&errand, &other, files),
    }
}

/// Every secret that is known before anything runs: nothing that holds one may be printed earlier.
fn hidden(errand: &Errand) -> Vec<crate::secret::Secret> {
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
        if ours && TELLING.iter().any(|word| name.contains(word)) {
            set.hide(name, value.as_bytes());
        }
    }
    set.mask_only
}

/// Nothing is run.
fn answer(errand: &Errand, decision: &Decision, files: &Files) -> Result<Ended, Failure> {
    let answer = seam::block_on(async { Ok(errand.answer(decision).await) })?;
    let target = matches!(decision, Decision::Refuse(Reason::Target));
    Console::answer(&command(if target { "error" } else { "notice" }, &answer.text));
    warn(&answer.faults);
    write(files, &Outputs { status: answer.status.to_owned(), ..Outputs::default() }, None);
    // A refusal is an answer; a workflow that can only ever be refused is set up wrongly.
    Ok(Ok(if target { Exit::Usage } else { Exit::Ok }))
}

/// What was published for the very same command, if all of it is still as it was.
fn standing(errand: &Errand, order: &Order, home: &Home) -> Result<Option<seam::Standing>, Failure> {
    let asked = variables()?;
    unless_cancelled(async {
        let request = errand.request(order, asked).await?;
        seam::standing(request, home.clone()).await
    })
}

/// Nothing is run: later steps get what an earlier run left.
fn already(errand: &Errand, order: Order, standing: seam::Standing, files: &Files) -> Result<Ended, Failure> {
    let (commit, mode) = (order.commit.to_string(), mode_of(order.mode));
    let answer = seam::block_on(async { Ok(errand.answer(&Decision::Done(order)).await) })?;
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
    write(files, &outputs, Some(&format!("{}.\n", answer.text)));
    Ok(Ok(Exit::Ok))
}

fn mode_of(mode: Mode) -> String {
    if mode == Mode::Sample { "sample" } else { "full" }.to_owned()
}

/// Runs it, unless another command of its kind came first. `again` where it was run before.
fn in_turn(
    errand: &Errand,
    order: &Order,
    again: bool,
    files: &Files,
    home: &Home,
    console: Console,
) -> Result<Ended, Failure> {
    let claim = unless_cancelled(async { Ok(errand.claim(order.mode, again).await) })?;
    warn(&claim.faults);
    match claim.lost {
        Some(reason) => answer(errand, &Decision::Refuse(reason), files),
        None => carry_out(errand, order, files, home, console),
    }
}

fn carry_out(errand: &Errand, order: &Order, files: &Files, home: &Home, console: Console) -> Result<Ended, Failure> {
    let progress = errand.progress(order)?;
    let poster = errand.post(order).map(|post| Poster::start(post, progress.told().clone())).transpose();
    // Nobody is told, and the run goes on.
    let poster = poster.unwrap_or_else(|error| {
        warn(&[format!("nobody is told how it goes: {error}")]);
        None
    });
    let progress = Arc::new(Mutex::new(progress));
    let ended = execute_order(errand, order, home, console, &progress, poster.as_ref());
    let mut last = lock(&progress).clone();
    match &ended {
        Ok(exit) => {
            if *exit == Exit::Ok {
                look(errand, order, home, last.report());
            }
            last.end(State::of_exit(exit.code()), None);
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
    write(files, &outputs(last.told()), Some(&render(&last.told().report, Limit::SUMMARY)));
    if let (Ok(Exit::Ok), Some(carried)) = (&ended, carried(errand, order, home)) {
        // A job that fails saves no cache.
        warn(&carried.send().err().map(|error| error.to_string()).into_iter().collect::<Vec<_>>());
    }
    Ok(ended)
}

/// Why there was no run, where a run would say why it failed.
fn card(failure: &Failure) -> Card {
    let why = std::iter::once(&failure.what).chain(&failure.why);
    Card {
        step: Step::Checkout,
        task: None,
        exit: None,
        reason: why.map(String::as_str).collect::<Vec<_>>().join("\n"),
        last_lines: Vec::new(),
        diagnosis: None,
        hint: failure.help.clone(),
        reproduce: None,
        log_path: None,
        kept: None,
        again: None,
    }
}

/// What a workflow's cache brings and takes; a fork's code has nothing of it.
fn carried(errand: &Errand, order: &Order, home: &Home) -> Option<Carried> {
    Carried::of(&errand.context, home.environments(), order.trust)
}

/// The pictures among the outputs, and what the pull request changes in them; where that cannot be told, why.
fn look(errand: &Errand, order: &Order, home: &Home, report: &mut Report) {
    let Some(run) = report.run.clone() else { return };
    if order.trust == Trust::Fork {
        let home = Home::at(&errand.fork_home());
        report.previews = seam::pictures(&home, &run).unwrap_or_default();
        report.no_base = Some("a fork's outputs are in a place of their own and are not compared".to_owned());
        return;
    }
    if let Some(base) = &order.base {
        match seam::compare_with_base(home, &run, &base.commit) {
            Ok((comparison, previews)) => {
                report.comparison = Some(comparison);
                report.previews = previews;
                return;
            }
            Err(failure) => {
                let what = format!("the base commit {} has no such run here: {}", base.commit.short(), failure.what);
                report.no_base = Some(what);
            }
        }
    }
    // A storage that cannot be read any more is told by what else asks it.
    report.previews = seam::pictures(home, &run).unwrap_or_default();
}

fn execute_order(
    errand: &Errand,
    order: &Order,
    home: &Home,
    console: Console,
    progress: &Arc<Mutex<Progress>>,
    poster: Option<&Poster>,
) -> Result<Exit, Failure> {
    let request = prepared(errand, order)?;
    if !request.path.is_dir() {
        let path = errand.inputs.path.to_string();
        return Err(Failure::new(Exit::Usage, format!("`{}` has no folder `{path}`", order.commit))
            .help("the input `path` names the folder of the repository that holds pipeline.yaml"));
    }
    let brought = carried(errand, order, home).map(|carried| carried.arrive()).transpose()?.flatten();
    warn(&brought.map(str::to_owned).into_iter().collect::<Vec<_>>());
    let inner = report::open(report::Format::GitHub, console.stdout(), &run::token()?);
    let telling = Telling { inner, progress: Arc::clone(progress), sender: poster.map(Poster::sender) };
    let keep = (order.trust == Trust::Fork).then(|| errand.fork_home());
    seam::run_within(&request, home, keep.as_deref(), Box::new(telling), PATIENCE)
}

/// The request, unless the runner cancels the job before it is there.
fn prepared(errand: &Errand, order: &Order) -> Result<RunRequest, Failure> {
    let asked = variables()?;
    unless_cancelled(async { Ok(errand.request(order, asked).await?) })
}

/// Does what comes before a run, unless the runner cancels the job meanwhile.
fn unless_cancelled<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::of(Exit::Internal, &error))?;
    let done = runtime.block_on(async {
        let heard = |kind| signal(kind).map_err(|error| Failure::of(Exit::Internal, &error));
        let (mut interrupt, mut terminate) = (heard(SignalKind::interrupt())?, heard(SignalKind::terminate())?);
        tokio::select! {
            done = work => done,
            _ = interrupt.recv() => Err(Failure::new(Exit::Cancelled, "stopped before it began")),
            _ = terminate.recv() => Err(Failure::new(Exit::Cancelled, "stopped before it began")),
        }
    });
    // A git that still fetches must not hold up the exit.
    runtime.shutdown_background();
    done
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

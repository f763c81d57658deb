//! The whole line for one request: checkout, validate, prepare, execute, collect, publish, report.
//!
//! Every mode ends here. Whatever happens, the container is gone, the record is written and the last event is told.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::ahead::Early;
use super::cancel::{Cancel, CancelReason, Urgency};
use super::card::Published;
use super::container::Shape;
use super::decide::{Decided, decide};
use super::deliver;
use super::ending::Ending;
use super::event::{Outcome, RunEvent, Step};
use super::execute::Clearing;
use super::finish::{self, Finished, Kept};
use super::frozen;
use super::given_away;
use super::guess;
use super::host::Host;
use super::pipeline::{Ran, Setting, Syncing, run_script};
use super::prepare::{Approach, Place, Prepared, Wanted, approach, prepare};
use super::request::RunRequest;
use super::stop::Stop;
use super::telling::Telling;
use crate::environment::{Config, Inputs, Network, network_env};
use crate::id::ProjectName;
use crate::logs::Masker;
use crate::logs::mask::canary;
use crate::outputs::Collection;
use crate::plan::Limits;
use crate::repo::{self, Checkout};
use crate::secret::SecretSet;
use crate::storage::{Location, Publication, Storage, patience};
use crate::store::{LiveRun, Record, Runs};

/// Runs a request to its end. Only what cannot even be recorded comes back as a stop.
///
/// # Errors
/// When there is no commit to run, or no place to record it.
pub async fn run(request: &RunRequest, host: &Host, telling: Telling, cancel: &Cancel) -> Result<Finished, Stop> {
    let since = Instant::now();
    let (approach, answering) = approach(host);
    let checkout = Arc::new(open(request, host).await?);
    let runs = Runs::of(&host.home);
    let live = runs.create((host.clock)(), &checkout.revision.commit)?;
    let mut kept = Kept::begin(&live, &checkout, request, (host.clock)());
    // As it was typed it would mean another folder to whoever reads it elsewhere.
    if let Some(folder) = published_here(request, host).pop() {
        kept.record.storage = Location::Local(folder).to_string();
    }
    live.save(&kept.record)?;
    let title = format!("{} at {}", named(request, &checkout), finish::shown(&checkout.revision));
    telling.tell(&RunEvent::Started { run: live.id().clone(), title });
    telling.done(Step::Checkout, since, request.path.display().to_string(), checkout.revision.to_string());
    let _watch = say_that_it_stops(cancel.clone(), telling.clone());
    let early = Early::default();
    guess::start(request, host, &live, &early, answering);
    let line = Line { request, host, live: &live, checkout: &checkout, telling: &telling, cancel, early: &early };
    let (result, clearing) = line.drive(&mut kept, approach, &runs).await;
    // Nothing is left of a container that was started and got no script.
    early.discard().await;
    if !kept.has_run() {
        let _ = shorten(runs, request, (host.clock)()).await;
    }
    Ok(finish::finish(result, clearing, kept, &line.facts(), &telling).await)
}

/// Keeps history short in passing: a run never fails for it, and it is done while the pipeline has the word. That of a
/// server is the server's own to shorten, by what its file says.
fn shorten(runs: Runs, request: &RunRequest, now: jiff::Timestamp) -> JoinHandle<()> {
    let hosted = request.hosted;
    tokio::task::spawn_blocking(move || {
        if hosted {
            return;
        }
        if let Err(error) = runs.prune(crate::store::Limits::default(), now) {
            tracing::warn!(%error, "old runs were not removed");
        }
    })
}

/// Whoever asked a run to stop sees at once that it was heard, and what else can be done; ends with the guard.
fn say_that_it_stops(mut cancel: Cancel, telling: Telling) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        if cancel.reached(Urgency::Ask).await == CancelReason::Signal
            && let Some(step) = telling.current()
        {
            tokio::task::block_in_place(|| telling.progress(step, stopping(step)));
        }
    }))
}

/// What is true of a wish to stop that comes in this step: there is a pipeline to wait for in one of them only.
fn stopping(step: Step) -> &'static str {
    match step {
        Step::Execute => "stopping; a second Ctrl-C does not wait for the pipeline",
        Step::Publish => "stopping; nothing more is sent, unless the manifest is on its way already",
        _ => "stopping",
    }
}

/// Opens the repository, on a thread that may block.
async fn open(request: &RunRequest, host: &Host) -> Result<Checkout, Stop> {
    let (path, allow_dirty, published) = (request.path.clone(), request.allow_dirty, published_here(request, host));
    let opened = tokio::task::spawn_blocking(move || repo::open_without(&path, allow_dirty, &published)).await;
    Ok(opened.map_err(|error| Stop::of(Ending::Internal, &error))??)
}

/// The storage, where it is a folder of this machine: should it lie in the repository, what was published there is no
/// part of what runs.
pub fn published_here(request: &RunRequest, host: &Host) -> Vec<PathBuf> {
    let written =
        request.storage.as_deref().and_then(|text| Location::parse(text, &host.current_dir, &host.remotes()).ok());
    written
        .into_iter()
        .filter_map(|location| match location {
            Location::Local(folder) => Some(folder),
            _ => None,
        })
        .collect()
}

/// One run on its way.
struct Line<'a> {
    request: &'a RunRequest,
    host: &'a Host,
    live: &'a LiveRun,
    checkout: &'a Arc<Checkout>,
    telling: &'a Telling,
    cancel: &'a Cancel,
    early: &'a Early,
}

/// What hides secrets, and what is hidden.
struct Guarded {
    config: Config,
    network: Network,
    inputs: Inputs,
    secrets: SecretSet,
    masker: Masker,
}

impl Line<'_> {
    fn facts(&self) -> finish::Facts<'_> {
        finish::Facts { live: self.live, host: self.host, request: self.request }
    }

    /// The line; what is learned on the way is kept for the record, however far it goes. Also the container that ran the
    /// script, which may still be on its way out.
    async fn drive(
        &self,
        kept: &mut Kept,
        approach: Approach,
        runs: &Runs,
    ) -> (Result<Published, Stop>, Option<Clearing>) {
        let mut clearing = None;
        let result = self.steps(kept, approach, runs, &mut clearing).await;
        (result, clearing)
    }

    async fn steps(
        &self,
        kept: &mut Kept,
        approach: Approach,
        runs: &Runs,
        left: &mut Option<Clearing>,
    ) -> Result<Published, Stop> {
        let decided = Arc::new(self.validate()?);
        kept.decided(&decided);
        self.live.save(&kept.record)?;
        let guarded = self.guard(&decided)?;
        kept.masker = guarded.masker.clone();
        self.keep_script(&decided, &guarded.masker)?;
        let storage = self.storage(&decided).await?;
        let follow = deliver::Follow::new(self.telling, self.cancel, Step::Validate);
        let asking = Box::pin(frozen::lock(&storage, &decided.plan));
        let lock = patience::followed(&*storage, &follow, asking).await?;
        let tasks = decided.plan.tasks_in_words();
        self.telling.end(Step::Validate, Outcome::Done, tasks);
        self.still_wanted()?;
        let (run, folder) = (self.live.id(), self.live.folder());
        let place = Place { host: self.host, run, folder, storage: &storage, early: self.early };
        let Guarded { inputs, config, network, .. } = &guarded;
        let file = decided.environment_file();
        let written = &decided.project.environment;
        let wanted = Wanted { inputs, config, lock: lock.as_ref(), network, file: &file, written };
        let prepared = prepare(&decided, &wanted, &place, approach, self.telling, self.cancel).await?;
        kept.prepared(&decided, &prepared);
        self.live.save(&kept.record)?;
        finish::keep_reproduction(self.live, &decided, &prepared, network)?;
        self.still_wanted()?;
        let shortening = shorten(runs.clone(), self.request, (self.host.clock)());
        let (ran, clearing, syncing) = self.execute(&decided, &prepared, &guarded).await?;
        *left = Some(clearing);
        kept.ran(&ran);
        let _ = shortening.await;
        // What came out is published while the engine clears the container away and the log reaches the disk.
        let published = self.deliver(&ran, &storage, &decided, &prepared, kept).await;
        if published.is_ok() {
            // A disk that is still busy with a new environment takes its time for them.
            self.telling.begin(Step::Report, "container, log, record");
        }
        syncing.done(self.telling).await;
        published
    }

    /// What is done with a script's end and its outputs.
    async fn deliver(
        &self,
        ran: &Ran,
        storage: &Arc<dyn Storage>,
        decided: &Decided,
        prepared: &Prepared,
        kept: &Kept,
    ) -> Result<Published, Stop> {
        self.judge(ran, &decided.plan.limits)?;
        let Prepared { roots, baseline, .. } = prepared;
        let collection = deliver::collect(&decided.plan, roots, Arc::clone(baseline), self.telling).await?;
        self.still_wanted()?;
        given_away::warn(&kept.masker, roots, &collection, self.telling).await;
        self.publish(storage, decided, prepared, collection, kept).await
    }

    fn still_wanted(&self) -> Result<(), Stop> {
        match self.cancel.requested() {
            Some(_) => Err(Stop::new(Ending::Cancelled, "stopped before it was done; nothing was published")),
            None => Ok(()),
        }
    }

    fn validate(&self) -> Result<Decided, Stop> {
        self.telling.begin(Step::Validate, "specs, sources, secrets, storage");
        let mut findings = self.checkout.notes.clone();
        let decided = tokio::task::block_in_place(|| decide(self.checkout, self.request, self.host, &mut findings));
        for finding in findings {
            self.telling.tell(&RunEvent::Diagnosed(finding));
        }
        decided
    }

    /// Reads the secrets and proves the masker before anything can print one.
    fn guard(&self, decided: &Decided) -> Result<Guarded, Stop> {
        let mut config = super::host::environment_config(self.host)?;
        // Passwords of proxies, indexes and channels are this machine's: builders do not get them either.
        config.strangers = self.request.no_secrets;
        config.wheels_only = self.request.wheels_only;
        let mut network = network_env(&config);
        let mut secrets = SecretSet::resolve(&decided.secrets)?;
        let inputs = decided.inputs(&config, &secrets).inspect_err(|stop| {
            // They may quote what a secret was put into.
            self.telling.mask_with(&Masker::new(&secrets));
            for finding in &stop.diagnostics {
                self.telling.tell(&RunEvent::Diagnosed(finding.clone()));
            }
        })?;
        if !decided.plan.local_installs.is_empty() {
            network.follow(&inputs);
        }
        for secret in network.mask.iter().chain(&network.secret_env).chain(&inputs.secrets()) {
            secrets.hide(secret.name(), secret.expose());
        }
        for secret in decided.location.secrets(&self.host.access()?) {
            secrets.hide(secret.name(), secret.expose());
        }
        let masker = Masker::new(&secrets);
        canary(&masker).map_err(|error| Stop::of(Ending::Internal, &error))?;
        self.telling.mask_with(&masker);
        for name in secrets.short() {
            self.telling.tell(&RunEvent::Diagnosed(super::decide::short_secret(name)));
        }
        Ok(Guarded { config, network, inputs, secrets, masker })
    }

    fn keep_script(&self, decided: &Decided, masker: &Masker) -> Result<(), Stop> {
        let path = self.live.folder().script();
        // No secret is ever in it; a masked copy is one more reason why.
        std::fs::write(&path, masker.text(&decided.script)).map_err(|error| Stop::of(Ending::of_io(&error), &error))
    }

    /// Opens the storage and asks whether it takes anything, before minutes are spent.
    async fn storage(&self, decided: &Decided) -> Result<Arc<dyn Storage>, Stop> {
        let storage = decided.location.open(&self.host.access()?)?;
        let follow = deliver::Follow::new(self.telling, self.cancel, Step::Validate);
        let health = patience::followed(&*storage, &follow, storage.check()).await?;
        health.has_room()?;
        patience::followed(&*storage, &follow, storage.tell_apart(&decided.plan.project)).await?;
        for note in health.notes {
            self.telling.progress(Step::Validate, note);
        }
        Ok(storage)
    }

    async fn execute(
        &self,
        decided: &Decided,
        prepared: &Prepared,
        guarded: &Guarded,
    ) -> Result<(Ran, Clearing, Syncing), Stop> {
        let setting = Setting {
            run: self.live.id(),
            folder: self.live.folder(),
            prepared,
            network: &guarded.network,
            secrets: &guarded.secrets.env,
            ahead: self.early,
            masker: &guarded.masker,
            colours: self.request.colours,
        };
        self.remember(decided, &setting);
        run_script(decided, &setting, self.telling, self.cancel).await
    }

    /// What the container is, for the next run's guess; not where it is made in another way each time, nor before its
    /// packages are compiled, which changes it once.
    fn remember(&self, decided: &Decided, setting: &Setting<'_>) {
        let Prepared { environment, layered, .. } = setting.prepared;
        if environment.volume.is_none() && layered.is_none() && !environment.lacks_bytecode() {
            let spec = Shape::of(&decided.plan, setting).session();
            tokio::task::block_in_place(|| guess::remember(self.request, self.host, self.live, &spec));
        }
    }

    /// Whether the script's end lets the run go on.
    fn judge(&self, ran: &Ran, limits: &Limits) -> Result<(), Stop> {
        let ending = finish::ending_of(ran);
        if ending == Ending::Succeeded {
            if ran.executed.exit.oom_killed {
                let note = "a process was killed for memory; the pipeline went on without it";
                self.telling.progress(Step::Execute, note);
            }
            self.telling.end(Step::Execute, Outcome::Done, finish::tasks_in_words(&ran.tasks));
            return Ok(());
        }
        Err(finish::stop_of(ending, ran, limits))
    }

    async fn publish(
        &self,
        storage: &Arc<dyn Storage>,
        decided: &Decided,
        prepared: &Prepared,
        collection: Collection,
        kept: &Kept,
    ) -> Result<Published, Stop> {
        self.telling.begin(Step::Publish, storage.place());
        let home = self.live.folder().home();
        let settled = tokio::task::block_in_place(|| prepared.takeover.settle(decided, prepared, &collection, &home))?;
        let publication = Publication {
            about: kept.about(decided, prepared, &settled, self.telling, (self.host.clock)()),
            roots: Arc::clone(&prepared.roots),
            collection,
            on_conflict: decided.plan.on_conflict,
            same: settled.same,
        };
        deliver::publish(storage, publication, self.telling, self.cancel).await
    }
}

/// The project as far as it is known before soopervisor.yaml is read.
fn named<'a>(request: &'a RunRequest, checkout: &'a Checkout) -> &'a ProjectName {
    request.project.as_ref().unwrap_or(&checkout.project)
}

/// The record of a run that was just begun.
pub(super) fn first_record(live: &LiveRun, checkout: &Checkout, request: &RunRequest, now: jiff::Timestamp) -> Record {
    let mode = request.mode.unwrap_or(crate::plan::Mode::Full);
    let project = named(request, checkout).clone();
    let mut record = Record::begin(live.id().clone(), project, checkout.revision.clone(), mode, now);
    // Joined part by part: a folder that is the root gets no slash behind it.
    let folder: std::path::PathBuf =
        checkout.root.components().chain(checkout.pipeline_dir.as_path().components()).collect();
    record.path = folder.display().to_string();
    record.origin.clone_from(&checkout.origin);
    record.hosted = request.hosted;
    record.storage = request.storage.clone().unwrap_or_default();
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stops_is_told_of_the_pipeline_only_while_there_is_one() {
        assert!(stopping(Step::Execute).contains("a second Ctrl-C"));
        for step in [Step::Prepare, Step::Collect, Step::Publish, Step::Report] {
            let words = stopping(step);
            assert!(words.starts_with("stopping") && !words.contains("pipeline"), "{words}");
        }
    }
}

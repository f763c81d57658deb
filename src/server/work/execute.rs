//! One claimed run, from its checkout to its last write.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Worker;
use super::checkout::checkout;
use crate::id::{CommitSha, ProjectName};
use crate::plan::{Mode, Network};
use crate::run::cancel::{self, CancelReason, Canceller};
use crate::run::ending::Ending;
use crate::run::event::{RunEvent, Step};
use crate::run::request::RunRequest;
use crate::run::telling::Telling;
use crate::store::database::{Claim, DatabaseError, Ended, RunState, StepRow};

/// What a run needs besides its commit, as the repository's setting `run` has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RunAsk {
    storage: Option<String>,
    project: Option<ProjectName>,
    image: Option<String>,
    /// The folder of the pipeline below the repository's root.
    path: Option<String>,
    secrets: Vec<String>,
    /// For `ploomber build`.
    args: Vec<String>,
    /// Seconds.
    timeout: Option<u64>,
    /// The text of the soopervisor.yaml to go by, in place of the commit's own.
    settings: Option<String>,
    /// The code is a stranger's.
    fork: bool,
}

/// How an attempt ended.
enum End {
    Ended(Ended),
    /// Not the pipeline's fault.
    Again(String),
    HandedBack,
}

/// What the run tells that is to be written.
enum Note {
    Placed(String),
    Step(StepRow),
}

impl Worker {
    pub(super) async fn work(&self, claim: Claim, drained: CancellationToken) {
        let (run, epoch) = (claim.run.id, claim.epoch);
        let began = Instant::now();
        let (canceller, cancel) = cancel::pair();
        let beating = CancellationToken::new();
        let beat = tokio::spawn(self.clone().beat(run, epoch, canceller.clone(), drained.clone(), beating.clone()));
        let end = self.attempt(&claim, &canceller, &cancel, &drained).await;
        beating.cancel();
        let _ = beat.await;
        let (word, written) = match end {
            End::Ended(ended) => (ended.state.word(), self.database.finish(run, epoch, &ended).await),
            End::Again(why) => {
                let written = self.database.retry(run, epoch, &why, self.effort.retry).await;
                tracing::warn!(run, why, "a run failed through no fault of its own");
                ("retried", written.map(|_| ()))
            }
            End::HandedBack => ("handed-back", self.database.hand_back(run, epoch).await),
        };
        self.metrics.add("soop_runs_total", &[("result", word)], 1.0);
        self.metrics.add("soop_run_seconds_total", &[], began.elapsed().as_secs_f64());
        match written {
            Ok(()) => self.told.notify_one(),
            Err(error) => self.refused(run, &error),
        }
    }

    fn refused(&self, run: i64, error: &DatabaseError) {
        if matches!(error, DatabaseError::Fenced { .. }) {
            self.metrics.add("soop_fenced_writes_total", &[], 1.0);
        }
        tracing::warn!(run, %error, "not written");
    }

    /// Keeps the claim; hears of cancelling, draining, and the claim's loss.
    async fn beat(
        self,
        run: i64,
        epoch: i64,
        canceller: Canceller,
        drained: CancellationToken,
        stop: CancellationToken,
    ) {
        let lease = self.effort.limits.lease_ms;
        let every = Duration::from_millis((lease / 4).max(50).unsigned_abs());
        let mut kept = Instant::now();
        let mut asked = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = drained.cancelled(), if !asked => {}
                () = tokio::time::sleep(every) => {}
            }
            let wanted = match self.database.heartbeat(run, epoch, lease).await {
                Ok(beat) => {
                    kept = Instant::now();
                    !beat.cancel
                }
                Err(error) => {
                    self.refused(run, &error);
                    let lost = matches!(error, DatabaseError::Fenced { .. });
                    if lost || kept.elapsed() > Duration::from_millis(lease.unsigned_abs()) {
                        // The second kills: nothing that this run does counts any more.
                        canceller.request(CancelReason::Signal);
                        canceller.request(CancelReason::Signal);
                        return;
                    }
                    true
                }
            };
            if (!wanted || drained.is_cancelled()) && !asked {
                canceller.request(CancelReason::Signal);
                asked = true;
            }
        }
    }

    async fn attempt(
        &self,
        claim: &Claim,
        canceller: &Canceller,
        cancel: &cancel::Cancel,
        drained: &CancellationToken,
    ) -> End {
        let failed = |summary: String| End::Ended(Ended { state: RunState::Failed, exit_code: 3, summary });
        let run = &claim.run;
        let watch = self.watches.borrow().iter().find(|watch| watch.repo == run.new.repo).cloned();
        let Some(watch) = watch else { return failed("its repository is no longer watched".to_owned()) };
        let ask: RunAsk = match serde_json::from_value(run.new.request.clone()) {
            Ok(ask) => ask,
            Err(error) => return failed(format!("the repository's `run` is not understood: {error}")),
        };
        let Ok(sha) = run.new.sha.parse::<CommitSha>() else { return failed("it is of no commit".to_owned()) };
        let name = format!("{}-{}", run.id, claim.epoch);
        let reference = run.new.reference.as_deref();
        let tree = match checkout(&self.folder, &name, &watch.address, reference, &sha).await {
            Ok(tree) => tree,
            Err(error) => return End::Again(error.to_string()),
        };
        let request = request(ask, tree.path(), &run.new.mode);
        let end = self.drive(claim, request, canceller, cancel, drained).await;
        if let Err(error) = tree.close().await {
            tracing::warn!(run = run.id, %error, "a work tree was not removed");
        }
        end
    }

    async fn drive(
        &self,
        claim: &Claim,
        request: RunRequest,
        canceller: &Canceller,
        cancel: &cancel::Cancel,
        drained: &CancellationToken,
    ) -> End {
        let (notes, mut noted) = mpsc::unbounded_channel();
        let telling = Telling::new(self.listener(claim, notes, canceller.clone()));
        let writer = {
            let (worker, run, epoch) = (self.clone(), claim.run.id, claim.epoch);
            tokio::spawn(async move {
                while let Some(note) = noted.recv().await {
                    let written = match note {
                        Note::Placed(place) => worker.database.placed(run, epoch, &place).await,
                        Note::Step(step) => worker.database.step(run, epoch, &step).await,
                    };
                    if let Err(error) = written {
                        worker.refused(run, &error);
                    }
                }
            })
        };
        // On a thread of its own: a run works with files between its waits.
        let (host, cancel) = (self.host.clone(), cancel.clone());
        let runtime = tokio::runtime::Handle::current();
        let result = tokio::task::spawn_blocking(move || {
            runtime.block_on(async { crate::run::run(&request, &host, telling, &cancel).await })
        });
        let result = result.await;
        // Whatever was told is written before the end is.
        let _ = writer.await;
        let (ending, summary) = match result {
            Err(error) => (Ending::Internal, error.to_string()),
            Ok(Ok(finished)) => {
                let stopped = finished.stop.as_ref().map(crate::run::stop::Stop::line);
                (finished.ending, stopped.unwrap_or_else(|| finished.ending.words().to_owned()))
            }
            Ok(Err(stop)) => (stop.ending, stop.line()),
        };
        meant(ending, summary, drained.is_cancelled())
    }

    /// Listens to a run: what is to be written is put aside, and before anything is published the claim is looked at.
    fn listener(
        &self,
        claim: &Claim,
        notes: mpsc::UnboundedSender<Note>,
        canceller: Canceller,
    ) -> crate::run::telling::Listener {
        let (worker, run, epoch) = (self.clone(), claim.run.id, claim.epoch);
        let mut seq = 0;
        Box::new(move |event| match event {
            RunEvent::Started { run, .. } => drop(notes.send(Note::Placed(run.to_string()))),
            RunEvent::StepEnded { step, outcome, elapsed, detail } => {
                let outcome = serde_json::to_value(outcome).ok().and_then(|word| word.as_str().map(str::to_owned));
                let row = StepRow {
                    seq,
                    name: step.word().to_owned(),
                    outcome: outcome.unwrap_or_default(),
                    elapsed_ms: i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX),
                    detail: detail.clone(),
                };
                seq += 1;
                let _ = notes.send(Note::Step(row));
                if *step == Step::Collect && !worker.still_holds(run, epoch) {
                    canceller.request(CancelReason::Signal);
                    canceller.request(CancelReason::Signal);
                }
            }
            _ => {}
        })
    }

    /// Asks the database, while the run waits.
    fn still_holds(&self, run: i64, epoch: i64) -> bool {
        let lease = self.effort.limits.lease_ms;
        let asked = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(self.database.heartbeat(run, epoch, lease))
        });
        asked.is_ok()
    }
}

/// What an ending is to the queue.
fn meant(ending: Ending, summary: String, drained: bool) -> End {
    let exit_code = i64::from(ending.exit_code());
    match ending {
        Ending::Succeeded => End::Ended(Ended { state: RunState::Succeeded, exit_code, summary }),
        Ending::Cancelled if drained => End::HandedBack,
        Ending::Cancelled => End::Ended(Ended { state: RunState::Cancelled, exit_code, summary }),
        Ending::EngineUnavailable | Ending::StorageFailed | Ending::Killed => End::Again(summary),
        _ => End::Ended(Ended { state: RunState::Failed, exit_code, summary }),
    }
}

fn request(ask: RunAsk, tree: &std::path::Path, mode: &str) -> RunRequest {
    let below = ask.path.as_deref().map(|path| path.trim_matches('/')).filter(|path| !path.is_empty());
    // Only folders of the checkout: a setting is no way out of it.
    let below = below.filter(|path| path.split('/').all(|part| !matches!(part, ".." | "." | "")));
    let mut request = RunRequest {
        path: below.map_or_else(|| tree.to_owned(), |below| tree.join(below)),
        storage: ask.storage,
        project: ask.project,
        mode: Some(if mode == "sample" { Mode::Sample } else { Mode::Full }),
        image: ask.image,
        secrets: ask.secrets,
        build_args: ask.args,
        ..RunRequest::default()
    };
    request.limits.timeout = ask.timeout.map(Duration::from_secs);
    request.settings = ask.settings;
    if ask.fork {
        request.secrets = Vec::new();
        (request.no_secrets, request.no_reuse, request.network) = (true, true, Some(Network::None));
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_the_pipelines_fault_is_tried_again() {
        let word = |ending, drained| match meant(ending, String::new(), drained) {
            End::Ended(ended) => ended.state.word(),
            End::Again(_) => "again",
            End::HandedBack => "back",
        };
        assert_eq!(word(Ending::Succeeded, true), "succeeded");
        assert_eq!(word(Ending::ScriptFailed, false), "failed");
        assert_eq!(word(Ending::InvalidSpec, false), "failed");
        assert_eq!(word(Ending::TimedOut, false), "failed");
        assert_eq!(word(Ending::EngineUnavailable, false), "again");
        assert_eq!(word(Ending::StorageFailed, false), "again");
        assert_eq!(word(Ending::Killed, false), "again");
        assert_eq!(word(Ending::Cancelled, false), "cancelled");
        assert_eq!(word(Ending::Cancelled, true), "back");
    }

    #[test]
    fn a_strangers_code_gets_no_secret_no_network_and_the_settings_of_the_base() {
        let ask = json(r#"{"secrets": ["TOKEN"], "fork": true, "settings": "sample: true\n"}"#);
        let asked = request(ask, std::path::Path::new("/w"), "sample");
        assert!(asked.no_secrets && asked.no_reuse && asked.secrets.is_empty(), "{asked:?}");
        assert_eq!((asked.network, asked.settings.as_deref()), (Some(Network::None), Some("sample: true\n")));
        let own = request(json(r#"{"secrets": ["TOKEN"]}"#), std::path::Path::new("/w"), "full");
        assert!(!own.no_secrets && own.network.is_none() && own.secrets == ["TOKEN"], "{own:?}");
    }

    fn json(text: &str) -> RunAsk {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_setting_is_no_way_out_of_the_checkout() {
        let tree = std::path::Path::new("/w/1-1");
        let at = |path: &str| request(RunAsk { path: Some(path.to_owned()), ..RunAsk::default() }, tree, "full").path;
        assert_eq!(at("models/churn/"), tree.join("models/churn"));
        assert_eq!(at("../2-1"), tree);
        assert_eq!(at("/etc"), tree.join("etc"));
    }
}

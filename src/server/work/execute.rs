//! One claimed run, from its checkout to its last write: the worker's side of a run that a process of its own drives.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Worker;
use super::checkout::{Checkout, checkout};
use super::driver::was_wanted;
use super::handoff::{Handoff, Told, Wish};
use crate::id::{CommitSha, ProjectName};
use crate::plan::{Mode, Network};
use crate::run::cancel::{self, Cancel, CancelReason, Canceller, Urgency};
use crate::run::ending::Ending;
use crate::run::figures::duration;
use crate::run::request::RunRequest;
use crate::server::room;
use crate::store::database::{Claim, DatabaseError, Ended, Repo, RunState};

/// How often a driver is listened to.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a driver that has told its end may take to go.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What a run needs besides its commit, as the repository's setting `run` has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct RunAsk {
    storage: Option<String>,
    project: Option<ProjectName>,
    secrets: Vec<String>,
    /// For `ploomber build`.
    args: Vec<String>,
    /// Seconds.
    timeout: Option<u64>,
    /// The text of the soopervisor.yaml to go by, in place of the commit's own.
    settings: Option<String>,
    /// The code is a stranger's.
    fork: bool,
    /// The runs that led to it, for handlers.
    #[serde(rename = "chain")]
    _chain: IgnoredAny,
    /// Why its commit is the one that was last seen, for handlers.
    #[serde(rename = "unread")]
    _unread: IgnoredAny,
}

/// How an attempt ended.
enum End {
    Ended(Ended),
    /// Not the pipeline's fault.
    Again(String),
    HandedBack,
}

/// Where an attempt begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At its checkout.
    Checkout,
    /// Where an earlier process of this worker left it: a driver is at work, or has been.
    Driver,
}

impl Worker {
    pub(super) async fn work(&self, claim: Claim, start: Start, drained: CancellationToken) {
        let (run, epoch) = (claim.run.id, claim.epoch);
        let (began, called) = (Instant::now(), self.called(&claim));
        self.say(&claim, start, &called);
        let (canceller, cancel) = cancel::pair();
        let beating = CancellationToken::new();
        // It ends with this, however this ends: a claim that nobody works on is another's.
        let beat = self.clone().beat(run, epoch, canceller.clone(), drained.clone(), beating.clone());
        let beat = AbortOnDropHandle::new(tokio::spawn(beat));
        let end = match start {
            Start::Checkout => self.attempt(&claim, &cancel, &drained).await,
            Start::Driver => self.follow(&claim, &cancel, &drained).await,
        };
        if let Err(error) = Checkout::at(&self.folder, &name(&claim)).close().await {
            tracing::warn!(run, error = room::words(&error), "its work tree was not removed");
        }
        beating.cancel();
        let _ = beat.await;
        let (word, written) = match end {
            End::Ended(ended) => {
                let (state, summary) = (ended.state.word(), &ended.summary);
                let how = how(state, summary, (start == Start::Checkout).then(|| began.elapsed()));
                tracing::info!(run, repo = self.repo(&claim), state, summary, "{called} {how}");
                (state, self.database.finish(run, epoch, &ended).await)
            }
            End::Again(why) => {
                let written = self.database.retry(run, epoch, &why, self.effort.retry).await;
                tracing::warn!(run, repo = self.repo(&claim), why, "{called} failed through no fault of its own");
                ("retried", written.map(|_| ()))
            }
            End::HandedBack => {
                tracing::info!(run, repo = self.repo(&claim), "{called} is stopped, and queued again");
                ("handed-back", self.database.hand_back(run, epoch).await)
            }
        };
        self.count(run, word, began.elapsed()).await;
        match written {
            Ok(()) => self.told.notify_one(),
            Err(error) => self.refused(run, &error),
        }
        // Only now: who is killed before it is written reads it here again.
        if let Err(error) = self.handoff(&claim).remove() {
            tracing::warn!(run, error = room::words(&error), "its folder was not removed");
        }
    }

    /// Counts an attempt that ended, and the log that it left here.
    async fn count(&self, run: i64, result: &str, took: Duration) {
        self.metrics.add("soop_runs_total", &[("result", result)], 1.0);
        self.metrics.observe("soop_run_seconds", took.as_secs_f64());
        let Some(local) = self.database.run(run).await.ok().and_then(|run| run.local_run) else { return };
        if let Ok(log) = tokio::fs::metadata(self.host.home.runs().join(local).join("log")).await {
            self.metrics.add("soop_log_bytes_total", &[], number(log.len()));
        }
    }

    /// The name of a run's repository, where this worker knows it.
    fn repo(&self, claim: &Claim) -> Option<String> {
        let repo = claim.run.new.repo;
        self.watches.borrow().iter().find(|watch| watch.repo == repo).map(|watch| watch.name.clone())
    }

    /// `run 12 of churn (main 4f1c2d9a0b)`
    pub(super) fn called(&self, claim: &Claim) -> String {
        let new = &claim.run.new;
        let sha = new.sha.get(..10).unwrap_or(&new.sha);
        let name = new.reference.as_deref().unwrap_or_default();
        let name = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")).unwrap_or(name);
        let place = if name.is_empty() { sha.to_owned() } else { format!("{name} {sha}") };
        let of = self.repo(claim).map(|repo| format!(" of {repo}")).unwrap_or_default();
        format!("run {}{of} ({place})", claim.run.id)
    }

    /// One line of the server's log for a run that begins, or is gone on with; how long it had waited.
    fn say(&self, claim: &Claim, start: Start, called: &str) {
        let (new, mode) = (&claim.run.new, &claim.run.new.mode);
        let what = if start == Start::Checkout { "started" } else { "goes on" };
        if let (Start::Checkout, 1, Some(begun)) = (start, claim.epoch, claim.run.started_at) {
            let waited = u64::try_from(begun - claim.run.created_at).unwrap_or_default();
            self.metrics.observe("soop_queue_wait_seconds", Duration::from_millis(waited).as_secs_f64());
        }
        let (run, event, repo) = (claim.run.id, new.event, self.repo(claim));
        let (reference, commit) = (new.reference.as_deref(), new.sha.as_str());
        tracing::info!(run, event, repo, reference, commit, mode, "{called} {what}, {mode}");
    }

    /// The folder through which this worker and the driver of a run talk.
    pub(super) fn handoff(&self, claim: &Claim) -> Handoff {
        Handoff::at(&self.handoffs.join(name(claim)))
    }

    fn refused(&self, run: i64, error: &DatabaseError) {
        if matches!(error, DatabaseError::Fenced { .. }) {
            self.metrics.add("soop_fenced_writes_total", &[], 1.0);
        }
        tracing::warn!(run, error = room::words(error), "not written");
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
                        self.metrics.add("soop_lease_lost_total", &[("seen", "worker")], 1.0);
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

    async fn attempt(&self, claim: &Claim, cancel: &Cancel, drained: &CancellationToken) -> End {
        let failed = |summary: String| End::Ended(Ended { state: RunState::Failed, exit_code: 3, summary });
        let run = &claim.run;
        let watch = self.watches.borrow().iter().find(|watch| watch.repo == run.new.repo).cloned();
        let Some(watch) = watch else {
            return unknown(run.new.repo, self.database.repos().await);
        };
        let ask: RunAsk = match serde_json::from_value(run.new.request.clone()) {
            Ok(ask) => ask,
            Err(error) => return failed(format!("the repository's `run` is not understood: {error}")),
        };
        let Ok(sha) = run.new.sha.parse::<CommitSha>() else { return failed("it is of no commit".to_owned()) };
        let reference = run.new.reference.as_deref();
        let tree = match checkout(&self.folder, &name(claim), &watch.address, reference, &sha).await {
            Ok(tree) => tree,
            Err(error) => return End::Again(error.to_string()),
        };
        let request = request(ask, tree.path(), &run.new.mode);
        if let Err(error) = self.start(&self.handoffs.join(name(claim)), &request) {
            return End::Again(format!("no process could be started for it: {error}"));
        }
        self.follow(claim, cancel, drained).await
    }

    /// Starts the process that drives a run. From then on the run is its own, and we only listen.
    fn start(&self, folder: &std::path::Path, request: &RunRequest) -> std::io::Result<()> {
        let (handoff, lock) = Handoff::make(folder, request)?;
        let mut driver = tokio::process::Command::new(&self.program);
        driver.arg("driver").arg(folder).stdin(lock).stdout(Stdio::null()).stderr(handoff.said()?);
        // Ctrl-C at our terminal is for us.
        driver.process_group(0);
        let mut child = driver.spawn()?;
        tokio::spawn(async move { child.wait().await });
        Ok(())
    }

    /// Listens to a driver until it is gone, and answers it.
    async fn follow(&self, claim: &Claim, cancel: &Cancel, drained: &CancellationToken) -> End {
        let (handoff, mut place) = (self.handoff(claim), 0);
        let trouble = |error: std::io::Error| End::Again(format!("its driver cannot be heard: {error}"));
        loop {
            // Asked before reading: what it told before it went is then read in this round.
            let live = handoff.is_live();
            let told = match handoff.told(&mut place) {
                Ok(told) => told,
                Err(error) => return trouble(error),
            };
            for told in told {
                if let Told::Ended { ending, summary } = told {
                    let by = Instant::now() + LAST_WORDS;
                    while handoff.is_live() && Instant::now() < by {
                        tokio::time::sleep(GLANCE).await;
                    }
                    return meant(ending, summary, drained.is_cancelled(), was_wanted(&handoff, ending));
                }
                self.take(claim, &handoff, told).await;
            }
            if !live {
                return End::Again("the process that drove it died".to_owned());
            }
            let wished = match cancel.requested() {
                Some((_, Urgency::Kill)) => handoff.wish(Wish::Kill),
                Some((_, Urgency::Ask)) => handoff.wish(Wish::Stop),
                None => Ok(()),
            };
            if let Err(error) = wished.and_then(|()| handoff.beat()) {
                return trouble(error);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Writes down what a driver tells, and answers what it asks.
    async fn take(&self, claim: &Claim, handoff: &Handoff, told: Told) {
        let (run, epoch) = (claim.run.id, claim.epoch);
        let written = match told {
            Told::Placed { run: local } => self.database.placed(run, epoch, local.as_str()).await,
            Told::Published(artifacts) => {
                let written = self.database.published(run, epoch, &artifacts).await;
                let result = if written.is_ok() { "published" } else { "refused" };
                self.metrics.add("soop_artifacts_total", &[("result", result)], number(artifacts.files));
                written
            }
            Told::Step(step) => self.database.step(run, epoch, &step).await,
            Told::MayPublish => {
                let lease = self.effort.limits.lease_ms;
                let held = self.database.heartbeat(run, epoch, lease).await;
                let wish = if held.is_ok() { Wish::Publish } else { Wish::Discard };
                if let Err(error) = handoff.wish(wish) {
                    tracing::warn!(run, error = room::words(&error), "its driver cannot be answered");
                }
                held.map(drop)
            }
            Told::Ended { .. } => Ok(()),
        };
        if let Err(error) = written {
            self.refused(run, &error);
        }
    }
}

/// How a run ended, as the log says it; how long it took is known of one that began here.
fn how(state: &str, summary: &str, took: Option<Duration>) -> String {
    let took = took.map(|took| format!(" after {}", duration(took))).unwrap_or_default();
    let more = if summary.is_empty() || summary == state { String::new() } else { format!(": {summary}") };
    format!("{state}{took}{more}")
}

/// For a counter; none of ours is of more at a time.
fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// What an attempt is called on this machine.
fn name(claim: &Claim) -> String {
    format!("{}-{}", claim.run.id, claim.epoch)
}

/// What an ending is to the queue.
fn meant(ending: Ending, summary: String, drained: bool, wanted: bool) -> End {
    let exit_code = i64::from(ending.exit_code());
    match ending {
        Ending::Succeeded => End::Ended(Ended { state: RunState::Succeeded, exit_code, summary }),
        Ending::Cancelled if !wanted => End::Again("it was ended from outside".to_owned()),
        Ending::Cancelled if drained => End::HandedBack,
        Ending::Cancelled => End::Ended(Ended { state: RunState::Cancelled, exit_code, summary }),
        Ending::EngineUnavailable | Ending::StorageFailed | Ending::Killed => End::Again(summary),
        _ => End::Ended(Ended { state: RunState::Failed, exit_code, summary }),
    }
}

/// What becomes of a run whose repository this worker does not know: a server has just begun to watch it, or does no longer.
fn unknown(repo: i64, watched: Result<Vec<Repo>, DatabaseError>) -> End {
    match watched {
        Err(error) => End::Again(error.to_string()),
        Ok(watched) if watched.iter().any(|known| known.id == repo) => {
            End::Again("its repository is not known to this worker yet".to_owned())
        }
        Ok(_) => {
            let summary = "its repository is no longer watched".to_owned();
            End::Ended(Ended { state: RunState::Failed, exit_code: 3, summary })
        }
    }
}

fn request(ask: RunAsk, tree: &std::path::Path, mode: &str) -> RunRequest {
    let mut request = RunRequest {
        path: tree.to_owned(),
        storage: ask.storage,
        project: ask.project,
        mode: Some(if mode == "sample" { Mode::Sample } else { Mode::Full }),
        secrets: ask.secrets,
        build_args: ask.args,
        hosted: true,
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
        let word = |ending, drained| match meant(ending, String::new(), drained, true) {
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
        let strangers = meant(Ending::Cancelled, String::new(), false, false);
        assert!(matches!(strangers, End::Again(_)), "a driver that somebody else ended");
    }

    #[test]
    fn the_log_says_how_a_run_ended_and_says_nothing_twice() {
        let took = Some(Duration::from_secs(104));
        assert_eq!(how("succeeded", "succeeded", took), "succeeded after 1 m 44 s");
        assert_eq!(how("failed", "no pipeline.yaml", took), "failed after 1 m 44 s: no pipeline.yaml");
        assert_eq!(how("cancelled", "", None), "cancelled");
    }

    #[test]
    fn a_run_is_not_given_up_because_the_database_does_not_answer() {
        let fault = DatabaseError::Content("away".to_owned());
        assert!(matches!(unknown(7, Err(fault)), End::Again(_)));
        assert!(matches!(unknown(7, Ok(Vec::new())), End::Ended(Ended { state: RunState::Failed, .. })));
    }

    #[test]
    fn a_strangers_code_gets_no_secret_no_network_and_the_settings_of_the_base() {
        let ask = json(r#"{"secrets": ["TOKEN"], "fork": true, "settings": "sample: true\n"}"#);
        let asked = request(ask, std::path::Path::new("/w"), "sample");
        assert!(asked.no_secrets && asked.no_reuse && asked.secrets.is_empty(), "{asked:?}");
        assert_eq!((asked.network, asked.settings.as_deref()), (Some(Network::None), Some("sample: true\n")));
        let own = request(
            json(r#"{"secrets": ["TOKEN"], "chain": [{"handler": "h", "repo": "a/b"}]}"#),
            std::path::Path::new("/w"),
            "full",
        );
        assert!(!own.no_secrets && own.network.is_none() && own.secrets == ["TOKEN"], "{own:?}");
    }

    fn json(text: &str) -> RunAsk {
        serde_json::from_str(text).unwrap()
    }
}

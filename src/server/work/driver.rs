//! The process that drives one run for a worker: it goes on when the worker dies, and ends when nobody comes for it.
//!
//! It runs the run core and nothing else: what the run means for the queue, and whether its outputs are still wanted,
//! the worker says. Without an answer nothing is published.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handoff::{Handoff, Told, Wish};
use crate::run::Host;
use crate::run::cancel::{self, Cancel, CancelReason, Canceller};
use crate::run::card::{Listed, Published};
use crate::run::ending::Ending;
use crate::run::event::{Outcome, RunEvent, Step};
use crate::run::findings::in_short;
use crate::run::stop::Stop;
use crate::run::telling::{Listener, Telling};
use crate::server::room;
use crate::store::database::{Artifact, Artifacts, StepRow};

/// How long a run goes on without a worker: a server that was killed is started again, a machine that is set up anew is
/// not.
pub const PATIENCE: Duration = Duration::from_mins(10);

/// Findings that are counted.
const MOST_FOUND: usize = 1_000;
/// How often wishes are looked for.
const GLANCE: Duration = Duration::from_millis(100);
/// How often while the run waits for one.
const KEEN: Duration = Duration::from_millis(10);

/// Drives the run of a folder to its end. `asked` is for signals: it may be asked to stop from elsewhere, too.
///
/// # Errors
/// When the request cannot be read, or the end not be told.
pub async fn drive(folder: &Path, host: &Host, asked: impl FnOnce(Canceller)) -> std::io::Result<()> {
    let handoff = Arc::new(Handoff::at(folder));
    let request = handoff.request()?;
    let (canceller, cancel) = cancel::pair();
    asked(canceller.clone());
    let obeying = tokio::spawn(obey(Arc::clone(&handoff), canceller.clone()));
    let telling = Telling::new(listener(Arc::clone(&handoff), canceller, cancel.clone()));
    let ran = crate::run::run(&request, host, telling, &cancel).await;
    obeying.abort();
    let (ending, summary) = match ran {
        Ok(finished) => {
            let stopped = finished.stop.as_ref().map(Stop::with_findings);
            (finished.ending, stopped.unwrap_or_else(|| finished.ending.words().to_owned()))
        }
        Err(stop) => (stop.ending, stop.with_findings()),
    };
    handoff.tell(&Told::Ended { ending, summary })
}

/// Hands the worker's wishes on; without a worker, or without the folder, the run has nobody who wants it.
async fn obey(handoff: Arc<Handoff>, canceller: Canceller) {
    let mut pulse = (handoff.last_beat(), Instant::now());
    let mut stopped = false;
    loop {
        let beat = handoff.last_beat();
        if beat != pulse.0 {
            // Our own clock measures the silence: the machine's may be set.
            pulse = (beat, Instant::now());
        }
        let deserted = beat.is_none() || pulse.1.elapsed() > PATIENCE;
        if deserted || handoff.wants(Wish::Kill) {
            canceller.request(CancelReason::Signal);
            canceller.request(CancelReason::Signal);
            return;
        }
        if !stopped && handoff.wants(Wish::Stop) {
            canceller.request(CancelReason::Signal);
            stopped = true;
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Tells the worker what it writes down; before anything is published, it waits for the worker's word.
fn listener(handoff: Arc<Handoff>, canceller: Canceller, cancel: Cancel) -> Listener {
    let (mut seq, mut found) = (0, Vec::new());
    let tell = move |told: &Told| {
        if let Err(error) = handoff.tell(told) {
            tracing::warn!(error = room::words(&error), "the worker cannot be told");
        }
        Arc::clone(&handoff)
    };
    Box::new(move |event| match event {
        RunEvent::Published(published) => drop(tell(&Told::Published(artifacts(published)))),
        RunEvent::Started { run, .. } => drop(tell(&Told::Placed { run: run.clone() })),
        RunEvent::Diagnosed(finding) if found.len() < MOST_FOUND => found.push(finding.clone()),
        RunEvent::StepEnded { step, outcome, elapsed, detail } => {
            // Of a step that failed by what was found, nothing else is said.
            let said = if detail.is_empty() && *outcome == Outcome::Failed { in_short(&found) } else { detail.clone() };
            let word = serde_json::to_value(outcome).ok().and_then(|word| word.as_str().map(str::to_owned));
            let row = StepRow {
                seq,
                name: step.word().to_owned(),
                outcome: word.unwrap_or_default(),
                elapsed_ms: i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX),
                detail: said,
            };
            seq += 1;
            tell(&Told::Step(row));
            if (*step, *outcome) == (Step::Collect, Outcome::Done) {
                let handoff = tell(&Told::MayPublish);
                if !tokio::task::block_in_place(|| may_publish(&handoff, &cancel)) {
                    canceller.request(CancelReason::Signal);
                    canceller.request(CancelReason::Signal);
                }
            }
        }
        _ => {}
    })
}

fn artifacts(published: &Published) -> Artifacts {
    let file = |listed: &Listed| Artifact { path: listed.path.clone(), size: listed.size };
    Artifacts {
        location: published.location.clone(),
        files: published.files,
        bytes: published.bytes,
        listing: published.listing.iter().map(file).collect(),
    }
}

/// Waits for the worker's word; who was asked to stop meanwhile needs none.
fn may_publish(handoff: &Handoff, cancel: &Cancel) -> bool {
    loop {
        if cancel.requested().is_some() || handoff.wants(Wish::Discard) {
            return false;
        }
        if handoff.wants(Wish::Publish) {
            return true;
        }
        std::thread::sleep(KEEN);
    }
}

/// Whether somebody wanted the run to stop, or it stopped by itself, or by a stranger's signal.
pub(super) fn was_wanted(handoff: &Handoff, ending: Ending) -> bool {
    ending != Ending::Cancelled || [Wish::Stop, Wish::Kill, Wish::Discard].iter().any(|wish| handoff.wants(*wish))
}

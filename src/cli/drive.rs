//! One run from the command line: a runtime, signals that ask and then kill, and the reporter as the listener.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::desk;
use super::exit::Exit;
use super::failure::Failure;
use crate::report::Reporter;
use crate::run::cancel::{self, CancelReason, Canceller};
use crate::run::request::RunRequest;
use crate::run::telling::Telling;
use crate::run::{self, Host};

/// Runs the request to its end and leaves the reporter finished. With `patience`, who was asked to stop once is asked again
/// after that time: a runner's second signal would come too late to clean up.
///
/// # Errors
/// When there was not even a run to report about.
pub(super) fn run(
    request: &RunRequest,
    host: &Host,
    reporter: Box<dyn Reporter>,
    patience: Option<Duration>,
) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Exit::Internal, &error))?;
    let (desk, listener) = desk::open(reporter);
    let (canceller, cancel) = cancel::pair();
    let telling = Telling::new(listener).behind(desk.backlog());
    let finished = runtime.block_on(async {
        let listening = tokio::spawn(listen(canceller.clone(), patience));
        let finished = run::run(request, host, telling, &cancel).await;
        (finished, listening)
    });
    let (finished, listening) = finished;
    // Signals are heard until the reader has everything: the last lines may be what it waits with.
    desk.close(&cancel);
    listening.abort();
    // A thread that still writes a snapshot after a failure must not hold up the exit.
    runtime.shutdown_background();
    let finished = finished?;
    Ok(Exit::from_code(finished.ending.exit_code()))
}

/// The first signal asks the run to stop, the second kills it; further ones change nothing: the end is on its way.
/// Who started us with a signal ignored (`nohup`) wants it ignored.
async fn listen(canceller: Canceller, patience: Option<Duration>) {
    let ignored = ignored();
    let heard = |kind: SignalKind| {
        let bit = 1_u64 << (kind.as_raw_value() - 1);
        (ignored & bit == 0).then(|| signal(kind).ok()).flatten()
    };
    let mut interrupt = heard(SignalKind::interrupt());
    let mut terminate = heard(SignalKind::terminate());
    let mut hangup = heard(SignalKind::hangup());
    loop {
        tokio::select! {
            () = next(&mut interrupt) => {}
            () = next(&mut terminate) => {}
            () = next(&mut hangup) => {}
        }
        canceller.request(CancelReason::Signal);
        if let Some(patience) = patience {
            let canceller = canceller.clone();
            tokio::spawn(async move {
                tokio::time::sleep(patience).await;
                canceller.request(CancelReason::Signal);
            });
        }
    }
}

async fn next(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// The signals that this process was started to ignore, a bit each.
fn ignored() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

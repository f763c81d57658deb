//! One run from the command line: a runtime, signals that ask and then kill, and the reporter as the listener.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;
use super::failure::Failure;
use crate::report::Reporter;
use crate::run::cancel::{self, CancelReason, Canceller};
use crate::run::request::RunRequest;
use crate::run::telling::Listener;
use crate::run::{self, Host};

/// Runs the request to its end and leaves the reporter finished.
///
/// # Errors
/// When there was not even a run to report about.
pub(super) fn run(request: &RunRequest, host: &Host, reporter: Box<dyn Reporter>) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Exit::Internal, &error))?;
    let reporter = Arc::new(Mutex::new(reporter));
    let listener: Listener = {
        let reporter = Arc::clone(&reporter);
        Box::new(move |event| reporter.lock().unwrap_or_else(PoisonError::into_inner).event(event))
    };
    let finished = runtime.block_on(async {
        let (canceller, cancel) = cancel::pair();
        let listening = tokio::spawn(listen(canceller));
        let finished = run::run(request, host, listener, &cancel).await;
        listening.abort();
        finished
    });
    // A thread that still writes a snapshot after a failure must not hold up the exit.
    runtime.shutdown_background();
    reporter.lock().unwrap_or_else(PoisonError::into_inner).finish();
    let finished = finished?;
    Ok(Exit::from_code(finished.ending.exit_code()))
}

/// The first signal asks the run to stop, the second kills it; further ones change nothing: the end is on its way.
async fn listen(canceller: Canceller) {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let Ok([mut interrupt, mut terminate, mut hangup]) = each(kinds.map(signal)) else { return };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        canceller.request(CancelReason::Signal);
    }
}

fn each<T, E>(results: [Result<T, E>; 3]) -> Result<[T; 3], E> {
    let [a, b, c] = results;
    Ok([a?, b?, c?])
}

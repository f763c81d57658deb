//! One run from the command line: a runtime, and the reporter as the listener.

use super::desk;
use super::exit::Exit;
use super::failure::Failure;
use crate::report::Reporter;
use crate::run::cancel::Cancel;
use crate::run::request::RunRequest;
use crate::run::telling::Telling;
use crate::run::{self, Host};

/// Runs the request to its end, which `cancel` brings nearer, and leaves the reporter finished.
///
/// # Errors
/// When there was not even a run to report about.
pub(super) fn run(
    request: &RunRequest,
    host: &Host,
    reporter: Box<dyn Reporter>,
    cancel: &Cancel,
) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Exit::Internal, &error))?;
    let (desk, listener) = desk::open(reporter);
    let telling = Telling::new(listener).behind(desk.backlog());
    let finished = runtime.block_on(run::run(request, host, telling, cancel));
    // Signals are heard until the reader has everything: the last lines may be what it waits with.
    desk.close(cancel);
    // A thread that still writes a snapshot after a failure must not hold up the exit.
    runtime.shutdown_background();
    let finished = finished?;
    Ok(Exit::from_code(finished.ending.exit_code()))
}

//! What is old goes, at the start and once an hour: rows of the database, and of this machine the folders of runs that a
//! server had run, with their logs, and copies of repositories that are no longer watched. How long runs are kept says the
//! server's file, to all workers through the database.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::room;
use super::work::copies::Copies;
use crate::store::database::{Database, Policy, Retention};
use crate::store::{Limits, Runs};

const EVERY: Duration = Duration::from_hours(1);
/// How long logs are kept, and how much of them, where the file says nothing.
const LOGS: SignedDuration = SignedDuration::from_hours(90 * 24);
const LOG_BYTES: u64 = 20 << 30;

/// Sweeps the database and this machine until it is told to stop.
pub(super) async fn run(database: &Database, history: &Runs, copies: &Copies, stop: CancellationToken) {
    loop {
        if let Err(error) = database.sweep(Retention::default()).await {
            tracing::warn!(error = room::words(&error), "old rows were not removed");
        }
        logs(database, history).await;
        copies.sweep().await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Sweeps this machine alone, for a worker whose database another process sweeps.
pub(super) async fn run_here(database: &Database, history: &Runs, copies: &Copies, stop: CancellationToken) {
    loop {
        logs(database, history).await;
        copies.sweep().await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Removes what is too old, or too much.
async fn logs(database: &Database, history: &Runs) {
    let limits = match database.policy().await {
        Ok(policy) => limits(policy),
        Err(error) => {
            tracing::warn!(error = room::words(&error), "it is not known how long logs are kept: none is removed");
            return;
        }
    };
    let history = history.clone();
    let pruned = tokio::task::spawn_blocking(move || history.prune(limits, Timestamp::now())).await;
    match pruned {
        Ok(Ok(pruned)) => {
            for error in &pruned.failures {
                tracing::warn!(error = room::words(error), "an old run was not removed");
            }
        }
        Ok(Err(error)) => tracing::warn!(error = room::words(&error), "old runs were not removed"),
        Err(error) => tracing::warn!(error = room::words(&error), "old runs were not removed"),
    }
}

fn limits(policy: Policy) -> Limits {
    let age = policy.logs_ms.map_or(LOGS, SignedDuration::from_millis);
    let bytes = policy.log_bytes.and_then(|bytes| u64::try_from(bytes).ok());
    Limits::of_server(age, bytes.unwrap_or(LOG_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_kept_for_ninety_days_unless_the_file_says_otherwise() {
        let usual = limits(Policy::default());
        assert_eq!((usual.age, usual.log_bytes), (Some(SignedDuration::from_hours(2160)), 20 << 30));
        let said = limits(Policy { logs_ms: Some(60_000), log_bytes: Some(7), ..Policy::default() });
        assert_eq!((said.age, said.log_bytes, said.hosted), (Some(SignedDuration::from_mins(1)), 7, true));
    }
}

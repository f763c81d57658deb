//! Turns bollard's errors into this room's, and puts time limits on single calls.

use std::error::Error as _;
use std::future::Future;
use std::time::Duration;

use bollard::errors::Error;

use crate::engine::EngineError;

/// No single call that is not a wait takes this long on a healthy engine, not even under load.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// Awaits one call; an engine that falls silent counts as gone.
pub(super) async fn within<T>(
    action: &'static str,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(|error| fault(action, &error)),
        Err(_) => {
            Err(EngineError::Gone { reason: format!("no answer in {} s when asked to {action}", PATIENCE.as_secs()) })
        }
    }
}

/// The engine's refusal in its own words, or that it went away.
pub(super) fn fault(action: &'static str, error: &Error) -> EngineError {
    match error {
        Error::DockerResponseServerError { message, .. } => EngineError::Refused { action, reason: tidy(message) },
        Error::DockerStreamError { error } => EngineError::Refused { action, reason: tidy(error) },
        Error::JsonDataError { message, .. } => EngineError::Refused { action, reason: message.clone() },
        other => EngineError::Gone { reason: format!("{} when asked to {action}", deepest(other)) },
    }
}

/// The HTTP status of a refusal.
pub(super) fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The innermost cause: the outer ones only say "client error".
pub(super) fn deepest(error: &Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        words = inner.to_string();
        source = inner.source();
    }
    words
}

fn tidy(message: &str) -> String {
    message.trim().trim_end_matches('.').to_owned()
}

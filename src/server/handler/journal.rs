//! What is remembered of steps, so that a plan goes on where it was interrupted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which step of which handler for which event. Unique, and the same after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The event's key.
    pub event: String,
    /// The handler's name.
    pub handler: String,
    /// The step: `0`, `2.1` in a group, `2/on_failure.0`, `always.0`, `3/mail` for one of several targets.
    pub index: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {} | {}", self.event, self.handler, self.index)
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It was done.
    Succeeded,
    /// It was tried.
    Failed,
    /// It was not to be done, or there was nothing to do it to.
    Skipped,
    /// Somebody called it off: its run was cancelled, or another took its place.
    Cancelled,
}

impl State {
    /// As results say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing comes after it, unless it says otherwise: it was not done.
    pub(super) const fn stops(self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled)
    }
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it ended.
    pub state: State,
    /// What later steps see of it.
    #[serde(default)]
    pub result: Value,
    /// Why it failed, was called off, or had nothing to be done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What is known of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Recall {
    /// Nothing.
    New,
    /// It was begun, and nobody knows whether it was done.
    Begun,
    /// It ended.
    Finished(Outcome),
}

/// The journal could not be read or written; the plan stops where it is and can be gone on with.
#[derive(Debug, thiserror::Error)]
#[error("what was done could not be noted: {0}")]
pub struct JournalError(pub String);

/// Who remembers.
#[async_trait]
pub trait Journal: Send + Sync {
    /// What is known of a step.
    async fn recall(&self, key: &Key) -> Result<Recall, JournalError>;
    /// Notes that a step is about to be done, with its arguments; it must be on disk when this returns.
    async fn begin(&self, key: &Key, arguments: &Value) -> Result<(), JournalError>;
    /// Notes what came of it; it must be on disk when this returns.
    async fn finish(&self, key: &Key, outcome: &Outcome) -> Result<(), JournalError>;
}

/// A journal that forgets with its process: for tests and rehearsals.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<Key, Recall>>);

impl Memory {
    /// Everything that is known.
    pub fn all(&self) -> BTreeMap<Key, Recall> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn set(&self, key: &Key, recall: Recall) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(key.clone(), recall);
    }
}

#[async_trait]
impl Journal for Memory {
    async fn recall(&self, key: &Key) -> Result<Recall, JournalError> {
        Ok(self.all().remove(key).unwrap_or(Recall::New))
    }

    async fn begin(&self, key: &Key, _arguments: &Value) -> Result<(), JournalError> {
        self.set(key, Recall::Begun);
        Ok(())
    }

    async fn finish(&self, key: &Key, outcome: &Outcome) -> Result<(), JournalError> {
        self.set(key, Recall::Finished(outcome.clone()));
        Ok(())
    }
}

//! Stops a container from elsewhere: TERM, some grace, KILL.
//!
//! A container that has already ended is a success, never an error.

use std::time::Duration;

use async_trait::async_trait;
use bollard::query_parameters::KillContainerOptionsBuilder;
use tokio::sync::watch;
use tokio::time::Instant;

use super::disk;
use super::fate::Fate;
use super::fault::{fault, status};
use crate::engine::{Control, EngineError};

/// How long after its start a container may not have heard a signal, and when it is then asked again.
const BEGINNING: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(500);

/// Signals one container.
pub(super) struct Ladder {
    client: bollard::Docker,
    id: String,
    started: Instant,
    fate: Option<watch::Receiver<Fate>>,
    /// Bytes that it may write to its own layer.
    disk: Option<u64>,
}

impl Ladder {
    pub(super) fn new(
        client: bollard::Docker,
        id: String,
        started: Instant,
        fate: Option<watch::Receiver<Fate>>,
        disk: Option<u64>,
    ) -> Self {
        Self { client, id, started, fate, disk }
    }

    /// Whether it has ended by then; at once where nobody follows it.
    async fn ends_by(&self, by: Instant) -> bool {
        let Some(mut fate) = self.fate.clone() else { return false };
        let ended = fate.wait_for(|fate| fate.code.is_some() || fate.settled);
        tokio::time::timeout_at(by, ended).await.is_ok()
    }

    async fn signal(&self, signal: &str) -> Result<(), EngineError> {
        let options = KillContainerOptionsBuilder::default().signal(signal).build();
        match self.client.kill_container(&self.id, Some(options)).await {
            // 404: gone. 409: not running. 20.10 says 500 for "cannot kill: is not running" in a narrow window.
            Err(error) if !matches!(status(&error), Some(404 | 409)) && !has_ended(&error) => {
                Err(fault("stop a container", &error))
            }
            _ => Ok(()),
        }
    }
}

fn has_ended(error: &bollard::errors::Error) -> bool {
    let words = error.to_string();
    words.contains("is not running")
        || words.contains("no such process")
        || words.contains("already finished")
        || words.contains("can only kill running containers")
        || words.contains("no such container")
        // Podman, where the end comes between its look and its signal.
        || ["stopped", "exited", "removing"].iter().any(|state| words.contains(&format!("state improper: {state}")))
}

#[async_trait]
impl Control for Ladder {
    async fn stop(&self, grace: Duration) -> Result<(), EngineError> {
        let by = Instant::now() + grace;
        self.signal("TERM").await?;
        if self.started.elapsed() < BEGINNING {
            // The kernel throws a signal away that init gets before it has said what it does with it.
            if self.ends_by(by.min(Instant::now() + AGAIN)).await {
                return Ok(());
            }
            self.signal("TERM").await?;
        }
        if self.ends_by(by).await {
            return Ok(());
        }
        self.signal("KILL").await
    }

    async fn kill(&self) -> Result<(), EngineError> {
        self.signal("KILL").await
    }

    async fn out_of_memory(&self) {
        let Some(mut fate) = self.fate.clone() else { return std::future::pending().await };
        if fate.wait_for(|fate| fate.oom_killed).await.is_err() {
            // Nobody follows the container any more: nothing will be told.
            std::future::pending::<()>().await;
        }
    }

    async fn out_of_disk(&self) {
        match self.disk {
            Some(limit) => disk::outgrown(&self.client, &self.id, limit).await,
            None => std::future::pending().await,
        }
    }
}

//! Workers: claim a run, check its commit out, run it with the run core, write how it went.
//!
//! A worker holds its claim by a heartbeat and shows its epoch with every write. When the claim is gone it kills the run at
//! once; before anything is published it asks whether it still holds it. What a dead server left is taken back at the
//! next start: its containers ended with it (`engine` sees to that), so its runs are queued again, never adopted.

pub mod checkout;
mod execute;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::metrics::Metrics;
use super::poll::Watch;
use crate::run::Host;
use crate::store::database::{Database, DatabaseError, QueueLimits, Retry};

/// What a worker may do.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// How many runs at a time, in all and of one repository; how long a claim holds.
    pub limits: QueueLimits,
    /// When infrastructure fails.
    pub retry: Retry,
    /// How long runs may go on when the server is to stop.
    pub drain: Duration,
}

impl Default for Effort {
    fn default() -> Self {
        Self { limits: QueueLimits::default(), retry: Retry::default(), drain: Duration::from_secs(30) }
    }
}

/// Works on runs; clones share everything.
#[derive(Clone)]
pub struct Worker {
    /// The database.
    pub database: Database,
    /// This machine.
    pub host: Host,
    /// What tells this worker from others: the same after every start on this machine and data folder.
    pub name: String,
    /// What is watched: where repositories are, and who may read them.
    pub watches: watch::Receiver<Vec<Arc<Watch>>>,
    /// Where commits are checked out.
    pub folder: PathBuf,
    /// How hard it works.
    pub effort: Effort,
    /// Counters.
    pub metrics: Metrics,
    /// Rings when a run was queued.
    pub queued: Arc<Notify>,
    /// Is rung when a run ended, which is an event.
    pub told: Arc<Notify>,
}

impl Worker {
    /// Takes back what an earlier process of this name held. To be called once, before [`Worker::run`], by who knows that
    /// there is no such process.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn take_back(&self) -> Result<usize, DatabaseError> {
        Ok(self.database.reap(Some(&self.name), self.effort.retry).await?.len())
    }

    /// Works until it is told to stop; then claims no more, lets runs end for a while, and hands the rest back.
    pub async fn run(&self, stop: CancellationToken) {
        let mut works: JoinSet<()> = JoinSet::new();
        let drained = CancellationToken::new();
        while !stop.is_cancelled() {
            match self.next().await {
                Ok(Some(claim)) => {
                    let (worker, drained) = (self.clone(), drained.clone());
                    works.spawn(async move { worker.work(claim, drained).await });
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "no run can be claimed"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.queued.notified() => {}
                Some(_) = works.join_next() => self.told.notify_one(),
                () = tokio::time::sleep(Duration::from_secs(2)) => {}
            }
        }
        let all = async { while works.join_next().await.is_some() {} };
        if tokio::time::timeout(self.effort.drain, all).await.is_err() {
            drained.cancel();
            while works.join_next().await.is_some() {}
        }
    }

    async fn next(&self) -> Result<Option<crate::store::database::Claim>, DatabaseError> {
        for (run, state) in self.database.reap(None, self.effort.retry).await? {
            tracing::warn!(run, state = state.word(), "a run's worker went away");
        }
        self.database.claim(&self.name, self.effort.limits).await
    }
}

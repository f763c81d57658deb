//! Workers: claim a run, check its commit out, have it driven by a process of its own, write how it went.
//!
//! A worker holds its claim by a heartbeat and shows its epoch with every write. When the claim is gone it kills the run at
//! once; before anything is published it asks whether it still holds it. A run belongs to its driver ([`driver`]): it goes
//! on when the worker dies, container, log and all, and the next process of the same worker listens to it from where it
//! began ([`handoff`]). Only runs without a driver, alive or ended, are queued again.

pub mod alone;
pub mod changed;
pub mod checkout;
pub(in crate::server) mod copies;
mod drain;
pub mod driver;
mod execute;
pub mod handoff;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::drain::{Drain, UnderWay};
use self::execute::Start;
use self::handoff::{Handoff, Wish};
use super::metrics::Metrics;
use super::parts::Parts;
use super::poll::Watch;
use super::room;
use crate::run::Host;
use crate::store::database::{Claim, Database, DatabaseError, QueueLimits, Retry};

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
    /// Where the folders of runs with a driver are.
    pub handoffs: PathBuf,
    /// This program, which drives runs when it is started as `driver`.
    pub program: PathBuf,
    /// How hard it works.
    pub effort: Effort,
    /// Counters.
    pub metrics: Metrics,
    /// Rings when a run was queued.
    pub queued: Arc<Notify>,
    /// Is rung when a run ended, which is an event.
    pub told: Arc<Notify>,
    /// Is cancelled when a worker that is to stop shall wait for no run.
    pub hurry: CancellationToken,
}

/// What the worker of a data folder is called. It is made once and kept there, so that it is the same after every start, also
/// in another container, and like no other: machines and folders may be called alike, and whoever has a name takes over what
/// it held.
///
/// # Errors
/// As the file system says.
pub fn name_of(state: &Path) -> std::io::Result<String> {
    let kept = state.join("worker.name");
    for _ in 0..2 {
        match std::fs::read_to_string(&kept) {
            Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut random = [0; 4];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
        let machine = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
        let mut made = tempfile::NamedTempFile::new_in(state)?;
        writeln!(made, "{}:{}#{}", machine.trim(), state.display(), hex::encode(random))?;
        made.as_file().sync_all()?;
        match made.persist_noclobber(&kept) {
            // Read back, as every later start does. Another worker of this folder may have been faster.
            Ok(_) => {}
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.error),
        }
    }
    Err(std::io::Error::other(format!("`{}` holds no name", kept.display())))
}

/// What was left of an earlier process of the same worker.
#[derive(Debug, Default)]
pub struct Left {
    /// Runs that go on, or have ended without anybody listening.
    pub adopted: Vec<Claim>,
    /// How many had no driver, and are queued again.
    pub queued: usize,
}

impl Worker {
    /// The same, which waits for no run once this is cancelled.
    #[must_use]
    pub fn hurrying(self, hurry: &CancellationToken) -> Self {
        Self { hurry: hurry.clone(), ..self }
    }

    /// Takes over what an earlier process of this name held. To be called once, before [`Worker::run`], by who knows that
    /// there is no such process.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn take_over(&self) -> Result<Left, DatabaseError> {
        let (mut left, mut dead) = (Left::default(), Vec::new());
        for claim in self.database.held_by(&self.name).await? {
            let handoff = self.handoff(&claim);
            let (run, lease) = (claim.run.id, self.effort.limits.lease_ms);
            let driven = handoff.is_live() || handoff.has_ended();
            if driven && self.database.resume(run, claim.epoch, &self.name, lease).await? {
                left.adopted.push(claim);
            } else {
                dead.push(run);
            }
        }
        for run in dead {
            left.queued += self.database.abandon(run, self.effort.retry).await?.len();
        }
        self.clear(&left.adopted);
        Ok(left)
    }

    /// Ends drivers that nobody waits for any more, and removes what they and dead processes left.
    fn clear(&self, kept: &[Claim]) {
        let kept: BTreeSet<PathBuf> = kept.iter().map(|claim| self.handoff(claim).path().to_owned()).collect();
        let names = |folder: PathBuf| {
            let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
            found.map(|entry| entry.file_name()).collect::<Vec<_>>()
        };
        for name in names(self.folder.join(checkout::WORK)).into_iter().chain(names(self.handoffs.clone())) {
            let handoff = Handoff::at(&self.handoffs.join(&name));
            if kept.contains(handoff.path()) {
                continue;
            }
            let tree = self.folder.join(checkout::WORK).join(&name);
            tokio::spawn(async move {
                if handoff.is_live() {
                    let _ = handoff.wish(Wish::Kill);
                }
                while handoff.is_live() {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                let _ = handoff.remove();
                let _ = tokio::fs::remove_dir_all(&tree).await;
            });
        }
    }

    /// Goes on with what was taken over, and works until it is told to stop; then claims no more, lets runs end for a
    /// while, and hands the rest back.
    pub async fn run(&self, adopted: Vec<Claim>, stop: CancellationToken) {
        let mut works: JoinSet<()> = JoinSet::new();
        let (under_way, drained) = (UnderWay::default(), CancellationToken::new());
        let begin = |works: &mut JoinSet<()>, claim: Claim, start: Start| {
            let (worker, drained) = (self.clone(), drained.clone());
            let begun = under_way.begin(claim.run.id, self.called(&claim));
            works.spawn(async move {
                worker.work(claim, start, drained).await;
                drop(begun);
            });
        };
        for claim in adopted {
            begin(&mut works, claim, Start::Driver);
        }
        while !stop.is_cancelled() {
            match self.next().await {
                Ok(Some(claim)) => {
                    begin(&mut works, claim, Start::Checkout);
                    continue;
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(error = room::words(&error), "no run can be claimed"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.queued.notified() => {}
                Some(_) = works.join_next() => self.told.notify_one(),
                () = tokio::time::sleep(Duration::from_secs(2)) => {}
            }
        }
        let (patience, every, hurry) = (self.effort.drain, drain::EVERY, self.hurry.clone());
        Drain { patience, every, hurry, drained }.wait(works, &under_way).await;
    }

    /// Works until it is told to stop. After a fault of its own it takes over from itself, as from an earlier process.
    pub(super) async fn keep_at_work(self, adopted: Vec<Claim>, parts: Parts, stop: CancellationToken) {
        let first = Arc::new(Mutex::new(Some(adopted)));
        let begin = move |stop: CancellationToken| {
            let (worker, first) = (self.clone(), Arc::clone(&first));
            async move {
                let given = first.lock().unwrap_or_else(PoisonError::into_inner).take();
                let adopted = match given {
                    Some(adopted) => adopted,
                    None => worker.taken_over(&stop).await,
                };
                worker.run(adopted, stop).await;
            }
        };
        parts.keep("worker", stop, begin).await;
    }

    /// What it held itself, once the database tells.
    async fn taken_over(&self, stop: &CancellationToken) -> Vec<Claim> {
        loop {
            match self.take_over().await {
                Ok(left) => return left.adopted,
                Err(error) => tracing::warn!(error = room::words(&error), "runs are not taken over"),
            }
            tokio::select! {
                () = stop.cancelled() => return Vec::new(),
                () = tokio::time::sleep(Duration::from_secs(2)) => {}
            }
        }
    }

    async fn next(&self) -> Result<Option<Claim>, DatabaseError> {
        for (run, state) in self.database.reap(None, self.effort.retry).await? {
            self.metrics.add("soop_lease_lost_total", &[("seen", "queue")], 1.0);
            tracing::warn!(run, state = state.word(), "its worker went away");
        }
        self.database.claim(&self.name, self.effort.limits).await
    }
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_worker_keeps_its_name_and_shares_it_with_no_other() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = name_of(one.path()).unwrap();
        assert!(name.contains(&one.path().display().to_string()) && !name.contains('\n'), "{name}");
        // Whatever its machine is called by now.
        assert_eq!(name_of(one.path()).unwrap(), name);
        let own = name.rsplit_once('#').unwrap().1;
        assert_ne!(own, name_of(other.path()).unwrap().rsplit_once('#').unwrap().1);
        let made: Vec<String> = std::thread::scope(|scope| {
            let fresh = tempfile::tempdir().unwrap();
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let path = fresh.path().to_owned();
                    scope.spawn(move || name_of(&path).unwrap())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|name| *name == made[0]), "{made:?}");
    }
}

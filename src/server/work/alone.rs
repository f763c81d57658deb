//! A worker as a process of its own, beside a server or on another machine: it claims runs from the server's database.
//!
//! What is watched it reads there; who may read a repository, from a server's file of its own machine, because the
//! database holds no credentials. It never writes the list of repositories, decides no events and answers no requests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::copies::Copies;
use super::{Effort, Worker};
use crate::run::Host;
use crate::server::file::Commits;
use crate::server::metrics::Metrics;
use crate::server::parts::Parts;
use crate::server::poll::Watch;
use crate::server::poll::state::FirstSeen;
use crate::server::room;
use crate::server::serve::{RepoAsk, ServeError, address, lock, named, trusting, watch_of};
use crate::server::stopping::Stopping;
use crate::server::sweep;
use crate::store::Runs;
use crate::store::database::{Database, DatabaseError};

/// How often the list of repositories is read.
const EVERY: Duration = Duration::from_secs(5);

/// What a worker is to do.
pub struct Working {
    /// This machine.
    pub host: Host,
    /// This program: it is started anew for each run.
    pub program: PathBuf,
    /// The server's database.
    pub database: String,
    /// What tells it from others of this data folder.
    pub name: String,
    /// Repositories with their credentials, as the server's file of this machine has them.
    pub known: Vec<RepoAsk>,
    /// How hard it works.
    pub effort: Effort,
}

/// What a worker says once it works.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    /// Runs of an earlier process that go on.
    pub adopted: usize,
    /// Runs of an earlier process that are queued again.
    pub queued: usize,
}

/// Works until it is told to stop, then lets what goes on end, or hands it back.
///
/// # Errors
/// When it cannot begin.
pub async fn work(working: Working, greet: impl FnOnce(Begun) + Send, stopping: Stopping) -> Result<(), ServeError> {
    let stop = stopping.soon().clone();
    working.host.home.ensure()?;
    let state = working.host.home.state();
    let _lock = lock(state, &format!("worker-{}.lock", working.name))?;
    trusting(&working.host)?;
    let database = Database::open(&working.database).await?;
    let mut effort = working.effort;
    effort.limits.lease_ms = database.policy().await?.lease_ms.unwrap_or(effort.limits.lease_ms);
    let (watching, watches) = watch::channel(watches(&database, &working.known).await?);
    let folder = state.join(format!("worker-{}", working.name));
    let worker = Worker {
        database: database.clone(),
        host: working.host.clone(),
        name: format!("{}:{}", named(state)?, working.name),
        watches,
        handoffs: folder.join("drivers"),
        folder,
        program: working.program,
        effort,
        metrics: Metrics::default(),
        queued: Arc::default(),
        told: Arc::default(),
        hurry: stopping.now().clone(),
    };
    let left = worker.take_over().await?;
    greet(Begun { adopted: left.adopted.len(), queued: left.queued });
    let copies = Copies::of(vec![worker.folder.clone()], worker.watches.clone());
    let at_work = tokio::spawn(worker.keep_at_work(left.adopted, Parts::default(), stop.clone()));
    let history = Runs::of(&working.host.home);
    tokio::join!(
        keep_up(&database, &watching, &working.known, &stop),
        sweep::run_here(&database, &history, &copies, stop.clone())
    );
    let _ = at_work.await;
    database.close().await;
    tracing::info!("stopped");
    Ok(())
}

async fn keep_up(
    database: &Database,
    watching: &watch::Sender<Vec<Arc<Watch>>>,
    known: &[RepoAsk],
    stop: &CancellationToken,
) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        match watches(database, known).await {
            Ok(found) => drop(watching.send_replace(found)),
            Err(error) => tracing::warn!(error = room::words(&error), "the list of repositories is not read"),
        }
    }
}

/// What the server watches, with the credentials that are known here.
async fn watches(database: &Database, known: &[RepoAsk]) -> Result<Vec<Arc<Watch>>, DatabaseError> {
    let mut found = Vec::new();
    for repo in database.repos().await? {
        let plain = RepoAsk {
            name: repo.name,
            url: repo.url.clone(),
            prefixes: Vec::new(),
            every: None,
            first_seen: FirstSeen::Record,
            commits: Commits::Latest,
            credential: None,
            key: None,
            concurrency: 1,
            run: serde_json::json!({}),
        };
        let of_file = known.iter().filter_map(|ask| address(ask).ok());
        let address = match of_file.into_iter().find(|address| address.text() == repo.url) {
            Some(address) => address,
            // The server has judged it already.
            None => match address(&plain) {
                Ok(address) => address,
                Err(_) => continue,
            },
        };
        found.push(watch_of(&plain, repo.id, address));
    }
    Ok(found)
}

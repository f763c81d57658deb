//! One life of the server, on threads of its own, so that it can be cut off between any two of its steps.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use soopervisor::run::Host;
use soopervisor::server::file::{self, Commits};
use soopervisor::server::hook::genuine::HookSecrets;
use soopervisor::server::http::Auth;
use soopervisor::server::poll::state::FirstSeen;
use soopervisor::server::serve::{Greeting, RepoAsk, Serving, default_database, serve};
use soopervisor::server::stopping::Stopping;
use soopervisor::server::{poll, work};
use soopervisor::spec::Config;
use soopervisor::store::Home;
use soopervisor::store::database::{Database, Ended, Policy, QueueLimits, Retry, RunState};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::forge::Forge;
use super::load::secret;

const WORKER: &str = "the worker of the soak test";

/// How a life ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing more is done, from one moment to the next.
    CutOff,
    /// It is told to stop.
    InOrder,
}

/// A server that lives.
pub(crate) struct Life {
    /// None once it has ended.
    threads: Option<Runtime>,
    served: Option<JoinHandle<()>>,
    stop: Stopping,
    pub(crate) base: String,
}

/// The server's file: each thing that happens is told once, by a request that must not be repeated.
pub(crate) fn file(forge: &Forge, ear: SocketAddr) -> String {
    let repos: String = (0..forge.repos().len())
        .map(|repo| {
            format!("  - {{url: '{}', name: acme/r{repo}, poll: 1s, storage: 'local:/nowhere'}}\n", forge.url(repo))
        })
        .collect::<Vec<_>>()
        .concat();
    let mut text = format!("http: {{allow: ['127.0.0.1']}}\nrepos:\n{repos}handlers:\n");
    for (name, on, words) in [
        (
            "moved",
            "[push, branch_created, branch_deleted]",
            "{{ event.ref }} {{ event.before or '-' }} {{ event.after or '-' }}",
        ),
        ("offered", "pull_request", "pull {{ event.pull.number }}"),
        ("said", "comment", "comment {{ event.comment.id }}"),
        ("stated", "commit_status", "status {{ event.status.id }}"),
        ("ended", "run_finished", "run {{ event.run.id }}"),
    ] {
        text.push_str(&format!(
            "  - name: {name}\n    on: {on}\n    do:\n      - http: {{url: 'http://{ear}/', body: \"{{{{ event.repo }}}} {words}\"}}\n"
        ));
    }
    text
}

fn serving(home: &Path, text: &str) -> Serving {
    let (file, found) = file::parse("server.yaml", text.as_bytes());
    let file = Arc::new(file.unwrap_or_else(|| panic!("{found:?}")));
    let repos = file.repos.iter().map(|repo| RepoAsk {
        name: repo.name.clone(),
        url: repo.url.clone(),
        prefixes: vec!["refs/heads/".to_owned()],
        every: Some(Duration::from_secs(1)),
        first_seen: FirstSeen::Record,
        commits: Commits::Latest,
        credential: None,
        key: None,
        concurrency: 1,
        run: serde_json::json!({}),
    });
    let mut work = work::Effort::default();
    // Runs are ended by the worker below.
    work.limits.here = 0;
    Serving {
        host: Host::this(Home::at(home), Config::default(), home.to_owned()),
        program: "/nowhere".into(),
        database: None,
        listen: "127.0.0.1:0".parse().unwrap(),
        auth: Auth::Nobody,
        repos: repos.collect(),
        secrets: HookSecrets { github: vec![secret()], ..HookSecrets::default() },
        file: Some(file),
        source: None,
        poll: poll::Effort { rate: 1_000.0, at_once: 64 },
        work,
        policy: Policy::default(),
    }
}

impl Life {
    pub(crate) fn begin(home: &Path, text: &str) -> Self {
        let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (serving, stop) = (serving(home, text), Stopping::default());
        let (told, greeting) = std::sync::mpsc::channel::<SocketAddr>();
        let stopping = stop.clone();
        let served = threads.spawn(async move {
            serve(serving, move |greeting: Greeting| told.send(greeting.address).unwrap(), stopping).await.unwrap();
        });
        let base = format!("http://{}", greeting.recv_timeout(Duration::from_secs(30)).expect("it serves"));
        threads.spawn(end_runs(home.to_owned(), stop.soon().clone()));
        Self { threads: Some(threads), served: Some(served), stop, base }
    }

    pub(crate) async fn database(&self, home: &Path) -> Database {
        Database::open(&default_database(Home::at(home).state())).await.unwrap()
    }

    pub(crate) async fn end(mut self, how: End) -> Self {
        let (threads, served) = (self.threads.take().unwrap(), self.served.take().unwrap());
        if how == End::InOrder {
            self.stop.ask();
            served.await.unwrap();
        }
        // Waiting for threads is no task's business.
        tokio::task::spawn_blocking(move || threads.shutdown_timeout(Duration::from_secs(10))).await.unwrap();
        self
    }

    pub(crate) fn again(self, home: &Path, text: &str) -> Self {
        assert!(self.threads.is_none(), "it has ended");
        Self::begin(home, text)
    }
}

/// Claims every run and ends it, as a worker in a hurry. What the one before it held waits again.
async fn end_runs(home: std::path::PathBuf, stop: CancellationToken) {
    let database = Database::open(&default_database(Home::at(&home).state())).await.unwrap();
    // However often it is cut off, no run is given up.
    let retry = Retry { most: i64::MAX, delay_ms: 0 };
    database.reap(Some(WORKER), retry).await.unwrap();
    while !stop.is_cancelled() {
        let Some(claim) = database.claim(WORKER, QueueLimits::default()).await.unwrap() else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let ended = Ended { state: RunState::Succeeded, exit_code: 0, summary: String::new() };
        database.finish(claim.run.id, claim.epoch, &ended).await.unwrap();
    }
    database.close().await;
}

//! The server with real parts: bare repositories behind git's own HTTP program, a real database, requests over sockets.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod adopt;
#[path = "../fake_forges/mod.rs"]
mod fake_forges;
#[path = "../fake_github/mod.rs"]
mod fake_github;

mod apps;
mod asked;
mod branches;
mod button;
mod commands;
mod delivered;
#[path = "../soak/ear.rs"]
mod ear;
mod examples;
mod forging;
mod fuzzed;
mod git;
mod gitea;
mod gitlab;
mod hangup;
mod held;
mod hook;
mod http;
mod judged;
mod killed;
mod lines;
mod measured;
mod payloads;
mod poll;
mod polled;
#[path = "../ledger/postgres.rs"]
mod postgres;
mod process;
mod promised;
mod ready;
mod scripts;
#[path = "../stores/servers.rs"]
mod servers;
mod settings;
mod ssh;
mod statuses;
mod stopped;
mod workers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use soopervisor::server::file::Commits;
use soopervisor::server::metrics::Metrics;
use soopervisor::server::poll::reading::Reader;
use soopervisor::server::poll::state::FirstSeen;
use soopervisor::server::poll::{Address, Effort, Poller, Watch};
use soopervisor::store::database::{Database, NewRepo};
use soopervisor::web::{Reach, client};

/// What servers need done before they start.
fn run(program: &str, arguments: &[&str]) {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A fresh database.
struct Place {
    database: Database,
    folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", folder.path().join("server.db").display());
        Self { database: Database::open(&address).await.unwrap(), folder }
    }

    fn poller(&self) -> Poller {
        let reader = Reader::new(client(&Reach::default()).unwrap());
        Poller::new(self.database.clone(), reader, Metrics::default(), Effort::default(), Arc::default())
    }

    /// Watches one repository at this address.
    async fn watch(&self, address: Address) -> Arc<Watch> {
        let new = NewRepo { url: address.text(), name: "acme/churn".into(), settings: serde_json::json!({}) };
        self.database.watch(&[new]).await.unwrap();
        let repo = self.database.repo("acme/churn").await.unwrap().id;
        Arc::new(Watch {
            repo,
            name: "acme/churn".into(),
            address,
            prefixes: vec!["refs/heads/".into(), "refs/tags/".into()],
            every: Some(Duration::from_millis(200)),
            first_seen: FirstSeen::Record,
            commits: Commits::Latest,
        })
    }

    /// Kinds of all events, oldest first.
    async fn kinds(&self) -> Vec<String> {
        let mut events = self.database.events(None, 200).await.unwrap();
        events.reverse();
        events.into_iter().map(|event| event.new.kind).collect()
    }
}

/// Waits until something holds.
async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_mins(2), "not within two minutes: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

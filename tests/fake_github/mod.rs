//! GitHub in small: repositories that are real bare ones, and as much of its REST API as we use, with state.
//!
//! Every answer and every request body is held to GitHub's own description (`described`): what does not fit is kept as a
//! complaint, and a test that drops a fake with complaints fails. GraphQL is no part of that description: the one query
//! that we ask is answered with the members that it names. It reaches nothing outside this machine.

#![allow(
    clippy::allow_attributes,
    dead_code,
    unreachable_pub,
    unused_imports,
    missing_docs,
    reason = "each test program uses a part of it"
)]

mod described;
mod doing;
pub mod judges;
mod keys;
mod over_git;
mod schema;
mod serve;
mod state;
mod turns;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

pub use described::{Described, fixture, judge_webhook};
pub use keys::key;
pub use schema::Schema;
pub use state::{Account, Activity, Artifact, Fault, Pull, State, Trouble, WorkflowRun, git};
pub use turns::Turns;

pub struct Shared {
    pub state: Mutex<State>,
    pub described: Described,
    pub folder: tempfile::TempDir,
    pub api: SocketAddr,
}

impl Shared {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub fn complain(&self, what: String) {
        self.state().complaints.push(what);
    }
}

/// A server, until it is dropped.
pub struct FakeGitHub {
    pub shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl FakeGitHub {
    pub async fn start() -> Self {
        let api = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            described: Described::vendored(),
            folder: tempfile::tempdir().unwrap(),
            api: api.local_addr().unwrap(),
        });
        let task = tokio::spawn(serve::api(api, Arc::clone(&shared)));
        Self { shared, task }
    }

    /// As `GITHUB_SERVER_URL` says it.
    pub fn server(&self) -> String {
        format!("http://{}", self.shared.api)
    }

    /// As `GITHUB_API_URL` says it on github.com.
    pub fn api(&self) -> String {
        self.server()
    }

    /// As `GITHUB_API_URL` says it on a server of one's own.
    pub fn enterprise_api(&self) -> String {
        format!("{}/api/v3", self.server())
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// The next requests whose line (`GET /repos/…`) holds `line` go wrong, so many of them.
    pub fn trouble(&self, line: &str, times: usize, fault: Fault) {
        self.state().troubles.push(Trouble { line: line.to_owned(), times, fault });
    }

    /// Request lines so far that hold `part`.
    pub fn asked(&self, part: &str) -> Vec<String> {
        self.state().asked.iter().filter(|line| line.contains(part)).cloned().collect()
    }
}

impl Drop for FakeGitHub {
    fn drop(&mut self) {
        self.task.abort();
        let complaints = std::mem::take(&mut self.state().complaints);
        if !std::thread::panicking() {
            assert!(complaints.is_empty(), "not as GitHub describes it:\n{}", complaints.join("\n"));
        }
    }
}

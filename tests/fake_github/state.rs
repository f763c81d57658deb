//! What the fake remembers, and how tests set it up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::FakeGitHub;
use super::turns::Turns;

/// Who a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    User(String),
    /// An App by its short name; its tokens are of one installation.
    App(String),
}

#[derive(Debug, Clone)]
pub struct Pull {
    pub number: u64,
    pub head_repo: String,
    pub head_branch: String,
    pub base_branch: String,
    pub open: bool,
}

#[derive(Debug, Clone)]
pub struct Comment {
    pub id: u64,
    pub repo: String,
    pub number: u64,
    pub author: Account,
    pub body: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// Each text it had.
    pub history: Vec<String>,
    /// Who reacted, with what.
    pub reactions: Vec<(Account, String)>,
}

/// A face under a comment, with what GitHub tells of it.
#[derive(Debug, Clone)]
pub struct Face {
    pub id: u64,
    pub comment: u64,
    pub author: Account,
    pub content: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone)]
pub struct Activity {
    pub repo: String,
    pub reference: String,
    pub before: String,
    pub after: String,
    pub at: Timestamp,
    pub kind: &'static str,
}

#[derive(Debug, Clone)]
pub struct WorkflowRun {
    pub id: u64,
    pub repo: String,
    pub event: &'static str,
    pub path: String,
    pub title: String,
    /// How it ended.
    pub conclusion: Option<&'static str>,
    /// The pull request whose head it is of.
    pub pull: Option<u64>,
}

impl WorkflowRun {
    /// One of that file that goes on.
    pub fn going(id: u64, repo: &str, file: &str) -> Self {
        let (repo, path, title) = (repo.to_owned(), format!(".github/workflows/{file}"), "soopervisor".to_owned());
        Self { id, repo, event: "issue_comment", path, title, conclusion: None, pull: None }
    }
}

/// What a run of a workflow left.
#[derive(Debug, Clone)]
pub struct Artifact {
    pub id: u64,
    pub repo: String,
    pub name: String,
    pub created: Timestamp,
    pub run: u64,
    pub branch: String,
    pub sha: String,
    /// The code is another repository's.
    pub fork: bool,
    pub expired: bool,
}

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum Fault {
    Status(u16),
    /// 403 with `Retry-After`, as for too many changes.
    Secondary(u64),
    Slow(Duration),
    /// The connection closes without an answer, and nothing was done.
    Cut,
    /// It is done, and the connection closes before the answer.
    Deaf,
}

#[derive(Debug, Clone)]
pub struct Trouble {
    pub line: String,
    pub times: usize,
    pub fault: Fault,
}

#[derive(Debug)]
pub struct State {
    pub next: u64,
    pub private: Vec<String>,
    pub tokens: BTreeMap<String, Account>,
    /// Apps: short name, id, public key.
    pub apps: Vec<(String, String, Vec<u8>)>,
    /// (repository, user) → `admin`, `write`, `read`; others have none in private ones and `read` in public ones.
    pub permissions: BTreeMap<(String, String), String>,
    pub users: Vec<String>,
    pub pulls: BTreeMap<(String, u64), Pull>,
    pub comments: Vec<Comment>,
    /// Reactions under all of them, in order.
    pub faces: Vec<Face>,
    /// In which order requests are answered, where a test says so.
    pub turns: Option<Arc<Turns>>,
    pub activity: Vec<Activity>,
    /// Whose history nobody may read.
    pub silent: Vec<String>,
    /// (repository, sha, body).
    pub statuses: Vec<(String, String, Value)>,
    /// By id: what it was told, in order.
    pub checks: BTreeMap<u64, Vec<Value>>,
    pub labels: BTreeMap<(String, u64), Vec<String>>,
    pub dispatches: Vec<(String, Value)>,
    /// What those started; nobody runs them, so that they end when a test says so.
    pub workflow_runs: Vec<WorkflowRun>,
    pub artifacts: Vec<Artifact>,
    /// Runs of workflows that go on, that are over, and those that were asked to stop.
    pub going: Vec<u64>,
    pub over: Vec<u64>,
    pub cancelled: Vec<u64>,
    pub troubles: Vec<Trouble>,
    pub asked: Vec<String>,
    pub complaints: Vec<String>,
    /// Entries of a page, at most; GitHub's own bound is 100.
    pub page: usize,
    /// How far the server's clock is ahead.
    pub ahead: jiff::SignedDuration,
    pub token_lasts: i64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            next: 1000,
            private: Vec::new(),
            tokens: BTreeMap::new(),
            apps: Vec::new(),
            permissions: BTreeMap::new(),
            users: Vec::new(),
            pulls: BTreeMap::new(),
            comments: Vec::new(),
            faces: Vec::new(),
            turns: None,
            activity: Vec::new(),
            silent: Vec::new(),
            statuses: Vec::new(),
            checks: BTreeMap::new(),
            labels: BTreeMap::new(),
            dispatches: Vec::new(),
            workflow_runs: Vec::new(),
            artifacts: Vec::new(),
            going: Vec::new(),
            over: Vec::new(),
            cancelled: Vec::new(),
            troubles: Vec::new(),
            asked: Vec::new(),
            complaints: Vec::new(),
            page: 100,
            ahead: jiff::SignedDuration::ZERO,
            token_lasts: 3600,
        }
    }
}

impl State {
    pub fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn now(&self) -> Timestamp {
        let now = Timestamp::now() + self.ahead;
        Timestamp::from_second(now.as_second()).unwrap()
    }

    pub fn comment(&mut self, repo: &str, number: u64, author: Account, body: &str, at: Timestamp) -> u64 {
        let id = self.id();
        let (repo, body) = (repo.to_owned(), body.to_owned());
        let history = vec![body.clone()];
        let reactions = Vec::new();
        self.comments.push(Comment { id, repo, number, author, body, created: at, updated: at, history, reactions });
        id
    }
}

/// Runs git and returns what it printed.
pub fn git(folder: &std::path::Path, args: &[&str]) -> String {
    let fixed = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").args(fixed).args(args).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl FakeGitHub {
    /// Where a repository's bare one lies.
    pub fn bare(&self, repo: &str) -> PathBuf {
        self.shared.bare(repo)
    }

    /// Makes an empty repository.
    pub fn repository(&self, repo: &str) {
        let bare = self.bare(repo);
        std::fs::create_dir_all(&bare).unwrap();
        git(&bare, &["init", "-q", "--bare", "-b", "main"]);
        git(&bare, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        git(&bare, &["config", "http.receivepack", "true"]);
    }

    pub fn user(&self, login: &str, token: &str) {
        let mut state = self.state();
        state.users.push(login.to_owned());
        state.tokens.insert(token.to_owned(), Account::User(login.to_owned()));
    }

    pub fn permit(&self, repo: &str, login: &str, permission: &str) {
        self.state().permissions.insert((repo.to_owned(), login.to_owned()), permission.to_owned());
    }

    /// Pushes the branch of a work tree, as somebody would at `at`.
    pub fn push(&self, work: &std::path::Path, repo: &str, branch: &str, at: Timestamp) -> String {
        let bare = self.bare(repo);
        let reference = format!("refs/heads/{branch}");
        let old = Command::new("git").args(["rev-parse", "--verify", "-q", &reference]).current_dir(&bare).output();
        let old = String::from_utf8(old.unwrap().stdout).unwrap().trim().to_owned();
        let after = git(work, &["rev-parse", "HEAD"]);
        git(work, &["push", "-q", "--force", &bare.display().to_string(), &format!("HEAD:{reference}")]);
        let before = if old.is_empty() { "0".repeat(40) } else { old.clone() };
        let kind = if old.is_empty() { "branch_creation" } else { "push" };
        let repo = repo.to_owned();
        self.state().activity.push(Activity { repo, reference, before, after: after.clone(), at, kind });
        let pulls: Vec<_> = self.state().pulls.clone().into_iter().collect();
        for ((base, _), pull) in &pulls {
            self.offer(base, pull);
        }
        after
    }

    /// Opens a pull request of a branch that exists.
    pub fn open_pull(&self, base: &str, pull: Pull) {
        self.offer(base, &pull);
        self.state().pulls.insert((base.to_owned(), pull.number), pull);
    }

    fn offer(&self, base: &str, pull: &Pull) {
        let from = self.bare(&pull.head_repo).display().to_string();
        let what = format!("+refs/heads/{}:refs/pull/{}/head", pull.head_branch, pull.number);
        git(&self.bare(base), &["fetch", "-q", &from, &what]);
    }
}

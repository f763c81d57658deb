//! The built program as a server, for its benchmarks: started with a file, told of things as a forge tells it, asked, killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use serde_json::Value;
use soopervisor::store::database::{Database, RunFilter};

const SECRET: &str = "a secret of the benchmark";

/// What a server is started with, and whether it may use the engine and the user's environments.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    words: Vec<String>,
    engine: bool,
}

impl Place {
    /// With this file, and no engine.
    pub(crate) fn of(file: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("server.yaml");
        fs_err::write(&path, file).expect("a file");
        Self { words: vec!["--config".to_owned(), path.display().to_string()], folder, engine: false }
    }

    /// Without a file: runs of one repository, with the engine, the image and the built environments of whoever runs this.
    pub(crate) fn running(repo: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = format!("local:{}", folder.path().join("results").display());
        let words = ["--poll", "1s", "--storage", &storage, "--repo", &repo.display().to_string()].map(str::to_owned);
        Self { folder, words: words.to_vec(), engine: true }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
        command.env_clear().current_dir("/").stdin(Stdio::null()).env("BENCH_HOOK", SECRET);
        command.env("XDG_STATE_HOME", self.folder.path());
        let kept: &[&str] = if self.engine { &["HOME", "XDG_CACHE_HOME", "DOCKER_HOST"] } else { &[] };
        for name in kept.iter().chain(&["PATH"]) {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        if !self.engine {
            command.env("HOME", self.folder.path()).env("DOCKER_HOST", "unix:///nowhere");
        }
        command
    }

    /// Starts the program, and comes back when it says where it listens.
    pub(crate) fn serve(&self) -> Served {
        let began = Instant::now();
        let mut command = self.program();
        command.args(["serve", "--no-auth", "--listen", "127.0.0.1:0"]).args(&self.words);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut said = Vec::new();
        let base = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it does not serve: {said:?}"));
            match line.strip_prefix("serving on ") {
                Some(base) => break base.to_owned(),
                None => said.push(line),
            }
        };
        // Read on, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Served { child, base, client, began }
    }

    /// Starts a worker of its own beside the server.
    pub(crate) fn worker(&self) -> Working {
        let mut command = self.program();
        let child = command.arg("worker").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Working(child.expect("the program"))
    }

    pub(crate) async fn database(&self) -> Database {
        let path = self.path("soopervisor/server.db");
        Database::open(&format!("sqlite:{}", path.display())).await.expect("a database")
    }
}

/// A worker that runs, killed when it is dropped.
pub(crate) struct Working(Child);

impl Drop for Working {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that runs, killed when it is dropped.
pub(crate) struct Served {
    child: Child,
    base: String,
    client: reqwest::Client,
    began: Instant,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    /// One signed delivery of GitHub's: not yet sent.
    pub(crate) fn delivery(&self, event: &str, id: &str, payload: &Value) -> reqwest::RequestBuilder {
        let body = payload.to_string().into_bytes();
        let proof = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), &body);
        let request = self.client.post(format!("{}/hooks/github", self.base)).header("X-GitHub-Event", event);
        let request = request.header("X-GitHub-Delivery", id).header("Content-Type", "application/json");
        request.header("X-Hub-Signature-256", format!("sha256={}", hex::encode(proof))).body(body)
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.base)).json(body)
    }

    /// How long it took from the start of the process until it was ready.
    pub(crate) async fn ready(&self) -> Duration {
        loop {
            let answer = self.get("/readyz").send().await.expect("an answer");
            if answer.status().is_success() {
                return self.began.elapsed();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Resident memory in MiB: now, and at most so far.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = fs_err::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux tells it");
        let of = |name: &str| {
            let text = status.lines().find_map(|line| line.strip_prefix(name)).expect("the line");
            text.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
        };
        (of("VmRSS:"), of("VmHWM:"))
    }
}

/// Waits until something holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_mins(10), "not within ten minutes: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// When the run of a commit was put in line, in milliseconds since 1970.
pub(crate) async fn queued_at(database: &Database, sha: &str) -> Option<i64> {
    let runs = database.runs(&RunFilter { limit: Some(200), ..RunFilter::default() }).await.expect("a list");
    runs.into_iter().find(|run| run.new.sha == sha).map(|run| run.created_at)
}

/// The value that so many of a hundred do not exceed.
pub(crate) fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    values[(values.len() * percent).div_ceil(100).max(1) - 1]
}

/// What git says in a folder.
pub(crate) fn git(folder: &Path, words: &[&str]) -> String {
    let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "init.defaultBranch=main"];
    let output = Command::new("git").current_dir(folder).args(identity).args(words).output().expect("git");
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

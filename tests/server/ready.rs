//! What `/readyz` of the built program says of the container engine, which comes and goes, and of a disk that is full for a
//! while.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::git::Forge;
use super::process::{Running, program};
use super::until;

const GREETING: &[u8] =
    b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20.10.24 (linux)\r\nContent-Length: 2\r\n\r\nOK";

/// An engine that answers greetings, and does nothing else.
pub(crate) struct Greeter {
    folder: tempfile::TempDir,
    answering: JoinHandle<()>,
}

impl Greeter {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let answering = answer(&folder.path().join("engine.sock"));
        Self { folder, answering }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    /// For `DOCKER_HOST`.
    pub(crate) fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn stop(&self) {
        self.answering.abort();
        std::fs::remove_file(self.socket()).unwrap();
    }

    fn begin_again(&mut self) {
        self.answering = answer(&self.socket());
    }
}

fn answer(socket: &Path) -> JoinHandle<()> {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut asking, _)) = listener.accept().await {
            let mut asked = [0; 1024];
            if asking.read(&mut asked).await.is_ok_and(|length| length > 0) {
                let _ = asking.write_all(GREETING).await;
            }
        }
    })
}

/// The status and what is said.
async fn ready(server: &Running) -> (u16, Value) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{}/readyz", server.base)).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_its_engine_is_not_ready_unless_runs_are_begun_elsewhere() {
    let (home, mut engine) = (tempfile::tempdir().unwrap(), Greeter::start());
    let file = home.path().join("server.yaml");
    std::fs::write(&file, "repos: []\n").unwrap();
    let mut command = program(home.path());
    command.env("DOCKER_HOST", engine.address()).args(["serve", "--config"]).arg(&file);
    let server = Running::spawn(command);
    let is = async |status: u16, engine: bool| {
        let (found, said) = ready(&server).await;
        (found, &said["engine"], &said["database"]) == (status, &engine.into(), &true.into())
    };
    assert!(is(200, true).await, "{:?}", ready(&server).await);
    engine.stop();
    assert!(is(200, true).await, "it is not gone because it is silent once");
    until("it is gone", || async { is(503, false).await }).await;
    engine.begin_again();
    until("it is there again", || async { is(200, true).await }).await;
    server.kill();

    std::fs::write(&file, "{server: {workers: 0}, repos: []}\n").unwrap();
    let server = Running::of_file(home.path(), &file);
    let (status, said) = ready(&server).await;
    assert!(status == 200 && said["engine"].is_null(), "{status} {said}");
}

/// A server whose home is a small disk of its own, in a name space where nothing stays mounted.
fn on_a_small_disk(home: &Path, engine: &Greeter, forge: &Forge) -> Running {
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let mounted = "mount -t tmpfs -o size=8m none \"$SOOPERVISOR_HOME\" && exec \"$0\" \"$@\"";
    command.args(["--", "sh", "-c", mounted, env!("CARGO_BIN_EXE_soopervisor")]);
    command.args(["serve", "--poll", "1s", "--repo"]).arg(forge.bare());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("SOOPERVISOR_HOME", home);
    command.env("DOCKER_HOST", engine.address()).current_dir("/").stdin(Stdio::null());
    Running::spawn(command)
}

/// Takes all of a disk but so little that a transaction begins, and does not come to its end.
fn fill(file: &Path) {
    let mut filling = std::fs::File::create(file).unwrap();
    while filling.write_all(&vec![b'.'; 64 << 10]).is_ok() {}
    let all = filling.metadata().unwrap().len();
    filling.set_len(all - (32 << 10)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_disk_was_full_goes_on_when_there_is_room() {
    let (home, engine, forge) = (tempfile::tempdir().unwrap(), Greeter::start(), Forge::start().await);
    let server = on_a_small_disk(home.path(), &engine, &forge);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let trigger = async || {
        let ask = client.post(format!("{}/api/trigger", server.base)).json(&serde_json::json!({"repo": "acme/churn"}));
        ask.send().await.unwrap().status().as_u16()
    };
    until("a run is asked for", || async { trigger().await == 202 }).await;
    // As the server sees it.
    let within = PathBuf::from(format!("/proc/{}/root{}/fill", server.child.id(), home.path().display()));
    fill(&within);
    until("nothing more is written", || async { trigger().await == 500 }).await;
    for _ in 0..8 {
        trigger().await;
    }
    until("it is not ready", || async { ready(&server).await.0 == 503 }).await;
    std::fs::remove_file(&within).unwrap();
    until("a run is asked for again", || async { trigger().await == 202 }).await;
    until("it is ready again", || async { ready(&server).await.0 == 200 }).await;
}

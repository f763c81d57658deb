//! What `/readyz` of the built program says of the container engine, which comes and goes.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

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

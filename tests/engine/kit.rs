//! What the tests of the engine share: a connection, a spec with plain values, a sink that remembers.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use soopervisor::engine::docker::Docker;
use soopervisor::engine::{
    Carried, Engine, EngineError, ExecSpec, Exit, GuestPath, HostPath, Mount, OutputSink, Purpose, Session,
    SessionSpec, Stream,
};
use soopervisor::secret::Secret;

/// Far beyond what anything here takes, so that a hang is a failed test and not a stuck suite.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// The image that runs are made in, as `images/runner` names it; another one for a quick try.
pub(crate) fn image() -> String {
    if let Ok(image) = std::env::var("SOOPERVISOR_TEST_IMAGE") {
        return image;
    }
    let tag = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/runner/TAG");
    match fs_err::read_to_string(tag) {
        Ok(text) => format!("soopervisor-runner:{}", text.trim()),
        Err(error) => panic!("no runner image: {error}; build it with images/runner/build.sh"),
    }
}

/// The daemon of this machine, with the runner image present.
pub(crate) async fn docker() -> Docker {
    let docker = match Docker::connect(&|name| std::env::var(name).ok()).await {
        Ok(docker) => docker,
        Err(error) => panic!("these tests need Docker: {error}"),
    };
    if let Err(error) = docker.ensure_image(&image(), &mut |_| ()).await {
        panic!("these tests need the runner image (images/runner/build.sh): {error}");
    }
    docker
}

/// A small container without network.
pub(crate) fn spec() -> SessionSpec {
    SessionSpec {
        run: "engine-tests".parse().unwrap(),
        purpose: Purpose::Run,
        image: image(),
        user: (10001, 10001),
        mounts: Vec::new(),
        carried: Carried::default(),
        pipes: None,
        env: BTreeMap::new(),
        workdir: "/tmp".into(),
        memory_bytes: Some(256 << 20),
        cpus: Some(1.0),
        pids: 256,
        disk_bytes: None,
        network: false,
        labels: BTreeMap::new(),
    }
}

/// A script without secrets.
pub(crate) fn script(text: impl Into<String>) -> ExecSpec {
    ExecSpec { script: text.into(), secrets: Vec::new(), nonce: String::new() }
}

/// A script with secrets.
pub(crate) fn script_with(text: &str, secrets: &[(&str, &[u8])]) -> ExecSpec {
    let secrets = secrets.iter().map(|(name, value)| Secret::new(*name, value.to_vec())).collect();
    ExecSpec { script: text.into(), secrets, nonce: String::new() }
}

/// Shows `host` at `guest`.
pub(crate) fn mount(host: &Path, guest: &str, writable: bool) -> Mount {
    Mount { host: HostPath(host.to_owned()), guest: GuestPath(guest.into()), writable }
}

/// A folder that the container's user may write to.
pub(crate) fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs_err::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// Keeps everything.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    pub(crate) gaps: usize,
}

impl Heard {
    pub(crate) fn stdout(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    pub(crate) fn stderr(&self) -> &str {
        std::str::from_utf8(&self.err).unwrap()
    }
}

#[async_trait]
impl OutputSink for Heard {
    async fn output(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stdout => self.out.extend_from_slice(bytes),
            Stream::Stderr => self.err.extend_from_slice(bytes),
        }
    }

    async fn gap(&mut self) {
        self.gaps += 1;
    }
}

/// Starts, runs, closes.
pub(crate) async fn run(engine: &dyn Engine, spec: SessionSpec, exec: ExecSpec) -> (Result<Exit, EngineError>, Heard) {
    let mut heard = Heard::default();
    let mut session = engine.start(spec).await.unwrap();
    let exit = in_time(session.exec(exec, &mut heard)).await;
    session.close().await.unwrap();
    (exit, heard)
}

/// Runs a script that is expected to be told an exit code.
pub(crate) async fn run_script(engine: &dyn Engine, text: impl Into<String>) -> (Exit, Heard) {
    let (exit, heard) = run(engine, spec(), script(text)).await;
    (exit.unwrap(), heard)
}

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing happened for two minutes")
}

/// What the `docker` command says; the tests look at containers through it, not through the code under test.
pub(crate) fn docker_says(arguments: &[&str]) -> String {
    let answer = std::process::Command::new("docker").args(arguments).output().expect("the docker command is needed");
    format!("{}{}", String::from_utf8_lossy(&answer.stdout), String::from_utf8_lossy(&answer.stderr))
}

/// Whether a container of that name exists, in whatever state.
pub(crate) fn exists(name: &str) -> bool {
    docker_says(&["ps", "-a", "--format", "{{.Names}}"]).lines().any(|line| line == name)
}

/// Waits until a container is gone and says how long that took.
pub(crate) async fn gone(name: &str) -> Duration {
    let since = std::time::Instant::now();
    while exists(name) {
        assert!(since.elapsed() < Duration::from_mins(1), "container {name} is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    since.elapsed()
}

/// Closes a session that other tests must not see.
pub(crate) async fn close(session: Box<dyn Session>) {
    session.close().await.unwrap();
}

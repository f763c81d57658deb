//! A real environment: CPython from a channel, ploomber from the package index through uv, in real containers.
//!
//! Needs Docker, the runner image and a package index; what is missing fails these tests with its name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use soopervisor::engine::docker::Docker;
use soopervisor::engine::{
    Carried, Engine, ExecSpec, GuestPath, HostPath, Mount, OutputSink, Purpose, SessionSpec, Stream,
};
use soopervisor::environment::channel;
use soopervisor::environment::{
    Config, EnvironmentError, Inputs, Prepared, RawEnvironment, Request, Store, Wish, network_env,
};
use soopervisor::id::RunId;
use soopervisor::spec::pip;
use tokio_util::sync::CancellationToken;

use crate::engines::Untouchable;

pub(crate) struct Real {
    pub(crate) config: Config,
    pub(crate) docker: Arc<Docker>,
    pub(crate) image: String,
    pub(crate) run: RunId,
}

impl Real {
    /// Everything below one folder that is kept between test runs, since wheels and packages do not change.
    pub(crate) async fn new(store: &Path) -> Self {
        let docker = match Docker::connect(&|name| std::env::var(name).ok()).await {
            Ok(docker) => Arc::new(docker),
            Err(error) => panic!("these tests need Docker: {error}"),
        };
        let reference = image();
        let image = match docker.ensure_image(&reference, &mut |_| ()).await {
            Ok(image) => image.id,
            Err(error) => panic!("these tests need the runner image (images/runner/build.sh): {error}"),
        };
        let mut config = Config::from_host(store.to_owned(), |name| std::env::var(name).ok());
        let channel = tokio::task::spawn_blocking(channel).await.unwrap();
        config.mirrors.insert("conda-forge".to_owned(), vec![channel.display().to_string()]);
        Self { config, docker, image, run: "environment-tests".parse().unwrap() }
    }

    fn inputs(&self, conda: &[&str], lines: &[&str], variables: &[(&str, &str)]) -> Inputs {
        let raw = RawEnvironment {
            channels: Some(vec!["conda-forge".to_owned()]),
            conda: conda.iter().map(|text| (*text).to_owned()).collect(),
            pip: pip::split(lines, "", &mut |_| Err("none".to_owned())).unwrap(),
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        Inputs::new(&raw, &self.config, &|_| None).unwrap()
    }

    pub(crate) async fn ensure(&self, inputs: &Inputs, engine: &dyn Engine) -> Result<Prepared, EnvironmentError> {
        let request =
            Request { inputs, config: &self.config, engine, image: &self.image, run: &self.run, wish: Wish::AsKept };
        let store = Store::open(&self.config.root).unwrap();
        let started = Instant::now();
        let mut say = |line: String| println!("{:6.1} {line}", started.elapsed().as_secs_f32());
        store.ensure(&request, &mut say, &CancellationToken::new()).await
    }

    /// Runs bash in a container as a run would see the environment; returns its output.
    pub(crate) async fn bash(&self, prepared: &Prepared, script: &str) -> (i64, String) {
        let network = network_env(&self.config);
        let mut mounts = network.mounts;
        mounts.push(shown(&prepared.host_prefix, &prepared.guest_prefix));
        mounts.push(shown(&prepared.activation, "/soopervisor/activate.sh"));
        let spec = SessionSpec {
            run: self.run.clone(),
            purpose: Purpose::Run,
            image: self.image.clone(),
            user: self.config.container_user,
            mounts,
            carried: Carried::default(),
            env: BTreeMap::from([("HOME".to_owned(), "/tmp".to_owned())]),
            workdir: "/tmp".to_owned(),
            memory_bytes: None,
            cpus: None,
            pids: 512,
            disk_bytes: None,
            network: false,
            labels: BTreeMap::new(),
        };
        let mut session = self.docker.start(spec).await.unwrap();
        let script = format!("set -eu\n. /soopervisor/activate.sh\n{script}");
        let mut output = Output::default();
        let exec = ExecSpec { script, secrets: Vec::new(), nonce: String::new() };
        let exit = session.exec(exec, &mut output).await.unwrap();
        session.close().await.unwrap();
        (exit.code, String::from_utf8(output.0).unwrap())
    }
}

fn shown(host: &Path, guest: &str) -> Mount {
    Mount { host: HostPath(host.to_owned()), guest: GuestPath(guest.to_owned()), writable: false }
}

#[derive(Default)]
struct Output(Vec<u8>);

#[async_trait]
impl OutputSink for Output {
    async fn output(&mut self, _: Stream, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    async fn gap(&mut self) {
        panic!("output was lost");
    }
}

fn image() -> String {
    if let Ok(image) = std::env::var("SOOPERVISOR_TEST_IMAGE") {
        return image;
    }
    let tag = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/runner/TAG");
    match fs::read_to_string(tag) {
        Ok(text) => format!("soopervisor-runner:{}", text.trim()),
        Err(error) => panic!("no runner image: {error}; build it with images/runner/build.sh"),
    }
}

/// A channel with CPython 3.11, pip, setuptools and wheel; built once, then found as it is.
fn channel() -> PathBuf {
    if let Some(folder) = std::env::var_os("SOOPERVISOR_TEST_CHANNEL") {
        return PathBuf::from(folder);
    }
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("environment-channel");
    let options = channel::Options { to, pythons: vec!["3.11".to_owned()], ..channel::Options::default() };
    match channel::build(&options) {
        Ok(summary) => summary.channel,
        Err(error) => panic!("these tests need a local channel: {error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn installs_ploomber_and_runs_it_from_a_read_only_prefix() {
    let store = tempfile::tempdir().unwrap();
    let mut real = Real::new(store.path()).await;
    let inputs = real.inputs(&["python=3.11", "pip"], &["ploomber==0.23.3"], &[("GREETING", "it's $HOME")]);
    let built = real.ensure(&inputs, real.docker.as_ref()).await.unwrap();
    assert!(!built.reused);
    assert_eq!(built.ploomber, "0.23.3");
    let pip = built.lock["pip"].as_array().unwrap();
    let row = pip.iter().find(|row| row["name"] == "ploomber").unwrap();
    assert!(row["hashes"][0].as_str().unwrap().starts_with("sha256:"), "{row}");
    assert!(pip.len() > 50);

    let (code, out) = real
        .bash(
            &built,
            "command -v python ploomber; printf '%s\\n' \"$GREETING\"; ploomber --version; \
             head -2 \"$SOOPERVISOR_CONSTRAINTS\"; touch \"$CONDA_PREFIX/x\" || echo refused",
        )
        .await;
    assert_eq!(code, 0, "{out}");
    let prefix = &built.guest_prefix;
    for line in [format!("{prefix}/bin/python"), format!("{prefix}/bin/ploomber"), "it's $HOME".to_owned()] {
        assert!(out.lines().any(|l| l == line), "{line} is not in {out}");
    }
    assert!(out.contains("0.23.3") && out.contains("refused"), "{out}");

    let start = Instant::now();
    let again = real.ensure(&inputs, &Untouchable).await.unwrap();
    assert!(again.reused && again.host_prefix == built.host_prefix);
    assert!(start.elapsed() < Duration::from_millis(300), "{:?}", start.elapsed());

    let lock = built.lock.clone();
    drop((built, again));
    assert_eq!(Store::open(store.path()).unwrap().retire(Duration::ZERO).unwrap().len(), 1);
    // No index and no channel answer any more: what is in the caches is enough.
    real.config.mirrors.insert("conda-forge".to_owned(), vec!["/nowhere/at/all".to_owned()]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        real.config.host_env.insert(name.to_owned(), "http://127.0.0.1:9".to_owned());
    }
    for name in ["NO_PROXY", "no_proxy"] {
        real.config.host_env.remove(name);
    }
    let rebuilt = real.ensure(&inputs, real.docker.as_ref()).await.unwrap();
    assert!(!rebuilt.reused && rebuilt.lock == lock && rebuilt.changes.is_empty());
    let (code, out) = real.bash(&rebuilt, "ploomber --version").await;
    assert!(code == 0 && out.contains("0.23.3"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn says_which_requirement_does_not_exist() {
    let store = tempfile::tempdir().unwrap();
    let real = Real::new(store.path()).await;
    let inputs = real.inputs(&["python=3.11"], &["soopervisor-no-such-package-0b3e8b==99"], &[]);
    let error = real.ensure(&inputs, real.docker.as_ref()).await.unwrap_err();
    assert!(error.is_user_fault(), "{error}");
    assert!(error.to_string().contains("soopervisor-no-such-package-0b3e8b"), "{error}");
    let left: Vec<_> = fs::read_dir(store.path().join("e")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_a_source_distribution_apart_from_the_shared_cache() {
    let store = tempfile::tempdir().unwrap();
    let real = Real::new(store.path()).await;
    // A release that exists as a source archive only.
    let inputs = real.inputs(&["python=3.11", "setuptools"], &["docopt==0.6.2", "ploomber==0.23.3"], &[]);
    let built = real.ensure(&inputs, real.docker.as_ref()).await.unwrap();
    let (code, out) = real.bash(&built, "python -c 'import docopt; print(docopt.__version__)'").await;
    assert_eq!((code, out.trim()), (0, "0.6.2"));
}

//! A real environment: CPython from a channel, ploomber from the package index through uv, in real containers.
//!
//! Needs Docker, the runner image and a package index; what is missing fails these tests with its name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
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

use crate::channel::Package;
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
            pip: pip::split(lines, "", &mut |_| Err("none".to_owned())).lines,
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        Inputs::new(&raw, &self.config, &|_| None).unwrap()
    }

    pub(crate) async fn ensure(&self, inputs: &Inputs, engine: &dyn Engine) -> Result<Prepared, EnvironmentError> {
        self.ensure_telling(inputs, engine).await.0
    }

    /// The environment, and what was told on the way.
    async fn ensure_telling(
        &self,
        inputs: &Inputs,
        engine: &dyn Engine,
    ) -> (Result<Prepared, EnvironmentError>, String) {
        let request =
            Request { inputs, config: &self.config, engine, image: &self.image, run: &self.run, wish: Wish::AsKept };
        let store = Store::open(&self.config.root).unwrap();
        let started = Instant::now();
        let mut told = String::new();
        let mut say = |line: String| {
            println!("{:6.1} {line}", started.elapsed().as_secs_f32());
            told = format!("{told}{line}\n");
        };
        let result = store.ensure(&request, &mut say, &CancellationToken::new()).await;
        (result, told)
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
            pipes: None,
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
    let says = "python -c 'import docopt; print(docopt.__version__)'; ploomber --version >/dev/null && echo both";
    let (code, out) = real.bash(&built, says).await;
    assert_eq!((code, out.trim()), (0, "0.6.2\nboth"));
    let row = |lock: &serde_json::Value, name: &str| {
        lock["pip"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone()
    };
    assert_eq!(row(&built.lock, "docopt")["source"], true);
    assert!(row(&built.lock, "ploomber")["content"].as_str().unwrap().starts_with("sha256:"));

    // Another key: its wheels are in the shared cache by now, and only what is built is fetched again.
    let other = real.inputs(&["python=3.11", "setuptools"], &["docopt==0.6.2", "ploomber==0.23.3"], &[("OTHER", "1")]);
    let (second, told) = real.ensure_telling(&other, real.docker.as_ref()).await;
    let second = second.unwrap();
    let wheels = told.split("pip: installing what has a wheel").nth(1).unwrap_or_default();
    let wheels = wheels.split("pip: installing").next().unwrap_or_default();
    assert!(wheels.contains("pip: nothing had to be fetched"), "{told}");
    let (code, out) = real.bash(&second, says).await;
    assert_eq!((code, out.trim()), (0, "0.6.2\nboth"));
    assert_eq!(row(&second.lock, "ploomber"), row(&built.lock, "ploomber"), "the same file, under another prefix");
}

/// A repository of one module, served over plain HTTP to whoever asks.
struct Remote {
    work: PathBuf,
    served: PathBuf,
}

impl Remote {
    fn new(folder: &Path) -> Self {
        let remote = Self { work: folder.join("work"), served: folder.join("served") };
        fs::create_dir(&remote.work).unwrap();
        git(&remote.work, &["init", "-q", "-b", "main"]);
        git(folder, &["init", "-q", "--bare", "-b", "main", "served/tiny.git"]);
        remote
    }

    /// Publishes a version; returns its commit.
    fn release(&self, version: &str) -> String {
        let project = format!(
            "[build-system]\nrequires = [\"setuptools>=61\"]\nbuild-backend = \"setuptools.build_meta\"\n\n[project]\n\
             name = \"tiny\"\nversion = \"{version}\"\n\n[tool.setuptools]\npy-modules = [\"tiny\"]\n"
        );
        fs::write(self.work.join("pyproject.toml"), project).unwrap();
        fs::write(self.work.join("tiny.py"), format!("version = '{version}'\n")).unwrap();
        git(&self.work, &["add", "-A"]);
        git(&self.work, &["commit", "-q", "-m", version]);
        git(&self.work, &["push", "-q", "../served/tiny.git", "main"]);
        git(&self.served.join("tiny.git"), &["update-server-info"]);
        git(&self.work, &["rev-parse", "HEAD"])
    }
}

fn git(folder: &Path, words: &[&str]) -> String {
    let fixed = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"];
    says("git", Some(folder), &[&fixed[..], words].concat())
}

fn says(program: &str, folder: Option<&Path>, words: &[&str]) -> String {
    let output = Command::new(program).args(words).current_dir(folder.unwrap_or(Path::new("/"))).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_git_is_installed_at_a_commit_which_its_lock_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let mut real = Real::new(&folder.path().join("store")).await;
    let extra = folder.path().join("channel");
    crate::channel::write(&extra, &[package("ploomber", "0.23.3", &["python"], &[("share/ploomber", "")])]);
    real.config.mirrors.insert("bioconda".to_owned(), vec![extra.display().to_string()]);
    let remote = Remote::new(folder.path());
    let first = remote.release("1");
    let host = crate::bridge::address();
    let (address, _) = crate::mirrors::serve(&host, Some(remote.served.clone()));
    for name in ["NO_PROXY", "no_proxy"] {
        let before = real.config.host_env.get(name).cloned().unwrap_or_default();
        real.config.host_env.insert(name.to_owned(), format!("{before},{host}"));
    }
    let line = format!("git+{address}/tiny.git");
    let raw = RawEnvironment {
        channels: Some(["conda-forge", "bioconda"].map(str::to_owned).to_vec()),
        conda: ["python=3.11", "pip", "ploomber"].map(str::to_owned).to_vec(),
        pip: pip::split(&[line.as_str(), "click==8.1.7"], "", &mut |_| Err("none".to_owned())).lines,
        variables: BTreeMap::new(),
    };
    let inputs = Inputs::new(&raw, &real.config, &|_| None).unwrap();
    let (built, told) = real.ensure_telling(&inputs, real.docker.as_ref()).await;
    let built = built.unwrap();
    assert!(told.contains("pip: installing what has a wheel"), "{told}");
    let rows = built.lock["pip"].as_array().unwrap().clone();
    let tiny = rows.iter().find(|row| row["name"] == "tiny").unwrap();
    assert_eq!(tiny["commit"], first.as_str(), "{tiny}");
    assert!(rows.iter().any(|row| row["name"] == "click"), "{rows:?}");
    drop(built);

    let second = remote.release("2");
    assert_ne!(first, second);
    assert_eq!(Store::open(&real.config.root).unwrap().retire(Duration::ZERO).unwrap().len(), 1);
    let (again, told) = real.ensure_telling(&inputs, real.docker.as_ref()).await;
    let again = again.unwrap();
    assert!(told.contains("nothing is solved") && again.lock["pip"] == serde_json::json!(rows), "{told}");
    let (code, out) = real.bash(&again, "python -c 'import tiny, click; print(tiny.version)'").await;
    assert_eq!((code, out.trim()), (0, "1"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn post_link_scripts_run_in_order_in_a_container_and_a_failing_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut real = Real::new(&folder.path().join("store")).await;
    let says =
        "[ \"$CONDA_PREFIX\" = \"$PREFIX\" ] && echo \"$PKG_NAME $PKG_VERSION $PKG_BUILDNUM\" >>\"$PREFIX/posted\"\n";
    let first = format!("{says}echo 'a word from zeta' >>\"$PREFIX/.messages.txt\"\n");
    real.config.uv = Some(folder.path().join("none"));
    let publish = |alpha: &str| {
        let (zeta, alpha) = ([("bin/.zeta-post-link.sh", first.as_str())], [("bin/.alpha-post-link.sh", alpha)]);
        let channel = folder.path().join("channel");
        let _ = fs::remove_dir_all(&channel);
        crate::channel::write(
            &channel,
            &[
                package("python", "3.11.7", &[], &[("bin/python", "#!/bin/sh\n"), ("lib/python3.11/os.py", "")]),
                package("pip", "24.0", &["python"], &[("bin/pip", "#!/bin/sh\n")]),
                package("ploomber", "0.23.3", &["python"], &[("bin/ploomber", "#!/bin/sh\n")]),
                package("zeta", "1.2", &[], &zeta),
                package("alpha", "3", &["zeta"], &alpha),
            ],
        );
        channel.display().to_string()
    };
    real.config.mirrors.insert("conda-forge".to_owned(), vec![publish(says)]);
    let inputs = real.inputs(&["python", "pip", "ploomber", "alpha"], &[], &[]);
    let (built, told) = real.ensure_telling(&inputs, real.docker.as_ref()).await;
    let built = built.unwrap();
    assert_eq!(fs::read_to_string(built.host_prefix.join("posted")).unwrap(), "zeta 1.2 0\nalpha 3 0\n");
    assert!(told.contains("a word from zeta") && told.contains("running 2 post-link scripts"), "{told}");
    assert!(!built.host_prefix.join(".messages.txt").exists());

    publish("echo 'no license server'; exit 1\n");
    fs::remove_dir_all(folder.path().join("store")).unwrap();
    let (failed, _) = real.ensure_telling(&inputs, real.docker.as_ref()).await;
    let error = failed.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("the post-link script of alpha 3 failed") && text.contains("no license server"), "{text}");
    assert!(!error.is_user_fault(), "{text}");
    assert!(fs::read_dir(folder.path().join("store/e")).unwrap().next().is_none(), "nothing is left of it");
}

fn package<'a>(
    name: &'a str,
    version: &'a str,
    depends: &'a [&'a str],
    files: &'a [(&'a str, &'a str)],
) -> Package<'a> {
    Package { name, version, depends, files }
}

//! Bytecode that is compiled in the background by real containers: once, whole or not at all, and by nobody who waits.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use soopervisor::engine::Engine;
use soopervisor::environment::{Chore, Inputs, Prepared, RawEnvironment, Room, Store};
use soopervisor::spec::pip;

use crate::channel::{self, Package};
use crate::engines::Untouchable;
use crate::real::Real;

/// A store with real Python, pip and one small wheel; its `ploomber` is an empty package, so that builds are short.
struct Small {
    _folder: tempfile::TempDir,
    real: Real,
    extra: String,
}

impl Small {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let extra = folder.path().join("channel");
        let files = [("share/ploomber", "")];
        channel::write(&extra, &[Package { name: "ploomber", version: "0.23.3", depends: &["python"], files: &files }]);
        let mut real = Real::new(&folder.path().join("store")).await;
        let extra = format!("file://{}", extra.display());
        // A channel that this machine's owner chose: what comes from it is shared.
        real.config.default_channels.push(extra.clone());
        Self { _folder: folder, real, extra }
    }

    fn inputs(&self, round: &str) -> Inputs {
        let raw = RawEnvironment {
            channels: Some(vec!["conda-forge".to_owned(), self.extra.clone()]),
            conda: ["python=3.11", "pip", "ploomber"].map(str::to_owned).to_vec(),
            pip: pip::split(&["click==8.1.7"], "", &mut |_| Err("none".to_owned())).lines,
            variables: BTreeMap::from([("ROUND".to_owned(), round.to_owned())]),
        };
        Inputs::new(&raw, &self.real.config, &|_| None).unwrap()
    }

    async fn build(&self, round: &str) -> Prepared {
        let built = self.real.ensure(&self.inputs(round), self.real.docker.as_ref()).await.unwrap();
        assert!(!built.reused);
        built
    }

    fn chore(&self, prepared: &Prepared) -> Chore {
        let engine = Arc::clone(&self.real.docker) as Arc<dyn Engine>;
        self.chore_with(prepared, engine)
    }

    fn chore_with(&self, prepared: &Prepared, engine: Arc<dyn Engine>) -> Chore {
        let store = Store::open(&self.real.config.root).unwrap();
        let (image, user, run) = (self.real.image.clone(), self.real.config.container_user, self.real.run.clone());
        Chore { store, prepared: prepared.clone(), engine, image, user, run }
    }

    fn root(&self) -> &Path {
        &self.real.config.root
    }

    /// Names of groups on the shelf.
    fn shelf(&self) -> Vec<String> {
        names(&self.root().join("bytecode/cpython-311"))
    }

    fn jobs(&self) -> Vec<String> {
        names(&self.root().join("bytecode/jobs"))
    }

    /// How many groups are being compiled.
    fn parts(&self) -> usize {
        let jobs = self.root().join("bytecode/jobs");
        names(&jobs).first().map_or(0, |job| names(&jobs.join(job).join("files/part")).len())
    }

    /// Loads every compiled file of a prefix, and says how many there are; a half one would not load.
    async fn load_all(&self, prepared: &Prepared) -> usize {
        let script = "python -S -c \"import glob, marshal, sys\n\
                      found = glob.glob(sys.prefix + '/lib/**/*.pyc', recursive=True)\n\
                      for name in found: marshal.loads(open(name, 'rb').read()[16:])\n\
                      print(len(found))\"";
        let (code, out) = self.real.bash(prepared, script).await;
        assert_eq!(code, 0, "{out}");
        out.trim().parse().unwrap()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn docker(arguments: &[&str]) {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Containers that compile for a prefix.
fn containers(prepared: &Prepared) -> Vec<String> {
    let id = prepared.host_prefix.file_name().unwrap().to_str().unwrap();
    let filter = format!("label=soopervisor.environment={id}");
    let output = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn compiled(prepared: &Prepared, file: &str) -> PathBuf {
    prepared.host_prefix.join("lib/python3.11").join(file)
}

const CLICK: &str = "site-packages/click/__pycache__/core.cpython-311.pyc";
const PIP: &str = "site-packages/pip/__pycache__/__init__.cpython-311.pyc";
const OS: &str = "__pycache__/os.cpython-311.pyc";

async fn finish(chore: Chore) {
    let done = tokio::time::timeout(Duration::from_mins(4), chore.run()).await;
    done.expect("compiling ends");
}

async fn eventually(what: &str, check: impl Fn() -> bool) {
    let since = Instant::now();
    while !check() {
        assert!(since.elapsed() < Duration::from_mins(3), "not within three minutes: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_environment_compiled_is_linked_into_every_later_one() {
    let small = Small::new().await;
    let first = small.build("1").await;
    assert!(first.lacks_bytecode() && !first.is_compiled() && !compiled(&first, CLICK).exists());
    finish(small.chore(&first)).await;
    assert!(first.is_compiled() && !first.lacks_bytecode());
    let shelf = small.shelf();
    for kind in ["wheel-", "conda-python-3.11", "conda-pip-", "e-"] {
        assert!(shelf.iter().any(|name| name.starts_with(kind)), "{kind} is not in {shelf:?}");
    }
    assert_eq!(small.jobs(), Vec::<String>::new());
    eventually("its container is gone", || containers(&first).is_empty()).await;

    let second = small.build("2").await;
    assert!(second.is_compiled(), "nothing is left to compile");
    for file in [CLICK, PIP, OS] {
        let [one, two] = [&first, &second].map(|prepared| fs::metadata(compiled(prepared, file)).unwrap());
        assert_eq!((one.ino(), one.nlink()), (two.ino(), 3), "{file}: the shelf and two prefixes");
    }
    let loaded = small.load_all(&second).await;
    assert!(loaded > 800, "{loaded}");
    // Valid where it is linked, and with the names of the prefix that it is in.
    let script = "python -v -c 'import click; print(click.Command.main.__code__.co_filename)' 2>&1 | grep -e '^/opt' \
                  -e 'click/__pycache__/core'";
    let (_, out) = small.real.bash(&second, script).await;
    let file = format!("{}/lib/python3.11/site-packages/click/core.py", second.guest_prefix);
    assert!(out.lines().any(|line| line == file), "{out}");
    assert!(out.contains("code object from") && out.contains("matches"), "{out}");
    // No engine is asked for anything once all is done.
    finish(small.chore_with(&second, Arc::new(Untouchable))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_leaves_whole_files_and_the_next_run_goes_on() {
    let small = Small::new().await;
    let built = small.build("1").await;
    let working = tokio::spawn(small.chore(&built).run());
    eventually("the compiler is at work", || small.parts() > 0).await;
    // We die first: nothing of ours waits for the container any more.
    working.abort();
    tokio::time::sleep(Duration::from_millis(500)).await;
    for container in containers(&built) {
        docker(&["kill", "-s", "KILL", &container]);
    }
    eventually("the container is gone", || containers(&built).is_empty()).await;
    assert!(!built.is_compiled());
    small.load_all(&built).await;
    finish(small.chore(&built)).await;
    assert!(built.is_compiled() && small.jobs().is_empty());
    assert!(small.load_all(&built).await > 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_us_and_whoever_comes_by_takes_what_it_did() {
    let small = Small::new().await;
    let built = small.build("1").await;
    let working = tokio::spawn(small.chore(&built).run());
    eventually("the compiler is at work", || small.parts() > 0).await;
    working.abort();
    // It must not come to its end before we looked.
    let container = containers(&built).remove(0);
    docker(&["pause", &container]);
    assert!(small.real.docker.sweep().await.unwrap().iter().all(|swept| !swept.name.contains("errand")));
    let _ = working.await;
    drop(built);
    let store = Store::open(small.root()).unwrap();
    let done = store.prune(Room { all: true, ..Room::default() }, &[]).unwrap();
    assert_eq!((done.environments.len(), done.in_use.len()), (0, 1), "an errand works with it");
    let built = small.real.ensure(&small.inputs("1"), &Untouchable).await.unwrap();
    docker(&["unpause", &container]);
    eventually("it ends by itself", || containers(&built).is_empty()).await;
    assert!(!built.is_compiled());
    // Two at once, and neither has anything to send.
    tokio::join!(
        finish(small.chore_with(&built, Arc::new(Untouchable))),
        finish(small.chore_with(&built, Arc::new(Untouchable)))
    );
    finish(small.chore_with(&built, Arc::new(Untouchable))).await;
    assert!(built.is_compiled() && small.jobs().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_send_one_errand() {
    let small = Small::new().await;
    let built = small.build("1").await;
    let both = tokio::spawn(futures::future::join(small.chore(&built).run(), small.chore(&built).run()));
    eventually("it is sent", || !containers(&built).is_empty()).await;
    let mut most = 0;
    while !both.is_finished() {
        most = most.max(containers(&built).len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(most, 1);
    // One of them may have given way to the other while it looked.
    finish(small.chore(&built)).await;
    assert!(built.is_compiled());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_of_wheels_under_another_name_only_means_that_nothing_is_shared() {
    let small = Small::new().await;
    let built = small.build("1").await;
    let uv = small.root().join("bench/shared/uv");
    fs::rename(uv.join("archive-v0"), uv.join("archive-v9")).unwrap();
    finish(small.chore(&built)).await;
    assert!(built.is_compiled() && compiled(&built, CLICK).exists());
    let shelf = small.shelf();
    assert!(!shelf.iter().any(|name| name.starts_with("wheel-")), "{shelf:?}");
    assert!(shelf.iter().any(|name| name.starts_with("conda-python")), "{shelf:?}");
}

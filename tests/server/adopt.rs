//! Runs that outlive their server: real containers, the built program, killed as nothing that could prepare for it.
//!
//! Needs a container engine, the runner image and a conda channel that answers (`make setup`); fails without.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use soopervisor::store::database::{Database, Run, RunFilter, RunState};

use super::git::Forge;
use super::process::Running;
use super::until;

pub(crate) const ENVIRONMENT: &str = "name: tiny\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n      - ploomber\n      - jsonschema<4.25\n      - sqlalchemy\n      - pandas\n";
pub(crate) const PIPELINE: &str = "tasks:\n  - source: tasks.count\n    product: output/count.txt\n";

/// A machine with a server, a repository that counts to `lines`, and a storage.
pub(crate) struct Machine {
    home: tempfile::TempDir,
    pub(crate) forge: Forge,
    lines: usize,
}

impl Machine {
    pub(crate) async fn counting(lines: usize) -> Self {
        let forge = Forge::start().await;
        let tasks = format!(
            "import time\nfrom pathlib import Path\n\ndef count(product):\n    for n in range({lines}):\n        \
             print(f'counted {{n}}', flush=True)\n        time.sleep(0.1)\n    Path(product).write_text('done')\n"
        );
        for (name, text) in [("environment.yml", ENVIRONMENT), ("pipeline.yaml", PIPELINE), ("tasks.py", &tasks)] {
            std::fs::write(forge.work().join(name), text).unwrap();
        }
        forge.commit("main", "a pipeline");
        Self { home: tempfile::tempdir().unwrap(), forge, lines }
    }

    /// The program here; built environments are shared with the user's own runs.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
        command.env_clear().env("XDG_STATE_HOME", self.home.path()).current_dir("/").stdin(Stdio::null());
        for name in ["PATH", "HOME", "XDG_CACHE_HOME", "DOCKER_HOST"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    pub(crate) fn start(&self) -> Running {
        let mut command = self.program();
        command.args(["serve", "--poll", "1s", "--storage"]).arg(format!("local:{}", self.path("results").display()));
        command.arg("--repo").arg(self.forge.bare());
        Running::spawn(command)
    }

    pub(crate) async fn database(&self) -> Database {
        let path = self.path("soopervisor/server.db");
        Database::open(&format!("sqlite:{}", path.display())).await.unwrap()
    }

    pub(crate) async fn trigger(&self, database: &Database) {
        until("the first reading", || async { database.repo("acme/churn").await.is_ok_and(|it| it.read_at.is_some()) })
            .await;
        let said = self.program().args(["trigger", "acme/churn", "--mode", "full"]).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }

    /// What the run has written so far.
    pub(crate) fn log(&self, run: &Run) -> String {
        let Some(local) = &run.local_run else { return String::new() };
        std::fs::read_to_string(self.path("soopervisor/runs").join(local).join("log")).unwrap_or_default()
    }

    /// Waits until the pipeline has counted so far.
    pub(crate) async fn counted(&self, database: &Database, line: usize) -> Run {
        let line = format!("counted {line}\n");
        until("the pipeline counts", || async {
            let run = only(database).await;
            run.is_some_and(|run| self.log(&run).contains(&line))
        })
        .await;
        only(database).await.unwrap()
    }

    /// Every line of the count, once, in order.
    pub(crate) fn counted_once(&self, run: &Run) {
        let log = self.log(run);
        // Ploomber's progress bar stands before the first.
        let counted: Vec<&str> = log.lines().filter_map(|line| Some(&line[line.find("counted ")?..])).collect();
        let expected: Vec<String> = (0..self.lines).map(|n| format!("counted {n}")).collect();
        assert_eq!(counted, expected, "{log}");
    }

    /// Folders that were published.
    pub(crate) fn published(&self) -> Vec<PathBuf> {
        let list = |path: &Path| -> Vec<PathBuf> {
            let found = std::fs::read_dir(path).into_iter().flatten().flatten();
            found.map(|entry| entry.path()).collect()
        };
        let folders = list(&self.path("results")).into_iter().flat_map(|project| list(&project));
        folders.filter(|path| path.join("manifest.json").is_file()).collect()
    }

    /// Processes of this machine that drive runs.
    pub(crate) fn drivers(&self) -> Vec<u32> {
        let folder = self.home.path().as_os_str().to_owned().into_encoded_bytes();
        let found = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = found.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = words.split(|byte| *byte == 0).skip(1);
            words.next() == Some(&b"driver"[..]) && words.next().is_some_and(|path| path.starts_with(&folder))
        })
        .collect()
    }
}

async fn only(database: &Database) -> Option<Run> {
    let mut runs = database.runs(&RunFilter::default()).await.unwrap();
    assert!(runs.len() < 2, "{runs:?}");
    runs.pop()
}

/// Ids of the containers of a run that are there in any state.
pub(crate) fn containers(run: &Run) -> Vec<String> {
    let label = format!("label=soopervisor.run={}", run.local_run.as_deref().unwrap());
    let words = ["ps", "-a", "--no-trunc", "-q", "--filter", &label, "--filter", "label=soopervisor.purpose=run"];
    let output = Command::new("docker").args(words).output().unwrap();
    assert!(output.status.success(), "these tests need a container engine: `make setup` installs and starts one");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

pub(crate) async fn ended(database: &Database) -> Run {
    until("the run ended", || async { only(database).await.is_some_and(|run| run.state.has_ended()) }).await;
    only(database).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_finds_its_container_again_and_publishes_what_it_makes() {
    let machine = Machine::counting(150).await;
    let server = machine.start();
    let database = machine.database().await;
    machine.trigger(&database).await;
    let run = machine.counted(&database, 10).await;
    let before = containers(&run);
    server.kill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let while_away = machine.log(&run);
    let _server = machine.start();
    assert_eq!((containers(&run), before.len()), (before, 1), "the same container");
    let run = ended(&database).await;
    assert_eq!((run.state, run.exit_code, run.epoch, run.failures), (RunState::Succeeded, Some(0), 1, 0), "{run:?}");
    assert!(!while_away.contains("counted 149"), "the server was to come back before the end");
    machine.counted_once(&run);
    assert_eq!(database.attempts(run.id).await.unwrap().len(), 1);
    assert_eq!(machine.published().len(), 1);
    let steps: Vec<String> = database.steps(run.id).await.unwrap().into_iter().map(|step| step.name).collect();
    assert_eq!(steps, ["checkout", "validate", "prepare", "execute", "collect", "publish", "report"]);
    let events = database.events(None, 50).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.new.kind == "run_finished").count(), 1);
    until("nothing is left", || async {
        let folders = ["work", "drivers"].map(|name| machine.path("soopervisor/worker").join(name));
        let empty = |folder: &PathBuf| std::fs::read_dir(folder).unwrap().next().is_none();
        containers(&run).is_empty() && machine.drivers().is_empty() && folders.iter().all(empty)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_while_there_was_no_server_is_published_by_the_next_and_not_before() {
    let machine = Machine::counting(30).await;
    let server = machine.start();
    let database = machine.database().await;
    machine.trigger(&database).await;
    let run = machine.counted(&database, 5).await;
    server.kill();
    until("the container ended", || async { containers(&run).is_empty() }).await;
    // Whoever has lost its worker has no right to publish: the run may have been given to another.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(machine.published().is_empty() && machine.drivers().len() == 1);
    let _server = machine.start();
    let run = ended(&database).await;
    assert_eq!((run.state, run.epoch), (RunState::Succeeded, 1), "{run:?}");
    machine.counted_once(&run);
    assert_eq!(machine.published().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_driver_died_with_the_server_begins_anew_and_leaves_no_container() {
    let machine = Machine::counting(40).await;
    let server = machine.start();
    let database = machine.database().await;
    machine.trigger(&database).await;
    let first = machine.counted(&database, 5).await;
    server.kill();
    for pid in machine.drivers() {
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    }
    let _server = machine.start();
    let run = ended(&database).await;
    assert_eq!((run.state, run.epoch, run.failures), (RunState::Succeeded, 2, 1), "{run:?}");
    assert_ne!(run.local_run, first.local_run);
    machine.counted_once(&run);
    until("no container is left", || async { containers(&first).is_empty() && containers(&run).is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_whose_folder_is_gone_ends_with_its_container() {
    let machine = Machine::counting(600).await;
    let server = machine.start();
    let database = machine.database().await;
    machine.trigger(&database).await;
    let run = machine.counted(&database, 5).await;
    server.kill();
    std::fs::remove_dir_all(machine.path("soopervisor/worker/drivers")).unwrap();
    until("both are gone", || async { machine.drivers().is_empty() && containers(&run).is_empty() }).await;
    assert!(machine.published().is_empty());
}

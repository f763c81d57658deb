//! Workers beside a server that runs nothing itself, on Postgres: real processes, real containers, one of them asleep past
//! its lease.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use soopervisor::store::database::{Database, NewRepo, NewRun, RunFilter, RunState};

use super::adopt::Machine;
use super::git::Forge;
use super::postgres::fresh_database;
use super::process::{Running, program};
use super::until;

/// A worker with a data folder of its own, as on a machine of its own. Killed when it is dropped.
struct Worker(Child, PathBuf);

impl Worker {
    fn start(machine: &Machine, name: &str, database: &str) -> Self {
        let home = machine.path(name);
        std::fs::create_dir(&home).unwrap();
        let said = std::fs::File::create(home.join("said")).unwrap();
        let mut command = machine.program();
        command.env("XDG_STATE_HOME", &home).args(["worker", "--database", database]);
        Self(command.stdout(Stdio::null()).stderr(said).spawn().unwrap(), home)
    }

    /// How often the database refused what it had to write, because another has its run.
    fn refused(&self) -> usize {
        let said = std::fs::read_to_string(self.1.join("said")).unwrap();
        said.lines().filter(|line| line.contains("not written") && line.contains("no longer held with epoch 1")).count()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// What its run has written so far.
    fn log(&self) -> String {
        let runs = std::fs::read_dir(self.1.join("soopervisor/runs")).into_iter().flatten().flatten();
        runs.map(|run| std::fs::read_to_string(run.path().join("log")).unwrap_or_default()).collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_slept_past_its_lease_writes_and_publishes_nothing() {
    let machine = Machine::counting(60).await;
    let address = fresh_database();
    let file = machine.path("server.yaml");
    let text = format!(
        "server: {{workers: 0, lease: 2s}}\nrepos:\n  - {{url: '{}', name: acme/churn, poll: 1s, storage: 'local:{}'}}\n",
        machine.forge.url(),
        machine.path("results").display()
    );
    std::fs::write(&file, text).unwrap();
    let mut server = machine.program();
    server.args(["serve", "--database", &address, "--config"]).arg(&file);
    let _server = Running::spawn(server);
    let database = Database::open(&address).await.unwrap();
    let asleep = Worker::start(&machine, "one", &address);
    until("the first reading", || async { database.repo("acme/churn").await.is_ok_and(|it| it.read_at.is_some()) })
        .await;
    let said = machine.program().args(["trigger", "acme/churn", "--database", &address]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    until("the first worker's pipeline counts", || async { asleep.log().contains("counted 5\n") }).await;
    asleep.signal(Signal::STOP);

    let awake = Worker::start(&machine, "two", &address);
    let run = || async { database.runs(&RunFilter::default()).await.unwrap().remove(0) };
    until("the second worker has the run", || async { run().await.epoch == 2 }).await;
    until("the first one's pipeline is done", || async { asleep.log().contains("counted 59\n") }).await;
    until("the run ended", || async { run().await.state.has_ended() }).await;
    let ended = run().await;
    assert_eq!((ended.state, ended.epoch), (RunState::Succeeded, 2), "{ended:?}");
    let known = (database.attempts(ended.id).await.unwrap(), database.steps(ended.id).await.unwrap());
    assert_eq!(machine.drivers().len(), 1, "the first one's driver waits for its worker's word");
    assert_eq!(asleep.refused(), 0, "it slept");

    asleep.signal(Signal::CONT);
    // It tries: to keep its claim, and to say what became of the run.
    until("its writes are refused", || async { asleep.refused() >= 2 }).await;
    until("nothing of the first one is left", || async { machine.drivers().is_empty() }).await;
    // It looks for work again, so everything that it had to say is said.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(run().await, ended);
    assert_eq!((database.attempts(ended.id).await.unwrap(), database.steps(ended.id).await.unwrap()), known);
    let events = database.events(None, 50).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.new.kind == "run_finished").count(), 1);
    let published = machine.published();
    assert_eq!(published.len(), 1);
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(published[0].join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["run"].as_str(), ended.local_run.as_deref(), "published by the one that held the run");
    assert!(awake.log().contains("counted 59\n"));
    assert_eq!(awake.refused(), 0, "whoever holds the run writes what it likes");
}

#[test]
fn a_second_worker_of_one_name_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", home.path().join("it.db").display());
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
        command.env("SOOPERVISOR_HOME", home.path()).args(["worker", "--database", &database]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let mut first = command().spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(first.stderr.take().unwrap()), &mut line).unwrap();
    assert!(line.starts_with("working as `1`"), "{line}");
    let second = command().output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("worker of this name"), "{second:?}");
    kill_process(Pid::from_child(&first), Signal::TERM).unwrap();
    assert!(first.wait().unwrap().success(), "it ends in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn git_of_a_worker_trusts_the_certificates_that_its_machine_is_set_to() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let path = |below: &str| home.path().join(below);
    let (bundle, seen, bin) = (path("company.pem"), path("seen"), path("bin"));
    std::fs::write(&bundle, "# the company's\n").unwrap();
    // Git, which says first whom it was told to trust.
    std::fs::create_dir(&bin).unwrap();
    let script = "#!/bin/sh\necho \"$GIT_SSL_CAINFO\" >>\"$SEEN\"\nPATH=${PATH#*:}\nexport PATH\nexec git \"$@\"\n";
    let script = script.replace("$SEEN", &seen.display().to_string());
    std::fs::write(bin.join("git"), script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bin.join("git"), mode).unwrap();

    let address = format!("sqlite:{}", path("server.db").display());
    let database = Database::open(&address).await.unwrap();
    let url = forge.bare().display().to_string();
    database.watch(&[NewRepo { url, name: "acme/churn".into(), settings: serde_json::json!({}) }]).await.unwrap();
    let run = NewRun {
        key: "k".into(),
        repo: database.repo("acme/churn").await.unwrap().id,
        event: None,
        lane: "l".into(),
        reference: Some("refs/heads/main".into()),
        // Not there: to fetch it is all that is tried.
        sha: "a".repeat(40),
        mode: "full".into(),
        request: serde_json::json!({}),
        priority: 1,
        supersede: false,
    };
    database.enqueue(&run).await.unwrap();
    let paths = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut worker = program(&path("home"));
    worker.env("PATH", paths).env("SOOPERVISOR_CA_BUNDLE", &bundle).args(["worker", "--database", &address]);
    let child = worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _worker = Worker(child, path("home"));
    let told = || std::fs::read_to_string(&seen).unwrap_or_default();
    until("git was started", || async { told().contains('\n') }).await;
    // The system's authorities come behind it.
    let trusted = std::fs::read_to_string(told().lines().next().unwrap()).unwrap();
    assert!(trusted.starts_with("# the company's\n"), "{trusted}");
}

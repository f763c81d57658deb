//! The lines of a server's log, as the built program writes them: for people, for systemd's journal, for programs.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use soopervisor::store::database::RunFilter;

use super::git::Forge;
use super::process::{ask, ledger, program};
use super::until;

/// Killed when it is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What a server says that runs something and is told to end; `journal` makes of stderr what systemd makes of it.
async fn said(options: &[&str], journal: bool) -> Vec<String> {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let path = home.path().join("said");
    let file = std::fs::File::create(&path).unwrap();
    let mut command = program(home.path());
    command.args(["serve", "--no-auth", "--listen", "127.0.0.1:0", "--poll", "1s", "--repo"]).arg(forge.bare());
    if journal {
        let about = file.metadata().unwrap();
        command.env("JOURNAL_STREAM", format!("{}:{}", about.dev(), about.ino()));
    }
    let mut server = Server(command.args(options).stderr(file).stdout(Stdio::null()).spawn().unwrap());
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    until("it listens", || async { text(&path).contains("serving on http://") }).await;
    let database = ledger(home.path()).await;
    until("the first reading", || async { database.repo("acme/churn").await.unwrap().read_at.is_some() }).await;
    assert_eq!(ask(home.path(), &["trigger", "acme/churn"]).0, 0);
    until("the run ended", || async {
        database.runs(&RunFilter::default()).await.unwrap().iter().any(|run| run.state.has_ended())
    })
    .await;
    kill_process(Pid::from_child(&server.0), Signal::TERM).unwrap();
    assert!(server.0.wait().unwrap().success());
    text(&path).lines().map(str::to_owned).collect()
}

/// The only line that says this.
fn the<'a>(lines: &'a [String], what: &str) -> &'a str {
    let found: Vec<_> = lines.iter().filter(|line| line.contains(what)).collect();
    assert_eq!(found.len(), 1, "{what}: {lines:#?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn people_read_when_what_happened_to_which_run_and_no_names_of_modules() {
    let lines = said(&[], false).await;
    let started = the(&lines, " started, full");
    let (time, rest) = started.split_once(' ').unwrap();
    assert!(time.len() == 20 && time.starts_with("20") && time.ends_with('Z'), "{started}");
    assert!(rest.starts_with("INFO run 1 of acme/churn (main "), "{started}");
    assert!(the(&lines, "manual calls for 1 run").contains(" INFO event 1 of acme/churn"), "{lines:#?}");
    // Its end is an event, too.
    let ended = the(&lines, ": the project cannot run: ");
    assert!(ended.contains(" INFO run 1 of acme/churn (main ") && ended.contains(") failed after "), "{ended}");
    assert!(the(&lines, "told to stop").ends_with("Z INFO told to stop: no run is under way"), "{lines:#?}");
    assert!(lines.last().unwrap().ends_with("Z INFO stopped"), "{lines:#?}");
    assert!(!lines.join("\n").contains("soopervisor::"), "{lines:#?}");
    let more = said(&["-v"], false).await;
    assert!(the(&more, " started, full").contains(" INFO soopervisor::server::work::execute run 1 of "), "{more:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_gets_priorities_and_no_second_time() {
    let lines = said(&[], true).await;
    assert!(the(&lines, " started, full").starts_with("<6>INFO run 1 of acme/churn (main "), "{lines:#?}");
    assert_eq!(lines.last().unwrap(), "<6>INFO stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_read_one_object_a_line_with_the_same_names_throughout() {
    let lines = said(&["--log-format", "json"], false).await;
    let objects: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    for object in &objects {
        let text = |name: &str| object[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(text("time") && text("level") && text("message"), "{object}");
        for name in ["run", "event"] {
            assert!(object.get(name).is_none_or(Value::is_i64), "{name} is a number: {object}");
        }
        assert!(object.get("repo").is_none_or(|repo| repo == "acme/churn"), "{object}");
    }
    let of = |name: &str| objects.iter().filter(|object| object.get(name).is_some()).count();
    assert!(of("run") >= 2 && of("event") >= 2, "{lines:#?}");
    let says = |object: &&Value| object["message"].as_str().unwrap().ends_with(" started, full");
    let started = objects.iter().find(says).unwrap();
    assert_eq!((&started["run"], &started["event"]), (&Value::from(1), &Value::from(1)), "{started}");
    assert_eq!((started["level"].as_str(), started["ref"].as_str()), (Some("info"), Some("refs/heads/main")));
}

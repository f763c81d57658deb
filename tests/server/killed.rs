//! The built program, killed as soon as the database shows a state of what was delivered, and started again: it is handled to
//! its end, and once. From the first byte that is kept to the event that a run has ended.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;
use soopervisor::store::database::{Database, Event, Run, RunFilter, RunState, StepKnown};

use super::git::Forge;
use super::hook::{SECRET, sign};
use super::process::{Running, ledger, program};
use super::until;

const HANDLER: &str = "build";

/// States in the order in which one is reached after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The delivery is kept.
    Delivery,
    /// What it means is an event.
    Event,
    /// What is to be done for the event is written.
    Outbox,
    /// A step of it was begun.
    Journal,
    Queued,
    Claimed,
    /// The run has a folder: a process drives it.
    Placed,
    /// It goes through its steps.
    Executing,
    Ended,
    /// The handler is done.
    Done,
}

const ALL: [Seen; 10] = [
    Seen::Delivery,
    Seen::Event,
    Seen::Outbox,
    Seen::Journal,
    Seen::Queued,
    Seen::Claimed,
    Seen::Placed,
    Seen::Executing,
    Seen::Ended,
    Seen::Done,
];

/// One machine, with a repository whose pushes a forge delivers.
struct Machine {
    home: tempfile::TempDir,
    forge: Forge,
    database: Database,
    client: reqwest::Client,
}

impl Machine {
    /// With a server that has read the repository once.
    async fn open() -> (Self, Running) {
        let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
        std::fs::write(home.path().join("secret"), SECRET).unwrap();
        let text = format!(
            "webhooks: {{github: {{secrets: ['file:{}']}}}}\nrepos:\n  - {{url: '{}', poll: off, storage: 'local:/nowhere'}}\n\
             handlers:\n  - name: {HANDLER}\n    on: push\n    do:\n      - log: {{text: first}}\n      - run: {{mode: sample}}\n        \
             continue: true\n      - log: {{text: last}}\n",
            home.path().join("secret").display(),
            forge.url()
        );
        std::fs::write(home.path().join("server.yaml"), text).unwrap();
        let server = Running::of_file(home.path(), &home.path().join("server.yaml"));
        let database = ledger(home.path()).await;
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let machine = Self { home, forge, database, client };
        // What is seen first is noted, and told of nobody.
        let sha = machine.forge.git(&["rev-parse", "HEAD"]);
        assert!(machine.deliver(&server.base, "first", &sha).await);
        until("the first reading", || async { machine.database.repo("acme/churn").await.unwrap().read_at.is_some() })
            .await;
        until("nothing waits", || async { machine.database.waiting().await.unwrap() == (0, 0) }).await;
        (machine, server)
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("server.yaml")
    }

    /// A push, as GitHub tells of it; whether the server says that it has it.
    async fn deliver(&self, base: &str, id: &str, after: &str) -> bool {
        let payload = json!({"ref": "refs/heads/main", "before": "0".repeat(40), "after": after, "commits": [],
            "repository": {"clone_url": self.forge.url(), "default_branch": "main"}});
        let body = payload.to_string().into_bytes();
        let hook = self.client.post(format!("{base}/hooks/github")).header("X-GitHub-Event", "push");
        let hook = hook.header("X-GitHub-Delivery", id).header("content-type", "application/json");
        let sent = hook.header("X-Hub-Signature-256", sign(&body)).body(body).send().await;
        sent.is_ok_and(|answer| answer.status() == 202 || answer.status() == 200)
    }

    async fn event(&self, sha: &str) -> Option<Event> {
        let mut events = self.database.events(None, 50).await.unwrap();
        events.retain(|event| event.new.kind == "push" && event.new.new_sha.as_deref() == Some(sha));
        assert!(events.len() < 2, "one push, one event: {events:?}");
        events.pop()
    }

    async fn run(&self, sha: &str) -> Option<Run> {
        let mut runs = self.database.runs(&RunFilter::default()).await.unwrap();
        runs.retain(|run| run.new.sha == sha);
        assert!(runs.len() < 2, "one push, one run: {runs:?}");
        runs.pop()
    }

    async fn is_done(&self, sha: &str) -> bool {
        let Some(event) = self.event(sha).await else { return false };
        let results = self.database.action_results(event.id, HANDLER).await.unwrap();
        assert!(results.len() < 2, "{results:?}");
        results.iter().any(|(_, state, _)| state == "done")
    }

    /// Whether the database shows this state, or a later one.
    async fn shows(&self, state: Seen, sha: &str) -> bool {
        let run = async |fits: fn(&Run) -> bool| self.run(sha).await.is_some_and(|run| fits(&run));
        match state {
            Seen::Delivery => self.database.waiting().await.unwrap().1 > 0 || self.event(sha).await.is_some(),
            Seen::Event => self.event(sha).await.is_some(),
            Seen::Outbox => {
                let Some(event) = self.event(sha).await else { return false };
                !self.database.action_results(event.id, HANDLER).await.unwrap().is_empty()
            }
            Seen::Journal => {
                let Some(event) = self.event(sha).await else { return false };
                self.database.recall(&event.new.key, HANDLER, "0").await.unwrap() != StepKnown::New
            }
            Seen::Queued => run(|_| true).await,
            Seen::Claimed => run(|run| run.epoch > 0).await,
            Seen::Placed => run(|run| run.local_run.is_some()).await,
            Seen::Executing => {
                let Some(run) = self.run(sha).await else { return false };
                !self.database.steps(run.id).await.unwrap().is_empty()
            }
            Seen::Ended => run(|run| run.state.has_ended()).await,
            Seen::Done => self.is_done(sha).await,
        }
    }

    /// What became of a push, after everything: told, handled and run once.
    async fn is_whole(&self, state: Seen, sha: &str) {
        until("the handler is done", || async { self.is_done(sha).await }).await;
        until("nothing waits", || async { self.database.waiting().await.unwrap() == (0, 0) }).await;
        let (run, event) = (self.run(sha).await.unwrap(), self.event(sha).await.unwrap());
        // The repository has no pipeline.yaml, and the run core says so.
        assert_eq!((run.state, run.exit_code), (RunState::Failed, Some(3)), "{state:?}: {run:?}");
        assert_eq!(run.new.event, Some(event.id), "{state:?}");
        let report = self.database.action_results(event.id, HANDLER).await.unwrap().remove(0).2.unwrap();
        let steps: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["state"].clone()).collect();
        assert_eq!(report["state"], "succeeded", "{state:?}: {report}");
        assert_eq!(steps, ["succeeded", "failed", "succeeded"], "{state:?}: {report}");
        let attempts = self.database.attempts(run.id).await.unwrap();
        let finished = attempts.iter().filter(|one| one.outcome.as_deref() == Some("failed")).count();
        assert_eq!(finished, 1, "{state:?}: it ended once: {attempts:?}");
        let events = self.database.events(None, 50).await.unwrap();
        let ends = events.iter().filter(|event| event.new.kind == "run_finished").count();
        assert_eq!(ends, 1, "{state:?}: its end is told once");
        let left = |name: &str| std::fs::read_dir(self.home.path().join("state/worker").join(name)).unwrap().count();
        until("nothing is left of it", || async { left("drivers") == 0 && left("work") == 0 }).await;
    }
}

/// Delivers a push, kills the server at this state, starts it again, and looks what became of it. How long after the delivery it
/// was killed.
async fn killed_at(state: Seen) -> Duration {
    let (machine, server) = Machine::open().await;
    let sha = machine.forge.commit("main", "pushed");
    let (begun, base) = (Instant::now(), server.base.clone());
    let telling = machine.deliver(&base, "second", &sha);
    let watching = async {
        while !machine.shows(state, &sha).await {
            assert!(begun.elapsed() < Duration::from_mins(1), "{state:?} is never seen");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.kill();
        begun.elapsed()
    };
    let (kept, after) = tokio::join!(telling, watching);
    let server = Running::of_file(machine.home.path(), &machine.file());
    if !kept {
        // It was killed before it could answer: a forge shows that, and somebody asks for it again.
        assert!(machine.deliver(&server.base, "second", &sha).await, "{state:?}");
    }
    machine.is_whole(state, &sha).await;
    // What was handled is handled, also after one more start, and when it is delivered again.
    server.kill();
    let server = Running::of_file(machine.home.path(), &machine.file());
    assert!(machine.deliver(&server.base, "second", &sha).await, "{state:?}");
    machine.is_whole(state, &sha).await;
    after
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_at_any_state_of_a_delivery_handles_it_to_its_end_and_once() {
    let mut took = Vec::new();
    // A few machines at a time.
    for states in ALL.chunks(5) {
        took.extend(join_all(states.iter().map(|state| killed_at(*state))).await);
    }
    assert_eq!(took.len(), ALL.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_the_logs_of_its_runs_for_as_long_as_its_file_says_however_many_there_are() {
    let (machine, server) = Machine::open().await;
    let home = machine.home.path();
    let runs = home.join("state/runs");
    let sha = machine.forge.commit("main", "pushed");
    assert!(machine.deliver(&server.base, "second", &sha).await);
    machine.is_whole(Seen::Done, &sha).await;
    let first = machine.run(&sha).await.unwrap().local_run.unwrap();
    // More than people's own history would keep, one a day.
    let record = std::fs::read_to_string(runs.join(&first).join("run.json")).unwrap();
    let now = jiff::Timestamp::now();
    for age in 1..=60_i64 {
        let at = now - jiff::SignedDuration::from_hours(24 * age);
        let id = format!("{}-{}-t{age:03}", at.strftime("%Y%m%d-%H%M%S"), &sha[..8]);
        let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["hosted"], true, "{record}");
        (record["id"], record["started_at"], record["ended_at"]) =
            (json!(id), json!(at.to_string()), json!(at.to_string()));
        record["status"] = json!(if age % 2 == 0 { "succeeded" } else { "failed" });
        std::fs::create_dir(runs.join(&id)).unwrap();
        std::fs::write(runs.join(&id).join("run.json"), record.to_string()).unwrap();
        std::fs::write(runs.join(&id).join("log"), "a log\n").unwrap();
    }
    let kept = || std::fs::read_dir(&runs).unwrap().count();
    assert_eq!(kept(), 61);
    // Another run, and another start: neither counts them.
    let again = machine.forge.commit("main", "pushed again");
    assert!(machine.deliver(&server.base, "third", &again).await);
    until("the second run ended", || async { machine.is_done(&again).await }).await;
    server.kill();
    let server = Running::of_file(home, &machine.file());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(kept(), 62, "ninety days are not over");
    server.kill();
    let text = std::fs::read_to_string(machine.file()).unwrap();
    std::fs::write(machine.file(), format!("server: {{keep: {{logs: 250h}}}}\n{text}")).unwrap();
    let _server = Running::of_file(home, &machine.file());
    // Of those that went well ten days' are kept, of those that failed twenty.
    until("what is too old goes at the start", || async { kept() == 2 + 5 + 10 }).await;
    assert!(runs.join(&first).join("log").is_file());
}

#[test]
fn an_empty_secret_for_webhooks_is_refused_at_the_start() {
    let home = tempfile::tempdir().unwrap();
    let serve = |value: &str| {
        let mut command = program(home.path());
        command.args(["serve", "--no-auth", "--listen", "127.0.0.1:0", "--repo", "/srv/git/acme/churn"]);
        command.env("SOOPERVISOR_GITLAB_HOOK_SECRET", value).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let output = serve(" \n").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("SOOPERVISOR_GITLAB_HOOK_SECRET") && said.contains("empty"), "{said}");
}

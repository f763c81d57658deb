//! The built program, killed between any two things that it writes of what was delivered, and started again: it is handled to
//! its end, and once. From the first byte that is kept to what is told of the run's end, the outputs being published or not.
//!
//! What keeps it there is in `held`; what its database says at the moment of its death is asserted. Runs that publish need a
//! container engine, the runner image and a conda channel that answers (`make setup`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use soopervisor::store::database::{Database, Event, Run, RunFilter, RunState, StepKnown};

use super::adopt::{ENVIRONMENT, PIPELINE, containers};
use super::ear::Ear;
use super::git::Forge;
use super::held::{Hold, copy_of};
use super::hook::{SECRET, sign};
use super::process::{Running, program};
use super::until;

/// What a push is handled by, and the end of its run.
const BUILD: &str = "build";
const TOLD: &str = "told";

const TASKS: &str = "from pathlib import Path\n\ndef count(product):\n    Path(product).write_text('done')\n";

/// Where a server is killed: what it wrote last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Nothing: a forge delivers, and has no answer.
    Nothing,
    /// The delivery is kept.
    Delivery,
    /// What it means is an event, and the delivery waits as before.
    Unsettled,
    /// It is an event.
    Event,
    /// What is to be done for the event is written.
    Outbox,
    /// Somebody has taken it.
    Taken,
    /// The first step of it was begun.
    Begun,
    /// How that step ended is written.
    Noted,
    /// The step was begun that asks for a run.
    Asking,
    Queued,
    /// A worker has the run, and has not begun to fetch its commit.
    Claimed,
    /// A process drives it.
    Driven,
    /// It has a folder.
    Placed,
    /// Its outputs are collected, and may they be published is not answered.
    Collected,
    /// The answer is yes.
    Granted,
    /// They are in the storage.
    Stored,
    /// What is over is written, but for the end.
    Over,
    /// The run ended, which is an event.
    Ended,
    /// What is to be done for that is written.
    Called,
    /// Somebody has taken it.
    Telling,
    /// It was told, and nobody has written so.
    Heard,
    /// That it was told is written.
    Answered,
    /// The step that asked for the run has not heard of its end.
    Waiting,
    /// All steps are done.
    Closing,
    /// The handlers are done.
    Done,
}

/// As a push goes whose run cannot begin.
const HANDLED: [Seen; 17] = [
    Seen::Nothing,
    Seen::Delivery,
    Seen::Unsettled,
    Seen::Event,
    Seen::Outbox,
    Seen::Taken,
    Seen::Begun,
    Seen::Noted,
    Seen::Asking,
    Seen::Queued,
    Seen::Claimed,
    Seen::Driven,
    Seen::Placed,
    Seen::Over,
    Seen::Waiting,
    Seen::Closing,
    Seen::Done,
];

/// As a run goes that publishes.
const PUBLISHED: [Seen; 12] = [
    Seen::Claimed,
    Seen::Driven,
    Seen::Placed,
    Seen::Collected,
    Seen::Granted,
    Seen::Stored,
    Seen::Over,
    Seen::Ended,
    Seen::Called,
    Seen::Telling,
    Seen::Heard,
    Seen::Answered,
];

impl Seen {
    /// What is written next.
    fn next_write(self) -> Option<&'static str> {
        Some(match self {
            Self::Nothing => "INSERT ON deliveries",
            Self::Delivery => "INSERT ON events WHEN NEW.kind = 'push'",
            Self::Unsettled => "UPDATE ON deliveries WHEN NEW.state = 'done'",
            Self::Event => "INSERT ON outbox WHEN NEW.handler = 'build'",
            Self::Outbox => {
                "UPDATE ON outbox WHEN NEW.handler = 'build' AND OLD.state = 'waiting' AND NEW.state = 'doing'"
            }
            Self::Taken => "INSERT ON journal WHEN NEW.handler = 'build' AND NEW.step = '0' AND NEW.outcome IS NULL",
            Self::Begun => {
                "INSERT ON journal WHEN NEW.handler = 'build' AND NEW.step = '0' AND NEW.outcome IS NOT NULL"
            }
            Self::Noted => "INSERT ON journal WHEN NEW.handler = 'build' AND NEW.step = '1' AND NEW.outcome IS NULL",
            Self::Asking => "INSERT ON runs",
            Self::Queued => "UPDATE ON runs WHEN OLD.state = 'queued' AND NEW.state = 'running'",
            Self::Driven => "UPDATE ON runs WHEN OLD.local_run IS NULL AND NEW.local_run IS NOT NULL",
            Self::Placed => "INSERT ON steps",
            Self::Collected => {
                "UPDATE ON runs WHEN NEW.lease_until > OLD.lease_until \
                 AND EXISTS (SELECT 1 FROM steps WHERE name = 'collect')"
            }
            Self::Granted => "INSERT ON steps WHEN NEW.name = 'publish'",
            Self::Stored => "UPDATE ON runs WHEN OLD.artifacts IS NULL AND NEW.artifacts IS NOT NULL",
            Self::Over => "UPDATE ON runs WHEN OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL",
            Self::Ended => "INSERT ON outbox WHEN NEW.handler = 'told'",
            Self::Called => {
                "UPDATE ON outbox WHEN NEW.handler = 'told' AND OLD.state = 'waiting' AND NEW.state = 'doing'"
            }
            Self::Telling => "INSERT ON journal WHEN NEW.handler = 'told' AND NEW.outcome IS NULL",
            Self::Heard => "INSERT ON journal WHEN NEW.handler = 'told' AND NEW.outcome IS NOT NULL",
            Self::Answered => "UPDATE ON outbox WHEN NEW.handler = 'told' AND NEW.state = 'done'",
            Self::Waiting => {
                "INSERT ON journal WHEN NEW.handler = 'build' AND NEW.step = '1' AND NEW.outcome IS NOT NULL"
            }
            Self::Closing => "UPDATE ON outbox WHEN NEW.handler = 'build' AND NEW.state = 'done'",
            // Between the two it writes nothing, and waits for a lock.
            Self::Claimed | Self::Done => return None,
        })
    }
}

/// What is known of a push.
#[derive(Debug)]
struct Facts {
    /// Deliveries that wait.
    open: i64,
    event: Option<Event>,
    /// How the outbox has it, and its steps: `-` is nothing, `b` is begun, `f` is finished.
    build: (String, String),
    run: Option<Run>,
    /// The run's steps that ended.
    steps: Vec<String>,
    artifacts: bool,
    /// A process was begun that drives the run; it was told that it may publish; it has told the end.
    driver: (bool, bool, bool),
    /// The end of the run is an event, and what is done for it.
    end: Option<Event>,
    told: (String, String),
}

impl Facts {
    /// Whether this is what was written last.
    fn are(&self, seen: Seen, publishes: bool) -> bool {
        let (action, journal) = (self.build.0.as_str(), self.build.1.as_str());
        let told = (self.told.0.as_str(), self.told.1.as_str());
        let last = self.steps.last().map_or("", String::as_str);
        let (driven, granted, over) = self.driver;
        let runs = |placed: bool| {
            let run = self.run.as_ref();
            run.is_some_and(|run| (run.state, run.epoch, run.local_run.is_some()) == (RunState::Running, 1, placed))
        };
        let ended = self.run.as_ref().is_some_and(|run| run.state.has_ended());
        match seen {
            Seen::Nothing => self.open == 0 && self.event.is_none(),
            Seen::Delivery => self.open == 1 && self.event.is_none(),
            Seen::Unsettled => self.open == 1 && self.event.is_some(),
            Seen::Event => self.event.as_ref().is_some_and(|event| event.state == "waiting") && action.is_empty(),
            Seen::Outbox => (action, journal) == ("waiting", "---"),
            Seen::Taken => (action, journal) == ("doing", "---"),
            Seen::Begun => (action, journal) == ("doing", "b--"),
            Seen::Noted => (action, journal) == ("doing", "f--"),
            Seen::Asking => journal == "fb-" && self.run.is_none(),
            Seen::Queued => self.run.as_ref().is_some_and(|run| (run.state, run.epoch) == (RunState::Queued, 0)),
            Seen::Claimed => runs(false) && !driven,
            Seen::Driven => runs(false) && driven,
            Seen::Placed => runs(true) && self.steps.is_empty(),
            Seen::Collected => runs(true) && last == "collect" && !granted,
            Seen::Granted => runs(true) && last == "collect" && granted,
            Seen::Stored => runs(true) && last == "publish" && !self.artifacts,
            Seen::Over => runs(true) && over && self.artifacts == publishes,
            Seen::Ended => ended && self.end.is_some() && told.0.is_empty(),
            Seen::Called => told == ("waiting", "-"),
            Seen::Telling => told == ("doing", "-"),
            Seen::Heard => told == ("doing", "b"),
            Seen::Answered => told == ("doing", "f"),
            Seen::Waiting => ended && journal == "fb-",
            Seen::Closing => (action, journal) == ("doing", "fff"),
            Seen::Done => action == "done" && told == ("done", "f"),
        }
    }
}

/// One machine, with a repository whose pushes a forge delivers, and somebody who hears of the ends of runs.
struct Machine {
    home: tempfile::TempDir,
    forge: Forge,
    database: Database,
    client: reqwest::Client,
    ear: Ear,
    /// It has an engine, and the repository a pipeline.
    publishes: bool,
}

/// The program on a machine; built environments are shared with the user's own runs.
fn program_at(home: &Path, publishes: bool) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
    command.env_clear().env("XDG_STATE_HOME", home).current_dir("/").stdin(Stdio::null());
    for name in ["PATH", "HOME", "XDG_CACHE_HOME", "DOCKER_HOST"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    if !publishes {
        command.env("DOCKER_HOST", "unix:///nowhere").env("HOME", home).env_remove("XDG_CACHE_HOME");
    }
    command
}

impl Machine {
    /// With a server that has read the repository once.
    async fn open(publishes: bool) -> (Self, Running) {
        let (home, forge, ear) = (tempfile::tempdir().unwrap(), Forge::start().await, Ear::start().await);
        if publishes {
            for (name, text) in [("environment.yml", ENVIRONMENT), ("pipeline.yaml", PIPELINE), ("tasks.py", TASKS)] {
                std::fs::write(forge.work().join(name), text).unwrap();
            }
            forge.commit("main", "a pipeline");
        }
        let (secret, results) = (home.path().join("secret"), home.path().join("results"));
        std::fs::write(&secret, SECRET).unwrap();
        let text = format!(
            "webhooks: {{github: {{secrets: ['file:{}']}}}}\nhttp: {{allow: ['127.0.0.1']}}\nrepos:\n  - {{url: '{}', poll: off, \
             storage: 'local:{}'}}\nhandlers:\n  - name: {BUILD}\n    on: push\n    do:\n      - log: {{text: first}}\n      - run: \
             {{mode: full}}\n        continue: true\n      - log: {{text: last}}\n  - name: {TOLD}\n    on: run_finished\n    \
             do:\n      - http: {{url: 'http://{}/', body: 'run {{{{ event.run.id }}}}'}}\n",
            secret.display(),
            forge.url(),
            results.display(),
            ear.address
        );
        std::fs::write(home.path().join("server.yaml"), text).unwrap();
        let server = serve(home.path(), publishes);
        let database = home.path().join("soopervisor/server.db");
        let database = Database::open(&format!("sqlite:{}", database.display())).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let machine = Self { home, forge, database, client, ear, publishes };
        // What is seen first is noted, and told of nobody.
        let sha = machine.forge.git(&["rev-parse", "HEAD"]);
        assert!(machine.deliver(&server.base, "first", &sha).await);
        until("the first reading", || async { machine.database.repo("acme/churn").await.unwrap().read_at.is_some() })
            .await;
        until("nothing waits", || async { machine.database.waiting().await.unwrap() == (0, 0) }).await;
        (machine, server)
    }

    fn start(&self) -> Running {
        serve(self.home.path(), self.publishes)
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("server.yaml")
    }

    /// The program's own folder.
    fn state(&self, below: &str) -> PathBuf {
        self.home.path().join("soopervisor").join(below)
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

    /// What is done for an event: its row in the outbox, and its first steps.
    async fn handled(&self, event: Option<&Event>, handler: &str, steps: usize) -> (String, String) {
        let Some(event) = event else { return (String::new(), "-".repeat(steps)) };
        let mut rows = self.database.action_results(event.id, handler).await.unwrap();
        assert!(rows.len() < 2, "{rows:?}");
        let mut journal = String::new();
        // Steps of an end are noted under the name that handlers know it by.
        let key = match &event.new.payload["run"] {
            Value::Number(run) => format!("run_finished acme/churn {run}"),
            _ => event.new.key.clone(),
        };
        for step in 0..steps {
            journal.push(match self.database.recall(&key, handler, &step.to_string()).await.unwrap() {
                StepKnown::New => '-',
                StepKnown::Begun => 'b',
                StepKnown::Finished(_) => 'f',
            });
        }
        (rows.pop().map(|row| row.1).unwrap_or_default(), journal)
    }

    /// What a handler reported.
    async fn report(&self, event: &Event, handler: &str) -> Value {
        self.database.action_results(event.id, handler).await.unwrap().remove(0).2.unwrap()
    }

    /// The event that the end of a run is; there is never a second one.
    async fn end_of(&self, run: &Run) -> Option<Event> {
        let mut events = self.database.events(None, 50).await.unwrap();
        events.retain(|event| event.new.kind == "run_finished" && event.new.new_sha.as_ref() == Some(&run.new.sha));
        assert!(events.len() < 2, "a run ends once: {events:?}");
        events.pop()
    }

    async fn facts(&self, sha: &str) -> Facts {
        let (event, run) = (self.event(sha).await, self.run(sha).await);
        let (mut steps, mut artifacts, mut end, mut driver) = (Vec::new(), false, None, (false, false, false));
        if let Some(run) = &run {
            steps.extend(self.database.steps(run.id).await.unwrap().into_iter().map(|step| step.name));
            artifacts = self.database.artifacts(run.id).await.unwrap().is_some();
            end = self.end_of(run).await;
            let folder = self.state("worker/drivers").join(format!("{}-{}", run.id, run.epoch));
            let said = std::fs::read_to_string(folder.join("events")).unwrap_or_default();
            driver = (folder.exists(), folder.join("publish").exists(), said.contains(r#""told":"ended""#));
        }
        let build = self.handled(event.as_ref(), BUILD, 3).await;
        let told = self.handled(end.as_ref(), TOLD, 1).await;
        let open = self.database.waiting().await.unwrap().1;
        Facts { open, event, build, run, steps, artifacts, driver, end, told }
    }

    async fn is_done(&self, sha: &str) -> bool {
        self.facts(sha).await.are(Seen::Done, self.publishes)
    }

    /// Folders that were published.
    fn published(&self) -> Vec<PathBuf> {
        let list = |path: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        let folders = list(&self.home.path().join("results")).into_iter().flat_map(|project| list(&project));
        folders.filter(|path| path.join("manifest.json").is_file()).collect()
    }

    /// What became of a push, after everything: handled, run, published and told once.
    async fn is_whole(&self, seen: Seen, sha: &str) {
        until("the handlers are done", || async { self.is_done(sha).await }).await;
        until("nothing waits", || async { self.database.waiting().await.unwrap() == (0, 0) }).await;
        let facts = self.facts(sha).await;
        let (run, event, end) = (facts.run.unwrap(), facts.event.unwrap(), facts.end.unwrap());
        // Without a pipeline.yaml, the run core says so.
        let expected = if self.publishes { (RunState::Succeeded, 0) } else { (RunState::Failed, 3) };
        assert_eq!((run.state, run.exit_code), (expected.0, Some(expected.1)), "{seen:?}: {run:?}");
        assert_eq!(run.new.event, Some(event.id), "{seen:?}");
        // Whoever dies before a process drives the run begins it anew, and nobody else does.
        assert_eq!(run.epoch, if seen == Seen::Claimed { 2 } else { 1 }, "{seen:?}: {run:?}");
        let attempts = self.database.attempts(run.id).await.unwrap();
        let finished = attempts.iter().filter(|one| one.outcome.as_deref() == Some(expected.0.word())).count();
        assert_eq!((finished, attempts.len()), (1, usize::try_from(run.epoch).unwrap()), "{seen:?}: {attempts:?}");
        let report = self.report(&event, BUILD).await;
        let steps: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["state"].clone()).collect();
        assert_eq!(report["state"], "succeeded", "{seen:?}: {report}");
        assert_eq!(steps, ["succeeded", expected.0.word(), "succeeded"], "{seen:?}: {report}");
        // Whether it was told is not known to who was killed before that was written, so it is told no second time.
        let report = self.report(&end, TOLD).await;
        let unsure = [Seen::Heard, Seen::Waiting, Seen::Closing];
        if report["state"] == "succeeded" {
            assert_ne!(seen, Seen::Heard, "{report}");
        } else {
            assert!(unsure.contains(&seen) && report.to_string().contains("not done again"), "{seen:?}: {report}");
        }
        self.published_once(seen, &run);
        let left = |name: &str| std::fs::read_dir(self.state("worker").join(name)).unwrap().count();
        until("nothing is left of it", || async { left("drivers") == 0 && left("work") == 0 }).await;
        if self.publishes {
            until("no container is left", || async { containers(&run).is_empty() }).await;
        }
    }

    fn published_once(&self, seen: Seen, run: &Run) {
        let published = self.published();
        assert_eq!(published.len(), usize::from(self.publishes), "{seen:?}: {published:?}");
        for folder in published {
            let manifest: Value =
                serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
            assert_eq!(manifest["run"].as_str(), run.local_run.as_deref(), "{seen:?}");
            assert_eq!(std::fs::read_to_string(folder.join("output/count.txt")).unwrap(), "done", "{seen:?}");
        }
    }
}

fn serve(home: &Path, publishes: bool) -> Running {
    let mut command = program_at(home, publishes);
    command.args(["serve", "--config"]).arg(home.join("server.yaml"));
    Running::spawn(command)
}

/// What keeps a server where it is.
enum Kept {
    Write(Hold),
    Lock(std::fs::File),
    Nothing,
}

impl Kept {
    async fn at(machine: &Machine, seen: Seen) -> Self {
        match seen.next_write() {
            Some(write) => Self::Write(Hold::before(write, &machine.state("server.db")).await),
            None if seen == Seen::Claimed => Self::Lock(copy_of(&machine.forge.url(), &machine.state("worker"))),
            None => Self::Nothing,
        }
    }

    async fn is_met(&self) -> bool {
        match self {
            Self::Write(hold) => hold.is_met().await,
            Self::Lock(_) | Self::Nothing => true,
        }
    }

    async fn lift(self) {
        match self {
            Self::Write(hold) => hold.lift().await,
            Self::Lock(file) => drop(file),
            Self::Nothing => {}
        }
    }
}

/// Delivers a push, kills the server where it is kept, starts it again, and looks what became of it.
async fn killed_at(seen: Seen, publishes: bool) {
    let (machine, server) = Machine::open(publishes).await;
    let sha = machine.forge.commit("main", "pushed");
    let kept = Kept::at(&machine, seen).await;
    let (begun, base) = (Instant::now(), server.base.clone());
    let telling = machine.deliver(&base, "second", &sha);
    let watching = async {
        // What is written after it, nobody gets to: it is met, or will be.
        while !(machine.facts(&sha).await.are(seen, publishes) && kept.is_met().await) {
            let facts = machine.facts(&sha).await;
            assert!(begun.elapsed() < Duration::from_mins(3), "{seen:?} is never met: {facts:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.kill();
        let facts = machine.facts(&sha).await;
        assert!(facts.are(seen, publishes), "{seen:?} is where it was killed: {facts:?}");
    };
    let (answered, ()) = tokio::join!(telling, watching);
    assert_eq!(answered, seen != Seen::Nothing, "{seen:?}: an answer says that it is kept");
    kept.lift().await;
    let server = machine.start();
    if !answered {
        // A forge shows that it got no answer, and somebody asks for it again.
        assert!(machine.deliver(&server.base, "second", &sha).await, "{seen:?}");
    }
    machine.is_whole(seen, &sha).await;
    let run = machine.run(&sha).await.unwrap();
    let once = BTreeMap::from([(format!("run {}", run.id), 1)]);
    assert_eq!(machine.ear.take(), once, "{seen:?}: its end is told once");
    // What was handled is handled, also after one more start, and when it is delivered again.
    server.kill();
    let server = machine.start();
    assert!(machine.deliver(&server.base, "second", &sha).await, "{seen:?}");
    machine.is_whole(seen, &sha).await;
    assert_eq!(machine.run(&sha).await.unwrap(), run, "{seen:?}");
    assert!(machine.ear.take().is_empty(), "{seen:?}: nothing is told a second time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_between_any_two_writes_handles_a_delivery_to_its_end_and_once() {
    // A few machines at a time.
    for states in HANDLED.chunks(4) {
        join_all(states.iter().map(|seen| killed_at(*seen, false))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_between_any_two_writes_of_a_run_publishes_and_tells_it_once() {
    for states in PUBLISHED.chunks(3) {
        join_all(states.iter().map(|seen| killed_at(*seen, true))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_the_logs_of_its_runs_for_as_long_as_its_file_says_however_many_there_are() {
    let (machine, server) = Machine::open(false).await;
    let runs = machine.state("runs");
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
        let mut record: Value = serde_json::from_str(&record).unwrap();
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
    let server = machine.start();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(kept(), 62, "ninety days are not over");
    server.kill();
    let text = std::fs::read_to_string(machine.file()).unwrap();
    std::fs::write(machine.file(), format!("server: {{keep: {{logs: 250h}}}}\n{text}")).unwrap();
    let _server = machine.start();
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

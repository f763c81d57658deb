//! The built program as a server: started, asked, killed, started again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use soopervisor::store::database::{Database, RunFilter, RunState};

use super::fake_github::git;
use super::forging::{REPO, Scene};
use super::git::Forge;
use super::until;

pub(crate) fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("SOOPERVISOR_HOME", home);
    // No engine: what is not valid never comes so far.
    command.env("DOCKER_HOST", "unix:///nowhere").current_dir("/").stdin(Stdio::null());
    command
}

/// A server, killed when it is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// `http://127.0.0.1:…`
    pub(crate) base: String,
    /// What it said besides.
    pub(crate) said: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(home: &Path, forge: &Forge) -> Self {
        let mut command = program(home);
        command.args(["serve", "--poll", "1s", "--repo"]).arg(forge.bare());
        Self::spawn(command)
    }

    pub(crate) fn of_file(home: &Path, file: &Path) -> Self {
        let mut command = program(home);
        command.args(["serve", "--config"]).arg(file);
        Self::spawn(command)
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        command.arg("--no-auth");
        Self::guarded(command)
    }

    /// One that asks for tokens.
    pub(crate) fn guarded(mut command: Command) -> Self {
        command.args(["--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        // What is wrong with its settings it may say before.
        let greeted =
            |line: &std::io::Result<String>| line.as_ref().unwrap().starts_with("serving on http://127.0.0.1:");
        let first = lines.find(greeted).unwrap().unwrap();
        // Read on, so that it never waits for us.
        let said = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&said);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        let base = first.trim_start_matches("serving on ").to_owned();
        Self { child, base, said }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn ask(home: &Path, words: &[&str]) -> (i32, String) {
    let output = program(home).args(words).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn the_example_is_served_once_its_secrets_have_values_and_names_those_that_have_none() {
    let home = tempfile::tempdir().unwrap();
    let example = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/server/server.yaml"));
    let (code, said) = ask(home.path(), &["serve", "--config", example.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 2, "{said}");
    for name in ["DEPLOY_TOKEN", "SLACK_WEBHOOK"] {
        assert!(said.contains(name), "{name}\n{said}");
    }
    let mut command = program(home.path());
    for name in ["DEPLOY_TOKEN", "SLACK_WEBHOOK", "GITHUB_TOKEN", "WEBHOOK_SECRET"] {
        command.env(name, "a-value-of-tests");
    }
    command.args(["serve", "--config"]).arg(example);
    // Starting asserts that it serves.
    Running::spawn(command).kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_arguments_says_what_to_write_and_reads_it_once_it_is_there() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let (home, file) = (home.path(), home.path().join("server.yaml"));
    let bare = || {
        let mut command = program(home);
        command.arg("serve");
        command
    };
    let (next, written) = ("no repositories are watched: write ", file.display().to_string());
    let tells = |text: &str| text.contains(next) && text.contains(&written);
    // One that asks for tokens tells how to get the first, as with a file.
    let guarded = Running::guarded(bare());
    let said = || guarded.said.lock().unwrap().join("\n");
    until("it says what is next", || async { said().contains("/api/setup") && tells(&said()) }).await;
    assert!(said().contains(&format!("soopervisor handlers check {written}")), "{}", said());
    guarded.kill();

    let server = Running::spawn(bare());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| {
        let answer = client.get(format!("{}{path}", server.base)).send().await.unwrap();
        answer.text().await.unwrap()
    };
    let repos = async || serde_json::from_str::<serde_json::Value>(&get("/api/repos").await).unwrap();
    assert!(tells(&get("/").await), "{}", get("/").await);
    let listed = repos().await;
    assert!(listed["repos"] == serde_json::json!([]) && tells(listed["help"].as_str().unwrap()), "{listed}");
    // To be asked to read what is not there is no fault.
    rustix::process::kill_process(rustix::process::Pid::from_child(&server.child), rustix::process::Signal::HUP)
        .unwrap();
    let ready = async || serde_json::from_str::<serde_json::Value>(&get("/readyz").await).unwrap();
    std::fs::write(&file, "repos: what\n").unwrap();
    until("a wrong one is told", || async { !ready().await["settings"].as_array().unwrap().is_empty() }).await;
    let help = repos().await["help"].as_str().unwrap().to_owned();
    assert!(help.contains(&format!("{written}:1:")) && !help.contains(next), "{help}");
    assert!(help.contains(&format!("soopervisor handlers check {written}")), "{help}");
    std::fs::remove_file(&file).unwrap();
    until("it went with the file", || async { ready().await["settings"] == serde_json::json!([]) }).await;
    std::fs::write(&file, format!("repos: [{{url: '{}', poll: 1s}}]\n", forge.url())).unwrap();
    let database = ledger(home).await;
    let read = || async { database.repo("acme/churn").await.is_ok_and(|repo| repo.read_at.is_some()) };
    until("the repository is read", read).await;
    assert!(!get("/").await.contains(next) && repos().await["help"].is_null());
    server.kill();
    // The next start finds it.
    let server = Running::spawn(bare());
    forge.commit("main", "one");
    until("its pushes are told", || async { !database.events(None, 10).await.unwrap().is_empty() }).await;
    assert!(!server.said.lock().unwrap().join("\n").contains(next));
}

pub(crate) async fn ledger(home: &Path) -> Database {
    Database::open(&format!("sqlite:{}", home.join("state/server.db").display())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_runs_what_it_is_asked_for_and_ends_in_order() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let home = home.path();
    let (code, said) = ask(home, &["trigger", "acme/churn"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("soopervisor serve"), "{said}");
    let mut server = Running::start(home, &forge);
    let database = ledger(home).await;
    until("the first reading", || async { database.repo("acme/churn").await.unwrap().read_at.is_some() }).await;
    let (code, said) = ask(home, &["trigger", "acme/chrn"]);
    assert!(code == 2 && said.contains("did you mean `acme/churn`?"), "{said}");
    let (code, said) = ask(home, &["trigger", "acme/churn", "--ref", "nowhere"]);
    assert_eq!(code, 2, "{said}");
    let (code, said) = ask(home, &["trigger", "acme/churn", "--mode", "sample"]);
    assert_eq!(code, 0, "{said}");
    until("the run ended", || async {
        database.runs(&RunFilter::default()).await.unwrap().iter().any(|run| run.state.has_ended())
    })
    .await;
    let run = &database.runs(&RunFilter::default()).await.unwrap()[0];
    // The repository has no pipeline.yaml: the run core says so, and it is no fault of the infrastructure.
    assert_eq!((run.state, run.exit_code, run.epoch), (RunState::Failed, Some(3), 1), "{run:?}");
    assert_eq!(run.new.mode, "sample");
    // Why, and in which file, stands wherever anybody looks for it.
    let summary = run.summary.as_deref().unwrap();
    assert!(summary.starts_with("the project cannot run: ") && summary.contains("pipeline.yaml"), "{summary}");
    let steps = database.steps(run.id).await.unwrap();
    let failed = steps.iter().find(|step| step.outcome == "failed").unwrap();
    assert!(failed.name == "validate" && failed.detail.contains("pipeline.yaml"), "{steps:?}");
    let folder = home.join("state/runs").join(run.local_run.as_deref().unwrap());
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    assert!(log.contains("pipeline.yaml") && log.contains("the project cannot run: "), "{log}");
    let (_, shown) = ask(home, &["show", run.local_run.as_deref().unwrap()]);
    assert!(shown.contains("error ") && shown.contains("pipeline.yaml"), "{shown}");
    let work: Vec<_> = std::fs::read_dir(home.join("state/worker/work")).unwrap().collect();
    assert!(work.is_empty(), "no work tree is left: {work:?}");
    let mut second = program(home);
    let second = second.args(["serve", "--no-auth", "--listen", "127.0.0.1:0", "--repo", "/x"]).output().unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another server"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&server.child), rustix::process::Signal::TERM)
        .unwrap();
    assert!(server.child.wait().unwrap().success());
    let (code, token) = ask(home, &["token", "create", "ci", "--scope", "run"]);
    assert!(code == 0 && token.starts_with("soop_"), "{token}");
    let (_, list) = ask(home, &["token", "list"]);
    assert!(list.contains("ci  run  until") && !list.contains(token.trim()), "{list}");
    assert_eq!(ask(home, &["token", "revoke", "1"]).0, 0);
    assert_eq!(ask(home, &["token", "revoke", "7"]).0, 2);
    let copy = home.join("copy.db");
    assert_eq!(ask(home, &["admin", "backup", copy.to_str().unwrap()]).0, 0);
    let copy = Database::open(&format!("sqlite:{}", copy.display())).await.unwrap();
    assert_eq!(copy.runs(&RunFilter::default()).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_again_and_again_loses_nothing_and_repeats_nothing() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let home = home.path();
    let server = Running::start(home, &forge);
    let database = ledger(home).await;
    until("the first reading", || async { database.repo("acme/churn").await.unwrap().read_at.is_some() }).await;
    server.kill();
    let mut asked = 0;
    for round in 0..8_u64 {
        forge.commit("main", &format!("round {round}"));
        let server = Running::start(home, &forge);
        assert_eq!(ask(home, &["trigger", "acme/churn"]).0, 0);
        asked += 1;
        // Killed earlier or later: before the event is handled, the run claimed, checked out, ended.
        tokio::time::sleep(Duration::from_millis(round * 90)).await;
        server.kill();
    }
    let _server = Running::start(home, &forge);
    until("everything ended", || async {
        let runs = database.runs(&RunFilter { limit: Some(100), ..RunFilter::default() }).await.unwrap();
        runs.len() == asked && runs.iter().all(|run| run.state.has_ended())
    })
    .await;
    let tip = forge.git(&["rev-parse", "HEAD"]);
    until("the last push is told", || async {
        let events = database.events(None, 200).await.unwrap();
        events.iter().any(|event| event.new.kind == "push" && event.new.new_sha.as_ref() == Some(&tip))
    })
    .await;
    until("every event is handled", || async { database.waiting().await.unwrap() == (0, 0) }).await;
    let runs = database.runs(&RunFilter { limit: Some(100), ..RunFilter::default() }).await.unwrap();
    let ended = runs.iter().filter(|run| run.state != RunState::Superseded).count();
    let events = database.events(None, 200).await.unwrap();
    let of = |kind: &str| events.iter().filter(|event| event.new.kind == kind).count();
    assert_eq!(of("manual"), asked);
    assert_eq!(of("run_finished"), ended, "each run ended once");
    // Every push begins where the one before ended: none is told twice, none is left out of the chain.
    let mut pushes: Vec<_> = events.iter().filter(|event| event.new.kind == "push").collect();
    pushes.reverse();
    for pair in pushes.windows(2) {
        assert_eq!(pair[0].new.new_sha, pair[1].new.old_sha);
    }
    for run in &runs {
        let attempts = database.attempts(run.id).await.unwrap();
        let finished = attempts.iter().filter(|one| one.outcome.as_deref() == Some("failed")).count();
        assert!(finished <= 1 && attempts.len() <= 3, "{run:?} {attempts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_by_hand_is_what_was_pushed_last_however_seldom_it_is_read() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let (home, file) = (home.path(), home.path().join("server.yaml"));
    let text = format!("repos:\n  - {{url: '{}', poll: off, storage: 'local:/nowhere'}}\n", forge.url());
    std::fs::write(&file, text).unwrap();
    let server = Running::of_file(home, &file);
    let database = ledger(home).await;
    let asked = |words: &[&str], sha: &str| {
        let (code, said) = ask(home, &[&["trigger", "acme/churn"][..], words].concat());
        assert!(code == 0 && said.contains(sha), "{said}");
    };
    asked(&[], &forge.git(&["rev-parse", "HEAD"]));
    let second = forge.commit("main", "second");
    asked(&[], &second);
    // Made since it was last read.
    let third = forge.commit("feat/x", "third");
    asked(&["--ref", "feat/x"], &third);
    let (code, said) = ask(home, &["trigger", "acme/churn", "--ref", "nowhere"]);
    assert!(code == 2 && said.contains("no branch or tag `nowhere`"), "{said}");
    // Asked for while no server is there: the next one reads it.
    server.kill();
    let mut asking = program(home);
    let asking = asking.args(["trigger", "acme/churn"]).stdout(Stdio::piped()).spawn().unwrap();
    until("it is asked for", || async { database.waiting().await.unwrap().0 > 0 }).await;
    forge.git(&["checkout", "-q", "main"]);
    let fourth = forge.commit("main", "fourth");
    let _server = Running::of_file(home, &file);
    let said = String::from_utf8(asking.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains(&fourth), "{said}");
    let runs = || async { database.runs(&RunFilter::default()).await.unwrap() };
    let of =
        |runs: &[soopervisor::store::database::Run], sha: &str| runs.iter().filter(|run| run.new.sha == sha).count();
    until("all of them were queued", || async { runs().await.len() == 4 }).await;
    for sha in [&second, &third, &fourth] {
        assert_eq!(of(&runs().await, sha), 1, "{sha}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dependents_are_rebuilt_from_what_was_pushed_last_to_them() {
    let (home, forge, other) = (tempfile::tempdir().unwrap(), Forge::start().await, Forge::start().await);
    let (home, file) = (home.path(), home.path().join("server.yaml"));
    let text = format!(
        "repos:\n  - {{url: '{}', poll: 1s, storage: 'local:/nowhere', dependents: [report]}}\n  - {{url: '{}', name: report, \
         project: report, poll: off, storage: 'local:/nowhere'}}\nhandlers:\n  - {{name: rebuild, on: push, do: {{trigger: {{repos: \
         dependents}}}}}}\n",
        forge.url(),
        other.url()
    );
    std::fs::write(&file, text).unwrap();
    let _server = Running::of_file(home, &file);
    let database = ledger(home).await;
    until("the first reading", || async { database.repo("acme/churn").await.unwrap().read_at.is_some() }).await;
    assert_eq!(ask(home, &["trigger", "report"]).0, 0);
    let latest = other.commit("main", "what nobody has read yet");
    forge.commit("main", "a change");
    let runs = || async { database.runs(&RunFilter::default()).await.unwrap() };
    until("it is rebuilt", || async { runs().await.len() == 2 }).await;
    let newest = runs().await.remove(0);
    assert_eq!(newest.new.sha, latest);
    let report = database.repo("report").await.unwrap();
    assert_eq!((newest.new.repo, newest.new.reference.as_deref()), (report.id, Some("refs/heads/main")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_goes_through_the_handlers_of_the_file_also_after_a_kill() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let (home, file) = (home.path(), home.path().join("server.yaml"));
    let text = format!(
        "repos:\n  - {{url: '{}', branches: [main, 'feat/*'], poll: 1s, storage: 'local:/nowhere'}}\nhandlers:\n  - name: \
         sample\n    on: push\n    when: event.branch.startswith(\"feat/\")\n    do:\n      - log: {{text: \
         'for {{{{ event.branch }}}}'}}\n      - run: {{mode: sample}}\n      - log: {{text: never}}\n    on_failure:\n      - log: \
         {{text: '{{{{ failure.step }}}}'}}\n",
        forge.url()
    );
    std::fs::write(&file, text).unwrap();
    let server = Running::of_file(home, &file);
    let database = ledger(home).await;
    until("the first reading", || async { database.repo("acme/churn").await.unwrap().read_at.is_some() }).await;
    forge.commit("main", "not for the handler");
    let sha = forge.commit("feat/x", "for the handler");
    let outbox = |event: i64| {
        let database = database.clone();
        async move { database.action_results(event, "sample").await.unwrap() }
    };
    until("the run is queued", || async { !database.runs(&RunFilter::default()).await.unwrap().is_empty() }).await;
    // Wherever it is by now, the next server goes on.
    server.kill();
    let _server = Running::of_file(home, &file);
    let found = || async {
        let events = database.events(None, 50).await.unwrap();
        events.into_iter().find(|event| event.new.kind == "branch_created").unwrap()
    };
    let event = found().await;
    until("the handler ended", || async { outbox(event.id).await.iter().any(|(_, state, _)| state == "done") }).await;
    let runs = database.runs(&RunFilter::default()).await.unwrap();
    assert_eq!(runs.len(), 1, "one push, one run: {runs:?}");
    assert_eq!((runs[0].new.sha.as_str(), runs[0].new.mode.as_str()), (sha.as_str(), "sample"));
    assert_eq!((runs[0].state, runs[0].exit_code), (RunState::Failed, Some(3)));
    let report = outbox(event.id).await.remove(0).2.unwrap();
    assert_eq!(report["state"], "failed");
    let steps: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["index"].clone()).collect();
    assert_eq!(steps, ["0", "1", "on_failure.0"], "{report}");
    // What it would do for an event that it has recorded can be seen before a handler is changed.
    let test = |id: i64| ask(home, &["handlers", "test", file.to_str().unwrap(), "--event-id", &id.to_string()]);
    let (code, said) = test(event.id);
    assert!(code == 0 && said.contains("for feat/x") && said.contains("its criterion holds"), "{said}");
    let (code, said) = test(9_999);
    assert!(code == 2 && said.contains("there is no event `9999`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_commit_that_names_the_project_of_another_repository_stays_in_its_own() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let (home, file) = (home.path(), home.path().join("server.yaml"));
    let text = format!(
        "repos:\n  - {{url: '{}', poll: 1s, storage: 'local:{}'}}\nhandlers:\n  - {{name: all, on: push, do: {{run: {{}}}}}}\n",
        forge.url(),
        home.join("results").display()
    );
    std::fs::write(&file, text).unwrap();
    let _server = Running::of_file(home, &file);
    let database = ledger(home).await;
    until("the first reading", || async { database.repo("acme/churn").await.unwrap().read_at.is_some() }).await;
    let files = [
        ("environment.yml", super::adopt::ENVIRONMENT),
        ("pipeline.yaml", super::adopt::PIPELINE),
        ("tasks.py", "def count(product):\n    pass\n"),
        ("soopervisor.yaml", "project: of-others\n"),
    ];
    for (name, text) in files {
        std::fs::write(forge.work().join(name), text).unwrap();
    }
    forge.commit("main", "as another");
    let tried = || async {
        let runs = database.runs(&RunFilter::default()).await.unwrap();
        runs.into_iter().find(|run| run.failures > 0 || run.state.has_ended())
    };
    until("it was tried", || async { tried().await.is_some() }).await;
    let run = tried().await.unwrap();
    assert_eq!(run.new.request["project"], "churn");
    let record = home.join("state/runs").join(run.local_run.as_deref().unwrap()).join("run.json");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(record).unwrap()).unwrap();
    assert!(run.failures > 0, "only the engine is missing, so it was planned: {run:?}");
    assert_eq!(record["project"], "churn", "{record}");
}

const TELLING: &str = r#"
  - name: tell
    on: push
    do:
      - status: {state: pending, context: ci}
      - comment: {pull: "7", key: state, body: "at {{ event.commit }}"}
      - comment: {pull: "7", append: true, body: "once {{ event.commit }}"}
      - dispatch: {repo: octo-org/builds, event_type: build-it}
      - label: {pull: "7", add: [told]}
      - status: {state: success, context: ci}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_that_is_killed_tells_a_forge_is_told_and_seen_once() {
    let (home, scene) = (tempfile::tempdir().unwrap(), Scene::open().await);
    let (home, file) = (home.path(), home.path().join("server.yaml"));
    std::fs::write(&file, scene.text(TELLING)).unwrap();
    let server = Running::of_file(home, &file);
    let database = ledger(home).await;
    until("the first reading", || async { database.repo(REPO).await.unwrap().read_at.is_some() }).await;
    server.kill();
    git(scene.work.path(), &["checkout", "-q", "-B", "main", &scene.main]);
    let mut pushed = Vec::new();
    for round in 0..4_u64 {
        git(scene.work.path(), &["commit", "-q", "--allow-empty", "-m", &format!("round {round}")]);
        pushed.push(scene.fake.push(scene.work.path(), REPO, "main", "2026-11-28T10:00:00Z".parse().unwrap()));
        for kill in 0..3_u64 {
            let server = Running::of_file(home, &file);
            // Before the push is seen, while it is told, afterwards.
            tokio::time::sleep(Duration::from_millis(300 + round * 350 + kill * 900)).await;
            server.kill();
        }
    }
    let _server = Running::of_file(home, &file);
    let told = || async {
        let events = database.events(None, 50).await.unwrap();
        let pushes: Vec<_> = events.into_iter().filter(|event| event.new.kind == "push").collect();
        let mut done = 0;
        for event in &pushes {
            let results = database.action_results(event.id, "tell").await.unwrap();
            done += usize::from(results.iter().any(|(_, state, _)| state == "done"));
        }
        (pushes, done)
    };
    until("all is told", || async {
        let (pushes, done) = told().await;
        pushes.iter().any(|event| event.new.new_sha.as_ref() == pushed.last()) && done == pushes.len()
    })
    .await;
    let (pushes, _) = told().await;
    let state = scene.fake.state();
    for event in &pushes {
        let sha = event.new.new_sha.clone().unwrap();
        let statuses: Vec<_> = state.statuses.iter().filter(|status| status.1 == sha).collect();
        assert_eq!(statuses.last().unwrap().2["state"], "success", "{sha}");
        let once = state.comments.iter().filter(|comment| comment.body.ends_with(&format!("once {sha}"))).count();
        assert_eq!(once, 1, "{sha}");
    }
    let kept = state.comments.iter().filter(|comment| comment.body.contains("\nat ")).count();
    assert_eq!((kept, state.workflow_runs.len()), (1, 1), "{:?}", state.comments);
    assert_eq!(state.labels[&(REPO.to_owned(), 7)], ["told"]);
}

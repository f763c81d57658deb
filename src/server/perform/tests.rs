//! Who performs, beside others and while much waits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{ByFile, Doing, Performer, TRIES, Turns};
use crate::server::action::Call;
use crate::server::event::{Event, Kind, Link, Source};
use crate::server::file::{self, File};
use crate::server::forges::Forges;
use crate::server::handler::tests::Noting;
use crate::server::ledger;
use crate::server::queue::Events;
use crate::store::database::{
    Database, Ended, NewRepo, OutboxAction, QueueLimits, RefChange, Run, RunFilter, RunState, key_of_end,
};
use crate::web::Reach;

const REPO: &str = "acme/churn";
/// More than are gone through at a time.
const MANY: usize = super::AT_ONCE + 6;

/// A database, and a file whose handlers are done by nobody yet.
struct Scene {
    _folder: tempfile::TempDir,
    database: Database,
    file: Arc<File>,
}

impl Scene {
    async fn open(handlers: &str) -> Self {
        Self::open_at("", handlers).await
    }

    /// With a forge whose API is there.
    async fn open_at(api: &str, handlers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}", folder.path().join("server.db").display())).await.unwrap();
        let url = format!("https://h.example/{REPO}");
        let token = folder.path().join("token");
        std::fs::write(&token, "t").unwrap();
        let of_forge = match api {
            "" => String::new(),
            api => format!("credentials: {{hub: {{token: 'file:{}', api: '{api}'}}}}\n", token.display()),
        };
        let credential = if api.is_empty() { "" } else { ", credential: hub" };
        let text = format!("{of_forge}repos: [{{url: '{url}'{credential}}}]\nhandlers:\n{handlers}");
        database.watch(&[NewRepo { url, name: REPO.into(), settings: json!({}) }]).await.unwrap();
        let (file, found) = file::parse("server.yaml", text.as_bytes());
        Self { _folder: folder, database, file: Arc::new(file.unwrap_or_else(|| panic!("{found:?}"))) }
    }

    fn doing(&self) -> Doing {
        let forges = Forges::of(Arc::clone(&self.file), Reach::default());
        Doing::new(self.database.clone(), Arc::clone(&self.file), forges, Arc::default(), Arc::default())
    }

    fn performer(&self, file: &Arc<File>) -> Performer {
        let (database, effects) = (self.database.clone(), Arc::new(self.doing()));
        Performer { database, file: Arc::clone(file), effects, handled: Arc::<Notify>::default() }
    }

    /// Something happened on a branch, and what the file asks for is written.
    async fn tell(&self, kind: Kind, branch: &str) -> i64 {
        self.happened(kind, branch, "b").await
    }

    /// A commit of `main`.
    async fn push(&self, digit: &str) -> i64 {
        self.happened(Kind::Push, "main", digit).await
    }

    async fn happened(&self, kind: Kind, branch: &str, digit: &str) -> i64 {
        let mut event = Event::new(kind, REPO, "2026-11-28T12:00:00Z".parse().unwrap(), Source::Poll);
        event.reference = Some(format!("refs/heads/{branch}"));
        event.after = Some(digit.repeat(40).parse().unwrap());
        let repo = self.database.repo(REPO).await.unwrap().id;
        let row = self.database.tell(&ledger::row(&event, Some(repo)).unwrap()).await.unwrap().unwrap();
        self.decide().await;
        row
    }

    async fn decide(&self) {
        let decide = Arc::new(ByFile(Arc::clone(&self.file)));
        while Events::new(self.database.clone(), decide.clone(), Arc::default(), Arc::default()).next().await.unwrap() {
        }
    }

    /// The run that waits is worked on and ends so; what that calls for is written.
    async fn end(&self, state: RunState) -> i64 {
        let claim = self.database.claim("w", QueueLimits::default()).await.unwrap().unwrap();
        let ended = Ended { state, exit_code: 0, summary: "it ended".to_owned() };
        self.database.finish(claim.run.id, claim.epoch, &ended).await.unwrap();
        self.decide().await;
        self.database.event_by_key(&key_of_end(claim.run.id)).await.unwrap()
    }

    async fn runs(&self) -> Vec<Run> {
        self.database.runs(&RunFilter { limit: Some(200), ..RunFilter::default() }).await.unwrap()
    }

    async fn state(&self, event: i64, handler: &str) -> String {
        self.database.action_results(event, handler).await.unwrap().remove(0).1
    }
}

async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    for _ in 0..1_200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("not within a minute: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_wait_for_runs_keep_no_other_from_being_done() {
    let scene = Scene::open(
        "  - {name: build, on: push, do: {run: {storage: 'local:/x'}}}\n  - {name: note, on: branch_deleted, do: {log: {text: x}}}\n",
    )
    .await;
    for number in 0..MANY {
        scene.tell(Kind::Push, &format!("b{number}")).await;
    }
    let note = scene.tell(Kind::BranchDeleted, "last").await;
    let (performer, stop) = (scene.performer(&scene.file), CancellationToken::new());
    let stopping = stop.clone();
    let working = tokio::spawn(async move { performer.run(stop.clone(), stop).await });
    // No worker is there: every run waits.
    until("the last one is done", || async { scene.state(note, "note").await == "done" }).await;
    let filter = RunFilter { limit: Some(200), ..RunFilter::default() };
    assert_eq!(scene.database.runs(&filter).await.unwrap().len(), MANY);
    stopping.cancel();
    working.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_that_wait_for_a_forge_keep_no_other_from_being_done() {
    // Whoever connects is never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}/api/v3", silent.local_addr().unwrap());
    let handlers = "  - {name: tell, on: push, do: {status: {state: success}}}\n  - {name: note, on: branch_deleted, do: {log: {text: x}}}\n";
    let scene = Scene::open_at(&api, handlers).await;
    for number in 0..MANY {
        scene.tell(Kind::Push, &format!("b{number}")).await;
    }
    let note = scene.tell(Kind::BranchDeleted, "last").await;
    let (performer, stop) = (scene.performer(&scene.file), CancellationToken::new());
    let stopping = stop.clone();
    let working = tokio::spawn(async move { performer.run(stop.clone(), stop).await });
    until("the last one is done", || async { scene.state(note, "note").await == "done" }).await;
    stopping.cancel();
    working.await.unwrap();
}

async fn taken(scene: &Scene) -> OutboxAction {
    scene.database.next_action(super::LEASE_MS).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_panics_is_a_failed_attempt_and_in_the_end_told_with_its_event() {
    // The last stands for one that ends its doer each time, which says nothing of it.
    for (attempts, state, told) in [
        (1, "waiting", None),
        (TRIES, "failed", Some("handler `odd`: it ended by a fault")),
        (super::BEGINNINGS + 1, "failed", Some("handler `odd`: it was begun 50 times")),
    ] {
        let scene = Scene::open("  - {name: odd, on: push, do: {log: {text: a fault of our own}}}\n").await;
        let (database, file, effects) = (scene.database.clone(), Arc::clone(&scene.file), Arc::<Noting>::default());
        let performer = Performer { database, file, effects, handled: Arc::default() };
        let event = scene.tell(Kind::Push, "main").await;
        let action = OutboxAction { attempts, ..taken(&scene).await };
        performer.perform(action, &CancellationToken::new()).await;
        assert_eq!(scene.state(event, "odd").await, state, "{attempts}");
        let fault = scene.database.event(event).await.unwrap().fault;
        assert_eq!(fault.is_some(), told.is_some(), "{fault:?}");
        assert!(told.is_none_or(|told| fault.unwrap().starts_with(told)), "{attempts}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_retired_leaves_a_handler_of_the_new_file_to_the_next() {
    let scene = Scene::open("  - {name: new, on: push, do: {log: {text: x}}}\n").await;
    let (event, retired) = (scene.tell(Kind::Push, "main").await, CancellationToken::new());
    let before = scene.performer(&Arc::default());
    retired.cancel();
    before.perform(taken(&scene).await, &retired).await;
    assert_eq!(scene.state(event, "new").await, "waiting");
    scene.performer(&scene.file).perform(taken(&scene).await, &CancellationToken::new()).await;
    assert_eq!(scene.state(event, "new").await, "done");
    // A handler that is in no file any more waits for nobody.
    let event = scene.tell(Kind::Push, "other").await;
    before.perform(taken(&scene).await, &CancellationToken::new()).await;
    assert_eq!(scene.state(event, "new").await, "failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_retired_and_who_comes_next_do_the_same_thing_one_after_the_other() {
    let scene = Scene::open("").await;
    let turns = Turns::default();
    let (before, next) = (scene.doing().taking(turns.clone()), scene.doing().taking(turns));
    let first = before.turns.of("dispatch x").await;
    let second = tokio::spawn(async move { drop(next.turns.of("dispatch x").await) });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished());
    drop(first);
    second.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_run_begins_another_one_of_the_same_handler_and_that_one_none() {
    let handlers = "  - {name: build, on: push, do: {run: {wait: false}}}\n  \
                    - {name: again, on: run_finished, do: {run: {wait: false}}}\n";
    let scene = Scene::open(handlers).await;
    let performer = scene.performer(&scene.file);
    let perform = async || performer.perform(taken(&scene).await, &CancellationToken::new()).await;
    scene.tell(Kind::Push, "main").await;
    perform().await;
    let first = scene.end(RunState::Succeeded).await;
    perform().await;
    assert_eq!(scene.state(first, "again").await, "done");
    assert_eq!(scene.runs().await.iter().map(|run| run.new.event).collect::<Vec<_>>()[0], Some(first));
    let second = scene.end(RunState::Failed).await;
    perform().await;
    assert_eq!(scene.runs().await.len(), 2, "it would go on for ever");
    let (_, state, report) = scene.database.action_results(second, "again").await.unwrap().remove(0);
    let report = report.unwrap();
    assert_eq!((state.as_str(), &report["steps"][0]["state"]), ("done", &json!("cancelled")), "{report}");
    assert!(report["steps"][0]["error"].as_str().unwrap().contains("`again` began a run of `acme/churn`"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_asks_for_another_repositorys_run_does_not_get_its_own_back() {
    let scene = Scene::open("  - {name: all, on: [run_finished, manual], do: {trigger: {repos: ['acme/*']}}}\n").await;
    let event = Event::new(Kind::RunFinished, "acme/report", jiff::Timestamp::UNIX_EPOCH, Source::Server);
    let key = crate::server::handler::Key { event: "e".into(), handler: "all".into(), index: "0".into() };
    let rebuilt = |chain| {
        let (doing, key) = (scene.doing(), key.clone());
        let event = Event { chain, ..event.clone() };
        async move {
            let wanted = serde_json::from_value(json!({"repos": ["acme/*"]})).unwrap();
            doing.rebuild(&Call { key, event: &event }, wanted).await
        }
    };
    assert_eq!(rebuilt(Vec::new()).await.unwrap()["repos"], json!([REPO]));
    let asked = scene.database.asked(1_000, 9).await.unwrap();
    assert_eq!(asked.len(), 1, "its repository is read before it is decided");
    let link = Link { handler: "all".to_owned(), repo: REPO.to_owned() };
    let again = rebuilt(vec![link]).await.unwrap_err();
    assert!(again.called_off && again.message.contains("`all` began a run of `acme/churn`"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_run_is_told_with_all_that_is_known_of_it() {
    let scene = Scene::open("  - {name: build, on: push, do: {run: {wait: false}}}\n").await;
    let performer = scene.performer(&scene.file);
    let mut ends = Vec::new();
    for (commit, state) in [("a", RunState::Failed), ("b", RunState::Succeeded)] {
        scene.push(commit).await;
        performer.perform(taken(&scene).await, &CancellationToken::new()).await;
        ends.push(scene.end(state).await);
    }
    let told = performer.event(ends[1]).await.unwrap().run.unwrap();
    assert_eq!((told.status.as_str(), told.previous.as_deref()), ("succeeded", Some("failed")));
    assert!(told.seconds.is_some_and(|seconds| (0.0..60.0).contains(&seconds)), "{told:?}");
    assert_eq!(performer.event(ends[0]).await.unwrap().run.unwrap().previous, None);
    let row = scene.database.event(ends[1]).await.unwrap();
    let mut repo = scene.database.repo(REPO).await.unwrap();
    repo.head = Some("refs/heads/trunk".to_owned());
    let event = ledger::event_of(&row, &repo).unwrap();
    assert_eq!(event.default_branch.as_deref(), Some("trunk"));
    let mut file = File::default();
    file.server.public_url = Some("https://ci.example".to_owned());
    let url = super::addressed(&file, event).run.unwrap().url;
    assert_eq!(url, Some(format!("https://ci.example/runs/{}", told.id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_branch_that_is_gone_before_its_handler_asks_for_it_is_called_off() {
    let handlers = "  - {name: build, on: push, do: {run: {storage: 'local:/x'}}, on_failure: {log: {text: failed}}}\n";
    let scene = Scene::open(handlers).await;
    let repo = scene.database.repo(REPO).await.unwrap().id;
    let point = async |after: Option<String>| {
        let before = scene.database.refs(repo).await.unwrap().pop();
        let change = RefChange { name: "refs/heads/main".to_owned(), before, after };
        assert_eq!(scene.database.apply(repo, None, None, &[(change, None)]).await.unwrap().late, 0);
    };
    point(Some("b".repeat(40))).await;
    let event = scene.push("b").await;
    // What waits is cancelled; the handler has not asked yet.
    point(None).await;
    scene.happened(Kind::BranchDeleted, "main", "c").await;
    scene.performer(&scene.file).perform(taken(&scene).await, &CancellationToken::new()).await;
    let run = scene.runs().await.remove(0);
    assert_eq!((run.state, run.summary.as_deref()), (RunState::Cancelled, Some("its branch is gone")));
    assert_eq!(scene.database.claim("w", QueueLimits::default()).await.unwrap(), None);
    let report = scene.database.action_results(event, "build").await.unwrap().remove(0).2.unwrap();
    assert_eq!((&report["state"], &report["error"]), (&json!("cancelled"), &json!("its branch is gone")), "{report}");
    assert_eq!(report["steps"].as_array().unwrap().len(), 1, "nothing failed: {report}");
}

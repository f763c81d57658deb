//! Who performs, beside others and while much waits.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{ByFile, Doing, Performer, TRIES, Turns};
use crate::server::event::{Event, Kind, Source};
use crate::server::file::{self, File};
use crate::server::forges::Forges;
use crate::server::handler::tests::Noting;
use crate::server::ledger;
use crate::server::queue::Events;
use crate::store::database::{Database, NewRepo, OutboxAction, RunFilter};
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
        let mut event = Event::new(kind, REPO, "2026-11-28T12:00:00Z".parse().unwrap(), Source::Poll);
        event.reference = Some(format!("refs/heads/{branch}"));
        event.after = Some("b".repeat(40).parse().unwrap());
        let repo = self.database.repo(REPO).await.unwrap().id;
        let row = self.database.tell(&ledger::row(&event, Some(repo)).unwrap()).await.unwrap().unwrap();
        let decide = Arc::new(ByFile(Arc::clone(&self.file)));
        while Events::new(self.database.clone(), decide.clone(), Arc::default(), Arc::default()).next().await.unwrap() {
        }
        row
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
        "  - {name: build, on: push, do: {run: {storage: 'local:/x'}}}\n  - {name: note, on: branch_created, do: {log: {text: x}}}\n",
    )
    .await;
    for number in 0..MANY {
        scene.tell(Kind::Push, &format!("b{number}")).await;
    }
    let note = scene.tell(Kind::BranchCreated, "last").await;
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
    let handlers = "  - {name: tell, on: push, do: {status: {state: success}}}\n  - {name: note, on: branch_created, do: {log: {text: x}}}\n";
    let scene = Scene::open_at(&api, handlers).await;
    for number in 0..MANY {
        scene.tell(Kind::Push, &format!("b{number}")).await;
    }
    let note = scene.tell(Kind::BranchCreated, "last").await;
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

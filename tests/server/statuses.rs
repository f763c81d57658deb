//! Statuses while much is told at once, against GitHub in small: ends soon, beginnings where there is room, and never an
//! older one after a newer one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use soopervisor::server::action::Effects;
use soopervisor::server::event::{Event, Kind, Source};
use soopervisor::server::handler::{Memory, Plan, State, execute};
use soopervisor::server::ledger;
use soopervisor::store::database::{LeftStatus, StatusKey};
use tokio::task::JoinSet;

use super::forging::{REPO, Scene};
use super::until;

/// Pushes at once: more than may be told at once, so that the last ones wait for some seconds.
const MANY: usize = 40;
const REPORT: &str = "  - name: report\n    on: push\n    do:\n      - status: {state: pending, context: \"{{ event.branch }}\"}\n      \
                      - status: {state: failure, context: \"{{ event.branch }}\"}\n";
const BEGIN: &str = "  - {name: begin, on: push, do: {status: {state: pending, context: ci}}}\n";
const END: &str = "  - {name: end, on: push, do: {status: {state: success, context: CI}}}\n";

fn pushed(commit: &str, branch: &str) -> Event {
    let mut event = Event::new(Kind::Push, REPO, "2026-11-28T12:00:00Z".parse().unwrap(), Source::Poll);
    event.reference = Some(format!("refs/heads/{branch}"));
    event.after = Some(commit.parse().unwrap());
    event
}

/// What the forge was told of each context, in its order.
fn told(scene: &Scene) -> BTreeMap<String, Vec<String>> {
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (_, _, status) in &scene.fake.state().statuses {
        let word = |name: &str| status[name].as_str().unwrap().to_owned();
        told.entry(word("context")).or_default().push(word("state"));
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_pushes_at_once_each_end_is_told_and_no_beginning_that_it_has_overtaken() {
    let scene = Scene::open().await;
    let file = scene.file(REPORT);
    let doing = Arc::new(scene.doing(&file));
    let mut works = JoinSet::new();
    for number in 0..MANY {
        let (file, doing) = (Arc::clone(&file), Arc::clone(&doing));
        let event = pushed(&scene.main, &format!("b{number}"));
        works.spawn(async move {
            let plan = Plan { handler: &file.handlers[0], event: &event };
            execute(&plan, &file.notify, &*doing, &Memory::default()).await.unwrap()
        });
    }
    while let Some(report) = works.join_next().await {
        let report = report.unwrap();
        assert_eq!(report.state, State::Succeeded, "{report:?}");
    }
    let told = told(&scene);
    assert_eq!(told.len(), MANY);
    assert!(told.values().all(|states| *states == ["pending", "failure"] || *states == ["failure"]), "{told:?}");
    let all: usize = told.values().map(Vec::len).sum();
    assert!(all < 2 * MANY, "nothing was overtaken: {all}");
    let database = &scene.place.database;
    assert!(database.left_statuses().await.unwrap().is_empty(), "each was taken out by its end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_beginning_that_comes_after_the_end_of_a_later_event_is_not_told() {
    let scene = Scene::open().await;
    let repo = scene.place.database.repo(REPO).await.unwrap().id;
    let (first, second) = (pushed(&scene.main, "one"), pushed(&scene.main, "two"));
    for event in [&first, &second] {
        scene.place.database.tell(&ledger::row(event, Some(repo)).unwrap()).await.unwrap().unwrap();
    }
    assert_eq!(scene.play(END, &second).await.state, State::Succeeded);
    assert_eq!(scene.play(BEGIN, &first).await.state, State::Succeeded);
    assert_eq!(told(&scene), BTreeMap::from([("CI".to_owned(), vec!["success".to_owned()])]));
    // That of a later one is, and so is each end.
    assert_eq!(scene.play(BEGIN, &second).await.state, State::Succeeded);
    assert_eq!(scene.play(END, &first).await.state, State::Succeeded);
    assert_eq!(scene.fake.state().statuses.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_server_left_is_told_by_the_next_one_unless_it_is_overtaken() {
    let scene = Scene::open().await;
    let database = &scene.place.database;
    let mut left = Vec::new();
    for context in ["kept", "gone"] {
        let key = StatusKey { repo: REPO.into(), sha: scene.main.clone(), context: context.into() };
        let generation = database.note_status(&key, 1, false).await.unwrap().unwrap();
        let document = json!({"state": "pending", "context": context, "description": "it waits", "url": null});
        left.push(LeftStatus { key, generation, document });
        assert!(database.leave_status(left.last().unwrap()).await.unwrap());
    }
    database.note_status(&left[1].key, 1, true).await.unwrap().unwrap();
    let file = scene.file(BEGIN);
    // Two at once, as while a file is replaced: it is told once.
    let doing = scene.doing(&file);
    doing.resume().await;
    doing.resume().await;
    until("it is told", || async { database.left_statuses().await.unwrap().is_empty() }).await;
    assert_eq!(told(&scene), BTreeMap::from([("kept".to_owned(), vec!["pending".to_owned()])]));
    let description = scene.fake.state().statuses[0].2["description"].clone();
    assert_eq!(description, json!("it waits"));
}

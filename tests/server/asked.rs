//! Comments and pull requests from the signed delivery to what is queued: who may, which commit, and with how much trust.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use soopervisor::server::event::{self as said, Event, Kind, Source};
use soopervisor::server::forges::Forges;
use soopervisor::server::glance::Glance;
use soopervisor::server::handler::{Memory, Plan, State, execute};
use soopervisor::server::hook::{Asking, Dispatcher};
use soopervisor::server::poll::Address;
use soopervisor::server::{ledger, queue};
use soopervisor::store::database::{RunFilter, RunState};
use soopervisor::web::Reach;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::fake_github::{Fault, Pull as Offered, git};
use super::forging::{REPO, Scene};
use super::hook::{receiver, send};
use super::until;

const HANDLER: &str =
    "  - {name: answer, on: [comment, pull_request], do: {run: {mode: full, wait: false, storage: 'local:/x'}}}\n";

/// Reads what was delivered, asking the forge about comments.
async fn dispatcher(scene: &Scene, handlers: &str) -> Dispatcher {
    let file = scene.file(handlers);
    let (_, watches) = watch::channel(vec![scene.watch(scene.address()).await]);
    let forges = Forges::of(Arc::clone(&file), Reach::default());
    let dispatcher =
        Dispatcher::new(scene.place.database.clone(), scene.place.poller(), watches, Arc::default(), Arc::default());
    dispatcher.asking(Some(Asking::of(file, forges)))
}

fn comment(scene: &Scene, (id, number): (u64, u64), author: &str, body: &str, at: &str) -> Value {
    json!({
        "action": "created",
        "issue": {"number": number, "state": "open", "title": "t", "user": {"login": "ann"}, "pull_request": {"url": "x"}},
        "comment": {"id": id, "body": body, "user": {"login": author, "type": "User"}, "created_at": at},
        "sender": {"login": author},
        "repository": {"clone_url": format!("{}/{REPO}.git", scene.fake.server()), "default_branch": "main"},
    })
}

/// The newest event, as handlers see it.
async fn newest(scene: &Scene) -> Event {
    let row = scene.place.database.events(None, 1).await.unwrap().remove(0);
    ledger::event(&row, REPO).unwrap()
}

const LATER: &str = "2026-11-20T10:00:00Z";
const EARLIER: &str = "2026-11-01T09:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_is_about_a_commit_only_for_those_who_may_push_and_only_if_it_was_there_before() {
    let scene = Scene::open().await;
    let (receiver, dispatcher) = (receiver(&scene.place), dispatcher(&scene, HANDLER).await);
    let full = format!("/soopervisor run {}", scene.head);
    let short = format!("/soopervisor run {}", &scene.head[..10]);
    let main = format!("/soopervisor run {}", scene.main);
    for (id, (author, body, at, permission, is_head)) in [
        ("ann", "/soopervisor run", LATER, "write", true),
        ("ann", "please retest", LATER, "write", true),
        ("ann", "/soopervisor run", EARLIER, "write", false),
        ("ann", &full, EARLIER, "write", true),
        ("ann", &short, LATER, "write", false),
        ("ann", &main, LATER, "write", false),
        ("eve", "/soopervisor run", LATER, "read", false),
        ("eve", &full, LATER, "read", false),
    ]
    .into_iter()
    .enumerate()
    {
        let payload = comment(&scene, (id as u64 + 1, 7), author, body, at);
        assert_eq!(send(&receiver, "issue_comment", &format!("d{id}"), &payload).await, 202);
        assert!(dispatcher.next().await.unwrap());
        let event = newest(&scene).await;
        let said = event.comment.as_ref().unwrap();
        assert_eq!((said.id, said.permission.as_deref()), (id as u64 + 1, Some(permission)), "{author}: {body}");
        let commit = event.commit().map(ToString::to_string);
        assert_eq!(commit, is_head.then(|| scene.head.clone()), "{author} at {at}: {body}");
        let pull = event.pull.unwrap();
        assert_eq!((pull.base_branch.as_deref(), pull.fork), (Some("main"), false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_waits_for_a_forge_that_does_not_answer_and_is_not_asked_about_where_nobody_waits_for_it() {
    let scene = Scene::open().await;
    let (receiver, asking) = (receiver(&scene.place), dispatcher(&scene, HANDLER).await);
    scene.fake.trouble("/collaborators/", 100, Fault::Status(502));
    let payload = comment(&scene, (1, 7), "ann", "/soopervisor run", LATER);
    assert_eq!(send(&receiver, "issue_comment", "d1", &payload).await, 202);
    assert!(asking.next().await.unwrap());
    assert!(scene.place.database.events(None, 5).await.unwrap().is_empty(), "it waits");
    assert_eq!(scene.place.database.waiting().await.unwrap().1, 1);
    let other = dispatcher(&scene, "  - {name: p, on: push, do: {log: {text: x}}}\n").await;
    let before = scene.fake.asked("/collaborators/").len();
    let payload = comment(&scene, (2, 7), "ann", "nice", LATER);
    assert_eq!(send(&receiver, "issue_comment", "d2", &payload).await, 202);
    assert!(other.next().await.unwrap());
    assert_eq!(newest(&scene).await.comment.unwrap().permission, None);
    assert_eq!(scene.fake.asked("/collaborators/").len(), before);
}

/// What is queued for an event.
async fn queued(scene: &Scene, event: &Event) -> Vec<(String, String, Value)> {
    let file = scene.file(HANDLER);
    let database = &scene.place.database;
    let repo = database.repo(REPO).await.unwrap().id;
    database.tell(&ledger::row(event, Some(repo)).unwrap()).await.unwrap();
    let plan = Plan { handler: &file.handlers[0], event };
    let report = execute(&plan, &file.notify, &scene.doing(&file), &Memory::default()).await.unwrap();
    assert_eq!(report.state, State::Succeeded, "{report:?}");
    let runs = database.runs(&RunFilter::default()).await.unwrap();
    runs.into_iter().map(|run| (run.new.sha, run.new.mode, run.new.request)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn code_of_a_fork_is_queued_as_a_strangers_and_only_a_maintainer_gets_all_of_the_data_for_it() {
    let scene = Scene::open().await;
    scene.fake.repository("eve/churn");
    std::fs::write(scene.work.path().join("soopervisor.yaml"), "storage: local:/home/eve\n").unwrap();
    git(scene.work.path(), &["commit", "-q", "-a", "-m", "mine"]);
    let head = scene.fake.push(scene.work.path(), "eve/churn", "patch", "2026-11-02T10:00:00Z".parse().unwrap());
    let (head_repo, head_branch, base_branch) = ("eve/churn".into(), "patch".into(), "main".into());
    scene.fake.open_pull(REPO, Offered { number: 8, head_repo, head_branch, base_branch, open: true });
    let (receiver, dispatcher) = (receiver(&scene.place), dispatcher(&scene, HANDLER).await);
    let offered = json!({
        "action": "opened",
        "pull_request": {
            "number": 8, "title": "t", "user": {"login": "eve"}, "labels": [], "updated_at": LATER,
            "head": {"sha": head, "ref": "patch", "repo": {"full_name": "eve/churn"}},
            "base": {"sha": scene.main, "ref": "main", "repo": {"full_name": REPO}},
        },
        "sender": {"login": "eve"},
        "repository": {"clone_url": format!("{}/{REPO}.git", scene.fake.server()), "default_branch": "main"},
    });
    assert_eq!(send(&receiver, "pull_request", "d1", &offered).await, 202);
    assert!(dispatcher.next().await.unwrap());
    let runs = queued(&scene, &newest(&scene).await).await;
    let (sha, mode, request) = &runs[0];
    assert_eq!((sha, mode.as_str()), (&head, "sample"), "a stranger gets a sample, whatever the handler says");
    assert_eq!((&request["fork"], &request["project"]), (&json!(true), &json!("churn-forks")));
    assert_eq!(request["settings"], "sample: true\n", "the base's settings, not the fork's");
    let payload = comment(&scene, (3, 8), "ann", "/soopervisor run", LATER);
    assert_eq!(send(&receiver, "issue_comment", "d2", &payload).await, 202);
    assert!(dispatcher.next().await.unwrap());
    let event = newest(&scene).await;
    assert_eq!((event.kind, event.pull.as_ref().map(|pull| pull.fork)), (Kind::Comment, Some(true)));
    let runs = queued(&scene, &event).await;
    let full = runs.iter().find(|run| run.1 == "full").unwrap();
    assert_eq!((&full.0, &full.2["fork"]), (&head, &json!(true)));
    // The repository's own pull request is run as its own.
    let mut own = scene.offered();
    own.pull.as_mut().unwrap().base_branch = Some("main".into());
    let own = queued(&scene, &own).await;
    let own = own.iter().find(|run| run.0 == scene.head).unwrap();
    assert_eq!((&own.2["fork"], &own.2["settings"]), (&Value::Null, &json!("sample: true\n")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_no_branch_is_a_strangers_and_the_tip_of_one_is_not() {
    let scene = Scene::open().await;
    let mut event = scene.offered();
    (event.kind, event.pull, event.reference) = (Kind::CommitStatus, None, None);
    event.after = Some(scene.head.parse().unwrap());
    let (_, mode, request) = queued(&scene, &event).await.remove(0);
    assert_eq!((&request["fork"], mode.as_str()), (&json!(true), "sample"), "all data is for nobody who did not ask");
    let watched = scene.watch(scene.address()).await;
    scene.place.poller().read(&watched, None).await.unwrap();
    event.at = "2026-11-28T13:00:00Z".parse().unwrap();
    event.status = Some(soopervisor::server::event::Status { id: 2, ..Default::default() });
    let runs = queued(&scene, &event).await;
    assert!(runs.iter().any(|run| run.2["fork"].is_null() && run.1 == "full"), "{runs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_a_handler_names_by_its_id_is_judged_by_itself() {
    let scene = Scene::open().await;
    let watched = scene.watch(scene.address()).await;
    scene.place.poller().read(&watched, None).await.unwrap();
    scene.fake.repository("eve/churn");
    git(scene.work.path(), &["commit", "-q", "--allow-empty", "-m", "mine"]);
    let evil = scene.fake.push(scene.work.path(), "eve/churn", "patch", "2026-11-02T10:00:00Z".parse().unwrap());
    let database = &scene.place.database;
    let repo = database.repo(REPO).await.unwrap().id;
    // On a pull request of the repository's own, with a commit that somebody vouched for, says Eve: run that other one.
    let asks = |author: &str, permission: &str, what: &str, id| {
        let mut event = scene.offered();
        event.kind = Kind::Comment;
        let (body, arguments) = (format!("/soopervisor bench {what}"), vec![what.to_owned()]);
        let (author, permission) = (author.into(), Some(permission.into()));
        let said = said::Comment { id, body, author, permission, arguments, vouched: true, ..said::Comment::default() };
        event.comment = Some(said);
        event
    };
    let handler = "  - {name: bench, on: comment, do: {run: {ref: '{{ event.comment.arguments[0] }}', wait: false}}}\n";
    let file = scene.file(handler);
    for (id, (author, permission, what, expected)) in [
        ("eve", "read", &*evil, (json!(true), "sample")),
        ("ann", "write", &*evil, (json!(true), "full")),
        ("eve", "read", &*scene.main, (Value::Null, "full")),
        ("eve", "read", "topic", (Value::Null, "full")),
        ("ann", "write", &*scene.head, (Value::Null, "full")),
    ]
    .into_iter()
    .enumerate()
    {
        let event = asks(author, permission, what, id as u64);
        database.tell(&ledger::row(&event, Some(repo)).unwrap()).await.unwrap();
        let plan = Plan { handler: &file.handlers[0], event: &event };
        let report = execute(&plan, &file.notify, &scene.doing(&file), &Memory::default()).await.unwrap();
        assert_eq!(report.state, State::Succeeded, "{author}: {what}: {report:?}");
        let run = database.runs(&RunFilter::default()).await.unwrap().remove(0);
        let found = (run.new.request["fork"].clone(), run.new.mode.as_str());
        assert_eq!(found, expected, "{author}: {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ref_that_a_handler_names_is_read_first_and_is_as_it_was_last_seen_where_it_cannot_be() {
    let scene = Scene::open().await;
    let database = &scene.place.database;
    let repo = database.repo(REPO).await.unwrap().id;
    let glance = |watched| Glance::new(scene.place.poller(), watch::channel(vec![watched]).1);
    let there = glance(scene.watch(scene.address()).await);
    let nowhere = format!("{}/octo-org/nowhere.git", scene.fake.server()).parse().unwrap();
    let gone = glance(scene.watch(Address::Http(nowhere, None)).await);
    let run = async |glance: &Glance, digit: &str, reference: &str| {
        let file =
            scene.file(&format!("  - {{name: again, on: push, do: {{run: {{ref: {reference}, wait: false}}}}}}\n"));
        let mut event = Event::new(Kind::Push, REPO, "2026-11-28T12:00:00Z".parse().unwrap(), Source::Poll);
        (event.reference, event.after) = (Some("refs/heads/other".into()), Some(digit.repeat(40).parse().unwrap()));
        database.tell(&ledger::row(&event, Some(repo)).unwrap()).await.unwrap();
        let (plan, doing) = (Plan { handler: &file.handlers[0], event: &event }, scene.doing(&file));
        let report = execute(&plan, &file.notify, &doing.reading(glance.clone()), &Memory::default()).await.unwrap();
        let runs = database.runs(&RunFilter::default()).await.unwrap();
        let newest = runs.first().map(|run| (run.new.sha.clone(), run.new.request["unread"].clone()));
        (report.state, report.error, runs.len(), newest)
    };
    let push = |text: &str| {
        git(scene.work.path(), &["commit", "-q", "--allow-empty", "-m", text]);
        scene.fake.push(scene.work.path(), REPO, "main", "2026-11-02T10:00:00Z".parse().unwrap())
    };
    // No poll was there before.
    let known = |sha: &String| Some((sha.clone(), Value::Null));
    assert_eq!(run(&there, "1", "main").await, (State::Succeeded, None, 1, known(&scene.main)));
    let tip = push("just pushed");
    assert_eq!(run(&there, "1", "main").await, (State::Succeeded, None, 1, known(&scene.main)), "the same call");
    assert_eq!(run(&there, "2", "main").await, (State::Succeeded, None, 2, known(&tip)));
    push("not seen");
    let (state, _, count, newest) = run(&gone, "3", "main").await;
    let (sha, unread) = newest.unwrap();
    assert_eq!((state, count, sha), (State::Succeeded, 3, tip));
    assert!(unread.as_str().unwrap().contains("no access"), "{unread}");
    let (state, error, count, _) = run(&gone, "4", "absent").await;
    let error = error.unwrap();
    assert!(error.contains("`absent`, as far as is known: no access"), "{error}");
    assert_eq!((state, count), (State::Failed, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_no_ref_take_nobody_elses_place_and_one_whose_place_is_taken_was_never_good() {
    let scene = Scene::open().await;
    let database = &scene.place.database;
    let states = async || {
        let runs = database.runs(&RunFilter::default()).await.unwrap();
        runs.into_iter().map(|run| run.state).collect::<Vec<_>>()
    };
    let mut event = scene.offered();
    (event.kind, event.pull, event.reference) = (Kind::CommitStatus, None, None);
    for (id, commit) in [&scene.head, &scene.main].into_iter().enumerate() {
        event.after = Some(commit.parse().unwrap());
        event.status = Some(soopervisor::server::event::Status { id: id as u64, ..Default::default() });
        queued(&scene, &event).await;
    }
    assert_eq!(states().await, [RunState::Queued; 2], "of two commits, both wait");
    // On one branch the newer one takes the place of the older, whose commit gets no success from it.
    let handler = "  - {name: ci, on: push, do: [{run: {}}, {status: {state: success, context: ci}}]}\n";
    let file = scene.file(handler);
    let pushed = |commit: &str| {
        let mut event = Event::new(Kind::Push, REPO, "2026-11-28T12:00:00Z".parse().unwrap(), Source::Poll);
        (event.reference, event.after) = (Some("refs/heads/main".into()), Some(commit.parse().unwrap()));
        event
    };
    let repo = database.repo(REPO).await.unwrap().id;
    let older = pushed(&scene.main);
    database.tell(&ledger::row(&older, Some(repo)).unwrap()).await.unwrap();
    let (plan, doing, journal) =
        (Plan { handler: &file.handlers[0], event: &older }, scene.doing(&file), Memory::default());
    let newer = async {
        until("the older one waits", || async { states().await.len() == 3 }).await;
        let row = database.tell(&ledger::row(&pushed(&scene.head), Some(repo)).unwrap()).await.unwrap().unwrap();
        let known = database.repo(REPO).await.unwrap();
        database.enqueue(&queue::new_run(&pushed(&scene.head), &known, row, "full", 1).unwrap()).await.unwrap();
    };
    let (report, ()) = tokio::join!(execute(&plan, &file.notify, &doing, &journal), newer);
    let report = report.unwrap();
    assert_eq!((report.state, report.error.as_deref()), (State::Cancelled, Some("superseded by run 4")), "{report:?}");
    assert!(scene.fake.state().statuses.is_empty(), "no success of a commit that never ran");
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_of_a_forge_that_is_slow_hold_up_neither_pushes_nor_what_needs_no_forge() {
    let scene = Scene::open().await;
    let (receiver, reader) = (receiver(&scene.place), dispatcher(&scene, HANDLER).await);
    let read_at = scene.place.database.repo(REPO).await.unwrap().read_at;
    scene.fake.trouble("/collaborators/", 100, Fault::Slow(Duration::from_mins(2)));
    for id in 1..=50 {
        let payload = comment(&scene, (id, 7), "ann", "/soopervisor run", LATER);
        assert_eq!(send(&receiver, "issue_comment", &format!("d{id}"), &payload).await, 202);
    }
    let repository = json!({"clone_url": format!("{}/{REPO}.git", scene.fake.server()), "default_branch": "main"});
    let pull = json!({"action": "opened", "repository": repository, "pull_request": {"number": 7, "updated_at": "t"}});
    assert_eq!(send(&receiver, "pull_request", "pull", &pull).await, 202);
    let push = json!({"ref": "refs/heads/main", "before": scene.head, "after": scene.main, "repository": repository});
    assert_eq!(send(&receiver, "push", "push", &push).await, 202);
    let (stop, begun) = (CancellationToken::new(), Instant::now());
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (reader, stop) = (reader.clone(), stop.clone());
            tokio::spawn(async move { reader.run(stop).await })
        })
        .collect();
    until("the push was followed", || async { scene.place.database.repo(REPO).await.unwrap().read_at != read_at })
        .await;
    until("the pull request is told", || async { scene.place.kinds().await.contains(&"pull_request".to_owned()) })
        .await;
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    assert!(!scene.place.kinds().await.contains(&"comment".to_owned()), "the forge has not answered yet");
    let asked = scene.fake.asked("/collaborators/").len();
    assert!((1..=4).contains(&asked), "a few at a time: {asked}");
    stop.cancel();
    for reader in readers {
        reader.await.unwrap();
    }
    // None is lost, and being sent away was no try.
    assert_eq!(scene.place.database.waiting().await.unwrap().1, 50);
}

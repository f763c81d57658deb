//! What every database promises.

use std::time::Duration;

use soopervisor::store::database::{
    Asked, Ended, KnownRef, NewAction, NewDelivery, NewEvent, NewToken, Receipt, RefChange, Resolution, Retention,
    RunFilter, Schedule, Settlement, StepRow,
};

use super::audited::audit;
pub(crate) use super::audited::what_somebody_changes_is_noted_with_the_change_and_what_was_refused_is_not;
pub(crate) use super::refs::{
    a_run_of_a_branch_that_is_gone_is_cancelled_when_it_is_put_in_line, what_was_told_of_a_ref_is_known_by_its_events,
};
pub(crate) use super::statuses::{a_status_that_is_left_stays_until_it_is_told, the_status_asked_for_last_stands};
use super::{
    Artifact, Artifacts, Database, DatabaseError, NewRepo, Place, Policy, QueueLimits, Retry, RunState, new_run, repo,
};

const WIDE: QueueLimits = QueueLimits { all: 100, here: 100, repo: 100, lease_ms: 60_000 };

pub(crate) fn sha(digit: char) -> String {
    digit.to_string().repeat(40)
}

pub(crate) fn push(repo: i64, key: &str) -> NewEvent {
    NewEvent {
        key: key.to_owned(),
        repo: Some(repo),
        kind: "push".into(),
        source: "poll".into(),
        reference: Some("refs/heads/main".into()),
        old_sha: Some(sha('a')),
        new_sha: Some(sha('b')),
        payload: serde_json::json!({"message": "it's \"quoted\" — ünïcode"}),
        doubt: None,
    }
}

fn change(before: Option<KnownRef>, after: Option<String>) -> RefChange {
    RefChange { name: "refs/heads/main".into(), before, after }
}

async fn main_ref(database: &Database, repo: i64) -> KnownRef {
    database.refs(repo).await.unwrap().into_iter().find(|known| known.name == "refs/heads/main").unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "a result that is looked at once")]
fn is_fenced<T: std::fmt::Debug>(result: Result<T, DatabaseError>) -> bool {
    matches!(result, Err(DatabaseError::Fenced { .. }))
}

async fn nap(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

pub(crate) async fn a_database_is_opened_again_with_all_that_was_in_it(place: &Place) {
    let id = repo(&place.database).await;
    place.database.tell(&push(id, "one")).await.unwrap();
    place.database.close().await;
    let again = Database::open(&place.address).await.unwrap();
    let found = again.event(1).await.unwrap();
    assert_eq!(found.new, push(id, "one"));
    assert_eq!(found.state, "waiting");
    assert!(found.created_at > 1_700_000_000_000);
    again.ping().await.unwrap();
}

pub(crate) async fn a_newer_database_is_refused(place: &Place) {
    let set = sqlx_free_bump(place).await;
    assert!(matches!(set, Err(DatabaseError::Newer { found: 99, .. })), "{set:?}");
}

/// Writes a later version into the table, by the servers' own clients.
async fn sqlx_free_bump(place: &Place) -> Result<Database, DatabaseError> {
    place.database.close().await;
    let statement = "INSERT INTO migrations (version) VALUES (99)";
    if let Some(path) = place.address.strip_prefix("sqlite:") {
        let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()";
        let done = std::process::Command::new("python3").args(["-c", script, path, statement]).status().unwrap();
        assert!(done.success());
    } else {
        let (head, folder) = place.address.split_once("?host=").unwrap();
        let name = head.rsplit('/').next().unwrap();
        super::postgres::psql(std::path::Path::new(folder), name, statement).unwrap();
    }
    Database::open(&place.address).await
}

pub(crate) async fn repositories_follow_the_list_and_keep_their_history(place: &Place) {
    let database = &place.database;
    let new = |url: &str, name: &str| NewRepo { url: url.into(), name: name.into(), settings: serde_json::json!({}) };
    database.watch(&[new("u1", "one"), new("u2", "two")]).await.unwrap();
    let first = database.repo("one").await.unwrap();
    assert_eq!(first.first_seen, None);
    // Names are swapped: addresses decide who is who.
    database.watch(&[new("u2", "one"), new("u1", "two")]).await.unwrap();
    assert_eq!(database.repo("two").await.unwrap().id, first.id);
    database.watch(&[new("u1", "one")]).await.unwrap();
    let names: Vec<_> = database.repos().await.unwrap().into_iter().map(|repo| repo.name).collect();
    assert_eq!(names, ["one"]);
    assert!(!database.repo("u2").await.unwrap().active);
    assert!(matches!(database.repo("three").await, Err(DatabaseError::Missing { .. })));
    assert_eq!(database.reading_failed(first.id, "no route").await.unwrap(), 1);
    assert_eq!(database.reading_failed(first.id, "no route").await.unwrap(), 2);
    database.hooked(first.id).await.unwrap();
    database.apply(first.id, Some("refs/heads/main"), None, &[]).await.unwrap();
    let read = database.repo("one").await.unwrap();
    assert_eq!((read.failures, read.fault, read.head.as_deref()), (0, None, Some("refs/heads/main")));
    assert!(read.first_seen.is_some() && read.read_at.is_some() && read.hook_at.is_some() && read.changed_at.is_none());
}

pub(crate) async fn a_ref_and_its_event_change_together_or_not_at_all(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    let new = change(None, Some(sha('a')));
    let applied = database.apply(id, None, None, &[(new.clone(), Some(push(id, "one")))]).await.unwrap();
    assert_eq!((applied.events.len(), applied.late), (1, 0));
    // The same reading again: somebody was first.
    let applied = database.apply(id, None, None, &[(new, Some(push(id, "two")))]).await.unwrap();
    assert_eq!((applied.events.len(), applied.late), (0, 1));
    assert_eq!(database.events(None, 10).await.unwrap().len(), 1);
    // An event that cannot be written takes the ref's change with it.
    let known = main_ref(database, id).await;
    let broken = NewEvent { repo: Some(4711), ..push(id, "three") };
    assert!(
        database.apply(id, None, None, &[(change(Some(known.clone()), Some(sha('b'))), Some(broken))]).await.is_err()
    );
    assert_eq!(main_ref(database, id).await, known);
}

pub(crate) async fn of_readings_that_began_at_once_one_tells_of_the_change(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    database.apply(id, None, None, &[(change(None, Some(sha('a'))), None)]).await.unwrap();
    let known = main_ref(database, id).await;
    let readings = (0..8).map(|number| {
        let (database, known) = (database.clone(), known.clone());
        tokio::spawn(async move {
            let event = push(id, &format!("reading {number}"));
            database.apply(id, None, None, &[(change(Some(known), Some(sha('b'))), Some(event))]).await.unwrap()
        })
    });
    let mut told = 0;
    for reading in readings.collect::<Vec<_>>() {
        told += reading.await.unwrap().events.len();
    }
    assert_eq!(told, 1);
    assert_eq!(database.events(None, 10).await.unwrap().len(), 1);
}

pub(crate) async fn of_a_change_in_steps_all_are_written_or_none(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    database.apply(id, None, None, &[(change(None, Some(sha('a'))), None)]).await.unwrap();
    let known = main_ref(database, id).await;
    let on_the_way = KnownRef { sha: sha('b'), serial: known.serial + 1, ..known.clone() };
    let steps = [
        (change(Some(known.clone()), Some(sha('b'))), Some(push(id, "one"))),
        (change(Some(on_the_way), Some(sha('c'))), Some(push(id, "two"))),
    ];
    // Another reading was first, and its number is that of our second step.
    database.apply(id, None, None, &[(change(Some(known.clone()), Some(sha('d'))), None)]).await.unwrap();
    assert_eq!(database.apply(id, None, None, &steps).await.unwrap().late, 2);
    assert_eq!(main_ref(database, id).await.sha, sha('d'));
    let known = main_ref(database, id).await;
    let on_the_way = KnownRef { sha: sha('b'), serial: known.serial + 1, ..known.clone() };
    let steps = [
        (change(Some(known), Some(sha('b'))), Some(push(id, "one"))),
        (change(Some(on_the_way), Some(sha('c'))), Some(push(id, "two"))),
    ];
    assert_eq!(database.apply(id, None, None, &steps).await.unwrap().events.len(), 2);
    let known = main_ref(database, id).await;
    assert_eq!((known.sha, known.serial), (sha('c'), 4));
}

pub(crate) async fn what_was_published_is_noted_by_who_holds_the_run(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    database.enqueue(&new_run(id, "one")).await.unwrap();
    let claim = database.claim("w", WIDE).await.unwrap().unwrap();
    let file = Artifact { path: "output/x y.csv".into(), size: 12 };
    let artifacts = Artifacts { location: "/out".into(), files: 7, bytes: 99, listing: vec![file] };
    assert_eq!(database.artifacts(claim.run.id).await.unwrap(), None);
    let late = database.published(claim.run.id, claim.epoch - 1, &artifacts).await;
    assert!(matches!(late, Err(DatabaseError::Fenced { .. })));
    database.published(claim.run.id, claim.epoch, &artifacts).await.unwrap();
    assert_eq!(database.artifacts(claim.run.id).await.unwrap(), Some(artifacts));
}

pub(crate) async fn a_ref_that_comes_back_is_a_new_generation(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    for (after, generation, serial, deleted) in [
        (Some(sha('a')), 1, 1, false),
        (None, 1, 2, true),
        (Some(sha('a')), 2, 3, false),
        (Some(sha('b')), 2, 4, false),
    ] {
        let before = database.refs(id).await.unwrap().pop();
        assert_eq!(database.apply(id, None, None, &[(change(before, after), None)]).await.unwrap().late, 0);
        let known = main_ref(database, id).await;
        assert_eq!((known.generation, known.serial, known.deleted), (generation, serial, deleted));
    }
}

pub(crate) async fn what_a_reading_asked_for_is_noted_with_it_by_one_of_those_that_began_at_once(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    let narrow = ["refs/heads/".to_owned()];
    let wide = ["refs/heads/".to_owned(), "refs/tags/v".to_owned()];
    let noted = || async { database.repo("acme/churn").await.unwrap().asked };
    assert_eq!(noted().await, None);
    let main = [(change(None, Some(sha('a'))), None)];
    let first = Asked { before: None, now: &narrow };
    assert_eq!(database.apply(id, None, Some(first), &main).await.unwrap().late, 0);
    assert_eq!(noted().await.as_deref(), Some(&narrow[..]));
    // One that began before that: what it would tell, or not, is decided by what nobody knows any more.
    let tag = RefChange { name: "refs/tags/v1".into(), before: None, after: Some(sha('b')) };
    let tags = [(tag, Some(push(id, "one")))];
    let late = database.apply(id, None, Some(Asked { before: None, now: &wide }), &tags).await.unwrap();
    assert_eq!((late.late, late.events.len()), (1, 0));
    assert_eq!((database.refs(id).await.unwrap().len(), noted().await.as_deref()), (1, Some(&narrow[..])));
    let next = Asked { before: Some(&narrow), now: &wide };
    assert_eq!(database.apply(id, None, Some(next), &tags).await.unwrap().events.len(), 1);
    assert_eq!(noted().await.as_deref(), Some(&wide[..]));
}

pub(crate) async fn a_repository_that_moved_is_followed_when_its_new_address_is_written(place: &Place) {
    let database = &place.database;
    let new = |url: &str, name: &str| NewRepo { url: url.into(), name: name.into(), settings: serde_json::json!({}) };
    database.watch(&[new("u1", "one")]).await.unwrap();
    let id = database.repo("one").await.unwrap().id;
    assert_eq!(database.moves().await.unwrap(), []);
    database.moved(id, Some("u2")).await.unwrap();
    assert_eq!(database.moves().await.unwrap(), [(id, "u2".to_owned())]);
    // Whoever writes both has two.
    database.watch(&[new("u2", "two"), new("u1", "one")]).await.unwrap();
    assert_eq!(database.repo("one").await.unwrap().id, id);
    assert_ne!(database.repo("two").await.unwrap().id, id);
    database.moved(id, Some("u3")).await.unwrap();
    database.watch(&[new("u3", "one")]).await.unwrap();
    let followed = database.repo("one").await.unwrap();
    assert_eq!((followed.id, followed.url.as_str(), followed.moved), (id, "u3", None));
    database.moved(id, Some("u4")).await.unwrap();
    database.moved(id, None).await.unwrap();
    assert_eq!(database.moves().await.unwrap(), []);
}

pub(crate) async fn an_event_without_a_commit_waits_for_it_before_it_is_handled(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    let asked = NewEvent { new_sha: None, reference: None, ..push(id, "one") };
    let event = database.ask(&asked).await.unwrap().unwrap();
    assert_eq!(database.ask(&asked).await.unwrap(), None, "asked for once");
    assert_eq!(database.next_event(0).await.unwrap(), None);
    assert_eq!(database.waiting().await.unwrap(), (1, 0));
    let taken = database.asked(60_000, 9).await.unwrap();
    assert_eq!(taken.iter().map(|event| event.id).collect::<Vec<_>>(), [event]);
    assert!(database.asked(0, 9).await.unwrap().is_empty(), "somebody looks for it");
    database.event_failed(event, "busy", Some(0)).await.unwrap();
    let waits = database.event(event).await.unwrap();
    assert_eq!((waits.state.as_str(), waits.fault.as_deref()), ("asked", Some("busy")));
    assert_eq!(database.asked(0, 9).await.unwrap().len(), 1);
    assert!(database.answer(event, &push(id, "one")).await.unwrap());
    assert!(!database.answer(event, &push(id, "one")).await.unwrap(), "it has its commit");
    let next = database.next_event(0).await.unwrap().unwrap();
    assert_eq!((next.id, next.new, next.attempts, next.fault), (event, push(id, "one"), 1, None));
    let other = database.ask(&NewEvent { key: "two".into(), ..asked }).await.unwrap().unwrap();
    database.event_failed(other, "no such branch", None).await.unwrap();
    assert_eq!(database.event(other).await.unwrap().state, "failed");
    assert!(database.asked(0, 9).await.unwrap().is_empty());
    // One whose commit may be an old one says so to its end.
    database.settle_event(event, &Settlement::default()).await.unwrap();
    let old = database.ask(&NewEvent { key: "old".into(), ..push(id, "one") }).await.unwrap().unwrap();
    assert!(database.answer_unsure(old, &push(id, "one"), "not read").await.unwrap());
    assert_eq!(database.next_event(60_000).await.unwrap().unwrap().id, old);
    database.settle_event(old, &Settlement::default()).await.unwrap();
    let old = database.event(old).await.unwrap();
    assert_eq!((old.state.as_str(), old.fault.as_deref()), ("handled", Some("not read")));
    // So does one of which not all was known when it was kept.
    database.tell(&NewEvent { doubt: Some("unsure".into()), ..push(id, "three") }).await.unwrap();
    let next = database.next_event(60_000).await.unwrap().unwrap();
    assert_eq!((next.new, next.fault.as_deref()), (push(id, "three"), Some("unsure")));
}

fn delivery<'a>(id: &'a str, body: &'a [u8]) -> NewDelivery<'a> {
    NewDelivery { forge: "github", delivery: id, event: "push", content_type: "application/json", body }
}

pub(crate) async fn a_delivery_is_kept_once_and_a_failed_one_is_tried_again_when_it_comes_again(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    let body = b"{\"bytes\": \"\xff\x00 not even text\"}".repeat(1000);
    let Receipt::New(first) = database.receive(&delivery("d1", &body)).await.unwrap() else { panic!() };
    assert_eq!(database.receive(&delivery("d1", &body)).await.unwrap(), Receipt::Known(first));
    let read = database.next_delivery(60_000).await.unwrap().unwrap();
    assert_eq!((read.id, read.attempts, &read.body), (first, 1, &body));
    database.delivery_failed(first, "not JSON", None).await.unwrap();
    assert_eq!(database.next_delivery(0).await.unwrap(), None);
    assert_eq!(database.receive(&delivery("d1", &body)).await.unwrap(), Receipt::Again(first));
    let again = database.next_delivery(60_000).await.unwrap().unwrap();
    let events = [push(id, "from the hook"), push(id, "from the hook")];
    assert_eq!(database.settle_delivery(again.id, &events).await.unwrap().len(), 1);
    assert_eq!(database.settle_delivery(again.id, &[push(id, "late")]).await.unwrap().len(), 0);
    assert_eq!(database.receive(&delivery("d1", &body)).await.unwrap(), Receipt::Known(first));
    assert_eq!(database.waiting().await.unwrap(), (1, 0));
}

pub(crate) async fn a_delivery_whose_reader_died_is_read_again(place: &Place) {
    let database = &place.database;
    database.receive(&delivery("d1", b"{}")).await.unwrap();
    database.receive(&delivery("d2", b"{}")).await.unwrap();
    let first = database.next_delivery(50).await.unwrap().unwrap();
    assert_eq!(database.next_delivery(60_000).await.unwrap().unwrap().delivery, "d2");
    assert_eq!(database.next_delivery(50).await.unwrap(), None);
    nap(80).await;
    let again = database.next_delivery(50).await.unwrap().unwrap();
    assert_eq!((again.id, again.attempts), (first.id, 2));
}

pub(crate) async fn a_delivery_that_is_put_off_waits_and_that_was_no_try(place: &Place) {
    let database = &place.database;
    database.receive(&delivery("d1", b"{}")).await.unwrap();
    let first = database.next_delivery(60_000).await.unwrap().unwrap();
    database.postpone_delivery(first.id, first.attempts + 1, 0).await.unwrap();
    assert_eq!(database.next_delivery(50).await.unwrap(), None, "whoever has it no more puts nothing off");
    database.postpone_delivery(first.id, first.attempts, 50).await.unwrap();
    assert_eq!(database.next_delivery(50).await.unwrap(), None);
    nap(80).await;
    let again = database.next_delivery(60_000).await.unwrap().unwrap();
    assert_eq!((again.id, again.attempts), (first.id, 1));
    database.settle_delivery(first.id, &[]).await.unwrap();
    database.postpone_delivery(first.id, 1, 0).await.unwrap();
    assert_eq!(database.next_delivery(50).await.unwrap(), None, "what is done stays done");
}

fn action(position: i64, retryable: bool) -> NewAction {
    NewAction { handler: "h".into(), position, action: serde_json::json!({"do": position}), retryable }
}

pub(crate) async fn an_event_is_handled_once_with_all_that_it_calls_for(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    let event = database.tell(&push(id, "one")).await.unwrap().unwrap();
    assert_eq!(database.tell(&push(id, "one")).await.unwrap(), None);
    let taken = database.next_event(0).await.unwrap().unwrap();
    assert_eq!(taken.id, event);
    let run = soopervisor::store::database::NewRun { event: Some(event), ..new_run(id, "k") };
    let settlement = Settlement { runs: vec![run.clone(), run], actions: vec![action(0, true), action(1, false)] };
    let queued = database.settle_event(event, &settlement).await.unwrap();
    assert_eq!((queued[0].new, queued[1].new, queued[0].id), (true, false, queued[1].id));
    // Whoever else had it is too late, whatever it would have written.
    let late = Settlement { runs: vec![new_run(id, "other")], actions: vec![action(2, true)] };
    assert_eq!(database.settle_event(event, &late).await.unwrap(), []);
    assert_eq!(database.runs(&RunFilter::default()).await.unwrap().len(), 1);
    assert_eq!(database.action_results(event, "h").await.unwrap().len(), 2);
    assert_eq!(database.next_event(0).await.unwrap(), None);
    // One that keeps failing is given up, with the reason.
    let other = database.tell(&push(id, "two")).await.unwrap().unwrap();
    database.event_failed(other, "busy", Some(0)).await.unwrap();
    assert_eq!(database.next_event(0).await.unwrap().unwrap().id, other);
    database.event_failed(other, "hopeless", None).await.unwrap();
    let failed = database.event(other).await.unwrap();
    assert_eq!((failed.state.as_str(), failed.fault.as_deref()), ("failed", Some("hopeless")));
}

pub(crate) async fn runs_go_by_priority_then_age_and_stay_within_the_limits(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    for (key, priority, mode) in [("a", 0, "sample"), ("b", 5, "sample"), ("c", 0, "full"), ("d", 0, "full")] {
        let run = soopervisor::store::database::NewRun { priority, mode: mode.into(), ..new_run(id, key) };
        assert!(database.enqueue(&run).await.unwrap().new);
    }
    let limits = QueueLimits { all: 2, repo: 1, ..WIDE };
    let first = database.claim("w", limits).await.unwrap().unwrap();
    assert_eq!((first.run.new.key.as_str(), first.epoch, first.run.state), ("b", 1, RunState::Running));
    let second = database.claim("w", limits).await.unwrap().unwrap();
    assert_eq!(second.run.new.key, "c", "one run of a repository and mode at a time");
    assert_eq!(database.claim("w", limits).await.unwrap(), None, "two in all");
    let ended = Ended { state: RunState::Succeeded, exit_code: 0, summary: "published".into() };
    database.finish(first.run.id, first.epoch, &ended).await.unwrap();
    assert_eq!(database.claim("w", limits).await.unwrap().unwrap().run.new.key, "a");
    let counts = database.count_runs().await.unwrap();
    assert_eq!(counts, [(RunState::Queued, 1), (RunState::Running, 2), (RunState::Succeeded, 1)]);
}

pub(crate) async fn limits_hold_for_all_workers_for_each_and_for_each_repository(place: &Place) {
    let database = &place.database;
    let settings = serde_json::json!({"concurrency": 3});
    let new = NewRepo { url: "https://git.example/acme/churn.git".into(), name: "acme/churn".into(), settings };
    database.watch(&[new]).await.unwrap();
    let id = database.repo("acme/churn").await.unwrap().id;
    for number in 0..6 {
        database.enqueue(&new_run(id, &number.to_string())).await.unwrap();
    }
    let limits = QueueLimits { here: 2, repo: 1, ..WIDE };
    let first = database.claim("a", limits).await.unwrap().unwrap();
    database.claim("a", limits).await.unwrap().unwrap();
    assert_eq!(database.claim("a", limits).await.unwrap(), None, "two on one worker");
    database.claim("b", limits).await.unwrap().unwrap();
    assert_eq!(database.claim("b", limits).await.unwrap(), None, "three of the repository");
    assert_eq!(database.policy().await.unwrap(), Policy::default());
    let policy = Policy { concurrency: Some(2), lease_ms: Some(5_000), logs_ms: Some(90), log_bytes: Some(1 << 40) };
    database.set_policy(policy).await.unwrap();
    assert_eq!(database.policy().await.unwrap(), policy);
    let ended = Ended { state: RunState::Failed, exit_code: 4, summary: "failed".into() };
    database.finish(first.run.id, first.epoch, &ended).await.unwrap();
    assert_eq!(database.claim("a", limits).await.unwrap(), None, "two on all workers");
    database.set_policy(Policy::default()).await.unwrap();
    assert!(database.claim("a", limits).await.unwrap().is_some());
}

pub(crate) async fn the_next_process_of_a_worker_goes_on_with_its_claims_unless_another_has_them(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    for key in ["one", "two"] {
        database.enqueue(&new_run(id, key)).await.unwrap();
    }
    let short = QueueLimits { lease_ms: 40, ..WIDE };
    let one = database.claim("w", short).await.unwrap().unwrap();
    let two = database.claim("w", short).await.unwrap().unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(80)).await;
    let held = database.held_by("w").await.unwrap();
    assert_eq!(held.iter().map(|claim| (claim.run.id, claim.epoch)).collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    assert!(database.held_by("x").await.unwrap().is_empty());
    // Also past its lease: nobody else took it.
    assert!(database.resume(one.run.id, one.epoch, "w", 60_000).await.unwrap());
    assert!(!database.resume(one.run.id, one.epoch, "x", 60_000).await.unwrap());
    database.placed(one.run.id, one.epoch, "here").await.unwrap();
    assert_eq!(database.reap(None, Retry::default()).await.unwrap(), [(two.run.id, RunState::Queued)]);
    let taken = database.claim("x", WIDE).await.unwrap().unwrap();
    assert_eq!((taken.run.id, taken.epoch), (two.run.id, 2));
    assert!(!database.resume(two.run.id, two.epoch, "w", 60_000).await.unwrap());
    assert_eq!(database.abandon(one.run.id, Retry::default()).await.unwrap(), [(one.run.id, RunState::Queued)]);
    assert!(database.heartbeat(taken.run.id, taken.epoch, 60_000).await.is_ok(), "others keep theirs");
}

pub(crate) async fn workers_that_claim_at_once_get_different_runs(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    for number in 0..40 {
        database.enqueue(&new_run(id, &number.to_string())).await.unwrap();
    }
    let limits = QueueLimits { all: 25, ..WIDE };
    let workers = (0..8).map(|worker| {
        let database = database.clone();
        tokio::spawn(async move {
            let mut claimed = Vec::new();
            while let Some(claim) = database.claim(&format!("w{worker}"), limits).await.unwrap() {
                claimed.push(claim.run.id);
            }
            claimed
        })
    });
    let mut all = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        all.extend(worker.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (1..=25).collect::<Vec<_>>());
}

fn step(seq: i64) -> StepRow {
    StepRow { seq, name: "execute".into(), outcome: "done".into(), elapsed_ms: 5, detail: "3 tasks".into() }
}

async fn refuses_everything(database: &Database, run: i64, epoch: i64) {
    let ended = Ended { state: RunState::Succeeded, exit_code: 0, summary: "too late".into() };
    assert!(is_fenced(database.heartbeat(run, epoch, 60_000).await));
    assert!(is_fenced(database.placed(run, epoch, "x").await));
    assert!(is_fenced(database.step(run, epoch, &step(9)).await));
    assert!(is_fenced(database.finish(run, epoch, &ended).await));
    assert!(is_fenced(database.retry(run, epoch, "late", Retry::default()).await));
    assert!(is_fenced(database.hand_back(run, epoch).await));
}

pub(crate) async fn a_worker_past_its_lease_writes_nothing(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    database.enqueue(&new_run(id, "k")).await.unwrap();
    let claim = database.claim("w", QueueLimits { lease_ms: 60, ..WIDE }).await.unwrap().unwrap();
    database.step(1, claim.epoch, &step(0)).await.unwrap();
    nap(100).await;
    // Nobody has noticed yet, and still it is too late.
    let before = database.run(1).await.unwrap();
    refuses_everything(database, 1, claim.epoch).await;
    assert_eq!(database.run(1).await.unwrap(), before);
    assert_eq!(database.steps(1).await.unwrap(), [step(0)]);
    assert_eq!(database.events(None, 10).await.unwrap(), []);
}

pub(crate) async fn a_worker_that_wakes_after_another_took_over_writes_nothing(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    database.enqueue(&new_run(id, "k")).await.unwrap();
    let old = database.claim("w1", QueueLimits { lease_ms: 40, ..WIDE }).await.unwrap().unwrap();
    nap(60).await;
    assert_eq!(database.reap(None, Retry::default()).await.unwrap(), [(1, RunState::Queued)]);
    assert_eq!(database.reap(None, Retry::default()).await.unwrap(), []);
    let new = database.claim("w2", WIDE).await.unwrap().unwrap();
    assert_eq!((old.epoch, new.epoch), (1, 2));
    refuses_everything(database, 1, old.epoch).await;
    database.step(1, new.epoch, &step(0)).await.unwrap();
    database.step(1, new.epoch, &step(0)).await.unwrap();
    database.placed(1, new.epoch, "20261128-x").await.unwrap();
    assert!(!database.heartbeat(1, new.epoch, 60_000).await.unwrap().cancel);
    let ended = Ended { state: RunState::Failed, exit_code: 4, summary: "task clean failed".into() };
    database.finish(1, new.epoch, &ended).await.unwrap();
    refuses_everything(database, 1, new.epoch).await;
    let run = database.run(1).await.unwrap();
    assert_eq!((run.state, run.exit_code, run.worker.as_deref()), (RunState::Failed, Some(4), Some("w2")));
    assert_eq!(database.steps(1).await.unwrap(), [step(0)]);
    let outcomes: Vec<_> = database.attempts(1).await.unwrap().into_iter().map(|one| one.outcome.unwrap()).collect();
    assert_eq!(outcomes, ["expired", "failed"]);
}

pub(crate) async fn only_infrastructure_failures_are_tried_again_and_not_for_ever(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    database.enqueue(&new_run(id, "k")).await.unwrap();
    let retry = Retry { most: 3, delay_ms: 50 };
    for state in [RunState::Queued, RunState::Queued, RunState::Failed] {
        let claim = database.claim("w", WIDE).await.unwrap().unwrap();
        assert_eq!(database.retry(1, claim.epoch, "no engine", retry).await.unwrap(), state);
        assert_eq!(database.claim("w", WIDE).await.unwrap(), None, "it waits its delay");
        nap(80).await;
    }
    assert_eq!(database.claim("w", WIDE).await.unwrap(), None);
    let run = database.run(1).await.unwrap();
    assert_eq!((run.failures, run.summary.as_deref()), (3, Some("no engine")));
    assert_eq!(database.events(None, 10).await.unwrap().len(), 1);
    // A hand-over is no failure.
    database.enqueue(&new_run(id, "k2")).await.unwrap();
    let claim = database.claim("w", WIDE).await.unwrap().unwrap();
    database.hand_back(2, claim.epoch).await.unwrap();
    assert_eq!(database.claim("w", WIDE).await.unwrap().unwrap().run.failures, 0);
}

pub(crate) async fn a_worker_that_is_known_to_be_dead_loses_its_runs_at_once(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    for key in ["a", "b", "c"] {
        database.enqueue(&new_run(id, key)).await.unwrap();
    }
    for worker in ["dead", "alive", "dead"] {
        database.claim(worker, WIDE).await.unwrap().unwrap();
    }
    database.cancel(3).await.unwrap();
    let mut reaped = database.reap(Some("dead"), Retry::default()).await.unwrap();
    reaped.sort_by_key(|(run, _)| *run);
    assert_eq!(reaped, [(1, RunState::Queued), (3, RunState::Cancelled)]);
    assert_eq!(database.run(2).await.unwrap().state, RunState::Running);
    database.claim("dead", WIDE).await.unwrap().unwrap();
    let lost = database.reap(Some("dead"), Retry { most: 2, delay_ms: 0 }).await.unwrap();
    assert_eq!(lost, [(1, RunState::Lost)]);
}

pub(crate) async fn a_newer_run_takes_the_place_of_those_that_wait(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    let lane = |key: &str, lane: &str| soopervisor::store::database::NewRun {
        lane: lane.into(),
        supersede: true,
        ..new_run(id, key)
    };
    database.enqueue(&lane("runs", "main")).await.unwrap();
    database.claim("w", WIDE).await.unwrap().unwrap();
    assert_eq!(database.enqueue(&lane("waits", "main")).await.unwrap().superseded, 0);
    assert_eq!(database.enqueue(&lane("elsewhere", "dev")).await.unwrap().superseded, 0);
    let newest = database.enqueue(&lane("newest", "main")).await.unwrap();
    assert_eq!(newest.superseded, 1);
    let old = database.run(2).await.unwrap();
    assert_eq!((old.state, old.superseded_by), (RunState::Superseded, Some(newest.id)));
    assert_eq!(database.run(1).await.unwrap().state, RunState::Running);
    // Told twice: it supersedes nothing, not even itself.
    assert!(!database.enqueue(&lane("newest", "main")).await.unwrap().new);
    assert_eq!(database.cancel_lane("main").await.unwrap(), 1);
    assert_eq!(database.run(newest.id).await.unwrap().state, RunState::Cancelled);
}

pub(crate) async fn a_run_that_waits_is_cancelled_at_once_and_one_that_runs_hears_of_it(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    database.enqueue(&new_run(id, "a")).await.unwrap();
    database.enqueue(&new_run(id, "b")).await.unwrap();
    let claim = database.claim("w", WIDE).await.unwrap().unwrap();
    assert_eq!(database.cancel(2).await.unwrap(), RunState::Cancelled);
    assert_eq!(database.claim("w", WIDE).await.unwrap(), None);
    assert_eq!(database.cancel(1).await.unwrap(), RunState::Running);
    assert!(database.heartbeat(1, claim.epoch, 60_000).await.unwrap().cancel);
    let ended = Ended { state: RunState::Cancelled, exit_code: 130, summary: "stopped".into() };
    database.finish(1, claim.epoch, &ended).await.unwrap();
    assert_eq!(database.cancel(1).await.unwrap(), RunState::Cancelled);
    assert!(matches!(database.cancel(77).await, Err(DatabaseError::Missing { .. })));
    let filter = RunFilter { state: Some(RunState::Cancelled), repo: Some(id), ..RunFilter::default() };
    let ids = |runs: Vec<soopervisor::store::database::Run>| runs.iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(ids(database.runs(&filter).await.unwrap()), [2, 1]);
    let older = RunFilter { before: Some(2), limit: Some(1), ..filter };
    assert_eq!(ids(database.runs(&older).await.unwrap()), [1]);
}

pub(crate) async fn a_finished_run_is_an_event_written_with_it(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    database.enqueue(&new_run(id, "a")).await.unwrap();
    let claim = database.claim("w", WIDE).await.unwrap().unwrap();
    let ended = Ended { state: RunState::Succeeded, exit_code: 0, summary: "7 files".into() };
    database.finish(1, claim.epoch, &ended).await.unwrap();
    let event = database.next_event(0).await.unwrap().unwrap();
    assert_eq!((event.new.kind.as_str(), event.new.repo), ("run_finished", Some(id)));
    assert_eq!(event.new.payload["state"], "succeeded");
    assert_eq!(event.new.payload["summary"], "7 files");
    assert_eq!(event.new.new_sha, Some(sha('a')));
}

pub(crate) async fn an_action_is_done_once_and_one_that_may_have_happened_is_not_repeated(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    let event = database.tell(&push(id, "one")).await.unwrap().unwrap();
    database.next_event(0).await.unwrap();
    let actions = vec![action(0, true), action(1, false), action(2, true)];
    database.settle_event(event, &Settlement { runs: Vec::new(), actions }).await.unwrap();
    let first = database.next_action(60_000).await.unwrap().unwrap();
    let sent = Resolution::Done(serde_json::json!({"id": 7}));
    database.resolve_action(first.id, first.epoch, &sent).await.unwrap();
    assert!(is_fenced(database.resolve_action(first.id, first.epoch, &sent).await));
    // The doer of these two dies.
    let (risky, safe) = (database.next_action(40).await.unwrap().unwrap(), database.next_action(40).await.unwrap());
    nap(80).await;
    assert!(is_fenced(database.resolve_action(risky.id, risky.epoch, &sent).await));
    let again = database.next_action(60_000).await.unwrap().unwrap();
    assert_eq!((again.id, again.attempts), (safe.unwrap().id, 2));
    database.resolve_action(again.id, again.epoch, &Resolution::Again("busy".into(), 0)).await.unwrap();
    let third = database.next_action(60_000).await.unwrap().unwrap();
    database.resolve_action(third.id, third.epoch, &Resolution::Failed("gone".into())).await.unwrap();
    assert_eq!(database.next_action(60_000).await.unwrap(), None);
    let states: Vec<_> =
        database.action_results(event, "h").await.unwrap().into_iter().map(|(_, state, _)| state).collect();
    assert_eq!(states, ["done", "unknown", "failed"]);
    assert_eq!(database.event(event).await.unwrap().fault.as_deref(), Some("handler `h`: gone"));
}

pub(crate) async fn tokens_are_good_until_they_expire_or_are_taken_back(place: &Place) {
    let database = &place.database;
    let new = |hash, lasts_ms| NewToken { name: "ci", hash, scopes: "read run", lasts_ms };
    let id = database.add_token(&new("h1", 60_000), "ann").await.unwrap();
    database.add_token(&new("h2", 30), "ann").await.unwrap();
    assert!(database.add_token(&new("h1", 60_000), "ann").await.is_err());
    let token = database.token("h1").await.unwrap().unwrap();
    assert_eq!((token.id, token.scopes.as_str(), token.used_at), (id, "read run", None));
    assert!(database.token("h1").await.unwrap().unwrap().used_at.is_some());
    nap(60).await;
    assert_eq!(database.token("h2").await.unwrap(), None);
    assert_eq!(database.token("nobody's").await.unwrap(), None);
    database.revoke_token(id, "bob").await.unwrap();
    assert_eq!(database.token("h1").await.unwrap(), None);
    assert_eq!(database.tokens().await.unwrap().len(), 2);
    assert!(matches!(database.revoke_token(99, "bob").await, Err(DatabaseError::Missing { .. })));
    assert_eq!(audit(database).await, ["ann token.create 1 ci", "ann token.create 2 ci", "bob token.revoke 1 "]);
}

pub(crate) async fn a_tick_is_told_once(place: &Place) {
    let database = &place.database;
    let schedule = |spec: &str, next_at| Schedule { name: "nightly".into(), spec: spec.into(), next_at };
    database.schedule(&schedule("0 3 * * *", 1_000)).await.unwrap();
    database.schedule(&schedule("0 3 * * *", 5_000)).await.unwrap();
    let (now, due) = database.due().await.unwrap();
    assert_eq!(due, [schedule("0 3 * * *", 1_000)], "the same text keeps its time");
    let event = NewEvent { repo: None, ..push(0, "tick 1000") };
    assert!(database.tick(&due[0], now + 60_000, &event).await.unwrap());
    assert!(!database.tick(&due[0], now + 60_000, &event).await.unwrap());
    assert_eq!(database.due().await.unwrap().1, []);
    let events = database.events(None, 9).await.unwrap();
    assert_eq!((events.len(), events[0].state.as_str()), (1, "asked"), "its commit is looked for first");
    database.schedule(&schedule("0 4 * * *", 2_000)).await.unwrap();
    assert_eq!(database.due().await.unwrap().1.len(), 1);
    database.keep_schedules(&["other"]).await.unwrap();
    assert_eq!(database.due().await.unwrap().1, []);
}

pub(crate) async fn handlers_keep_every_version(place: &Place) {
    let database = &place.database;
    assert_eq!(database.put_handler("a", Some("one"), "me").await.unwrap(), 1);
    assert_eq!(database.put_handler("a", Some("two"), "you").await.unwrap(), 2);
    assert_eq!(database.put_handler("b", Some("x"), "me").await.unwrap(), 1);
    assert_eq!(database.put_handler("b", None, "me").await.unwrap(), 2);
    let handlers = database.handlers().await.unwrap();
    assert_eq!(handlers.len(), 1);
    assert_eq!((handlers[0].text.as_deref(), handlers[0].author.as_str()), (Some("two"), "you"));
    let versions: Vec<_> = database.handler_versions("b").await.unwrap().into_iter().map(|one| one.text).collect();
    assert_eq!(versions, [None, Some("x".to_owned())]);
}

pub(crate) async fn what_is_remembered_of_builds_is_the_last_that_was_written(place: &Place) {
    let database = &place.database;
    assert_eq!(database.builds("acme/churn acme/builds build").await.unwrap(), None);
    for document in [serde_json::json!({"built": "a"}), serde_json::json!({"built": "b", "failed": []})] {
        database.remember_builds("acme/churn acme/builds build", &document).await.unwrap();
        database.remember_builds("other", &serde_json::json!({})).await.unwrap();
        assert_eq!(database.builds("acme/churn acme/builds build").await.unwrap(), Some(document));
    }
}

pub(crate) async fn the_sweep_takes_what_is_old_and_never_what_waits(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    for key in ["done", "acts", "waits"] {
        database.tell(&push(id, key)).await.unwrap();
    }
    database.settle_event(1, &Settlement { runs: vec![], actions: vec![] }).await.unwrap();
    let run = soopervisor::store::database::NewRun { event: Some(1), ..new_run(id, "k") };
    database.enqueue(&run).await.unwrap();
    database.settle_event(2, &Settlement { runs: vec![], actions: vec![action(0, true)] }).await.unwrap();
    for name in ["d1", "d2"] {
        database.receive(&delivery(name, b"{}")).await.unwrap();
    }
    database.settle_delivery(1, &[]).await.unwrap();
    database.apply(id, None, None, &[(change(None, Some(sha('a'))), None)]).await.unwrap();
    let known = main_ref(database, id).await;
    database.apply(id, None, None, &[(change(Some(known), None), None)]).await.unwrap();
    database.put_handler("h", Some("text"), "me").await.unwrap();
    let young = database.sweep(Retention::default()).await.unwrap();
    assert_eq!(young, soopervisor::store::database::Swept::default());
    let none = Retention { deliveries_ms: 0, events_ms: 0, tombstones_ms: 0, audit_ms: 0, builds_ms: 0, keys_ms: 0 };
    let swept = database.sweep(none).await.unwrap();
    assert_eq!((swept.deliveries, swept.events, swept.tombstones, swept.audit), (1, 1, 1, 1));
    assert_eq!((swept.builds, swept.keys), (0, 0), "there are none, and the run waits");
    assert_eq!(database.waiting().await.unwrap(), (1, 1));
    assert_eq!(database.run(1).await.unwrap().new.event, None, "the run stays, its event is forgotten");
}

pub(crate) async fn the_sweep_forgets_builds_of_nobody_and_keys_of_old_runs_and_repeats_nothing(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    let own = database.repo_of(id).await.unwrap().unwrap().name;
    let names = [format!("{own} acme/builds w.yml"), format!("{own}-other acme/builds w.yml")];
    for name in &names {
        database.remember_builds(name, &serde_json::json!({"built": sha('a')})).await.unwrap();
    }
    let (ended, waits) = (new_run(id, "ended"), new_run(id, "waits"));
    let first = database.enqueue(&ended).await.unwrap().id;
    let claim = database.claim("w", QueueLimits::default()).await.unwrap().unwrap();
    assert_eq!(claim.run.id, first);
    let end = Ended { state: RunState::Succeeded, exit_code: 0, summary: String::new() };
    database.finish(first, claim.epoch, &end).await.unwrap();
    database.enqueue(&waits).await.unwrap();
    let young = database.sweep(Retention::default()).await.unwrap();
    assert_eq!((young.builds, young.keys), (0, 0));
    assert_eq!(database.enqueue(&ended).await.unwrap().id, first, "the same call is the same run");
    let old = Retention { builds_ms: 0, keys_ms: 0, ..Retention::default() };
    let swept = database.sweep(old).await.unwrap();
    assert_eq!((swept.builds, swept.keys), (1, 1));
    assert!(database.builds(&names[0]).await.unwrap().is_some(), "a schedule would ask for it again");
    assert!(database.builds(&names[1]).await.unwrap().is_none());
    assert_eq!(database.run_by_key("ended").await.unwrap(), None);
    assert!(database.run_by_key("waits").await.unwrap().is_some());
    assert_eq!(database.run(first).await.unwrap().state, RunState::Succeeded, "the run stays");
    assert_eq!(database.sweep(old).await.unwrap().keys, 0, "once");
}

pub(crate) async fn a_thousand_events_from_many_tasks_are_each_handled_once(place: &Place) {
    const EVENTS: usize = 1_000;
    let database = &place.database;
    let id = repo(database).await;
    let mut tasks = Vec::new();
    for teller in 0..4 {
        let database = database.clone();
        tasks.push(tokio::spawn(async move {
            for number in 0..EVENTS / 2 {
                // Every event is told by two.
                let key = (teller % 2) * (EVENTS / 2) + number;
                database.tell(&push(id, &key.to_string())).await.unwrap();
            }
        }));
    }
    for _ in 0..4 {
        let database = database.clone();
        tasks.push(tokio::spawn(async move {
            let mut idle = 0;
            while idle < 40 {
                let Some(event) = database.next_event(5_000).await.unwrap() else {
                    idle += 1;
                    nap(25).await;
                    continue;
                };
                idle = 0;
                let run = new_run(id, &format!("run of {}", event.new.key));
                let settlement = Settlement { runs: vec![run], actions: vec![action(0, true)] };
                database.settle_event(event.id, &settlement).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(database.waiting().await.unwrap(), (0, 0));
    assert_eq!(database.count_runs().await.unwrap(), [(RunState::Queued, i64::try_from(EVENTS).unwrap())]);
}

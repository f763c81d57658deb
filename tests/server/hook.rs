//! Deliveries from the signature to the event, with a real repository to ask.

use std::sync::Arc;

use aws_lc_rs::hmac;
use serde_json::json;
use soopervisor::secret::Secret;
use soopervisor::server::file::Commits;
use soopervisor::server::hook::envelope::Forge as Kind;
use soopervisor::server::hook::genuine::HookSecrets;
use soopervisor::server::hook::{Dispatcher, Receiver, Reply};
use soopervisor::server::metrics::Metrics;
use soopervisor::server::poll::{Address, Watch};
use tokio::sync::watch;

use super::Place;
use super::git::{Forge, Manner};

pub(crate) const SECRET: &[u8] = b"It's a Secret to Everybody";

pub(crate) fn sign(body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), body);
    format!("sha256={}", hex::encode(tag.as_ref()))
}

pub(crate) fn receiver(place: &Place) -> Receiver {
    let secrets = HookSecrets {
        github: vec![Secret::new("old", b"an older one".to_vec()), Secret::new("hook", SECRET.to_vec())],
        ..HookSecrets::default()
    };
    Receiver::new(place.database.clone(), secrets, Metrics::default(), Arc::default())
}

fn dispatcher(place: &Place, watch: &Arc<Watch>) -> Dispatcher {
    // The sender may go: what it said last stays.
    let (_, watches) = watch::channel(vec![Arc::clone(watch)]);
    Dispatcher::new(place.database.clone(), place.poller(), watches, Arc::default(), Arc::default())
}

async fn deliver(receiver: &Receiver, event: &str, id: &str, body: &[u8], proof: Option<&str>) -> Reply {
    let header = |name: &str| match name {
        "X-GitHub-Event" => Some(event),
        "X-GitHub-Delivery" => Some(id),
        "X-Hub-Signature-256" => proof,
        "Content-Type" => Some("application/json"),
        _ => None,
    };
    receiver.receive(Kind::GitHub, header, body).await
}

pub(crate) async fn send(receiver: &Receiver, event: &str, id: &str, payload: &serde_json::Value) -> u16 {
    let body = payload.to_string().into_bytes();
    deliver(receiver, event, id, &body, Some(&sign(&body))).await.status
}

fn push(forge: &Forge, before: &str, after: &str) -> serde_json::Value {
    json!({"ref": "refs/heads/main", "before": before, "after": after, "forced": false, "sender": {"login": "ada"},
        "head_commit": {"message": "two\nlines"}, "commits": [{"added": [], "modified": ["file"], "removed": []}],
        "repository": {"clone_url": forge.url(), "default_branch": "main"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn only_genuine_deliveries_are_kept() {
    let place = Place::new().await;
    let receiver = receiver(&place);
    let body = br#"{"zen": "x"}"#;
    assert_eq!(deliver(&receiver, "ping", "1", body, None).await.status, 401);
    assert_eq!(deliver(&receiver, "ping", "1", body, Some("sha256=00")).await.status, 401);
    assert_eq!(deliver(&receiver, "ping", "1", b"other", Some(&sign(body))).await.status, 401);
    assert_eq!(deliver(&receiver, "pi\nng", "1", body, Some(&sign(body))).await.status, 400);
    assert_eq!(place.database.waiting().await.unwrap().1, 0);
    assert_eq!(deliver(&receiver, "ping", "1", body, Some(&sign(body))).await.status, 202);
    assert_eq!(deliver(&receiver, "ping", "1", body, Some(&sign(body))).await, Reply { status: 200, word: "known" });
    assert_eq!(place.database.waiting().await.unwrap().1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_told_once_by_whoever_comes_first_and_git_decides_what_happened() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    let watch = place.watch(Address::Http(forge.url(), None)).await;
    let (receiver, dispatcher, poller) = (receiver(&place), dispatcher(&place, &watch), place.poller());
    poller.read(&watch, None).await.unwrap();
    let first = forge.git(&["rev-parse", "HEAD"]);
    let second = forge.commit("main", "second");
    // Three hooks tell of one push, one of them twice; a poll sees it too.
    for id in ["repo", "org", "app", "repo"] {
        send(&receiver, "push", id, &push(&forge, &first, &second)).await;
    }
    while dispatcher.next().await.unwrap() {}
    poller.read(&watch, None).await.unwrap();
    assert_eq!(place.kinds().await, ["push"]);
    let event = place.database.event(1).await.unwrap();
    let said = &event.new.payload;
    assert_eq!((said["source"].as_str(), said["actor"].as_str()), (Some("webhook"), Some("ada")));
    assert_eq!((said["message"].as_str(), &said["paths"]), (Some("two"), &json!(["file"])));
    // One that comes late, or lies, tells nothing: git says where the branch is.
    let third = forge.commit("main", "third");
    poller.read(&watch, None).await.unwrap();
    send(&receiver, "push", "late", &push(&forge, &first, &second)).await;
    send(&receiver, "push", "lie", &push(&forge, &third, &"d".repeat(40))).await;
    while dispatcher.next().await.unwrap() {}
    assert_eq!(place.kinds().await, ["push", "push"]);
    assert!(place.database.repo("acme/churn").await.unwrap().hook_at.is_some());
    assert_eq!(place.database.waiting().await.unwrap().1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_followed_now_is_followed_later_and_a_failed_one_when_it_is_redelivered() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    let watch = place.watch(Address::Http(forge.url(), None)).await;
    let (receiver, dispatcher) = (receiver(&place), dispatcher(&place, &watch));
    place.poller().read(&watch, None).await.unwrap();
    let first = forge.git(&["rev-parse", "HEAD"]);
    let second = forge.commit("main", "second");
    forge.behave(Manner { refuses: Some((404, None)), ..Manner::default() });
    send(&receiver, "push", "d", &push(&forge, &first, &second)).await;
    assert!(dispatcher.next().await.unwrap());
    assert_eq!(place.kinds().await, [""; 0]);
    assert!(!dispatcher.next().await.unwrap(), "no access is no matter of waiting");
    forge.behave(Manner::default());
    assert_eq!(send(&receiver, "push", "d", &push(&forge, &first, &second)).await, 202);
    assert!(dispatcher.next().await.unwrap());
    assert_eq!(place.kinds().await, ["push"]);
    // The host is ill: it waits, and is not given up.
    forge.behave(Manner { refuses: Some((500, None)), ..Manner::default() });
    let third = forge.commit("main", "third");
    send(&receiver, "push", "e", &push(&forge, &second, &third)).await;
    assert!(dispatcher.next().await.unwrap());
    assert_eq!(place.database.waiting().await.unwrap().1, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_requests_and_comments_become_events_and_what_is_of_nobody_is_passed_over() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    let watch = place.watch(Address::Http(forge.url(), None)).await;
    let (receiver, dispatcher) = (receiver(&place), dispatcher(&place, &watch));
    let repository = json!({"clone_url": forge.url()});
    let pull = json!({"action": "opened", "repository": repository, "pull_request": {"number": 7, "updated_at": "t"}});
    let comment = json!({"action": "created", "repository": repository, "issue": {"number": 7, "pull_request": {}},
        "comment": {"id": 3, "body": "/soopervisor run", "user": {"login": "ada"}}});
    let elsewhere =
        json!({"action": "opened", "pull_request": {"number": 1}, "repository": {"clone_url": "https://x/y"}});
    for (id, event, payload) in [
        ("1", "pull_request", &pull),
        ("2", "pull_request", &pull),
        ("3", "issue_comment", &comment),
        ("4", "pull_request", &elsewhere),
        ("5", "something_new", &pull),
    ] {
        assert_eq!(send(&receiver, event, id, payload).await, 202);
    }
    assert_eq!(deliver(&receiver, "push", "6", b"not json", Some(&sign(b"not json"))).await.status, 202);
    while dispatcher.next().await.unwrap() {}
    assert_eq!(place.kinds().await, ["pull_request", "comment"]);
    assert_eq!(place.database.event(2).await.unwrap().new.payload["comment"]["command"], "run");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_each_push_is_told_deliveries_tell_of_those_that_git_has_no_ref_of_any_more() {
    let (place, forge) = (Place::new().await, Forge::start().await);
    let watch = place.watch(Address::Http(forge.url(), None)).await;
    let watch = Arc::new(Watch { commits: Commits::EachPush, ..(*watch).clone() });
    let (receiver, dispatcher) = (receiver(&place), dispatcher(&place, &watch));
    place.poller().read(&watch, None).await.unwrap();
    let first = forge.git(&["rev-parse", "HEAD"]);
    let (second, third, fourth) =
        (forge.commit("main", "second"), forge.commit("main", "third"), forge.commit("main", "fourth"));
    // Read late, out of order and twice.
    for (id, before, after) in
        [("b", &second, &third), ("a", &first, &second), ("c", &third, &fourth), ("d", &third, &fourth)]
    {
        send(&receiver, "push", id, &push(&forge, before, after)).await;
    }
    while dispatcher.next().await.unwrap() {}
    place.poller().read(&watch, None).await.unwrap();
    let mut events = place.database.events(None, 50).await.unwrap();
    events.reverse();
    let moves: Vec<_> =
        events.into_iter().map(|event| (event.new.old_sha.unwrap(), event.new.new_sha.unwrap())).collect();
    assert_eq!(moves, [(first.clone(), second.clone()), (second.clone(), third.clone()), (third, fourth)]);
    // One that another hook sends late tells nothing anew.
    let fifth = forge.commit("main", "fifth");
    send(&receiver, "push", "late", &push(&forge, &first, &second)).await;
    while dispatcher.next().await.unwrap() {}
    let events = place.database.events(None, 50).await.unwrap();
    assert_eq!((events.len(), events[0].new.new_sha.as_ref()), (4, Some(&fifth)), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_moved_repository_under_its_new_address_is_told_of_it() {
    let (place, forge, other) = (Place::new().await, Forge::start().await, Forge::start().await);
    let watch = place.watch(Address::Http(forge.url(), None)).await;
    let (receiver, dispatcher, poller) = (receiver(&place), dispatcher(&place, &watch), place.poller());
    poller.read(&watch, None).await.unwrap();
    let opened = |number: u64| {
        json!({"action": "opened", "repository": {"clone_url": other.url()},
            "pull_request": {"number": number, "updated_at": "t"}})
    };
    let pulls = || async { place.kinds().await.into_iter().filter(|kind| kind == "pull_request").count() };
    assert_eq!(send(&receiver, "pull_request", "1", &opened(1)).await, 202);
    while dispatcher.next().await.unwrap() {}
    assert_eq!(pulls().await, 0, "nobody knows that it is the same one");
    let target = other.url().origin().ascii_serialization();
    forge.behave(Manner { moved: Some(target), ..Manner::default() });
    poller.read(&watch, None).await.unwrap();
    assert_eq!(place.database.repo("acme/churn").await.unwrap().moved, Some(other.url().to_string()));
    assert_eq!(send(&receiver, "pull_request", "2", &opened(2)).await, 202);
    while dispatcher.next().await.unwrap() {}
    assert_eq!(pulls().await, 1);
    // It is back.
    forge.behave(Manner::default());
    poller.read(&watch, None).await.unwrap();
    assert_eq!(place.database.repo("acme/churn").await.unwrap().moved, None);
}

//! The receiver of webhooks under whatever anybody sends: GitHub's examples and noise, cut, mended and mixed up, with right
//! signatures and wrong ones, through to the reader that makes events of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use soopervisor::server::hook::Dispatcher;
use soopervisor::server::hook::envelope::Forge as Kind;
use soopervisor::server::poll::Address;
use tokio::sync::watch;

use super::Place;
use super::hook::{receiver, sign};
use super::payloads::examples;

/// Nobody listens there: a reader that asks git learns so at once.
const NOWHERE: &str = "http://127.0.0.1:9/acme/churn.git";
/// A debug build on a busy machine; the service level is a matter of benches/server.rs.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a payload is spoilt.
#[derive(Debug, Clone)]
enum Harm {
    Nothing,
    /// A byte becomes another one.
    Byte(Index, u8),
    Cut(Index),
    /// Goes on with the end of another payload.
    Splice(Index, Index, Index),
    /// One value, by its place among all, becomes another one.
    Value(Index, Value),
    Noise(Vec<u8>),
    /// Brackets, so many.
    Deep(usize),
}

fn harm() -> impl Strategy<Value = Harm> {
    let odd = select(vec![
        json!(null),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}\u{202e}\n"),
        json!("0".repeat(40)),
        json!("refs/heads/../../x"),
        json!([]),
        json!({}),
        json!([[[{}]]]),
        json!(true),
        json!("x".repeat(70_000)),
    ]);
    prop_oneof![
        2 => Just(Harm::Nothing),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Harm::Byte(at, byte)),
        1 => any::<Index>().prop_map(Harm::Cut),
        1 => (any::<Index>(), any::<Index>(), any::<Index>()).prop_map(|(a, b, c)| Harm::Splice(a, b, c)),
        6 => (any::<Index>(), odd).prop_map(|(at, value)| Harm::Value(at, value)),
        1 => vec(any::<u8>(), 0..300).prop_map(Harm::Noise),
        1 => (1_usize..50_000).prop_map(Harm::Deep),
    ]
}

/// What stands for the signature.
#[derive(Debug, Clone)]
enum Proof {
    Missing,
    Of(&'static str),
    Noise(String),
    Right,
}

fn proof() -> impl Strategy<Value = Proof> {
    prop_oneof![
        1 => Just(Proof::Missing),
        1 => Just(Proof::Of("another body")),
        1 => "(sha256=|sha1=|)[0-9a-f]{0,70}".prop_map(Proof::Noise),
        1 => any::<String>().prop_map(Proof::Noise),
        4 => Just(Proof::Right),
    ]
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

/// Replaces the value at a place; whether it was found.
fn replace(value: &mut Value, place: &mut usize, with: &Value) -> bool {
    if *place == 0 {
        *value = with.clone();
        return true;
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| replace(item, place, with)),
        Value::Object(map) => map.values_mut().any(|item| replace(item, place, with)),
        _ => false,
    }
}

fn spoilt(all: &[(String, Value)], which: usize, harm: &Harm) -> Vec<u8> {
    let mut payload = all[which].1.clone();
    // Most are of the repository that is watched, or nothing is made of them.
    if !which.is_multiple_of(4) && payload.is_object() {
        payload["repository"]["clone_url"] = NOWHERE.into();
    }
    let bytes = payload.to_string().into_bytes();
    match harm {
        Harm::Nothing => bytes,
        Harm::Byte(at, byte) => {
            let mut bytes = bytes;
            let at = at.index(bytes.len());
            bytes[at] = *byte;
            bytes
        }
        Harm::Cut(at) => bytes[..at.index(bytes.len())].to_vec(),
        Harm::Splice(other, here, there) => {
            let other = all[other.index(all.len())].1.to_string().into_bytes();
            [&bytes[..here.index(bytes.len())], &other[there.index(other.len())..]].concat()
        }
        Harm::Value(at, with) => {
            let mut place = at.index(count(&payload));
            replace(&mut payload, &mut place, with);
            payload.to_string().into_bytes()
        }
        Harm::Noise(noise) => noise.clone(),
        Harm::Deep(depth) => vec![b'['; *depth],
    }
}

#[test]
fn whatever_is_sent_is_answered_at_once_breaks_nothing_and_does_nothing_without_a_signature() {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let all = examples();
    let place = threads.block_on(Place::new());
    let watched = threads.block_on(place.watch(Address::Http(NOWHERE.parse().unwrap(), None)));
    let (_sender, watches) = watch::channel(vec![watched]);
    let receiver = receiver(&place);
    let reader = Dispatcher::new(place.database.clone(), place.poller(), watches, Arc::default(), Arc::default());
    let ways = (any::<Index>(), harm(), proof(), any::<u64>());
    let outside = (
        select(vec![Kind::GitHub, Kind::GitHub, Kind::GitHub, Kind::Gitea, Kind::GitLab]),
        prop_oneof![4 => Just(None), 1 => any::<String>().prop_map(Some)],
        select(vec!["application/json", "application/json", "application/x-www-form-urlencoded", "text/plain", ""]),
    );
    let kept = AtomicUsize::new(0);
    let mut runner = TestRunner::new(Config { cases: 1_200, failure_persistence: None, ..Config::default() });
    let run = runner.run(&(ways, outside), |((which, harm, proof, id), (kind, event, content))| {
        let which = which.index(all.len());
        let body = spoilt(&all, which, &harm);
        let event = event.unwrap_or_else(|| all[which].0.clone());
        let shown = match &proof {
            Proof::Missing => None,
            Proof::Of(other) => Some(sign(other.as_bytes())),
            Proof::Noise(noise) => Some(noise.clone()),
            Proof::Right => Some(sign(&body)),
        };
        let id = id.to_string();
        let header = |name: &str| match name {
            "X-GitHub-Event" | "X-Gitea-Event" | "X-Gitlab-Event" => Some(event.as_str()),
            "X-GitHub-Delivery" | "X-Gitea-Delivery" => Some(id.as_str()),
            "X-Hub-Signature-256" | "X-Gitea-Signature" | "X-Gitlab-Token" => shown.as_deref(),
            "Content-Type" => Some(content),
            _ => None,
        };
        threads.block_on(async {
            let (before, began) = (place.database.waiting().await.unwrap(), Instant::now());
            let reply = receiver.receive(kind, header, &body).await;
            prop_assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
            prop_assert!(reply.status < 500, "{reply:?}");
            // The secret of the test is GitHub's.
            let genuine = matches!(proof, Proof::Right) && kind == Kind::GitHub;
            let after = place.database.waiting().await.unwrap();
            if !genuine {
                prop_assert!(matches!(reply.status, 400 | 401 | 415), "{reply:?}");
                prop_assert_eq!(after, before, "something was kept");
            } else if reply.status == 202 {
                kept.fetch_add(1, Ordering::Relaxed);
                prop_assert_eq!(after.1, before.1 + 1);
            }
            // Whatever it was, it is read to an end: done, failed, or waiting for git to be there.
            while tokio::time::timeout(PATIENCE, reader.next()).await.expect("it is read in time").unwrap() {}
            Ok(())
        })
    });
    run.unwrap();
    let told = threads.block_on(place.database.events(None, 200)).unwrap();
    assert!(!told.is_empty() && kept.into_inner() > 50, "some were understood");
}

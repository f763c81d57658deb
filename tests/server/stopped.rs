//! What goes on when somebody stops the server in order, and when somebody stops a run: real containers, the built program.
//!
//! Needs a container engine, the runner image and a conda channel that answers (`make setup`); fails without.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use soopervisor::store::database::{NewRun, RunFilter, RunState};

use super::adopt::{Machine, containers, ended};
use super::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_end_lets_a_run_end_publishes_it_and_begins_no_other() {
    let machine = Machine::counting(80).await;
    let mut server = machine.start();
    let database = machine.database().await;
    machine.trigger(&database).await;
    let run = machine.counted(&database, 10).await;
    kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
    // Another one is asked for while the server waits for the first.
    let other = NewRun { key: "other".into(), lane: "other".into(), mode: "sample".into(), ..run.new.clone() };
    let other = database.enqueue(&other).await.unwrap().id;
    answers_while_it_waits(&server.base).await;
    assert!(server.child.wait().unwrap().success(), "it ends in order");
    let first = database.run(run.id).await.unwrap();
    assert_eq!((first.state, first.exit_code, first.epoch), (RunState::Succeeded, Some(0), 1), "{first:?}");
    machine.counted_once(&first);
    assert_eq!(machine.published().len(), 1);
    let waits = database.run(other).await.unwrap();
    assert_eq!((waits.state, waits.epoch), (RunState::Queued, 0), "it waits for the next server");
    let said = || server.said.lock().unwrap().join("\n");
    until("its last line is read", || async { said().contains(" INFO stopped") }).await;
    let waited = format!("for 1 run: run {} of acme/churn (main {}); a second signal", run.id, &run.new.sha[..10]);
    assert!(said().contains("told to stop: waits until ") && said().contains(&waited), "{}", said());
    assert!(!said().contains(": stops 1 run"), "{}", said());
    assert!(containers(&first).is_empty() && machine.drivers().is_empty());

    let _server = machine.start();
    until("the other one ended", || async { database.run(other).await.unwrap().state.has_ended() }).await;
    let other = database.run(other).await.unwrap();
    assert_eq!((other.state, other.epoch), (RunState::Succeeded, 1), "{other:?}");
    assert_eq!(database.attempts(first.id).await.unwrap().len(), 1, "the first one is not begun again");
    assert_eq!(machine.published().len(), 1, "the project has no sample of its own: it came to the same");
}

/// It is there and not ready, and whoever asks for a run is told when to come back.
async fn answers_while_it_waits(base: &str) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| client.get(format!("{base}{path}")).send().await.unwrap().status().as_u16();
    until("it is not ready", || async { get("/readyz").await == 503 }).await;
    assert_eq!(get("/healthz").await, 200);
    let ask = client.post(format!("{base}/api/trigger")).json(&serde_json::json!({"repo": "acme/churn"}));
    let refused = ask.send().await.unwrap();
    assert!(refused.status() == 503 && refused.headers().contains_key("retry-after"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_end_in_half_a_minute_is_handed_back_and_begun_once_more_by_the_next_server() {
    let machine = Machine::counting(550).await;
    let mut server = machine.start();
    let database = machine.database().await;
    machine.trigger(&database).await;
    let run = machine.counted(&database, 10).await;
    assert_eq!(containers(&run).len(), 1);
    let begun = Instant::now();
    kill_process(Pid::from_child(&server.child), Signal::TERM).unwrap();
    assert!(server.child.wait().unwrap().success(), "it ends in order");
    assert!(begun.elapsed() >= Duration::from_secs(30), "runs are given half a minute: {:?}", begun.elapsed());
    assert!(containers(&run).is_empty() && machine.drivers().is_empty(), "nothing of it goes on");
    assert!(machine.published().is_empty() && !machine.log(&run).contains("counted 549\n"));
    let back = database.run(run.id).await.unwrap();
    assert_eq!(
        (back.state, back.epoch, back.failures),
        (RunState::Queued, 1, 0),
        "nothing counts against it: {back:?}"
    );
    let outcomes = || async {
        let attempts = database.attempts(run.id).await.unwrap();
        attempts.into_iter().map(|attempt| attempt.outcome.unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(outcomes().await, ["handed-back"]);

    let _server = machine.start();
    let last = ended(&database).await;
    let found = (last.state, last.exit_code, last.epoch, last.failures);
    assert_eq!(found, (RunState::Succeeded, Some(0), 2, 0), "{last:?}");
    assert_ne!(last.local_run, run.local_run);
    machine.counted_once(&last);
    assert_eq!((outcomes().await, machine.published().len()), (vec!["handed-back".into(), "succeeded".into()], 1));
    let events = database.events(None, 50).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.new.kind == "run_finished").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_hands_a_run_back_at_once() {
    let machine = Machine::counting(550).await;
    let mut server = machine.start();
    let database = machine.database().await;
    machine.trigger(&database).await;
    let run = machine.counted(&database, 10).await;
    let (begun, pid) = (Instant::now(), Pid::from_child(&server.child));
    kill_process(pid, Signal::TERM).unwrap();
    let said = || server.said.lock().unwrap().join("\n");
    until("it says what it waits for", || async { said().contains("told to stop: waits until ") }).await;
    kill_process(pid, Signal::TERM).unwrap();
    until("it says what it does", || async { said().contains("told again to stop: stops 1 run: run ") }).await;
    assert!(server.child.wait().unwrap().success(), "it ends in order");
    assert!(begun.elapsed() < Duration::from_secs(28), "nobody waited half a minute: {:?}", begun.elapsed());
    assert!(containers(&run).is_empty() && machine.drivers().is_empty(), "nothing of it goes on");
    let back = database.run(run.id).await.unwrap();
    assert_eq!((back.state, back.epoch, back.failures), (RunState::Queued, 1, 0), "{back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_over_the_api_stops_leaves_no_container_and_publishes_nothing() {
    let machine = Machine::counting(600).await;
    let server = machine.start();
    let database = machine.database().await;
    machine.trigger(&database).await;
    let run = machine.counted(&database, 5).await;
    assert_eq!(containers(&run).len(), 1);
    let (client, begun) = (reqwest::Client::builder().no_proxy().build().unwrap(), Instant::now());
    let cancel = client.post(format!("{}/api/runs/{}/cancel", server.base, run.id)).send().await.unwrap();
    assert_eq!(cancel.status(), 202);
    let run = ended(&database).await;
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    assert_eq!((run.state, run.exit_code, run.epoch), (RunState::Cancelled, Some(130), 1), "{run:?}");
    until("nothing is left", || async { containers(&run).is_empty() && machine.drivers().is_empty() }).await;
    assert!(machine.published().is_empty() && !machine.log(&run).contains("counted 599"));
    let audit = database.audit(10).await.unwrap();
    assert!(audit.iter().any(|entry| entry.verb == "run.cancel" && entry.target == run.id.to_string()), "{audit:?}");
    assert_eq!(database.runs(&RunFilter::default()).await.unwrap().len(), 1, "it is not begun again");
}

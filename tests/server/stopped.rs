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
    assert!(server.child.wait().unwrap().success(), "it ends in order");
    let first = database.run(run.id).await.unwrap();
    assert_eq!((first.state, first.exit_code, first.epoch), (RunState::Succeeded, Some(0), 1), "{first:?}");
    machine.counted_once(&first);
    assert_eq!(machine.published().len(), 1);
    let waits = database.run(other).await.unwrap();
    assert_eq!((waits.state, waits.epoch), (RunState::Queued, 0), "it waits for the next server");
    assert!(containers(&first).is_empty() && machine.drivers().is_empty());

    let _server = machine.start();
    until("the other one ended", || async { database.run(other).await.unwrap().state.has_ended() }).await;
    let other = database.run(other).await.unwrap();
    assert_eq!((other.state, other.epoch), (RunState::Succeeded, 1), "{other:?}");
    assert_eq!(database.attempts(first.id).await.unwrap().len(), 1, "the first one is not begun again");
    assert_eq!(machine.published().len(), 1, "the project has no sample of its own: it came to the same");
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

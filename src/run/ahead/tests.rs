//! A container that was started early is given its script, or is gone.

use std::collections::BTreeMap;

use super::*;
use crate::engine::fake::{Fake, Outcome};
use crate::engine::{Carried, Purpose};

fn spec() -> SessionSpec {
    SessionSpec {
        run: "ahead-tests".parse().unwrap(),
        purpose: Purpose::Run,
        image: "image".to_owned(),
        user: (10_001, 10_001),
        mounts: Vec::new(),
        carried: Carried::default(),
        env: BTreeMap::new(),
        workdir: "/".to_owned(),
        memory_bytes: None,
        cpus: None,
        pids: 64,
        disk_bytes: None,
        network: false,
        labels: BTreeMap::new(),
    }
}

fn early() -> (Fake, Early) {
    let engine = Fake::new();
    engine.plan(Purpose::Run, Outcome::exit(0));
    let early = Early::default();
    early.put(Ahead::start(Arc::new(engine.clone()), spec()));
    (engine, early)
}

#[tokio::test]
async fn it_is_there_once_and_closed_by_whoever_took_it() {
    let (engine, early) = early();
    let session = early.take().unwrap().ready().await.unwrap();
    assert!(early.take().is_none());
    early.discard().await;
    assert!(!engine.seen()[0].closed);
    session.close().await.unwrap();
    assert!(engine.seen()[0].closed);
}

#[tokio::test]
async fn one_that_nobody_took_is_gone_when_the_run_is_over() {
    let (engine, early) = early();
    early.discard().await;
    assert!(engine.seen().iter().all(|seen| seen.closed));
    assert_eq!(engine.seen().len(), 1);
}

#[tokio::test]
async fn one_that_is_dropped_goes_in_the_background() {
    let (engine, early) = early();
    drop(early);
    while !engine.seen().first().is_some_and(|seen| seen.closed) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_the_engine_refuses_is_told_to_whoever_wants_it() {
    let engine = Fake::new();
    engine.plan(Purpose::Run, Outcome::refuse(EngineError::Gone { reason: "no luck".to_owned() }));
    let error = Ahead::start(Arc::new(engine), spec()).ready().await.err().unwrap();
    assert!(error.to_string().contains("no luck"), "{error}");
}

//! A container that was started early is given its script, or is gone.

use super::*;
use crate::engine::Purpose;
use crate::engine::fake::{self, Fake, Outcome};

fn early() -> (Fake, Early) {
    let engine = Fake::new();
    engine.plan(Purpose::Run, Outcome::exit(0));
    let early = Early::default();
    early.put(Ahead::start(Arc::new(engine.clone()), fake::spec("ahead-tests")));
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
    let error = Ahead::start(Arc::new(engine), fake::spec("ahead-tests")).ready().await.err().unwrap();
    assert!(error.to_string().contains("no luck"), "{error}");
}

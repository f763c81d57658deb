//! A container that was started early is given its script, or is gone.

use super::*;
use crate::engine::Purpose;
use crate::engine::fake::{self, Fake, Outcome};

fn engine() -> Fake {
    let engine = Fake::new();
    for _ in 0..2 {
        engine.plan(Purpose::Run, Outcome::exit(0));
    }
    engine
}

fn spec() -> SessionSpec {
    fake::spec("ahead-tests")
}

fn early() -> (Fake, Early) {
    let engine = engine();
    let early = Early::default();
    early.want(&(Arc::new(engine.clone()) as Arc<dyn Engine>), spec());
    (engine, early)
}

/// One that was started on a guess, with the folder its mounts would be in.
fn guessed() -> (Fake, Early, tempfile::TempDir) {
    let (engine, early, folder) = (engine(), Early::default(), tempfile::tempdir().unwrap());
    let folders = Folders::below(folder.path()).unwrap();
    let (answer, answering) = oneshot::channel();
    early.guess(spec(), (folders, None), answering);
    assert!(answer.send(Arc::new(engine.clone()) as Arc<dyn Engine>).is_ok());
    (engine, early, folder)
}

#[tokio::test]
async fn it_is_there_once_and_closed_by_whoever_took_it() {
    let (engine, early) = early();
    let session = early.take(&spec()).unwrap().ready().await.unwrap();
    assert!(early.take(&spec()).is_none());
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

#[tokio::test]
async fn a_guess_that_was_right_is_the_runs_own_container() {
    let (engine, early, _folder) = guessed();
    early.want(&(Arc::new(engine.clone()) as Arc<dyn Engine>), spec());
    early.take(&spec()).unwrap().ready().await.unwrap().close().await.unwrap();
    early.discard().await;
    assert_eq!(engine.seen().len(), 1);
}

#[tokio::test]
async fn a_wrong_guess_is_gone_when_the_run_is_over_and_what_is_wanted_is_started() {
    let (engine, early, _folder) = guessed();
    let wanted = SessionSpec { pids: spec().pids + 1, ..spec() };
    early.want(&(Arc::new(engine.clone()) as Arc<dyn Engine>), wanted.clone());
    let session = early.take(&wanted).unwrap().ready().await.unwrap();
    early.discard().await;
    assert_eq!(engine.seen().iter().filter(|seen| seen.closed).count(), 1);
    session.close().await.unwrap();
    assert_eq!(engine.seen().len(), 2);
    assert!(engine.seen().iter().all(|seen| seen.closed));
}

#[tokio::test]
async fn a_guess_that_nobody_confirmed_is_compared_when_it_is_taken() {
    let (engine, early, _folder) = guessed();
    let wanted = SessionSpec { user: (7, 7), ..spec() };
    assert!(early.take(&wanted).is_none());
    early.discard().await;
    assert!(engine.seen().iter().all(|seen| seen.closed));

    let (_engine, early, _folder) = guessed();
    assert!(early.take(&spec()).is_some());
}

#[tokio::test]
async fn a_guess_without_an_engine_is_no_container() {
    let (early, folder) = (Early::default(), tempfile::tempdir().unwrap());
    let (answer, answering) = oneshot::channel();
    early.guess(spec(), (Folders::below(folder.path()).unwrap(), None), answering);
    drop(answer);
    assert!(early.take(&spec()).unwrap().ready().await.is_err());
    early.discard().await;
}

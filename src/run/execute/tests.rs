//! What ends a script, with an engine that plays it.

use super::*;
use crate::engine::Purpose;
use crate::engine::fake::{self, Fake, Outcome};
use crate::run::cancel;

struct Quiet;

#[async_trait]
impl OutputSink for Quiet {
    async fn output(&mut self, _: Stream, _: &[u8]) {}
    async fn gap(&mut self) {}
}

/// Plays it; how it ended and how long that took.
async fn played(outcome: Outcome, watch: Watch) -> (Executed, Duration) {
    let engine = Fake::new();
    engine.plan(Purpose::Run, outcome);
    // The asking side must live: a run that nobody can stop is another case.
    let (_canceller, cancel) = cancel::pair();
    let exec = ExecSpec { script: "true".to_owned(), secrets: Vec::new(), nonce: String::new() };
    let since = Instant::now();
    let (executed, clearing) =
        execute(&engine, fake::spec("execute-tests"), exec, watch, &cancel, &mut Quiet).await.unwrap();
    let took = since.elapsed();
    clearing.gone().await.unwrap();
    assert!(engine.seen().iter().all(|seen| seen.closed));
    (executed, took)
}

/// Long enough for a machine that is busy with other tests.
const SILENCE: Duration = Duration::from_secs(2);
const WATCH: Watch = Watch { timeout: None, idle_timeout: None, after_memory_kill: SILENCE };

#[tokio::test]
async fn a_pipeline_that_hangs_after_a_memory_kill_is_stopped_once_it_was_silent_for_long_enough() {
    let before = SILENCE * 3 / 2;
    let hung = Outcome::exit(0).stdout("working\n").pause(before).kill_for_memory().hang();
    let (executed, took) = played(hung, WATCH).await;
    assert_eq!(executed.stopped, Some(CancelReason::OutOfMemory));
    assert!(executed.exit.oom_killed);
    assert!(took >= before + SILENCE, "silence before the kill was work: {took:?}");
    assert!(took < before + SILENCE + GRACE, "{took:?}");
}

#[tokio::test]
async fn one_that_goes_on_and_says_so_is_left_alone() {
    let mut outcome = Outcome::exit(0).kill_for_memory();
    for _ in 0..12 {
        outcome = outcome.pause(SILENCE / 8).stdout("still here\n");
    }
    let (executed, took) = played(outcome, WATCH).await;
    assert_eq!((executed.stopped, executed.exit.code), (None, 0));
    assert!(executed.exit.oom_killed && took > SILENCE, "{executed:?} after {took:?}");
}

#[tokio::test]
async fn a_memory_kill_that_is_told_at_the_end_only_leaves_the_exit_as_it_is() {
    let (executed, _) = played(Outcome::exit(1).pause(SILENCE * 2).oom(), WATCH).await;
    assert_eq!((executed.stopped, executed.exit.code, executed.exit.oom_killed), (None, 1, true));
}

#[tokio::test]
async fn one_that_has_written_more_than_it_may_is_stopped() {
    let (executed, took) = played(Outcome::exit(0).stdout("working\n").fill_disk().hang(), WATCH).await;
    assert_eq!(executed.stopped, Some(CancelReason::OutOfDisk));
    assert!(took < GRACE, "{took:?}");
}

#[tokio::test]
async fn an_idle_timeout_shorter_than_that_comes_first() {
    let watch = Watch { idle_timeout: Some(SILENCE / 10), ..Watch::default() };
    let (executed, _) = played(Outcome::exit(0).kill_for_memory().hang(), watch).await;
    assert_eq!(executed.stopped, Some(CancelReason::Idle));
}

#[test]
fn a_pipeline_gets_a_minute_unless_a_test_says_otherwise() {
    assert_eq!(Watch::default().after_memory_kill, Duration::from_mins(1));
}

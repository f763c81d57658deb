//! What is told while output goes by, with an engine that plays it.

use std::sync::{Arc, Mutex};

use super::*;
use crate::engine::Purpose;
use crate::engine::fake::{self, Fake, Outcome as Played};
use crate::run::cancel;

const LIMIT: Duration = Duration::from_millis(300);
const NONCE: &str = "0123456789abcdef0123456789abcdef";

fn options() -> Options {
    Options { nonce: Some(NONCE.to_owned()), ..Options::default() }
}

fn mark(words: &str) -> String {
    format!("\x1e{NONCE} {words}\x1e\n")
}

/// Plays it; the warnings that were told, and the log.
async fn played(played: Played, idle_timeout: Option<Duration>) -> (Vec<String>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = LogFile::open(&path, u64::MAX).unwrap();
    let (mut sink, feed) = Pipeline::new(&Masker::none(), log, &options()).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let telling = Telling::new(Box::new(move |event: &RunEvent| {
        if let RunEvent::Warned { step: Step::Execute, text } = event {
            heard.lock().unwrap().push(text.clone());
        }
    }));
    let seen = Seen { silence: Silence { limit: LIMIT, after_loss: LIMIT, idle_timeout }, ..Seen::default() };
    let (_ended, over) = watch::channel(false);
    let showing = tokio::spawn(show(feed, telling, seen, over));
    let engine = Fake::new();
    engine.plan(Purpose::Run, played);
    let (_canceller, cancel) = cancel::pair();
    let exec = ExecSpec { script: "true".to_owned(), secrets: Vec::new(), nonce: String::new() };
    let run = execute(&engine, fake::spec("silence-tests"), exec, Watch::default(), &cancel, &mut sink);
    let (_, clearing) = run.await.unwrap();
    clearing.gone().await.unwrap();
    sink.finish().await.unwrap();
    showing.await.unwrap();
    // A machine that is busy may be silent before the first word; that is another silence.
    let told = told.lock().unwrap().iter().filter(|text| text.contains("task `")).cloned().collect();
    (told, fs_err::read_to_string(path).unwrap())
}

fn two_silences() -> Played {
    let bar = "Building task 'load':   0%|          | 0/2 [00:00<?, ?it/s]\r";
    let begun = Played::exit(0).stdout(mark("start build") + bar);
    begun.pause(LIMIT * 4).stdout("still here\n").pause(LIMIT * 4).stdout("done\n")
}

#[tokio::test]
async fn what_comes_before_and_after_the_steps_of_the_script_is_no_silence_of_the_pipeline() {
    let bar = "Building task 'load':   0%|          | 0/2 [00:00<?, ?it/s]\r";
    let copying = Played::exit(0).stdout(bar).pause(LIMIT * 4).stdout(mark("start build"));
    let (told, _) = played(copying.stdout(mark("end build 0 12")).pause(LIMIT * 4), None).await;
    assert_eq!(told, [""; 0]);
}

#[tokio::test]
async fn each_silence_is_told_once_with_the_task_that_runs_and_is_no_part_of_the_log() {
    let (told, log) = played(two_silences(), None).await;
    let words = "nothing was printed for 0.3 s; task `load` is running; `--idle-timeout 30m` ends such runs";
    assert_eq!(told, [words, words]);
    assert!(log.ends_with("still here\ndone\n") && !log.contains("nothing was printed"), "{log}");
}

#[tokio::test]
async fn where_silence_ends_the_run_that_is_said_instead() {
    let (told, _) = played(two_silences(), Some(Duration::from_hours(1))).await;
    assert!(told.iter().all(|text| text.ends_with("the run ends after 1h of it (`--idle-timeout`)")), "{told:?}");
    assert_eq!(told.len(), 2);
}

#[tokio::test]
async fn a_process_that_was_killed_for_memory_is_told_as_soon_as_the_rest_is_silent() {
    let bar = "Building task 'load':   0%|          | 0/2 [00:00<?, ?it/s]\r";
    let begun = Played::exit(0).stdout(mark("start build") + bar).kill_for_memory();
    let (told, _) = played(begun.pause(LIMIT * 4).stdout("done\n"), None).await;
    let words = "a process was killed because memory was used up, and nothing was printed for 300ms; task `load` is \
                 running; the run ends after 1m of it";
    assert_eq!(told, [words]);
}

#[test]
fn a_pipeline_may_be_silent_for_ten_minutes() {
    let words = Silence::default().in_words(None);
    assert_eq!(words, "nothing was printed for 10 minutes; `--idle-timeout 30m` ends such runs");
}

#[test]
fn a_log_that_is_not_whole_says_what_it_lacks_and_why() {
    let cut = |bound| cut_in_words(Cut { bytes: 3_100_000, bound });
    let limit = cut(Bound::Limit(1 << 30));
    assert_eq!(limit, "3.1 MB of its middle were left out, because its limit is 1 GiB (`--log-limit`)");
    let disk = cut(Bound::Disk(2_000_000_000));
    assert_eq!(disk, "3.1 MB of its middle were left out, because its disk has only 2.0 GB left");
}

#[test]
fn the_task_that_had_begun_and_not_ended_is_known_when_the_script_is_over() {
    let executed = Executed {
        exit: crate::engine::Exit { code: 143, oom_killed: false, peak_memory_bytes: None },
        stopped: Some(cancel::CancelReason::Timeout),
    };
    let event = |seen: &mut Seen, event| seen.take(Happened::Task(event)).unwrap();
    let mut seen = Seen::default();
    let elapsed = Duration::from_secs(1);
    event(&mut seen, TaskEvent::Started { name: "load".to_owned() });
    event(&mut seen, TaskEvent::Ended { name: "load".to_owned(), outcome: TaskOutcome::Ran, elapsed });
    event(&mut seen, TaskEvent::Started { name: "fit".to_owned() });
    assert!(seen.take(Happened::ProcessesRefused).is_none());
    let ran = ran(executed, None, seen, None);
    assert_eq!((ran.running.as_deref(), ran.processes_refused), (Some("fit"), true));
}

#[tokio::test]
async fn a_disk_limit_that_the_engine_does_not_hold_is_a_finding() {
    let folder = tempfile::tempdir().unwrap();
    let log = LogFile::open(&folder.path().join("log"), u64::MAX).unwrap();
    let (mut sink, feed) = Pipeline::new(&Masker::none(), log, &options()).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let telling = Telling::new(Box::new(move |event: &RunEvent| {
        if let RunEvent::Diagnosed(finding) = event {
            heard.lock().unwrap().push(finding.code);
        }
    }));
    let (_ended, over) = watch::channel(false);
    let showing = tokio::spawn(show(feed, telling, Seen::default(), over));
    let engine = Fake::new();
    engine.plan(Purpose::Run, Played::exit(0).disk_not_held().stdout("done\n"));
    let (_canceller, cancel) = cancel::pair();
    let exec = ExecSpec { script: "true".to_owned(), secrets: Vec::new(), nonce: String::new() };
    let run = execute(&engine, fake::spec("disk-tests"), exec, Watch::default(), &cancel, &mut sink);
    let (_, clearing) = run.await.unwrap();
    clearing.gone().await.unwrap();
    sink.finish().await.unwrap();
    showing.await.unwrap();
    assert_eq!(*told.lock().unwrap(), ["run/disk-not-held"]);
}

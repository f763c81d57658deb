//! What stays behind at a run's end is said, and changes nothing else.

use std::path::Path;

use super::*;
use crate::engine::{EngineError, Exit};
use crate::run::cancel::CancelReason;
use crate::run::execute::Executed;
use crate::store::{Home, Runs};

fn live(folder: &Path) -> LiveRun {
    let home = Home::at(folder);
    home.ensure().unwrap();
    let commit = "4f1c2d9a00000000000000000000000000000000".parse().unwrap();
    Runs::of(&home).create(Timestamp::now(), &commit).unwrap()
}

async fn left(clearing: Option<Clearing>, work: bool, live: &LiveRun) -> Vec<String> {
    clear(clearing, work, live, &Telling::new(Box::new(|_: &RunEvent| {})))
        .await
        .into_iter()
        .map(|warning| format!("{}: {}", warning.code, warning.message))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_folder_goes_with_the_container() {
    let folder = tempfile::tempdir().unwrap();
    let live = live(folder.path());
    std::fs::create_dir(live.folder().work()).unwrap();
    assert_eq!(left(Some(Clearing::over(Ok(()))), false, &live).await, [""; 0]);
    assert!(live.folder().work().exists(), "kept for a look");
    assert_eq!(left(Some(Clearing::over(Ok(()))), true, &live).await, [""; 0]);
    assert!(!live.folder().work().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_and_a_work_folder_that_stay_are_both_said() {
    let folder = tempfile::tempdir().unwrap();
    let live = live(folder.path());
    // Nothing can be removed below what is no folder.
    std::fs::remove_dir_all(live.folder().path()).unwrap();
    std::fs::write(live.folder().path(), "").unwrap();
    let gone = EngineError::Gone { reason: "it went away".to_owned() };
    let said = left(Some(Clearing::over(Err(gone))), true, &live).await;
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("run/not-cleared: ") && said[0].contains("it went away"), "{said:?}");
    assert!(said[1].starts_with("run/work-left: "), "{said:?}");
}

fn ran(code: i64, stopped: Option<CancelReason>, last_lines: &[&str]) -> Ran {
    let exit = Exit { code, oom_killed: false, peak_memory_bytes: None };
    Ran {
        executed: Executed { exit, stopped },
        tasks: Vec::new(),
        last_lines: last_lines.iter().map(|line| (*line).to_owned()).collect(),
        failed_part: None,
        memory_limit: None,
        running: None,
        log_cut: None,
        processes_refused: false,
    }
}

#[test]
fn a_run_that_could_start_no_further_process_is_told_how_many_it_may() {
    let limits = Limits { pids: 40, ..Limits::default() };
    let help = |last: &str| stop_of(Ending::ScriptFailed, &ran(1, None, &["working", last]), &limits).help;
    let said = help("run.sh: fork: Resource temporarily unavailable").unwrap();
    assert!(said.starts_with("40 processes and threads") && said.contains("`--pids`"), "{said}");
    assert_eq!(help("ValueError: no"), None);
    let refused = |last: &str| {
        let ran = Ran { processes_refused: true, ..ran(1, None, &["working", last]) };
        stop_of(Ending::ScriptFailed, &ran, &limits).help
    };
    assert!(refused("pthread_create failed").unwrap().contains("that was too few"));
    assert_eq!(refused("ModuleNotFoundError: No module named 'x'"), None);
}

#[test]
fn a_run_that_was_stopped_for_its_time_or_its_disk_is_told_which_option_gives_it_more() {
    let told = |ending, reason| {
        let ran = ran(143, Some(reason), &[]);
        let limits = Limits { disk_bytes: Some(100 << 20), ..Limits::default() };
        stop_of(ending, &ran, &limits)
    };
    let help = |reason| told(Ending::TimedOut, reason).help.unwrap();
    assert!(help(CancelReason::Idle).contains("`--idle-timeout`"));
    let said = help(CancelReason::Timeout);
    assert!(said.contains("`--timeout`") && !said.contains("idle"), "{said}");
    let full = told(Ending::DiskFull, CancelReason::OutOfDisk);
    assert_eq!(full.message, "the container wrote more than --disk 100 MiB allows");
    assert!(full.help.unwrap().contains("`--disk`"));
}

//! Whatever ends a run, nothing is left behind and nothing is half published.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::publishing::{PIPELINE, TASKS};
use crate::support::{Said, User, eventually, signal};

/// A pipeline that says when it runs and would go on for minutes.
pub(crate) fn user() -> User {
    let tasks = TASKS.replace(
        "    print('writing the first')",
        "    print('writing the first', flush=True)\n    import time; time.sleep(300)",
    );
    User::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", &tasks)])
}

pub(crate) fn wait_until_it_runs(user: &User) {
    eventually(180, "the pipeline runs", || {
        let Ok(runs) = std::fs::read_dir(user.runs()) else { return false };
        runs.flatten().any(|run| {
            std::fs::read_to_string(run.path().join("log")).is_ok_and(|log| log.contains("writing the first"))
        })
    });
}

#[test]
fn ctrl_c_stops_the_container_and_says_so() {
    let user = user();
    let child = user.start(&[]);
    wait_until_it_runs(&user);
    assert_eq!(user.containers().len(), 1);
    signal(&child, "INT");
    Said::from(child.wait_with_output().unwrap()).exits(130).says("cancelled");
    assert_eq!(user.containers(), [""; 0]);
    assert_eq!(user.published_folders(), Vec::<PathBuf>::new());
    user.say(&["show", "latest"]).exits(0).says("cancelled");
}

/// A pipeline whose task cleans up when it is asked to end, which takes it three seconds.
fn tidy_user() -> User {
    let asked = "    import os, signal, time\n    def tidy(*_):\n        print('asked to end', flush=True)\n        time.sleep(3)\n        print('cleaned up', flush=True)\n        os._exit(0)\n    signal.signal(signal.SIGTERM, tidy)\n    print('writing the first', flush=True)\n    time.sleep(300)";
    let tasks = TASKS.replace("    print('writing the first')", asked);
    User::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", &tasks)])
}

#[test]
fn a_task_that_is_asked_to_end_may_clean_up_although_ploomber_has_ended_at_once() {
    for asked in ["INT", "HUP"] {
        let user = tidy_user();
        let child = user.start(&[]);
        wait_until_it_runs(&user);
        let since = std::time::Instant::now();
        signal(&child, asked);
        let said = Said::from(child.wait_with_output().unwrap()).exits(130);
        said.says("asked to end").says("cleaned up");
        assert!(since.elapsed() < std::time::Duration::from_secs(9), "{asked}: nothing waits longer than the task");
        assert_eq!(user.containers(), [""; 0]);
    }
}

#[test]
fn a_task_whose_time_is_up_may_clean_up_and_the_card_says_how_to_repeat_it() {
    let user = tidy_user();
    let said = user.run(&["--timeout", "25s"]).exits(8);
    said.says("asked to end").says("cleaned up").says("reproduce.sh");
    assert_eq!(user.containers(), [""; 0]);
}

#[test]
fn a_second_ctrl_c_kills_a_pipeline_that_does_not_listen() {
    let tasks = TASKS.replace("    print('writing the first')", "    import signal, time\n    for number in (signal.SIGTERM, signal.SIGINT): signal.signal(number, signal.SIG_IGN)\n    print('writing the first', flush=True)\n    time.sleep(300)");
    let user = User::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", &tasks)]);
    let child = user.start(&[]);
    wait_until_it_runs(&user);
    signal(&child, "INT");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let asked = std::time::Instant::now();
    signal(&child, "INT");
    Said::from(child.wait_with_output().unwrap()).exits(130);
    assert!(asked.elapsed().as_secs() < 8, "the second request does not wait for the grace period");
    assert_eq!(user.containers(), [""; 0]);
}

#[test]
fn after_kill_minus_9_the_container_goes_and_the_run_shows_as_interrupted() {
    let user = user();
    let mut child = user.start(&[]);
    wait_until_it_runs(&user);
    signal(&child, "KILL");
    child.wait().unwrap();
    eventually(20, "the container is gone", || user.containers().is_empty());
    user.say(&["show", "latest"]).exits(0).says("interrupted");
    assert_eq!(user.published_folders(), Vec::<PathBuf>::new());
    // The next start heals what is left and does its own work.
    user.write("tasks.py", TASKS);
    user.commit("quick");
    user.run(&[]).exits(0);
}

#[test]
fn a_container_that_is_killed_from_outside_is_told_apart() {
    let user = user();
    let child = user.start(&[]);
    wait_until_it_runs(&user);
    let names = user.containers();
    let status =
        std::process::Command::new("docker").arg("kill").args(&names).stdout(std::process::Stdio::null()).status();
    assert!(status.unwrap().success());
    Said::from(child.wait_with_output().unwrap()).exits(11).says("killed");
    assert_eq!(user.containers(), [""; 0]);
}

#[test]
fn a_live_run_is_left_alone_by_another_that_starts() {
    let slow = user();
    let child = slow.start(&[]);
    wait_until_it_runs(&slow);
    let other = crate::publishing::user();
    other.run(&[]).exits(0);
    assert_eq!(slow.containers().len(), 1, "the sweep of the other run did not touch it");
    let mut follower = slow.program(&["logs", "latest"]).output().map(Said::from).unwrap();
    assert!(follower.text.contains("writing the first"), "{}", follower.text);
    follower.text.clear();
    signal(&child, "TERM");
    Said::from(child.wait_with_output().unwrap()).exits(130);
}

/// Stands between the program and its engine, and hangs up on both when it is told to.
fn relay(at: &Path) -> Arc<AtomicBool> {
    let engine = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let engine = engine.strip_prefix("unix://").expect("these tests need a local engine").to_owned();
    let listener = UnixListener::bind(at).unwrap();
    let gone = Arc::new(AtomicBool::new(false));
    let hung_up = Arc::clone(&gone);
    std::thread::spawn(move || {
        for ours in listener.incoming() {
            let Ok(ours) = ours else { return };
            let Some(theirs) = UnixStream::connect(&engine).ok().filter(|_| !hung_up.load(Ordering::SeqCst)) else {
                continue;
            };
            for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
                let (from, to, hung_up) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(&hung_up));
                std::thread::spawn(move || carry(from, to, &hung_up));
            }
        }
    });
    gone
}

fn carry(mut from: UnixStream, mut to: UnixStream, gone: &AtomicBool) {
    from.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
    let mut buffer = vec![0; 64 << 10];
    while !gone.load(Ordering::SeqCst) {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) if to.write_all(&buffer[..length]).is_err() => break,
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
            _ => {}
        }
    }
    // What one side has said to its end, the other one may still answer.
    let how = if gone.load(Ordering::SeqCst) { Shutdown::Both } else { Shutdown::Write };
    let _ = to.shutdown(how);
}

#[test]
fn an_engine_that_goes_away_is_exit_code_5_and_its_container_is_swept_when_it_is_back() {
    let user = user();
    let socket = user.repo().with_file_name("relay.sock");
    let gone = relay(&socket);
    let mut command = user.run_command(&[]);
    command.env("DOCKER_HOST", format!("unix://{}", socket.display()));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    wait_until_it_runs(&user);
    gone.store(true, Ordering::SeqCst);
    Said::from(child.wait_with_output().unwrap()).exits(5).says("went away");
    assert_eq!(user.published_folders(), Vec::<PathBuf>::new());
    user.write("tasks.py", TASKS);
    user.commit("quick");
    user.run(&[]).exits(0);
    eventually(20, "what the engine still ran is swept", || user.containers().is_empty());
}

//! Output that goes through pipes of ours: past the engine, and in all else as if it came from it.

use std::path::Path;

use soopervisor::engine::{Engine as _, HostPath, SessionSpec, Stream};

use crate::kit::{Heard, close, docker, docker_says, in_time, mount, open_folder, run, script, spec};
use crate::output::Slow;

fn piped(place: &Path) -> SessionSpec {
    SessionSpec { pipes: Some(HostPath(place.join("pipes"))), ..spec() }
}

fn is_left(place: &Path) -> bool {
    place.join("pipes").exists()
}

#[tokio::test]
async fn what_a_script_writes_goes_past_the_engine_each_stream_by_its_own_pipe() {
    let place = tempfile::tempdir().unwrap();
    let text = "readlink /proc/$$/fd/1 >&2; readlink /proc/$$/fd/2; for i in {1..500}; do echo o$i; echo e$i >&2; done";
    let (exit, heard) = run(&docker().await, piped(place.path()), script(format!("{text}; exit 3"))).await;
    let expected = |first: &str, c: &str| {
        (1..=500).fold(format!("/soopervisor/pipes/{first}\n"), |all, i| format!("{all}{c}{i}\n"))
    };
    assert_eq!((exit.unwrap().code, heard.gaps), (3, 0));
    assert_eq!(heard.stdout(), expected("err", "o"));
    assert_eq!(heard.stderr(), expected("out", "e"));
    assert!(!is_left(place.path()), "they go with the session");
}

#[tokio::test]
async fn streams_that_are_opened_again_and_the_first_process_s_own_are_heard_too() {
    let place = tempfile::tempdir().unwrap();
    let text = "echo 1 >/dev/stdout; echo 2 >/dev/stderr; echo 3 >>/proc/self/fd/1; printf '\\000\\377' ; echo 4 >/proc/1/fd/1";
    let (exit, heard) = run(&docker().await, piped(place.path()), script(text)).await;
    assert_eq!((exit.unwrap().code, heard.stderr()), (0, "2\n"));
    let mut out = heard.out.clone();
    out.sort_unstable();
    assert_eq!(out, b"\x00\n\n\n134\xff", "{:?}", heard.out);
}

#[tokio::test]
async fn a_script_can_write_to_them_only() {
    let place = tempfile::tempdir().unwrap();
    // A standard output that can be read is taken for one whose reader is gone, by Python's asyncio for one.
    let text = "for fd in 1 2; do grep flags /proc/$$/fdinfo/$fd; done";
    let (exit, heard) = run(&docker().await, piped(place.path()), script(text)).await;
    let access: Vec<_> = heard.stdout().lines().filter_map(|line| line.trim().chars().last()).collect();
    assert_eq!((exit.unwrap().code, access), (0, vec!['1', '1']), "{}", heard.stdout());
}

#[tokio::test]
async fn the_last_bytes_before_any_end_arrive() {
    let docker = docker().await;
    let place = tempfile::tempdir().unwrap();
    for (end, code) in [("exit 0", 0), ("exit 5", 5), ("kill -KILL $$", 137), ("kill -KILL -1", 137)] {
        let text = format!("head -c 900000 /dev/zero; head -c 70000 /dev/zero >&2; {end}");
        let (exit, heard) = run(&docker, piped(place.path()), script(text)).await;
        assert_eq!((exit.unwrap().code, heard.out.len(), heard.err.len()), (code, 900_000, 70_000), "{end}");
    }
}

#[tokio::test]
async fn a_slow_reader_gets_a_hundred_megabytes_to_the_byte_and_the_container_waits_for_it() {
    let docker = docker().await;
    let place = tempfile::tempdir().unwrap();
    let mut slow = Slow::napping(100);
    let mut session = docker.start(piped(place.path())).await.unwrap();
    let text = "yes 'all work and no play makes a long log' | head -c 100000000";
    let exit = in_time(session.exec(script(text), &mut slow)).await.unwrap();
    close(session).await;
    assert_eq!((exit.code, slow.is(b"all work and no play makes a long log\n", 100_000_000)), (0, true));
}

#[tokio::test]
async fn a_container_that_is_killed_from_outside_loses_nothing_that_it_wrote() {
    let docker = docker().await;
    let place = tempfile::tempdir().unwrap();
    let mut session = docker.start(piped(place.path())).await.unwrap();
    let name = session.name().to_owned();
    let killing = tokio::task::spawn_blocking(move || {
        std::thread::sleep(std::time::Duration::from_millis(700));
        docker_says(&["kill", &name])
    });
    let mut heard = Heard::default();
    let exit = in_time(session.exec(script("echo one; echo two >&2; sleep 1000"), &mut heard)).await.unwrap();
    killing.await.unwrap();
    close(session).await;
    assert_eq!((exit.code, heard.stdout(), heard.stderr()), (137, "one\n", "two\n"));
    assert!(!is_left(place.path()));
}

#[tokio::test]
async fn a_script_that_reads_its_own_pipes_or_leaves_a_writer_behind_does_not_hang_its_run() {
    let docker = docker().await;
    let place = tempfile::tempdir().unwrap();
    let texts = [
        "cat </soopervisor/pipes/out >/dev/null & cat </soopervisor/pipes/err >/dev/null & echo x; sleep 0.3; exit 6",
        "(trap '' TERM HUP; while :; do echo x; done) & disown; sleep 0.3; exit 6",
        "rm -f /soopervisor/pipes/out; mv /soopervisor/pipes/err /soopervisor/pipes/x; exit 6",
    ];
    for text in texts {
        let (exit, _) = run(&docker, piped(place.path()), script(text)).await;
        assert_eq!(exit.unwrap().code, 6, "{text}");
    }
}

#[tokio::test]
async fn where_there_can_be_no_pipes_the_output_comes_through_the_engine() {
    let docker = docker().await;
    let place = tempfile::tempdir().unwrap();
    fs_err::write(place.path().join("pipes"), "in their place").unwrap();
    let (exit, heard) = run(&docker, piped(place.path()), script("readlink /proc/self/fd/1; echo e >&2")).await;
    assert_eq!((exit.unwrap().code, heard.stderr()), (0, "e\n"));
    assert!(heard.stdout().starts_with("pipe:"), "{}", heard.stdout());
}

#[tokio::test]
async fn pipes_that_nobody_has_greeted_are_not_written_to() {
    let docker = docker().await;
    let folder = open_folder();
    let made = std::process::Command::new("mkfifo")
        .args(["-m", "666", "out", "err"])
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(made.success());
    // As a machine between us would show them: with the same names, and not the same.
    let mut foreign = spec();
    foreign.mounts = vec![mount(folder.path(), "/soopervisor/pipes", false)];
    let (exit, heard) = run(&docker, foreign, script("echo o; echo e >&2; exit 2")).await;
    assert_eq!((exit.unwrap().code, heard.stdout(), heard.stderr()), (2, "o\n", "e\n"));
}

/// Remembers which stream each line came by.
#[derive(Default)]
struct Order(Vec<Stream>);

#[async_trait::async_trait]
impl soopervisor::engine::OutputSink for Order {
    async fn output(&mut self, stream: Stream, bytes: &[u8]) {
        self.0.extend(bytes.iter().filter(|byte| **byte == b'\n').map(|_| stream));
    }

    async fn gap(&mut self) {}
}

#[tokio::test]
async fn lines_of_both_streams_come_in_the_order_in_which_they_were_written() {
    let docker = docker().await;
    let place = tempfile::tempdir().unwrap();
    let mut session = docker.start(piped(place.path())).await.unwrap();
    let mut order = Order::default();
    // As far apart as prints of a program that does something between them.
    let text = "for i in {1..50}; do echo o; sleep 0.01; echo e >&2; sleep 0.01; done";
    in_time(session.exec(script(text), &mut order)).await.unwrap();
    close(session).await;
    let expected = [Stream::Stdout, Stream::Stderr].repeat(50);
    assert_eq!(order.0, expected);
}

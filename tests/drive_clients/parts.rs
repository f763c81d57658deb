//! Files that are sent in parts: whole, resumed, and while things go wrong.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use soopervisor::storage::backend::Hasher;
use soopervisor::web::Fault;

use super::bench::{BOTH, Bench, Memory, bytes, ours, send, taken};
use super::fake::{self, Drive, When};

type Script = fake::Fault;

const LENGTH: usize = 60_000_000;

/// The request that carries a part, and how many of them a file of [`LENGTH`] takes.
fn part(drive: Drive) -> (&'static str, &'static str, usize) {
    match drive {
        Drive::Box => ("PUT", "upload_sessions/", 8),
        _ => ("POST", "append_v2", 4),
    }
}

fn whole(length: usize) -> i64 {
    i64::try_from(length).unwrap()
}

async fn arrives(drive: Drive, script: Option<(When, Script)>) -> Bench {
    let bench = Bench::new(drive).await;
    let happens = script.is_some();
    if let Some((when, script)) = script {
        bench.fake.fault(drive, when, script);
    }
    let (content, memory) = (bytes(LENGTH, 9), Memory::default());
    let created = send(&*bench.service, "p/c/large", &content, &memory).await;
    ours(created, &content, bench.kind());
    assert!(bench.held("p/c/large").unwrap() == content, "{drive:?}");
    assert_eq!(bench.fake.files(drive).len(), 1);
    assert_eq!(memory.progress.load(Ordering::SeqCst), whole(LENGTH), "{drive:?}: progress ends where the file does");
    assert!(!happens || bench.fake.faults_left() == 0, "{drive:?}: it happened");
    bench
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_arrives_in_parts() {
    for drive in BOTH {
        let bench = arrives(drive, None).await;
        let (method, route, parts) = part(drive);
        assert_eq!(bench.fake.count(drive, method, route), parts, "{drive:?}");
        assert_eq!(bench.fake.open_sessions(drive), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_that_fail_or_whose_answers_are_lost_are_mended() {
    for drive in BOTH {
        let (method, route, parts) = part(drive);
        let at = |nth| When::path(route).method(method).nth(nth);
        for (when, script) in [
            (at(2), Script::ErrorAfter),
            (at(parts), Script::NoAnswer),
            (at(1).times(2), Script::CutRequest(1_000_000)),
            (at(3), Script::Expired),
            (at(2), Script::TooMany(Some(1))),
            (at(2), Script::Unavailable(None)),
        ] {
            arrives(drive, Some((when, script))).await;
        }
    }
    let part = When::path("upload_sessions/").method("PUT").nth(2);
    arrives(Drive::Box, Some((part, Script::Status(412)))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_arrived_without_a_good_answer_is_not_sent_to_box_again() {
    for script in [Script::ErrorAfter, Script::NoAnswer, Script::CutAnswer(9)] {
        let part = When::path("upload_sessions/").method("PUT").nth(2);
        let bench = arrives(Drive::Box, Some((part, script.clone()))).await;
        assert_eq!(bench.fake.count(Drive::Box, "PUT", "upload_sessions/"), 8, "{script:?}: nothing was sent twice");
        assert_eq!(bench.fake.count(Drive::Box, "GET", "/parts"), 1, "{script:?}: Box was asked for it");
    }
    // What did not arrive goes out once more, and who does not tell of parts says so by a conflict.
    let part = || When::path("upload_sessions/").method("PUT").nth(2);
    let bench = arrives(Drive::Box, Some((part(), Script::ErrorBefore))).await;
    assert_eq!(bench.fake.count(Drive::Box, "PUT", "upload_sessions/"), 9);
    let bench = Bench::new(Drive::Box).await;
    bench.fake.fault(Drive::Box, part(), Script::ErrorAfter);
    bench.fake.fault(Drive::Box, When::path("/parts").method("GET"), Script::Status(400));
    let content = bytes(LENGTH, 5);
    ours(bench.send("p/large", &content).await, &content, bench.kind());
    assert_eq!(bench.fake.faults_left(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_dropbox_it_is_told_how_much_of_a_request_has_gone_out_and_what_broke_off_is_taken_back() {
    // In chunks, and in one request.
    for (route, length) in [("append_v2", 60_000_000), ("upload_session/start", 40_000_000)] {
        let bench = Bench::new(Drive::Dropbox).await;
        let slow = Script::Slow(Duration::from_secs(1));
        bench.fake.fault(Drive::Dropbox, When::path(route), slow);
        bench.fake.fault(Drive::Dropbox, When::path(route), Script::CutRequest(100_000));
        let (content, memory) = (bytes(length, 4), Arc::new(Memory::default()));
        let (service, sent, known) = (Arc::clone(&bench.service), content.clone(), Arc::clone(&memory));
        let sending = tokio::spawn(async move { send(&*service, "p/large", &sent, &*known).await });
        let mut seen = Vec::new();
        while !sending.is_finished() {
            seen.push(memory.progress.load(Ordering::SeqCst));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ours(sending.await.unwrap(), &content, bench.kind());
        assert_eq!(memory.progress.load(Ordering::SeqCst), whole(length), "{route}: progress ends where the file does");
        let first = whole(if route == "append_v2" { 16 << 20 } else { length });
        assert!(seen.iter().any(|at| *at > 0 && *at < first), "{route}: {seen:?}");
        assert!(seen.iter().all(|at| *at <= whole(length)), "{route}: never more than there is");
        assert_eq!(bench.fake.faults_left(), 0, "{route}: it happened");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_over_is_begun_anew() {
    for drive in BOTH {
        let (method, route, _) = part(drive);
        arrives(drive, Some((When::path(route).method(method).nth(3), Script::NotFound))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_found_out() {
    // The first is answered with 202: still at it.
    for script in [Script::ErrorAfter, Script::NoAnswer] {
        let bench = arrives(Drive::Box, Some((When::path("/commit").nth(2), script))).await;
        assert_eq!(bench.fake.count(Drive::Box, "PUT", "upload_sessions/"), 8, "nothing was sent twice");
    }
    arrives(Drive::Box, Some((When::path("upload_sessions").method("POST"), Script::ErrorAfter))).await;
    for status in [400, 409, 412] {
        let not_yet = Script::Code(status, "parts_mismatch");
        let bench = arrives(Drive::Box, Some((When::path("/commit").times(2), not_yet))).await;
        assert_eq!(bench.fake.count(Drive::Box, "PUT", "upload_sessions/"), 8, "{status}: nothing was sent twice");
    }
    arrives(Drive::Dropbox, Some((When::path("finish_batch_v2"), Script::ErrorAfter))).await;
    arrives(Drive::Dropbox, Some((When::path("upload_session/start"), Script::NoAnswer))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_half_sent_when_we_died_is_not_sent_again() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        let (method, route, parts) = part(drive);
        let (content, memory) = (Arc::new(bytes(LENGTH, 11)), Arc::new(Memory::default()));
        let held_up = Script::Slow(Duration::from_mins(10));
        bench.fake.fault(drive, When::path(route).method(method).nth(3).times(100), held_up);
        let (service, first, known) = (Arc::clone(&bench.service), Arc::clone(&content), Arc::clone(&memory));
        let dying = tokio::spawn(async move { send(&*service, "p/large", &first, &*known).await.map(drop) });
        let arrived = || memory.progress.load(Ordering::SeqCst);
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while arrived() < 2 * 8 * 1024 * 1024 || bench.fake.count(drive, method, route) < 3 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap();
        dying.abort();
        assert!(dying.await.is_err());
        assert!(bench.held("p/large").is_none() && memory.known.lock().unwrap().contains_key("p/large"));
        let again = Bench { fake: Arc::clone(&bench.fake), drive, service: bench.other() };
        again.fake.calm();
        again.fake.forget_requests();
        memory.progress.store(0, Ordering::SeqCst);
        ours(send(&*again.service, "p/large", &content, &*memory).await, &content, again.kind());
        assert!(again.held("p/large").unwrap() == *content, "{drive:?}");
        let sent = again.fake.count(drive, method, route);
        // Dropbox is asked once more: how much there is.
        let asked = usize::from(drive == Drive::Dropbox);
        assert_eq!(sent - asked, parts - 2, "{drive:?}: two parts had arrived");
        assert_eq!(memory.progress.load(Ordering::SeqCst), whole(LENGTH));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_remembered_wrongly_does_no_harm() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        let away = "https://example.com/x";
        let ends = format!(r#"{{"upload_part":"{away}","list_parts":"{away}","commit":"{away}","abort":"{away}"}}"#);
        let base = bench.fake.base(drive);
        let gone = ends.replace(away, &format!("{base}/api/2.0/files/upload_sessions/F00"));
        let other = ends.replace(away, "http://example.com/x");
        let content = bytes(50_500_000, 2);
        for (number, text) in [
            "no json".to_owned(),
            format!(r#"{{"id":"F00","part_size":8388608,"session_endpoints":{gone},"session":"none"}}"#),
            format!(r#"{{"id":"F00","part_size":8388608,"session_endpoints":{other},"session":""}}"#),
        ]
        .into_iter()
        .enumerate()
        {
            let memory = Memory::default();
            let key = format!("p/{number}");
            memory.known.lock().unwrap().insert(key.clone(), text);
            ours(send(&*bench.service, &key, &content, &memory).await, &content, bench.kind());
            assert_eq!(memory.progress.load(Ordering::SeqCst), whole(content.len()), "{drive:?} {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_name_that_is_taken_is_told() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        bench.fake.put(drive, &format!("{}/p/a", super::bench::ROOT), b"theirs").await;
        let meta = taken(bench.send("p/a", &bytes(LENGTH, 1)).await);
        assert_eq!((meta.size, meta.checksum), (6, Some(Hasher::of(bench.kind(), b"theirs"))), "{drive:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_account_is_told_before_a_large_file_is_sent_or_seen() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        bench.fake.set_quota(drive, 1_000_000);
        assert_eq!(bench.send("p/a", &bytes(LENGTH, 1)).await.unwrap_err(), Fault::Full, "{drive:?}");
        assert!(bench.fake.files(drive).is_empty());
    }
    // Box says so before anything is sent.
}

/// Run alone by [`memory_does_not_grow_with_files`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures its own process; run by memory_does_not_grow_with_files"]
async fn sends_half_a_gigabyte_at_once() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        // The peak begins anew here.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = peak();
        let one = |number: usize| {
            let service = Arc::clone(&bench.service);
            async move {
                let file = tempfile::tempfile().unwrap();
                file.set_len(45_000_000).unwrap();
                let kind = service.traits().hash;
                let mut source = soopervisor::storage::backend::Source::new(file, 45_000_000, kind, false, |_| Ok(()));
                service.create(&format!("p/{number}"), &mut source, &()).await.unwrap();
            }
        };
        let lanes = bench.service.traits().lanes * 2;
        futures::future::join_all((0..lanes).map(one)).await;
        let grown = peak() - before;
        println!("{drive:?}: {lanes} files of 45 MB, {} MiB", grown / 1024);
        assert!(grown < 256 * 1024, "{drive:?}: {grown} KiB");
    }
}

/// The most memory that this process had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn memory_does_not_grow_with_files() {
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    alone.args(["--ignored", "--exact", "parts::sends_half_a_gigabyte_at_once", "--nocapture"]);
    let output = alone.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

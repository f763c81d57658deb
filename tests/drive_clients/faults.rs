//! Small files, while things go wrong.

use std::time::{Duration, Instant};

use bytes::Bytes;
use soopervisor::web::Fault;

use super::bench::{BOTH, Bench, ROOT, bytes, ours, taken};
use super::fake::{self, Drive, When};

type Script = fake::Fault;

/// The requests that a small file takes.
fn routes(drive: Drive) -> &'static [&'static str] {
    match drive {
        Drive::Box => &["/2.0/folders", "files/content"],
        _ => &["upload_session/start", "finish_batch_v2"],
    }
}

async fn arrives_in_spite_of(script: &Script, times: usize) {
    for drive in BOTH {
        for route in routes(drive) {
            let bench = Bench::new(drive).await;
            bench.fake.fault(drive, When::path(route).method("POST").times(times), script.clone());
            let content = bytes(200_000, 3);
            ours(bench.send("p/c/a.bin", &content).await, &content, bench.kind());
            let files = bench.fake.files(drive);
            assert_eq!((files.len(), bench.held("p/c/a.bin").unwrap() == content), (1, true), "{drive:?} {route}");
            assert_eq!(bench.fake.faults_left(), 0, "{drive:?} {route}: it happened");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_after_success_makes_neither_a_failure_nor_a_second_file() {
    for script in [Script::ErrorAfter, Script::NoAnswer, Script::CutAnswer(9), Script::ShortAnswer(9)] {
        arrives_in_spite_of(&script, 1).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_within_the_file_is_no_failure() {
    arrives_in_spite_of(&Script::CutRequest(50), 2).await;
    arrives_in_spite_of(&Script::ErrorBefore, 2).await;
}

#[tokio::test]
async fn what_is_throttled_waits_as_long_as_it_is_told() {
    for script in [Script::TooMany(Some(1)), Script::Unavailable(Some(1))] {
        let begun = Instant::now();
        arrives_in_spite_of(&script, 1).await;
        assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    }
    arrives_in_spite_of(&Script::TooMany(None), 2).await;
    arrives_in_spite_of(&Script::Unavailable(None), 2).await;
}

#[tokio::test]
async fn a_token_that_ends_on_the_way_is_renewed() {
    arrives_in_spite_of(&Script::Expired, 1).await;
}

#[tokio::test]
async fn put_copy_and_remove_survive_lost_answers() {
    let lost = |drive: Drive, one: &'static str, other: &'static str| if drive == Drive::Box { one } else { other };
    for drive in BOTH {
        for script in [Script::ErrorAfter, Script::NoAnswer] {
            let bench = Bench::new(drive).await;
            let fault = |path: &str| bench.fake.fault(drive, When::path(path), script.clone());
            bench.service.make_folders(&["p".to_owned()]).await.unwrap();
            fault(lost(drive, "/api/2.0/files/content", "files/upload"));
            assert!(bench.service.put("p/m", Bytes::from_static(b"ours")).await.unwrap(), "{drive:?}");
            fault(lost(drive, "/copy", "copy_v2"));
            ours(bench.service.copy("p/m", "p/n").await.map(Option::unwrap), b"ours", bench.kind());
            fault(lost(drive, "/content?fields", "files/upload"));
            bench.service.replace("p/m", Bytes::from_static(b"newer")).await.unwrap();
            assert_eq!(bench.held("p/m").unwrap(), b"newer");
            bench.fake.fault(
                drive,
                When::path(lost(drive, "/2.0/files/", "delete_v2")).method(lost(drive, "DELETE", "POST")),
                script.clone(),
            );
            bench.service.remove("p/n").await.unwrap();
            assert_eq!(bench.keys("").await, ["p/m"], "{drive:?}");
            bench.fake.fault(drive, When::path(lost(drive, "recursive=true", "delete_v2")), script.clone());
            bench.service.remove_folder("p").await.unwrap();
            assert!(bench.fake.files(drive).is_empty());
            assert_eq!(bench.fake.faults_left(), 0, "{drive:?}");
        }
    }
}

#[tokio::test]
async fn a_lost_answer_is_not_taken_for_ours_when_others_wrote() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        let route = if drive == Drive::Box { "/api/2.0/files/content" } else { "files/upload" };
        bench.fake.put(drive, &format!("{ROOT}/p/m"), b"theirs").await;
        bench.fake.fault(drive, When::path(route), Script::ErrorBefore);
        assert!(!bench.service.put("p/m", Bytes::from_static(b"ours")).await.unwrap(), "{drive:?}");
        taken(bench.send("p/m", b"ours").await);
        assert_eq!(bench.held("p/m").unwrap(), b"theirs");
    }
}

#[tokio::test]
async fn a_full_account_ends_it_at_once() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        bench.send("p/a", b"fits").await.unwrap();
        bench.fake.set_quota(drive, 1000);
        bench.fake.forget_requests();
        assert_eq!(bench.send("p/b", &bytes(5000, 0)).await.unwrap_err(), Fault::Full, "{drive:?}");
        let route = routes(drive)[1];
        assert_eq!(bench.fake.count(drive, "POST", route), 1, "{drive:?}: repeating does not help");
        assert_eq!(bench.keys("").await, ["p/a"], "listing works in a full account");
        assert_eq!(bench.service.stat("p/a").await.unwrap().unwrap().size, 4);
    }
}

#[tokio::test]
async fn a_file_that_the_plan_does_not_take_is_told_as_such() {
    let bench = Bench::new(Drive::Box).await;
    bench.fake.set_max_file(Drive::Box, 1000);
    assert_eq!(bench.send("p/b", &bytes(5000, 0)).await.unwrap_err(), Fault::TooLarge(None));
}

#[tokio::test]
async fn names_that_a_drive_refuses_are_told_with_a_way_out() {
    for (drive, name) in [(Drive::Box, "p/trailing "), (Drive::Dropbox, "p/desktop.ini")] {
        let bench = Bench::new(drive).await;
        let fault = bench.send(name, b"x").await.unwrap_err();
        assert!(fault.to_string().contains("rename the output"), "{fault}");
        assert!(bench.fake.files(drive).is_empty());
    }
}

#[tokio::test]
async fn a_file_in_place_of_a_folder_is_told() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        bench.send("p/a", b"x").await.unwrap();
        let fault = bench.send("p/a/b", b"x").await.unwrap_err();
        assert!(fault.to_string().contains("a folder"), "{drive:?} {fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_new_for_some_of_the_servers_of_box_is_waited_for_and_made_once() {
    let bench = Bench::new(Drive::Box).await;
    bench.fake.account(Drive::Box).late = Duration::from_millis(600);
    let (small, large) = (bytes(200_000, 3), bytes(21_000_000, 4));
    ours(bench.send("p/c/small", &small).await, &small, bench.kind());
    assert_eq!(bench.service.stat("p/c/small").await.unwrap().unwrap().size, 200_000, "a file, too");
    ours(bench.send("p/d/large", &large).await, &large, bench.kind());
    assert!(bench.read("p/d/large", 0).await.unwrap() == large);
    assert!(bench.service.put("p/e/m.json", Bytes::from_static(b"ours")).await.unwrap());
    bench.service.make_folders(&["p/f/g".to_owned()]).await.unwrap();
    assert!(bench.service.stat("p/f/g/none").await.unwrap().is_none());
    bench.service.replace("p/f/g/latest.json", Bytes::from_static(b"first")).await.unwrap();
    bench.service.replace("p/f/g/latest.json", Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(bench.held("p/f/g/latest.json").unwrap(), b"second");
    ours(bench.service.copy("p/e/m.json", "p/h/m.json").await.map(Option::unwrap), b"ours", bench.kind());
    assert_eq!(bench.keys("p/h").await, ["p/h/m.json"]);
    bench.fake.put(Drive::Box, &format!("{ROOT}/p/i/theirs"), b"theirs").await;
    assert_eq!(bench.keys("p/i").await, ["p/i/theirs"], "nor does it look empty");
    let folders =
        ["", "/p", "/p/c", "/p/d", "/p/e", "/p/f", "/p/f/g", "/p/h", "/p/i"].map(|below| format!("{ROOT}{below}"));
    let made: Vec<String> = bench.fake.folders(Drive::Box).into_iter().filter(|path| path.starts_with(ROOT)).collect();
    assert_eq!((made, bench.fake.files(Drive::Box).len()), (folders.to_vec(), 6));
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_broke() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        let content = bytes(900_000, 5);
        bench.send("p/a", &content).await.unwrap();
        let route = if drive == Drive::Box { "/dl/" } else { "files/download" };
        for (nth, cut) in [(1, 400_000), (2, 0), (3, 100_000)] {
            bench.fake.fault(drive, When::path(route).nth(nth), Script::CutAnswer(cut));
        }
        assert_eq!(bench.read("p/a", 10).await.unwrap(), content[10..], "{drive:?}");
        assert!(bench.fake.count(drive, "", route) >= 4, "{drive:?}");
        bench.fake.fault(drive, When::path(route).times(100), Script::CutAnswer(0));
        assert!(bench.read("p/a", 0).await.unwrap_err().is_passing(), "{drive:?}: not for ever");
    }
}

#[tokio::test]
async fn nothing_that_is_told_holds_a_token_or_an_address() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        bench.fake.fault(drive, When::path("").times(1000), Script::Status(418));
        let fault = bench.send("p/a", b"x").await.unwrap_err();
        let told = format!("{fault} {fault:?} {:?} {}", bench.service, bench.service.place());
        assert!(!told.contains("access-") && !told.contains("127.0.0.1/"), "{told}");
    }
}

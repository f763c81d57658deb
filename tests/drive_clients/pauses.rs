//! Services that want to be left alone for a while.

use std::sync::Arc;
use std::time::{Duration, Instant};

use soopervisor::plan::OnConflict;
use soopervisor::storage::remote::Remote;
use soopervisor::storage::{Progress, PublishOutcome, Storage, StorageError};
use soopervisor::web::{Fault, Reason};

use super::bench::{BOTH, Bench, ROOT};
use super::fake::{self, Drive, Fake, When};
use super::fixture_run::{Run, project};

type Script = fake::Fault;

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_seen_from_outside_until_it_is_over_or_nobody_waits_for_it() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        bench.fake.fault(drive, When::path("").times(1000), Script::TooMany(Some(60)));
        let service = Arc::clone(&bench.service);
        let asking = tokio::spawn(async move { service.space().await });
        let begun = Instant::now();
        while bench.service.waiting().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{drive:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(bench.service.waiting().unwrap().reason, Reason::Throttled, "{drive:?}");
        asking.abort();
        asking.await.unwrap_err();
        assert_eq!(bench.service.waiting(), None, "{drive:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_of_hours_is_an_error_at_once_and_nobody_asks_again() {
    for drive in BOTH {
        let bench = Bench::new(drive).await;
        bench.fake.fault(drive, When::path("").times(1000), Script::TooMany(Some(7200)));
        let begun = Instant::now();
        for _ in 0..2 {
            let fault = bench.service.space().await.unwrap_err();
            assert!(matches!(fault, Fault::Throttled(Some(after)) if after > Duration::from_hours(1)), "{fault:?}");
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{drive:?}: {:?}", begun.elapsed());
        assert_eq!(bench.fake.requests().len(), 1, "{drive:?}: {:?}", bench.fake.requests());
    }
}

/// Wants to stop as soon as the manifest was sent for the first time.
struct Hasty(Arc<Fake>);

impl Progress for Hasty {
    fn cancelled(&self) -> bool {
        self.0.count(Drive::Box, "POST", "files/content") > 1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_while_the_manifest_is_held_up_waits_no_longer_and_is_told_how_to_find_out() {
    let bench = Bench::new(Drive::Box).await;
    let second = When::path("files/content").method("POST").nth(2).times(1000);
    bench.fake.fault(Drive::Box, second, Script::TooMany(Some(120)));
    let run = Run::new();
    run.product("a.csv", "a");
    let remote = Remote::new(Arc::clone(&bench.service), None);
    let begun = Instant::now();
    let hasty = Arc::new(Hasty(Arc::clone(&bench.fake)));
    let stopped = remote.publish(run.publication("r", OnConflict::Fail), hasty).await.unwrap_err();
    assert!(matches!(stopped, StorageError::Undecided { .. }), "{stopped:?}");
    assert!(stopped.help().unwrap().starts_with("`soopervisor verify 0123456789"), "{stopped:?}");
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    bench.fake.calm();
    // Another account's pace: this one's is closed for two minutes.
    let again = Remote::new(bench.other(), None);
    assert!(again.folders(&project()).await.unwrap().is_empty());
    let published = again.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await.unwrap();
    assert_eq!(published.outcome, PublishOutcome::Created);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_place_of_the_projects_folder_is_told_with_its_path_and_what_to_do() {
    let bench = Bench::new(Drive::Box).await;
    bench.fake.put(Drive::Box, &format!("{ROOT}/{}", project()), b"mine").await;
    let run = Run::new();
    run.product("a.csv", "a");
    let remote = Remote::new(Arc::clone(&bench.service), None);
    let failed = remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.unwrap_err();
    assert!(matches!(failed, StorageError::Blocked { .. }), "{failed:?}");
    let (said, help) = (failed.to_string(), failed.help().unwrap());
    assert!(said.contains(&format!("/{}` is a file where a folder has to be", project())), "{said}");
    assert!(help.contains("away") && help.contains("--project NAME"), "{help}");
    assert_eq!(bench.held(&project().to_string()).unwrap(), b"mine");
}

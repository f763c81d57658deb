//! A service that shows a file and does not give it: nobody is told that it is missing.

use std::path::Path;
use std::sync::Arc;

use soopervisor::plan::OnConflict;
use soopervisor::storage::download::{Report, Request, download};
use soopervisor::storage::remote::Remote;
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Storage as _, StorageError};
use soopervisor::web::Fault;

use crate::fixture_run::{SHA, folder, project};
use crate::shelf::{self, Shelf};
use crate::{path, remote, small};

async fn published() -> (Arc<Shelf>, Remote) {
    let (run, shelf) = (small(2), shelf::plain());
    let remote = remote(&shelf, None);
    remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    (shelf, remote)
}

fn withhold(shelf: &Shelf, name: &str, readings: u64) {
    shelf.withheld.lock().expect("withheld").insert(format!("demo/{SHA}/{name}"), readings);
}

async fn fetch(remote: &Remote, to: &Path) -> Result<Report, StorageError> {
    let (project, folder) = (project(), folder());
    let request = Request { project: &project, folder: &folder, globs: &[], to, force: false };
    download(remote, &request, &()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_shows_and_does_not_give_at_once_is_read_again() {
    for name in ["manifest.json", "d0/f0.csv"] {
        let (shelf, remote) = published().await;
        let to = tempfile::tempdir().expect("a folder");
        withhold(&shelf, name, 2);
        let report = verify(&remote, &project(), &folder(), &()).await.expect("a report");
        assert!(report.is_sound() && report.ok == 2, "{name}: {report:?}");
        withhold(&shelf, name, 2);
        let report = fetch(&remote, to.path()).await.expect("fetched");
        assert_eq!(report.written, 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_shows_and_never_gives_is_a_failure_of_the_service_and_no_reason_to_remove_anything() {
    for name in ["manifest.json", "d0/f0.csv"] {
        let (shelf, remote) = published().await;
        let to = tempfile::tempdir().expect("a folder");
        withhold(&shelf, name, u64::MAX);
        let (verified, fetched) = (verify(&remote, &project(), &folder(), &()).await, fetch(&remote, to.path()).await);
        for error in [verified.expect_err("not read"), fetched.expect_err("not fetched")] {
            assert!(matches!(&error, StorageError::Service { fault: Fault::Broken(_), .. }), "{name}: {error}");
            let (said, help) = (error.to_string(), error.help().expect("a next step"));
            assert!(said.contains(name) && said.contains("is there, and does not give it"), "{said}");
            assert!(help.starts_with("try again") && !help.contains("remove"), "{help}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_still_told_as_missing() {
    let (shelf, remote) = published().await;
    let to = tempfile::tempdir().expect("a folder");
    shelf.objects.lock().expect("objects").remove(&format!("demo/{SHA}/d0/f0.csv"));
    let report = verify(&remote, &project(), &folder(), &()).await.expect("a report");
    assert_eq!((&*report.missing, report.ok), (&[path("d0/f0.csv")][..], 1), "{report:?}");
    let error = fetch(&remote, to.path()).await.expect_err("not all of it");
    assert!(matches!(error, StorageError::Missing { .. }), "{error}");
}

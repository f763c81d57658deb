//! Bytes that change on their way from a service, and bytes that changed in it: only these are anybody's to remove.

use std::sync::Arc;

use bytes::Bytes;
use soopervisor::plan::OnConflict;
use soopervisor::storage::download::{Report, Request, download};
use soopervisor::storage::remote::Remote;
use soopervisor::storage::resolve::resolve;
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Storage as _, StorageError, key};

use crate::fixture_run::{Run, folder, project};
use crate::shelf::{self, Shelf};
use crate::{filled, is_sound, path, remote};

/// More often than anybody reads.
const ALWAYS: u8 = 200;

async fn published(shelf: &Arc<Shelf>) -> (Run, Remote) {
    let (run, remote) = (filled(1), remote(shelf, None));
    remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    (run, remote)
}

/// From now on what ends so arrives with another first byte, so often.
fn garble(shelf: &Shelf, end: &str, times: u8) {
    *shelf.garbles.lock().expect("garbles") = Some((end.to_owned(), times));
}

/// Somebody writes over what is stored.
fn damage(shelf: &Shelf, name: &str, bytes: &'static [u8]) {
    let key = format!("{}{name}", key::object_folder(&project(), &folder()));
    shelf.objects.lock().expect("objects").insert(key, Bytes::from_static(bytes));
}

async fn fetch(remote: &Remote, to: &std::path::Path) -> Result<Report, StorageError> {
    let request = Request { project: &project(), folder: &folder(), globs: &[], to, force: false };
    download(remote, &request, &()).await
}

/// Another try may be better, and nothing is to be removed.
fn is_of_the_way(error: &StorageError) -> bool {
    let passing = matches!(error, StorageError::Service { fault, .. } if fault.is_passing());
    let help = error.help().unwrap_or_default();
    passing
        && error.to_string().contains("is not what is stored")
        && help.contains("try again")
        && !help.contains("remove")
}

#[tokio::test]
async fn a_manifest_that_changed_on_its_way_is_read_again_and_is_never_to_be_removed() {
    for shelf in [shelf::drive(), shelf::plain()] {
        let (run, remote) = published(&shelf).await;
        for times in [1, 2] {
            garble(&shelf, "/manifest.json", times);
            assert_eq!(resolve(&remote, &project(), "latest").await.expect("found"), folder());
        }
        garble(&shelf, "/manifest.json", ALWAYS);
        let error = resolve(&remote, &project(), "latest").await.expect_err("unreadable");
        assert!(is_of_the_way(&error), "{error} {:?}", error.help());
        let again = remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await;
        let error = again.expect_err("unreadable");
        assert!(is_of_the_way(&error), "{error} {:?}", error.help());
        garble(&shelf, "", 0);
        damage(&shelf, "manifest.json", b"{");
        let error = resolve(&remote, &project(), "latest").await.expect_err("damaged");
        assert!(matches!(error, StorageError::Manifest { .. }), "{error:?}");
        assert!(error.help().is_some_and(|help| help.contains("remove it")), "{error:?}");
    }
}

#[tokio::test]
async fn a_file_that_changed_on_its_way_is_fetched_again_and_is_never_to_be_removed() {
    for shelf in [shelf::drive(), shelf::plain()] {
        let (_run, remote) = published(&shelf).await;
        let [one, other, third] = std::array::from_fn(|_| tempfile::tempdir().expect("a folder"));
        garble(&shelf, "/f0.csv", 1);
        assert_eq!(fetch(&remote, one.path()).await.expect("fetched").written, 2);
        assert_eq!(fs_err::read(one.path().join("f0.csv")).expect("a file"), b"content 0");
        garble(&shelf, "/f0.csv", 1);
        assert!(is_sound(&remote).await, "nothing in it changed");
        garble(&shelf, "/f0.csv", ALWAYS);
        let error = fetch(&remote, other.path()).await.expect_err("garbled");
        assert!(is_of_the_way(&error), "{error} {:?}", error.help());
        assert!(!other.path().join("f0.csv").exists());
        garble(&shelf, "", 0);
        damage(&shelf, "f0.csv", b"content X");
        let error = fetch(&remote, third.path()).await.expect_err("damaged");
        assert!(matches!(error, StorageError::Corrupt { .. }), "{error:?}");
        assert!(error.help().is_some_and(|help| help.contains("remove it")), "{error:?}");
        let report = verify(&remote, &project(), &folder(), &()).await.expect("a report");
        assert_eq!(report.changed, [path("f0.csv")]);
    }
}

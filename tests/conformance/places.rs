//! A place that can hold nothing says so when it is asked, before a run has cost anything.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use soopervisor::storage::{Access, Location, Remotes, Storage, StorageError};
use soopervisor::web::Reach;

use crate::fake::{Drive, Fake};
use crate::served::Served;

/// Why the place cannot be opened.
async fn refused(storage: &dyn Storage) -> String {
    match storage.check().await {
        Err(error @ StorageError::Open { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A place on a drive, as the program opens it.
fn on_drive(fake: &Fake, drive: Drive, place: &str, state: &Path) -> Arc<dyn Storage> {
    let name = drive.prefix().to_uppercase();
    let set: BTreeMap<String, String> = [
        (format!("SOOPERVISOR_{name}_BASE_URL"), fake.base(drive)),
        (format!("SOOPERVISOR_{name}_ACCESS_TOKEN"), fake.token(drive)),
    ]
    .into();
    let remotes = Remotes::new(Vec::new(), Arc::new(move |name: &str| set.get(name).cloned()));
    let location = Location::parse(&format!("{}:{place}", drive.prefix()), Path::new("/"), &remotes).expect("a place");
    location.open(&Access { reach: Reach::default(), remotes, state: state.to_owned() }).expect("a storage")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_where_the_place_has_to_be_is_told_by_webdav_and_sftp() {
    let state = tempfile::tempdir().expect("a folder");
    for (served, at) in [(Served::webdav(), "a place/é"), (Served::sftp(), "a place")] {
        let file = served.folder().join(at);
        fs_err::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        fs_err::write(&file, "x").expect("a file");
        let told = refused(&*served.storage(state.path())).await;
        assert!(told.contains("is a file where a folder has to be"), "{told}");
    }
    for served in [Served::webdav(), Served::sftp()] {
        served.storage(state.path()).check().await.expect("what is not there yet will be made");
    }
}

/// Bytes of the file system that a folder is on, all together.
fn size_of_disk(folder: &Path) -> u64 {
    let output = std::process::Command::new("df").args(["-B1", "--output=size"]).arg(folder).output().expect("df");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    told.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("a size")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_of_a_folder_that_sftp_will_make_is_that_of_its_own_disk() {
    let state = tempfile::tempdir().expect("a folder");
    let memory = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    // Where one logs in is another disk, and on most machines a larger one.
    let served = Served::sftp().at(&memory.path().join("new/er"));
    let free = served.storage(state.path()).check().await.expect("it will be made").free.expect("OpenSSH tells it");
    assert!(free <= size_of_disk(memory.path()), "{free} bytes are free where {} are", size_of_disk(memory.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_a_drive_cannot_have_is_told_before_anything_is_made() {
    let (fake, state) = (Fake::start().await, tempfile::tempdir().expect("a folder"));
    for drive in Drive::ALL {
        fake.put(drive, "taken", b"x").await;
        let folders = fake.folders(drive);
        let place = if drive == Drive::GDrive { "id:NOSUCH" } else { "taken/reports" };
        let told = refused(&*on_drive(&fake, drive, place, state.path())).await;
        let why = if drive == Drive::GDrive { "no folder with the id `NOSUCH`" } else { "`taken` is a file" };
        assert!(told.contains(why), "{drive:?}: {told}");
        on_drive(&fake, drive, "reports/new", state.path()).check().await.expect("it will be made");
        assert_eq!(fake.folders(drive), folders, "{drive:?}: looking makes nothing");
    }
}

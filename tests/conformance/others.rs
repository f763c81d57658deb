//! What lies beside what was published, or in its way: files of somebody else, and projects that a storage takes for one.

use std::sync::Arc;

use serde_json::json;
use soopervisor::id::ProjectName;
use soopervisor::plan::OnConflict;
use soopervisor::storage::backend::Made;
use soopervisor::storage::prune::{self, Policy};
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Publication, PublishOutcome, StorageError};

use crate::bench::Bench;
use crate::drives::OnDrive;
use crate::fake::Drive;
use crate::fixture_run::{SHA, folder, project};

/// What the bench would publish of another commit, a day later.
fn later(bench: &Bench) -> Publication {
    let mut publication = bench.run.publication("later", OnConflict::Fail);
    publication.about.revision = SHA.replacen("0123", "0199", 1).parse().expect("a revision");
    publication.about.commit = publication.about.revision.commit.clone();
    publication.about.ended += jiff::SignedDuration::from_hours(24);
    publication
}

/// What somebody else makes, by the vendor's API; its id.
async fn post(drive: &OnDrive, body: serde_json::Value) -> String {
    let request = reqwest::Client::new().post(format!("{}/drive/v3/files", drive.fake.base(drive.drive)));
    let answer = request.bearer_auth(drive.fake.token(drive.drive)).json(&body).send().await.expect("an answer");
    let made: serde_json::Value = answer.json().await.expect("a file");
    made["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_a_drive_takes_for_another_one_is_refused_before_anything_is_made() {
    for drive in Drive::ALL {
        let bench = Bench::on(drive).await;
        bench.run.product("a.csv", "1");
        bench.publish("r", OnConflict::Fail).await.expect("published");
        let fake = &bench.drive.as_ref().expect("a drive").fake;
        let before = (fake.names(drive), fake.folders(drive));
        let twin: ProjectName = "Demo".parse().expect("a project");
        let mut publication = later(&bench);
        publication.about.project = twin.clone();
        let told = bench.storage.tell_apart(&twin).await;
        let published = bench.storage.publish(publication, Arc::new(())).await;
        if drive.folds_case() {
            for error in [told.expect_err("one folder"), published.expect_err("one folder")] {
                let named = matches!(&error, StorageError::OneFolder { other, .. } if *other == project());
                assert!(named, "{drive:?}: {error:?}");
            }
            assert_eq!((fake.names(drive), fake.folders(drive)), before, "{drive:?}");
            // Who asks under that name is told whose it is, and not to remove it.
            let help = bench.storage.manifest(&twin, &folder()).await.expect_err("another's").help();
            assert!(help.as_ref().is_some_and(|help| help.contains("--project demo")), "{drive:?}: {help:?}");
        } else {
            told.expect("two folders");
            published.expect("published");
            assert_eq!(bench.storage.folders(&twin).await.expect("folders").len(), 1);
        }
        bench.storage.tell_apart(&project()).await.expect("its own");
        assert_eq!(bench.storage.folders(&project()).await.expect("folders"), [folder()], "{drive:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_broke_off_is_told_when_another_one_has_published_to_its_folder_since() {
    for drive in Drive::ALL {
        let bench = Bench::on(drive).await;
        let service = bench.service.as_ref().expect("a service");
        // What a publish of `Demo` leaves that broke off before anything was published.
        let left = format!("Demo/{}", SHA.replacen("0123", "0099", 1));
        service.make_folders(&["Demo".to_owned(), left.clone()]).await.expect("made");
        service.put(&format!("{left}/a.csv"), "1".into()).await.expect("written");
        let first: ProjectName = "Demo".parse().expect("a project");
        bench.storage.tell_apart(&first).await.expect("nobody has published");
        bench.run.product("a.csv", "1");
        bench.publish("r", OnConflict::Fail).await.expect("published");
        let told = bench.storage.tell_apart(&first).await;
        if drive.folds_case() {
            let error = told.expect_err("one folder");
            let named = matches!(&error, StorageError::OneFolder { other, folder, .. }
                if *other == project() && folder == "Demo");
            assert!(named, "{drive:?}: {error:?}");
        } else {
            told.expect("two folders");
        }
        bench.storage.tell_apart(&project()).await.expect("its own");
    }
}

/// As on a share of Windows or macOS.
#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_a_webdav_server_takes_for_another_one_is_refused_before_anything_is_made() {
    let bench = Bench::on_webdav_of_any_case().await;
    let service = bench.service.as_ref().expect("a service");
    // What a publish of `Demo` leaves that broke off before anything was published.
    let left = format!("Demo/{}", SHA.replacen("0123", "0099", 1));
    service.make_folders(&["Demo".to_owned(), left.clone()]).await.expect("made");
    assert!(service.put(&format!("{left}/a.csv"), "1".into()).await.expect("written"));
    let twin: ProjectName = "Demo".parse().expect("a project");
    bench.storage.tell_apart(&twin).await.expect("nobody has published");
    bench.run.product("a.csv", "1");
    bench.publish("r", OnConflict::Fail).await.expect("published");
    let all = async || {
        let mut keys: Vec<String> =
            service.list("", true).await.expect("a list").into_iter().map(|meta| meta.key).collect();
        keys.sort();
        keys
    };
    let before = all().await;
    let mut publication = later(&bench);
    publication.about.project = twin.clone();
    let told = bench.storage.tell_apart(&twin).await.expect_err("one folder");
    let published = bench.storage.publish(publication, Arc::new(())).await.expect_err("one folder");
    for error in [told, published] {
        let named = matches!(&error, StorageError::OneFolder { other, folder, .. }
            if *other == project() && folder == "Demo");
        assert!(named, "{error:?}");
    }
    assert_eq!(all().await, before, "nothing was made");
    bench.storage.tell_apart(&project()).await.expect("its own");
    assert_eq!(bench.storage.folders(&project()).await.expect("folders"), [folder()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_somebody_else_on_google_drive_keeps_its_folder_whatever_its_name() {
    let bench = Bench::on(Drive::GDrive).await;
    bench.run.product("out/a.txt", "1");
    bench.publish("r", OnConflict::Fail).await.expect("published");
    bench.storage.publish(later(&bench), Arc::new(())).await.expect("published");
    let (drive, service) = (bench.drive.as_ref().expect("a drive"), bench.service.as_ref().expect("a service"));
    let policy = Policy { keep_last: Some(1), ..Policy::default() };
    let ours = project();
    let planned = || prune::plan(&*bench.storage, &ours, &policy, jiff::Timestamp::now());
    // A name of ours that is taken twice, the manifest's, and one that no path has.
    for (above, name) in [("/out", "a.txt"), ("", "manifest.json"), ("", "in/out.txt")] {
        let at = service.stat(&format!("demo/{SHA}{above}")).await.expect("an answer").expect("a folder");
        let id = post(drive, json!({"name": name, "parents": [at.id]})).await;
        let report = verify(&*bench.storage, &project(), &folder(), &()).await.expect("a report");
        let found = (report.ok, report.extra.len(), report.missing.len() + report.changed.len());
        assert_eq!(found, (1, 1, 0), "{name}: {report:?}");
        let plan = planned().await.expect("a plan");
        assert_eq!((plan.go.len(), plan.foreign.len()), (0, 1), "{name}: {plan:?}");
        let again = bench.publish("again", OnConflict::Fail).await.expect("published");
        assert_eq!(again.outcome, PublishOutcome::Identical, "{name}");
        assert!(drive.fake.files(Drive::GDrive).values().any(|held| held.id == id), "{name} was removed");
        service.remove_made(Made { key: &format!("demo/{SHA}{above}/{name}"), id: Some(&id) }).await.expect("removed");
    }
    let plan = planned().await.expect("a plan");
    assert_eq!((plan.go.len(), plan.foreign.len()), (1, 0), "{plan:?}");
    // It comes after the plan.
    let at = service.stat(&format!("demo/{SHA}/out")).await.expect("an answer").expect("a folder");
    let id = post(drive, json!({"name": "a.txt", "parents": [at.id]})).await;
    let report = prune::remove(&*bench.storage, &project(), &plan, &()).await.expect("a report");
    assert_eq!((report.removed.len(), report.spared.len()), (0, 1));
    assert!(drive.fake.files(Drive::GDrive).values().any(|held| held.id == id));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_programs_leave_beside_open_files_is_published_on_each_drive() {
    for drive in Drive::ALL {
        let bench = Bench::on(drive).await;
        for name in [".~lock.report.ods#", "~$report.docx", "data/~wrl0001.tmp", "x.part", ".htaccess"] {
            bench.run.product(name, name);
        }
        bench.publish("r", OnConflict::Fail).await.unwrap_or_else(|error| panic!("{drive:?}: {error}"));
        let report = verify(&*bench.storage, &project(), &folder(), &()).await.expect("a report");
        assert!(report.is_sound() && report.ok == 5, "{drive:?}: {report:?}");
    }
}

/// A file of somebody's, made past the storage.
async fn put(bench: &Bench, key: &str) {
    if let Some(on) = &bench.drive {
        on.fake.put(on.drive, key, b"mine").await;
        return;
    }
    let service = bench.service.as_ref().expect("a service");
    if let Some((above, _)) = key.rsplit_once('/') {
        service.make_folders(&[above.to_owned()]).await.expect("made");
    }
    assert!(service.put(key, "mine".into()).await.expect("written"));
}

/// On all that have folders, but for Google Drive, where a file and a folder may have one name.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_where_a_folder_has_to_be_is_told_with_its_path_and_stays() {
    for at in ["demo".to_owned(), format!("demo/{SHA}")] {
        let benches = [
            Bench::on_webdav().await,
            Bench::on_sftp().await,
            Bench::on_box().await,
            Bench::on_dropbox().await,
            Bench::on_onedrive().await,
        ];
        for bench in benches {
            put(&bench, &at).await;
            bench.run.product("data/a.csv", "1");
            let place = bench.storage.place();
            let failed = bench.publish("r", OnConflict::Fail).await.expect_err("a file is in the way");
            assert!(matches!(failed, StorageError::Blocked { .. }), "{place}: {failed:?}");
            let (said, help) = (failed.to_string(), failed.help().expect("what to do"));
            assert!(said.contains(&format!("{at}` is a file where a folder has to be")), "{place}: {said}");
            assert!(help.contains(&format!("{at}` away")), "{place}: {help}");
            let service = bench.service.as_ref().expect("a service");
            let there = service.stat(&at).await.expect("an answer").expect("it is there");
            assert_eq!((there.folder, there.size), (false, 4), "{place}");
        }
    }
}

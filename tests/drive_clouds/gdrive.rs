//! What only Google Drive does: names that are taken twice, listings that lag, ids made beforehand.

use serde_json::json;
use soopervisor::storage::backend::{Created, Fault as Told};

use crate::bench::{MIB, create, keys, made, noise, open, read};
use crate::fake::{Drive, Fake, Fault, When};

const DRIVE: Drive = Drive::GDrive;

/// What somebody else does, by the vendor's API.
async fn post(fake: &Fake, body: serde_json::Value) -> String {
    let request = reqwest::Client::new().post(format!("{}/drive/v3/files", fake.base(DRIVE)));
    let answer = request.bearer_auth(fake.token(DRIVE)).json(&body).send().await.unwrap();
    let made: serde_json::Value = answer.json().await.unwrap();
    made["id"].as_str().unwrap().to_owned()
}

async fn folder(fake: &Fake, parent: &str, name: &str) -> String {
    post(fake, json!({"name": name, "parents": [parent], "mimeType": "application/vnd.google-apps.folder"})).await
}

fn stale(fake: &Fake, times: usize) {
    fake.fault(DRIVE, When::path("/drive/v3/files?q=").method("GET").times(times), Fault::Stale);
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_that_lag_make_no_duplicates() {
    let fake = Fake::start().await;
    fake.put(DRIVE, "p/there", b"x").await;
    let service = open(&fake, DRIVE, "");
    stale(&fake, 9999);
    for round in 0..2 {
        for key in ["p/a", "p/new/b", "p/new/c"] {
            let created = create(&*service, key, key.as_bytes()).await.unwrap();
            assert_eq!(matches!(created, Created::Taken(Some(_))), round == 1, "{key}: {created:?}");
        }
        service.make_folders(&["p/new/deep".to_owned()]).await.unwrap();
    }
    assert_eq!(fake.files(DRIVE).len(), 4);
    assert_eq!(fake.folders(DRIVE).into_iter().collect::<Vec<_>>(), ["p", "p/new", "p/new/deep"]);
    assert_eq!(read(&*service, "p/new/b", 0).await.unwrap(), b"p/new/b");
    assert_eq!(service.stat("p/a").await.unwrap().unwrap().size, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_created_twice_because_of_a_lag_is_healed_when_the_manifest_is_written() {
    let fake = Fake::start().await;
    let first = open(&fake, DRIVE, "");
    first.make_folders(&["p/c".to_owned()]).await.unwrap();
    // The second process sees the folder, and not what the first one puts into it.
    let second = open(&fake, DRIVE, "");
    assert!(keys(&*second, "p/c", true).await.is_empty());
    stale(&fake, 9);
    made(&*first, "p/c/same", b"same").await;
    made(&*second, "p/c/same", b"same").await;
    assert_eq!(fake.files(DRIVE).len(), 2);
    // Lagging is over.
    while fake.faults_left() > 0 {
        let _ = second.list("none", false).await;
    }
    assert!(second.put("p/c/manifest.json", bytes::Bytes::from_static(b"{}")).await.unwrap());
    assert_eq!(fake.files(DRIVE).into_keys().collect::<Vec<_>>(), ["p/c/manifest.json", "p/c/same"]);
    assert_eq!(read(&*second, "p/c/same", 0).await.unwrap(), b"same");
    assert!(!first.put("p/c/manifest.json", bytes::Bytes::from_static(b"{1}")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_manifest_is_written_over_files_of_which_others_count() {
    let fake = Fake::start().await;
    let first = open(&fake, DRIVE, "");
    first.make_folders(&["p/c".to_owned()]).await.unwrap();
    let second = open(&fake, DRIVE, "");
    assert!(keys(&*second, "p/c", true).await.is_empty());
    stale(&fake, 9);
    made(&*first, "p/c/file", b"theirs").await;
    made(&*second, "p/c/file", b"ours").await;
    while fake.faults_left() > 0 {
        let _ = second.list("none", false).await;
    }
    let fault = second.put("p/c/manifest.json", bytes::Bytes::from_static(b"{}")).await.unwrap_err();
    assert!(matches!(fault, Told::Damaged(_)), "{fault:?}");
    assert_eq!(fake.files(DRIVE).into_keys().collect::<Vec<_>>(), ["p/c/file"]);
    assert_eq!(read(&*second, "p/c/file", 0).await.unwrap(), b"theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_folders_of_one_name_the_first_is_written_to_and_all_are_read() {
    let fake = Fake::start().await;
    let (one, two) = (folder(&fake, "root", "p").await, folder(&fake, "root", "p").await);
    let low = std::cmp::min(&one, &two).clone();
    post(&fake, json!({"name": "in-one", "parents": [one]})).await;
    post(&fake, json!({"name": "in-two", "parents": [two]})).await;
    let sub = folder(&fake, &two, "sub").await;
    post(&fake, json!({"name": "deep", "parents": [sub]})).await;
    let service = open(&fake, DRIVE, "");
    assert_eq!(keys(&*service, "", true).await, ["p/", "p/in-one", "p/in-two", "p/sub/", "p/sub/deep"]);
    assert!(service.stat("p/in-two").await.unwrap().is_some());
    for taken in ["p/in-one", "p/in-two", "p/sub/deep"] {
        assert!(matches!(create(&*service, taken, b"x").await.unwrap(), Created::Taken(Some(_))), "{taken}");
    }
    let receipt = made(&*service, "p/new", b"x").await;
    let url = format!("{}/drive/v3/files/{}?fields=parents", fake.base(DRIVE), receipt.id.unwrap());
    let answer = reqwest::Client::new().get(url).bearer_auth(fake.token(DRIVE)).send().await.unwrap();
    assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["parents"][0], low);
    assert!(service.remove_folder("p").await.unwrap().freed);
    assert!(fake.folders(DRIVE).is_empty() && fake.files(DRIVE).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_may_be_named_by_its_id() {
    let fake = Fake::start().await;
    let shared = folder(&fake, "root", "shared").await;
    let service = open(&fake, DRIVE, &format!("id:{shared}/reports"));
    made(&*service, "p/x", b"x").await;
    assert_eq!(fake.read(DRIVE, "shared/reports/p/x").unwrap(), b"x");
    assert_eq!(keys(&*service, "", true).await, ["p/", "p/x"]);
    let requests = fake.requests();
    let asked = requests.iter().filter(|line| line.contains("/drive/v3/files") && !line.contains("generateIds"));
    let ours: Vec<_> = asked.filter(|line| line.contains('?') && !line.contains("upload_id")).collect();
    assert!(ours.iter().all(|line| line.contains("supportsAllDrives=true")), "{ours:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_asked_for_once_and_folders_looked_up_once() {
    let fake = Fake::start().await;
    let service = open(&fake, DRIVE, "root");
    service.make_folders(&["p/a".to_owned()]).await.unwrap();
    for number in 0..8 {
        made(&*service, &format!("p/a/{number}"), &noise(10, number)).await;
    }
    assert_eq!(fake.count(DRIVE, "GET", "generateIds"), 1);
    assert!(fake.count(DRIVE, "GET", "files?q=") <= 2, "{:?}", fake.counts());
    assert_eq!(fake.count(DRIVE, "POST", "uploadType=multipart"), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_vanished_is_made_again() {
    let fake = Fake::start().await;
    let service = open(&fake, DRIVE, "");
    made(&*service, "p/a/one", b"x").await;
    let other = open(&fake, DRIVE, "");
    other.remove_folder("p/a").await.unwrap();
    made(&*service, "p/a/two", b"x").await;
    made(&*service, "p/a/large", &noise(6 * MIB, 1)).await;
    other.remove_folder("p").await.unwrap();
    assert!(read(&*service, "p/a/two", 0).await.is_err());
}

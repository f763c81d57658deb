//! What only Google Drive does: names that are taken twice, listings that lag, ids made beforehand.

use std::sync::atomic::Ordering;

use serde_json::json;
use soopervisor::storage::backend::{Created, Fault as Told, Made};

use crate::bench::{MIB, concat, create, keys, made, noise, open, read};
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
async fn chunks_go_with_a_token_and_a_session_goes_on_with_a_new_one() {
    for vendors_addresses in [false, true] {
        let fake = Fake::start().await;
        if vendors_addresses {
            fake.hand_out_vendors_addresses(DRIVE);
        }
        let (service, bytes) = (open(&fake, DRIVE, ""), noise(20 * MIB, 4));
        fake.fault(DRIVE, When::path("upload_id=").method("PUT").nth(2), Fault::Expired);
        made(&*service, "p/large", &bytes).await;
        assert!(fake.read(DRIVE, "p/large").unwrap() == bytes);
        // Sixteen MiB, the rest of them refused, and the rest once more.
        assert_eq!(fake.count(DRIVE, "PUT", "upload_id="), 3);
        assert_eq!(fake.count(DRIVE, "POST", "uploadType=resumable"), 1);
        assert_eq!(service.login.renewed.load(Ordering::SeqCst), 1);
    }
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
async fn of_files_that_two_made_under_one_name_each_is_read_and_removed_by_its_id() {
    let fake = Fake::start().await;
    let first = open(&fake, DRIVE, "");
    first.make_folders(&["p/c".to_owned()]).await.unwrap();
    // The second process sees the folder, and not what the first one puts into it.
    let second = open(&fake, DRIVE, "");
    assert!(keys(&*second, "p/c", true).await.is_empty());
    stale(&fake, 9);
    let theirs = made(&*first, "p/c/file", b"theirs").await.id.unwrap();
    let ours = made(&*second, "p/c/file", b"of us").await.id.unwrap();
    // Lagging is over.
    while fake.faults_left() > 0 {
        let _ = second.list("none", false).await;
    }
    let of = |id| Made { key: "p/c/file", id: Some(id) };
    let listed = second.list("p/c", true).await.unwrap();
    let ids: Vec<_> = listed.iter().filter_map(|meta| meta.id.as_deref()).collect();
    assert_eq!((ids.len(), ids[0] == theirs || ids[0] == ours), (2, true));
    for service in [&first, &second, &open(&fake, DRIVE, "")] {
        assert_eq!(concat(service.read_made(of(&theirs), 0).await.unwrap()).await, b"theirs");
        assert_eq!(concat(service.read_made(of(&ours), 2).await.unwrap()).await, b" us");
        assert_eq!(service.stat_made(of(&ours)).await.unwrap().unwrap().size, 5);
    }
    let copied = second.copy_made(of(&ours), "p/copy").await.unwrap();
    assert!(matches!(copied, Some(Created::Ours(_))), "{copied:?}");
    assert_eq!(fake.read(DRIVE, "p/copy").unwrap(), b"of us");
    second.remove_made(of(&ours)).await.unwrap();
    second.remove_made(of(&ours)).await.unwrap();
    assert_eq!(fake.read(DRIVE, "p/c/file").unwrap(), b"theirs");
    // What was copied elsewhere has another id; what is no id leads to nothing but the key.
    for id in ["gone", "..", "a/b?alt=media"] {
        assert_eq!(concat(second.read_made(of(id), 0).await.unwrap()).await, b"theirs", "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_manifests_written_at_once_one_wins_and_everybody_reads_that_one() {
    let fake = Fake::start().await;
    open(&fake, DRIVE, "").make_folders(&["p/c".to_owned()]).await.unwrap();
    let shared = open(&fake, DRIVE, "");
    let others = [open(&fake, DRIVE, ""), open(&fake, DRIVE, ""), open(&fake, DRIVE, "")];
    let writers = [&shared, &shared, &others[0], &others[1], &others[2]];
    let put = writers.iter().zip(0_u8..).map(|(service, at)| service.put("p/c/manifest.json", vec![at; 3].into()));
    let won: Vec<bool> = futures::future::try_join_all(put).await.unwrap();
    let winner = won.iter().position(|won| *won).expect("a winner");
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
    assert_eq!(fake.files(DRIVE).into_keys().collect::<Vec<_>>(), ["p/c/manifest.json"]);
    for service in writers {
        assert_eq!(read(&**service, "p/c/manifest.json", 0).await.unwrap(), vec![u8::try_from(winner).unwrap(); 3]);
    }
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

/// How many folders of that name are there.
async fn folders_named(fake: &Fake, name: &str) -> usize {
    let query = format!("name='{name}' and mimeType='application/vnd.google-apps.folder' and trashed=false");
    let request = reqwest::Client::new().get(format!("{}/drive/v3/files", fake.base(DRIVE))).query(&[("q", query)]);
    let answer = request.bearer_auth(fake.token(DRIVE)).send().await.unwrap();
    answer.json::<serde_json::Value>().await.unwrap()["files"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_folders_that_two_made_at_once_the_empty_one_goes_and_no_other() {
    let fake = Fake::start().await;
    fake.put(DRIVE, "p/older", b"x").await;
    let (winner, loser) = (open(&fake, DRIVE, ""), open(&fake, DRIVE, ""));
    let folders = ["p/c", "p/c/plots"].map(str::to_owned);
    // Neither sees what the other one makes.
    for service in [&winner, &loser] {
        assert!(service.stat("p/c").await.unwrap().is_none());
    }
    stale(&fake, 9);
    winner.make_folders(&folders).await.unwrap();
    loser.make_folders(&folders).await.unwrap();
    let stands = made(&*winner, "p/c/plots/a.png", b"theirs").await.id.unwrap();
    let gone = made(&*loser, "p/c/plots/a.png", b"of us").await.id.unwrap();
    while fake.faults_left() > 0 {
        let _ = loser.list("none", false).await;
    }
    assert_eq!((folders_named(&fake, "c").await, folders_named(&fake, "plots").await), (2, 2));
    let stands = [Made { key: "p/c/plots/a.png", id: Some(&stands) }];
    // As long as there is something in them, they stay; what others made stays in any case.
    loser.remove_seconds("p/c", &stands).await.unwrap();
    open(&fake, DRIVE, "").remove_seconds("p/c", &stands).await.unwrap();
    winner.remove_seconds("p/c", &stands).await.unwrap();
    assert_eq!((folders_named(&fake, "c").await, folders_named(&fake, "plots").await), (2, 2));
    loser.remove_made(Made { key: "p/c/plots/a.png", id: Some(&gone) }).await.unwrap();
    loser.remove_seconds("p/c", &stands).await.unwrap();
    assert_eq!((folders_named(&fake, "c").await, folders_named(&fake, "plots").await), (1, 1));
    assert_eq!(fake.read(DRIVE, "p/c/plots/a.png").unwrap(), b"theirs");
    assert_eq!(keys(&*open(&fake, DRIVE, ""), "p", true).await, ["p/c/", "p/c/plots/", "p/c/plots/a.png", "p/older"]);
    // The second one of the name is that of the winner's file where it happened to be written there.
    made(&*loser, "p/d/file", b"x").await;
    let theirs = made(&*loser, "p/d/other", b"y").await.id.unwrap();
    let file = loser.stat("p/d/file").await.unwrap().unwrap().id.unwrap();
    loser.remove_made(Made { key: "p/d/file", id: Some(&file) }).await.unwrap();
    stale(&fake, 1);
    loser.remove_seconds("p/d", &[Made { key: "p/d/other", id: Some(&theirs) }]).await.unwrap();
    assert_eq!(fake.read(DRIVE, "p/d/other").unwrap(), b"y");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_the_service_does_twice_makes_one() {
    let fake = Fake::start().await;
    fake.fault(DRIVE, When::path("/files").method("POST").times(1000), Fault::Twice);
    let service = open(&fake, DRIVE, "root");
    service.make_folders(&["p/a".to_owned()]).await.unwrap();
    made(&*service, "p/a/small", b"x").await;
    made(&*service, "p/a/empty", b"").await;
    made(&*service, "p/a/large", &noise(6 * MIB, 1)).await;
    assert!(service.put("p/manifest.json", bytes::Bytes::from_static(b"{}")).await.unwrap());
    service.replace("p/latest.json", bytes::Bytes::from_static(b"{}")).await.unwrap();
    let files: Vec<String> = fake.files(DRIVE).into_keys().collect();
    let names = ["p/a/empty", "p/a/large", "p/a/small", "p/latest.json", "p/manifest.json"];
    assert_eq!(files, names.map(|name| format!("root/{name}")), "a second one would be `name#2`");
    assert_eq!((folders_named(&fake, "p").await, folders_named(&fake, "a").await), (1, 1));
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
async fn a_shared_drive_has_room_however_full_the_users_own_is() {
    let fake = Fake::start().await;
    let (own, shared) = (folder(&fake, "root", "own").await, fake.give_away(DRIVE, "shared", false));
    fake.put(DRIVE, "own/there", &noise(1000, 1)).await;
    fake.set_quota(DRIVE, 1000);
    let service = open(&fake, DRIVE, &format!("id:{shared}/reports"));
    assert_eq!(service.space().await.unwrap().free, None);
    service.look_at_place().await.unwrap();
    made(&*service, "p/x", b"x").await;
    made(&*service, "p/large", &noise(6 * MIB, 1)).await;
    assert_eq!(fake.read(DRIVE, "shared/reports/p/x").unwrap(), b"x");
    // A folder of My Drive by its id takes the user's room.
    let mine = open(&fake, DRIVE, &format!("id:{own}"));
    assert_eq!(mine.space().await.unwrap().free, Some(0));
    assert_eq!(create(&*mine, "y", b"y").await.unwrap_err(), Told::Full);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_leads_to_no_folder_is_told_by_whoever_asks_first() {
    let fake = Fake::start().await;
    fake.put(DRIVE, "file", b"x").await;
    let file = fake.files(DRIVE)["file"].id.clone();
    let binned = folder(&fake, "root", "binned").await;
    fake.account(DRIVE).tree.trash(&binned);
    for id in ["NOSUCH", binned.as_str()] {
        let root = format!("id:{id}/reports");
        let anew = || open(&fake, DRIVE, &root);
        let made = anew().make_folders(&["p".to_owned()]).await;
        for told in [anew().look_at_place().await, made, anew().list("p", true).await.map(drop)] {
            let told = told.unwrap_err().to_string();
            assert!(told.contains(&format!("there is no folder with the id `{id}`")), "{told}");
            assert!(told.contains("`/folders/`"), "{told}");
        }
    }
    let told = open(&fake, DRIVE, &format!("id:{file}")).look_at_place().await.unwrap_err();
    assert!(told.to_string().contains("is no folder"), "{told}");
    let read_only = fake.give_away(DRIVE, "read-only", true);
    let told = open(&fake, DRIVE, &format!("id:{read_only}")).look_at_place().await.unwrap_err();
    assert!(matches!(told, Told::Forbidden(_)), "{told:?}");
    open(&fake, DRIVE, "reports/new").look_at_place().await.unwrap();
    assert_eq!(fake.files(DRIVE).len(), 1, "looking makes nothing");
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

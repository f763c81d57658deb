//! What only OneDrive does.

use std::sync::Arc;
use std::time::Duration;

use soopervisor::storage::backend::{Created, Fault as Told};

use crate::bench::{MIB, Memory, create_with, made, noise, open, read, uploads};
use crate::fake::{Drive, Fake, Fault, When};

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_session_that_is_not_known_everywhere_yet_is_waited_for() {
    let fake = Fake::start().await;
    let service = open(&fake, Drive::OneDrive, "");
    fake.fault(Drive::OneDrive, When::path("/up/").method("PUT").times(2), Fault::NotFound);
    made(&*service, "p/large", &noise(12 * MIB, 1)).await;
    assert_eq!(fake.count(Drive::OneDrive, "POST", "createUploadSession"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_is_begun_anew() {
    let fake = Fake::start().await;
    let service = open(&fake, Drive::OneDrive, "");
    fake.fault(Drive::OneDrive, When::path("/up/").method("PUT").nth(2), Fault::NotFound);
    let memory = Memory::default();
    let bytes = noise(25 * MIB, 1);
    create_with(&*service, "p/large", &bytes, &memory).await.unwrap();
    assert_eq!(fake.count(Drive::OneDrive, "POST", "createUploadSession"), 2);
    assert!(fake.read(Drive::OneDrive, "p/large").unwrap() == bytes);
    // What is remembered of one that is over does no harm either.
    let old = format!(r#"{{"uploadUrl": "{}/up/none"}}"#, fake.base(Drive::OneDrive));
    memory.kept.lock().unwrap().insert("p/other".to_owned(), old);
    let created = create_with(&*service, "p/other", &bytes, &memory).await.unwrap();
    assert!(matches!(created, Created::Ours(_)));
    assert!(memory.kept.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrived_when_we_were_killed_and_is_not_seen_at_once_is_not_sent_again() {
    let (fake, memory, bytes) = (Fake::start().await, Memory::default(), noise(12 * MIB, 1));
    fake.put(Drive::OneDrive, "p/large", &bytes).await;
    // Its last fragment made the file, and who sent it did not live to hear so: the session is over, and remembered.
    let over = format!(r#"{{"uploadUrl": "{}/up/over"}}"#, fake.base(Drive::OneDrive));
    memory.kept.lock().unwrap().insert("p/large".to_owned(), over);
    fake.fault(Drive::OneDrive, When::path("p/large").method("GET").times(2), Fault::NotFound);
    let created = create_with(&*open(&fake, Drive::OneDrive, ""), "p/large", &bytes, &memory).await.unwrap();
    assert!(matches!(&created, Created::Taken(Some(there)) if there.size == bytes.len() as u64), "{created:?}");
    assert_eq!(fake.count(Drive::OneDrive, "PUT", ""), 0, "no byte was sent");
    assert_eq!(fake.count(Drive::OneDrive, "POST", "createUploadSession"), 0, "nor was anything begun");
    assert!(memory.kept.lock().unwrap().is_empty());
    assert_eq!(fake.faults_left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_has_every_byte_is_given_time_to_become_a_file() {
    let (fake, memory, bytes) = (Fake::start().await, Arc::new(Memory::default()), Arc::new(noise(12 * MIB, 1)));
    fake.fault(Drive::OneDrive, When::path("/up/").method("PUT").nth(2), Fault::Slow(Duration::from_mins(1)));
    let service = Arc::clone(&open(&fake, Drive::OneDrive, "").service);
    let (kept, all) = (Arc::clone(&memory), Arc::clone(&bytes));
    let dying = tokio::spawn(async move { create_with(&*service, "p/large", &all, &*kept).await.map(drop) });
    while uploads(&fake, Drive::OneDrive) < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    dying.abort();
    let _ = dying.await;
    // The last fragment has arrived all the same, and what is made of it is not seen at once.
    for session in fake.account(Drive::OneDrive).sessions.values_mut() {
        session.size = bytes.len() as u64;
    }
    fake.put(Drive::OneDrive, "p/large", &bytes).await;
    fake.fault(Drive::OneDrive, When::path("p/large").method("GET").times(3), Fault::NotFound);
    let created = create_with(&*open(&fake, Drive::OneDrive, ""), "p/large", &bytes, &*memory).await.unwrap();
    assert!(matches!(created, Created::Ours(_)), "{created:?}");
    assert_eq!(uploads(&fake, Drive::OneDrive), 2, "nothing was sent again");
    assert_eq!(fake.count(Drive::OneDrive, "POST", "createUploadSession"), 1);
    assert!(memory.kept.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_which_the_service_says_that_it_is_there_is_looked_for_more_than_once() {
    let (fake, bytes) = (Fake::start().await, noise(12 * MIB, 1));
    fake.put(Drive::OneDrive, "p/theirs", &bytes).await;
    let service = open(&fake, Drive::OneDrive, "");
    fake.fault(Drive::OneDrive, When::path("p/theirs").method("GET").times(2), Fault::NotFound);
    let created = create_with(&*service, "p/theirs", &bytes, &Memory::default()).await.unwrap();
    assert!(matches!(&created, Created::Taken(Some(there)) if there.size == bytes.len() as u64), "{created:?}");
    // Ours: the answer to the last fragment was lost, the session is over, and the file is not seen at once.
    fake.fault(Drive::OneDrive, When::path("/up/").method("PUT").nth(2), Fault::NoAnswer);
    fake.fault(Drive::OneDrive, When::path("p/ours").method("GET").times(2), Fault::NotFound);
    let created = create_with(&*service, "p/ours", &bytes, &Memory::default()).await.unwrap();
    assert!(matches!(created, Created::Ours(_)), "{created:?}");
    assert_eq!(fake.count(Drive::OneDrive, "PUT", "/up/"), 2, "nothing was sent twice");
    assert_eq!((fake.files(Drive::OneDrive).len(), fake.faults_left()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn upload_addresses_are_asked_without_the_token() {
    // The fake refuses a token there.
    let fake = Fake::start().await;
    let service = open(&fake, Drive::OneDrive, "");
    made(&*service, "p/large", &noise(12 * MIB, 1)).await;
    assert_eq!(service.login.renewed.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_a_folder_too_new_for_some_of_the_servers_is_waited_for() {
    let fake = Fake::start().await;
    let service = open(&fake, Drive::OneDrive, "");
    let late = |method: &str, path: &str| {
        fake.fault(Drive::OneDrive, When::path(path).method(method).times(2), Fault::NotFound);
    };
    late("POST", "root:/p:/children");
    late("PUT", "p/c/small:/content");
    late("GET", "p/c/small:/content");
    late("POST", "p/c/large:/createUploadSession");
    late("PUT", "p/c/latest:/content");
    service.make_folders(&["p/c".to_owned()]).await.unwrap();
    made(&*service, "p/c/small", b"small").await;
    assert_eq!(read(&*service, "p/c/small", 0).await.unwrap(), b"small", "a file, too");
    made(&*service, "p/c/large", &noise(5 * MIB, 1)).await;
    service.replace("p/c/latest", bytes::Bytes::from_static(b"x")).await.unwrap();
    assert_eq!((fake.files(Drive::OneDrive).len(), fake.faults_left()), (3, 0));
    // What nobody told of is not there.
    late("PUT", "q/x:/content");
    assert_eq!(crate::bench::create(&*service, "q/x", b"x").await.unwrap_err(), Told::NotFound);
    assert_eq!(fake.count(Drive::OneDrive, "PUT", "q/x:/content"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_a_download_that_has_ended_is_asked_for_anew_once() {
    let (fake, bytes) = (Fake::start().await, noise(MIB, 3));
    let service = open(&fake, Drive::OneDrive, "");
    made(&*service, "p/a", &bytes).await;
    for fault in [Fault::Status(401), Fault::Status(403), Fault::NotFound, Fault::Status(410)] {
        fake.forget_requests();
        fake.fault(Drive::OneDrive, When::path("/dl/"), fault.clone());
        assert!(read(&*service, "p/a", 0).await.unwrap() == bytes, "{fault:?}");
        assert_eq!(fake.count(Drive::OneDrive, "GET", "p/a:/content"), 2, "{fault:?}");
    }
    fake.forget_requests();
    fake.fault(Drive::OneDrive, When::path("/dl/").times(99), Fault::Status(401));
    let told = read(&*service, "p/a", 0).await.unwrap_err();
    assert!(matches!(told, Told::Refused { status: 401, .. }) && !told.to_string().contains("token"), "{told}");
    assert_eq!(fake.count(Drive::OneDrive, "GET", "p/a:/content"), 2, "once");
    assert_eq!(service.login.renewed.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_applications_own_folder_is_a_place_too() {
    let fake = Fake::start().await;
    let service = open(&fake, Drive::OneDrive, "approot/reports");
    service.make_folders(&["p/a".to_owned()]).await.unwrap();
    made(&*service, "p/a/x.txt", b"x").await;
    made(&*service, "p/a/large", &noise(5 * MIB, 1)).await;
    assert_eq!(fake.read(Drive::OneDrive, "Apps/soopervisor/reports/p/a/x.txt").unwrap(), b"x");
    assert_eq!(crate::bench::keys(&*service, "p", true).await, ["p/a/", "p/a/large", "p/a/x.txt"]);
    assert_eq!(read(&*service, "p/a/x.txt", 0).await.unwrap(), b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_the_service_forbids_are_refused_with_its_words() {
    let fake = Fake::start().await;
    let service = open(&fake, Drive::OneDrive, "");
    let fault = service.put("p/CON", bytes::Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(&fault, Told::Refused { status: 400, words } if words.contains("invalidRequest")), "{fault:?}");
    let long = format!("p/{}", "x".repeat(service.traits().longest_key));
    assert!(matches!(service.put(&long, bytes::Bytes::new()).await, Err(Told::Refused { .. })), "names have 255");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_place_of_a_folder_is_told_before_anything_is_sent() {
    let fake = Fake::start().await;
    fake.put(Drive::OneDrive, "a/file", b"x").await;
    fake.put(Drive::OneDrive, "Apps/soopervisor/file", b"x").await;
    for root in ["a/file", "a/file/deeper/still", "approot/file"] {
        let told = open(&fake, Drive::OneDrive, root).look_at_place().await.unwrap_err();
        assert!(matches!(&told, Told::Setting(words) if words.contains("file` is a file")), "{root}: {told:?}");
    }
    for root in ["", "a", "a/new/er", "approot", "approot/new"] {
        open(&fake, Drive::OneDrive, root).look_at_place().await.unwrap();
    }
    assert_eq!(fake.files(Drive::OneDrive).len(), 2, "looking makes nothing");
}

//! Every storage that is no drive, held to one suite against real servers: moto (S3), Azurite (Azure Blob), an emulator of
//! Google Cloud Storage and one of our own that Google's library judges, rclone (WebDAV), OpenSSH (SFTP), a folder, and
//! memory. A server that is missing is a failure.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod careless;
#[path = "../fake_gcs/mod.rs"]
mod fake_gcs;
#[path = "../fixture_run/mod.rs"]
mod fixture_run;
mod gcs_conditions;
mod gcs_judged;
mod going_on;
mod pieces;
mod proxy;
mod races;
mod servers;
mod suite;
#[path = "../conformance/sweeping.rs"]
mod sweeping;
mod way;

use servers::{Server, folder_of_servers, free_port};
use soopervisor::storage::backend::{Fault, Shared};
use soopervisor::storage::stores::ObjectStore;
use soopervisor::storage::{Access, Location, Remotes, open};
use soopervisor::web::Reach;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// What is named, opened as the program opens it, with these variables.
fn opened(text: &str, set: Vec<(&'static str, String)>) -> Shared {
    let lookup = move |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let remotes = Remotes::new(Vec::new(), Arc::new(lookup));
    let location = Location::parse(text, Path::new("/"), &remotes).unwrap();
    let access = Access { reach: Reach::default(), remotes, state: std::env::temp_dir() };
    open::service(&location, &access).unwrap()
}

/// What broke off at a place that nobody used before goes when it is old, and never under a publisher.
async fn swept(open: impl Fn(&str) -> Shared + Sync, races: u32) {
    sweeping::what_broke_off_is_swept_when_it_is_old(&|| open("swept")).await;
    sweeping::publishers_and_pruners_at_once_lose_nothing(&|| open("races"), races).await;
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// No name of an unfinished file is left below a folder.
fn assert_nothing_unfinished(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.contains("soopervisor-part"), "{}", entry.path().display());
        if entry.file_type().unwrap().is_dir() {
            assert_nothing_unfinished(&entry.path());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_keeps_what_services_promise() {
    suite::all(&(Arc::new(ObjectStore::memory().unwrap()) as Shared), 1_200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_what_services_promise() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("with space");
    let store: Shared = Arc::new(ObjectStore::folder(root.clone()).unwrap());
    suite::all(&store, 1_200).await;
    let open = |name: &str| -> Shared { Arc::new(ObjectStore::folder(place.path().join(name)).unwrap()) };
    swept(open, 12).await;
    assert_nothing_unfinished(place.path());
}

/// What is set to get to S3 there.
fn s3_at(endpoint: &str) -> Vec<(&'static str, String)> {
    vec![
        ("SOOPERVISOR_S3_ENDPOINT", endpoint.to_owned()),
        ("SOOPERVISOR_S3_ACCESS_KEY_ID", "testing".to_owned()),
        ("SOOPERVISOR_S3_SECRET_ACCESS_KEY", "testing-secret".to_owned()),
    ]
}

/// S3 on that port.
fn moto(port: u16) -> Server {
    Server::start("moto", &folder_of_servers().join("venv/bin/moto_server"), &["-p", &port.to_string()], port)
}

/// The bucket `conformance` on that port, over a way on which who creates takes turns: moto looks whether a key is free and
/// gives it in two steps; S3 does not.
async fn bucket_in_turn(port: u16) -> String {
    let endpoint = format!("http://127.0.0.1:{}", proxy::Proxy::to(port).await.port);
    let made = reqwest::Client::new().put(format!("{endpoint}/conformance")).send().await.unwrap();
    assert!(made.status().is_success());
    endpoint
}

/// Google Cloud Storage in small, and what is set to get there.
async fn gcs_in_small() -> (fake_gcs::Gcs, Vec<(&'static str, String)>) {
    let fake = fake_gcs::Gcs::start().await;
    let set = vec![("SOOPERVISOR_GCS_ENDPOINT", fake.url()), ("SOOPERVISOR_GCS_TOKEN", "no token at all".to_owned())];
    (fake, set)
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_what_services_promise() {
    let port = free_port();
    let _server = moto(port);
    let endpoint = bucket_in_turn(port).await;
    let store = opened("s3://conformance/a place/é", s3_at(&endpoint));
    assert_eq!(store.place(), "s3://conformance/a place/é");
    suite::all(&store, 1_200).await;
    suite::what_was_made_is_known_again_until_somebody_writes_to_it(&store).await;
    swept(|name| opened(&format!("s3://conformance/{name}"), s3_at(&endpoint)), 8).await;
    let absent = opened("s3://no-such-bucket/x", s3_at(&endpoint)).space().await.unwrap_err();
    assert!(matches!(&absent, Fault::Setting(words) if words.contains("no such bucket")), "{absent:?}");
    let closed = format!("http://127.0.0.1:{}", free_port());
    let client = opened("s3://conformance", s3_at(&closed));
    let waiting = tokio::time::timeout(std::time::Duration::from_mins(2), client.space());
    let unreachable = waiting.await.unwrap().unwrap_err();
    assert!(matches!(unreachable, Fault::Broken(_)), "{unreachable:?}");
    assert!(!format!("{unreachable} {unreachable:?}").contains("testing"), "{unreachable:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_keeps_what_services_promise() {
    let port = free_port();
    let _server = servers::azurite(Server::start, port);
    let set = servers::container(port, "conformance").into();
    let service = opened("az://conformance/a place", set);
    suite::all(&service, 300).await;
    suite::what_was_made_is_known_again_until_somebody_writes_to_it(&service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_cloud_storage_keeps_what_services_promise() {
    let (fake, set) = gcs_in_small().await;
    let service = opened("gs://conformance/a place/é", set.clone());
    suite::all(&service, 1_200).await;
    suite::what_was_made_is_known_again_until_somebody_writes_to_it(&service).await;
    swept(|name| opened(&format!("gs://conformance/{name}"), set.clone()), 8).await;
    assert!(fake.names().iter().all(|name| !name.contains(".soopervisor-part")), "{:?}", fake.names());
    let absent = opened("gs://no-such-bucket/x", set).space().await.unwrap_err();
    assert!(matches!(&absent, Fault::Setting(words) if words.contains("no such bucket")), "{absent:?}");
}

/// What a service says of a key holds its name, which may read like something else.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_reads_like_an_error_is_none() {
    let (_fake, set) = gcs_in_small().await;
    let service = opened("gs://conformance/a place", set);
    for name in ["credentials/c/manifest.json", "p/c/credential scores.csv", "p/c/InvalidToken.json"] {
        assert_eq!(service.stat(name).await, Ok(None), "{name}");
    }
}

/// Somebody else's emulator, of which less can be asked.
#[tokio::test(flavor = "multi_thread")]
async fn google_cloud_storage_gives_back_what_it_was_given() {
    let port = free_port();
    let program = folder_of_servers().join("venv/bin/gcp-storage-emulator");
    let arguments =
        ["start", "--host", "127.0.0.1", "--port", &port.to_string(), "--in-memory", "--default-bucket", "conformance"];
    let _server = Server::start("gcp-storage-emulator", &program, &arguments, port);
    let set = vec![
        ("SOOPERVISOR_GCS_ENDPOINT", format!("http://127.0.0.1:{port}")),
        ("SOOPERVISOR_GCS_TOKEN", "no token at all".to_owned()),
    ];
    // The emulator ignores `ifGenerationMatch`, and knows no uploads in parts: see `gcs_conditions`.
    suite::without_conditions(&opened("gs://conformance/a place", set)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webdav_keeps_what_services_promise() {
    let (port, place) = (free_port(), tempfile::tempdir().unwrap());
    let address = format!("127.0.0.1:{port}");
    let root = place.path().to_str().unwrap();
    let arguments =
        ["serve", "webdav", root, "--addr", &address, "--user", "me", "--pass", "let-me-in", "--config", "/dev/null"];
    let _server = Server::start("rclone", Path::new("rclone"), &arguments, port);
    let with = |password: &str| {
        vec![("SOOPERVISOR_WEBDAV_USER", "me".to_owned()), ("SOOPERVISOR_WEBDAV_PASSWORD", password.to_owned())]
    };
    let written = format!("webdav://{address}/a place/é");
    let service = opened(&written, with("let-me-in"));
    suite::all(&service, 100).await;
    suite::what_was_made_is_known_again_until_somebody_writes_to_it(&service).await;
    suite::what_an_earlier_try_left_goes_with_the_next(&service, &place.path().join("a place/é")).await;
    swept(|name| opened(&format!("webdav://{address}/{name}"), with("let-me-in")), 8).await;
    assert_nothing_unfinished(place.path());
    let refused = opened(&written, with("hunter2")).space().await.unwrap_err();
    assert!(matches!(refused, Fault::Login(_)), "{refused:?}");
    assert!(!format!("{refused} {refused:?} {:?}", opened(&written, with("hunter2"))).contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sftp_keeps_what_services_promise() {
    let (port, place) = (free_port(), tempfile::tempdir().unwrap());
    let daemon = servers::sshd(place.path(), port);
    let file = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let set = |key: &str| {
        vec![
            ("SOOPERVISOR_SFTP_KEY", file(key)),
            ("SOOPERVISOR_SFTP_KNOWN_HOSTS", file("known_hosts")),
            ("SOOPERVISOR_SFTP_SSH_CONFIG", "/dev/null".to_owned()),
        ]
    };
    let root = place.path().join("a place");
    let written = format!("sftp://127.0.0.1:{port}{}", root.display());
    let service = opened(&written, set("user"));
    suite::all(&service, 300).await;
    suite::what_was_made_is_known_again_until_somebody_writes_to_it(&service).await;
    suite::what_an_earlier_try_left_goes_with_the_next(&service, &root).await;
    assert!(service.traits().create_only, "OpenSSH links");
    assert!(service.space().await.unwrap().free.is_some());
    // More connections at once than these are turned away before anybody is let in.
    let at = |name: &str| format!("sftp://127.0.0.1:{port}{}", place.path().join(name).display());
    swept(|name| opened(&at(name), set("user")), 4).await;
    assert_nothing_unfinished(&root);
    let refused = opened(&written, set("stranger")).space().await.unwrap_err();
    assert!(matches!(refused, Fault::Login(_)), "{refused:?}");
    drop(daemon);
}

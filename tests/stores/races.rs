//! Publishers of one commit at once, each with connections of its own and other bytes of the same length: one wins, all
//! of its files are its own, nothing of the others is left, and they say so.

use std::path::Path;
use std::sync::Arc;

use soopervisor::plan::OnConflict;
use soopervisor::storage::backend::Shared;
use soopervisor::storage::remote::Remote;
use soopervisor::storage::verify::verify;
use soopervisor::storage::{PublishOutcome, Storage, StorageError};

use crate::careless::Careless;
use crate::fixture_run::{Run, folder, project};
use crate::servers::{self, Server, free_port};
use crate::{assert_nothing_unfinished, bucket_in_turn, gcs_in_small, moto, opened, s3_at, suite, swept};

const PUBLISHERS: usize = 4;
const FILES: usize = 6;

/// One race at a place that nobody used before.
async fn one_wins(open: impl Fn() -> Shared) {
    let publishers: Vec<(Run, Remote)> = (0..PUBLISHERS)
        .map(|at| {
            let run = Run::new();
            for name in 0..FILES {
                run.product(format!("data/{name}.txt"), format!("of {at}"));
            }
            let remote = Remote::new(open(), Some(run.path("state")));
            (run, remote)
        })
        .collect();
    let publish = publishers.iter().enumerate().map(|(at, (run, remote))| async move {
        remote.publish(run.publication(&format!("run-{at}"), OnConflict::Fail), Arc::new(())).await
    });
    let ended = futures::future::join_all(publish).await;
    let won: Vec<usize> = (0..PUBLISHERS).filter(|at| ended[*at].is_ok()).collect();
    assert_eq!(won.len(), 1, "one wins: {ended:?}");
    for result in &ended {
        match result {
            Ok(published) => assert_eq!(published.outcome, PublishOutcome::Created),
            Err(error) => assert!(matches!(error, StorageError::Conflict { .. }), "the others say so: {error:?}"),
        }
    }
    let (_, reader) = &publishers[0];
    let manifest = reader.manifest(&project(), &folder()).await.unwrap();
    assert_eq!(manifest.about.run.to_string(), format!("run-{}", won[0]));
    let report = verify(reader, &project(), &folder(), &()).await.unwrap();
    assert!(report.is_sound(), "all of its files are its own, and no others are left: {report:?}");
    assert_eq!(manifest.files.iter().filter(|entry| entry.size == 4).count(), FILES);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_publishers_at_once_one_wins_on_rclones_webdav() {
    let (port, place) = (free_port(), tempfile::tempdir().unwrap());
    let address = format!("127.0.0.1:{port}");
    let arguments = ["serve", "webdav", place.path().to_str().unwrap(), "--addr", &address, "--config", "/dev/null"];
    let _server = Server::start("rclone", Path::new("rclone"), &arguments, port);
    for race in 0..4 {
        one_wins(|| opened(&format!("webdav://{address}/race-{race}"), Vec::new())).await;
    }
    assert_nothing_unfinished(place.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_publishers_at_once_one_wins_on_a_webdav_server_that_lets_two_move_to_one_name() {
    let (server, address) = Careless::start().await;
    for race in 0..6 {
        one_wins(|| opened(&format!("webdav://{address}/race-{race}"), Vec::new())).await;
    }
    // Pointers are written over by whoever comes last; nothing else was.
    assert_eq!(server.lost(), 0, "no file was ever written over another");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_broke_off_is_swept_on_a_webdav_server_that_lets_two_move_to_one_name() {
    let (server, address) = Careless::start().await;
    swept(|name| opened(&format!("webdav://{address}/{name}"), Vec::new()), 8).await;
    assert_eq!(server.lost(), 0, "no file was ever written over another");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_careless_server_does_let_two_through() {
    let (server, address) = Careless::start().await;
    let web = reqwest::Client::new();
    for name in ["a", "b"] {
        web.put(format!("http://{address}/{name}")).body(name).send().await.unwrap();
    }
    server.lets_meet(2);
    let give = async |from: &str| {
        let method = reqwest::Method::from_bytes(b"MOVE").unwrap();
        let request = web.request(method, format!("http://{address}/{from}"));
        let request = request.header("Destination", format!("http://{address}/to")).header("Overwrite", "F");
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(futures::join!(give("a"), give("b")), (201, 201));
    assert_eq!(server.lost(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_publishers_at_once_one_wins_on_openssh() {
    let (port, place) = (free_port(), tempfile::tempdir().unwrap());
    let _daemon = servers::sshd(place.path(), port);
    for race in 0..3 {
        let root = place.path().join(format!("race-{race}"));
        one_wins(|| over_ssh(place.path(), port, root.to_str().unwrap())).await;
        assert_nothing_unfinished(&root);
    }
}

/// Ten at a time, as on Google Drive.
const RACES: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn of_publishers_at_once_one_wins_on_s3() {
    let port = free_port();
    let _server = moto(port);
    let endpoint = bucket_in_turn(port).await;
    let one = |race: usize| {
        let set = s3_at(&endpoint);
        async move { one_wins(|| opened(&format!("s3://conformance/race-{race}"), set.clone())).await }
    };
    futures::future::join_all((0..RACES).map(one)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_publishers_at_once_one_wins_on_azure() {
    let port = free_port();
    let _server = servers::azurite(Server::start, port);
    let set = Vec::from(servers::container(port, "conformance"));
    let one = |race: usize| {
        let set = set.clone();
        async move { one_wins(|| opened(&format!("az://conformance/race-{race}"), set.clone())).await }
    };
    futures::future::join_all((0..RACES).map(one)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_publishers_at_once_one_wins_on_google_cloud_storage() {
    let (fake, set) = gcs_in_small().await;
    let one = |race: usize| {
        let set = set.clone();
        async move { one_wins(|| opened(&format!("gs://conformance/race-{race}"), set.clone())).await }
    };
    futures::future::join_all((0..RACES).map(one)).await;
    let manifests = fake.names().iter().filter(|name| name.ends_with("/manifest.json")).count();
    assert_eq!(manifests, RACES, "{:?}", fake.names());
}

/// Its answer to a link is that all is well, and it made none.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_says_that_it_links_loses_nothing() {
    let (port, place) = (free_port(), tempfile::tempdir().unwrap());
    let address = format!("127.0.0.1:{port}");
    servers::keys(place.path(), port);
    let file = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let served = place.path().join("served");
    std::fs::create_dir(&served).unwrap();
    let arguments = [
        "serve",
        "sftp",
        served.to_str().unwrap(),
        "--addr",
        &address,
        "--user",
        "me",
        "--authorized-keys",
        &file("authorized"),
        "--key",
        &file("host"),
        "--config",
        "/dev/null",
    ];
    let _server = Server::start("rclone", Path::new("rclone"), &arguments, port);
    let open = |root: &str| over_ssh_as("me@", place.path(), port, root);
    // It puts off renaming a file that is still open, so that one of many was missing now and then.
    for round in 0..5 {
        nothing_is_lost(&open(&format!("/a place/{round}"))).await;
    }
    // It takes little at a time, and no byte before those that come before it in the file.
    suite::large_files_come_back(&open("/large")).await;
    assert_nothing_unfinished(&served);
}

async fn nothing_is_lost(service: &Shared) {
    let run = Run::new();
    for name in 0..FILES * 4 {
        run.product(format!("data/{name}.txt"), "whole");
    }
    let remote = Remote::new(Arc::clone(service), None);
    for outcome in [PublishOutcome::Created, PublishOutcome::Identical] {
        let published = remote.publish(run.publication("first", OnConflict::Fail), Arc::new(())).await.unwrap();
        assert_eq!(published.outcome, outcome);
    }
    let report = verify(&remote, &project(), &folder(), &()).await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert!(!service.traits().create_only, "it cannot tell two from each other");
    run.product("data/0.txt", "other");
    let conflict = remote.publish(run.publication("second", OnConflict::Fail), Arc::new(())).await;
    assert!(matches!(conflict, Err(StorageError::Conflict { .. })), "{conflict:?}");
}

fn over_ssh(keys: &Path, port: u16, root: &str) -> Shared {
    over_ssh_as("", keys, port, root)
}

fn over_ssh_as(user: &str, keys: &Path, port: u16, root: &str) -> Shared {
    let file = |name: &str| keys.join(name).to_str().unwrap().to_owned();
    let set = vec![
        ("SOOPERVISOR_SFTP_KEY", file("user")),
        ("SOOPERVISOR_SFTP_KNOWN_HOSTS", file("known_hosts")),
        ("SOOPERVISOR_SFTP_SSH_CONFIG", "/dev/null".to_owned()),
    ];
    opened(&format!("sftp://{user}127.0.0.1:{port}{root}"), set)
}

//! Two commits of one repository, from the first run to the removal of the older one.

use std::path::Path;

use crate::fake::{Drive, Fake};
use crate::servers::{self, Server, folder_of_servers, free_port};
use crate::support::User;
use crate::way::Way;
use crate::{Place, run};

/// Large enough that a service copies it rather than having it sent again.
const LARGE: usize = 9 * 1024 * 1024;

const PIPELINE: &str = "tasks:\n  - source: large.make\n    name: large\n    product: output/large.bin\n  - source: small.make\n    product: products/small table.csv\n";
const LARGE_TASK: &str = "from pathlib import Path\n\ndef make(product):\n    Path(product).write_bytes(bytes(n * n % 251 for n in range(1024)) * (9 * 1024))\n";

fn small_task(word: &str) -> String {
    format!(
        "from pathlib import Path\n\ndef make(product, upstream):\n    size = Path(upstream['large']).stat().st_size\n    \
         Path(product).write_text(f'{word},{{size}}\\n')\n"
    )
}

fn user() -> User {
    User::with(&[("pipeline.yaml", PIPELINE), ("large.py", LARGE_TASK), ("small.py", &small_task("first"))])
}

/// Everything that a user does with a storage. `between` is told when the second commit is about to run.
fn live(place: &Place, between: impl FnOnce(), copied: impl FnOnce()) {
    let user = user();
    let first = user.git(&["rev-parse", "HEAD"]);
    let project = ["--project", "demo"];
    let say = |words: &[&str]| place.say(&user, &[words, &project].concat());
    place.say(&user, &["doctor"]).exits(0).says("can be written");
    say(&["run", "my repo"]).exits(0).says("published");
    say(&["verify", &first[..10]]).exits(0).says("as the manifest says");
    say(&["download", "main", "--to", "got"]).exits(0);
    let got = user.repo().with_file_name("got");
    assert_eq!(std::fs::read(got.join("output/large.bin")).unwrap().len(), LARGE);
    let text = std::fs::read_to_string(got.join("products/small table.csv")).unwrap();
    assert_eq!(text, format!("first,{LARGE}\n"));

    user.write("small.py", &small_task("second"));
    let second = user.commit("second");
    between();
    say(&["run", "my repo"]).exits(0).says("published");
    copied();
    say(&["verify", "latest"]).exits(0);
    say(&["download", &second, "*.csv", "--to", "some"]).exits(0).says("1 file,");
    let text = std::fs::read_to_string(user.repo().with_file_name("some").join("products/small table.csv")).unwrap();
    assert_eq!(text, format!("second,{LARGE}\n"));

    say(&["prune", "--keep-last", "1", "--dry-run"]).exits(0).says(&first).says("would");
    say(&["verify", &first]).exits(0);
    say(&["prune", "--keep-last", "1", "--yes"]).exits(0).says(&first).says("removed");
    say(&["verify", &first]).exits(7);
    say(&["verify", &second]).exits(0).says("as the manifest says");
}

async fn on_drive(drive: Drive) {
    let fake = Fake::start().await;
    fake.put(drive, "of the user.txt", b"not ours").await;
    let place = Place::on(&fake, drive);
    let before = std::cell::Cell::new(0);
    live(
        &place,
        || before.set(fake.received(drive)),
        || {
            let sent = fake.received(drive) - before.get();
            assert!(
                sent < LARGE as u64 / 2,
                "{drive:?}: the large file was copied by the service, and {sent} bytes sent"
            );
        },
    );
    let names = fake.names(drive);
    assert_eq!(names.iter().filter(|name| name.ends_with("manifest.json")).count(), 1, "{names:?}");
    assert!(names.iter().all(|name| !name.contains("doctor") && !name.contains('#')), "{names:?}");
    assert_eq!(fake.read(drive, "of the user.txt").unwrap(), b"not ours");
    assert_eq!(fake.open_sessions(drive), 0);
    who_is_not_let_in_is_told_what_to_type(&fake, drive);
}

fn who_is_not_let_in_is_told_what_to_type(fake: &Fake, drive: Drive) {
    let mut place = Place::on(fake, drive);
    "no-token-of-this-service".clone_into(&mut place.set[1].1);
    let user = User::with(&[]);
    let said = place.say(&user, &["doctor"]).exits(7).says("help:").hides("no-token-of-this-service");
    assert!(said.text.contains("auth login") || said.text.contains("ACCESS_TOKEN"), "{}", said.text);
    fake.set_quota(drive, 1);
    let full = Place::on(fake, drive).say(&user, &["doctor"]).exits(7);
    assert!(full.text.contains("room"), "{}", full.text);
    // A run is told so before its pipeline: of what that makes, which would take more, nothing is known yet.
    let told = Place::on(fake, drive).say(&self::user(), &["run", "my repo", "--project", "demo"]);
    told.exits(7).says("has 0 B free, 1.0 kB are needed").says("soopervisor prune");
}

#[tokio::test(flavor = "multi_thread")]
async fn box_has_two_commits_and_then_one() {
    on_drive(Drive::Box).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropbox_has_two_commits_and_then_one() {
    on_drive(Drive::Dropbox).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn onedrive_has_two_commits_and_then_one() {
    on_drive(Drive::OneDrive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_drive_has_two_commits_and_then_one() {
    on_drive(Drive::GDrive).await;
}

/// [`live`] on a server that copies by itself: of the second commit the large file is not sent.
fn live_copying(place: &Place, way: &Way) {
    let before = std::cell::Cell::new(0);
    let copied = || {
        let sent = way.all() - before.get();
        assert!(sent < LARGE as u64 / 2, "the large file was copied by the server, and {sent} bytes sent");
    };
    live(place, || before.set(way.all()), copied);
    assert!(before.get() >= LARGE as u64, "the first time it was sent");
}

fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_has_two_commits_and_then_one() {
    let port = free_port();
    let program = folder_of_servers().join("venv/bin/moto_server");
    let _server = Server::start("moto", &program, &["-p", &port.to_string()], port);
    let made = reqwest::Client::new().put(format!("http://127.0.0.1:{port}/results")).send().await.unwrap();
    assert!(made.status().is_success());
    let way = Way::to(port, u64::MAX).await;
    let set = set(&[
        ("SOOPERVISOR_S3_ENDPOINT", &format!("http://127.0.0.1:{}", way.port)),
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing-secret"),
    ]);
    live_copying(&Place { storage: "s3://results/some place".to_owned(), set }, &way);
}

#[tokio::test(flavor = "multi_thread")]
async fn webdav_has_two_commits_and_then_one() {
    let (port, place) = (free_port(), tempfile::tempdir().unwrap());
    let (address, root) = (format!("127.0.0.1:{port}"), place.path().to_str().unwrap());
    let words =
        ["serve", "webdav", root, "--addr", &address, "--user", "me", "--pass", "let-me-in", "--config", "/dev/null"];
    let _server = Server::start("rclone", Path::new("rclone"), &words, port);
    let set = set(&[("SOOPERVISOR_WEBDAV_USER", "me"), ("SOOPERVISOR_WEBDAV_PASSWORD", "let-me-in")]);
    let way = Way::to(port, u64::MAX).await;
    live_copying(&Place { storage: format!("webdav://127.0.0.1:{}/some place", way.port), set }, &way);
}

#[tokio::test(flavor = "multi_thread")]
async fn sftp_has_two_commits_and_then_one() {
    let (port, place) = (free_port(), tempfile::tempdir().unwrap());
    let _server = servers::sshd(place.path(), port);
    let file = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    run("mkdir", &[&file("root")]);
    let set = set(&[
        ("SOOPERVISOR_SFTP_KEY", &file("user")),
        ("SOOPERVISOR_SFTP_KNOWN_HOSTS", &file("known_hosts")),
        ("SOOPERVISOR_SFTP_SSH_CONFIG", "/dev/null"),
    ]);
    let (way, host) = (Way::to(port, u64::MAX).await, std::fs::read_to_string(file("host.pub")).unwrap());
    std::fs::write(file("known_hosts"), format!("[127.0.0.1]:{} {host}", way.port)).unwrap();
    live_copying(&Place { storage: format!("sftp://127.0.0.1:{}{}", way.port, file("root")), set }, &way);
}

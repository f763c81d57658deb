//! Where tokens come from: variables go before the file, in the order that is written down.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fake::{Drive, Fault, When};
use crate::place::{Place, SECRET, finished};

fn source(place: &Place, command: &mut Command) -> Value {
    let said = finished(command.output().unwrap());
    place.search(&said);
    let status: Value = serde_json::from_str(&said.out).unwrap();
    let row = status["remotes"][0].clone();
    assert_eq!(row["logged_in"], true, "{row}");
    row["source"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_go_before_the_file_access_tokens_first() {
    let place = Place::new().await;
    let words = ["auth", "status", "dropbox", "--json"];
    place.keep(Drive::Dropbox, &place.fake.tokens(Drive::Dropbox), i64::MAX);
    assert_eq!(source(&place, &mut place.command(&words)), "tokens.json");
    let pair = place.fake.tokens(Drive::Dropbox);
    let mut command = place.command(&words);
    command.env("SOOPERVISOR_DROPBOX_REFRESH_TOKEN", &pair.refresh);
    assert_eq!(source(&place, &mut command), "SOOPERVISOR_DROPBOX_REFRESH_TOKEN");
    command.env("SOOPERVISOR_DROPBOX_ACCESS_TOKEN", &pair.access);
    assert_eq!(source(&place, &mut command), "SOOPERVISOR_DROPBOX_ACCESS_TOKEN");
    command.env("SOOPERVISOR_DROPBOX_ACCESS_TOKEN", "");
    assert_eq!(source(&place, &mut command), "SOOPERVISOR_DROPBOX_REFRESH_TOKEN");
    let before = place.kept();
    assert_eq!(before["remotes"].as_object().unwrap().len(), 1, "variables leave the file alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_access_token_that_ended_is_named_by_its_variable() {
    let place = Place::new().await;
    let mut command = place.command(&["auth", "status", "box"]);
    let said = finished(command.env("SOOPERVISOR_BOX_ACCESS_TOKEN", "box-access-00000000").output().unwrap());
    place.search(&said);
    assert!(said.code == 7 && said.err.contains("SOOPERVISOR_BOX_ACCESS_TOKEN is no longer taken"), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_use_token_in_a_variable_lives_on_where_files_are_kept() {
    let place = Place::new().await;
    let pair = place.fake.tokens(Drive::Box);
    let mut command = place.command(&["auth", "status", "box", "--json"]);
    command.env("SOOPERVISOR_BOX_REFRESH_TOKEN", &pair.refresh);
    for _ in 0..2 {
        assert_eq!(source(&place, &mut command), "SOOPERVISOR_BOX_REFRESH_TOKEN");
        place.fake.expire_tokens(Drive::Box);
    }
    assert_eq!(place.fake.count(Drive::Box, "POST", "/oauth2/token"), 2);
    let warned = finished(command.output().unwrap());
    assert!(warned.out.contains("takes each refresh token once"), "{}", warned.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn box_in_ci_logs_in_by_client_credentials() {
    let place = Place::new().await;
    let mut command = place.command(&["auth", "status", "box", "--json"]);
    command.env("SOOPERVISOR_BOX_BOX_SUBJECT_TYPE", "enterprise").env("SOOPERVISOR_BOX_BOX_SUBJECT_ID", "77");
    assert_eq!(source(&place, &mut command), "client credentials, enterprise 77");
    assert!(!place.tokens().exists(), "there is nothing to keep");
    let mut half = place.command(&["auth", "status", "box"]);
    let said = finished(half.env("SOOPERVISOR_BOX_SUBJECT_TYPE", "everybody").output().unwrap());
    assert!(said.code == 7 && said.err.contains("must be `enterprise` or `user`"), "{} {}", said.code, said.err);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_ask_for_a_pause_are_told_by_status_and_not_waited_for() {
    let place = Place::new().await;
    let mut command = place.command(&["auth", "status"]);
    for drive in Drive::ALL {
        let variable = format!("SOOPERVISOR_{}_ACCESS_TOKEN", drive.prefix().to_uppercase());
        command.env(variable, place.fake.tokens(drive).access);
        place.fake.fault(drive, When::path("").times(1000), Fault::TooMany(Some(600)));
    }
    let begun = Instant::now();
    let said = finished(command.output().unwrap());
    place.search(&said);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let told = said.err.matches("not told: the service asks to wait 10 min").count();
    assert_eq!((said.code, told), (7, 4), "{}{}", said.out, said.err);
    // So is a pause before the token can be renewed.
    place.keep(Drive::Box, &place.fake.tokens(Drive::Box), 0);
    let begun = Instant::now();
    let said = place.run(&["auth", "status", "box"]);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(said.code == 7 && said.err.contains("asks to wait 10 min"), "{}{}", said.out, said.err);
    let status = place.status(Drive::Box);
    assert!(status["logged_in"].is_null(), "nobody knows: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_takes_its_time_is_waited_for_by_status_in_the_open() {
    let place = Place::new().await;
    place.keep(Drive::Box, &place.fake.tokens(Drive::Box), 0);
    place.fake.fault(Drive::Box, When::path("/users/me"), Fault::Slow(Duration::from_secs(8)));
    let says = "box: waiting for the service's answer\n";
    let said = place.run(&["auth", "status", "box"]);
    assert!(said.code == 0 && said.err.contains(says), "{}{}", said.out, said.err);
    let said = place.run(&["auth", "status", "box"]);
    assert!(said.code == 0 && !said.err.contains(says), "{}{}", said.out, said.err);
}

/// The settings of an app with a key that openssl made and encrypted.
fn settings(cipher: &[&str]) -> String {
    let openssl = |words: &[&str], input: &[u8]| {
        use std::io::Write;
        let mut command = Command::new("openssl");
        command.args(words).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.stderr(std::process::Stdio::null()).spawn().expect("openssl is needed for this test");
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap().stdout
    };
    let key = openssl(&["genrsa", "2048"], b"");
    let key = openssl(&[&["pkcs8", "-topk8", "-passout", "pass:opens-it"], cipher].concat(), &key);
    json!({
        "boxAppSettings": {"clientID": "id", "clientSecret": SECRET, "appAuth": {
            "publicKeyID": "k", "privateKey": String::from_utf8(key).unwrap(), "passphrase": "opens-it",
        }},
        "enterpriseID": "77",
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn box_in_ci_logs_in_by_a_jwt_from_a_text_or_a_file() {
    let place = Place::new().await;
    let text = settings(&["-v2", "aes-256-cbc"]);
    let mut command = place.command(&["auth", "status", "box", "--json"]);
    assert_eq!(source(&place, command.env("SOOPERVISOR_BOX_JWT_CONFIG", &text)), "JWT, enterprise 77");
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), &text).unwrap();
    assert_eq!(source(&place, command.env("SOOPERVISOR_BOX_JWT_CONFIG", outside.path())), "JWT, enterprise 77");
    // The first is what Box's console makes.
    for cipher in [["-v2", "des3", "-v2prf", "hmacWithSHA1"], ["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1"]] {
        let text = settings(&cipher);
        assert_eq!(source(&place, command.env("SOOPERVISOR_BOX_JWT_CONFIG", &text)), "JWT, enterprise 77");
    }
    let said = finished(command.env("SOOPERVISOR_BOX_JWT_CONFIG", "{\"clientSecret\": \"hunter2\"}").output().unwrap());
    assert!(said.out.contains("holds no settings of a Box app") && !said.out.contains("hunter2"), "{}", said.out);
}

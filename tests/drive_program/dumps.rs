//! Whatever verb holds a token keeps its memory out of core dumps.

use std::process::Stdio;
use std::time::Duration;

use crate::Place;
use crate::fake::{Drive, Fake, Fault, When};
use crate::support::{User, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn no_verb_that_holds_a_token_can_be_dumped() {
    let user = User::with(&[("pipeline.yaml", "tasks:\n  - source: a.py\n    product: a.ipynb\n"), ("a.py", "1\n")]);
    for words in [
        &["run", "my repo"][..],
        &["verify", "latest", "--project", "demo"],
        &["download", "latest", "--project", "demo", "--to", "got"],
        &["prune", "--keep-last", "1", "--dry-run", "--project", "demo"],
        &["doctor"],
    ] {
        let fake = Fake::start().await;
        let place = Place::on(&fake, Drive::Box);
        fake.fault(Drive::Box, When::path("/").times(99), Fault::Slow(Duration::from_mins(1)));
        let mut command = place.program(&user, words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        tokio::task::block_in_place(|| {
            eventually(60, "the service is asked", || !fake.requests().is_empty());
            let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
            let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
            let bounds: Vec<&str> = line["Max core file size".len()..].split_whitespace().take(2).collect();
            assert_eq!(bounds, ["0", "0"], "{words:?}");
        });
    }
}

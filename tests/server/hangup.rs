//! SIGHUP, sent to the built program: the file is read again, also where nothing about it looks changed.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::git::Forge;
use super::process::{Running, ledger};
use super::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_has_the_file_read_again_also_when_it_looks_as_it_was() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let file = home.path().join("server.yaml");
    let text = |handler: &str| {
        format!(
            "repos:\n  - {{url: '{}', poll: 1s, storage: 'local:/nowhere'}}\nhandlers:\n  - {{name: {handler}, on: push, do: {{log: \
             {{text: noted}}}}}}\n",
            forge.url()
        )
    };
    std::fs::write(&file, text("first")).unwrap();
    let server = Running::of_file(home.path(), &file);
    let database = ledger(home.path()).await;
    until("the first reading", || async { database.repo("acme/churn").await.is_ok_and(|repo| repo.read_at.is_some()) })
        .await;
    // As long as before, in the same place, as old as before.
    let written = std::fs::File::options().write(true).open(&file).unwrap();
    let age = written.metadata().unwrap().modified().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&written, text("other").as_bytes(), 0).unwrap();
    written.set_modified(age).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let done = async |commit: &str| {
        let sha = forge.commit("main", commit);
        let event = async || {
            let events = database.events(None, 50).await.unwrap();
            events.into_iter().find(|event| event.new.new_sha.as_ref() == Some(&sha) && event.state == "handled")
        };
        until("the push is handled", || async { event().await.is_some() }).await;
        let id = event().await.unwrap().id;
        let of = async |handler: &str| !database.action_results(id, handler).await.unwrap().is_empty();
        (of("first").await, of("other").await)
    };
    assert_eq!(done("one").await, (true, false), "nobody looked");
    kill_process(Pid::from_child(&server.child), Signal::HUP).unwrap();
    // It counts a moment later.
    for pushes in 1.. {
        let which = done(&format!("after {pushes}")).await;
        if which == (false, true) {
            break;
        }
        assert!(which == (true, false) && pushes < 20, "{which:?}");
    }
}

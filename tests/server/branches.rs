//! Branches that go, come back, and are called otherwise, seen by the built program.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use soopervisor::store::database::{Database, Event, Run, RunFilter, RunState};

use super::git::Forge;
use super::process::{Running, ask, ledger};
use super::until;

/// A server that queues runs and works on none, and has read the repository once.
async fn queueing(home: &Path, forge: &Forge) -> (Running, Database) {
    let file: PathBuf = home.join("server.yaml");
    let text = format!(
        "server: {{workers: 0}}\nrepos:\n  - {{url: '{}', poll: 1s, storage: 'local:/nowhere'}}\nhandlers:\n  - {{name: build, on: \
         push, do: {{run: {{mode: sample}}}}}}\n",
        forge.url()
    );
    std::fs::write(&file, text).unwrap();
    let server = Running::of_file(home, &file);
    let database = ledger(home).await;
    until("the first reading", || async { database.repo("acme/churn").await.is_ok_and(|repo| repo.read_at.is_some()) })
        .await;
    (server, database)
}

async fn run_of(database: &Database, sha: &str) -> Option<Run> {
    let runs = database.runs(&RunFilter::default()).await.unwrap();
    runs.into_iter().find(|run| run.new.sha == sha)
}

async fn queued(database: &Database, sha: &str) -> Run {
    until("it waits", || async { run_of(database, sha).await.is_some_and(|run| run.state == RunState::Queued) }).await;
    run_of(database, sha).await.unwrap()
}

/// All events, oldest first.
async fn events(database: &Database) -> Vec<Event> {
    let mut events = database.events(None, 50).await.unwrap();
    events.reverse();
    events
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.new.kind.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_deleted_takes_with_it_what_waits_and_is_a_new_one_when_it_comes_back() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let (_server, database) = queueing(home.path(), &forge).await;
    let main = forge.commit("main", "beside it");
    let first = forge.commit("feat/x", "first");
    let (beside, waits) = (queued(&database, &main).await, queued(&database, &first).await);
    forge.git(&["push", "-q", "origin", ":feat/x"]);
    let state = |run: &Run| {
        let (database, id) = (database.clone(), run.id);
        async move { database.run(id).await.unwrap().state }
    };
    until("it is cancelled", || async { state(&waits).await == RunState::Cancelled }).await;
    let gone = database.run(waits.id).await.unwrap();
    assert_eq!((gone.epoch, gone.summary.as_deref()), (0, Some("its branch is gone")), "{gone:?}");
    assert_eq!(state(&beside).await, RunState::Queued, "other branches go on");
    let done = || async { database.action_results(gone.new.event.unwrap(), "build").await.unwrap() };
    until("its handler is done", || async { done().await.iter().any(|(_, state, _)| state == "done") }).await;
    let report = done().await.remove(0).2.unwrap();
    assert_eq!((&report["state"], &report["error"]), (&json!("cancelled"), &json!("its branch is gone")), "{report}");

    let again = forge.commit("feat/x", "again");
    queued(&database, &again).await;
    let refs = database.refs(gone.new.repo).await.unwrap();
    let back = refs.iter().find(|known| known.name == "refs/heads/feat/x").unwrap();
    assert_eq!((back.generation, back.deleted), (2, false));
    assert_eq!(database.run(gone.id).await.unwrap(), gone, "history stays as it was");
    let events = events(&database).await;
    let of_it: Vec<Event> =
        events.into_iter().filter(|event| event.new.reference.as_deref() == Some("refs/heads/feat/x")).collect();
    assert_eq!(kinds(&of_it), ["branch_created", "branch_deleted", "branch_created"]);
    assert_eq!(database.runs(&RunFilter::default()).await.unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_branch_that_is_renamed_or_another_one_is_followed() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let (_server, database) = queueing(home.path(), &forge).await;
    let tip = forge.git(&["rev-parse", "HEAD"]);
    let bare = |words: &[&str]| {
        assert!(Command::new("git").args(words).current_dir(forge.bare()).status().unwrap().success(), "{words:?}");
    };
    let head = || async { database.repo("acme/churn").await.unwrap().head.unwrap_or_default() };
    assert_eq!(head().await, "refs/heads/main");
    // As forges do it: HEAD goes with the branch.
    bare(&["branch", "-m", "main", "trunk"]);
    until("it is seen", || async { head().await == "refs/heads/trunk" }).await;
    until("both are told", || async { events(&database).await.len() == 2 }).await;
    let seen = events(&database).await;
    let mut found = kinds(&seen);
    found.sort_unstable();
    assert_eq!(found, ["branch_created", "branch_deleted"]);
    let created = seen.iter().find(|event| event.new.kind == "branch_created").unwrap();
    assert_eq!(created.new.new_sha.as_ref(), Some(&tip));
    assert_eq!(created.new.payload["default_branch"], "trunk", "{created:?}");

    // Who names no branch means that one, and pushes to it are pushes.
    let (code, said) = ask(home.path(), &["trigger", "acme/churn", "--mode", "full"]);
    assert!(code == 0 && said.contains(&tip), "{said}");
    let asked = || async {
        let events = events(&database).await;
        events.into_iter().find(|event| event.new.kind == "manual")
    };
    until("it is asked for", || async { asked().await.is_some() }).await;
    assert_eq!(asked().await.unwrap().new.reference.as_deref(), Some("refs/heads/trunk"));
    forge.git(&["checkout", "-q", "-b", "trunk"]);
    let next = forge.commit("trunk", "next");
    assert_eq!(queued(&database, &next).await.new.reference.as_deref(), Some("refs/heads/trunk"));

    // Another one is the default: nothing has moved, so nothing is told.
    let dev = forge.commit("dev", "another");
    queued(&database, &dev).await;
    let before = events(&database).await.len();
    bare(&["symbolic-ref", "HEAD", "refs/heads/dev"]);
    until("it is seen", || async { head().await == "refs/heads/dev" }).await;
    assert_eq!(events(&database).await.len(), before);
}

//! How soon people see what a server does: the face under a comment that asks for a run, the status of a commit whose run
//! ended. GitHub in small answers at once, and there is no engine: runs end because there is no pipeline.yaml.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use soopervisor::store::database::RunFilter;

use super::fake_github::Shared;
use super::hub::Hub;
use super::served::until;
use super::stage::say;
use super::{deliver, now_ms, row, since};

/// Comments, one after the other; each by somebody else, because nobody may ask for many runs.
const COMMENTS: usize = 40;
/// Pushes, each to a branch of its own.
const PUSHES: usize = 100;
/// How often it is looked for.
const GLANCE: Duration = Duration::from_millis(5);

const OBEYING: &str = "  - {name: commands, on: comment, do: {command: {storage: 'local:/nowhere'}}}\n";
const REPORTING: &str = "  - name: report\n    on: push\n    do:\n      - status: {state: pending, context: ci}\n      - run: {mode: \
                         sample}\n        continue: true\n      - status: {state: failure, context: ci}\n";

/// From the moment in which a comment is written to the face that says that it was heard.
pub(crate) async fn faces() {
    let hub = Hub::open().await;
    let (_place, server, _) = hub.serve(OBEYING).await;
    let mut values = Vec::new();
    for number in 0..COMMENTS {
        let (comment, told) = hub.says(&format!("dev-{number}"), "/soopervisor run");
        let began = Instant::now();
        let sent = server.delivery("issue_comment", &format!("comment-{number}"), &told).send().await;
        assert!(sent.expect("an answer").status().is_success());
        while !hub.faces(comment).iter().any(|face| face == "eyes") {
            assert!(began.elapsed() < Duration::from_mins(2), "it is not heard: {:?}", hub.faces(comment));
            tokio::time::sleep(GLANCE).await;
        }
        values.push(began.elapsed());
        // How it ended is a face, too: the next one finds nothing that goes on.
        until("the command is done", || async { hub.faces(comment).len() > 1 }).await;
    }
    row("comment to its `eyes`, by webhook", values, 95, "p95 < 5 s");
}

/// From the end of a run, as the database has it, to the status of its commit, while others run; and from the push to that
/// status, with all that a run waits for before it begins.
pub(crate) async fn statuses() {
    let hub = Hub::open().await;
    let (_place, server, database) = hub.serve(REPORTING).await;
    let watching = tokio::spawn(told(Arc::clone(&hub.fake.shared)));
    let mut pushed = BTreeMap::new();
    for number in 0..PUSHES {
        let branch = format!("b{number}");
        let after = hub.push(&branch);
        pushed.insert(after.clone(), now_ms());
        deliver(&server, &format!("push-{number}"), &hub.pushed(&branch, &after)).await;
    }
    let told = watching.await.expect("every commit has its status");
    let runs = database.runs(&RunFilter { limit: Some(200), ..RunFilter::default() }).await.expect("a list");
    let ends = runs.iter().filter_map(|run| Some(since(run.ended_at?, *told.get(&run.new.sha)?)));
    let values: Vec<Duration> = ends.collect();
    assert_eq!(values.len(), PUSHES, "one run, one status");
    row("run ended to its commit's status", values, 99, "p99 < 30 s");
    let values = pushed.iter().filter_map(|(sha, at)| Some(since(*at, *told.get(sha)?))).collect();
    row("push to the status of its run's end", values, 99, "");
    let overtaken = (2 * PUSHES).saturating_sub(hub.fake.state().statuses.len());
    say(&format!("| statuses that were overtaken, of {} | 1 | | {overtaken} | | |", 2 * PUSHES));
}

/// When each commit got a status that says how its run ended.
async fn told(shared: Arc<Shared>) -> BTreeMap<String, i64> {
    let (mut told, began) = (BTreeMap::new(), Instant::now());
    while told.len() < PUSHES {
        assert!(began.elapsed() < Duration::from_mins(20), "{} of {PUSHES} commits have a status", told.len());
        note(&shared, &mut told);
        tokio::time::sleep(GLANCE).await;
    }
    told
}

fn note(shared: &Shared, told: &mut BTreeMap<String, i64>) {
    let now = now_ms();
    for (_, sha, status) in &shared.state().statuses {
        if status["state"] != "pending" {
            told.entry(sha.clone()).or_insert(now);
        }
    }
}

//! How long a run is nobody's whose worker is killed: until its lease is over, and somebody sees that.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use soopervisor::store::database::{RunFilter, RunState};

use super::host::Host;
use super::served::{Place, until};
use super::{file, now_ms, row, since};

/// Servers, each with a worker that is killed; all at the same time, because each takes a minute.
const SERVERS: usize = 5;

/// From `kill -9` of a worker, a process of its own, to its run being in line again. It is killed right after it got the run,
/// so that the whole lease is left, which is the one that runs have where nobody sets another.
pub(crate) async fn runs(host: &Host) {
    let values = join_all((0..SERVERS).map(|repo| killed(host, repo))).await;
    row("worker killed to its run in line again", values, 100, "< 90 s");
}

async fn killed(host: &Host, repo: usize) -> Duration {
    let place = Place::of(&file(host, 0, &[("live", repo, "off")]));
    let (server, database) = (place.serve(), place.database().await);
    let newest = || async {
        let filter = RunFilter { limit: Some(1), ..RunFilter::default() };
        database.runs(&filter).await.expect("a list").pop()
    };
    let mut last = 0;
    // One that was too fast has ended its run: then another is asked for.
    loop {
        let ask = json!({"repo": format!("bench/r{repo}"), "mode": "sample"});
        let asked = server.post("/api/trigger", &ask).send().await.expect("an answer");
        assert!(asked.status().is_success(), "{}", asked.text().await.unwrap_or_default());
        let worker = place.worker();
        let begun = || async { newest().await.is_some_and(|run| run.id > last && run.state != RunState::Queued) };
        while !begun().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        drop(worker);
        let (at, run) = (now_ms(), newest().await.expect("the run"));
        if run.state == RunState::Running {
            until("the run is in line again", || async {
                database.run(run.id).await.expect("the run").state == RunState::Queued
            })
            .await;
            return since(at, now_ms());
        }
        last = run.id;
    }
}

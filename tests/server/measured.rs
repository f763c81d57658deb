//! `/metrics` of the built program, read as Prometheus reads it.

use serde_json::json;
use soopervisor::store::database::RunFilter;

use super::git::Forge;
use super::process::{Running, ask, ledger, program};
use super::until;

/// A histogram without labels.
struct Histogram {
    /// Upper bounds, and how many were within.
    within: Vec<(f64, f64)>,
    sum: f64,
    count: f64,
}

fn value(page: &str, name: &str) -> f64 {
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_else(|| panic!("there is no {name}:\n{page}"))
}

impl Histogram {
    fn of(page: &str, name: &str) -> Self {
        assert!(page.contains(&format!("# TYPE {name} histogram\n")), "there is no {name}:\n{page}");
        let beginning = format!("{name}_bucket{{le=\"");
        let part = |line: &str| {
            let (bound, count) = line.strip_prefix(beginning.as_str())?.split_once("\"} ")?;
            Some((bound.parse::<f64>().ok()?, count.parse::<f64>().ok()?))
        };
        let within = page.lines().filter_map(part).collect();
        Self { within, sum: value(page, &format!("{name}_sum")), count: value(page, &format!("{name}_count")) }
    }

    /// Whether it is one: bounds rise to infinity, counts never fall and come to all there are, and the sum is one of them.
    fn is_one(&self) -> bool {
        let rises = self.within.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        let last =
            self.within.last().is_some_and(|(bound, count)| bound.is_infinite() && (count - self.count).abs() < 0.5);
        // Each is above the bound below its part.
        let (mut before, mut least) = ((0.0, 0.0), 0.0);
        for part in &self.within {
            least += before.0 * (part.1 - before.1);
            before = *part;
        }
        rises && last && self.sum >= least
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_page_has_how_long_deliveries_runs_and_readings_took_and_what_is_counted_besides() {
    let (home, forge) = (tempfile::tempdir().unwrap(), Forge::start().await);
    let home = home.path();
    let mut command = program(home);
    command
        .env("SOOPERVISOR_GITHUB_HOOK_SECRET", "hunter2")
        .args(["serve", "--poll", "1s", "--repo"])
        .arg(forge.bare());
    let server = Running::spawn(command);
    let database = ledger(home).await;
    until("the first reading", || async { database.repo("acme/churn").await.unwrap().read_at.is_some() }).await;
    assert_eq!(ask(home, &["trigger", "acme/churn"]).0, 0);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..2 {
        let delivery = client.post(format!("{}/hooks/github", server.base)).json(&json!({}));
        let delivery = delivery.header("X-GitHub-Event", "push").header("X-GitHub-Delivery", "one");
        let forged = delivery.header("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)));
        assert_eq!(forged.send().await.unwrap().status(), 401);
    }
    let page = async || {
        let answer = client.get(format!("{}/metrics", server.base)).send().await.unwrap();
        answer.text().await.unwrap()
    };
    until("the run is counted", || async { page().await.contains("soop_log_bytes_total ") }).await;
    until("the next reading is counted", || async { value(&page().await, "soop_poll_lag_seconds_count") >= 2.0 }).await;
    let page = page().await;
    for (name, least, most) in [
        ("soop_webhook_ack_seconds", 2.0, 2.0),
        ("soop_queue_wait_seconds", 1.0, 1.0),
        ("soop_run_seconds", 1.0, 1.0),
        ("soop_poll_duration_seconds", 2.0, 1_000.0),
        ("soop_poll_lag_seconds", 2.0, 1_000.0),
    ] {
        let found = Histogram::of(&page, name);
        assert!(found.is_one() && (least..=most).contains(&found.count), "{name}:\n{page}");
    }
    let ack = Histogram::of(&page, "soop_webhook_ack_seconds");
    assert!(ack.sum < 20.0, "{page}");
    for (name, count) in [
        ("soop_queue_depth", 0.0),
        ("soop_runs{state=\"queued\"}", 0.0),
        ("soop_runs{state=\"failed\"}", 1.0),
        ("soop_db_busy_total", 0.0),
    ] {
        assert!((value(&page, name) - count).abs() < 0.5, "{name}:\n{page}");
    }
    let run = &database.runs(&RunFilter::default()).await.unwrap()[0];
    let log = home.join("state/runs").join(run.local_run.as_deref().unwrap()).join("log");
    let written = f64::from(u32::try_from(std::fs::metadata(log).unwrap().len()).unwrap());
    assert!((value(&page, "soop_log_bytes_total") - written).abs() < 0.5, "{written}\n{page}");
}

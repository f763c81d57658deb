//! How quickly the server answers: the service levels, taken from the built program with real repositories, signed webhooks
//! and, for the log, a real container; for what is told of a run, GitHub in small. Says figures, and never that a bar is missed.
//!
//! `cargo bench --bench server -- [idle] [acks] [pushes] [eyes] [status] [lines] [restart] [lost]`: without a word, all of it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use host::Host;
use serde_json::{Value, json};
use served::{Place, Served, git, percentile, queued_at, until};
use soopervisor::store::database::{Database, NewRun, RunFilter};
use stage::say;
use tokio::task::JoinSet;

#[expect(clippy::unwrap_used, reason = "made for tests, which panic where they cannot go on")]
#[path = "../tests/fake_github/mod.rs"]
mod fake_github;
mod host;
#[path = "server/hub.rs"]
mod hub;
#[path = "server/lost.rs"]
mod lost;
#[path = "server/reported.rs"]
mod reported;
mod served;
mod stage;

/// Deliveries a second, for so many seconds.
const ACKS: (u32, u32) = (50, 60);
/// Repositories that tell of pushes, and those that are asked.
const TELLING: usize = 20;
const ASKED: usize = 40;
/// How often those are asked.
const INTERVAL: Duration = Duration::from_secs(10);
/// Lines that a container prints, ten a second.
const LINES: usize = 200;
/// Runs that wait when a server starts.
const WAITING: usize = 1_000;
const RESTARTS: usize = 5;

const ENVIRONMENT: &str = "name: tiny\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n      - ploomber\n      - sqlalchemy\n      - pandas\n";
const PIPELINE: &str = "tasks:\n  - source: tasks.count\n    product: output/count.txt\n";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if words.first().is_some_and(|word| word == host::WORD) {
        return host::be(Path::new(words.get(1).expect("a folder")));
    }
    let wants = |part: &str| words.is_empty() || words.iter().any(|word| word == part);
    let folder = tempfile::tempdir().expect("a folder");
    host::repositories(folder.path(), TELLING + ASKED);
    let host = Host::start(folder.path());
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    threads.block_on(async {
        say(&format!(
            "load {}\n\n| what | how often | median | figure | worst | bar |\n|---|---|---|---|---|---|",
            stage::load()
        ));
        if wants("idle") {
            idle(&host).await;
        }
        if wants("acks") {
            acks(&host).await;
        }
        if wants("pushes") {
            pushes(&host, folder.path()).await;
        }
        if wants("eyes") {
            reported::faces().await;
        }
        if wants("status") {
            reported::statuses().await;
        }
        if wants("lines") {
            lines().await;
        }
        if wants("restart") {
            restart(&host).await;
        }
        if wants("lost") {
            lost::runs(&host).await;
        }
        say(&format!("\nload {}", stage::load()));
    });
}

/// A row: the median, a percentile, the worst.
fn row(what: &str, mut values: Vec<Duration>, percent: usize, bar: &str) {
    let mut figure = |percent: usize| format!("{:.1} ms", percentile(&mut values, percent).as_secs_f64() * 1e3);
    let (median, high, worst) = (figure(50), figure(percent), figure(100));
    say(&format!("| {what} | {} | {median} | p{percent} {high} | {worst} | {bar} |", values.len()));
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("not that late")
}

fn since(then: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now - then).unwrap_or_default())
}

fn url(host: &Host, way: &str, repo: usize) -> String {
    format!("{}/{way}/0/r{repo}.git", host.base)
}

/// A file with these repositories: way, number, how often it is asked.
fn file(host: &Host, workers: usize, repos: &[(&str, usize, &str)]) -> String {
    let mut text =
        format!("server: {{workers: {workers}}}\nwebhooks:\n  github: {{secrets: [env:BENCH_HOOK]}}\nrepos:\n");
    for (way, repo, poll) in repos {
        let url = url(host, way, *repo);
        let _ = writeln!(text, "  - {{url: '{url}', name: bench/r{repo}, poll: {poll}, storage: 'local:/nowhere'}}");
    }
    text + "handlers:\n  - {name: sample, on: push, do: {run: {mode: sample}}}\n  - {name: noted, on: pull_request, do: {log: \
            {text: 'pull {{ event.pull.number }}'}}}\n"
}

/// A payload as long as GitHub's are.
fn payload(url: &str, rest: Value) -> Value {
    let mut payload = json!({
        "repository": {"clone_url": url, "default_branch": "main"}, "sender": {"login": "ada"},
        "padding": "x".repeat(8 << 10),
    });
    if let (Some(payload), Value::Object(rest)) = (payload.as_object_mut(), rest) {
        payload.extend(rest);
    }
    payload
}

async fn all_are_read(database: &Database, count: usize) {
    until("every repository is read", || async {
        let repos = database.repos().await.expect("a list");
        repos.iter().filter(|repo| repo.read_at.is_some()).count() >= count
    })
    .await;
}

/// What a server takes that has nothing to do but to ask twenty repositories now and then.
async fn idle(host: &Host) {
    let repos: Vec<_> = (0..20).map(|repo| ("live", repo, "10s")).collect();
    let place = Place::of(&file(host, 2, &repos));
    let server = place.serve();
    all_are_read(&place.database().await, repos.len()).await;
    tokio::time::sleep(INTERVAL * 2).await;
    let (now, most) = server.memory();
    say(&format!("| memory, idle, 20 repositories | 1 | | {now} MiB | {most} MiB | < 60 MiB |"));
}

/// Each delivery at its own time, whether those before it were answered or not; half of them tell of pushes, for which the
/// repository is asked, half of pull requests, for which a handler writes a line.
async fn acks(host: &Host) {
    let place = Place::of(&file(host, 2, &[("kept", 0, "off")]));
    let (server, url) = (place.serve(), url(host, "kept", 0));
    let (rate, seconds) = ACKS;
    let mut answers = JoinSet::new();
    let begin = tokio::time::Instant::now() + Duration::from_millis(100);
    for number in 0..rate * seconds {
        let rest = if number % 2 == 0 {
            json!({"action": "opened", "pull_request": {"number": number + 1, "updated_at": "t"}})
        } else {
            json!({"ref": "refs/heads/main", "before": "0".repeat(40), "after": format!("{number:040x}")})
        };
        let event = if number % 2 == 0 { "pull_request" } else { "push" };
        let request = server.delivery(event, &format!("ack-{number}"), &payload(&url, rest));
        let due = begin + Duration::from_secs(1) * number / rate;
        tokio::time::sleep_until(due).await;
        answers.spawn(async move {
            let answer = request.send().await;
            let well = answer.is_ok_and(|answer| answer.status().is_success());
            well.then(|| due.elapsed())
        });
    }
    let answers = answers.join_all().await;
    let values: Vec<Duration> = answers.iter().flatten().copied().collect();
    let what = format!("webhook to its answer, {rate} a second, {} not taken", answers.len() - values.len());
    row(&what, values, 99, "p99 < 200 ms, none > 10 s");
    let database = place.database().await;
    until("all is handled", || async { database.waiting().await.expect("two numbers") == (0, 0) }).await;
    let behind = begin.elapsed().saturating_sub(Duration::from_secs(seconds.into()));
    let (now, most) = server.memory();
    say(&format!("| the last of them is handled | 1 | | {:.1} s later | | |", behind.as_secs_f64()));
    say(&format!("| memory after them | 1 | | {now} MiB | {most} MiB | |"));
}

/// Moves `main` of a repository; the commits before and after.
fn push(root: &Path, repo: usize, number: usize) -> (String, String) {
    let folder = root.join(format!("r{repo}.git"));
    let before = git(&folder, &["rev-parse", "refs/heads/main"]);
    let message = format!("push {number} at {}", now_ms());
    let after = git(&folder, &["commit-tree", "-p", &before, "-m", &message, &format!("{before}^{{tree}}")]);
    git(&folder, &["update-ref", "refs/heads/main", &after]);
    (before, after)
}

fn told(host: &Host, repo: usize, before: &str, after: &str) -> Value {
    payload(&url(host, "live", repo), json!({"ref": "refs/heads/main", "before": before, "after": after}))
}

/// From the moment in which a push is done to the run that waits, by webhook and by asking.
async fn pushes(host: &Host, root: &Path) {
    let every = format!("{}s", INTERVAL.as_secs());
    let mut repos: Vec<_> = (0..TELLING).map(|repo| ("live", repo, "off")).collect();
    repos.extend((TELLING..TELLING + ASKED).map(|repo| ("live", repo, every.as_str())));
    // Runs wait, nobody takes them.
    let place = Place::of(&file(host, 0, &repos));
    let (server, database) = (place.serve(), place.database().await);
    for repo in 0..TELLING {
        let head = git(&root.join(format!("r{repo}.git")), &["rev-parse", "refs/heads/main"]);
        deliver(&server, &format!("first-{repo}"), &told(host, repo, &head, &head)).await;
    }
    all_are_read(&database, repos.len()).await;
    let mut values = Vec::new();
    for number in 0..TELLING * 2 {
        let repo = number % TELLING;
        let (before, after) = push(root, repo, number);
        let at = now_ms();
        deliver(&server, &format!("push-{number}"), &told(host, repo, &before, &after)).await;
        until("the run is queued", || async { queued_at(&database, &after).await.is_some() }).await;
        values.push(since(at, queued_at(&database, &after).await.expect("it is there")));
    }
    row("push to queued run, by webhook", values, 95, "p95 < 3 s");
    let mut pushed = Vec::new();
    for repo in TELLING..TELLING + ASKED {
        pushed.push((push(root, repo, repo).1, now_ms()));
        // At any moment of the interval.
        tokio::time::sleep(INTERVAL / u32::try_from(ASKED).expect("few")).await;
    }
    let mut values = Vec::new();
    for (sha, at) in pushed {
        until("the run is queued", || async { queued_at(&database, &sha).await.is_some() }).await;
        values.push(since(at, queued_at(&database, &sha).await.expect("it is there")));
    }
    let bar = INTERVAL.mul_f64(1.1) + Duration::from_secs(5);
    row(&format!("push to queued run, asked every {every}"), values, 95, &format!("p95 < {} s", bar.as_secs_f64()));
}

async fn deliver(server: &Served, id: &str, payload: &Value) {
    let answer = server.delivery("push", id, payload).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
}

/// From the `print` of a task in its container to who follows the run's log as a browser does.
async fn lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let repo = folder.path().join("bench/count");
    fs_err::create_dir_all(&repo).expect("a folder");
    let tasks = format!(
        "import time\nfrom pathlib import Path\n\ndef count(product):\n    for n in range({LINES}):\n        print(f'at \
         {{time.time_ns() // 1000000}} ms', flush=True)\n        time.sleep(0.1)\n    Path(product).write_text('done')\n"
    );
    for (name, text) in [("environment.yml", ENVIRONMENT), ("pipeline.yaml", PIPELINE), ("tasks.py", &tasks)] {
        fs_err::write(repo.join(name), text).expect("a file");
    }
    for words in [&["init", "-q"][..], &["add", "."], &["commit", "-q", "-m", "a pipeline"]] {
        git(&repo, words);
    }
    let place = Place::running(&repo);
    let server = place.serve();
    all_are_read(&place.database().await, 1).await;
    let ask = json!({"repo": "bench/count", "mode": "full"});
    let asked = server.post("/api/trigger", &ask).send().await.expect("an answer");
    assert!(asked.status().is_success(), "{}", asked.text().await.unwrap_or_default());
    let database = place.database().await;
    until("a run", || async { !database.runs(&RunFilter::default()).await.expect("a list").is_empty() }).await;
    let run = database.runs(&RunFilter::default()).await.expect("a list")[0].id;
    let mut log = server.get(&format!("/api/runs/{run}/log?follow=true")).send().await.expect("an answer");
    let (mut values, mut kept) = (Vec::new(), String::new());
    while let Some(bytes) = log.chunk().await.expect("a stream") {
        let now = now_ms();
        kept.push_str(&String::from_utf8_lossy(&bytes));
        let whole = kept.rfind('\n').map_or(0, |end| end + 1);
        let read: String = kept.drain(..whole).collect();
        // Ploomber's progress bar stands before the first.
        let times = read.lines().filter_map(|line| line.split_once("at ")?.1.strip_suffix(" ms")?.parse::<i64>().ok());
        values.extend(times.map(|at| since(at, now)));
        if read.contains("event: end") {
            break;
        }
    }
    if values.len() == LINES {
        row("line of a log to its reader", values, 95, "p95 < 1 s");
    } else {
        let end = database.run(run).await.expect("the run");
        say(&format!(
            "| line of a log to its reader | {} of {LINES} | not measured: {:?} | | | |",
            values.len(),
            end.summary
        ));
    }
}

/// From the start of the process to the answer that it is ready, while a thousand runs wait.
async fn restart(host: &Host) {
    let place = Place::of(&file(host, 2, &[("live", 0, "60s")]));
    drop(place.serve());
    let database = place.database().await;
    let repo = database.repo("bench/r0").await.expect("the repository").id;
    for number in 0..WAITING {
        let run = NewRun {
            key: format!("bench-{number}"),
            repo,
            event: None,
            lane: format!("bench-{number}"),
            reference: None,
            sha: format!("{number:040x}"),
            mode: "sample".to_owned(),
            request: json!({}),
            priority: 0,
            supersede: false,
        };
        database.enqueue(&run).await.expect("it is queued");
    }
    let mut values = Vec::new();
    for _ in 0..RESTARTS {
        values.push(place.serve().ready().await);
    }
    let waiting = database.count_runs().await.expect("numbers");
    let waiting: i64 = waiting.into_iter().filter(|(state, _)| !state.has_ended()).map(|(_, count)| count).sum();
    row(&format!("killed and started until ready, {waiting} runs wait"), values, 95, "< 5 s");
}

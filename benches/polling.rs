//! What polling costs: 1,000 real bare repositories under 1,000 and under 10,000 addresses, each read once a minute by the
//! server's own poller with its database, beside `git ls-remote` of the same repositories.
//!
//! `cargo bench --bench polling -- [REPOSITORIES] [MINUTES]`: without a number, both.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use host::{Host, REFS};
use soopervisor::server::file::Commits;
use soopervisor::server::metrics::Metrics;
use soopervisor::server::poll::reading::Reader;
use soopervisor::server::poll::state::FirstSeen;
use soopervisor::server::poll::{Address, Effort, Poller, Watch};
use soopervisor::store::database::{Database, NewRepo};
use soopervisor::web::{Reach, client};
use stage::say;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

mod host;
mod stage;

/// Repositories on disk.
const REAL: usize = 1000;
/// So many addresses, and what reading each once a minute may take: the service levels, and for the larger number the closer
/// bar that was set for this server.
const BARS: [(usize, &str); 2] =
    [(REAL, "< 5 % of a core, < 100 MiB"), (10 * REAL, "< 20 % of a core; closer: ≤ 5 %, ≤ 100 MiB")];
/// Readings of each kind that are timed one by one.
const EACH: usize = 200;

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let first = words.next();
    if first.as_deref() == Some(host::WORD) {
        return host::be(Path::new(&words.next().expect("a folder")));
    }
    let numbers = match first {
        Some(word) => vec![word.parse().expect("a number of repositories")],
        None => BARS.map(|(count, _)| count).to_vec(),
    };
    let minutes = words.next().map_or(1, |word| word.parse().expect("a number of minutes"));
    let folder = tempfile::tempdir().expect("a folder");
    host::repositories(folder.path(), REAL);
    let host = Host::start(folder.path());
    say(&format!("load {}, {REAL} repositories with {} branches and {} tags\n", stage::load(), REFS.0, REFS.1));
    // As the program has it.
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    threads.block_on(async {
        say("| one reading | processor time of ours | of git's processes | readings a second |\n|---|---|---|---|");
        one_by_one(&host, folder.path()).await;
        ls_remote(&host);
        let mut rows = Vec::new();
        for count in numbers {
            rows.push(a_minute(&host, folder.path(), count, minutes).await);
        }
        say("\n| repositories a minute | of a core, unchanged | memory, at most | bar |\n|---|---|---|---|");
        for row in &rows {
            say(row);
        }
        say(&format!("\nload {}", stage::load()));
    });
}

async fn open(folder: &Path, name: &str) -> Database {
    Database::open(&format!("sqlite:{}", folder.join(name).display())).await.expect("a database")
}

/// Repositories with these addresses, and the poller that reads them.
async fn place(database: &Database, urls: Vec<String>, effort: Effort) -> (Poller, Vec<Arc<Watch>>) {
    let new = urls.iter().map(|url| NewRepo { url: url.clone(), name: url.clone(), settings: serde_json::json!({}) });
    database.watch(&new.collect::<Vec<_>>()).await.expect("a list");
    let reader = Reader::new(client(&Reach::default()).expect("a client"));
    let poller = Poller::new(database.clone(), reader, Metrics::default(), effort, Arc::default());
    let mut watches = Vec::new();
    for repo in database.repos().await.expect("the list") {
        watches.push(Arc::new(Watch {
            repo: repo.id,
            address: Address::Http(repo.url.parse().expect("an address"), None),
            name: repo.name,
            prefixes: vec!["refs/heads/".into(), "refs/tags/".into()],
            every: Some(Duration::from_mins(1)),
            first_seen: FirstSeen::Record,
            commits: Commits::Latest,
        }));
    }
    (poller, watches)
}

/// Readings of one repository after the other, whoever answers.
async fn one_by_one(host: &Host, folder: &Path) {
    for way in ["live", "kept"] {
        let database = open(folder, &format!("{way}.db")).await;
        let urls = (0..EACH).map(|number| format!("{}/{way}/0/r{number}.git", host.base)).collect();
        let (poller, watches) = place(&database, urls, Effort::default()).await;
        let who = if way == "live" { "`git http-backend`" } else { "its kept answers" };
        for (round, what) in
            ["first, all written", "second, compared with the database", "unchanged"].iter().enumerate()
        {
            // After the first, which writes all refs, and the second, which finds them, the poller knows them itself.
            let repeats = if round == 2 && way == "kept" { 10 } else { 1 };
            let (began, spent) = (Instant::now(), Spent::now());
            for _ in 0..repeats {
                for watch in &watches {
                    poller.read(watch, None).await.expect("it is read");
                }
            }
            spent.row(&format!("{who}: {what}"), watches.len() * repeats, began.elapsed());
        }
        database.close().await;
    }
}

fn ls_remote(host: &Host) {
    let (began, spent) = (Instant::now(), Spent::now());
    for number in 0..EACH {
        let mut git = Command::new("git");
        git.args(["ls-remote", "--heads", "--tags"]).arg(format!("{}/kept/0/r{number}.git", host.base));
        let done = git.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("git");
        assert!(done.success());
    }
    spent.row("its kept answers: `git ls-remote`", EACH, began.elapsed());
}

/// The bar itself: every repository once a minute, after a first minute in which all are seen for the first time. What it
/// came to, beside its bar, is a row.
async fn a_minute(host: &Host, folder: &Path, count: usize, minutes: usize) -> String {
    let database = open(folder, &format!("{count}.db")).await;
    let urls =
        (0..count).map(|number| format!("{}/kept/{}/r{}.git", host.base, number / REAL, number % REAL)).collect();
    let (poller, watches) = place(&database, urls, Effort { rate: 1000.0, at_once: 64 }).await;
    let (before, mut share) = (memory("VmRSS:"), 0.0);
    let (_sender, listed) = watch::channel(watches);
    let stop = CancellationToken::new();
    let polling = tokio::spawn({
        let stop = stop.clone();
        async move { poller.run(listed, stop).await }
    });
    counts(host).await;
    say(&format!("\n{count} addresses, load {}", stage::load()));
    say(
        "\n| minute | readings | connections | processor time | of a core | a reading | memory |\n|---|---|---|---|---|---|---|",
    );
    // First sight, then one in which the database is asked about each once more.
    for minute in 0..minutes + 2 {
        let spent = Spent::now();
        tokio::time::sleep(Duration::from_mins(1)).await;
        let own = spent.own();
        let (connections, readings) = counts(host).await;
        share = own.as_secs_f64() / 0.6;
        let what = match minute {
            0 => "first sight".to_owned(),
            1 => "compared with the database".to_owned(),
            _ => "unchanged".to_owned(),
        };
        say(&format!(
            "| {what} | {readings} | {connections} | {:.2} s | {share:.1} % | {:.3} ms | {} MiB |",
            own.as_secs_f64(),
            own.as_secs_f64() * 1e3 / f64::from(u32::try_from(readings.max(1)).expect("few")),
            memory("VmRSS:")
        ));
    }
    stop.cancel();
    polling.await.expect("it ends");
    database.close().await;
    let most = memory("VmHWM:");
    say(&format!("\nmemory before {before} MiB, at most {most} MiB"));
    let bar = BARS.iter().find(|(known, _)| *known == count).map_or("", |(_, bar)| bar);
    format!("| {count} | {share:.1} % | {most} MiB | {bar} |")
}

/// Connections and requests since this was last asked, without this one.
async fn counts(host: &Host) -> (u64, u64) {
    let client = client(&Reach::default()).expect("a client");
    let text = client.get(format!("{}/counts", host.base)).send().await.expect("counts").text().await.expect("text");
    let (connections, requests) = text.split_once(' ').expect("two numbers");
    (connections.parse::<u64>().expect("a number").saturating_sub(1), requests.parse().expect("a number"))
}

/// Processor time of this process, and of children that have ended.
struct Spent(Duration, Duration);

impl Spent {
    fn now() -> Self {
        let text = fs_err::read_to_string("/proc/self/stat").expect("Linux tells it");
        let fields: Vec<&str> = text.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        // The kernel's ticks for programs are hundredths of a second everywhere.
        let sum = |at: usize| {
            let ticks = |at: usize| fields[at].parse::<u64>().expect("a number");
            Duration::from_millis((ticks(at) + ticks(at + 1)) * 10)
        };
        Self(sum(11), sum(13))
    }

    fn own(&self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }

    fn row(&self, what: &str, count: usize, took: Duration) {
        let now = Self::now();
        let count = f64::from(u32::try_from(count).expect("few"));
        let each = |spent: Duration| format!("{:.2} ms", spent.as_secs_f64() * 1e3 / count);
        let a_second = count / took.as_secs_f64();
        say(&format!(
            "| {what} | {} | {} | {a_second:.0} |",
            each(now.0.saturating_sub(self.0)),
            each(now.1.saturating_sub(self.1))
        ));
    }
}

/// A line of the process's status, in MiB.
fn memory(line: &str) -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").expect("Linux tells it");
    let text = status.lines().find_map(|known| known.strip_prefix(line)).expect("the line");
    text.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") >> 10
}

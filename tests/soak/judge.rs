//! What must have come of a round: the database, and who was told, compared with what happened.

#![expect(clippy::print_stdout, reason = "what a round did, for whoever looks at the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use soopervisor::server::event::Kind;
use soopervisor::server::ledger;
use soopervisor::store::database::{Database, Event, RunFilter, RunState};

use super::ear::Ear;
use super::forge::Forge;

/// Handlers that one end of the server can catch in the middle of a request: so many are done at a time.
const CAUGHT: usize = 64;

pub(crate) struct Judge {
    pub(crate) database: Database,
    pub(crate) forge: Forge,
    pub(crate) ear: Ear,
}

/// What became of a handler for an event.
#[derive(PartialEq, Eq)]
enum Fate {
    Done,
    /// It was cut off, and nobody knows whether its request was sent.
    Unknown,
}

fn name(repo: usize) -> String {
    format!("acme/r{repo}")
}

async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_mins(4), "not within four minutes: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Judge {
    /// Every repository is known as it is.
    async fn is_read(&self) -> bool {
        let repos = self.forge.repos().clone();
        for (repo, refs) in repos.iter().enumerate() {
            let Ok(row) = self.database.repo(&name(repo)).await else { return false };
            let known = self.database.refs(row.id).await.unwrap().into_iter().filter(|known| !known.deleted);
            if known.map(|known| (known.name, known.sha)).collect::<BTreeMap<_, _>>() != *refs {
                return false;
            }
        }
        true
    }

    pub(crate) async fn all_is_read(&self) {
        until("every repository is read", || self.is_read()).await;
    }

    async fn is_quiet(&self) -> bool {
        let waits = self.database.waiting().await.unwrap() != (0, 0);
        let runs = self.database.count_runs().await.unwrap();
        !waits && runs.iter().all(|(state, _)| state.has_ended())
    }

    async fn events(&self) -> Vec<Event> {
        let mut all: Vec<Event> = Vec::new();
        loop {
            let more = self.database.events(all.last().map(|event| event.id), 500).await.unwrap();
            if more.is_empty() {
                all.reverse();
                return all;
            }
            all.extend(more);
        }
    }

    /// What the handler of an event came to, once it has.
    async fn fate(&self, event: &Event, handler: &str) -> Option<Fate> {
        let mut results = self.database.action_results(event.id, handler).await.unwrap();
        assert_eq!(results.len(), 1, "one handler, one event: {event:?}");
        let (_, state, report) = results.remove(0);
        if matches!(state.as_str(), "waiting" | "doing") {
            return None;
        }
        let report = report.unwrap();
        assert_eq!(state, "done", "{report}");
        if report["state"] == "succeeded" {
            return Some(Fate::Done);
        }
        assert!(report.to_string().contains("whether it was done to the end is not known"), "{report}");
        Some(Fate::Unknown)
    }

    /// Waits until a round is handled, and judges it. The events of rounds before were swept.
    pub(crate) async fn round(&self, expected: &BTreeSet<String>, asked: (usize, usize), happened: usize) {
        self.all_is_read().await;
        until("nothing waits", || self.is_quiet()).await;
        let (mut told, mut unknown, mut manual, mut moves) = (BTreeMap::new(), 0, BTreeSet::new(), Vec::new());
        for event in self.events().await {
            let repo = ledger::event(&event, "?").unwrap();
            let Some((handler, words)) = words(&repo) else {
                assert_eq!(repo.kind, Kind::Manual, "{event:?}");
                manual.insert(event.id);
                continue;
            };
            let key = self.key(&event, &words).await;
            until("handlers are done", || async { self.fate(&event, handler).await.is_some() }).await;
            let fate = self.fate(&event, handler).await;
            unknown += usize::from(fate == Some(Fate::Unknown));
            assert!(told.insert(key, fate).is_none(), "told twice: {event:?}");
            if handler == "moved" {
                moves.push(event);
            }
        }
        assert!(unknown <= 2 * CAUGHT, "{unknown} requests of which nobody knows");
        // What was told was heard once; what may have been, at most once; nothing else was.
        let heard = self.ear.take();
        for (key, count) in &heard {
            assert!(*count == 1 && told.contains_key(key), "`{key}` was heard {count} times");
        }
        for (key, fate) in &told {
            assert!(*fate == Some(Fate::Unknown) || heard.contains_key(key), "`{key}` was not heard");
        }
        let here: BTreeSet<&String> = told.keys().filter(|key| !is_of_git_or_runs(key)).collect();
        assert_eq!(here, expected.iter().collect::<BTreeSet<_>>());
        assert!((asked.0..=asked.0 + asked.1).contains(&manual.len()), "{asked:?}, {} were written", manual.len());
        self.runs(&manual, told.keys().filter(|key| key.contains(" run ")).count()).await;
        chained(&moves);
        println!("{happened} happened, {} told, {} by hand, {unknown} cut off", told.len(), manual.len());
    }

    async fn key(&self, event: &Event, words: &str) -> String {
        let repos = self.database.all_repos().await.unwrap();
        let repo = repos.iter().find(|repo| Some(repo.id) == event.new.repo).unwrap();
        format!("{} {words}", repo.name)
    }

    /// Each request by hand has one run, and each run that was not replaced ended once.
    async fn runs(&self, manual: &BTreeSet<i64>, finished: usize) {
        let (mut before, mut ended, mut of) = (None, 0, BTreeSet::new());
        loop {
            let page =
                self.database.runs(&RunFilter { before, limit: Some(200), ..RunFilter::default() }).await.unwrap();
            for run in page.iter().filter(|run| run.new.event.is_some_and(|event| manual.contains(&event))) {
                assert!(of.insert(run.new.event), "two runs for one event: {run:?}");
                ended += usize::from(run.state == RunState::Succeeded);
                assert!(matches!(run.state, RunState::Succeeded | RunState::Superseded), "{run:?}");
            }
            match page.last() {
                Some(run) => before = Some(run.id),
                None => break,
            }
        }
        assert_eq!((of.len(), ended), (manual.len(), finished));
    }
}

fn is_of_git_or_runs(key: &str) -> bool {
    key.contains(" refs/heads/") || key.contains(" run ")
}

/// Which handler an event is for, and its words.
fn words(event: &soopervisor::server::event::Event) -> Option<(&'static str, String)> {
    let commit =
        |sha: &Option<soopervisor::id::CommitSha>| sha.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    Some(match event.kind {
        Kind::Push | Kind::BranchCreated | Kind::BranchDeleted => {
            let reference = event.reference.clone().unwrap();
            ("moved", format!("{reference} {} {}", commit(&event.before), commit(&event.after)))
        }
        Kind::PullRequest => ("offered", format!("pull {}", event.pull.as_ref().unwrap().number)),
        Kind::Comment => ("said", format!("comment {}", event.comment.as_ref().unwrap().id)),
        Kind::CommitStatus => ("stated", format!("status {}", event.status.as_ref().unwrap().id)),
        Kind::RunFinished => ("ended", format!("run {}", event.run.as_ref().unwrap().id)),
        _ => return None,
    })
}

/// Each move of a branch begins where the one before it ended.
fn chained(moves: &[Event]) {
    let mut ends: BTreeMap<(Option<i64>, &Option<String>), &Option<String>> = BTreeMap::new();
    for event in moves {
        let new = &event.new;
        let end = ends.insert((new.repo, &new.reference), &new.new_sha);
        assert!(end.is_none_or(|end| *end == new.old_sha), "a move is missing before {event:?}");
    }
}

/// What this process and the database take.
pub(crate) struct Size {
    /// Bytes that Rust code holds. What the allocator keeps for later differs by tens of MiB from one run to the next.
    heap: usize,
    /// Bytes that the kernel counts, with SQLite's.
    memory: u64,
    files: usize,
    /// Bytes of the database without its log.
    disk: u64,
    /// Bytes of SQLite's log, which are as many as were written since nobody read, and no more than a few MiB.
    log: u64,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (heap, memory, disk, log) = (self.heap >> 10, self.memory >> 20, self.disk >> 10, self.log >> 10);
        let files = self.files;
        write!(f, "{heap} KiB of heap, {memory} MiB of memory, {files} open files, {disk}+{log} KiB of database")
    }
}

impl Size {
    pub(crate) fn now(home: &Path) -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let memory = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10;
        let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
        let length = |name| std::fs::metadata(home.join("state").join(name)).unwrap().len();
        let (disk, log) = (length("server.db"), length("server.db-wal"));
        Self { heap: crate::HEAP.current_usage(), memory, files, disk, log }
    }

    /// But for what the allocator and pools of connections keep, and the runs, which are never swept.
    pub(crate) fn is_no_larger_than(&self, first: &Self) {
        assert!(self.heap <= first.heap + (4 << 20), "{self}, after {first}");
        assert!(self.memory <= first.memory + (96 << 20), "{self}, after {first}");
        assert!(self.files <= first.files + 16, "{self}, after {first}");
        assert!(self.disk <= first.disk * 3 / 2 + (1 << 20), "{self}, after {first}");
        assert!(self.log <= 16 << 20, "{self}, after {first}");
    }
}

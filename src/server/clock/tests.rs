//! Schedules that strike: what is there then is meant, each is told once, and none is lost.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::server::asked::Asked;
use crate::server::file::{self, Commits};
use crate::server::glance::Glance;
use crate::server::metrics::Metrics;
use crate::server::poll::reading::Reader;
use crate::server::poll::state::FirstSeen;
use crate::server::poll::{Address, Effort, Poller, Watch};
use crate::server::trigger::{self, Ask};
use crate::store::database::{self, NewRepo, Settlement};
use crate::web::{Reach, client};

const REPO: &str = "acme/churn";
/// As often as anything is tried.
const OFTEN: i64 = 99;

/// A repository in a folder, and a handler that is for it every minute.
struct Scene {
    folder: tempfile::TempDir,
    database: Database,
    clock: Clock,
    /// Reads it.
    asked: Asked,
    /// Does not know how.
    blind: Asked,
}

fn git(folder: &Path, words: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgSign=false"]).args(words);
    let output = git.current_dir(folder).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Scene {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "-q", "-b", "main", "work"]);
        let url = format!("file://{}/work", folder.path().display());
        let database = Database::open(&format!("sqlite:{}", folder.path().join("it.db").display())).await.unwrap();
        database.watch(&[NewRepo { url: url.clone(), name: REPO.to_owned(), settings: json!({}) }]).await.unwrap();
        let text = format!(
            "repos: [{{url: '{url}', name: {REPO}}}]\nhandlers:\n  - {{name: nightly, on: schedule, cron: '* * * * *', do: {{log: \
             {{text: x}}}}}}\n"
        );
        let (file, found) = file::parse("server.yaml", text.as_bytes());
        let file = Arc::new(file.unwrap_or_else(|| panic!("{found:?}")));
        let clock = Clock { database: database.clone(), file, asked: Arc::default() };
        let watch = Watch {
            repo: database.repo(REPO).await.unwrap().id,
            name: REPO.to_owned(),
            address: Address::Git(url, None),
            prefixes: vec!["refs/heads/".to_owned()],
            every: None,
            first_seen: FirstSeen::Record,
            commits: Commits::Latest,
        };
        let reader = Reader::new(client(&Reach::default()).unwrap());
        let poller = Poller::new(database.clone(), reader, Metrics::default(), Effort::default(), Arc::default());
        let asked = |watches| {
            let glance = Glance::new(poller.clone(), watch::channel(watches).1);
            Asked::new(database.clone(), glance, Arc::default())
        };
        let (asked, blind) = (asked(vec![Arc::new(watch)]), asked(Vec::new()));
        Self { folder, database, clock, asked, blind }
    }

    fn commit(&self, text: &str) -> String {
        let work = self.folder.path().join("work");
        git(&work, &["commit", "-q", "--allow-empty", "-m", text]);
        git(&work, &["rev-parse", "HEAD"])
    }

    /// The time of the schedule has come; the event of it comes back.
    async fn strike(&self, minute: i64) -> database::Event {
        let (name, spec) = (format!("{REPO} nightly"), minute.to_string());
        self.database.schedule(&Schedule { name, spec, next_at: minute * 60_000 }).await.unwrap();
        self.clock.strike().await.unwrap();
        let mut asked = self.database.asked(60_000, 9).await.unwrap();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }

    /// An event as it is now: state, commit, fault.
    async fn now(&self, event: &database::Event) -> (String, Option<String>, Option<String>) {
        let event = self.database.event(event.id).await.unwrap();
        (event.state, event.new.new_sha, event.fault)
    }

    /// Everything that waits is handled.
    async fn handle(&self) {
        while let Some(event) = self.database.next_event(60_000).await.unwrap() {
            self.database.settle_event(event.id, &Settlement::default()).await.unwrap();
        }
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[tokio::test]
async fn a_schedule_means_what_is_there_when_it_strikes_and_strikes_once() {
    let scene = Scene::open().await;
    for minute in [1, 2] {
        let tip = scene.commit("another");
        let event = scene.strike(minute).await;
        assert_eq!(scene.now(&event).await, (text("asked"), None, None), "it is not known yet what is there");
        scene.clock.strike().await.unwrap();
        assert!(scene.database.asked(0, 9).await.unwrap().is_empty(), "it is told once");
        scene.asked.find(&event).await.unwrap();
        assert_eq!(scene.now(&event).await, (text("waiting"), Some(tip.clone()), None));
        let row = scene.database.event(event.id).await.unwrap();
        let event = ledger::event(&row, REPO).unwrap();
        assert_eq!(
            (event.reference.as_deref(), event.default_branch.as_deref()),
            (Some("refs/heads/main"), Some("main"))
        );
        assert_eq!(event.key(), row.new.key, "the same one, whatever is known of it");
        scene.asked.find(&row).await.unwrap();
        assert_eq!(scene.now(&row).await.1, Some(tip), "whoever comes late changes nothing");
    }
    let mut kinds: Vec<_> = scene.database.events(None, 9).await.unwrap().into_iter().map(|it| it.new.kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["push", "schedule", "schedule"], "what a reading finds is told besides");
}

#[tokio::test]
async fn a_schedule_of_a_repository_that_cannot_be_read_strikes_with_what_was_last_seen_and_says_so() {
    let scene = Scene::open().await;
    let tip = scene.commit("seen");
    // Before anything was seen there is no commit, but the handler may do what needs none.
    let mut early = scene.strike(1).await;
    early.attempts = OFTEN;
    scene.blind.find(&early).await.unwrap();
    let (state, commit, fault) = scene.now(&early).await;
    assert_eq!((state.as_str(), commit), ("waiting", None));
    assert!(fault.unwrap().contains("last seen"));
    let read = scene.strike(2).await;
    scene.asked.find(&read).await.unwrap();
    scene.handle().await;
    assert_eq!(scene.now(&read).await, (text("handled"), Some(tip.clone()), None));

    scene.commit("never seen");
    let mut event = scene.strike(3).await;
    scene.blind.find(&event).await.unwrap();
    let unread = Some(text("its repository is not watched"));
    assert_eq!(scene.now(&event).await, (text("asked"), None, unread), "it is tried again");
    event.attempts = OFTEN;
    scene.blind.find(&event).await.unwrap();
    scene.handle().await;
    let (state, commit, fault) = scene.now(&event).await;
    assert_eq!((state.as_str(), commit), ("handled", Some(tip)));
    let fault = fault.unwrap();
    assert!(fault.contains("last seen") && fault.contains("not watched"), "{fault}");
}

#[tokio::test]
async fn what_a_person_asks_for_of_a_repository_that_cannot_be_read_is_not_run_of_anything_else() {
    let scene = Scene::open().await;
    scene.commit("there");
    let ask = Ask { repo: REPO, reference: None, mode: None, actor: "ann", source: Source::Person, id: "1" };
    let id = trigger::ask(&scene.database, &ask, &[]).await.unwrap();
    let mut event = scene.database.asked(60_000, 9).await.unwrap().remove(0);
    assert_eq!(event.id, id);
    event.attempts = OFTEN;
    scene.blind.find(&event).await.unwrap();
    let unread = Some(text("its repository is not watched"));
    assert_eq!(scene.now(&event).await, (text("failed"), None, unread));
    assert_eq!(scene.database.audit(9).await.unwrap()[0].actor, "ann");
}

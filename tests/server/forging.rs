//! Forge actions of handlers against GitHub in small: what is there afterwards, also when the server dies in between.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use serde_json::{Value, json};
use soopervisor::secret::Secret;
use soopervisor::server::event::{Event, Kind, Pull, Source};
use soopervisor::server::file::{Commits, File};
use soopervisor::server::forges::Forges;
use soopervisor::server::handler::{Journal, JournalError, Key, Memory, Outcome, Plan, Recall, Report, State, execute};
use soopervisor::server::perform::Doing;
use soopervisor::server::poll::reading::Credential;
use soopervisor::server::poll::state::FirstSeen;
use soopervisor::server::poll::{Address, Watch};
use soopervisor::store::database::NewRepo;
use soopervisor::web::Reach;

use super::Place;
use super::fake_github::{Account, FakeGitHub, Fault, Pull as Offered, git};

pub(crate) const REPO: &str = "octo-org/churn";
pub(crate) const BUILDS: &str = "octo-org/builds";

/// GitHub with a repository, a pull request, one that builds, and a server that is the user `robo` there.
pub(crate) struct Scene {
    pub(crate) fake: FakeGitHub,
    pub(crate) place: Place,
    pub(crate) work: tempfile::TempDir,
    pub(crate) main: String,
    pub(crate) head: String,
}

impl Scene {
    pub(crate) async fn open() -> Self {
        let fake = FakeGitHub::start().await;
        for repo in [REPO, BUILDS] {
            fake.repository(repo);
            fake.permit(repo, "robo", "write");
        }
        fake.user("robo", "token-of-robo");
        fake.user("ann", "token-of-ann");
        fake.permit(REPO, "ann", "write");
        fake.user("eve", "token-of-eve");
        let work = tempfile::tempdir().unwrap();
        git(work.path(), &["init", "-q", "-b", "main"]);
        std::fs::write(work.path().join("soopervisor.yaml"), "sample: true\n").unwrap();
        git(work.path(), &["add", "."]);
        git(work.path(), &["commit", "-q", "-m", "first"]);
        let before = "2026-11-01T10:00:00Z".parse().unwrap();
        let main = fake.push(work.path(), REPO, "main", before);
        fake.push(work.path(), BUILDS, "main", before);
        git(work.path(), &["commit", "-q", "--allow-empty", "-m", "second"]);
        let head = fake.push(work.path(), REPO, "topic", before);
        let (head_repo, head_branch, base_branch) = (REPO.into(), "topic".into(), "main".into());
        fake.open_pull(REPO, Offered { number: 7, head_repo, head_branch, base_branch, open: true });
        let place = Place::new().await;
        let new = NewRepo { url: format!("{}/{REPO}.git", fake.server()), name: REPO.into(), settings: json!({}) };
        place.database.watch(&[new]).await.unwrap();
        Self { fake, place, work, main, head }
    }

    /// The text of a file that watches the repository, with a credential that is a file.
    pub(crate) fn text(&self, handlers: &str) -> String {
        let token = self.place.folder.path().join("token");
        std::fs::write(&token, "token-of-robo\n").unwrap();
        format!(
            "credentials: {{hub: {{token: 'file:{}', api: '{}'}}}}\nrepos:\n  - {{url: '{}/{REPO}.git', credential: hub, poll: \
             1s}}\nhandlers:\n{handlers}",
            token.display(),
            self.fake.api(),
            self.fake.server()
        )
    }

    pub(crate) fn file(&self, handlers: &str) -> Arc<File> {
        let (file, found) = soopervisor::server::file::parse("server.yaml", self.text(handlers).as_bytes());
        Arc::new(file.unwrap_or_else(|| panic!("{found:?}")))
    }

    /// What a server that was just started does with.
    pub(crate) fn doing(&self, file: &Arc<File>) -> Doing {
        let forges = Forges::of(Arc::clone(file), Reach::default());
        Doing::new(self.place.database.clone(), Arc::clone(file), forges, Arc::default(), Arc::default())
    }

    /// The repository as it is watched.
    pub(crate) async fn watch(&self, address: Address) -> Arc<Watch> {
        let repo = self.place.database.repo(REPO).await.unwrap().id;
        Arc::new(Watch {
            repo,
            name: REPO.into(),
            address,
            prefixes: vec!["refs/heads/".into()],
            every: None,
            first_seen: FirstSeen::Record,
            commits: Commits::Latest,
        })
    }

    /// Over HTTP, as GitHub serves it.
    pub(crate) fn address(&self) -> Address {
        Address::Http(format!("{}/{REPO}.git", self.fake.server()).parse().unwrap(), None)
    }

    /// The same, by somebody who is known there.
    pub(crate) fn with_password(&self) -> Address {
        let password = Secret::new("hub", b"token-of-robo".to_vec()).into();
        let who = Credential { user: "x-access-token".to_owned(), password };
        Address::Http(format!("{}/{REPO}.git", self.fake.server()).parse().unwrap(), Some(who))
    }

    /// The pull request, changed.
    pub(crate) fn offered(&self) -> Event {
        let mut event = Event::new(Kind::PullRequest, REPO, "2026-11-28T12:00:00Z".parse().unwrap(), Source::Webhook);
        event.reference = Some("refs/pull/7/head".into());
        let head = Some(self.head.parse().unwrap());
        event.pull = Some(Pull { number: 7, action: "opened".into(), head, ..Pull::default() });
        event
    }

    pub(crate) async fn play(&self, handlers: &str, event: &Event) -> Report {
        let file = self.file(handlers);
        let plan = Plan { handler: &file.handlers[0], event };
        execute(&plan, &file.notify, &self.doing(&file), &Memory::default()).await.unwrap()
    }

    /// Plays a handler to its end, the server being killed after so many writes to its journal, and started again.
    /// Whether it was killed at all.
    async fn killed(&self, file: &Arc<File>, event: &Event, writes: usize) -> (bool, Report) {
        let plan = Plan { handler: &file.handlers[0], event };
        let journal = Dying { inner: Memory::default(), left: Mutex::new(writes) };
        let first = execute(&plan, &file.notify, &self.doing(file), &journal).await;
        *journal.left.lock().unwrap() = usize::MAX;
        // Nothing of the first server's memory is left but its journal and its database.
        let report = execute(&plan, &file.notify, &self.doing(file), &journal).await.unwrap();
        (first.is_err(), report)
    }

    fn comments(&self) -> Vec<String> {
        self.fake.state().comments.iter().map(|comment| comment.body.clone()).collect()
    }
}

/// A push of this commit.
fn pushed(commit: &str) -> Event {
    let mut event = Event::new(Kind::Push, REPO, "2026-11-28T12:00:00Z".parse().unwrap(), Source::Poll);
    event.reference = Some("refs/heads/main".into());
    event.after = Some(commit.parse().unwrap());
    event
}

/// A journal whose server is killed after so many writes.
struct Dying {
    inner: Memory,
    left: Mutex<usize>,
}

impl Dying {
    fn write(&self) -> Result<(), JournalError> {
        let mut left = self.left.lock().unwrap();
        *left = left.checked_sub(1).ok_or_else(|| JournalError("killed".to_owned()))?;
        Ok(())
    }
}

#[async_trait]
impl Journal for Dying {
    async fn recall(&self, key: &Key) -> Result<Recall, JournalError> {
        self.inner.recall(key).await
    }
    async fn begin(&self, key: &Key, arguments: &Value) -> Result<(), JournalError> {
        self.write()?;
        self.inner.begin(key, arguments).await
    }
    async fn finish(&self, key: &Key, outcome: &Outcome) -> Result<(), JournalError> {
        self.write()?;
        self.inner.finish(key, outcome).await
    }
}

const REPORT: &str = r#"
  - name: report
    on: pull_request
    do:
      - comment: {body: "Testing {{ event.pull.head }}"}
      - status: {state: pending, context: ci, description: "it\nruns"}
      - label: {add: [tested, "{{ event.pull.action }}"]}
      - comment: {body: "Done."}
        name: done
      - comment: {body: "one more", append: true}
      - status: {state: success, context: ci}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_is_one_and_is_brought_up_to_date_and_a_planted_one_is_left_alone() {
    let scene = Scene::open().await;
    let report = scene.play(REPORT, &scene.offered()).await;
    assert_eq!(report.state, State::Succeeded, "{report:?}");
    let comments = scene.comments();
    assert_eq!(comments.len(), 2, "{comments:?}");
    assert!(comments.iter().all(|body| body.starts_with("<!-- soopervisor ")), "{comments:?}");
    assert!(comments[0].ends_with("\nDone.") && comments[1].ends_with("\none more"), "{comments:?}");
    let history = scene.fake.state().comments[0].history.clone();
    assert!(history[0].ends_with(&format!("Testing {}", scene.head)) && history.len() == 2, "{history:?}");
    let statuses = scene.fake.state().statuses.clone();
    assert_eq!((statuses.len(), &statuses[0].2["description"]), (2, &json!("it runs")));
    assert_eq!((statuses[1].1.as_str(), &statuses[1].2["state"]), (scene.head.as_str(), &json!("success")));
    assert_eq!(scene.fake.state().labels[&(REPO.to_owned(), 7)], ["opened", "tested"]);
    // Eve copies the hidden line into a comment of her own: it is hers, whatever it says.
    let mark = comments[0].lines().next().unwrap().to_owned();
    scene.fake.state().comments.remove(0);
    let now = "2026-11-28T12:00:00Z".parse().unwrap();
    scene.fake.state().comment(REPO, 7, Account::User("eve".into()), &format!("{mark}\nmine"), now);
    let one = "  - {name: report, on: pull_request, do: {comment: {body: again}}}\n";
    assert_eq!(scene.play(one, &scene.offered()).await.state, State::Succeeded);
    let comments = scene.comments();
    assert_eq!((comments.len(), comments[1].as_str()), (3, &*format!("{mark}\nmine")), "{comments:?}");
    assert!(comments[2].ends_with("\nagain"), "{comments:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_any_two_states_everything_is_told_and_seen_once() {
    for writes in 0.. {
        let scene = Scene::open().await;
        let (killed, report) = scene.killed(&scene.file(REPORT), &scene.offered(), writes).await;
        assert_eq!(report.state, State::Succeeded, "after {writes} writes: {report:?}");
        let comments = scene.comments();
        assert_eq!(comments.len(), 2, "after {writes} writes: {comments:?}");
        assert!(comments[0].ends_with("\nDone.") && comments[1].ends_with("\none more"), "{comments:?}");
        assert_eq!(scene.fake.state().labels[&(REPO.to_owned(), 7)], ["opened", "tested"]);
        let last = scene.fake.state().statuses.last().cloned().unwrap();
        assert_eq!(last.2["state"], "success");
        if !killed {
            assert!(writes >= 12, "{writes}");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_makes_no_second_comment() {
    let scene = Scene::open().await;
    let line = format!("POST /repos/{REPO}/issues/7/comments");
    scene.fake.trouble(&line, 1, Fault::Deaf);
    let one = "  - {name: report, on: pull_request, do: {comment: {body: once}}}\n";
    assert_eq!(scene.play(one, &scene.offered()).await.state, State::Succeeded);
    assert_eq!((scene.comments().len(), scene.fake.asked(&line).len()), (1, 1));
    scene.fake.trouble(&line, 1, Fault::Cut);
    let other = "  - {name: other, on: pull_request, do: {comment: {body: twice asked, key: k}}}\n";
    assert_eq!(scene.play(other, &scene.offered()).await.state, State::Succeeded);
    assert_eq!((scene.comments().len(), scene.fake.asked(&line).len()), (2, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_is_one_a_name_and_commit_and_for_apps() {
    let handlers = "  - name: check\n    on: pull_request\n    do:\n      - check: {conclusion: in_progress, title: t, summary: s}\n      \
                    - check: {conclusion: skipped, title: t, summary: s}\n";
    let place = Scene::open().await;
    let (none, found) = soopervisor::server::file::parse("server.yaml", place.text(handlers).as_bytes());
    assert!(none.is_none() && found[0].code == "server/no-token", "{found:?}");
    assert!(found[0].place.is_some() && found[0].message.contains("checks are for Apps"), "{found:?}");
    let (key, public) = app_key();
    let pem = place.place.folder.path().join("app.pem");
    std::fs::write(&pem, key).unwrap();
    for writes in [0, 1, 2, 3, usize::MAX] {
        let scene = Scene::open().await;
        scene.fake.state().apps.push(("robo-app".into(), "4711".into(), public.clone()));
        let text = scene
            .text(handlers)
            .replace("{token: ", &format!("{{app_id: 4711, private_key: 'file:{}', token: ", pem.display()));
        let (file, found) = soopervisor::server::file::parse("server.yaml", text.as_bytes());
        let file = Arc::new(file.unwrap_or_else(|| panic!("{found:?}")));
        let (_, report) = scene.killed(&file, &scene.offered(), writes).await;
        assert_eq!(report.state, State::Succeeded, "{report:?}");
        let checks = scene.fake.state().checks.clone();
        assert_eq!(checks.len(), 1, "killed after {writes} writes: {checks:?}");
        let last = checks.values().next().unwrap().last().unwrap().clone();
        assert_eq!((&last["status"], &last["conclusion"]), (&json!("completed"), &json!("skipped")));
    }
}

/// A fresh key in PEM, and what verifies it.
pub(crate) fn app_key() -> (String, Vec<u8>) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let public: PublicKeyX509Der<'_> = aws_lc_rs::signature::KeyPair::public_key(&pair).as_der().unwrap();
    (pem, public.as_ref().to_vec())
}

const BUILD: &str = r#"
  - name: build
    on: push
    do:
      - dispatch: {repo: octo-org/builds, event_type: build-it, inputs: {commit: "{{ event.commit }}"}}
"#;

/// What a dispatch came to: whether it was triggered, and why not.
fn triggered(report: &Report, journal: &Memory) -> (bool, String) {
    assert_eq!(report.state, State::Succeeded, "{report:?}");
    let all = journal.all();
    let Some(Recall::Finished(outcome)) = all.values().next() else { panic!("{all:?}") };
    (outcome.result["triggered"] == true, outcome.result["reason"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_asked_for_once_a_commit_one_at_a_time_and_its_end_is_looked_up() {
    let scene = Scene::open().await;
    let file = scene.file(BUILD);
    let play = async |event: &Event| {
        let journal = Memory::default();
        let plan = Plan { handler: &file.handlers[0], event };
        // Each time by a server that was just started.
        let report = execute(&plan, &file.notify, &scene.doing(&file), &journal).await.unwrap();
        triggered(&report, &journal)
    };
    let again = |commit: &str, change| {
        let mut event = pushed(commit);
        event.change = Some(change);
        event
    };
    assert_eq!(play(&pushed(&scene.main)).await, (true, String::new()));
    let (triggered, why) = play(&again(&scene.head, 2)).await;
    assert!(!triggered && why.contains("under way"), "{why}");
    scene.fake.state().workflow_runs[0].conclusion = Some("success");
    let (triggered, why) = play(&again(&scene.main, 3)).await;
    assert!(!triggered && why.contains("built already"), "{why}");
    assert!(play(&again(&scene.head, 4)).await.0);
    scene.fake.state().workflow_runs[1].conclusion = Some("failure");
    let (triggered, why) = play(&again(&scene.head, 5)).await;
    assert!(!triggered && why.contains("failed before"), "{why}");
    let dispatches = scene.fake.state().dispatches.clone();
    assert_eq!(dispatches.len(), 2, "{dispatches:?}");
    assert_eq!(dispatches[0].1["client_payload"]["commit"], json!(scene.main));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_point_a_build_is_asked_for_exactly_once() {
    let workflow = BUILD.replace("event_type: build-it", "workflow: build.yml");
    for handlers in [BUILD, &workflow] {
        for writes in [0, 1, usize::MAX] {
            let scene = Scene::open().await;
            let (_, report) = scene.killed(&scene.file(handlers), &pushed(&scene.main), writes).await;
            assert_eq!(report.state, State::Succeeded, "{report:?}");
            assert_eq!(scene.fake.state().workflow_runs.len(), 1, "killed after {writes} writes");
        }
        // Asked for, and killed before the answer came; then the answer is lost on the way; then the asking itself.
        for (fault, askings) in [(Fault::Deaf, 1), (Fault::Status(502), 2)] {
            let scene = Scene::open().await;
            let line = format!("POST /repos/{BUILDS}/");
            scene.fake.trouble(&line, 1, fault.clone());
            let report = scene.play(handlers, &pushed(&scene.main)).await;
            if askings == 2 {
                assert_eq!(report.state, State::Failed, "nothing was begun, and that is said: {report:?}");
                assert_eq!(scene.play(handlers, &pushed(&scene.main)).await.state, State::Succeeded);
            } else {
                assert_eq!(report.state, State::Succeeded, "{report:?}");
            }
            assert_eq!(scene.fake.asked(&line).len(), askings);
            assert_eq!(scene.fake.state().workflow_runs.len(), 1, "{fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_is_named_by_its_number_is_found_again_among_runs_of_others() {
    let scene = Scene::open().await;
    let other = BUILD.replace("event_type: build-it", "workflow: test.yml");
    let handlers = BUILD.replace("event_type: build-it", "workflow: 77");
    let line = format!("POST /repos/{BUILDS}/actions/workflows/77/");
    scene.fake.trouble(&line, 1, Fault::Deaf);
    let (main, head) = (pushed(&scene.main), pushed(&scene.head));
    let (first, second) = tokio::join!(scene.play(&handlers, &main), scene.play(&other, &head));
    assert_eq!((first.state, second.state), (State::Succeeded, State::Succeeded), "{first:?} {second:?}");
    let kept = scene.place.database.builds(&format!("{REPO} {BUILDS} 77")).await.unwrap().unwrap();
    let runs = scene.fake.state().workflow_runs.clone();
    let own = runs.iter().find(|run| run.path.ends_with("/77")).unwrap();
    assert_eq!((runs.len(), &kept["asked"]["run"]), (2, &json!(own.id)), "{runs:?}");
    assert_eq!(scene.fake.asked(&line).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_memory_was_written_and_whose_asking_was_not_sent_sends_it() {
    let scene = Scene::open().await;
    let file = scene.file(BUILD);
    let event = pushed(&scene.main);
    let step = Key { event: event.key(), handler: "build".into(), index: "0".into() }.to_string();
    let asked = json!({"commit": scene.main, "at": "2026-11-28T12:00:00Z", "step": step, "heard": false, "after": 0, "run": null});
    let name = format!("{REPO} {BUILDS} build-it");
    let builds = json!({"built": null, "failed": [], "asked": asked});
    scene.place.database.remember_builds(&name, &builds).await.unwrap();
    let plan = Plan { handler: &file.handlers[0], event: &event };
    let report = execute(&plan, &file.notify, &scene.doing(&file), &Memory::default()).await.unwrap();
    assert_eq!(report.state, State::Succeeded, "{report:?}");
    assert_eq!(scene.fake.state().workflow_runs.len(), 1);
    let kept = scene.place.database.builds(&name).await.unwrap().unwrap();
    assert_eq!(kept["asked"]["heard"], true, "{kept}");
}

#[test]
fn what_is_missing_for_a_forge_is_told_with_its_place_before_anything_starts() {
    let text = "repos:\n  - {url: 'https://github.com/acme/churn.git'}\nhandlers:\n  - name: x\n    on: push\n    repos: acme/*\n    \
                do:\n      - status: {state: success}\n";
    let (none, found) = soopervisor::server::file::parse("server.yaml", text.as_bytes());
    assert!(none.is_none());
    let (source, span) = found[0].place.as_ref().unwrap();
    assert_eq!(&source.text[span.start..span.start + span.len], "status");
    assert_eq!(found[0].message, "`status` cannot be done: `acme/churn` has no `credential`");
    assert!(found[0].help.as_ref().unwrap().contains("credentials:"));
    let elsewhere = text.replace("repos: acme/*", "repos: other/*");
    assert!(soopervisor::server::file::parse("server.yaml", elsewhere.as_bytes()).0.is_some());
}

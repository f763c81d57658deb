//! A server that watches a repository of GitLab or Forgejo: what handlers tell there, and what is said before anything starts.
//! The scene is shared with `gitea`, `commands` and `polled`.

use std::sync::Arc;

use serde_json::{Value, json};
use soopervisor::secret::Secret;
use soopervisor::server::event::{Event, Kind, Pull, Source};
use soopervisor::server::file::{Commits, File, parse};
use soopervisor::server::forges::Forges;
use soopervisor::server::handler::{Memory, Plan, Report, State, execute};
use soopervisor::server::hook::envelope::Forge as Sender;
use soopervisor::server::hook::genuine::HookSecrets;
use soopervisor::server::hook::{Asking, Dispatcher, Receiver};
use soopervisor::server::ledger;
use soopervisor::server::metrics::Metrics;
use soopervisor::server::perform::Doing;
use soopervisor::server::poll::state::FirstSeen;
use soopervisor::server::poll::{Address, Watch};
use soopervisor::store::database::NewRepo;
use soopervisor::web::Reach;
use tokio::sync::watch;

use super::Place;
use super::fake_forges::{Dialect, FakeForge, TRIGGER, sha};

/// The repository's name in the server's file.
pub(crate) const NAME: &str = "churn";
const SECRET: &[u8] = b"hook";

/// A forge in small, and a server that is the user `robo` there.
pub(crate) struct Scene {
    pub(crate) fake: FakeForge,
    pub(crate) place: Place,
}

impl Scene {
    pub(crate) async fn open(dialect: Dialect) -> Self {
        let fake = FakeForge::start(dialect).await;
        let place = Place::new().await;
        let url = format!("{}/{}.git", fake.server(), fake.state().name);
        let new = NewRepo { url, name: NAME.into(), settings: json!({}) };
        place.database.watch(&[new]).await.unwrap();
        std::fs::write(place.folder.path().join("token"), "token-of-robo\n").unwrap();
        Self { fake, place }
    }

    fn word(&self) -> &'static str {
        if self.fake.dialect == Dialect::GitLab { "gitlab" } else { "gitea" }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/{}.git", self.fake.server(), self.fake.state().name)
    }

    pub(crate) fn text(&self, handlers: &str) -> String {
        format!(
            "server: {{public_url: 'https://ci.example'}}\ncredentials: {{it: {{token: 'file:{}', forge: {}}}}}\nrepos:\n  - {{url: '{}', \
             name: {NAME}, credential: it}}\nhandlers:\n{handlers}",
            self.place.folder.path().join("token").display(),
            self.word(),
            self.url(),
        )
    }

    pub(crate) fn file(&self, handlers: &str) -> Arc<File> {
        let (file, found) = parse("server.yaml", self.text(handlers).as_bytes());
        Arc::new(file.unwrap_or_else(|| panic!("{found:?}")))
    }

    pub(crate) fn doing(&self, file: &Arc<File>) -> Doing {
        let forges = Forges::of(Arc::clone(file), Reach::default());
        Doing::new(self.place.database.clone(), Arc::clone(file), forges, Arc::default(), Arc::default())
    }

    pub(crate) async fn play(&self, handlers: &str, event: &Event) -> Report {
        let file = self.file(handlers);
        let plan = Plan { handler: &file.handlers[0], event };
        execute(&plan, &file.notify, &self.doing(&file), &Memory::default()).await.unwrap()
    }

    /// The merge request, changed.
    pub(crate) fn offered() -> Event {
        let mut event = Event::new(Kind::PullRequest, NAME, "2026-11-28T12:00:00Z".parse().unwrap(), Source::Webhook);
        event.reference = Some("refs/merge-requests/7/head".into());
        let head = Some(sha('b').parse().unwrap());
        event.pull =
            Some(Pull { number: 7, action: "opened".into(), title: "@all /merge".into(), head, ..Pull::default() });
        event
    }

    /// Reads what was delivered, asking the forge about comments.
    pub(crate) async fn dispatcher(&self, file: &Arc<File>) -> Dispatcher {
        let repo = self.place.database.repo(NAME).await.unwrap().id;
        let watched = Arc::new(Watch {
            repo,
            name: NAME.into(),
            address: Address::Http(self.url().parse().unwrap(), None),
            prefixes: vec!["refs/heads/".into()],
            every: None,
            first_seen: FirstSeen::Record,
            commits: Commits::Latest,
        });
        let (_, watches) = watch::channel(vec![watched]);
        let forges = Forges::of(Arc::clone(file), Reach::default());
        let database = self.place.database.clone();
        let dispatcher = Dispatcher::new(database, self.place.poller(), watches, Arc::default(), Arc::default());
        dispatcher.asking(Some(Asking::of(Arc::clone(file), forges)))
    }

    /// Somebody writes a comment, and the forge delivers it; the event that comes of it.
    pub(crate) async fn says(&self, file: &Arc<File>, login: &str, number: u64, body: &str, at: &str) -> Event {
        let id = self.fake.state().write(login, number, body, at);
        let payload = self.delivery(id, login, number, body, at);
        let text = payload.to_string();
        let secrets = HookSecrets {
            gitlab: vec![Secret::new("hook", SECRET.to_vec())],
            gitea: vec![Secret::new("hook", SECRET.to_vec())],
            ..HookSecrets::default()
        };
        let receiver = Receiver::new(self.place.database.clone(), secrets, Metrics::default(), Arc::default());
        let proof = match self.fake.dialect {
            Dialect::GitLab => String::from_utf8_lossy(SECRET).into_owned(),
            Dialect::Forgejo => {
                let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET);
                hex::encode(aws_lc_rs::hmac::sign(&key, text.as_bytes()).as_ref())
            }
        };
        let delivery = format!("d{id}");
        let header = |name: &str| match name {
            "X-Gitlab-Event" => Some("Note Hook"),
            "X-Forgejo-Event" => Some("issue_comment"),
            "X-Gitlab-Event-UUID" | "X-Forgejo-Delivery" => Some(delivery.as_str()),
            "X-Gitlab-Token" | "X-Forgejo-Signature" => Some(proof.as_str()),
            "Content-Type" => Some("application/json"),
            _ => None,
        };
        let sender = if self.fake.dialect == Dialect::GitLab { Sender::GitLab } else { Sender::Gitea };
        assert_eq!(receiver.receive(sender, header, text.as_bytes()).await.status, 202);
        assert!(self.dispatcher(file).await.next().await.unwrap());
        self.newest().await
    }

    fn delivery(&self, id: u64, login: &str, number: u64, body: &str, at: &str) -> Value {
        let state = self.fake.state();
        match self.fake.dialect {
            Dialect::GitLab => json!({
                "object_kind": "note", "event_type": "note", "user": {"id": 2, "username": login},
                "project": {"id": 17, "path_with_namespace": state.name, "git_http_url": format!("{}/{}.git", self.fake.server(), state.name)},
                "object_attributes": {"id": id, "note": body, "noteable_type": "MergeRequest", "created_at": at, "system": false, "action": "create"},
                "merge_request": {"iid": number, "state": "opened", "title": "t", "last_commit": {"id": state.merges[&number].head}},
            }),
            Dialect::Forgejo => json!({
                "action": "created", "is_pull": true, "sender": {"login": login},
                "issue": {"number": number, "state": "open", "title": "t", "user": {"login": "ann"}, "pull_request": {"merged": false}},
                "comment": {"id": id, "body": body, "user": {"login": login}, "created_at": at},
                "repository": {"clone_url": format!("{}/{}.git", self.fake.server(), state.name), "default_branch": "main"},
            }),
        }
    }

    /// The newest event, as handlers see it.
    pub(crate) async fn newest(&self) -> Event {
        let row = self.place.database.events(None, 1).await.unwrap().remove(0);
        ledger::event(&row, NAME).unwrap()
    }
}

pub(crate) const REPORT: &str = r#"
  - name: report
    on: pull_request
    do:
      - comment: {body: "Testing {{ event.pull.head }}"}
      - status: {state: pending, context: ci, description: "it\nruns"}
      - label: {add: [tested, "{{ event.pull.action }}"]}
      - comment: {body: "{{ event.pull.title }}"}
        name: done
      - comment: {body: "one more", append: true}
      - label: {remove: opened}
      - status: {state: success, context: ci}
"#;

/// What is there after the handler, whichever forge it is.
pub(crate) async fn told(dialect: Dialect) {
    let scene = Scene::open(dialect).await;
    for _ in 0..2 {
        let report = scene.play(REPORT, &Scene::offered()).await;
        assert_eq!(report.state, State::Succeeded, "{dialect:?}: {report:?}");
    }
    let comments = scene.fake.state().said_by("robo");
    assert_eq!(comments.len(), 2, "{dialect:?}: one a key, also the second time: {comments:?}");
    assert!(comments.iter().all(|body| body.starts_with("<!-- soopervisor ")), "{comments:?}");
    let title = comments[0].lines().last().unwrap();
    assert!(!title.contains("@all") && title.contains("/merge") && comments[1].ends_with("\none more"), "{comments:?}");
    assert_eq!(scene.fake.state().labels[&7], ["tested"], "{dialect:?}");
    let last = scene.fake.state().statuses.last().cloned().unwrap();
    assert_eq!((last.0.as_str(), &last.1["state"]), (sha('b').as_str(), &json!("success")), "{dialect:?}");
    // Eve copies the hidden line into a comment of her own: it is hers, whatever it says.
    let mark = comments[0].lines().next().unwrap().to_owned();
    scene.fake.state().notes.remove(0);
    scene.fake.state().write("eve", 7, &format!("{mark}\nmine"), "2026-11-28T12:00:00Z");
    let one = "  - {name: report, on: pull_request, do: {comment: {body: again}}}\n";
    assert_eq!(scene.play(one, &Scene::offered()).await.state, State::Succeeded);
    assert_eq!(scene.fake.state().said_by("eve"), [format!("{mark}\nmine")], "{dialect:?}");
    assert!(scene.fake.state().said_by("robo")[1].ends_with("\nagain"), "{dialect:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_is_told_by_comments_statuses_and_labels_and_a_planted_comment_is_left_alone() {
    told(Dialect::GitLab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_gitlabs_that_is_lost_makes_no_second_comment() {
    let scene = Scene::open(Dialect::GitLab).await;
    scene.fake.state().troubles.push(("POST /projects".to_owned(), 0));
    let one = "  - {name: report, on: pull_request, do: {comment: {body: once}}}\n";
    assert_eq!(scene.play(one, &Scene::offered()).await.state, State::Succeeded);
    assert_eq!(scene.fake.state().said_by("robo").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_started_once_for_a_commit() {
    let scene = Scene::open(Dialect::GitLab).await;
    let handlers = "  - name: build\n    on: pull_request\n    do:\n      - dispatch: {repo: acme/data/churn, event_type: build-it, inputs: \
                    {commit: \"{{ event.commit }}\"}}\n";
    for _ in 0..2 {
        assert_eq!(scene.play(handlers, &Scene::offered()).await.state, State::Succeeded);
    }
    let started = scene.fake.state().started.clone();
    assert_eq!(started.len(), 1, "{started:?}");
    assert_eq!(started[0].what[0], json!({"key": "SOOPERVISOR_EVENT", "value": "build-it"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_started_by_a_trigger_token_where_the_credential_has_one() {
    let scene = Scene::open(Dialect::GitLab).await;
    let trigger = scene.place.folder.path().join("trigger");
    std::fs::write(&trigger, format!("{TRIGGER}\n")).unwrap();
    let handlers = "  - name: build\n    on: pull_request\n    do:\n      - dispatch: {repo: acme/data/churn, event_type: build-it}\n";
    let text =
        scene.text(handlers).replace("{it: {", &format!("{{it: {{trigger_token: 'file:{}', ", trigger.display()));
    let (file, found) = parse("server.yaml", text.as_bytes());
    let (file, event) = (Arc::new(file.unwrap_or_else(|| panic!("{found:?}"))), Scene::offered());
    let plan = Plan { handler: &file.handlers[0], event: &event };
    let report = execute(&plan, &file.notify, &scene.doing(&file), &Memory::default()).await.unwrap();
    assert_eq!(report.state, State::Succeeded, "{report:?}");
    assert_eq!(scene.fake.state().started[0].what, json!({"SOOPERVISOR_EVENT": "build-it"}));
}

/// What is said of one step, and where.
fn refused(scene: &Scene, step: &str) -> (String, String, String) {
    let handlers = format!("  - name: x\n    on: push\n    do:\n      - {step}\n");
    let (none, found) = parse("server.yaml", scene.text(&handlers).as_bytes());
    assert!(none.is_none(), "{step} was taken");
    let (source, span) = found[0].place.as_ref().unwrap();
    let word = source.text[span.start..span.start + span.len].to_owned();
    (word, found[0].message.clone(), found[0].help.clone().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_forge_has_not_is_said_with_its_place_when_the_file_is_read() {
    let gitlab = Scene::open(Dialect::GitLab).await;
    let gitea = Scene::open(Dialect::Forgejo).await;
    let check = "check: {conclusion: success, title: t, summary: s}";
    let (by_event, by_file) = ("dispatch: {repo: a/b, event_type: x}", "dispatch: {repo: a/b, workflow: b.yml}");
    for (scene, step, word, message, help) in [
        (&gitlab, check, "check", "is on GitLab, which has no check runs", "status"),
        (&gitea, check, "check", "is on Gitea, which has no check runs", "status"),
        (&gitlab, by_file, "dispatch", "no workflows that are started by their file", "event_type"),
        (&gitea, by_event, "dispatch", "no events for workflows", "workflow: FILE"),
    ] {
        let (at, said, todo) = refused(scene, step);
        assert_eq!(at, word, "{step}: {said}");
        assert!(said.contains(message) && todo.contains(help), "{step}: {said} {todo}");
    }
    for (scene, step) in [(&gitlab, by_event), (&gitea, by_file)] {
        scene.file(&format!("  - {{name: x, on: push, do: [{{{step}}}]}}\n"));
    }
    let (at, said, _) = refused(&gitlab, "command: {}");
    assert_eq!(at, "command");
    assert!(said.contains("for no comments"), "{said}");
    let (at, said, _) = refused(&gitea, "label: {pull: 3}");
    assert!(at == "label" && said.contains("labels to `add` or to `remove`"), "{said}");
}

//! The server's settings while it runs: its file is read again, handlers come over the API, and what is wrong does not
//! count.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::{Value, json};
use soopervisor::store::database::{Database, RunFilter, RunState};

use super::git::{Forge, Manner};
use super::process::{Running, ledger, program};
use super::ready::Greeter;
use super::until;

/// A server with a file, and a repository whose pushes are noted.
struct Setting {
    home: tempfile::TempDir,
    forge: Forge,
    /// There, as far as it is asked.
    engine: Greeter,
    client: reqwest::Client,
}

impl Setting {
    async fn new() -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let (forge, engine) = (Forge::start().await, Greeter::start());
        Self { home: tempfile::tempdir().unwrap(), forge, engine, client }
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("server.yaml")
    }

    /// Writes the file anew, with this in its repository and these handlers.
    fn write(&self, more: &str, handlers: &str) {
        let url = self.forge.url();
        let text =
            format!("repos:\n  - {{url: '{url}', poll: 1s, storage: 'local:/nowhere'{more}}}\nhandlers:\n{handlers}");
        std::fs::write(self.file(), text).unwrap();
    }

    async fn start(&self) -> (Running, Database) {
        let mut command = program(self.home.path());
        command.env("DOCKER_HOST", self.engine.address()).args(["serve", "--config"]).arg(self.file());
        let server = Running::spawn(command);
        let database = ledger(self.home.path()).await;
        until("the first reading", || async {
            database.repo("acme/churn").await.is_ok_and(|repo| repo.read_at.is_some())
        })
        .await;
        (server, database)
    }

    async fn ask(&self, method: &str, url: String, body: Option<Value>) -> (u16, String) {
        let mut request = self.client.request(method.parse().unwrap(), url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// What `/readyz` says of the settings.
    async fn wrong(&self, server: &Running) -> Vec<String> {
        let (status, text) = self.ask("GET", format!("{}/readyz", server.base), None).await;
        assert_eq!(status, 200, "a wrong file takes nobody's server away: {text}");
        let said: Value = serde_json::from_str(&text).unwrap();
        serde_json::from_value(said["settings"].clone()).unwrap()
    }

    /// Adds a line to each of these files; the next push has it.
    fn touch(&self, names: &[&str]) {
        for name in names {
            let path = self.forge.work().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::write(&path, before + "line\n").unwrap();
        }
    }

    /// What is known of the event whose commit is the newest one here: its kind, its paths and its fault.
    async fn newest(&self, database: &Database) -> (String, Value, Option<String>) {
        let sha = self.forge.git(&["rev-parse", "HEAD"]);
        let event = || async {
            let events = database.events(None, 200).await.unwrap();
            events.into_iter().find(|event| event.new.new_sha.as_ref() == Some(&sha) && event.state == "handled")
        };
        until("the push is handled", || async { event().await.is_some() }).await;
        let event = event().await.unwrap();
        (event.new.kind, event.new.payload["paths"].clone(), event.fault)
    }

    /// Pushes, and says which handlers were done for it.
    async fn done(&self, database: &Database, text: &str) -> Vec<String> {
        let sha = self.forge.commit("main", text);
        let event = || async {
            let events = database.events(None, 200).await.unwrap();
            events.into_iter().find(|event| event.new.new_sha.as_ref() == Some(&sha))
        };
        until("the push is told", || async { event().await.is_some() }).await;
        until("everything is handled", || async { database.waiting().await.unwrap() == (0, 0) }).await;
        let id = event().await.unwrap().id;
        let mut done = Vec::new();
        for handler in ["first", "second", "extra"] {
            let ended = || async { database.action_results(id, handler).await.unwrap() };
            if ended().await.is_empty() {
                continue;
            }
            until("the handler is done", || async { ended().await.iter().all(|(_, state, _)| state == "done") }).await;
            done.push(handler.to_owned());
        }
        done
    }
}

fn noting(name: &str) -> String {
    format!("  - name: {name}\n    on: push\n    do:\n      - log: {{text: noted}}\n")
}

fn noting_when(name: &str, when: &str) -> String {
    noting(name).replace("    do:", &format!("    when: {when}\n    do:"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_counts_at_once_and_a_wrong_one_never() {
    let setting = Setting::new().await;
    setting.write("", &noting("first"));
    let (server, database) = setting.start().await;
    assert_eq!(setting.done(&database, "one").await, ["first"]);

    let wrong = noting("second").replace("text: noted", "txt: noted");
    setting.write("", &wrong);
    until("it is found wrong", || async { !setting.wrong(&server).await.is_empty() }).await;
    let places = setting.wrong(&server).await;
    let at = |line: usize| format!("{}:{line}:", setting.file().display());
    assert!(places.iter().all(|place| place.starts_with(&at(7))), "{places:?}");
    let (status, page) = setting.ask("GET", server.base.clone(), None).await;
    assert!(status == 200 && page.contains("Settings that do not count") && page.contains(&at(7)), "{page}");
    let said = || server.said.lock().unwrap().join("\n");
    until("the log says it", || async { said().contains(&at(7)) && said().contains("the file from before goes on") })
        .await;
    assert_eq!(setting.done(&database, "two").await, ["first"], "the file from before goes on");

    setting.write("", &noting("second"));
    until("it is right again", || async { setting.wrong(&server).await.is_empty() }).await;
    assert_eq!(setting.done(&database, "three").await, ["second"]);

    // A repository more is watched without a start.
    let other = Forge::start().await;
    let text = std::fs::read_to_string(setting.file()).unwrap();
    let more = format!("repos:\n  - {{url: '{}', name: other, project: other, poll: 1s}}\n", other.url());
    std::fs::write(setting.file(), text.replacen("repos:\n", &more, 1)).unwrap();
    until("the other one is read", || async { database.repo("other").await.is_ok_and(|repo| repo.read_at.is_some()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_of_the_api_are_done_beside_those_of_the_file() {
    let setting = Setting::new().await;
    setting.write("", &noting("first"));
    let (server, database) = setting.start().await;
    let at = |name: &str| format!("{}/api/handlers/{name}", server.base);
    let text = |text: &str| Some(json!({"text": text}));
    let good = "name: extra\non: push\ndo:\n  - log: {text: 'of the API'}\n";
    for (name, wrong, says) in [
        ("extra", "name: extra\non: push\ndo:\n  - log: {txt: x}\n", "extra:4:"),
        ("extra", "name: other\non: push\ndo: [{log: {text: x}}]\n", "another one"),
        ("first", "name: first\non: push\ndo: [{log: {text: x}}]\n", "the server's file has"),
    ] {
        let (status, said) = setting.ask("PUT", at(name), text(wrong)).await;
        assert!(status == 400 && said.contains(says), "{status} {said}");
    }
    assert_eq!(setting.ask("PUT", at("extra"), text(good)).await.0, 200);
    // It counts a moment after it was written.
    let mut done = Vec::new();
    for push in 0..20 {
        done = setting.done(&database, &push.to_string()).await;
        if done.len() == 2 {
            break;
        }
    }
    assert_eq!(done, ["first", "extra"]);
    let (_, listed) = setting.ask("GET", format!("{}/api/handlers", server.base), None).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let (file, api) = (&listed["handlers"][0], &listed["handlers"][1]);
    assert_eq!((&file["name"], &file["source"], &file["text"]), (&json!("first"), &json!("file"), &Value::Null));
    assert_eq!((&api["name"], &api["source"], &api["text"]), (&json!("extra"), &json!("api"), &json!(good)));
    let (status, said) = setting.ask("DELETE", at("first"), None).await;
    assert!(status == 409 && said.contains("in the server's file"), "{status} {said}");
    // What was done is with the event, also by whom.
    let (_, newest) = setting.ask("GET", format!("{}/api/events?limit=1", server.base), None).await;
    let newest: Value = serde_json::from_str(&newest).unwrap();
    let newest = format!("{}/api/events/{}", server.base, newest["events"][0]["id"]);
    let (_, event) = setting.ask("GET", newest, None).await;
    let event: Value = serde_json::from_str(&event).unwrap();
    let done: Vec<String> = event["steps"].as_array().unwrap().iter().map(|step| step["handler"].to_string()).collect();
    assert!(done.len() == 2 && done.contains(&"\"first\"".to_owned()), "{event}");
    assert_eq!([&event["steps"][0]["action"], &event["steps"][0]["status"]], ["log", "succeeded"]);
    // The next process knows it too; one that the file then takes the name of does not count, and that is said.
    server.kill();
    setting.write("", &(noting("first") + &noting("extra")));
    let (server, database) = setting.start().await;
    until("it is said", || async { setting.wrong(&server).await == ["handler extra server/handler"] }).await;
    let (status, said) = setting.ask("PUT", format!("{}/api/handlers/extra", server.base), text(good)).await;
    assert!(status == 400 && said.contains("the server's file has"), "it would never be done: {status} {said}");
    let versions = setting.ask("GET", format!("{}/api/handlers/extra/versions", server.base), None).await;
    assert!(versions.1.contains("of the API"), "{versions:?}");
    assert_eq!(setting.ask("DELETE", format!("{}/api/handlers/extra", server.base), None).await.0, 200);
    until("it is gone", || async { setting.wrong(&server).await.is_empty() }).await;
    assert_eq!(setting.done(&database, "two").await, ["first", "extra"], "the file's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_each_commit_is_told_each_is_run_and_none_takes_the_others_place() {
    let setting = Setting::new().await;
    let runs = "  - name: first\n    on: push\n    do:\n      - run: {mode: sample}\n";
    setting.write(", commits: each_commit", runs);
    let (_server, database) = setting.start().await;
    let mut expected = Vec::new();
    for number in 0..3 {
        setting.forge.git(&["commit", "-q", "--allow-empty", "-m", &number.to_string()]);
        expected.push(setting.forge.git(&["rev-parse", "HEAD"]));
    }
    setting.forge.git(&["push", "-q", "origin", "main"]);
    let ended = || async {
        let runs = database.runs(&RunFilter::default()).await.unwrap();
        runs.len() == 3 && runs.iter().all(|run| run.state.has_ended())
    };
    until("three runs ended", ended).await;
    let mut runs = database.runs(&RunFilter::default()).await.unwrap();
    assert!(runs.iter().all(|run| run.state == RunState::Failed), "the pipeline is missing, nothing else: {runs:?}");
    runs.sort_by_key(|run| expected.iter().position(|sha| *sha == run.new.sha));
    assert_eq!(runs.iter().map(|run| run.new.sha.clone()).collect::<Vec<_>>(), expected);
    assert!(Path::new(&setting.home.path().join("state/poller/copies")).is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_that_are_added_tell_nothing_of_what_was_there_before() {
    let setting = Setting::new().await;
    setting.forge.commit("feat/old", "old");
    setting.forge.git(&["tag", "v1"]);
    setting.forge.git(&["push", "-q", "origin", "v1"]);
    let all = "  - name: first\n    on: [push, branch_created, tag_created]\n    do:\n      - log: {text: noted}\n";
    setting.write(", branches: [main]", all);
    let (_server, database) = setting.start().await;
    setting.write(", branches: [main, 'feat/*'], tags: ['v*']", all);
    let asked = || async { database.repo("acme/churn").await.unwrap().asked.unwrap_or_default() };
    until("tags are read", || async { asked().await.contains(&"refs/tags/v".to_owned()) }).await;
    let kinds = || async {
        let events = database.events(None, 50).await.unwrap();
        events.into_iter().map(|event| event.new.kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds().await, [""; 0]);
    setting.forge.git(&["tag", "v2"]);
    setting.forge.git(&["push", "-q", "origin", "v2"]);
    until("the new tag is told", || async { !kinds().await.is_empty() }).await;
    assert_eq!(kinds().await, ["tag_created"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_was_corrected_is_tried_at_once() {
    let setting = Setting::new().await;
    let basic = base64::engine::general_purpose::STANDARD.encode("x-access-token:the-right-one");
    setting.forge.behave(Manner { password: Some(format!("Basic {basic}")), ..Manner::default() });
    let token = setting.home.path().join("token");
    let text = format!(
        "credentials: {{hub: {{token: 'file:{}'}}}}\nrepos:\n  - {{url: '{}', credential: hub, poll: 1s, storage: 'local:/nowhere'}}\n",
        token.display(),
        setting.forge.url()
    );
    std::fs::write(&token, "a-wrong-one").unwrap();
    std::fs::write(setting.file(), &text).unwrap();
    let _server = Running::of_file(setting.home.path(), &setting.file());
    let database = ledger(setting.home.path()).await;
    let repo = || async { database.repo("acme/churn").await.unwrap() };
    until("it is refused", || async { repo().await.failures > 0 }).await;
    // Left alone, it would rest for half an hour.
    std::fs::write(&token, "the-right-one").unwrap();
    std::fs::write(setting.file(), format!("{text}# corrected\n")).unwrap();
    until("it is read", || async { repo().await.read_at.is_some() }).await;
    assert_eq!(repo().await.fault, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_hear_of_polled_pushes_whether_they_threw_commits_away() {
    let setting = Setting::new().await;
    setting.write("", &(noting_when("first", "not event.forced") + &noting_when("second", "event.forced")));
    let (_server, database) = setting.start().await;
    assert_eq!(setting.done(&database, "on top").await, ["first"]);
    setting.forge.git(&["reset", "-q", "--hard", "HEAD~1"]);
    assert_eq!(setting.done(&database, "in its place").await, ["second"]);
    assert_eq!(setting.done(&database, "on top again").await, ["first"]);
}

/// One handler for changes to the sources, one for what is not known.
fn by_paths() -> String {
    noting_when("first", r#"event.paths.any("src/**/*.py")"#) + &noting_when("second", "not event.paths.known()")
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_hear_of_polled_pushes_what_they_changed() {
    let setting = Setting::new().await;
    setting.write("", &by_paths());
    let (_server, database) = setting.start().await;
    setting.touch(&["README.md"]);
    assert_eq!(setting.done(&database, "one").await, [""; 0]);
    assert_eq!(setting.newest(&database).await, ("push".into(), json!(["README.md", "file"]), None));
    setting.touch(&["src/zwei Wörter.py", "src/a\nb.py"]);
    assert_eq!(setting.done(&database, "two").await, ["first"]);
    let names = json!(["file", "src/a\nb.py", "src/zwei Wörter.py"]);
    assert_eq!(setting.newest(&database).await, ("push".into(), names.clone(), None));
    // What is thrown away changes, too.
    setting.forge.git(&["reset", "-q", "--hard", "HEAD~1"]);
    assert_eq!(setting.done(&database, "three").await, ["first"]);
    assert_eq!(setting.newest(&database).await, ("push".into(), names, None));
    // A new branch is compared with where it left the default one, however that went on.
    setting.forge.git(&["checkout", "-q", "-b", "feat/x"]);
    setting.touch(&["docs/x.md"]);
    setting.forge.git(&["add", "."]);
    setting.forge.git(&["commit", "-q", "-m", "docs"]);
    setting.forge.git(&["checkout", "-q", "main"]);
    setting.touch(&["src/c.py"]);
    assert_eq!(setting.done(&database, "four").await, ["first"]);
    setting.forge.git(&["checkout", "-q", "feat/x"]);
    setting.forge.git(&["push", "-q", "origin", "feat/x"]);
    assert_eq!(setting.newest(&database).await, ("branch_created".into(), json!(["docs/x.md"]), None));
    // Where the commits cannot be had, handlers are done rather than not, and the event says why.
    setting.forge.git(&["checkout", "-q", "main"]);
    let copies = setting.home.path().join("state/poller/copies");
    std::fs::remove_dir_all(&copies).unwrap();
    std::fs::write(&copies, "no folder").unwrap();
    setting.touch(&["README.md"]);
    assert_eq!(setting.done(&database, "five").await, ["first", "second"]);
    let (kind, paths, fault) = setting.newest(&database).await;
    assert_eq!((kind.as_str(), paths), ("push", Value::Null));
    assert!(fault.is_some_and(|fault| fault.starts_with("which paths changed is not known: ")));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_each_commit_is_told_each_has_its_own_paths() {
    let setting = Setting::new().await;
    setting.write(", commits: each_commit", &by_paths());
    let (_server, database) = setting.start().await;
    for name in ["README.md", "src/a.py", "docs/b.md"] {
        setting.touch(&[name]);
        setting.forge.git(&["add", "."]);
        setting.forge.git(&["commit", "-q", "-m", name]);
    }
    setting.forge.git(&["push", "-q", "origin", "main"]);
    assert_eq!(setting.newest(&database).await.1, json!(["docs/b.md"]));
    let mut events = database.events(None, 10).await.unwrap();
    events.sort_by_key(|event| event.id);
    let paths: Vec<Value> = events.iter().map(|event| event.new.payload["paths"].clone()).collect();
    assert_eq!(paths, [json!(["README.md"]), json!(["src/a.py"]), json!(["docs/b.md"])]);
}

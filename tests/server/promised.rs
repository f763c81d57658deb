//! The file that stands in the documentation, as it is written there but for addresses and the settings that it needs: what
//! comes of the first push of a branch, of later ones, and of one that nobody offers.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use soopervisor::server::file::{File, parse};
use soopervisor::server::forges::Forges;
use soopervisor::server::perform::{ByFile, Doing, Performer};
use soopervisor::server::queue::Events;
use soopervisor::store::database::{Database, Ended, QueueLimits, RunState};
use soopervisor::web::Reach;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::fake_github::{Pull, git};
use super::forging::{REPO, Scene};
use super::until;

/// What users write.
const WRITTEN: &str = r#"
repos:
  - url: https://github.com/acme/churn.git
    branches: [main, "feat/*"]
    poll: 60s
handlers:
  - name: sample on push
    on: push
    when: event.branch.startswith("feat/")
    do:
      - run: { mode: sample }
      - comment: { body: "{{ run.status }} in {{ run.duration }}: {{ run.url }}" }
    on_failure: [{ notify: { mail: team@acme.example } }]
"#;
const HANDLER: &str = "sample on push";
const NOW: &str = "2026-11-28T12:00:00Z";

/// A mail server that takes everything, and keeps what it was told.
fn mailbox() -> (u16, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, kept) = (listener.local_addr().unwrap().port(), Arc::<Mutex<String>>::default());
    let told = Arc::clone(&kept);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut answers = stream.try_clone().unwrap();
            let mut say = move |words: &str| answers.write_all(format!("{words}\r\n").as_bytes());
            let mut in_data = false;
            let _ = say("220 box");
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                told.lock().unwrap().push_str(&format!("{line}\n"));
                let answer = match line.as_str() {
                    "." if in_data => "250 kept",
                    _ if in_data => continue,
                    "DATA" => "354 go on",
                    "QUIT" => "221 bye",
                    _ => "250 box",
                };
                in_data = answer.starts_with("354");
                if say(answer).is_err() {
                    break;
                }
            }
        }
    });
    (port, kept)
}

/// The file with what it needs besides: where the forge and the mail server are, who may write there, where outputs go.
fn written(scene: &Scene, mails: u16) -> Arc<File> {
    let token = scene.place.folder.path().join("token");
    std::fs::write(&token, "token-of-robo\n").unwrap();
    let url = "url: https://github.com/acme/churn.git";
    let here = format!("url: {}/{REPO}.git\n    credential: hub\n    storage: local:/nowhere", scene.fake.server());
    assert!(WRITTEN.contains(url));
    let text = format!(
        "credentials: {{hub: {{token: 'file:{}', api: '{}'}}}}\nmail: {{host: 127.0.0.1, port: {mails}, from: ci@acme.example, tls: \
         none}}\n{}",
        token.display(),
        scene.fake.api(),
        WRITTEN.replace(url, &here)
    );
    let (file, found) = parse("server.yaml", text.as_bytes());
    assert!(found.is_empty(), "nothing is wrong with it: {found:?}");
    Arc::new(file.unwrap())
}

/// The next run that waits ends so.
async fn end(database: &Database, state: RunState) {
    until("a run is queued", || async {
        let queued = database.count_runs().await.unwrap();
        queued.iter().any(|(state, count)| *state == RunState::Queued && *count > 0)
    })
    .await;
    let claim = database.claim("w", QueueLimits::default()).await.unwrap().unwrap();
    assert_eq!(claim.run.new.mode, "sample");
    let ended = Ended { state, exit_code: 0, summary: "so the test says".to_owned() };
    database.finish(claim.run.id, claim.epoch, &ended).await.unwrap();
}

/// Opens a pull request of a branch; and another one, which is made on it and has its commit, too.
fn offer(scene: &Scene, number: u64, branch: &str) {
    let open = |number, branch: &str| {
        let (head_repo, head_branch, base_branch) = (REPO.into(), branch.to_owned(), "main".into());
        scene.fake.open_pull(REPO, Pull { number, head_repo, head_branch, base_branch, open: true });
    };
    open(number, branch);
    git(scene.work.path(), &["commit", "-q", "--allow-empty", "-m", "on top"]);
    let on_top = format!("on-top-{number}");
    scene.fake.push(scene.work.path(), REPO, &on_top, NOW.parse().unwrap());
    open(number + 100, &on_top);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_that_stands_in_the_documentation_does_what_it_says() {
    let (scene, (port, mails)) = (Scene::open().await, mailbox());
    let (file, database) = (written(&scene, port), &scene.place.database);
    let (watch, poller, stop) = (scene.watch(scene.address()).await, scene.place.poller(), CancellationToken::new());
    poller.read(&watch, None).await.unwrap();
    let forges = Forges::of(Arc::clone(&file), Reach::default());
    let doing = Doing::new(database.clone(), Arc::clone(&file), forges, Arc::default(), Arc::default());
    let (effects, handled) = (Arc::new(doing), Arc::<Notify>::default());
    let performer =
        Performer { database: database.clone(), file: Arc::clone(&file), effects, handled: Arc::clone(&handled) };
    let (stopping, retired) = (stop.clone(), stop.clone());
    let performing = tokio::spawn(async move { performer.run(retired, stopping).await });
    let decide = Arc::new(ByFile(Arc::clone(&file)));
    let events = Events::new(database.clone(), decide, Arc::default(), Arc::default()).telling(handled);
    // Somebody pushes; the run that this calls for ends so. What came of the handler, and which kind of event it was.
    let push = async |branch: &str, offered: Option<u64>, state: RunState| -> (String, Value) {
        git(scene.work.path(), &["commit", "-q", "--allow-empty", "-m", branch]);
        let sha = scene.fake.push(scene.work.path(), REPO, branch, NOW.parse().unwrap());
        if let Some(number) = offered {
            offer(&scene, number, branch);
        }
        poller.read(&watch, None).await.unwrap();
        while events.next().await.unwrap() {}
        end(database, state).await;
        let told = database.events(None, 50).await.unwrap();
        // The run's own end is an event of the same commit.
        let pushed = |kind: &str| matches!(kind, "push" | "branch_created");
        let event = told.into_iter().find(|event| pushed(&event.new.kind) && event.new.new_sha.as_ref() == Some(&sha));
        let event = event.unwrap();
        let result = async || database.action_results(event.id, HANDLER).await.unwrap().into_iter().next();
        until("the handler ended", || async { result().await.is_some_and(|result| result.1 == "done") }).await;
        (event.new.kind, result().await.unwrap().2.unwrap())
    };
    let comments = || scene.fake.state().comments.iter().map(|one| (one.number, one.body.clone())).collect::<Vec<_>>();

    // The first push of a branch is a push, and the comment is on the pull request of that branch: on none that is made on it.
    let (kind, report) = push("feat/x", Some(8), RunState::Succeeded).await;
    assert_eq!((kind.as_str(), &report["state"]), ("branch_created", &json!("succeeded")), "{report}");
    let (_, report) = push("feat/y", Some(9), RunState::Succeeded).await;
    assert_eq!(report["state"], "succeeded", "{report}");
    let told = comments();
    assert_eq!(told.iter().map(|one| one.0).collect::<Vec<_>>(), [8, 9], "{told:?}");
    assert!(told[0].1.contains("\nsucceeded in 0s: "), "{told:?}");
    assert!(mails.lock().unwrap().is_empty());

    // A run that fails is told by mail, and by no comment.
    let (kind, report) = push("feat/y", None, RunState::Failed).await;
    assert_eq!((kind.as_str(), &report["state"]), ("push", &json!("failed")), "{report}");
    let mail = mails.lock().unwrap().clone();
    assert!(mail.contains("RCPT TO:<team@acme.example>"), "{mail}");
    assert!(mail.contains("Subject: sample on push: failed for octo-org/churn (feat/y)"), "{mail}");

    // Where no pull request is open, there is nothing to comment on, and nothing failed.
    let (_, report) = push("feat/alone", None, RunState::Succeeded).await;
    let steps: Vec<_> = report["steps"].as_array().unwrap().iter().map(|step| step["state"].clone()).collect();
    assert_eq!(
        (&report["state"], steps),
        (&json!("succeeded"), vec![json!("succeeded"), json!("skipped")]),
        "{report}"
    );
    assert_eq!(report["steps"][1]["error"], "no pull request that is open offers `feat/alone`", "{report}");
    assert_eq!(comments(), told);
    stop.cancel();
    performing.await.unwrap();
}

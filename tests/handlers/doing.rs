//! Handlers of a file, really done: requests, chats and mails arrive, and no secret is kept anywhere.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use soopervisor::server::event::{Event, Kind};
use soopervisor::server::file::File;
use soopervisor::server::forges::Forges;
use soopervisor::server::ledger;
use soopervisor::server::perform::{ByFile, Doing, Performer};
use soopervisor::server::queue::Events;
use soopervisor::store::database::{Database, NewRepo};
use soopervisor::web::Reach;
use tokio_util::sync::CancellationToken;

use crate::kit::{event, file};
use crate::mail::Server;
use crate::requests::serve;

/// A file that watches the repository.
fn served(text: &str) -> File {
    file(&format!("repos: [{{url: 'https://h.example/acme/churn'}}]\n{text}"))
}

/// A server's database, and its file done by the real performer.
struct Scene {
    folder: tempfile::TempDir,
    database: Database,
}

impl Scene {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", folder.path().join("server.db").display());
        let database = Database::open(&address).await.unwrap();
        let repo =
            NewRepo { url: "https://h.example/acme/churn".into(), name: "acme/churn".into(), settings: json!({}) };
        database.watch(&[repo]).await.unwrap();
        Self { folder, database }
    }

    /// A file with a secret in it, as a reference to write into the server's file.
    fn secret(&self, name: &str, value: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, format!("{value}\n")).unwrap();
        format!("file:{}", path.display())
    }

    /// Does everything that the file asks for, and gives back what came of each handler.
    async fn play(&self, file: File, event: &Event) -> Vec<Value> {
        let (database, file) = (&self.database, Arc::new(file));
        let repo = database.repo(&event.repo).await.unwrap().id;
        let row = database.tell(&ledger::row(event, Some(repo)).unwrap()).await.unwrap().unwrap();
        let events = Events::new(database.clone(), Arc::new(ByFile(Arc::clone(&file))), Arc::default(), Arc::default());
        assert!(events.next().await.unwrap());
        let forges = Forges::of(Arc::clone(&file), Reach::default());
        let doing = Doing::new(database.clone(), Arc::clone(&file), forges, Arc::default(), Arc::default());
        let performer = Performer {
            database: database.clone(),
            file: Arc::clone(&file),
            effects: Arc::new(doing),
            handled: Arc::default(),
        };
        let stop = CancellationToken::new();
        let (stopping, working) = (stop.clone(), tokio::spawn(async move { performer.run(stop.clone(), stop).await }));
        let mut reports = Vec::new();
        for handler in &file.handlers {
            let report = loop {
                let results = database.action_results(row, &handler.name).await.unwrap();
                match results.into_iter().next() {
                    None => break None,
                    Some((_, state, result)) if state == "done" => break result,
                    Some((_, state, result)) => assert!(state != "failed", "{result:?}"),
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            };
            reports.extend(report);
        }
        stopping.cancel();
        working.await.unwrap();
        reports
    }

    /// Whether any file of the server holds this text, but for the file of the secret itself.
    fn keeps(&self, text: &str) -> bool {
        let holds = |path: &Path| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.to_string_lossy().contains("server.db")).any(|path| holds(&path))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_a_chat_a_mail_and_targets_are_told_and_no_secret_is_kept() {
    let scene = Scene::open().await;
    // A server that repeats the token in its answer.
    let (echo, mut asked) = serve(
        "127.0.0.1:0",
        "HTTP/1.1 200 OK\r\ncontent-length: 24\r\nconnection: close\r\n\r\nyou are hunter2-the-2nd!",
    )
    .await;
    let (hook, mut chatted) =
        serve("127.0.0.1:0", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
    let mut mails = Server::start("none", scene.folder.path());
    let token = scene.secret("token", "hunter2-the-2nd");
    let slack = scene.secret("slack", &format!("http://{hook}/services/T00/B00/deadbeefdeadbeef"));
    let text = format!(
        r#"
http: {{allow: [127.0.0.1]}}
mail: {{host: localhost, port: {port}, from: ci@acme.example, tls: none}}
secrets: {{TOKEN: '{token}', HOOK: '{slack}'}}
notify: {{team: {{mail: team@acme.example, slack: '{slack}'}}}}
handlers:
  - name: tell
    on: push
    do:
      - http: {{url: 'http://{echo}/deploy', bearer: TOKEN, json: {{commit: "{{{{ event.commit }}}}"}}}}
      - chat: {{service: mattermost, secret: HOOK, text: "{{{{ http.body }}}}"}}
      - mail: {{to: ops@acme.example, subject: "{{{{ event.branch }}}}", text: "{{{{ http.code }}}}"}}
      - notify: {{to: team, text: for the team}}
"#,
        port = mails.port
    );
    let reports = scene.play(served(&text), &event(Kind::Push, "acme/churn", "refs/heads/main")).await;
    assert_eq!(reports[0]["state"], "succeeded", "{}", reports[0]);
    let request = asked.recv().await.unwrap();
    assert!(
        request.starts_with("POST /deploy ") && request.contains("authorization: Bearer hunter2-the-2nd"),
        "{request}"
    );
    assert!(request.contains("idempotency-key: "), "{request}");
    let chat = chatted.recv().await.unwrap();
    assert!(chat.starts_with("POST /services/T00/B00/deadbeefdeadbeef "), "{chat}");
    assert!(chat.contains(r"you are \\*\\*\\*\\!"), "{chat}");
    let mail = mails.received();
    assert_eq!((&mail["to"], &mail["subject"]), (&json!(["ops@acme.example"]), &json!("main")));
    assert_eq!(mails.received()["to"], json!(["team@acme.example"]));
    assert!(chatted.recv().await.unwrap().contains(r#"{"text":"for the team"}"#));
    assert!(scene.keeps("you are ***!"), "the journal has the answer");
    assert!(!scene.keeps("hunter2-the-2nd") && !scene.keeps("deadbeef"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_is_told_without_its_secret_and_the_guard_stands() {
    let scene = Scene::open().await;
    let (inside, mut asked) = serve("127.0.0.1:0", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let chat = scene.secret("chat", &format!("http://{inside}/services/deadbeefdeadbeef"));
    let text = format!(
        r"
secrets: {{CHAT: '{chat}', GONE: 'file:{gone}'}}
handlers:
  - name: inside
    on: push
    do:
      - http: {{url: 'http://{inside}/'}}
        continue: true
      - chat: {{service: slack, secret: CHAT, text: x}}
        continue: true
      - chat: {{service: slack, secret: GONE, text: x}}
",
        gone = scene.folder.path().join("gone").display()
    );
    let reports = scene.play(served(&text), &event(Kind::Push, "acme/churn", "refs/heads/main")).await;
    let error = |step: usize| reports[0]["steps"][step]["error"].as_str().unwrap().to_owned();
    assert!(error(0).contains("may not be reached"), "{}", error(0));
    assert!(error(1).contains("may not be reached") && !error(1).contains("deadbeef"), "{}", error(1));
    assert!(error(2).contains("`GONE`"), "{}", error(2));
    assert!(asked.try_recv().is_err() && !scene.keeps("deadbeef"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_request_is_sent_again_only_where_twice_is_as_good_as_once() {
    let scene = Scene::open().await;
    let (at, mut asked) =
        serve("127.0.0.1:0", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let mut text = "http: {allow: [127.0.0.1]}\nhandlers:\n".to_owned();
    for (name, more) in [("put", "method: PUT"), ("post", "body: x"), ("again", "body: x, retry: true")] {
        text.push_str(&format!(
            "  - {{name: {name}, on: push, do: {{http: {{url: 'http://{at}/{name}', {more}}}}}}}\n"
        ));
    }
    let push = event(Kind::Push, "acme/churn", "refs/heads/main");
    for name in ["put", "post", "again"] {
        scene.database.begin_step(&push.key(), name, "0", &Value::Null).await.unwrap();
    }
    let reports = scene.play(served(&text), &push).await;
    let states: Vec<&str> = reports.iter().map(|report| report["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["succeeded", "failed", "succeeded"]);
    let mut seen: Vec<String> = Vec::new();
    while let Ok(request) = asked.try_recv() {
        seen.push(request.split(' ').nth(1).unwrap().to_owned());
    }
    seen.sort();
    assert_eq!(seen, ["/again", "/put"]);
}

/// A server that answers requests only once two are there, and 500 to what has `/fail` in its path.
async fn meeting() -> (std::net::SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let both = Arc::new(tokio::sync::Barrier::new(2));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (sender, both) = (sender.clone(), Arc::clone(&both));
            tokio::spawn(async move {
                let mut got = [0; 4096];
                let count = stream.read(&mut got).await.unwrap();
                let path = String::from_utf8_lossy(&got[..count]).split(' ').nth(1).unwrap().to_owned();
                if path.contains("/both") {
                    both.wait().await;
                }
                let status = if path.contains("/fail") { "500 No" } else { "200 OK" };
                let _ = sender.send(path);
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (at, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_and_groups_are_really_done_each_in_its_place() {
    let scene = Scene::open().await;
    let (at, mut asked) = meeting().await;
    let http = |path: &str| format!("{{http: {{url: 'http://{at}/{path}', timeout: 20s}}}}");
    let text = format!(
        r#"
http: {{allow: [127.0.0.1]}}
handlers:
  - name: all
    on: push
    do:
      - parallel:
          - {{name: one, http: {{url: 'http://{at}/both1', timeout: 20s}}}}
          - {{name: two, http: {{url: 'http://{at}/both2', timeout: 20s}}}}
      - http: {{url: 'http://{at}/fail'}}
        name: third
        continue: true
        before: [{before}]
        on_success: [{never}]
        on_failure: [{failed}]
        always: [{after}]
      - http: {{url: 'http://{at}/fail2'}}
        name: fourth
      - {never}
    on_success: [{never}]
    on_failure: [{{http: {{url: "http://{at}/handler-failed-{{{{ failure.step }}}}"}}}}]
    always: [{always}]
"#,
        before = http("before"),
        never = http("never"),
        failed = http("step-failed"),
        after = http("after"),
        always = http("always"),
    );
    let reports = scene.play(served(&text), &event(Kind::Push, "acme/churn", "refs/heads/main")).await;
    assert_eq!(reports[0]["state"], "failed", "{}", reports[0]);
    let mut seen = Vec::new();
    while let Ok(path) = asked.try_recv() {
        seen.push(path);
    }
    seen[..2].sort();
    let wanted = [
        "/both1",
        "/both2",
        "/before",
        "/fail",
        "/step-failed",
        "/after",
        "/fail2",
        "/handler-failed-fourth",
        "/always",
    ];
    assert_eq!(seen, wanted);
}

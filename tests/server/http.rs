//! The API over a real socket: who may do what, what is answered, and that it is what the description says.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use soopervisor::server::http::table::{ROUTES, Route};
use soopervisor::server::http::token::{self, Scope};
use soopervisor::server::http::{Auth, ListenError, Server, bind, openapi, serve};
use soopervisor::server::ledger;
use soopervisor::server::metrics::Metrics;
use soopervisor::server::poll::Address;
use soopervisor::server::queue::{ByHand, Events};
use soopervisor::server::standing::Standing;
use soopervisor::store::database::{Artifact, Artifacts, Ended, NewToken, QueueLimits, RunFilter, RunState, StepRow};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::git::Forge;
use super::{Place, until};

const RUN_ID: &str = "20261128-093000-4f1c2d9a-x7k2";

/// A server with one repository, and a token of each scope.
pub(crate) struct Api {
    pub(crate) place: Place,
    pub(crate) forge: Forge,
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    pub(crate) events: Events,
    set_up: String,
    metrics: Metrics,
    /// Told that it is to stop, it answers until its listener is.
    stopping: CancellationToken,
    stop: CancellationToken,
}

fn text(secret: &soopervisor::secret::Secret) -> String {
    String::from_utf8(secret.expose().to_vec()).unwrap()
}

impl Api {
    pub(crate) async fn start(auth: Auth) -> Self {
        let (place, forge) = (Place::new().await, Forge::start().await);
        let watch = place.watch(Address::Http(forge.url(), None)).await;
        let (_, watches) = watch::channel(vec![watch]);
        let (database, told) = (place.database.clone(), Arc::<Notify>::default());
        let set_up = token::new().unwrap();
        let events = Events::new(database.clone(), Arc::new(ByHand), Arc::clone(&told), Arc::default());
        let (metrics, stopping) = (Metrics::default(), CancellationToken::new());
        let server = Server {
            database,
            poller: place.poller(),
            watches,
            receiver: super::hook::receiver(&place),
            metrics: metrics.clone(),
            told,
            auth,
            set_up: Arc::new(Mutex::new(Some(token::hash(set_up.expose())))),
            runs: place.folder.path().to_owned(),
            worker: "w".to_owned(),
            standing: Standing::with(Some(Arc::default())),
            engine: None,
            stopping: stopping.clone(),
        };
        let listener = bind("127.0.0.1:0".parse().unwrap(), auth).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, server, stop.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { place, forge, base, client, events, set_up: text(&set_up), metrics, stopping, stop }
    }

    pub(crate) async fn token(&self, scope: &str) -> String {
        let made = token::new().unwrap();
        let hash = token::hash(made.expose());
        let new = NewToken { name: scope, hash: &hash, scopes: scope, lasts_ms: 60_000 };
        self.place.database.add_token(&new, "test").await.unwrap();
        text(&made)
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, who: Option<&str>, body: Option<Value>) -> (u16, String) {
        let method = method.to_uppercase().parse().unwrap();
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(who) = who {
            request = request.bearer_auth(who);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn json(&self, method: &str, path: &str, who: &str, body: Option<Value>) -> (u16, Value) {
        let (status, text) = self.ask(method, path, Some(who), body).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// A run by hand, and its number.
    async fn run(&self, who: &str) -> i64 {
        let (status, _) = self.json("post", "/api/trigger", who, Some(json!({"repo": "acme/churn"}))).await;
        assert_eq!(status, 202);
        while self.events.next().await.unwrap() {}
        self.place.database.runs(&RunFilter::default()).await.unwrap()[0].id
    }
}

fn concrete(path: &str) -> String {
    path.replace("{id}", "1").replace("{name}", "x")
}

#[test]
fn the_description_stays_as_it_is() {
    insta::assert_json_snapshot!("openapi", openapi::document(), { ".info.version" => "[version]" });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_the_table_is_there_and_asks_for_the_scope_that_it_says() {
    let api = Api::start(Auth::Everybody).await;
    // The first is the one that the table's requests take back.
    api.token("read").await;
    let (read, run, admin) = (api.token("read").await, api.token("run").await, api.token("admin").await);
    for Route { method, path, scope, body, .. } in ROUTES {
        let path = concrete(path);
        let body = body.map(|_| json!({}));
        let (status, text) = api.ask(method, &path, None, body.clone()).await;
        assert!(!matches!(status, 404 | 405), "{method} {path}: {status}");
        let Some(scope) = scope else { continue };
        assert_eq!(status, 401, "{method} {path}: {text}");
        let forged = format!("{}{}", &admin[..admin.len() - 1], if admin.ends_with('x') { 'y' } else { 'x' });
        assert_eq!(api.ask(method, &path, Some(&forged), body.clone()).await.0, 401, "{method} {path}");
        for (token, has) in [(&read, Scope::Read), (&run, Scope::Run), (&admin, Scope::Admin)] {
            let (status, text) = api.ask(method, &path, Some(token), body.clone()).await;
            assert_eq!(status == 403, has < *scope, "{method} {path} with {}: {status} {text}", has.word());
            assert_ne!(status, 500, "{method} {path}: {text}");
        }
    }
    let (status, text) = api.ask("get", "/api/nothing", Some(&admin), None).await;
    assert_eq!((status, text.contains("nothing here")), (404, true));
    assert_eq!(api.ask("get", "/api/runs/abc", Some(&read), None).await.0, 400);
    assert_eq!(api.ask("get", "/api/runs?limit=0", Some(&read), None).await.0, 400);
    assert_eq!(api.ask("get", "/api/runs?state=dead", Some(&read), None).await.0, 400);
    let long = json!({"repo": "x".repeat(300_000)});
    assert_eq!(api.ask("post", "/api/trigger", Some(&run), Some(long)).await.0, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_may_look_with_a_token_as_its_password_and_do_nothing_else() {
    let api = Api::start(Auth::Everybody).await;
    let admin = api.token("admin").await;
    let get = api.client.get(format!("{}/", api.base)).basic_auth("anybody", Some(&admin)).send().await.unwrap();
    assert_eq!(get.status(), 200);
    let policy = get.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert!(get.headers().get("set-cookie").is_none());
    let cancel = api.client.post(format!("{}/api/runs/1/cancel", api.base)).basic_auth("a", Some(&admin));
    assert_eq!(cancel.send().await.unwrap().status(), 401);
    let nobody = api.client.get(format!("{}/", api.base)).send().await.unwrap();
    assert_eq!(nobody.status(), 401);
    assert!(nobody.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_admin_is_made_once() {
    let api = Api::start(Auth::Everybody).await;
    let wrong = json!({"token": text(&token::new().unwrap())});
    assert_eq!(api.ask("post", "/api/setup", None, Some(wrong)).await.0, 401);
    let (status, made) = api.ask("post", "/api/setup", None, Some(json!({"token": api.set_up}))).await;
    assert_eq!(status, 201);
    let made: Value = serde_json::from_str(&made).unwrap();
    let admin = made["token"].as_str().unwrap();
    assert_eq!(api.ask("post", "/api/setup", None, Some(json!({"token": api.set_up}))).await.0, 401);
    let ask = json!({"name": "ci", "scopes": ["read", "run"], "days": 7});
    let (status, ci) = api.json("post", "/api/tokens", admin, Some(ask)).await;
    assert_eq!(status, 201);
    let ci_token = ci["token"].as_str().unwrap().to_owned();
    assert_eq!(api.ask("get", "/api/runs", Some(&ci_token), None).await.0, 200);
    let (_, listed) = api.ask("get", "/api/tokens", Some(admin), None).await;
    assert!(!listed.contains(&ci_token) && listed.contains("read run"), "{listed}");
    assert_eq!(api.ask("delete", &format!("/api/tokens/{}", ci["id"]), Some(admin), None).await.0, 204);
    assert_eq!(api.ask("get", "/api/runs", Some(&ci_token), None).await.0, 401);
    let (_, audit) = api.json("get", "/api/audit", admin, None).await;
    let verbs: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| entry["verb"].clone()).collect();
    assert_eq!(verbs, ["token.revoke", "token.create", "token.create"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_hand_is_of_what_is_there_now_and_can_be_stopped() {
    let api = Api::start(Auth::Everybody).await;
    let (read, run) = (api.token("read").await, api.token("run").await);
    let tip = api.forge.commit("main", "just pushed");
    let (status, triggered) = api.json("post", "/api/trigger", &run, Some(json!({"repo": "acme/churn"}))).await;
    assert_eq!((status, triggered["sha"].as_str()), (202, Some(tip.as_str())));
    while api.events.next().await.unwrap() {}
    let (_, runs) = api.json("get", "/api/runs?state=queued&repo=acme%2Fchurn", &read, None).await;
    let queued = &runs["runs"][0];
    assert_eq!((queued["sha"].as_str(), queued["mode"].as_str()), (Some(tip.as_str()), Some("full")));
    let id = queued["id"].as_i64().unwrap();
    let (status, cancelled) = api.json("post", &format!("/api/runs/{id}/cancel"), &run, None).await;
    assert_eq!((status, cancelled["state"].as_str()), (202, Some("cancelled")));
    let ask = |body: Value| api.json("post", "/api/trigger", &run, Some(body));
    assert_eq!(ask(json!({"repo": "nobody/nothing"})).await.0, 404);
    assert_eq!(ask(json!({"repo": "acme/churn", "ref": "nowhere"})).await.0, 404);
    assert_eq!(ask(json!({"repo": "acme/churn", "mode": "half"})).await.0, 400);
    assert_eq!(ask(json!({"repo": "acme/churn", "colour": "red"})).await.0, 422);
    api.forge.commit("feat/x", "on a branch");
    let (status, _) = ask(json!({"repo": "acme/churn", "ref": "feat/x", "mode": "sample"})).await;
    assert_eq!(status, 202);
    let mut audit = api.place.database.audit(10).await.unwrap();
    audit.retain(|entry| entry.actor == "run");
    assert_eq!(audit.iter().map(|entry| entry.verb.as_str()).collect::<Vec<_>>(), ["trigger", "run.cancel", "trigger"]);
    assert_eq!((audit[2].target.as_str(), audit[2].detail.as_str()), ("acme/churn", tip.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_that_changes_something_is_in_the_audit_log_once_and_one_that_is_refused_is_not() {
    let api = Api::start(Auth::Everybody).await;
    // The first is the one that is taken back.
    api.token("read").await;
    let admin = api.token("admin").await;
    api.run(&admin).await;
    let noted = async || api.place.database.audit(100).await.unwrap().len();
    for route in ROUTES.iter().filter(|route| route.method != "get" && route.path != "/api/setup") {
        let (path, before) = (concrete(route.path), noted().await);
        let wrong = route.body.map(|_| json!({"nothing": 1}));
        let nowhere = path.replace("/1", "/99").replace("/x", "/y");
        let (status, text) = api.ask(route.method, &nowhere, Some(&admin), wrong).await;
        assert!((400..500).contains(&status), "{} {nowhere}: {status} {text}", route.method);
        assert_eq!(noted().await, before, "{} {nowhere}", route.method);
        let body = match route.body {
            Some("Trigger") => Some(json!({"repo": "acme/churn"})),
            Some("TokenAsk") => Some(json!({"name": "n", "scopes": ["read"]})),
            Some("HandlerAsk") => Some(json!({"text": "{name: x, on: push, do: [{log: {text: x}}]}"})),
            _ => None,
        };
        let (status, text) = api.ask(route.method, &path, Some(&admin), body).await;
        assert_eq!(status, route.answer.0, "{} {path}: {text}", route.method);
        assert_eq!(noted().await, before + 1, "{} {path}", route.method);
    }
}

/// Every object of an answer has exactly the fields that its schema lists.
fn assert_fits(document: &Value, schema: &Value, value: &Value, place: &str) {
    let schema = match schema["$ref"].as_str() {
        Some(name) => &document["components"]["schemas"][name.rsplit('/').next().unwrap()],
        None => schema,
    };
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(kinds.contains(&kind), "{place}: {value} is none of {kinds:?}");
    if let Value::Object(map) = value {
        let told: Vec<_> = map.keys().collect();
        let listed: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(told, listed, "{place}");
        for (name, value) in map {
            assert_fits(document, &schema["properties"][name], value, &format!("{place}.{name}"));
        }
    }
    if let Value::Array(list) = value {
        for item in list {
            assert_fits(document, &schema["items"], item, &format!("{place}[]"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_what_the_description_says() {
    let api = Api::start(Auth::Everybody).await;
    let admin = api.token("admin").await;
    let database = &api.place.database;
    let id = api.run(&admin).await;
    let claim = database.claim("w", QueueLimits::default()).await.unwrap().unwrap();
    let step = StepRow { seq: 0, name: "checkout".into(), outcome: "done".into(), elapsed_ms: 5, detail: "x".into() };
    database.step(id, claim.epoch, &step).await.unwrap();
    let ended = Ended { state: RunState::Failed, exit_code: 4, summary: "failed".into() };
    database.finish(id, claim.epoch, &ended).await.unwrap();
    let document = openapi::document();
    let mut checked = 0;
    for route in ROUTES.iter().filter(|route| !route.answer.1.contains('/') && !route.answer.1.is_empty()) {
        let body = match route.body {
            Some("Trigger") => Some(json!({"repo": "acme/churn"})),
            Some("TokenAsk") => Some(json!({"name": "n", "scopes": ["read"]})),
            Some("HandlerAsk") => Some(json!({"text": "{name: x, on: push, do: [{log: {text: x}}]}"})),
            Some("SetUp") => Some(json!({"token": api.set_up})),
            _ => None,
        };
        let path = concrete(route.path);
        let (status, answer) = api.json(route.method, &path, &admin, body).await;
        assert_eq!(status, route.answer.0, "{} {path}: {answer}", route.method);
        let schema = json!({"$ref": format!("#/components/schemas/{}", route.answer.1)});
        assert_fits(&document, &schema, &answer, route.id);
        checked += 1;
    }
    assert!(checked > 12, "{checked}");
    let (status, problem) = api.json("get", "/api/runs/99", &admin, None).await;
    assert_eq!(status, 404);
    assert_fits(&document, &json!({"$ref": "x/Problem"}), &problem, "problem");
    let (status, page) = api.ask("get", "/metrics", Some(&admin), None).await;
    assert_eq!(status, 200);
    assert!(page.contains("soop_runs{state=\"failed\"} 1") && page.contains("soop_http_requests_total"), "{page}");
    assert!(
        page.contains("soop_worker_up{worker=\"w\"} 1\n") && page.contains("soop_outbox_oldest_seconds 0\n"),
        "{page}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_says_what_each_step_came_to_and_what_it_printed() {
    let api = Api::start(Auth::Everybody).await;
    let (read, run, database) = (api.token("read").await, api.token("run").await, &api.place.database);
    api.run(&run).await;
    let (status, event) = api.json("get", "/api/events/1", &read, None).await;
    assert_eq!((status, &event["kind"], &event["steps"]), (200, &json!("manual"), &json!([])));
    let key = ledger::recorded(database, 1).await.unwrap().key();
    let outcome = json!({"state": "failed", "result": {"code": 3, "output": "not today"}, "error": "it ended with 3"});
    for step in ["0", "always.0"] {
        database.begin_step(&key, "check", step, &json!({})).await.unwrap();
    }
    database.finish_step(&key, "check", "0", &outcome).await.unwrap();
    let (_, event) = api.json("get", "/api/events/1", &read, None).await;
    let step = |index: usize, name: &str| event["steps"][index][name].clone();
    assert_eq!([step(0, "handler"), step(0, "step"), step(0, "status")], ["check", "0", "failed"]);
    assert_eq!([step(0, "error"), step(0, "output")], ["it ended with 3", "not today"]);
    assert!(step(0, "elapsed_ms").is_i64() && step(0, "ended_at").is_i64(), "{event}");
    assert_eq!([step(1, "step"), step(1, "status")], ["always.0", "running"]);
    assert!(step(1, "ended_at").is_null() && step(1, "output").is_null(), "{event}");
    let document = openapi::document();
    assert_fits(&document, &json!({"$ref": "x/EventDetail"}), &event, "event");
    assert_eq!(api.ask("get", "/api/events/99", Some(&read), None).await.0, 404);
    assert_eq!(api.ask("get", "/api/events/x", Some(&read), None).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_to_its_end_and_gone_on_with_where_it_was_left() {
    let api = Api::start(Auth::Everybody).await;
    let admin = api.token("admin").await;
    let database = &api.place.database;
    let id = api.run(&admin).await;
    let claim = database.claim("w", QueueLimits::default()).await.unwrap().unwrap();
    database.placed(id, claim.epoch, RUN_ID).await.unwrap();
    let folder = api.place.folder.path().join(RUN_ID);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("log"), "one\ntwo\nhal").unwrap();
    let address = format!("{}/api/runs/{id}/log?follow=true", api.base);
    let follow = |last: Option<String>| {
        let mut request = api.client.get(&address).bearer_auth(&admin);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        request.send()
    };
    let mut response = follow(None).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut told = String::new();
    while !told.contains("two") {
        told.push_str(std::str::from_utf8(&response.chunk().await.unwrap().unwrap()).unwrap());
    }
    assert!(told.contains("data: one\ndata: two\n") && !told.contains("hal"), "{told}");
    let last = told.lines().rev().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    assert_eq!(last, "1-8");
    std::fs::write(folder.join("log"), "one\ntwo\nhalf\n<b>&\rlast").unwrap();
    let ended = Ended { state: RunState::Succeeded, exit_code: 0, summary: "done".into() };
    database.finish(id, claim.epoch, &ended).await.unwrap();
    let rest = follow(Some(last)).await.unwrap().text().await.unwrap();
    assert!(rest.starts_with("id: 1-13\ndata: half\n") || rest.starts_with("data: half"), "{rest}");
    assert!(rest.contains("data: <b>&\ndata: last\n") && rest.contains("event: end"), "{rest}");
    assert!(!rest.contains("one"), "{rest}");
    let (_, whole) = api.ask("get", &format!("/api/runs/{id}/log"), Some(&admin), None).await;
    assert_eq!(whole, "one\ntwo\nhalf\n<b>&\rlast");
    let long = "a line of a long log\n".repeat(20_000);
    std::fs::write(folder.join("log"), &long).unwrap();
    assert_eq!(api.ask("get", &format!("/api/runs/{id}/log"), Some(&admin), None).await, (200, long));
    // No path is made of anything but the form of an id.
    let again = api.run(&admin).await;
    let claim = database.claim("w", QueueLimits::default()).await.unwrap().unwrap();
    database.placed(again, claim.epoch, "../../etc").await.unwrap();
    assert_eq!(api.ask("get", &format!("/api/runs/{again}/log"), Some(&admin), None).await, (200, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_another_machine_keeps_is_said_to_be_there_and_is_not_empty() {
    let api = Api::start(Auth::Everybody).await;
    let (admin, database) = (api.token("admin").await, &api.place.database);
    let ended = Ended { state: RunState::Failed, exit_code: 4, summary: "it broke".into() };
    for (worker, told) in [
        ("far:/data#0af3", "is with the worker `far:/data#0af3`"),
        ("w", "is no longer kept"),
        ("w:second", "is no longer kept"),
        ("w2", "is with the worker `w2`"),
    ] {
        let id = api.run(&admin).await;
        let path = format!("/api/runs/{id}/log");
        let claim = database.claim(worker, QueueLimits::default()).await.unwrap().unwrap();
        assert_eq!(api.ask("get", &path, Some(&admin), None).await, (200, String::new()), "it is not begun");
        database.placed(id, claim.epoch, RUN_ID).await.unwrap();
        let (status, problem) = api.json("get", &path, &admin, None).await;
        let words = problem["error"].as_str().unwrap();
        assert!(status == 404 && words.contains(told), "{status} {words}");
        database.finish(id, claim.epoch, &ended).await.unwrap();
        let (_, stream) = api.ask("get", &format!("{path}?follow=true"), Some(&admin), None).await;
        let times = stream.matches("event: elsewhere").count();
        assert!(times == 1 && stream.contains(told) && stream.contains("event: end\n"), "{stream}");
        let page =
            api.client.get(format!("{}/runs/{id}", api.base)).basic_auth("a", Some(&admin)).send().await.unwrap();
        let page = page.text().await.unwrap();
        assert!(page.contains(told.split('`').next().unwrap()) && !page.contains("id=\"log\""), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_show_what_strangers_wrote_as_text() {
    let api = Api::start(Auth::Nobody).await;
    let database = &api.place.database;
    let repo = database.repo("acme/churn").await.unwrap().id;
    let run = soopervisor::store::database::NewRun {
        key: "k".into(),
        repo,
        event: None,
        lane: "l".into(),
        reference: Some("refs/heads/<script>alert(1)</script>".into()),
        sha: "a".repeat(40),
        mode: "full".into(),
        request: json!({}),
        priority: 0,
        supersede: false,
    };
    database.enqueue(&run).await.unwrap();
    let claim = database.claim("w", QueueLimits::default()).await.unwrap().unwrap();
    let file = Artifact { path: "output/<b>alert(1)</b>.csv".into(), size: 2048 };
    let location = "https://drive.example/\"onmouseover=alert(1)".to_owned();
    let artifacts = Artifacts { location, files: 7, bytes: 4_000_000, listing: vec![file] };
    database.published(claim.run.id, claim.epoch, &artifacts).await.unwrap();
    let ended = Ended { state: RunState::Failed, exit_code: 4, summary: "\"><img src=x onerror=alert(1)>".into() };
    database.finish(claim.run.id, claim.epoch, &ended).await.unwrap();
    database.reading_failed(repo, "<i>ill</i>").await.unwrap();
    database.moved(repo, Some("https://h.example/<b>new</b>")).await.unwrap();
    for path in ["/", "/runs/1"] {
        let (status, page) = api.ask("get", path, None, None).await;
        assert_eq!(status, 200, "{page}");
        for markup in ["<script>alert", "<img", "<i>", "<b>", "\"onmouse"] {
            assert!(!page.contains(markup), "{path}: {markup}");
        }
        assert!(page.contains("alert(1)"), "{path}: it is shown");
        assert!(!page.contains("style=") && !page.contains("onclick"), "nothing inline, as the policy says");
    }
    assert!(api.ask("get", "/", None, None).await.1.contains("moved to https://h.example/"), "and where it is now");
    let (_, page) = api.ask("get", "/runs/1", None, None).await;
    for part in ["7 files, 4.0 MB", "2.0 kB", "and 6 more", "href=\"https://drive.example/"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let (status, script) = api.ask("get", "/static/log.js", None, None).await;
    assert_eq!(status, 200);
    assert!(script.contains("createTextNode") && !script.contains("innerHTML"));
    assert_eq!(api.ask("get", "/runs/77", None, None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_that_a_host_is_left_alone_and_metrics_tell_who_works() {
    let api = Api::start(Auth::Nobody).await;
    let (_, page) = api.ask("get", "/", None, None).await;
    assert!(!page.contains("left alone"), "{page}");
    api.metrics.set("soop_poll_hosts_resting", &[], 1.0);
    let (_, page) = api.ask("get", "/", None, None).await;
    assert!(page.contains("Hosts that are left alone") && page.contains("1 host answered"), "{page}");
    // A worker elsewhere counts for as long as it holds a run.
    let id = api.run("").await;
    let far = QueueLimits { lease_ms: 2_000, ..QueueLimits::default() };
    let database = &api.place.database;
    database.claim("far:/data#0af3", far).await.unwrap().unwrap();
    let metrics = async || api.ask("get", "/metrics", None, None).await.1;
    assert!(metrics().await.contains("soop_worker_up{worker=\"far:/data#0af3\"} 1\n"));
    until("its claim is over", || async { !metrics().await.contains("far:/data") }).await;
    assert_eq!(database.run(id).await.unwrap().state, RunState::Running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_nobody_is_reached_from_this_machine_only() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(bind(everywhere, Auth::Nobody).await, Err(ListenError::Public(_))));
    assert!(bind(everywhere, Auth::Everybody).await.is_ok());
    assert!(bind("[::1]:0".parse().unwrap(), Auth::Nobody).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_nobody_does_nothing_for_another_sites_page() {
    let api = Api::start(Auth::Nobody).await;
    let id = api.run("").await;
    let cancel = || api.client.post(format!("{}/api/runs/{id}/cancel", api.base));
    assert_eq!(cancel().header("origin", "https://evil.example").send().await.unwrap().status(), 403);
    assert_eq!(cancel().header("sec-fetch-site", "cross-site").send().await.unwrap().status(), 403);
    let state = api.place.database.run(id).await.unwrap().state;
    assert_eq!(state, RunState::Queued, "it was not cancelled");
    for path in ["/", "/api/runs", "/api/handlers"] {
        let rebound =
            api.client.get(format!("{}{path}", api.base)).header("host", "evil.example:8080").send().await.unwrap();
        assert_eq!(rebound.status(), 421, "{path}");
        assert!(rebound.headers().contains_key("content-security-policy"));
    }
    let hook = api.client.post(format!("{}/hooks/github", api.base)).header("host", "ci.acme.example");
    assert_eq!(hook.json(&json!({})).send().await.unwrap().status(), 400, "a delivery comes under any name");
    assert_eq!(cancel().send().await.unwrap().status(), 202, "no browser");
}

/// What is answered to a large delivery without a signature of which no byte ever comes.
async fn headers_alone(base: &str) -> String {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let mut stream = tokio::net::TcpStream::connect(base.trim_start_matches("http://")).await.unwrap();
    let head = "POST /hooks/github HTTP/1.1\r\nHost: h\r\nX-GitHub-Event: push\r\nContent-Type: application/json\r\n\
                Content-Length: 20000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(stream);
    let read = reader.read_line(&mut line);
    let read = tokio::time::timeout(std::time::Duration::from_secs(20), read);
    read.await.expect("it is not waited for the body").unwrap();
    line.trim_end().to_owned()
}

/// What comes after these lines, where nothing else is sent.
async fn promised(base: &str, head: &str) -> tokio::net::TcpStream {
    use tokio::io::AsyncWriteExt;
    let mut stream = tokio::net::TcpStream::connect(base.trim_start_matches("http://")).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_promise_much_and_send_nothing_hold_up_no_delivery_that_is_short() {
    let api = Api::start(Auth::Everybody).await;
    let head = "POST /hooks/github HTTP/1.1\r\nHost: h\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: d\r\nContent-Type: \
                application/json\r\nX-Hub-Signature-256: sha256=00\r\nContent-Length: 27262976\r\n\r\n";
    let mut holders = Vec::new();
    for _ in 0..10 {
        holders.push(promised(&api.base, head).await);
    }
    // They are listened to by now: the one that comes later finds their places taken.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    for (id, size) in [("short", 8 << 10), ("middling", 900 << 10)] {
        let body = format!("{{\"zen\": \"{}\"}}", "x".repeat(size)).into_bytes();
        let hook = api.client.post(format!("{}/hooks/github", api.base)).header("X-GitHub-Event", "ping");
        let hook = hook.header("X-GitHub-Delivery", id).header("content-type", "application/json");
        let begun = std::time::Instant::now();
        let answer = hook.header("X-Hub-Signature-256", super::hook::sign(&body)).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{id}");
        assert!(begun.elapsed() < std::time::Duration::from_secs(4), "{id}: {:?}", begun.elapsed());
    }
    drop(holders);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() {
    use tokio::io::AsyncReadExt;
    let api = Api::start(Auth::Everybody).await;
    let head = "POST /api/setup HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 100\r\nConnection: \
                close\r\n\r\n{\"token\": ";
    let mut stream = promised(&api.base, head).await;
    let mut told = String::new();
    let read = tokio::time::timeout(std::time::Duration::from_mins(1), stream.read_to_string(&mut told)).await;
    read.expect("it is answered").unwrap();
    assert!(told.starts_with("HTTP/1.1 408") && told.contains("did not come to its end"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_by_another_method_is_told_as_everything_else_is() {
    let api = Api::start(Auth::Everybody).await;
    for (method, path) in
        [("delete", "/api/runs"), ("post", "/readyz"), ("get", "/api/trigger"), ("get", "/hooks/github")]
    {
        let (status, text) = api.ask(method, path, None, None).await;
        let problem: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{method} {path}: {text}"));
        assert_eq!((status, problem["error"].as_str()), (405, Some("this cannot be done here")), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_write_nothing_is_not_ready() {
    let api = Api::start(Auth::Everybody).await;
    assert_eq!(api.ask("get", "/readyz", None, None).await.0, 200);
    // The folder of runs goes away, as a disk does.
    tokio::fs::remove_dir_all(api.place.folder.path()).await.unwrap();
    until("it is not ready", || async { api.ask("get", "/readyz", None, None).await.0 == 503 }).await;
    let (_, text) = api.ask("get", "/readyz", None, None).await;
    assert!(text.contains("\"disk\":false"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_told_to_stop_keeps_deliveries_and_says_that_it_is_not_ready() {
    let api = Api::start(Auth::Everybody).await;
    let run = api.token("run").await;
    api.stopping.cancel();
    assert_eq!(api.ask("get", "/healthz", None, None).await.0, 200);
    let (status, text) = api.ask("get", "/readyz", None, None).await;
    assert!(status == 503 && text.contains("\"database\":true") && text.contains("\"stopping\":true"), "{text}");
    let asked = api.client.post(format!("{}/api/trigger", api.base)).bearer_auth(&run);
    let asked = asked.json(&json!({"repo": "acme/churn"})).send().await.unwrap();
    assert_eq!((asked.status().as_u16(), asked.headers()["retry-after"].to_str().unwrap()), (503, "30"));
    let problem: Value = serde_json::from_str(&asked.text().await.unwrap()).unwrap();
    assert_eq!(problem["error"], "the server is told to stop");
    assert!(problem["help"].as_str().unwrap().contains("`soopervisor trigger`"), "{problem}");
    let body = json!({"ref": "refs/heads/main", "repository": {"clone_url": api.forge.url()}}).to_string();
    let delivered = api.client.post(format!("{}/hooks/github", api.base)).header("X-GitHub-Event", "push");
    let delivered = delivered.header("X-GitHub-Delivery", "late").header("Content-Type", "application/json");
    let signed = delivered.header("X-Hub-Signature-256", super::hook::sign(body.as_bytes()));
    assert_eq!(signed.body(body).send().await.unwrap().status(), 202);
    assert_eq!(api.place.database.waiting().await.unwrap(), (0, 1), "it is kept, and nothing else is asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_over_the_socket_is_refused_or_kept_and_stopping_answers_what_is_under_way() {
    let api = Api::start(Auth::Everybody).await;
    let hook = |forge: &str| api.client.post(format!("{}/hooks/{forge}", api.base)).header("X-GitHub-Event", "ping");
    let unsigned = hook("github").json(&json!({})).send().await.unwrap();
    assert_eq!(unsigned.status(), 401);
    assert_eq!(hook("sourceforge").json(&json!({})).send().await.unwrap().status(), 404);
    let signed = hook("github").header("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)));
    let large = signed.header("content-type", "application/json").body(vec![b' '; 27 << 20]).send().await;
    // The server may close before it has read all of it.
    assert!(large.is_err() || large.unwrap().status() == 413);
    // Whoever signs nothing is refused before anything is read.
    let big = hook("github").header("content-type", "application/json").body(vec![b' '; 20 << 20]).send().await;
    assert!(big.is_err() || big.unwrap().status() == 401);
    assert_eq!(headers_alone(&api.base).await, "HTTP/1.1 401 Unauthorized");
    api.stop.cancel();
    until("it no longer listens", || async { api.client.get(format!("{}/healthz", api.base)).send().await.is_err() })
        .await;
}

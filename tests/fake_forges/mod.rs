//! GitLab and Forgejo in small: as much of their APIs as we use, over one state. What Forgejo is asked and answers is held to
//! its own description (`tests/fixtures/forgejo`); GitLab's clients of others judge the other half (`judges`).

#![allow(
    clippy::allow_attributes,
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test program uses a part of it"
)]

mod forgejo;
mod gitlab;
pub mod judges;
mod state;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;

pub use gitlab::TRIGGER;
pub use state::{Person, State, sha};

/// Whose API is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    GitLab,
    Forgejo,
}

/// The only repository.
pub const GROUPED: &str = "acme/data/churn";
pub const FLAT: &str = "acme/churn";

pub struct Ask {
    pub method: String,
    /// Below the API's base; still escaped.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub body: Value,
    pub person: Person,
    pub server: String,
}

impl Ask {
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str, usual: usize) -> usize {
        self.query(name).and_then(|text| text.parse().ok()).unwrap_or(usual)
    }
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
    /// In place of JSON.
    pub text: Option<String>,
}

impl Reply {
    pub fn json(status: u16, body: Value) -> Self {
        Self { status, headers: Vec::new(), body, text: None }
    }

    pub fn empty(status: u16) -> Self {
        Self { text: Some(String::new()), ..Self::json(status, Value::Null) }
    }

    pub fn text(text: &str) -> Self {
        Self { text: Some(text.to_owned()), ..Self::json(200, Value::Null) }
    }
}

/// A part of a list, and what is said of the others.
pub fn page(ask: &Ask, size: &str, state: &State, entries: Vec<Value>) -> Reply {
    let (page, wanted) = (ask.number("page", 1), ask.number(size, 20));
    let most = wanted.min(state.most_entries).max(1);
    let total = entries.len();
    let pages = total.div_ceil(most).max(1);
    let part: Vec<Value> = entries.into_iter().skip((page - 1) * most).take(most).collect();
    let next = if page < pages { (page + 1).to_string() } else { String::new() };
    let mut headers = vec![("x-total-count", total.to_string()), ("x-total", total.to_string())];
    if size == "per_page" {
        if page < pages {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(ask.query.iter().filter(|(name, _)| name != "page")).append_pair("page", &next);
            let address = format!("{}/api/v4{}?{}", ask.server, ask.path, query.finish());
            headers.push(("link", format!("<{address}>; rel=\"next\"")));
        }
        headers.push(("x-next-page", next));
    }
    Reply { headers, ..Reply::json(200, Value::Array(part)) }
}

/// Gitea's history of a pull request: what is no entry is taken away after the list was cut, what is left is counted for
/// this page alone, and nothing is `null`.
pub fn thinned(ask: &Ask, state: &State, entries: Vec<Option<Value>>) -> Reply {
    let (page, most) = (ask.number("page", 1), ask.number("limit", 20).min(state.most_entries).max(1));
    let left: Vec<Value> = entries.into_iter().skip((page - 1) * most).take(most).flatten().collect();
    let headers = vec![("x-total-count", left.len().to_string())];
    let body = if left.is_empty() { Value::Null } else { Value::Array(left) };
    Reply { headers, ..Reply::json(200, body) }
}

/// A server, until it is dropped.
pub struct FakeForge {
    pub dialect: Dialect,
    address: std::net::SocketAddr,
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl FakeForge {
    pub async fn start(dialect: Dialect) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::new(dialect)));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(move |request| respond(request, dialect, address, Arc::clone(&shared)));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { dialect, address, state, task }
    }

    pub fn server(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn api(&self) -> String {
        let base = if self.dialect == Dialect::GitLab { "/api/v4" } else { "/api/v1" };
        format!("{}{base}", self.server())
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Request lines so far that hold `part`.
    pub fn asked(&self, part: &str) -> Vec<String> {
        self.state().asked.iter().filter(|line| line.contains(part)).cloned().collect()
    }
}

impl Drop for FakeForge {
    fn drop(&mut self) {
        self.task.abort();
        let complaints = std::mem::take(&mut self.state().complaints);
        if !std::thread::panicking() {
            assert!(complaints.is_empty(), "not as it is described:\n{}", complaints.join("\n"));
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    dialect: Dialect,
    address: std::net::SocketAddr,
    shared: Arc<Mutex<State>>,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, incoming) = request.into_parts();
    let body = incoming.collect().await.map_err(io::Error::other)?.to_bytes();
    let base = if dialect == Dialect::GitLab { "/api/v4" } else { "/api/v1" };
    let path = head.uri.path().strip_prefix(base).unwrap_or("/nowhere").to_owned();
    let query = head.uri.query().unwrap_or_default();
    let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
    state.asked.push(format!("{} {path}{}{query}", head.method, if query.is_empty() { "" } else { "?" }));
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // python-gitlab sends a header of GitLab's own.
    let given = header("authorization").split_once(' ').map_or(header("private-token"), |(_, token)| token);
    let person = state.people.iter().find(|person| person.token == given).cloned();
    let fault = state.troubles.iter().position(|(line, _)| format!("{} {path}", head.method).contains(line.as_str()));
    let fault = fault.map(|place| state.troubles.remove(place).1);
    if let Some(status @ 400..) = fault {
        return Ok(write(&Reply::json(status, serde_json::json!({"message": "as the test asked"}))));
    }
    // Whoever has a project's trigger token is nobody, and may start its pipelines.
    let nobody = || Person { id: 0, login: String::new(), token: String::new(), level: None };
    let person = person.or_else(|| path.ends_with("/trigger/pipeline").then(nobody));
    let Some(person) = person else {
        return Ok(write(&Reply::json(401, serde_json::json!({"message": "401 Unauthorized"}))));
    };
    let query = url::form_urlencoded::parse(query.as_bytes()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    let json = header("content-type").starts_with("application/json");
    let form =
        || url::form_urlencoded::parse(&body).map(|(k, v)| (k.into_owned(), Value::from(v.into_owned()))).collect();
    let body = if json { serde_json::from_slice(&body).unwrap_or_default() } else { Value::Object(form()) };
    let ask = Ask { method: head.method.to_string(), path, query, body, person, server: format!("http://{address}") };
    let reply = match dialect {
        Dialect::GitLab => gitlab::answer(&mut state, &ask),
        Dialect::Forgejo => forgejo::answer(&mut state, &ask),
    };
    match fault {
        // Done, and nobody hears of it.
        Some(_) => Err(io::Error::other("cut, as the test asked")),
        None => Ok(write(&reply)),
    }
}

fn write(reply: &Reply) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(reply.status).header("content-type", "application/json");
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    let body = reply.text.clone().unwrap_or_else(|| reply.body.to_string());
    response.body(Full::new(Bytes::from(body))).unwrap()
}

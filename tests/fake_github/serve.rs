//! HTTP: who asks, what goes wrong, and what every answer of GitHub's has in common.

use std::io;
use std::sync::Arc;

use base64::Engine;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use super::state::{Account, Fault};
use super::{Shared, doing, over_git};

pub struct Ask {
    pub method: String,
    /// Without `/api/v3`.
    pub path: String,
    /// What addresses in answers begin with.
    pub base: String,
    pub query: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    pub account: Option<Account>,
    pub statement: Option<String>,
}

impl Ask {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn query(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Reply {
    pub fn text(status: u16, text: &str) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::copy_from_slice(text.as_bytes()) }
    }

    pub fn json(status: u16, value: &Value) -> Self {
        Self::text(status, &value.to_string()).with("content-type", "application/json; charset=utf-8")
    }

    pub fn empty(status: u16) -> Self {
        Self::text(status, "")
    }

    /// A refusal in GitHub's form.
    pub fn refusal(status: u16, message: &str) -> Self {
        let url = "https://docs.github.com/rest";
        Self::json(status, &json!({"message": message, "documentation_url": url, "status": status.to_string()}))
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A refusal that no request was looked at for, if it is one that GitHub could give.
fn refused(shared: &Shared, reply: Reply) -> Reply {
    let body = serde_json::from_slice(&reply.body).unwrap_or_default();
    if let Err(wrong) = shared.described.judge_error(&body) {
        shared.complain(format!("our refusal: {wrong}"));
    }
    reply
}

pub async fn api(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(request, Arc::clone(&shared)));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// In its turn, where a test says whose request is next.
async fn respond(request: Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<Full<Bytes>>> {
    let turns = shared.state().turns.clone();
    let Some(turns) = turns else { return reply(request, shared).await };
    let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = shown.split_once(' ').map(|(_, token)| token.to_owned()).unwrap_or_default();
    turns.wait(&token).await;
    let replied = reply(request, shared).await;
    turns.taken(&token);
    replied
}

async fn reply(request: Request<Incoming>, shared: Arc<Shared>) -> io::Result<Response<Full<Bytes>>> {
    let (head, incoming) = request.into_parts();
    let body = incoming.collect().await.map_err(io::Error::other)?.to_bytes();
    let full = head.uri.path().to_owned();
    let inside = full.strip_prefix("/api/v3").filter(|rest| rest.starts_with('/'));
    let base = format!("http://{}{}", shared.api, if inside.is_some() { "/api/v3" } else { "" });
    let path = inside.map_or_else(|| full.clone(), str::to_owned);
    let query = head.uri.query().unwrap_or_default().to_owned();
    let mut ask = Ask {
        method: head.method.to_string(),
        path,
        base,
        query,
        headers: head.headers,
        body,
        account: None,
        statement: None,
    };
    let line = format!("{} {}{}{}", ask.method, full, if ask.query.is_empty() { "" } else { "?" }, ask.query);
    shared.state().asked.push(line.clone());
    let fault = meet(&shared, &line);
    match &fault {
        Some(Fault::Slow(time)) => tokio::time::sleep(*time).await,
        Some(Fault::Cut) => return Err(io::Error::other("cut, as the test asked")),
        Some(Fault::Status(status)) => {
            return Ok(write(&refused(&shared, Reply::refusal(*status, "as the test asked"))));
        }
        Some(Fault::Secondary(after)) => {
            let words = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
            let reply = refused(&shared, Reply::refusal(403, words));
            return Ok(write(&reply.with("retry-after", &after.to_string())));
        }
        Some(Fault::Deaf) | None => {}
    }
    let known = who(&shared, &mut ask);
    if over_git::is_git(&full) {
        return Ok(write(&over_git::answer(&shared, &ask).await));
    }
    let stranger = || refused(&shared, Reply::refusal(401, "Bad credentials"));
    let reply = if known { doing::answer(&shared, &ask).await } else { stranger() };
    if matches!(fault, Some(Fault::Deaf)) {
        return Err(io::Error::other("done and cut, as the test asked"));
    }
    Ok(write(&dressed(&shared, &ask, reply)))
}

fn meet(shared: &Shared, line: &str) -> Option<Fault> {
    let mut state = shared.state();
    let trouble = state.troubles.iter_mut().find(|trouble| trouble.times > 0 && line.contains(&trouble.line))?;
    trouble.times -= 1;
    Some(trouble.fault.clone())
}

/// Finds who asks; `false` for a token that nobody has.
fn who(shared: &Shared, ask: &mut Ask) -> bool {
    let given = ask.header("authorization").to_owned();
    if given.is_empty() {
        return true;
    }
    let token = if let Some(basic) = given.strip_prefix("Basic ").or_else(|| given.strip_prefix("basic ")) {
        let plain = base64::engine::general_purpose::STANDARD.decode(basic.trim()).unwrap_or_default();
        String::from_utf8_lossy(&plain).split_once(':').map(|(_, token)| token.to_owned()).unwrap_or_default()
    } else {
        given.split_once(' ').map(|(_, token)| token.to_owned()).unwrap_or_default()
    };
    let account = shared.state().tokens.get(&token).cloned();
    if account.is_none() && token.split('.').count() == 3 {
        ask.statement = Some(token);
        return true;
    }
    ask.account = account;
    ask.account.is_some()
}

/// Tags, and the counts of requests.
fn dressed(shared: &Shared, ask: &Ask, mut reply: Reply) -> Reply {
    let date = shared.state().now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    reply = reply.with("date", &date).with("x-ratelimit-limit", "5000").with("x-ratelimit-remaining", "4999");
    if ask.method == "GET" && reply.status == 200 {
        let mut hasher = Sha256::new();
        hasher.update(ask.header("accept"));
        hasher.update(ask.header("authorization"));
        hasher.update(&reply.body);
        let tag = format!("\"{}\"", hex::encode(hasher.finalize()));
        if ask.header("if-none-match") == tag {
            reply = Reply::empty(304);
        }
        reply = reply.with("etag", &tag);
    }
    reply
}

fn write(reply: &Reply) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(reply.body.clone())).unwrap()
}

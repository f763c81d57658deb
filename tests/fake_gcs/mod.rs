//! Google Cloud Storage in small, in memory: one bucket, `conformance`, by Google's rules, to which Google's own library
//! holds it (`judge.py`). Objects have generations and checksums, and are looked at before anything is done to them;
//! uploads go in one piece, in sessions, or in parts of the XML API.

#![allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use store::State;

mod objects;
mod parts;
mod store;
mod upload;

/// The only bucket.
pub(crate) const BUCKET: &str = "conformance";

type Answer = Response<Full<Bytes>>;
type Query = BTreeMap<String, String>;

/// The server, for as long as the runtime lives that it was started on.
#[derive(Clone)]
pub(crate) struct Gcs {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

impl Gcs {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::<Mutex<State>>::default();
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let state = Arc::clone(&serving);
                tokio::spawn(async move {
                    let service = service_fn(move |request| respond(request, Arc::clone(&state)));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The names of all objects.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state.lock().expect("no test panicked").objects.keys().cloned().collect()
    }

    /// Bytes of one object.
    pub(crate) fn held(&self, name: &str) -> Option<Bytes> {
        let state = self.state.lock().expect("no test panicked");
        state.objects.get(name).map(|object| object.bytes.clone())
    }
}

/// One request, with its body.
struct Ask {
    method: Method,
    /// The parts of its path, without escapes.
    path: Vec<String>,
    query: Query,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    fn of(head: http::request::Parts, body: Bytes) -> Self {
        let path = head.uri.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect();
        let query = head.uri.query().unwrap_or_default().as_bytes();
        let query = url::form_urlencoded::parse(query).into_owned().collect();
        Self { method: head.method, path, query, headers: head.headers, body }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn text(&self, key: &str) -> &str {
        self.query.get(key).map_or("", String::as_str)
    }
}

/// A part of a path without its escapes.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let mut byte = [0];
        let escaped = if *first == b'%' { tail.get(..2) } else { None };
        if escaped.is_some_and(|digits| hex::decode_to_slice(digits, &mut byte).is_ok()) {
            bytes.push(byte[0]);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What came of a body, and whether that is all of it.
async fn arrived(mut body: Incoming) -> (Bytes, bool) {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(_) => return (bytes.into(), false),
        }
    }
    (bytes.into(), true)
}

async fn respond(request: Request<Incoming>, state: Arc<Mutex<State>>) -> io::Result<Answer> {
    let (head, body) = request.into_parts();
    let (bytes, whole) = arrived(body).await;
    let ask = Ask::of(head, bytes);
    let mut state = state.lock().expect("no test panicked");
    if !whole {
        upload::half(&mut state, &ask);
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer(&mut state, &ask))
}

fn answer(state: &mut State, ask: &Ask) -> Answer {
    let all: Vec<&str> = ask.path.iter().map(String::as_str).collect();
    let path = match all.as_slice() {
        ["download", rest @ ..] => rest,
        path => path,
    };
    match path {
        ["batch", "storage", "v1"] => objects::batch(state, ask),
        ["upload", "storage", "v1", "b", BUCKET, "o"] => upload::answer(state, ask),
        ["storage", "v1", "b", BUCKET] => told(200, &json!({"kind": "storage#bucket", "id": BUCKET, "name": BUCKET})),
        ["storage", "v1", "b", BUCKET, "o"] => objects::list(state, ask),
        ["storage", "v1", "b", BUCKET, "o", name] => objects::one(state, ask, name),
        ["storage", "v1", "b", BUCKET, "o", from, how @ ("rewriteTo" | "copyTo"), "b", BUCKET, "o", to] => {
            objects::copy(state, ask, from, to, *how == "rewriteTo")
        }
        ["storage", "v1", "b", BUCKET, "o", to, "compose"] => objects::compose(state, ask, to),
        ["batch" | "upload" | "storage", ..] => refused(404, "notFound", "The specified bucket does not exist."),
        [BUCKET, key @ ..] => parts::answer(state, ask, &key.join("/")),
        _ => parts::wrong(404, "NoSuchBucket", "The specified bucket does not exist."),
    }
}

fn told(status: u16, value: &Value) -> Answer {
    let answer = Response::builder().status(status).header("content-type", "application/json; charset=UTF-8");
    answer.body(Full::from(value.to_string())).expect("an answer")
}

fn nothing(status: u16) -> Answer {
    Response::builder().status(status).body(Full::default()).expect("an answer")
}

/// As the JSON API refuses.
fn refused(status: u16, reason: &str, message: &str) -> Answer {
    let error = json!({"message": message, "domain": "global", "reason": reason});
    told(status, &json!({"error": {"code": status, "message": message, "errors": [error]}}))
}

fn unmet() -> Answer {
    refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
}

fn absent(name: &str) -> Answer {
    refused(404, "notFound", &format!("No such object: {BUCKET}/{name}"))
}

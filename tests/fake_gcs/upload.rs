//! Uploads of the JSON API: bytes alone, with a description, and in sessions that are gone on with.

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::Full;
use serde_json::Value;

use super::store::{State, are, is_name};
use super::{Answer, Ask, Query, nothing, refused, told, unmet};

/// What does not end a session is kept in steps of so many bytes.
const STEP: usize = 256 * 1024;

/// A large object on its way.
pub(super) struct Session {
    name: String,
    query: Query,
    described: Value,
    bytes: Vec<u8>,
    /// What it became.
    done: Option<Value>,
}

pub(super) fn answer(state: &mut State, ask: &Ask) -> Answer {
    match (ask.method.as_str(), ask.text("uploadType")) {
        ("POST", "media") => create(state, ask, &Value::Null, ask.body.clone()),
        ("POST", "multipart") => match described(ask) {
            Some((described, bytes)) => create(state, ask, &described, bytes),
            None => refused(400, "badRequest", "Malformed multipart body."),
        },
        ("POST", "resumable") => begin(state, ask),
        ("PUT", _) => go_on(state, ask),
        // Google's own number for what a client gave up.
        ("DELETE", _) => match state.sessions.remove(ask.text("upload_id")) {
            Some(_) => nothing(499),
            None => refused(404, "notFound", "No such upload"),
        },
        _ => refused(400, "invalid", "Invalid upload request"),
    }
}

/// The name of what is uploaded: its description's, or the address's.
fn name_of(ask: &Ask, described: &Value) -> Option<String> {
    let name = described["name"].as_str().unwrap_or_else(|| ask.text("name"));
    is_name(name).then(|| name.to_owned())
}

fn create(state: &mut State, ask: &Ask, described: &Value, bytes: Bytes) -> Answer {
    let Some(name) = name_of(ask, described) else { return refused(400, "required", "Required") };
    finish(state, &name, &ask.query, (described, &ask.headers), bytes).1
}

/// Makes the object; also what it is told as.
fn finish(
    state: &mut State,
    name: &str,
    query: &Query,
    (described, headers): (&Value, &HeaderMap),
    bytes: Bytes,
) -> (Option<Value>, Answer) {
    if !state.holds(name, query) {
        return (None, unmet());
    }
    if !are(&bytes, described, headers) {
        return (None, refused(400, "invalid", "Provided hash does not match the calculated one."));
    }
    let object = state.put(name, bytes, true);
    let answer = told(200, &object);
    (Some(object), answer)
}

/// The two parts of a body: a description and the bytes.
fn described(ask: &Ask) -> Option<(Value, Bytes)> {
    let boundary = ask.header("content-type").split("boundary=").nth(1)?.trim_matches(['"', '\'']);
    let (line, end) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}"));
    let find = |from: usize, mark: &[u8]| memchr::memmem::find(&ask.body[from..], mark).map(|at| from + at);
    let head = find(0, b"\r\n\r\n")? + 4;
    let second = find(head, line.as_bytes())?;
    let value = serde_json::from_slice(ask.body[head..second].trim_ascii_end()).ok()?;
    let start = find(second, b"\r\n\r\n")? + 4;
    let last = memchr::memmem::rfind(&ask.body[start..], end.as_bytes())?;
    Some((value, ask.body.slice(start..start + last)))
}

fn begin(state: &mut State, ask: &Ask) -> Answer {
    let described: Value = serde_json::from_slice(&ask.body).unwrap_or_default();
    let Some(name) = name_of(ask, &described) else { return refused(400, "required", "Required") };
    if !state.holds(&name, &ask.query) {
        return unmet();
    }
    let id = format!("fake-session-{}", state.number());
    let address = format!(
        "http://{}/upload/storage/v1/b/{}/o?uploadType=resumable&upload_id={id}",
        ask.header("host"),
        super::BUCKET
    );
    let session = Session { name, query: ask.query.clone(), described, bytes: Vec::new(), done: None };
    state.sessions.insert(id.clone(), session);
    let answer = Response::builder().header("location", address).header("x-guploader-uploadid", id);
    answer.body(Full::default()).expect("an answer")
}

fn go_on(state: &mut State, ask: &Ask) -> Answer {
    let id = ask.text("upload_id").to_owned();
    let Some(mut session) = state.sessions.remove(&id) else { return refused(404, "notFound", "No such upload") };
    let answer = session.take(state, ask);
    state.sessions.insert(id, session);
    answer
}

/// A connection that broke within a request: of a session what arrived is kept.
pub(super) fn half(state: &mut State, ask: &Ask) {
    if let Some(session) = state.sessions.get_mut(ask.text("upload_id")) {
        let _ = session.append(ask);
        session.settle();
    }
}

impl Session {
    /// What a request says of where its bytes belong: from which on, and how many there are in all.
    fn place(ask: &Ask) -> (Option<usize>, Option<usize>) {
        match ask.header("content-range").strip_prefix("bytes ").and_then(|range| range.split_once('/')) {
            Some((span, total)) => (span.split_once('-').and_then(|(from, _)| from.parse().ok()), total.parse().ok()),
            None => (Some(0), Some(ask.body.len())),
        }
    }

    /// Takes bytes; those that are there already are passed over. `false` where some before them are missing.
    fn append(&mut self, ask: &Ask) -> bool {
        let (Some(from), None) = (Self::place(ask).0, &self.done) else { return true };
        if from > self.bytes.len() {
            return false;
        }
        let new = ask.body.get(self.bytes.len() - from..).unwrap_or_default();
        self.bytes.extend_from_slice(new);
        true
    }

    /// Keeps whole steps only.
    fn settle(&mut self) {
        if self.done.is_none() {
            self.bytes.truncate(self.bytes.len() / STEP * STEP);
        }
    }

    fn take(&mut self, state: &mut State, ask: &Ask) -> Answer {
        if let Some(done) = &self.done {
            return told(200, done);
        }
        if !self.append(ask) {
            return refused(400, "invalid", "Invalid request. There were missing bytes before those.");
        }
        if Self::place(ask).1 == Some(self.bytes.len()) {
            let bytes = Bytes::from(std::mem::take(&mut self.bytes));
            let (done, answer) = finish(state, &self.name, &self.query, (&self.described, &ask.headers), bytes.clone());
            self.done = done;
            self.bytes = if self.done.is_some() { Vec::new() } else { bytes.to_vec() };
            return answer;
        }
        self.settle();
        let mut answer = Response::builder().status(308);
        if let Some(last) = self.bytes.len().checked_sub(1) {
            answer = answer.header("range", format!("bytes=0-{last}"));
        }
        answer.body(Full::default()).expect("an answer")
    }
}

//! Objects of the JSON API: asked for, read, listed, removed, copied and put together.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use serde_json::{Value, json};

use super::store::{Object, State};
use super::{Answer, Ask, absent, decoded, nothing, refused, told, unmet};

/// Names that one page has at most.
const PAGE: usize = 1000;

pub(super) fn one(state: &mut State, ask: &Ask, name: &str) -> Answer {
    let wanted = ask.query.get("generation").and_then(|number| number.parse::<u64>().ok());
    let there = state.objects.get(name).filter(|object| wanted.is_none_or(|wanted| wanted == object.generation));
    let Some(object) = there else { return absent(name) };
    if !state.holds(name, &ask.query) {
        return unmet();
    }
    match ask.method.as_str() {
        "GET" if ask.text("alt") == "media" => media(ask, object),
        "GET" => told(200, &object.told(name)),
        "DELETE" => {
            state.objects.remove(name);
            nothing(204)
        }
        _ => refused(405, "methodNotAllowed", "Method Not Allowed"),
    }
}

/// An object's bytes, or a range of them.
pub(super) fn media(ask: &Ask, object: &Object) -> Answer {
    let size = object.bytes.len();
    let answer = |status: u16| {
        let answer = Response::builder().status(status).header("content-type", "application/octet-stream");
        let answer = answer.header("x-goog-generation", object.generation).header("x-goog-hash", object.sums());
        answer.header("etag", format!("\"{}\"", STANDARD.encode(object.generation.to_string())))
    };
    let Some((from, to)) = ask.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return answer(200).body(Full::new(object.bytes.clone())).expect("an answer");
    };
    let (from, end) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(last)) => (from, last.saturating_add(1).min(size)),
        (Ok(from), Err(_)) => (from, size),
        (Err(_), Ok(last)) => (size.saturating_sub(last), size),
        (Err(_), Err(_)) => (0, size),
    };
    if from >= end {
        return refused(416, "requestedRangeNotSatisfiable", "Request range not satisfiable");
    }
    let part = answer(206).header("content-range", format!("bytes {from}-{}/{size}", end - 1));
    part.body(Full::new(object.bytes.slice(from..end))).expect("an answer")
}

/// Names below a prefix in their order; with a delimiter those that go on behind it are one.
pub(super) fn list(state: &State, ask: &Ask) -> Answer {
    let (prefix, delimiter) = (ask.text("prefix"), ask.text("delimiter"));
    let most = ask.query.get("maxResults").and_then(|most| most.parse().ok()).unwrap_or(PAGE).min(PAGE);
    let after = hex::decode(ask.text("pageToken")).unwrap_or_default();
    let after = String::from_utf8(after).unwrap_or_default();
    let (mut items, mut prefixes): (Vec<Value>, BTreeSet<&str>) = (Vec::new(), BTreeSet::new());
    let (mut last, mut next) = ("", None);
    for (name, object) in &state.objects {
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        let end = if delimiter.is_empty() { None } else { rest.find(delimiter) };
        let shown = end.map_or(name.as_str(), |end| &name[..prefix.len() + end + delimiter.len()]);
        let seen = !after.is_empty() && shown <= after.as_str();
        if seen || prefixes.contains(shown) || name.as_str() < ask.text("startOffset") {
            continue;
        }
        if items.len() + prefixes.len() == most {
            next = Some(hex::encode(last));
            break;
        }
        last = shown;
        if end.is_some() {
            prefixes.insert(shown);
        } else {
            items.push(object.told(name));
        }
    }
    let mut page = json!({"kind": "storage#objects"});
    // What is empty is not told.
    if !items.is_empty() {
        page["items"] = json!(items);
    }
    if !prefixes.is_empty() {
        page["prefixes"] = json!(prefixes);
    }
    if let Some(next) = next {
        page["nextPageToken"] = json!(next);
    }
    told(200, &page)
}

pub(super) fn copy(state: &mut State, ask: &Ask, from: &str, to: &str, rewrite: bool) -> Answer {
    let wanted = ask.query.get("sourceGeneration").and_then(|number| number.parse::<u64>().ok());
    let source = state.objects.get(from).filter(|object| wanted.is_none_or(|wanted| wanted == object.generation));
    let Some((bytes, whole)) = source.map(|object| (object.bytes.clone(), object.md5.is_some())) else {
        return absent(from);
    };
    if !state.holds(to, &ask.query) {
        return unmet();
    }
    let size = bytes.len().to_string();
    let object = state.put(to, bytes, whole);
    if !rewrite {
        return told(200, &object);
    }
    let done = json!({
        "kind": "storage#rewriteResponse",
        "totalBytesRewritten": size,
        "objectSize": size,
        "done": true,
        "resource": object,
    });
    told(200, &done)
}

pub(super) fn compose(state: &mut State, ask: &Ask, to: &str) -> Answer {
    let described: Value = serde_json::from_slice(&ask.body).unwrap_or_default();
    let sources = described["sourceObjects"].as_array().cloned().unwrap_or_default();
    if !(1..=32).contains(&sources.len()) {
        return refused(400, "invalid", "The number of source components must be between 1 and 32.");
    }
    let mut whole: Vec<u8> = Vec::new();
    for source in &sources {
        let name = source["name"].as_str().unwrap_or_default();
        let Some(object) = state.objects.get(name) else { return absent(name) };
        whole.extend_from_slice(&object.bytes);
    }
    if !state.holds(to, &ask.query) {
        return unmet();
    }
    told(200, &state.put(to, whole.into(), false))
}

/// Many removals in one request, each with an answer of its own.
pub(super) fn batch(state: &mut State, ask: &Ask) -> Answer {
    let boundary = ask.header("content-type").split("boundary=").nth(1).unwrap_or_default().trim_matches('"');
    let text = String::from_utf8_lossy(&ask.body).into_owned();
    let mut answers = String::new();
    for part in text.split(&format!("--{boundary}")).skip(1).filter(|part| !part.starts_with("--")) {
        let line = part.lines().find(|line| line.starts_with("DELETE ")).unwrap_or_default();
        let name = line.split(' ').nth(1).and_then(|address| address.split_once("/o/")).map_or("", |(_, name)| name);
        let name = decoded(name.split('?').next().unwrap_or_default());
        let (status, words) = match state.objects.remove(&name) {
            Some(_) => ("204 No Content", String::new()),
            None => ("404 Not Found", json!({"error": {"code": 404, "message": "No such object"}}).to_string()),
        };
        let length = words.len();
        answers += "--batch_fake\r\nContent-Type: application/http\r\n\r\n";
        answers += &format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{words}\r\n");
    }
    answers += "--batch_fake--\r\n";
    let answer = Response::builder().header("content-type", "multipart/mixed; boundary=batch_fake");
    answer.body(Full::new(Bytes::from(answers))).expect("an answer")
}

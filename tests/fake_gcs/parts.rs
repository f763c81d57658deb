//! Uploads in parts, of the XML API. They know no conditions: what is put together takes the place of what is there. Each
//! part but the last has five mebibytes, and what they become has no MD5.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use super::store::{State, are, crc32c, is_name, md5};
use super::{Answer, Ask, nothing, objects};

const LEAST: usize = 5 * 1024 * 1024;
const MOST_PARTS: u32 = 10_000;

/// Parts of one object by their numbers.
pub(super) struct Upload {
    name: String,
    parts: BTreeMap<u32, Bytes>,
}

pub(super) fn answer(state: &mut State, ask: &Ask, key: &str) -> Answer {
    let id = ask.query.get("uploadId").cloned();
    match (ask.method.as_str(), id) {
        ("POST", None) if ask.query.contains_key("uploads") => begin(state, key),
        ("GET", None) if ask.query.contains_key("uploads") => uploads(state),
        (method, Some(id)) => {
            if state.uploads.get(&id).is_none_or(|upload| upload.name != key) {
                return wrong(404, "NoSuchUpload", "The requested upload was not found.");
            }
            match method {
                "PUT" => part(state, ask, &id),
                "POST" => complete(state, ask, &id),
                "GET" => parts(state, &id),
                "DELETE" => {
                    state.uploads.remove(&id);
                    nothing(204)
                }
                _ => wrong(405, "MethodNotAllowed", "The method is not allowed."),
            }
        }
        ("GET" | "HEAD", None) => match state.objects.get(key) {
            Some(object) => objects::media(ask, object),
            None => wrong(404, "NoSuchKey", "The specified key does not exist."),
        },
        _ => wrong(400, "InvalidArgument", "Invalid argument."),
    }
}

fn xml(status: u16, text: String) -> Answer {
    let answer = Response::builder().status(status).header("content-type", "application/xml; charset=UTF-8");
    answer.body(Full::new(Bytes::from(text))).expect("an answer")
}

/// As the XML API refuses.
pub(super) fn wrong(status: u16, code: &str, message: &str) -> Answer {
    xml(status, format!("<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

fn begin(state: &mut State, key: &str) -> Answer {
    if !is_name(key) {
        return wrong(400, "InvalidObjectName", "The specified object name is not valid.");
    }
    let id = format!("fake-upload-{}", state.number());
    state.uploads.insert(id.clone(), Upload { name: key.to_owned(), parts: BTreeMap::new() });
    let told = format!("<UploadId>{id}</UploadId>");
    xml(200, element("InitiateMultipartUploadResult", &told))
}

/// As the XML API begins all of its answers.
fn element(name: &str, within: &str) -> String {
    format!("<?xml version='1.0'?><{name} xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>{within}</{name}>")
}

fn uploads(state: &State) -> Answer {
    let each: Vec<String> =
        state.uploads.keys().map(|id| format!("<Upload><UploadId>{id}</UploadId></Upload>")).collect();
    let told = format!("<IsTruncated>false</IsTruncated>{}", each.concat());
    xml(200, element("ListMultipartUploadsResult", &told))
}

/// The tag of a part.
fn tag(bytes: &[u8]) -> String {
    use base64::Engine as _;
    let sum = base64::engine::general_purpose::STANDARD.decode(md5(bytes)).unwrap_or_default();
    hex::encode(sum)
}

fn part(state: &mut State, ask: &Ask, id: &str) -> Answer {
    let number = ask.text("partNumber").parse::<u32>().ok().filter(|number| (1..=MOST_PARTS).contains(number));
    let (Some(number), Some(upload)) = (number, state.uploads.get_mut(id)) else {
        return wrong(400, "InvalidArgument", "Part numbers are 1 to 10000.");
    };
    if !are(&ask.body, &serde_json::Value::Null, &ask.headers) {
        return wrong(400, "BadDigest", "The hash you specified did not match what we received.");
    }
    upload.parts.insert(number, ask.body.clone());
    let sums = format!("crc32c={},md5={}", crc32c(&ask.body), md5(&ask.body));
    let answer = Response::builder().header("etag", format!("\"{}\"", tag(&ask.body))).header("x-goog-hash", sums);
    answer.body(Full::default()).expect("an answer")
}

fn parts(state: &State, id: &str) -> Answer {
    let mut told = "<IsTruncated>false</IsTruncated>".to_owned();
    for (number, bytes) in state.uploads.get(id).into_iter().flat_map(|upload| &upload.parts) {
        let (tag, size) = (tag(bytes), bytes.len());
        told += &format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{tag}\"</ETag><Size>{size}</Size></Part>");
    }
    xml(200, element("ListPartsResult", &told))
}

/// What stands in an element.
fn within<'a>(text: &'a str, element: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{element}>"))?;
    Some(rest.split_once(&format!("</{element}>"))?.0.trim())
}

fn complete(state: &mut State, ask: &Ask, id: &str) -> Answer {
    let Some(upload) = state.uploads.get(id) else { return wrong(404, "NoSuchUpload", "There is no such upload.") };
    let text = String::from_utf8_lossy(&ask.body).into_owned();
    let named: Vec<(u32, String)> = text
        .split("<Part>")
        .skip(1)
        .filter_map(|part| {
            let tag = within(part, "ETag")?.replace("&quot;", "\"");
            Some((within(part, "PartNumber")?.parse().ok()?, tag.trim_matches('"').to_owned()))
        })
        .collect();
    if named.is_empty() || !named.is_sorted_by(|one, other| one.0 < other.0) {
        return wrong(400, "InvalidPartOrder", "The list of parts was not in ascending order.");
    }
    let mut whole: Vec<u8> = Vec::new();
    for (at, (number, named_tag)) in named.iter().enumerate() {
        let Some(bytes) = upload.parts.get(number).filter(|bytes| tag(bytes) == *named_tag) else {
            return wrong(400, "InvalidPart", "One or more of the specified parts could not be found.");
        };
        if at + 1 < named.len() && bytes.len() < LEAST {
            return wrong(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed.");
        }
        whole.extend_from_slice(bytes);
    }
    let name = upload.name.clone();
    state.uploads.remove(id);
    state.put(&name, whole.into(), false);
    xml(200, element("CompleteMultipartUploadResult", &format!("<ETag>\"{id}\"</ETag>")))
}

//! A request as the drives see it, and what they answer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use super::blob::{Blob, Spool};
use super::names::decode;
use super::{Drive, Shared};

/// A body of JSON or of a form is never longer.
const LONGEST_JSON: usize = 16 * 1024 * 1024;

pub enum Content {
    Bytes(Bytes),
    /// From, and how many.
    Part(Arc<Blob>, u64, u64),
}

pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub content: Content,
}

impl Reply {
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
        Self { status, headers, content: Content::Bytes(Bytes::from(text.into())) }
    }

    pub fn json(status: u16, value: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, content: Content::Bytes(Bytes::from(value.to_string())) }
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), content: Content::Bytes(Bytes::new()) }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Ends after so many bytes, and tells of no more.
    pub fn shortened(mut self, bytes: u64) -> Self {
        self.content = match self.content {
            Content::Bytes(all) => Content::Bytes(all.slice(..all.len().min(usize::try_from(bytes).unwrap()))),
            Content::Part(blob, from, size) => Content::Part(blob, from, size.min(bytes)),
        };
        self
    }

    /// A file, or the part of it that `Range` asks for.
    pub fn file(blob: &Arc<Blob>, range: Option<&str>) -> Self {
        let size = blob.size;
        let (status, from, to) = match range.map(|range| parse_range(range, size)) {
            None => (200, 0, size),
            Some(Some((from, to))) => (206, from, to),
            Some(None) => return Self::empty(416).with("content-range", format!("bytes */{size}")),
        };
        let headers =
            vec![("content-type", "application/octet-stream".to_owned()), ("accept-ranges", "bytes".to_owned())];
        let reply = Self { status, headers, content: Content::Part(Arc::clone(blob), from, to - from) };
        match status {
            206 => reply.with("content-range", format!("bytes {from}-{}/{size}", to - 1)),
            _ => reply,
        }
    }
}

/// `bytes=a-b`, `bytes=a-`, `bytes=-n` as from and to; none if nothing of it is there.
fn parse_range(range: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (from, to) = match (from.parse::<u64>(), to.parse::<u64>()) {
        (Ok(from), Ok(to)) => (from, (to + 1).min(size)),
        (Ok(from), Err(_)) => (from, size),
        (Err(_), Ok(last)) => (size.saturating_sub(last), size),
        (Err(_), Err(_)) => return None,
    };
    (from < to).then_some((from, to))
}

/// Why there is no ordinary answer.
pub enum Refusal {
    Say(Reply),
    /// The connection just ends.
    Cut,
}

impl From<Reply> for Refusal {
    fn from(reply: Reply) -> Self {
        Self::Say(reply)
    }
}

pub type Answer = Result<Reply, Refusal>;

/// The request's body; it may be cut by a fault.
pub struct Body {
    pub incoming: Incoming,
    pub cut_after: Option<u64>,
    pub taken: u64,
    /// What all requests to this drive have brought.
    pub received: Arc<AtomicU64>,
}

impl Body {
    pub async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        loop {
            if self.cut_after.is_some_and(|limit| self.taken >= limit) {
                return Err(Refusal::Cut);
            }
            let Some(frame) = self.incoming.frame().await else { return Ok(None) };
            let frame = frame.map_err(|_| Refusal::Cut)?;
            let Ok(mut data) = frame.into_data() else { continue };
            if let Some(limit) = self.cut_after {
                data.truncate(usize::try_from(limit - self.taken).unwrap_or(usize::MAX));
            }
            self.taken += data.len() as u64;
            self.received.fetch_add(data.len() as u64, Ordering::Relaxed);
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }

    /// All of it, for JSON and forms.
    pub async fn all(&mut self) -> Result<Vec<u8>, Refusal> {
        let mut bytes = Vec::new();
        while let Some(data) = self.next().await? {
            bytes.extend_from_slice(&data);
            if bytes.len() > LONGEST_JSON {
                return Err(Reply::text(413, "too long").into());
            }
        }
        Ok(bytes)
    }

    /// Writes it into a file from there on; how many bytes came.
    pub async fn pour(&mut self, spool: &Spool, from: u64) -> Result<u64, Refusal> {
        let mut at = from;
        while let Some(data) = self.next().await? {
            spool.write(at, &data);
            at += data.len() as u64;
        }
        Ok(at - from)
    }
}

/// How the request came: URLs in the answer lead back that way.
#[derive(Clone)]
pub enum Way {
    /// `http://127.0.0.1:1234/box`.
    Prefix(String),
    /// The vendor's own host, through a front that speaks TLS.
    Host(String),
}

pub struct Ask {
    pub drive: Drive,
    pub method: Method,
    /// Without the prefix, not decoded.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub way: Way,
    pub body: Body,
    /// Listings show what is older than this (`Fault::Stale`).
    pub stale: Option<u64>,
    pub quota_full: bool,
    pub twice: bool,
}

impl Ask {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Python's SDKs write `True`.
    pub fn says(&self, name: &str) -> bool {
        self.query(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A URL that leads back here; `path` as the vendor has it on `host`.
    pub fn url(&self, host: &str, path: &str) -> String {
        match &self.way {
            Way::Prefix(prefix) => format!("{prefix}{path}"),
            Way::Host(_) => format!("https://{host}{path}"),
        }
    }

    /// Decoded parts of the path.
    pub fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
    }

    pub fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    pub fn bearer(&self) -> Option<String> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.to_owned())
    }

    /// An empty body is null.
    pub async fn json(&mut self) -> Result<Value, Refusal> {
        let bytes = self.body.all().await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        let error = |error| Reply::text(400, format!("the body is no JSON: {error}"));
        Ok(serde_json::from_slice(&bytes).map_err(error)?)
    }

    pub async fn form(&mut self) -> Result<Vec<(String, String)>, Refusal> {
        let bytes = self.body.all().await?;
        Ok(url::form_urlencoded::parse(&bytes).into_owned().collect())
    }

    /// The whole body as a file.
    pub async fn blob(&mut self, shared: &Shared) -> Result<Arc<Blob>, Refusal> {
        let spool = shared.room.spool();
        let size = self.body.pour(&spool, 0).await?;
        Ok(Blob::seal(Arc::new(spool), size, self.drive).await)
    }
}

pub fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut by the script")
}

/// `bytes a-b/total`: from, to (exclusive), total.
pub fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (from, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    let (from, last): (u64, u64) = (from.parse().ok()?, last.parse().ok()?);
    (last >= from).then_some((from, last + 1, total))
}

//! What a service answers, read to its end: its status, headers and body, and what these mean everywhere.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};

use super::Fault;
use super::client::STILL;

/// Whoever asks for a longer pause is taken to ask for this one.
pub const LONGEST_WAIT: Duration = Duration::from_hours(24);
/// Of a refusal, more is not read.
pub(super) const WORDS: usize = 64 * 1024;
/// Of an answer that is no file, more is not read.
const ANSWER: usize = 64 * 1024 * 1024;

/// An answer that was read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, cut where it is long.
    pub body: Bytes,
}

impl Answer {
    /// How long the service asks to wait; at most [`LONGEST_WAIT`]. It may say for how long, or until when by its own
    /// clock.
    pub fn retry_after(&self) -> Option<Duration> {
        let told = self.header("retry-after")?.trim();
        let wait = if let Ok(seconds) = told.parse::<f64>() {
            // What is no time, or runs backwards, says nothing.
            (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_WAIT))?
        } else {
            let at = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|at| at.timestamp());
            let now = self.header("date").and_then(at).unwrap_or_else(jiff::Timestamp::now);
            at(told)?.duration_since(now).try_into().unwrap_or_default()
        };
        Some(wait.min(LONGEST_WAIT))
    }

    /// One header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// [`Fault::Form`] when it is none or of another shape; [`Fault::Broken`] when its end is missing.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(|error| unread(&error))
    }

    /// Why a success is not what the service answered, where its body shows that. Something on the way may end an answer
    /// early and tell of a shorter one, or put a page of its own in its place; where a service answers in JSON alone
    /// (`only_json`), a page is never its own.
    fn mangled(&self, only_json: bool) -> Option<Fault> {
        let kind = self.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
        let is = |name: &str| kind.eq_ignore_ascii_case(name);
        // Many answers have no body, whatever kind they name.
        if !(200..300).contains(&self.status) || self.body.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        if only_json && is("text/html") {
            return Some(Fault::Broken("a page came in place of the service's answer".to_owned()));
        }
        if !only_json && !is("application/json") {
            return None;
        }
        let error = serde_json::from_slice::<serde::de::IgnoredAny>(&self.body).err()?;
        error.is_eof().then(|| unread(&error))
    }

    /// The body as JSON of any shape; `null` where it is none.
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// What every service means by a status, where it has nothing better to say.
    pub fn plain_fault(&self, words: &str) -> Fault {
        // No sentence shall end with a colon.
        let why = if words.trim().is_empty() { "it does not say why" } else { words };
        match self.status {
            401 => Fault::Login(format!("the service no longer takes the token: {why}")),
            403 => Fault::Forbidden(why.to_owned()),
            404 | 410 => Fault::NotFound,
            409 | 412 => Fault::Exists,
            413 => Fault::TooLarge(None),
            429 => Fault::Throttled(self.retry_after()),
            503 if self.retry_after().is_some() => Fault::Throttled(self.retry_after()),
            507 => Fault::Full,
            // What a server does not know it will not know in a moment either.
            501 => Fault::refused(501, words),
            408 | 500..=599 => Fault::Broken(format!("the service answered {}", self.status)),
            status => Fault::refused(status, words),
        }
    }
}

/// JSON that breaks off is a connection that broke while it came: the request may have been carried out, and nobody knows.
fn unread(error: &serde_json::Error) -> Fault {
    if error.is_eof() {
        return Fault::Broken(format!("the service's answer broke off: {error}"));
    }
    Fault::Form(error.to_string())
}

/// A refusal of which the words did not arrive; the service failed while it refused.
pub(super) fn cut_short(_: &Fault) -> Answer {
    Answer { status: 500, headers: HeaderMap::new(), body: Bytes::new() }
}

/// Success, a redirect that somebody follows, or the 308 of a resumable upload.
pub(super) fn is_answer(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

pub(super) fn silent() -> Fault {
    Fault::Broken("no answer in time".to_owned())
}

/// The next bytes of an answer, unless nothing comes for too long.
///
/// # Errors
/// When the connection broke, or is silent.
pub async fn chunk(response: &mut Response) -> Result<Option<Bytes>, Fault> {
    match tokio::time::timeout(STILL, response.chunk()).await {
        Ok(chunk) => chunk.map_err(Fault::network),
        Err(_) => Err(silent()),
    }
}

/// As [`read`], of a success, all of which must have come.
///
/// # Errors
/// Also [`Fault::Broken`], as when the connection broke, where it shows that it did not.
pub(super) async fn read_whole(response: Response, only_json: bool) -> Result<Answer, Fault> {
    let answer = read(response, ANSWER).await?;
    answer.mangled(only_json).map_or(Ok(answer), Err)
}

pub(super) async fn read(mut response: Response, most: usize) -> Result<Answer, Fault> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(chunk) = chunk(&mut response).await? {
        body.extend_from_slice(&chunk);
        if body.len() > most {
            if status < 400 {
                return Err(Fault::Form("it is too long".to_owned()));
            }
            break;
        }
    }
    Ok(Answer { status, headers, body: body.into() })
}

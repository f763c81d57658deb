//! Large files: chunks of one resumable upload, gone on with where they broke off.

use reqwest::header::{CONTENT_LENGTH, LOCATION};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::GoogleDrive;
use super::file::File;
use super::upload::OCTETS;
use crate::storage::backend::{Fault, Sessions, Source};
use crate::storage::drive::patience::Patience;
use crate::storage::drive::pieces::Pieces;
use crate::web::{Answer, Endpoint, Web};

/// A multiple of 256 KiB, as the service demands.
const CHUNK: u64 = 16 * 1024 * 1024;
/// Sessions of one file that are begun before it is given up.
const SESSIONS: u32 = 3;

/// What is remembered of a session. The address is a credential.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: String,
    url: String,
}

/// How far an upload is.
enum At {
    /// From here on the service wants the file.
    Wanted(u64),
    Done(File),
    /// There is no such session, or no longer.
    Gone,
}

impl GoogleDrive {
    pub(super) async fn through_session(
        &self,
        key: &str,
        mut about: Value,
        source: &mut Source,
        sessions: &dyn Sessions,
    ) -> Result<File, Fault> {
        let mut half = self.recalled(key, source.size(), sessions).await?;
        let mut pieces = Pieces::new(source, sessions, CHUNK);
        for _ in 0..SESSIONS {
            let (kept, at) = if let Some(half) = half.take() {
                half
            } else {
                let id = self.id().await?;
                about["id"] = json!(id);
                let url = self.begin(&about, pieces.size()).await?;
                let kept = Kept { id, url };
                sessions.remember(key, &serde_json::to_string(&kept).unwrap_or_default());
                (kept, At::Wanted(0))
            };
            let done = match at {
                At::Wanted(at) => self.push(&kept.url, at, &mut pieces).await,
                at => Ok(at),
            };
            // After what is no refusal it stays remembered: the next try goes on.
            let done = done.inspect_err(|fault| {
                if matches!(fault, Fault::Refused { .. } | Fault::Form(_)) {
                    sessions.forget(key);
                }
            })?;
            let file = match done {
                At::Done(file) => Some(file),
                // It may be over because everything arrived.
                At::Gone | At::Wanted(_) => self.file(&kept.id).await?,
            };
            sessions.forget(key);
            if let Some(file) = file {
                pieces.arrived(pieces.size());
                source.drain().await?;
                return Ok(file);
            }
            pieces.arrived(0);
        }
        Err(Fault::Broken("upload sessions end before the file is sent".to_owned()))
    }

    async fn begin(&self, about: &Value, size: u64) -> Result<String, Fault> {
        let url = self.address.contents("resumable");
        let begin = self.writes.send(|client| {
            let request = client.post(&url).header("x-upload-content-type", OCTETS);
            request.header("x-upload-content-length", size).json(about)
        });
        let answer = begin.await?;
        let url = answer.headers.get(LOCATION).and_then(|to| to.to_str().ok());
        let url = url.filter(|url| is_safe(url)).map(str::to_owned);
        url.ok_or_else(|| Fault::Form("an upload session without a safe address".to_owned()))
    }

    /// The session that an earlier try began, and how far it is.
    async fn recalled(&self, key: &str, size: u64, sessions: &dyn Sessions) -> Result<Option<(Kept, At)>, Fault> {
        let Some(text) = sessions.recall(key) else { return Ok(None) };
        let kept: Option<Kept> = serde_json::from_str(&text).ok();
        if let Some(kept) = kept.filter(|kept| is_safe(&kept.url)) {
            match self.ask(&kept.url, size).await {
                Ok(at) => return Ok(Some((kept, at))),
                Err(fault) if fault.is_passing() || matches!(fault, Fault::Spent(_)) => return Err(fault),
                Err(fault) => tracing::debug!(%fault, "an upload session is not gone on with"),
            }
        }
        sessions.forget(key);
        Ok(None)
    }

    /// Who asks a session at that address: with a token where that is the upload service itself, as the vendor's own
    /// programs do; anywhere else the address is all that is needed, and the token nobody's business.
    fn session_at(&self, url: &str) -> &Web {
        let is_own = Url::parse(&self.writes.led(url)).is_ok_and(|url| self.address.upload.is_of(&url));
        if is_own { &self.writes } else { &self.bare }
    }

    /// How far an upload is.
    async fn ask(&self, url: &str, size: u64) -> Result<At, Fault> {
        let range = format!("bytes */{size}");
        let web = self.session_at(url);
        let ask = web.send(|client| client.put(url).header("content-range", &range).header(CONTENT_LENGTH, 0));
        told(ask.await)
    }

    async fn push(&self, url: &str, mut at: u64, pieces: &mut Pieces<'_>) -> Result<At, Fault> {
        let size = pieces.size();
        let mut patience = Patience::new();
        loop {
            pieces.arrived(at);
            let bytes = pieces.at(at).await?;
            let answer = if bytes.is_empty() {
                // All is there, and it is not a file yet.
                self.ask(url, size).await
            } else {
                let range = format!("bytes {at}-{}/{size}", at + bytes.len() as u64 - 1);
                let web = self.session_at(url);
                let put = web.send_once(|client| client.put(url).header("content-range", &range).body(bytes.clone()));
                told(put.await)
            };
            let wanted = match answer {
                Ok(At::Wanted(wanted)) => wanted,
                Ok(over) => return Ok(over),
                // Nobody knows how much of it arrived.
                Err(fault @ Fault::Broken(_)) => {
                    if !patience.again().await {
                        return Err(fault);
                    }
                    match self.ask(url, size).await? {
                        At::Wanted(wanted) => wanted,
                        over => return Ok(over),
                    }
                }
                Err(fault) => return Err(fault),
            };
            if wanted > at {
                patience = Patience::new();
            } else if !patience.again().await {
                return Err(Fault::Broken("the service takes no more of the file".to_owned()));
            }
            at = wanted;
        }
    }
}

/// What an answer of a session tells.
fn told(answer: Result<Answer, Fault>) -> Result<At, Fault> {
    match answer {
        Ok(answer) if answer.status == 308 => arrived(answer.header("range")).map(At::Wanted),
        // It is done, and the answer does not tell of the file: that is asked for by its id.
        Ok(answer) => Ok(answer.json().map_or(At::Gone, At::Done)),
        // Its id is taken: the session did what it was for. Or its address is good no longer: a token would have been
        // renewed.
        Err(Fault::NotFound | Fault::Exists | Fault::Login(_)) => Ok(At::Gone),
        Err(fault) => Err(fault),
    }
}

/// How many bytes are there, as `bytes=0-LAST` tells; without it, none.
fn arrived(range: Option<&str>) -> Result<u64, Fault> {
    let Some(range) = range else { return Ok(0) };
    let span = range.strip_prefix("bytes=").unwrap_or(range);
    let last: Option<u64> = span.strip_prefix("0-").and_then(|last| last.trim().parse().ok());
    last.map(|last| last + 1).ok_or_else(|| Fault::Form("an upload session tells a range that is none".to_owned()))
}

fn is_safe(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| Endpoint::is_safe(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_tells_how_much_is_there() {
        assert_eq!((arrived(None).unwrap(), arrived(Some("bytes=0-262143")).unwrap()), (0, 262_144));
        assert_eq!(arrived(Some("0-9")).unwrap(), 10);
        assert!(arrived(Some("bytes=5-9")).is_err() && arrived(Some("all")).is_err());
    }

    #[test]
    fn an_address_that_is_good_no_longer_is_a_session_that_is_over() {
        for fault in [Fault::NotFound, Fault::Exists, Fault::Login(String::new())] {
            assert!(matches!(told(Err(fault)), Ok(At::Gone)));
        }
        assert!(matches!(told(Err(Fault::Full)), Err(Fault::Full)));
    }

    #[test]
    fn an_end_that_does_not_tell_of_the_file_is_looked_after_by_the_files_id() {
        for body in ["", "{}", "null", "\"done\"", "<html>"] {
            let headers = reqwest::header::HeaderMap::new();
            let answer = Answer { status: 200, headers, body: body.to_owned().into() };
            assert!(matches!(told(Ok(answer)), Ok(At::Gone)), "{body}");
        }
    }

    #[test]
    fn chunks_are_of_the_size_that_the_service_demands() {
        assert!(CHUNK.is_multiple_of(256 * 1024));
    }
}

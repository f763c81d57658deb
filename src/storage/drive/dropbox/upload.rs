//! Bytes into sessions of Dropbox: small files in one request, large ones chunk by chunk. Nothing can be seen yet:
//! [`super::batch`] makes files of sessions.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Dropbox;
use super::api::is;
use crate::storage::backend::{Backend as _, Created, HashKind, Hasher, Pending, Receipt, Sessions, Source};
use crate::storage::drive::outgoing::Outgoing;
use crate::web::{Answer, Fault};

/// Up to here in one request; 150 MiB would be allowed.
pub(super) const SMALL: u64 = 48 * 1024 * 1024;
/// Dropbox keeps sessions for seven days. Of one that is younger than this it is not asked whether it is there: refusals
/// count, too, and whoever makes files of sessions finds out.
const SURELY_KEPT: i64 = 6 * 24 * 3600;
/// Of fewer bytes nobody sees that they go out.
const WORTH_TELLING: u64 = 1024 * 1024;
/// A multiple of 4 MiB, as Dropbox advises.
const CHUNK: u64 = 16 * 1024 * 1024;
/// Answers about an offset that do not move a file on.
const STUCK: u32 = 5;

#[derive(Deserialize)]
struct Started {
    session_id: String,
}

/// What is remembered of a file.
#[derive(Serialize, Deserialize)]
struct Remembered {
    session: String,
    /// Of the whole, where all of it is in the session, which is closed: another file of the same length may be on its
    /// way by now.
    #[serde(default)]
    sum: Option<String>,
    /// When the session began, in seconds since 1970.
    #[serde(default)]
    since: Option<i64>,
}

impl Remembered {
    /// Whether all of the file surely is there, at the time `now`.
    fn is_whole(&self, now: i64) -> bool {
        self.sum.is_some() && self.since.is_some_and(|since| (0..SURELY_KEPT).contains(&now.saturating_sub(since)))
    }
}

/// What became of bytes that were sent.
enum Appended {
    All,
    /// They were to begin where the session does not end: it has so many bytes.
    Not(u64),
    /// All has arrived before and nothing more is taken.
    Closed,
    /// There is no such session.
    Gone,
}

impl Dropbox {
    /// Sends a file into a session of its own.
    pub(super) async fn upload(
        &self,
        key: &str,
        source: &mut Source,
        sessions: &dyn Sessions,
    ) -> Result<Created, Fault> {
        if source.size() == 0 {
            return self.empty(key, source).await;
        }
        let mut remembered = sessions.recall(key).and_then(|text| serde_json::from_str::<Remembered>(&text).ok());
        for _ in 0..2 {
            let mut counted = Counted::new(sessions);
            let (session, sent) = if let Some(known) = remembered.take() {
                let sent = self.recalled(&known, source, &mut counted).await;
                (known.session, sent)
            } else if source.size() <= SMALL {
                return self.whole(key, source, sessions).await;
            } else {
                let session = self.start(key, sessions).await?;
                let sent = self.chunks(&session, source, &mut counted).await;
                (session, sent)
            };
            match sent {
                Ok(()) => return pending(key, session, source),
                // The session is over: once more from the beginning.
                Err(Fault::NotFound) => {
                    counted.take_back();
                    sessions.forget(key);
                    source.rewind()?;
                }
                Err(fault) => {
                    counted.going(0);
                    return Err(fault);
                }
            }
        }
        Err(Fault::Broken("Dropbox has lost two sessions of one file".to_owned()))
    }

    /// An empty file needs no session, and not everything that has sessions takes empty ones.
    async fn empty(&self, key: &str, source: &mut Source) -> Result<Created, Fault> {
        source.drain().await?;
        if self.write(key, &Bytes::new(), "add").await? {
            return Ok(Created::Ours(Receipt { checksum: source.checksum(), id: None, ..Receipt::default() }));
        }
        let there = self.stat(key).await?.ok_or_else(|| super::no_folder(key))?;
        Ok(Created::Taken(Some(there)))
    }

    /// One request that may be repeated: a session more is nothing that can be seen.
    async fn whole(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault> {
        let size = source.size();
        let _room = self.memory.room(size).await?;
        let bytes = source.next(size).await?.unwrap_or_default();
        source.drain().await?;
        let sum = source.checksum().map(|sum| sum.hex());
        let argument = json!({"close": true, "content_hash": &sum});
        let mut counted = Counted::new(sessions);
        let started = self.go_out("files/upload_session/start", &argument, &bytes, &[], &mut counted).await;
        let started = started.and_then(|answer| answer.json::<Started>());
        let session = match started {
            Ok(started) => started.session_id,
            Err(fault) => {
                counted.going(0);
                return Err(fault);
            }
        };
        // Should we die before it is a file, the bytes are there.
        remember(key, &session, sum, sessions)?;
        counted.more(size);
        pending(key, session, source)
    }

    /// A session without bytes, remembered before any are sent.
    async fn start(&self, key: &str, sessions: &dyn Sessions) -> Result<String, Fault> {
        let argument = json!({"close": false});
        let started = self.api.send("files/upload_session/start", &argument, &Bytes::new(), &[], || ()).await?;
        let session = started.json::<Started>()?.session_id;
        remember(key, &session, None, sessions)?;
        Ok(session)
    }

    /// Goes on with what an earlier process sent; [`Fault::NotFound`] where that is of no use.
    async fn recalled(&self, known: &Remembered, source: &mut Source, counted: &mut Counted<'_>) -> Result<(), Fault> {
        if known.is_whole(now()) {
            source.drain().await?;
            counted.more(source.size());
        } else {
            self.go_on(&known.session, source, counted).await?;
        }
        let same = |sum: &String| source.checksum().is_some_and(|ours| ours.hex() == *sum);
        if known.sum.as_ref().is_none_or(same) { Ok(()) } else { Err(Fault::NotFound) }
    }

    /// Finds out how much of a session has arrived and sends the rest.
    async fn go_on(&self, session: &str, source: &mut Source, counted: &mut Counted<'_>) -> Result<(), Fault> {
        // Nothing, at the very beginning: where bytes have arrived, Dropbox says how many.
        match self.append(session, 0, &Bytes::new(), false, counted).await? {
            Appended::Closed => {
                source.drain().await?;
                counted.more(source.size());
                Ok(())
            }
            Appended::Not(there) if there <= source.size() => {
                source.skip_to(there).await?;
                counted.more(there);
                self.chunks(session, source, counted).await
            }
            Appended::All => self.chunks(session, source, counted).await,
            Appended::Not(_) | Appended::Gone => Err(Fault::NotFound),
        }
    }

    /// Sends from where the source stands; the last chunk closes the session.
    async fn chunks(&self, session: &str, source: &mut Source, counted: &mut Counted<'_>) -> Result<(), Fault> {
        loop {
            let (offset, size) = (source.at(), source.size());
            let _room = self.memory.room(CHUNK.min(size - offset)).await?;
            let bytes = source.next(CHUNK).await?.unwrap_or_default();
            let last = source.at() == size;
            self.chunk(session, offset, bytes, last, counted).await?;
            if last {
                return Ok(());
            }
        }
    }

    /// Sends one chunk, or what is missing of it where a try before was not answered.
    async fn chunk(
        &self,
        session: &str,
        mut offset: u64,
        mut bytes: Bytes,
        last: bool,
        counted: &mut Counted<'_>,
    ) -> Result<(), Fault> {
        let end = offset + bytes.len() as u64;
        for _ in 0..STUCK {
            let (arrived, done) = match self.append(session, offset, &bytes, last, counted).await? {
                Appended::All => (end, true),
                Appended::Closed if last => (end, true),
                // All of the last one may be there, and the session still open.
                Appended::Not(there) if there > offset && there <= end => (there, there == end && !last),
                Appended::Not(_) | Appended::Closed | Appended::Gone => return Err(Fault::NotFound),
            };
            counted.more(arrived - offset);
            if done {
                return Ok(());
            }
            let known = usize::try_from(arrived - offset).unwrap_or(usize::MAX);
            bytes = bytes.slice(known.min(bytes.len())..);
            offset = arrived;
        }
        Err(Fault::Broken("a chunk does not arrive whole".to_owned()))
    }

    async fn append(
        &self,
        session: &str,
        offset: u64,
        bytes: &Bytes,
        close: bool,
        counted: &mut Counted<'_>,
    ) -> Result<Appended, Fault> {
        let mut argument = json!({"cursor": {"session_id": session, "offset": offset}, "close": close});
        if !bytes.is_empty() {
            argument["content_hash"] = json!(Hasher::of(HashKind::Dropbox, bytes).hex());
        }
        let told = ["incorrect_offset", "closed", "not_found"];
        let answer = self.go_out("files/upload_session/append_v2", &argument, bytes, &told, counted).await?;
        if is(&answer, "incorrect_offset") {
            let there = answer.value()["error"]["correct_offset"].as_u64();
            return there.map(Appended::Not).ok_or_else(|| Fault::Form("an offset that is none".to_owned()));
        }
        Ok(match () {
            () if is(&answer, "closed") => Appended::Closed,
            () if is(&answer, "not_found") => Appended::Gone,
            () => Appended::All,
        })
    }

    /// A request with bytes of the file, of which it is told while they go out, unless they are few.
    async fn go_out(
        &self,
        route: &str,
        argument: &Value,
        bytes: &Bytes,
        told: &[&str],
        counted: &mut Counted<'_>,
    ) -> Result<Answer, Fault> {
        if (bytes.len() as u64) < WORTH_TELLING {
            return self.api.send(route, argument, bytes, told, || ()).await;
        }
        let out = Outgoing::new(bytes.clone());
        out.watched(self.api.send_out(route, argument, &out, told), |gone| counted.going(gone)).await
    }
}

/// What was told of a file's progress, to be taken back when it has to be sent anew.
struct Counted<'a> {
    sessions: &'a dyn Sessions,
    /// That have arrived.
    bytes: u64,
    /// That are on their way, of which nobody knows yet whether they arrive.
    going: u64,
}

impl<'a> Counted<'a> {
    fn new(sessions: &'a dyn Sessions) -> Self {
        Self { sessions, bytes: 0, going: 0 }
    }

    /// So many are on their way now.
    fn going(&mut self, bytes: u64) {
        if bytes >= self.going {
            self.sessions.sent(bytes - self.going);
        } else {
            self.sessions.unsent(self.going - bytes);
        }
        self.going = bytes;
    }

    /// So many more have arrived; nothing is on its way any more.
    fn more(&mut self, bytes: u64) {
        self.going(bytes);
        self.bytes += bytes;
        self.going = 0;
    }

    /// None of them counts.
    fn take_back(&mut self) {
        self.going(0);
        self.sessions.unsent(self.bytes);
        self.bytes = 0;
    }
}

fn remember(key: &str, session: &str, sum: Option<String>, sessions: &dyn Sessions) -> Result<(), Fault> {
    let text = serde_json::to_string(&Remembered { session: session.to_owned(), sum, since: Some(now()) });
    sessions.remember(key, &text.map_err(|error| Fault::Form(error.to_string()))?);
    Ok(())
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn pending(key: &str, session: String, source: &Source) -> Result<Created, Fault> {
    let checksum = source.checksum().ok_or_else(|| Fault::Form("the file was not hashed".to_owned()))?;
    Ok(Created::Pending(Pending { key: key.to_owned(), session, size: source.size(), checksum }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_session_of_the_last_days_is_taken_to_be_there() {
        let now = 1_800_000_000;
        let whole = |text: &str| serde_json::from_str::<Remembered>(text).unwrap().is_whole(now);
        assert!(whole(r#"{"session": "s", "sum": "00", "since": 1799999999}"#));
        assert!(!whole(r#"{"session": "s", "sum": null, "since": 1799999999}"#), "begun, and perhaps not whole");
        assert!(!whole(r#"{"session": "s", "sum": "00"}"#), "nobody knows since when");
        assert!(!whole(r#"{"session": "s", "sum": "00", "since": 1799400000}"#), "a week");
        assert!(!whole(r#"{"session": "s", "sum": "00", "since": 1800000001}"#), "a clock was set back");
        assert!(!whole(r#"{"session": "s"}"#), "as earlier versions wrote it");
    }
}

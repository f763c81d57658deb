//! Box's upload sessions: parts of a size that Box sets, several at a time, each with its own checksum; put together by
//! a commit that may take a while. A session that was remembered goes on where it stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use url::Url;

use super::BoxDrive;
use super::api::{Made, conflict, item};
use super::judge::code;
use super::upload::Target;
use crate::storage::backend::{Checksum, Created, HashKind, Hasher, Sessions, Source};
use crate::storage::drive::patience::Patience;
use crate::web::{Answer, Endpoint, Fault, Web};

/// Parts that are on their way at once, of all files together.
pub(super) const PARTS: usize = 4;
/// How long Box may take to put a file together.
const ASSEMBLY: Duration = Duration::from_mins(30);

/// A session, as Box tells it and as it is remembered. Its addresses are told to nobody.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Session {
    id: String,
    part_size: u64,
    #[serde(rename = "session_endpoints")]
    ends: Ends,
}

#[derive(Clone, Serialize, Deserialize)]
struct Ends {
    upload_part: String,
    list_parts: String,
    commit: String,
    abort: String,
}

/// A part that Box has.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Part {
    #[serde(rename = "part_id")]
    id: String,
    offset: u64,
    size: u64,
    #[serde(default)]
    sha1: String,
}

impl Part {
    /// Whether it is these bytes of that place.
    fn is(&self, size: u64, sha1: &Checksum) -> bool {
        self.size == size && self.sha1.eq_ignore_ascii_case(&sha1.hex())
    }
}

impl Ends {
    /// The parts that Box has.
    async fn listed(&self, web: &Web) -> Result<BTreeMap<u64, Part>, Fault> {
        #[derive(Deserialize)]
        struct Listing {
            entries: Vec<Part>,
            #[serde(default)]
            total_count: usize,
        }
        let (url, mut there, mut offset) = (&self.list_parts, BTreeMap::new(), 0);
        loop {
            let query = [("offset", offset), ("limit", 1000)];
            let listing: Listing = web.send(|client| client.get(url).query(&query)).await?.json()?;
            let got = listing.entries.len();
            offset += got;
            there.extend(listing.entries.into_iter().map(|part| (part.offset, part)));
            if got == 0 || offset >= listing.total_count {
                return Ok(there);
            }
        }
    }
}

impl Session {
    /// The session that a text holds, if its addresses may be asked.
    fn parse(text: &[u8]) -> Result<Self, Fault> {
        let session: Self = serde_json::from_slice(text).map_err(|error| Fault::Form(error.to_string()))?;
        let ends = &session.ends;
        let safe = [&ends.upload_part, &ends.list_parts, &ends.commit, &ends.abort]
            .iter()
            .all(|end| end.parse::<Url>().is_ok_and(|url| Endpoint::is_safe(&url)));
        if safe && session.part_size > 0 {
            Ok(session)
        } else {
            Err(Fault::Form("an upload session without good addresses".to_owned()))
        }
    }
}

/// What one file has come to while it is sent.
struct Sending<'a> {
    session: &'a Session,
    sessions: &'a dyn Sessions,
    /// What Box has, by offset.
    there: BTreeMap<u64, Part>,
    /// What every part has to be.
    sums: BTreeMap<u64, String>,
    counted: u64,
}

impl BoxDrive {
    pub(super) async fn in_parts(
        &self,
        target: &Target<'_>,
        source: &mut Source,
        sessions: &dyn Sessions,
    ) -> Result<Created, Fault> {
        let (session, there) = match self.resumed(target.key, sessions).await? {
            Some(resumed) => resumed,
            None => match self.begin(target, source.size()).await? {
                Ok(session) => {
                    let text = serde_json::to_string(&session).map_err(|error| Fault::Form(error.to_string()))?;
                    sessions.remember(target.key, &text);
                    (session, BTreeMap::new())
                }
                Err(taken) => return Ok(taken),
            },
        };
        let mut sending = Sending { session: &session, sessions, there, sums: BTreeMap::new(), counted: 0 };
        let sent = match self.send_parts(&mut sending, source).await {
            Ok(()) => self.commit(target, &sending, source).await,
            Err(fault) => Err(fault),
        };
        match &sent {
            Err(fault) if fault.is_passing() || matches!(fault, Fault::Login(_) | Fault::Full | Fault::Local(_)) => {}
            ended => {
                sessions.forget(target.key);
                if matches!(ended, Err(Fault::NotFound | Fault::Damaged(_))) {
                    sessions.unsent(sending.counted);
                }
                if !matches!(ended, Ok(Created::Ours(_)) | Err(Fault::NotFound)) {
                    let abort = &session.ends.abort;
                    // Box drops it after a week anyway.
                    let _ = self.api.calls.send(|client| client.delete(abort)).await;
                }
            }
        }
        sent
    }

    /// The session that was remembered, if Box still has it, with the parts that have arrived.
    async fn resumed(
        &self,
        key: &str,
        sessions: &dyn Sessions,
    ) -> Result<Option<(Session, BTreeMap<u64, Part>)>, Fault> {
        let Some(session) = sessions.recall(key).and_then(|text| Session::parse(text.as_bytes()).ok()) else {
            return Ok(None);
        };
        match session.ends.listed(&self.api.calls).await {
            Ok(there) => Ok(Some((session, there))),
            Err(Fault::NotFound | Fault::Forbidden(_) | Fault::Refused { .. } | Fault::Form(_)) => {
                sessions.forget(key);
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    /// A new session, or what has the name.
    async fn begin(&self, target: &Target<'_>, size: u64) -> Result<Result<Session, Created>, Fault> {
        let url = self.api.upload.at("/api/2.0/files/upload_sessions");
        let body = json!({"folder_id": target.parent, "file_name": target.name, "file_size": size});
        let wanted = |answer: &Answer| conflict(answer).is_some();
        let mut late = target.late();
        let answer = loop {
            match self.api.uploads.send_for(wanted, |client| client.post(&url).json(&body)).await {
                Err(Fault::NotFound) if late.again().await => {}
                answer => break answer?,
            }
        };
        match conflict(&answer) {
            Some(item) => Ok(Err(self.taken(target.key, item).await?)),
            None => Session::parse(&answer.body).map(Ok),
        }
    }

    /// Reads the whole file, sends the parts that Box does not have, and ends when it has all of them.
    async fn send_parts(&self, sending: &mut Sending<'_>, source: &mut Source) -> Result<(), Fault> {
        let (size, part_size) = (source.size(), sending.session.part_size);
        let mut tasks: JoinSet<Result<(u64, Option<Part>), Fault>> = JoinSet::new();
        while source.at() < size {
            while tasks.len() >= PARTS {
                sending.joined(&mut tasks).await?;
            }
            let offset = source.at();
            let turn = Arc::clone(&self.parts).acquire_owned().await;
            let turn = turn.map_err(|_| Fault::Broken("sending has ended".to_owned()))?;
            let room = self.memory.room(part_size.min(size - offset)).await?;
            let Some(bytes) = source.next(part_size).await? else { break };
            let sha1 = Hasher::of(HashKind::Sha1, &bytes);
            sending.sums.insert(offset, sha1.hex());
            if sending.has(offset, bytes.len() as u64, &sha1)? {
                continue;
            }
            let (web, ends) = (self.api.calls.clone(), sending.session.ends.clone());
            tasks.spawn(async move {
                let sent = send_part(&web, &ends, offset, size, &bytes, &sha1).await;
                drop((turn, room, bytes));
                sent
            });
        }
        while !tasks.is_empty() {
            sending.joined(&mut tasks).await?;
        }
        if sending.sums.len() != sending.there.len() {
            // Parts whose first try arrived although it was not answered are told of by the list alone.
            sending.there = sending.session.ends.listed(&self.api.calls).await?;
        }
        sending.check()
    }

    /// Asks for the file until Box has put it together.
    async fn commit(&self, target: &Target<'_>, sending: &Sending<'_>, source: &Source) -> Result<Created, Fault> {
        let sha1 = source.checksum().ok_or_else(|| Fault::Form("the file was not hashed".to_owned()))?;
        let (url, size) = (&sending.session.ends.commit, source.size());
        let body = json!({"parts": sending.there.values().collect::<Vec<_>>()});
        let digest = format!("sha={}", sha1.base64());
        let wanted = |answer: &Answer| conflict(answer).is_some() || code(answer) == "parts_mismatch";
        let begun = Instant::now();
        loop {
            let asked =
                self.api.calls.send_for(wanted, |client| client.post(url).header("digest", &digest).json(&body));
            let answer = match asked.await {
                Err(Fault::NotFound) => return self.committed(target, &sha1, size).await,
                answer => answer?,
            };
            if let Some(item) = conflict(&answer) {
                return self.judged(target, Made::There { item, unsure: false }, &sha1, size).await;
            }
            if answer.status != 202 && code(&answer) != "parts_mismatch" {
                // An answer that does not tell of the file is as good as one that was lost.
                let Ok(item) = item(&answer) else { return self.committed(target, &sha1, size).await };
                return self.judged(target, Made::New(item), &sha1, size).await;
            }
            // Still at it, or the last part is not yet known everywhere.
            let wait = answer.retry_after().unwrap_or(Duration::from_secs(1));
            if begun.elapsed() + wait > ASSEMBLY {
                return Err(Fault::Broken("Box did not finish putting the file together".to_owned()));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// The session is gone: either an earlier commit was carried out and its answer was lost, or it is over.
    async fn committed(&self, target: &Target<'_>, sha1: &Checksum, size: u64) -> Result<Created, Fault> {
        match self.api.find(&target.parent, target.name).await? {
            Some(item) => self.judged(target, Made::There { item, unsure: true }, sha1, size).await,
            None => Err(Fault::NotFound),
        }
    }
}

impl Sending<'_> {
    fn count(&mut self, bytes: u64) {
        self.counted += bytes;
        self.sessions.sent(bytes);
    }

    /// Whether Box has this part already; another one in its place never fits.
    fn has(&mut self, offset: u64, size: u64, sha1: &Checksum) -> Result<bool, Fault> {
        let Some(part) = self.there.get(&offset) else { return Ok(false) };
        if !part.is(size, sha1) {
            return Err(Fault::Damaged("a part that was sent earlier is of other bytes".to_owned()));
        }
        self.count(size);
        Ok(true)
    }

    async fn joined(&mut self, tasks: &mut JoinSet<Result<(u64, Option<Part>), Fault>>) -> Result<(), Fault> {
        let Some(done) = tasks.join_next().await else { return Ok(()) };
        let (bytes, part) = done.map_err(|error| Fault::Broken(error.to_string()))??;
        self.count(bytes);
        if let Some(part) = part {
            self.there.insert(part.offset, part);
        }
        Ok(())
    }

    /// Box has every part, and each is what was sent.
    fn check(&self) -> Result<(), Fault> {
        let is_there =
            |offset: &u64, sha1: &str| self.there.get(offset).is_some_and(|part| part.sha1.eq_ignore_ascii_case(sha1));
        let right = self.sums.iter().all(|(offset, sha1)| is_there(offset, sha1));
        if right && self.sums.len() == self.there.len() {
            return Ok(());
        }
        Err(Fault::Damaged("the parts that Box has are not those that were sent".to_owned()))
    }
}

/// Sends one part; `None` in place of it when Box has it from an earlier try. Where nobody knows what became of a try,
/// Box is asked whether it has the part before that goes out once more.
async fn send_part(
    web: &Web,
    ends: &Ends,
    offset: u64,
    size: u64,
    bytes: &Bytes,
    sha1: &Checksum,
) -> Result<(u64, Option<Part>), Fault> {
    #[derive(Deserialize)]
    struct Sent {
        part: Part,
    }
    let length = bytes.len() as u64;
    let range = format!("bytes {offset}-{}/{size}", offset + length - 1);
    let digest = format!("sha={}", sha1.base64());
    let make = |client: &reqwest::Client| {
        let request = client.put(&ends.upload_part).header("content-range", &range).header("digest", &digest);
        request.header("content-type", "application/octet-stream").body(bytes.clone())
    };
    let mut patience = Patience::new();
    loop {
        match web.send_once(make).await {
            Ok(answer) => {
                let mut part = answer.json::<Sent>()?.part;
                if part.sha1.is_empty() {
                    // It was judged by the digest that came with it.
                    part.sha1 = sha1.hex();
                }
                return Ok((length, Some(part)));
            }
            // Box says 409 of a part that it has.
            Err(Fault::Exists) => return Ok((length, None)),
            // Without a connection it was tried often enough already.
            Err(fault @ Fault::Broken(_)) if fault.is_unconnected() || !patience.again().await => return Err(fault),
            Err(Fault::Broken(words)) => tracing::debug!(words, offset, "did the part arrive?"),
            Err(fault) => return Err(fault),
        }
        match ends.listed(web).await {
            Ok(mut there) => {
                if let Some(part) = there.remove(&offset).filter(|part| part.is(length, sha1)) {
                    return Ok((length, Some(part)));
                }
            }
            // It does not say: the part goes out once more, and a 409 tells as much.
            Err(Fault::Refused { .. } | Fault::Forbidden(_) | Fault::Form(_)) => {}
            Err(fault) => return Err(fault),
        }
    }
}

//! One file on its way to a WebDAV server: as one stream to a name beside its key, tried again where it broke off, and
//! moved to the key once its length is right.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::header::CONTENT_LENGTH;
use tokio::sync::mpsc;

use super::tree::straight;
use super::{TRIES, WORTH_ASKING, WebDav, pause, worth_a_try};
use crate::storage::backend::{Backend as _, Fault, Sessions, Source};
use crate::storage::key::{beside, is_beside};

/// Read, hashed and handed over at once: each costs the runtime a change of threads.
const CHUNK: u64 = 1024 * 1024;
/// Chunks of one file that wait for the line.
const WAITING: usize = 2;

/// A file that has arrived, beside its key.
pub(super) struct Whole {
    /// Where it lies.
    pub(super) part: String,
    /// Its entity tag, which most servers leave it when it is moved.
    pub(super) tag: Option<String>,
}

impl WebDav {
    /// Removes what an earlier try of this machine left of a large file, and remembers what this one would leave.
    pub(super) async fn remember(&self, key: &str, part: &str, size: u64, sessions: &dyn Sessions) {
        if size < WORTH_ASKING {
            return;
        }
        if let Some(left) = sessions.recall(key).filter(|left| is_beside(key, left)) {
            let removed = self.remove(&left).await;
            tracing::debug!(removed = removed.is_ok(), "an earlier try broke off");
        }
        sessions.remember(key, part);
    }

    /// Sends a file; what it is then.
    pub(super) async fn in_one_piece(
        &self,
        key: &str,
        source: &mut Source,
        sessions: &dyn Sessions,
    ) -> Result<Whole, Fault> {
        let part = beside(key);
        self.remember(key, &part, source.size(), sessions).await;
        let fault = match self.send(&part, source, sessions).await {
            Ok(tag) => return Ok(Whole { part, tag }),
            Err(fault) => fault,
        };
        let removed = self.remove(&part).await;
        tracing::debug!(removed = removed.is_ok(), "an upload broke off");
        if removed.is_ok() {
            sessions.forget(key);
        }
        Err(fault)
    }

    /// Sends a part, in a folder that is made if need be, until it is there with its whole length; its entity tag.
    async fn send(&self, part: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Option<String>, Fault> {
        let mut tries = 1;
        loop {
            let mut sent = 0;
            let fault = match self.stream(part, source, sessions, &mut sent).await {
                Ok(()) => match self.stat(part).await? {
                    Some(meta) if meta.size == source.size() => return Ok(meta.tag),
                    there => {
                        let there = there.map_or(0, |meta| meta.size);
                        Fault::Damaged(format!("{} bytes were sent, {there} are stored", source.size()))
                    }
                },
                Err(fault) => fault,
            };
            sessions.unsent(sent);
            let folder = part.rsplit_once('/').map_or("", |(folder, _)| folder);
            match &fault {
                // What a missing folder is answered with.
                Fault::NotFound | Fault::Exists if tries == 1 => self.make(folder).await?,
                Fault::Broken(_) | Fault::Throttled(_) | Fault::Damaged(_) if tries < TRIES => {
                    tokio::time::sleep(Duration::from_millis(300 << tries)).await;
                }
                _ => return Err(fault),
            }
            tries += 1;
            source.rewind()?;
        }
    }

    /// One try of [`Self::send`].
    async fn stream(
        &self,
        part: &str,
        source: &mut Source,
        sessions: &dyn Sessions,
        sent: &mut u64,
    ) -> Result<(), Fault> {
        let url = self.url(part, false);
        let length = source.size();
        if length == 0 {
            source.drain().await?;
        }
        let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(WAITING);
        let body = Mutex::new(Some(receiver));
        let sending = self.web.send_once(|client| {
            let receiver = body.lock().unwrap_or_else(PoisonError::into_inner).take();
            let stream = match receiver {
                Some(receiver) => receiving(receiver).boxed(),
                // Asked for a second time: the bytes are gone, and the whole is tried anew.
                None => futures::stream::once(async { Err(std::io::Error::other("once more")) }).boxed(),
            };
            let request = self.request(client, "PUT", &url).header(CONTENT_LENGTH, length);
            if length == 0 { request } else { request.body(reqwest::Body::wrap_stream(stream)) }
        });
        // Whether the server has the answer early or the file ends first: both come to an end.
        match futures::join!(sending, feed(source, sender, sessions, sent)) {
            (_, Some(ours)) => Err(ours),
            (answer, None) => answer.and_then(straight).map(drop),
        }
    }

    /// Puts a small object at a part; which one.
    pub(super) async fn write(&self, key: &str, bytes: Bytes) -> Result<String, Fault> {
        let part = beside(key);
        let url = self.url(&part, false);
        let put = || self.web.send(|client| self.request(client, "PUT", &url).body(bytes.clone()));
        match put().await {
            Err(Fault::NotFound | Fault::Exists) => {
                self.make(key.rsplit_once('/').map_or("", |(folder, _)| folder)).await?;
                put().await?;
            }
            answer => drop(answer.and_then(straight)?),
        }
        Ok(part)
    }

    /// Gives a finished part its name.
    pub(super) async fn land(&self, part: &str, key: &str, over: bool) -> Result<bool, Fault> {
        let (since, mut tries) = (Instant::now(), 1);
        loop {
            match self.bring("MOVE", part, key, over).await {
                // Nobody knows whether it was moved: the part tells. Or another move to that key is under way.
                Err(fault) if fault.is_passing() => match self.stat(part).await? {
                    Some(_) if worth_a_try(&fault, since, tries) => tokio::time::sleep(pause(tries)).await,
                    Some(_) => return Err(fault),
                    None => return Ok(true),
                },
                moved => return moved,
            }
            tries += 1;
        }
    }

    /// Removes a part that did not become what it was to be, and hands on what did.
    pub(super) async fn clean(&self, part: &str, landed: Result<bool, Fault>) -> Result<bool, Fault> {
        if !matches!(landed, Ok(true)) {
            let removed = self.remove(part).await;
            tracing::debug!(removed = removed.is_ok(), "an unfinished file is not needed");
        }
        landed
    }
}

/// Hands a file's bytes over as they are taken; what is wrong with the file itself, if anything.
async fn feed(
    source: &mut Source,
    sender: mpsc::Sender<Result<Bytes, std::io::Error>>,
    sessions: &dyn Sessions,
    sent: &mut u64,
) -> Option<Fault> {
    loop {
        match source.next(CHUNK).await {
            Ok(None) => return None,
            Ok(Some(bytes)) => {
                let length = bytes.len() as u64;
                if sender.send(Ok(bytes)).await.is_err() {
                    return None;
                }
                sessions.sent(length);
                *sent += length;
            }
            Err(fault) => {
                // The request must break off: what was sent of it is not the file.
                let _ = sender.send(Err(std::io::Error::other("the file cannot be read"))).await;
                return Some(fault);
            }
        }
    }
}

fn receiving<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> impl futures::Stream<Item = T> + Send {
    futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

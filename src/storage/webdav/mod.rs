//! A folder of a WebDAV server as a service.
//!
//! A file goes out as one stream to a name beside its key, its length is compared, and it is moved to the key without
//! overwriting. Where two such moves to one key come at the same moment, some servers (Apache) let both succeed. So small
//! objects are [claimed](super::backend::claim) first, and of the folder of a commit it is told whether somebody made it
//! before: then files that differ need names of their own. To Nextcloud and ownCloud large files go [in pieces](chunks).

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine as _;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::header::{AUTHORIZATION, HeaderValue, RANGE};
use reqwest::{Client, Method, RequestBuilder};
use url::Url;

use super::backend::claim::{self, Claims, exclusively};
use super::backend::{Backend, Created, Fault, Meta, Receipt, Removed, Sessions, Source, Space, Stream, Traits};
use crate::secret::Secret;
use crate::web::{self, Answer, Judge, Pace, Pacer, Waiting, Web};

mod answer;
mod chunks;
mod send;
mod tree;

use answer::Found;
use send::Whole;
use tree::straight;

const TRIES: u32 = 4;
const LOCKED: &str = "it is locked";
/// How long a name may stay locked by what somebody else does to it.
const LOCKED_FOR: Duration = Duration::from_mins(1);
// Who has a claim waits for a lock in its own turn only.
const _: () = assert!(LOCKED_FOR.as_millis() <= claim::TURN.as_millis());
const WORTH_ASKING: u64 = 8 * 1024 * 1024;

/// How somebody is let in.
#[derive(Debug, Clone)]
pub enum Entry {
    /// Everybody is.
    Open,
    /// With a user's name and a password.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Option<Secret>,
    },
    /// With a token.
    Token(Secret),
}

/// A folder of a WebDAV server.
#[derive(Debug, Clone)]
pub struct WebDav {
    web: Web,
    root: Url,
    /// Where pieces of large files go, on servers that take them.
    uploads: Option<Url>,
    entry: Option<HeaderValue>,
    place: String,
}

#[derive(Debug)]
struct Words;

impl Judge for Words {
    fn judge(&self, answer: &Answer) -> Fault {
        match answer.status {
            401 => Fault::Login("the server does not take the user and password that are set".to_owned()),
            403 => Fault::Forbidden("the server says so".to_owned()),
            // Some say so of what is being written by somebody else.
            423 => Fault::Broken(LOCKED.to_owned()),
            _ => answer.plain_fault("see the server's own log"),
        }
    }
}

impl WebDav {
    /// The folder at `root`, whose address holds no user and ends in `/`.
    pub fn new(client: Client, root: Url, entry: &Entry, place: String) -> Self {
        // Its own lanes bound what a server has to do at once; only one that says "too many" is asked more slowly.
        let pacer = Pacer::shared(&format!("webdav {}", root.authority()), Pace::steady(1000.0, 100.0));
        let (web, uploads) = (Web::new(client, None, pacer, Arc::new(Words)), chunks::uploads(&root));
        Self { web, root, uploads, entry: header(entry), place }
    }

    /// The address of a key, each of its parts escaped.
    fn url(&self, key: &str, folder: bool) -> Url {
        let mut url = self.root.clone();
        let parts = key.split('/').filter(|part| !part.is_empty());
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
            if folder {
                segments.push("");
            }
        }
        url
    }

    fn request(&self, client: &Client, method: &str, url: &Url) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
        let request = client.request(method, url.clone());
        match &self.entry {
            Some(entry) => request.header(AUTHORIZATION, entry.clone()),
            None => request,
        }
    }

    /// Moves or copies without overwriting, unless told to; `false` when the name is taken.
    async fn bring(&self, method: &str, from: &str, to: &str, over: bool) -> Result<bool, Fault> {
        let (from, to) = (self.url(from, false), self.url(to, false));
        let brought = self.web.send_once(|client| {
            let request = self.request(client, method, &from).header("Destination", to.as_str());
            request.header("Overwrite", if over { "T" } else { "F" })
        });
        match brought.await.and_then(straight) {
            Ok(_) => Ok(true),
            Err(Fault::Exists) if !over => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

/// Whether what failed so often may succeed: a lock goes when somebody else is done.
fn worth_a_try(fault: &Fault, since: Instant, tries: u32) -> bool {
    match fault {
        Fault::Broken(words) if words == LOCKED => since.elapsed() < LOCKED_FOR,
        fault => fault.is_passing() && tries < TRIES,
    }
}

/// How long to wait before a name that was locked is tried again.
fn pause(tries: u32) -> Duration {
    Duration::from_millis(100 << tries.min(5))
}

fn header(entry: &Entry) -> Option<HeaderValue> {
    let text = match entry {
        Entry::Open => return None,
        Entry::Token(token) => [b"Bearer ", token.expose()].concat(),
        Entry::Password { user, password } => {
            let password = password.as_ref().map(Secret::expose).unwrap_or_default();
            let pair = [user.as_bytes(), b":", password].concat();
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)).into_bytes()
        }
    };
    let mut value = HeaderValue::from_bytes(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn meta(key: String, found: &Found) -> Meta {
    let Found { folder, size, modified, .. } = *found;
    Meta { key, folder, size, checksum: None, id: None, tag: found.tag.clone().filter(|_| !folder), modified }
}

#[async_trait]
impl Backend for WebDav {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn waiting(&self) -> Option<Waiting> {
        self.web.waiting()
    }

    fn asked(&self) -> Option<u64> {
        Some(self.web.sent())
    }

    fn undenied(&self) -> Option<u64> {
        Some(self.web.undenied())
    }

    fn traits(&self) -> Traits {
        Traits { hash: None, create_only: true, duplicates: false, lanes: 8, longest_key: 250 }
    }

    async fn space(&self) -> Result<Space, Fault> {
        let found = self.find("", false).await?.unwrap_or_default();
        Ok(Space { free: found.iter().find_map(|found| found.free), ..Space::default() })
    }

    async fn look_at_place(&self) -> Result<(), Fault> {
        self.look_at_root().await
    }

    async fn make_folders(&self, folders: &[String]) -> Result<(), Fault> {
        self.make("").await?;
        for folder in folders {
            self.make_one(folder).await?;
        }
        Ok(())
    }

    async fn own_folder(&self, folder: &str) -> Result<Option<bool>, Fault> {
        self.make(folder.rsplit_once('/').map_or("", |(above, _)| above)).await?;
        self.make_new(folder).await.map(Some)
    }

    async fn folder(&self, folder: &str) -> Result<Option<Meta>, Fault> {
        let found = self.ask(&self.url(folder, true), false).await?;
        let own = found.and_then(|found| found.into_iter().next()).filter(|found| found.folder);
        Ok(own.map(|found| meta(folder.to_owned(), &found)))
    }

    async fn create(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault> {
        if source.size() >= WORTH_ASKING
            && let Some(meta) = self.stat(key).await?
        {
            return Ok(Created::Taken(Some(meta)));
        }
        let Whole { part, tag } = match self.in_pieces(key, source, sessions).await? {
            Some(whole) => whole,
            None => self.in_one_piece(key, source, sessions).await?,
        };
        let landed = self.land(&part, key, false).await;
        let landed = self.clean(&part, landed).await?;
        sessions.forget(key);
        if landed {
            return Ok(Created::Ours(Receipt { tag, ..Receipt::default() }));
        }
        sessions.unsent(source.size());
        Ok(Created::Taken(self.stat(key).await?))
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<bool, Fault> {
        let part = self.write(key, bytes).await?;
        let landed = exclusively(self, key, || self.land(&part, key, false)).await;
        self.clean(&part, landed).await
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<(), Fault> {
        let part = self.write(key, bytes).await?;
        let landed = self.land(&part, key, true).await;
        self.clean(&part, landed).await.map(drop)
    }

    async fn read(&self, key: &str, offset: u64) -> Result<Stream, Fault> {
        let size = self.stat(key).await?.filter(|meta| !meta.folder).ok_or(Fault::NotFound)?.size;
        if offset >= size {
            return Ok(futures::stream::empty().boxed());
        }
        let url = self.url(key, false);
        let response = self.web.open(|client| {
            let request = self.request(client, "GET", &url);
            if offset == 0 { request } else { request.header(RANGE, format!("bytes={offset}-")) }
        });
        let response = response.await?;
        // Who does not know ranges sends everything.
        let mut skip = if response.status().as_u16() == 206 { 0 } else { offset };
        let stream = futures::stream::try_unfold(response, |mut response| async move {
            Ok::<_, Fault>(web::chunk(&mut response).await?.map(|bytes| (bytes, response)))
        });
        Ok(stream
            .map_ok(move |bytes: Bytes| {
                let cut = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
                skip -= cut as u64;
                bytes.slice(cut..)
            })
            .boxed())
    }

    async fn stat(&self, key: &str) -> Result<Option<Meta>, Fault> {
        let found = self.find(key, false).await?;
        Ok(found.and_then(|found| found.first().map(|found| meta(key.to_owned(), found))))
    }

    async fn list(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        self.walk(folder, deep).await
    }

    fn copies_look_old(&self) -> bool {
        true
    }

    /// Servers on file systems of Windows and macOS do; most do not.
    fn may_fold_case(&self) -> bool {
        true
    }

    async fn copy(&self, from: &str, to: &str) -> Result<Option<Created>, Fault> {
        match self.bring("COPY", from, to, false).await {
            Ok(true) => Ok(Some(Created::Ours(Receipt::default()))),
            Ok(false) => match self.stat(to).await? {
                Some(meta) => Ok(Some(Created::Taken(Some(meta)))),
                // A missing folder is answered in the same way.
                None => Ok(None),
            },
            Err(Fault::Refused { status: 405 | 501, .. }) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    async fn remove(&self, key: &str) -> Result<(), Fault> {
        self.delete(&self.url(key, false)).await
    }

    async fn remove_folder(&self, folder: &str) -> Result<Removed, Fault> {
        if folder.trim_matches('/').is_empty() {
            return Err(Fault::Setting("the place itself is never removed".to_owned()));
        }
        self.delete(&self.url(folder, true)).await?;
        // An answer of many parts may hide a failure.
        match self.find(folder, true).await? {
            None => Ok(Removed { freed: true }),
            Some(_) => Err(Fault::Broken("some of it is still there".to_owned())),
        }
    }
}

#[async_trait]
impl Claims for WebDav {
    async fn make_new(&self, folder: &str) -> Result<bool, Fault> {
        let url = self.url(folder, true);
        let (since, mut tries) = (Instant::now(), 1);
        loop {
            let made = self.web.send_once(|client| self.request(client, "MKCOL", &url)).await;
            let fault = match made.and_then(straight) {
                Ok(_) => return Ok(true),
                Err(Fault::Refused { status: 405, .. }) => return Ok(false),
                Err(fault) => fault,
            };
            // Some say so to whoever comes second by a hair; or the answer was lost, and it is there. While the first
            // one is still being served, the name is locked, and nothing is there.
            if self.stat(folder).await?.is_some() {
                return Ok(false);
            }
            if !worth_a_try(&fault, since, tries) {
                return Err(fault);
            }
            tokio::time::sleep(pause(tries)).await;
            tries += 1;
        }
    }

    async fn drop_claim(&self, folder: &str) -> Result<(), Fault> {
        self.delete(&self.url(folder, true)).await
    }

    async fn is_taken(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.stat(key).await?.is_some())
    }
}

//! Dropbox: everything by path. Files are sent into sessions first and made visible many at a time, because Dropbox takes
//! one writer at a time for names and any number for bytes.
//!
//! Files are compared by Dropbox's content hash.

mod api;
mod batch;
mod judge;
mod listing;
mod page;
mod turn;
mod upload;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Setup;
use super::download::download;
use super::memory::Memory;
use crate::storage::backend::{
    Backend, Checksum, Created, HashKind, Hasher, Meta, Pending, Receipt, Removed, Sessions, Source, Space, Stream,
    Traits, file_in_the_way, upwards,
};
use crate::web::{Answer, Fault, Pace, Pacer, Waiting, Web};
use api::{ARG, Api, Entry, ascii, is};
use judge::DropboxJudge;
use turn::Turn;

/// Dropbox names no limit; it says when it is too much.
const PACE: Pace = Pace { start: 100.0, least: 0.5, most: 100.0, burst: 100.0 };
/// Bytes of files in memory, whatever is sent.
const MEMORY: u64 = 160 * 1024 * 1024;
/// The largest file: 2 TiB less 4 MiB.
const LARGEST: u64 = (2 << 40) - (4 << 20);

/// Dropbox, for one place in one account.
#[derive(Debug)]
pub struct Dropbox {
    api: Api,
    /// `/folder/…` below which everything lies; empty for the top.
    root: String,
    memory: Memory,
    turn: Turn,
    /// Keys that turned out to be taken when files were made visible; creating finds it out no earlier.
    taken: Mutex<HashSet<String>>,
    place: String,
}

impl Dropbox {
    /// Opens without asking anything yet.
    pub fn open(setup: Setup) -> Self {
        let Setup { client, bearer, account, endpoints, root, place, shared } = setup;
        let pacer = Pacer::shared_in(shared.as_deref(), &format!("dropbox:{account}"), PACE);
        let web = Web::new(client, Some(bearer), pacer, Arc::new(DropboxJudge));
        let web = web.with_detours(endpoints.detours()).speaking_json();
        let api = Api { web, base: endpoints.api, content: endpoints.upload };
        let parts = root.split('/').filter(|part| !part.is_empty());
        let root = parts.fold(String::new(), |path, part| path + "/" + part);
        let turn = Turn::of(&account, shared.as_deref());
        Self { api, root, memory: Memory::new(MEMORY), turn, taken: Mutex::default(), place }
    }

    /// The path of a key; empty for the top of the account.
    fn path(&self, key: &str) -> String {
        if key.is_empty() { self.root.clone() } else { format!("{}/{key}", self.root) }
    }

    fn note_taken(&self, key: &str) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned());
    }

    /// Whether a key was taken when it was last tried; it is forgotten by asking.
    fn was_taken(&self, key: &str) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }

    /// Uploads a small object in one piece; `false` when something else is in its place.
    async fn write(&self, key: &str, bytes: &Bytes, mode: &str) -> Result<bool, Fault> {
        let sum = Hasher::of(HashKind::Dropbox, bytes);
        let argument = json!({
            "path": self.path(key), "mode": mode, "autorename": false, "mute": true, "strict_conflict": true,
            "content_hash": sum.hex(),
        });
        let tries = AtomicU32::new(0);
        let tried = || {
            tries.fetch_add(1, Ordering::Relaxed);
        };
        let answer = self.api.send("files/upload", &argument, bytes, &["conflict"], tried).await?;
        if answer.status != 409 {
            return answer.json::<Entry>().and_then(|entry| same(&entry, &sum)).map(|()| true);
        }
        if mode != "add" || tries.load(Ordering::Relaxed) < 2 {
            return Ok(false);
        }
        // An earlier try may have been carried out without an answer.
        let there = self.api.look(&self.path(key)).await?;
        Ok(there.and_then(|entry| entry.checksum()) == Some(sum))
    }
}

fn no_folder(key: &str) -> Fault {
    Fault::refused(409, &format!("a file stands where a folder of `{key}` has to be"))
}

fn same(entry: &Entry, sum: &Checksum) -> Result<(), Fault> {
    match entry.checksum() {
        Some(there) if there != *sum => Err(Fault::Damaged(format!("sent {}, stored {}", sum.hex(), there.hex()))),
        _ => Ok(()),
    }
}

#[async_trait]
impl Backend for Dropbox {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn waiting(&self) -> Option<Waiting> {
        self.api.web.waiting()
    }

    fn asked(&self) -> Option<u64> {
        Some(self.api.web.sent())
    }

    fn undenied(&self) -> Option<u64> {
        Some(self.api.web.undenied())
    }

    fn traits(&self) -> Traits {
        Traits { hash: Some(HashKind::Dropbox), create_only: true, duplicates: false, lanes: 8, longest_key: 1000 }
    }

    async fn space(&self) -> Result<Space, Fault> {
        #[derive(Deserialize)]
        struct Usage {
            used: u64,
            allocation: Allocation,
        }
        /// Of a person, or of a team with what all its members use.
        #[derive(Deserialize)]
        struct Allocation {
            #[serde(rename = ".tag")]
            tag: String,
            allocated: Option<u64>,
            used: Option<u64>,
        }
        let usage: Usage = self.api.call("users/get_space_usage", &Value::Null).await?.json()?;
        let Usage { used, allocation: Allocation { tag, allocated, used: by_all } } = usage;
        let used = if tag == "team" { by_all.unwrap_or(used) } else { used };
        let free = allocated.map(|allocated| allocated.saturating_sub(used));
        Ok(Space { free, largest: Some(LARGEST), notes: Vec::new() })
    }

    async fn look_at_place(&self) -> Result<(), Fault> {
        for path in upwards(&self.root) {
            match self.api.look(path).await? {
                Some(there) if there.is_folder() => return Ok(()),
                Some(_) => return Err(file_in_the_way(path.trim_start_matches('/'))),
                None => {}
            }
        }
        Ok(())
    }

    /// Folders come with the first file below them.
    async fn make_folders(&self, _: &[String]) -> Result<(), Fault> {
        Ok(())
    }

    async fn create(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault> {
        if self.was_taken(key)
            && let Some(there) = self.stat(key).await?
        {
            return Ok(Created::Taken(Some(there)));
        }
        self.upload(key, source, sessions).await
    }

    async fn settle(&self, pending: Vec<Pending>) -> Vec<Result<Created, Fault>> {
        self.finish(&pending).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<bool, Fault> {
        self.write(key, &bytes, "add").await
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<(), Fault> {
        if self.write(key, &bytes, "overwrite").await? {
            return Ok(());
        }
        Err(Fault::refused(409, "a folder is where a file has to be"))
    }

    async fn read(&self, key: &str, offset: u64) -> Result<Stream, Fault> {
        let url = self.api.content.at("/2/files/download");
        let argument = ascii(&json!({"path": self.path(key)}));
        download(self.api.web.clone(), offset, move |client| client.post(&url).header(ARG, &argument)).await
    }

    async fn stat(&self, key: &str) -> Result<Option<Meta>, Fault> {
        Ok(self.api.look(&self.path(key)).await?.map(|entry| listing::meta(key, &entry)))
    }

    async fn list(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        listing::list(&self.api, &self.path(folder), folder, deep).await
    }

    fn may_fold_case(&self) -> bool {
        true
    }

    fn copies_look_old(&self) -> bool {
        true
    }

    async fn copy(&self, from: &str, to: &str) -> Result<Option<Created>, Fault> {
        #[derive(Deserialize)]
        struct Copied {
            metadata: Entry,
        }
        let argument = json!({"from_path": self.path(from), "to_path": self.path(to), "autorename": false});
        let tries = AtomicU32::new(0);
        let make = |client: &reqwest::Client| {
            tries.fetch_add(1, Ordering::Relaxed);
            self.api.request(client, "files/copy_v2", &argument)
        };
        let answer = self.api.web.send_for(|answer: &Answer| is(answer, "conflict"), make).await?;
        let ours =
            |entry: Entry| Created::Ours(Receipt { checksum: entry.checksum(), id: entry.id, ..Receipt::default() });
        if answer.status != 409 {
            return Ok(Some(ours(answer.json::<Copied>()?.metadata)));
        }
        let Some(there) = self.api.look(&self.path(to)).await? else { return Ok(Some(Created::Taken(None))) };
        if tries.load(Ordering::Relaxed) > 1 {
            let source = self.api.look(&self.path(from)).await?;
            if source.is_some_and(|source| source.checksum().is_some() && source.checksum() == there.checksum()) {
                return Ok(Some(ours(there)));
            }
        }
        Ok(Some(Created::Taken(Some(listing::meta(to, &there)))))
    }

    async fn remove(&self, key: &str) -> Result<(), Fault> {
        if key.is_empty() {
            return Err(Fault::Setting("the place itself is never removed".to_owned()));
        }
        // Deleting does not ask what it deletes.
        match self.api.look(&self.path(key)).await? {
            Some(entry) if entry.is_folder() => Err(Fault::refused(409, "it is a folder, not a file")),
            Some(_) => self.api.delete(&self.path(key)).await,
            None => Ok(()),
        }
    }

    async fn web_address(&self, folder: &str) -> Result<Option<String>, Fault> {
        Ok(Some(self.page(folder)))
    }

    async fn remove_folder(&self, folder: &str) -> Result<Removed, Fault> {
        if folder.split('/').all(str::is_empty) {
            return Err(Fault::Setting("the place itself is never removed".to_owned()));
        }
        self.remove_tree(folder).await?;
        Ok(Removed { freed: true })
    }
}

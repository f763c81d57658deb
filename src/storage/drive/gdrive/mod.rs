//! Google Drive.
//!
//! Everything has an id, and a name may be taken twice, by folders too. Files and folders are created with ids that were
//! asked for beforehand, so that a request whose answer was lost is refused when it is repeated, and never makes a second
//! file. Of several of one name the oldest counts, for everybody who looks; who reads looks into all folders of a name.
//! Two publishers of one commit may both make a file of one name: manifests note ids, files are read and removed by
//! them, and only of manifests does one win. Listings lag: what this process made it knows by itself. The address of an
//! upload session is a credential: it is told to nobody, and a token goes along only to the upload service's own host.

mod copy;
mod file;
mod find;
mod folder;
mod judge;
mod known;
mod page;
mod query;
mod session;
mod top;
mod upload;
mod winner;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;

use super::Setup;
use super::download::download;
use super::escape::{join, parts};
use crate::storage::backend::{
    Backend, Created, Fault, HashKind, Made, Meta, Receipt, Removed, Sessions, Source, Space, Stream, Traits,
};
use crate::web::{Pace, Pacer, Waiting, Web, number};
use file::File;
use find::Listing;
use known::Known;
use query::Address;
pub(super) use query::is_id;

/// Reads a second.
const READS: Pace = Pace { start: 10.0, least: 0.5, most: 20.0, burst: 20.0 };
/// Writes a second.
const WRITES: Pace = Pace { start: 3.0, least: 0.5, most: 10.0, burst: 5.0 };
/// Names may have any length; this is what others can read.
const LONGEST: usize = 1000;
/// The service's own bound.
const LARGEST: u64 = 5 * 1024 * 1024 * 1024 * 1024;
/// Ids that are asked for at once.
const IDS: usize = 1000;
/// A root that begins with this is a folder by its id.
pub(super) const BY_ID: &str = "id:";
/// Google's name for the top of My Drive.
const ROOT: &str = "root";

/// One place in one Google Drive.
#[derive(Debug)]
pub struct GoogleDrive {
    reads: Web,
    writes: Web,
    /// For addresses that are credentials themselves, at other hosts than the service's own.
    bare: Web,
    address: Address,
    /// The id of the folder that `root` begins in.
    top: String,
    root: String,
    place: String,
    known: Mutex<Known>,
    ids: tokio::sync::Mutex<Vec<String>>,
    /// Who makes folders holds this.
    making: tokio::sync::Mutex<()>,
    /// What lay in folders a moment ago. Who asks holds this.
    listings: tokio::sync::Mutex<HashMap<String, Listing>>,
}

impl GoogleDrive {
    /// Opens the folder that `setup` names: a path below My Drive, or `id:FOLDER` and a path below that folder, which may
    /// lie in a shared drive. Asks nothing yet.
    pub fn open(setup: Setup) -> Self {
        let pacer = |what: &str, pace| {
            Pacer::shared_in(setup.shared.as_deref(), &format!("gdrive {what} {}", setup.account), pace)
        };
        let reads = Web::new(setup.client, Some(setup.bearer), pacer("reads", READS), Arc::new(judge::Words));
        let reads = reads.with_detours(setup.endpoints.detours()).speaking_json();
        let writes = reads.at_pace(pacer("writes", WRITES));
        let mut names: Vec<&str> = parts(&setup.root).collect();
        let top = names.first().and_then(|first| first.strip_prefix(BY_ID)).map(str::to_owned);
        if top.is_some() {
            names.remove(0);
        }
        Self {
            bare: writes.without_token(),
            reads,
            writes,
            address: Address { api: setup.endpoints.api, upload: setup.endpoints.upload },
            root: names.join("/"),
            top: top.unwrap_or_else(|| ROOT.to_owned()),
            place: setup.place,
            known: Mutex::default(),
            ids: tokio::sync::Mutex::default(),
            making: tokio::sync::Mutex::default(),
            listings: tokio::sync::Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path of a key below the top.
    fn path(&self, key: &str) -> String {
        join(&self.root, key)
    }

    /// An id for something new, that nobody else has.
    async fn id(&self) -> Result<String, Fault> {
        #[derive(Deserialize)]
        struct Ids {
            ids: Vec<String>,
        }
        let mut left = self.ids.lock().await;
        if left.is_empty() {
            let url = self.address.ids(IDS);
            let answer: Ids = self.reads.send(|client| client.get(&url)).await?.json()?;
            *left = answer.ids;
        }
        left.pop().ok_or_else(|| Fault::Form("no ids were given".to_owned()))
    }

    /// A file that is not in the bin, by its id.
    async fn file(&self, id: &str) -> Result<Option<File>, Fault> {
        let url = self.address.file(id, "");
        match self.reads.send(|client| client.get(&url)).await {
            Ok(answer) => answer.json().map(|file: File| Some(file).filter(|file| !file.trashed)),
            Err(Fault::NotFound) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The bytes of a file by its id.
    async fn bytes(&self, id: &str, offset: u64) -> Result<Stream, Fault> {
        let url = self.address.media(id);
        download(self.reads.clone(), offset, move |client| client.get(&url)).await
    }

    /// Removes for good; whether the room is free at once. In a shared drive that may be others' to do: then to the bin.
    async fn erase(&self, id: &str) -> Result<bool, Fault> {
        let url = self.address.file(id, "");
        match self.writes.send(|client| client.delete(&url)).await {
            Ok(_) | Err(Fault::NotFound) => return Ok(true),
            Err(Fault::Forbidden(_)) => {}
            Err(fault) => return Err(fault),
        }
        self.to_bin(id).await
    }

    /// Takes away what can be brought back; whether it was gone already.
    async fn to_bin(&self, id: &str) -> Result<bool, Fault> {
        let url = self.address.file(id, "");
        let bin = serde_json::json!({"trashed": true});
        match self.writes.send(|client| client.patch(&url).json(&bin)).await {
            Ok(_) => Ok(false),
            Err(Fault::NotFound) => Ok(true),
            Err(fault) => Err(fault),
        }
    }
}

#[async_trait]
impl Backend for GoogleDrive {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn waiting(&self) -> Option<Waiting> {
        self.reads.waiting()
    }

    fn asked(&self) -> Option<u64> {
        Some(self.reads.sent())
    }

    fn undenied(&self) -> Option<u64> {
        Some(self.reads.undenied())
    }

    fn traits(&self) -> Traits {
        let hash = Some(HashKind::Md5);
        Traits { hash, create_only: false, duplicates: true, lanes: 4, longest_key: LONGEST }
    }

    async fn space(&self) -> Result<Space, Fault> {
        let url = self.address.about();
        let about = self.reads.send(|client| client.get(&url)).await?.value();
        let quota = &about["storageQuota"];
        // Nobody is told how much room a shared drive has; the user's own does not count there.
        let is_own = !self.asked_top().await?.is_some_and(|top| top.is_in_shared_drive());
        let limit = number(&quota["limit"]).filter(|_| is_own);
        let free = limit.map(|limit| limit.saturating_sub(number(&quota["usage"]).unwrap_or(0)));
        let largest = number(&about["maxUploadSize"]).unwrap_or(LARGEST);
        Ok(Space { free, largest: Some(largest), notes: Vec::new() })
    }

    async fn look_at_place(&self) -> Result<(), Fault> {
        self.look_at_top().await
    }

    async fn make_folders(&self, folders: &[String]) -> Result<(), Fault> {
        for folder in folders {
            self.make(&self.path(folder)).await?;
        }
        Ok(())
    }

    async fn create(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault> {
        let path = self.path(key);
        if let Some(there) = self.present(&path).await? {
            return Ok(Created::Taken(Some(there.meta(key))));
        }
        let file = self.upload(key, source, sessions).await?;
        self.known().found(&path, &file.id);
        Ok(Created::Ours(Receipt { checksum: file.checksum(), id: Some(file.id), ..Receipt::default() }))
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<bool, Fault> {
        self.put_first(key, &bytes).await
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<(), Fault> {
        self.put_over(key, &bytes).await
    }

    async fn read(&self, key: &str, offset: u64) -> Result<Stream, Fault> {
        let path = self.path(key);
        let known = self.known().file(&path);
        if let Some(id) = known {
            match self.bytes(&id, offset).await {
                Err(Fault::NotFound) => self.known().forget(&path),
                opened => return opened,
            }
        }
        match self.look(&path).await? {
            Some(file) if !file.is_folder() => self.bytes(&file.id, offset).await,
            _ => Err(Fault::NotFound),
        }
    }

    async fn stat(&self, key: &str) -> Result<Option<Meta>, Fault> {
        Ok(self.find(&self.path(key)).await?.map(|file| file.meta(key)))
    }

    async fn list(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        self.listing(folder, deep).await
    }

    async fn forget_folder(&self, folder: &str) {
        self.forget_all(&self.path(folder)).await;
    }

    async fn copy(&self, from: &str, to: &str) -> Result<Option<Created>, Fault> {
        self.copied(Made { key: from, id: None }, to).await
    }

    async fn remove(&self, key: &str) -> Result<(), Fault> {
        self.remove_files(key).await
    }

    async fn read_made(&self, made: Made<'_>, offset: u64) -> Result<Stream, Fault> {
        if let Some(id) = made.id.filter(|id| is_id(id)) {
            match self.bytes(id, offset).await {
                // Who copied the folder has everything under other ids.
                Err(Fault::NotFound) => {}
                opened => return opened,
            }
        }
        self.read(made.key, offset).await
    }

    async fn stat_made(&self, made: Made<'_>) -> Result<Option<Meta>, Fault> {
        Ok(self.exactly(made).await?.map(|file| file.meta(made.key)))
    }

    async fn copy_made(&self, from: Made<'_>, to: &str) -> Result<Option<Created>, Fault> {
        self.copied(from, to).await
    }

    async fn remove_made(&self, made: Made<'_>) -> Result<(), Fault> {
        match made.id {
            Some(id) => self.remove_file(made.key, id).await,
            None => self.remove_files(made.key).await,
        }
    }

    async fn web_address(&self, folder: &str) -> Result<Option<String>, Fault> {
        self.page(folder).await
    }

    async fn remove_folder(&self, folder: &str) -> Result<Removed, Fault> {
        self.remove_whole(folder).await
    }
    async fn remove_seconds(&self, folder: &str, stands: &[Made<'_>]) -> Result<(), Fault> {
        self.seconds_to_bin(folder, stands).await
    }
}

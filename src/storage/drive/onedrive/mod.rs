//! Microsoft OneDrive through Graph.
//!
//! Items are addressed by path below the drive's root or the application's own folder. Small files go in one request,
//! larger ones through an upload session that is remembered, fragment after fragment. Nothing is ever written over:
//! every request says `conflictBehavior=fail`, and what may have been carried out without an answer is looked at and
//! compared. The address of an upload session is a credential: it is sent without a token and told to nobody.

mod address;
mod copy;
mod folder;
mod item;
mod judge;
mod page;
mod session;
mod upload;

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Mutex;

use super::Setup;
use super::download::download;
use super::fresh::Fresh;
use super::memory::Memory;
use super::pieces::from_memory;
use crate::spec::amount::decimal;
use crate::storage::backend::{
    Backend, Created, Fault, HashKind, Meta, Removed, Sessions, Source, Space, Stream, Traits,
};
use crate::web::{Pace, Pacer, Waiting, Web};
use address::Address;
use item::Item;

/// Requests a second.
const PACE: Pace = Pace { start: 8.0, least: 0.5, most: 20.0, burst: 8.0 };
/// Characters that a whole path may have are 400; some are left for names that we put beside others.
const LONGEST: usize = 380;
/// The service's own bound.
const LARGEST: u64 = 250 * 1024 * 1024 * 1024;

/// One place in one OneDrive.
#[derive(Debug)]
pub struct OneDrive {
    web: Web,
    /// For addresses that are credentials themselves.
    bare: Web,
    address: Address,
    place: String,
    /// Paths below the top that are folders for sure. Who makes one holds this.
    folders: Mutex<HashSet<String>>,
    /// Items by their paths below the top.
    fresh: Fresh,
    /// What fragments may grow by.
    growth: Memory,
}

impl OneDrive {
    /// Opens the folder that `setup` names: below the root, or below the application's own folder when its first part is
    /// `approot`. Asks nothing yet.
    pub fn open(setup: Setup) -> Self {
        let pacer = Pacer::shared_in(setup.shared.as_deref(), &format!("onedrive {}", setup.account), PACE);
        let web = Web::new(setup.client, Some(setup.bearer), pacer, Arc::new(judge::Words));
        let web = web.with_detours(setup.endpoints.detours()).speaking_json();
        let address = Address::new(setup.endpoints.api, &setup.root);
        let growth = Memory::new(session::GROWTH);
        let (bare, folders, fresh) = (web.without_token(), Mutex::default(), Fresh::new());
        Self { web, bare, address, place: setup.place, folders, fresh, growth }
    }

    /// The item of a key.
    async fn item(&self, key: &str) -> Result<Option<Item>, Fault> {
        self.item_at(&format!("{}?{}", self.address.of(key, ""), item::FIELDS)).await
    }

    async fn item_at(&self, url: &str) -> Result<Option<Item>, Fault> {
        match self.web.send(|client| client.get(url)).await {
            Ok(answer) => answer.json().map(Some),
            Err(Fault::NotFound) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Removes an item, whatever became of its name since.
    async fn erase(&self, id: &str) -> Result<(), Fault> {
        let url = self.address.id(id, "");
        match self.web.send(|client| client.delete(&url)).await {
            Ok(_) | Err(Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault),
        }
    }
}

#[async_trait]
impl Backend for OneDrive {
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
        Traits {
            hash: Some(HashKind::QuickXor),
            create_only: true,
            duplicates: false,
            lanes: 4,
            longest_key: LONGEST.saturating_sub(self.address.length()),
        }
    }

    async fn space(&self) -> Result<Space, Fault> {
        let url = self.address.drive();
        let drive = match self.web.send(|client| client.get(&url)).await {
            Ok(answer) => answer.value(),
            // A token for the application's own folder alone may not be told.
            Err(Fault::Forbidden(_)) => Value::Null,
            Err(fault) => return Err(fault),
        };
        let mut notes = Vec::new();
        if let Some(bin) = drive["quota"]["deleted"].as_u64().filter(|bin| *bin > 0) {
            notes.push(format!("{} are in the recycle bin and still count; empty it to free them", decimal(bin)));
        }
        Ok(Space { free: drive["quota"]["remaining"].as_u64(), largest: Some(LARGEST), notes })
    }

    async fn look_at_place(&self) -> Result<(), Fault> {
        self.look_at_root().await
    }

    async fn make_folders(&self, folders: &[String]) -> Result<(), Fault> {
        self.make(folders).await
    }

    async fn create(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault> {
        self.upload(key, source, sessions).await
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<bool, Fault> {
        let mut source = from_memory(&bytes, HashKind::QuickXor)?;
        Ok(matches!(self.upload(key, &mut source, &()).await?, Created::Ours(_)))
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<(), Fault> {
        self.put_over(key, &bytes).await
    }

    async fn read(&self, key: &str, offset: u64) -> Result<Stream, Fault> {
        let url = self.address.of(key, "content");
        let mut late = self.fresh.patience(&self.address.path(key));
        loop {
            let url = url.clone();
            let opened = download(self.web.clone(), offset, move |client| client.get(&url)).await;
            if !matches!(opened, Err(Fault::NotFound)) || !late.again().await {
                return opened;
            }
        }
    }

    async fn stat(&self, key: &str) -> Result<Option<Meta>, Fault> {
        Ok(self.item(key).await?.map(|item| item.meta(key)))
    }

    async fn list(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        self.listing(folder, deep).await
    }

    fn may_fold_case(&self) -> bool {
        true
    }

    async fn forget_folder(&self, folder: &str) {
        self.forget(folder).await;
    }

    async fn copy(&self, from: &str, to: &str) -> Result<Option<Created>, Fault> {
        self.copied(from, to).await
    }

    async fn remove(&self, key: &str) -> Result<(), Fault> {
        match self.item(key).await? {
            Some(item) if item.is_folder() => Err(Fault::Damaged(format!("`{key}` is a folder and no file"))),
            Some(item) => {
                self.fresh.forget(&self.address.path(key));
                self.erase(&item.id).await
            }
            None => Ok(()),
        }
    }

    async fn web_address(&self, folder: &str) -> Result<Option<String>, Fault> {
        self.page(folder).await
    }

    async fn remove_folder(&self, folder: &str) -> Result<Removed, Fault> {
        self.remove_whole(folder).await
    }
}

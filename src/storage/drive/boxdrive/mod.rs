//! Box: everything by id, so paths are walked and kept; names are unique in a folder, so creating is exclusive by itself.
//!
//! Files are compared by SHA-1, which Box tells of every file. Sizes that a plan allows are asked of the account.

mod api;
mod folders;
mod judge;
mod page;
mod session;
mod upload;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::{Number, json};
use tokio::sync::Semaphore;

use super::Setup;
use super::download::download;
use super::fresh::Fresh;
use super::memory::Memory;
use super::patience::Patience;
use crate::storage::backend::{
    Backend, Created, HashKind, Hasher, Meta, Pending, Receipt, Removed, Sessions, Source, Space, Stream, Traits,
};
use crate::web::{Fault, Pace, Pacer, Waiting, Web};
use api::{Api, Item, Made, Owned};
use folders::{Folders, TOP};
use judge::BoxJudge;
use upload::{Target, meta};

/// 1,000 calls a minute are allowed, and 240 uploads.
const CALLS: Pace = Pace::steady(16.0, 8.0);
const UPLOADS: Pace = Pace::steady(4.0, 2.0);
/// Bytes of files in memory, whatever is sent.
const MEMORY: u64 = 128 * 1024 * 1024;
/// Folders that are listed at once.
const LISTINGS: usize = 4;

/// Box, for one place in one account.
#[derive(Debug)]
pub struct BoxDrive {
    api: Api,
    folders: Folders,
    memory: Memory,
    /// Parts of large files that may be on their way.
    parts: Arc<Semaphore>,
    place: String,
}

impl BoxDrive {
    /// Opens without asking anything yet.
    pub fn open(setup: Setup) -> Self {
        let Setup { client, bearer, account, endpoints, root, place, shared } = setup;
        let pacer = |kind: &str, pace| Pacer::shared_in(shared.as_deref(), &format!("box:{kind}:{account}"), pace);
        let calls = Web::new(client, Some(bearer), pacer("calls", CALLS), Arc::new(BoxJudge));
        let calls = calls.with_detours(endpoints.detours()).speaking_json();
        let uploads = calls.at_pace(pacer("uploads", UPLOADS));
        let api = Api { calls, uploads, base: endpoints.api, upload: endpoints.upload, fresh: Fresh::new() };
        let parts = Arc::new(Semaphore::new(session::PARTS));
        Self { api, folders: Folders::below(&root), memory: Memory::new(MEMORY), parts, place }
    }

    /// The item under a key.
    async fn item(&self, key: &str) -> Result<Option<Item>, Fault> {
        let (folder, name) = split(key);
        let Some(parent) = self.folders.find(&self.api, folder).await? else { return Ok(None) };
        match self.api.find_in(&parent, name, &mut Patience::of(0)).await {
            Err(Fault::NotFound) => match self.found_anew(folder).await? {
                Some(parent) => self.api.find(&parent, name).await,
                None => Ok(None),
            },
            found => found,
        }
    }

    /// The id of a folder that we knew and that Box does not. Where somebody removed it, nothing has its name any longer;
    /// else it is too new for some of Box's servers.
    async fn found_anew(&self, folder: &str) -> Result<Option<String>, Fault> {
        self.folders.forget();
        self.folders.find(&self.api, folder).await
    }

    /// The folder of the place, or the nearest one above it; nothing at the top, which is this account's own.
    async fn shared(&self) -> Result<Option<Owned>, Fault> {
        match self.folders.nearest(&self.api).await? {
            id if id == TOP => Ok(None),
            id => self.api.owner(&id).await.map(Some),
        }
    }

    /// What is in a folder that Box told of; nothing where it is gone.
    async fn below(&self, folder: &str, id: &str) -> Result<Vec<Meta>, Fault> {
        match self.entries(folder, id, self.api.fresh.patience(id)).await {
            Err(Fault::NotFound) => Ok(Vec::new()),
            entries => entries,
        }
    }

    async fn entries(&self, folder: &str, id: &str, late: Patience) -> Result<Vec<Meta>, Fault> {
        let items = self.api.items(id, late).await?;
        let key = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        Ok(items.into_iter().map(|item| meta(&key(&item.name), item)).collect())
    }
}

/// An account. Amounts are beyond all bounds, negative, or written like `1.0E15`, where there is no limit.
#[derive(Deserialize)]
struct Me {
    id: Option<String>,
    space_amount: Option<Number>,
    space_used: Option<Number>,
    max_upload_size: Option<Number>,
}

impl Me {
    fn space(&self) -> Space {
        let count = |number: &Option<Number>| number.as_ref().and_then(Number::as_u64);
        let free = count(&self.space_amount).zip(count(&self.space_used));
        Space {
            free: free.map(|(all, used)| all.saturating_sub(used)),
            largest: count(&self.max_upload_size),
            notes: Vec::new(),
        }
    }
}

/// Folder and name of a key.
fn split(key: &str) -> (&str, &str) {
    key.rsplit_once('/').unwrap_or(("", key))
}

#[async_trait]
impl Backend for BoxDrive {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn waiting(&self) -> Option<Waiting> {
        self.api.calls.waiting()
    }

    fn asked(&self) -> Option<u64> {
        Some(self.api.calls.sent())
    }

    fn undenied(&self) -> Option<u64> {
        Some(self.api.calls.undenied())
    }

    fn traits(&self) -> Traits {
        Traits { hash: Some(HashKind::Sha1), create_only: true, duplicates: false, lanes: 4, longest_key: 1000 }
    }

    async fn space(&self) -> Result<Space, Fault> {
        let url = self.api.base.at("/2.0/users/me");
        let fields = [("fields", "space_amount,space_used,max_upload_size")];
        let me: Me = self.api.calls.send(|client| client.get(&url).query(&fields)).await?.json()?;
        let is_of_others = self.shared().await?.is_some_and(|folder| folder.is_of_others(me.id.as_deref()));
        // Of another one's account nobody is told how much room it has, nor how large files may be.
        Ok(if is_of_others { Space::default() } else { me.space() })
    }

    async fn look_at_place(&self) -> Result<(), Fault> {
        match self.shared().await? {
            Some(folder) if folder.is_closed() => {
                Err(Fault::Forbidden("the folder may be read, and nothing may be uploaded to it".to_owned()))
            }
            _ => Ok(()),
        }
    }

    async fn make_folders(&self, folders: &[String]) -> Result<(), Fault> {
        let make = |folder: String| async move { self.folders.make(&self.api, &folder).await.map(drop) };
        futures::stream::iter(folders.iter().cloned().map(make)).buffer_unordered(LISTINGS).try_collect().await
    }

    async fn create(&self, key: &str, source: &mut Source, sessions: &dyn Sessions) -> Result<Created, Fault> {
        self.upload(key, source, sessions).await
    }

    async fn settle(&self, pending: Vec<Pending>) -> Vec<Result<Created, Fault>> {
        pending.into_iter().map(|_| Err(Fault::Form("nothing can be pending in Box".to_owned()))).collect()
    }

    async fn put(&self, key: &str, bytes: Bytes) -> Result<bool, Fault> {
        let (folder, name) = split(key);
        let sha1 = Hasher::of(HashKind::Sha1, &bytes);
        let mut known = true;
        loop {
            let parent = self.folders.make(&self.api, folder).await?;
            let target = Target { key, parent, name, is_told: !known };
            match self.send(&target, &bytes, &sha1).await {
                Err(Fault::NotFound) if known => {
                    self.folders.forget();
                    known = false;
                }
                sent => return Ok(matches!(sent?, Created::Ours(_))),
            }
        }
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<(), Fault> {
        let (folder, name) = split(key);
        let parent = self.folders.make(&self.api, folder).await?;
        let sha1 = Hasher::of(HashKind::Sha1, &bytes);
        let attributes = json!({"name": name, "parent": {"id": parent}});
        let over = match self.api.find(&parent, name).await? {
            Some(item) => item,
            None => match self.api.send(&attributes, None, &bytes, &sha1, self.api.fresh.patience(&parent)).await? {
                Made::New(_) => return Ok(()),
                Made::There { item, .. } => item,
            },
        };
        if over.is_folder() {
            return Err(Fault::refused(409, &format!("`{name}` is a folder where a file has to be")));
        }
        let late = self.api.fresh.patience(&over.id);
        match self.api.send(&json!({"name": name}), Some(&over.id), &bytes, &sha1, late).await? {
            Made::New(item) if item.checksum().is_none_or(|there| there == sha1) => Ok(()),
            _ => Err(Fault::Damaged(format!("`{name}` is not what was written"))),
        }
    }

    async fn read(&self, key: &str, offset: u64) -> Result<Stream, Fault> {
        let item = self.item(key).await?.filter(|item| !item.is_folder()).ok_or(Fault::NotFound)?;
        let url = self.api.base.at(&format!("/2.0/files/{}/content", item.id));
        let mut late = self.api.fresh.patience(&item.id);
        loop {
            let url = url.clone();
            let opened = download(self.api.calls.clone(), offset, move |client| client.get(&url)).await;
            if !matches!(opened, Err(Fault::NotFound)) || !late.again().await {
                return opened;
            }
        }
    }

    async fn stat(&self, key: &str) -> Result<Option<Meta>, Fault> {
        match self.item(key).await? {
            None => Ok(None),
            Some(item) if item.is_folder() || item.size.is_some() => Ok(Some(meta(key, item))),
            // Found by its name, which tells no size.
            Some(item) => match self.api.file(&item.id).await {
                Ok(item) => Ok(Some(meta(key, item))),
                Err(Fault::NotFound) => Ok(None),
                Err(fault) => Err(fault),
            },
        }
    }

    async fn list(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        let Some(id) = self.folders.find(&self.api, folder).await? else { return Ok(Vec::new()) };
        let top = match self.entries(folder, &id, Patience::of(0)).await {
            Err(Fault::NotFound) => match self.found_anew(folder).await? {
                Some(id) => self.below(folder, &id).await?,
                None => return Ok(Vec::new()),
            },
            top => top?,
        };
        let (mut all, mut found) = (Vec::new(), vec![top]);
        loop {
            let mut waiting = Vec::new();
            for entry in found.into_iter().flatten() {
                if let (true, true, Some(id)) = (deep, entry.folder, &entry.id) {
                    waiting.push((entry.key.clone(), id.clone()));
                }
                all.push(entry);
            }
            if waiting.is_empty() {
                return Ok(all);
            }
            let list = |(folder, id): (String, String)| async move { self.below(&folder, &id).await };
            found = futures::stream::iter(waiting.into_iter().map(list))
                .buffer_unordered(LISTINGS)
                .try_collect::<Vec<Vec<Meta>>>()
                .await?;
        }
    }

    fn may_fold_case(&self) -> bool {
        true
    }

    async fn forget_folder(&self, _: &str) {
        self.folders.forget();
    }

    async fn copy(&self, from: &str, to: &str) -> Result<Option<Created>, Fault> {
        let file = self.item(from).await?.filter(|item| !item.is_folder()).ok_or(Fault::NotFound)?;
        let (folder, name) = split(to);
        let parent = self.folders.make(&self.api, folder).await?;
        let ours =
            |item: Item| Created::Ours(Receipt { checksum: item.checksum(), id: Some(item.id), ..Receipt::default() });
        Ok(Some(match self.api.copy(&file.id, &parent, name).await? {
            Made::New(item) => ours(item),
            Made::There { item, unsure: true } if item.checksum() == file.checksum() => ours(item),
            Made::There { item, .. } => self.taken(to, item).await?,
        }))
    }

    async fn remove(&self, key: &str) -> Result<(), Fault> {
        match self.item(key).await? {
            Some(item) if !item.is_folder() => self.api.remove("files", &item.id).await.map(drop),
            Some(_) => Err(Fault::refused(409, "it is a folder, not a file")),
            None => Ok(()),
        }
    }

    async fn web_address(&self, folder: &str) -> Result<Option<String>, Fault> {
        self.page(folder).await
    }

    async fn remove_folder(&self, folder: &str) -> Result<Removed, Fault> {
        if folder.split('/').all(str::is_empty) {
            return Err(Fault::Setting("the place itself is never removed".to_owned()));
        }
        // Asked anew: what was kept may be another folder by now.
        self.folders.forget();
        let freed = match self.folders.find(&self.api, folder).await? {
            Some(id) => self.api.remove("folders", &id).await?,
            None => true,
        };
        self.folders.forget();
        Ok(Removed { freed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_without_limits_has_none_however_that_is_written() {
        let space = |text: &str| serde_json::from_str::<Me>(text).unwrap().space();
        let free = space(r#"{"space_amount": 10737418240, "space_used": 737418240, "max_upload_size": 262144000}"#);
        assert_eq!((free.free, free.largest), (Some(10_000_000_000), Some(262_144_000)));
        for text in [
            r#"{"space_amount": 1.0E15, "space_used": 5, "max_upload_size": -1}"#,
            r#"{"space_amount": -1, "space_used": 5.0}"#,
            "{}",
        ] {
            assert_eq!(space(text), Space::default(), "{text}");
        }
    }
}

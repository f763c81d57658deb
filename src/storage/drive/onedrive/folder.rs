//! Folders: made parents first, listed page by page, removed whole.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use super::OneDrive;
use super::item::{FIELDS, Item, Page};
use crate::storage::backend::{Fault, Meta, Removed, file_in_the_way, upwards};
use crate::storage::drive::escape::{join, parts, split};

/// Folders that are asked or made at once.
const AT_ONCE: usize = 4;

impl OneDrive {
    /// Makes sure that the folders of these keys are there, each once.
    pub(super) async fn make(&self, folders: &[String]) -> Result<(), Fault> {
        let mut known = self.folders.lock().await;
        let mut levels: Vec<BTreeSet<String>> = Vec::new();
        for folder in folders {
            let mut path = String::new();
            for (depth, part) in parts(&self.address.path(folder)).enumerate() {
                path = join(&path, part);
                if levels.len() <= depth {
                    levels.push(BTreeSet::new());
                }
                if !known.contains(&path) {
                    levels[depth].insert(path.clone());
                }
            }
        }
        for level in levels {
            let made = futures::stream::iter(level).map(|path| async {
                self.make_one(&path).await?;
                Ok(path)
            });
            let made: Vec<String> = made.buffer_unordered(AT_ONCE).try_collect().await?;
            known.extend(made);
        }
        Ok(())
    }

    async fn make_one(&self, path: &str) -> Result<(), Fault> {
        let (parent, name) = split(path);
        let url = self.address.at(parent, "children");
        let body = json!({"name": name, "folder": {}, "@microsoft.graph.conflictBehavior": "fail"});
        let mut late = self.fresh.patience(parent);
        loop {
            match self.web.send(|client| client.post(&url).json(&body)).await {
                Ok(_) | Err(Fault::Exists) => break,
                // The parent is not known everywhere yet.
                Err(Fault::NotFound) if late.again().await => {}
                Err(fault) => return Err(fault),
            }
        }
        self.fresh.saw(path);
        Ok(())
    }

    /// See [`crate::storage::backend::Backend::look_at_place`].
    pub(super) async fn look_at_root(&self) -> Result<(), Fault> {
        for path in upwards(&self.address.path("")) {
            match self.item_at(&format!("{}?{FIELDS}", self.address.at(path, ""))).await? {
                Some(item) if item.is_file() => return Err(file_in_the_way(path)),
                Some(_) => return Ok(()),
                None => {}
            }
        }
        Ok(())
    }

    /// What lies below a folder.
    pub(super) async fn listing(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        let first = format!("{}?{FIELDS}&$top=1000", self.address.of(folder, "children"));
        let mut found = Vec::new();
        let mut level = vec![(folder.to_owned(), first)];
        while !level.is_empty() {
            let pages = futures::stream::iter(std::mem::take(&mut level))
                .map(|(folder, url)| async { self.children(url).await.map(|items| (folder, items)) });
            let listed: Vec<(String, Vec<Item>)> = pages.buffer_unordered(AT_ONCE).try_collect().await?;
            for (folder, items) in listed {
                for item in items {
                    let key = join(&folder, &item.name);
                    let opens = item.opens();
                    if deep && opens {
                        let url = format!("{}?{FIELDS}&$top=1000", self.address.id(&item.id, "children"));
                        level.push((key.clone(), url));
                    }
                    found.push(Meta { folder: opens, ..item.meta(&key) });
                }
            }
        }
        Ok(found)
    }

    /// All pages of one folder; nothing where there is none.
    async fn children(&self, first: String) -> Result<Vec<Item>, Fault> {
        let mut items = Vec::new();
        let mut next = Some(first);
        while let Some(url) = next {
            let page: Page = match self.web.send(|client| client.get(&url)).await {
                Ok(answer) => answer.json()?,
                Err(Fault::NotFound) => break,
                Err(fault) => return Err(fault),
            };
            items.extend(page.value);
            next = page.next.map(|next| self.web.led(&next));
            if next.as_ref().is_some_and(|next| !self.address.is_own(next)) {
                return Err(Fault::Form("a listing goes on at another host".to_owned()));
            }
        }
        Ok(items)
    }

    /// Folders at and below this one are asked for again before they are used.
    pub(super) async fn forget(&self, folder: &str) {
        let path = self.address.path(folder);
        self.fresh.forget(&path);
        self.folders.lock().await.retain(|known| *known != path && !known.starts_with(&format!("{path}/")));
    }

    /// Moves a whole folder to the recycle bin.
    pub(super) async fn remove_whole(&self, folder: &str) -> Result<Removed, Fault> {
        if parts(folder).next().is_none() {
            return Err(Fault::Setting("the whole place is never removed, only folders in it".to_owned()));
        }
        // Who makes folders meanwhile waits, and forgets these.
        let mut known = self.folders.lock().await;
        match self.item(folder).await? {
            Some(item) if !item.is_folder() => Err(Fault::Damaged(format!("`{folder}` is a file and no folder"))),
            Some(item) => {
                let path = self.address.path(folder);
                known.retain(|known| *known != path && !known.starts_with(&format!("{path}/")));
                self.fresh.forget(&path);
                self.erase(&item.id).await?;
                Ok(Removed { freed: false })
            }
            None => Ok(Removed { freed: false }),
        }
    }
}

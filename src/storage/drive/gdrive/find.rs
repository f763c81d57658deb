//! Finding: searches page by page, what lies in a folder, which file a path stands for.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use super::GoogleDrive;
use super::file::{File, Page, lowest, ranked};
use super::known::Folder;
use super::query::{self, PARENTS, is_id};
use crate::storage::backend::{Fault, Made, Meta};
use crate::storage::drive::escape::{join, split};

/// A listing that is younger tells what is there.
const FRESH: Duration = Duration::from_mins(1);
/// Searches that run at once.
const AT_ONCE: usize = 4;

/// What lay in a folder, by name.
#[derive(Debug)]
pub(super) struct Listing {
    asked: Instant,
    files: HashMap<String, File>,
}

impl GoogleDrive {
    /// All that a search finds.
    pub(super) async fn search(&self, query: &str) -> Result<Vec<File>, Fault> {
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let url = self.address.search(query, next.as_deref());
            let page: Page = self.reads.send(|client| client.get(&url)).await?.json()?;
            if page.incomplete_search {
                return Err(Fault::Broken("the service did not search everything; try again".to_owned()));
            }
            found.extend(page.files);
            next = page.next_page_token;
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    /// All that a search in these folders finds. One of them that is gone fails the whole search: it is left out then.
    pub(super) async fn below(
        &self,
        parents: &[String],
        query: impl Fn(&[String]) -> String + Send + Sync,
    ) -> Result<Vec<File>, Fault> {
        match self.search(&query(parents)).await {
            Err(Fault::NotFound) => {}
            found => return found,
        }
        let mut there = Vec::new();
        for id in parents {
            match self.file(id).await? {
                Some(_) => there.push(id.clone()),
                None if *id == self.top => return Err(self.no_top()),
                None => self.known().gone(id),
            }
        }
        if there.is_empty() { Ok(Vec::new()) } else { self.search(&query(&there)).await }
    }

    /// The file of a path: as this process knows it, else as a search finds it.
    pub(super) async fn find(&self, path: &str) -> Result<Option<File>, Fault> {
        let known = self.known().file(path);
        if let Some(id) = known {
            if let Some(file) = self.file(&id).await? {
                return Ok(Some(file));
            }
            self.known().forget(path);
        }
        self.look(path).await
    }

    /// The file of that id while it is there, else what its key stands for.
    pub(super) async fn exactly(&self, made: Made<'_>) -> Result<Option<File>, Fault> {
        if let Some(id) = made.id.filter(|id| is_id(id))
            && let Some(file) = self.file(id).await?
        {
            return Ok(Some(file));
        }
        self.find(&self.path(made.key)).await
    }

    /// The file of a path, as a search finds it.
    pub(super) async fn look(&self, path: &str) -> Result<Option<File>, Fault> {
        if path.is_empty() {
            return self.file(&self.top).await;
        }
        let found = lowest(self.all(path, false).await?);
        let found = match found {
            // Others may have made another folder of that name, with the file in it.
            None => lowest(self.all(path, true).await?),
            found => found,
        };
        if let Some(file) = found.as_ref().filter(|file| !file.is_folder()) {
            self.known().found(path, &file.id);
        }
        Ok(found)
    }

    /// Everything of that path.
    pub(super) async fn all(&self, path: &str, anew: bool) -> Result<Vec<File>, Fault> {
        let (folder, name) = split(path);
        let parents = self.folders(folder, anew).await?;
        self.named(&parents, name).await
    }

    /// What stands at a path where something is to be created, by a listing of its folder that is fresh enough.
    pub(super) async fn present(&self, path: &str) -> Result<Option<File>, Fault> {
        let known = self.known().file(path);
        if let Some(id) = known
            && let Some(file) = self.file(&id).await?
        {
            return Ok(Some(file));
        }
        let (folder, name) = split(path);
        if self.known().was_made(folder) {
            return Ok(None);
        }
        let mut listings = self.listings.lock().await;
        if listings.get(folder).is_none_or(|listing| listing.asked.elapsed() > FRESH) {
            let asked = Instant::now();
            let mut by_name: BTreeMap<String, Vec<File>> = BTreeMap::new();
            for file in self.inside(self.folders(folder, false).await?).await? {
                by_name.entry(file.name.clone()).or_default().push(file);
            }
            let files = by_name.into_iter().filter_map(|(name, files)| lowest(files).map(|file| (name, file)));
            listings.insert(folder.to_owned(), Listing { asked, files: files.collect() });
        }
        let there = listings.get(folder).and_then(|listing| listing.files.get(name)).map(|file| file.id.clone());
        drop(listings);
        // It may have gone since.
        match there {
            Some(id) => self.file(&id).await,
            None => Ok(None),
        }
    }

    /// What lies in any of these folders.
    async fn inside(&self, parents: Vec<String>) -> Result<Vec<File>, Fault> {
        let chunks: Vec<Vec<String>> = parents.chunks(PARENTS).map(<[String]>::to_vec).collect();
        let searches =
            futures::stream::iter(chunks).map(|chunk| async move { self.below(&chunk, query::inside).await });
        let found: Vec<Vec<File>> = searches.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(found.concat())
    }

    /// Everything in all folders of a path, or with `deep` below them, each with its path; names may come twice.
    pub(super) async fn walk(&self, path: &str, deep: bool) -> Result<Vec<(String, File)>, Fault> {
        let mut found = Vec::new();
        let ids = self.folders(path, true).await?;
        let mut level: HashMap<String, String> = ids.into_iter().map(|id| (id, path.to_owned())).collect();
        while !level.is_empty() {
            let mut next = HashMap::new();
            for file in self.inside(level.keys().cloned().collect()).await? {
                let parent = file.parents.iter().find_map(|parent| level.get(parent)).or_else(|| only(&level));
                let Some(parent) = parent else { continue };
                let at = join(parent, &part(&file.name));
                if file.is_folder() {
                    // Others are never asked for by their path.
                    if part(&file.name) == file.name {
                        self.known().learn(&at, [Folder::of(&file)]);
                    }
                    next.insert(file.id.clone(), at.clone());
                }
                found.push((at, file));
            }
            level = if deep { next } else { HashMap::new() };
        }
        Ok(found)
    }

    /// As the trait wants it: of one key the object that it stands for first. Several folders of a path are one.
    pub(super) async fn listing(&self, folder: &str, deep: bool) -> Result<Vec<Meta>, Fault> {
        let mut by_key: BTreeMap<String, Vec<File>> = BTreeMap::new();
        for (path, file) in self.walk(&self.path(folder), deep).await? {
            let key = if self.root.is_empty() { &*path } else { path.get(self.root.len() + 1..).unwrap_or(&path) };
            by_key.entry(key.to_owned()).or_default().push(file);
        }
        let mut listed = Vec::new();
        for (key, files) in by_key {
            let files = ranked(files);
            let count = files.iter().filter(|file| !file.is_folder()).count().max(1);
            listed.extend(files.iter().take(count).map(|file| file.meta(&key)));
        }
        Ok(listed)
    }

    /// Removes one file for good, whatever else has its name.
    pub(super) async fn remove_file(&self, key: &str, id: &str) -> Result<(), Fault> {
        self.erase(id).await?;
        self.known().is_erased(id);
        let path = self.path(key);
        if self.known().file(&path).is_some_and(|known| known == id) {
            self.known().forget(&path);
        }
        let (folder, name) = split(&path);
        if let Some(listing) = self.listings.lock().await.get_mut(folder)
            && listing.files.get(name).is_some_and(|file| file.id == id)
        {
            listing.files.remove(name);
        }
        Ok(())
    }

    /// Removes all files of a key for good.
    pub(super) async fn remove_files(&self, key: &str) -> Result<(), Fault> {
        let path = self.path(key);
        let known = self.known().file(&path);
        let mut ids: Vec<String> = known.into_iter().collect();
        let found = self.all(&path, true).await?;
        ids.extend(found.into_iter().filter(|file| !file.is_folder()).map(|file| file.id));
        ids.sort();
        ids.dedup();
        for id in ids {
            self.erase(&id).await?;
        }
        self.known().forget(&path);
        let (folder, name) = split(&path);
        if let Some(listing) = self.listings.lock().await.get_mut(folder) {
            listing.files.remove(name);
        }
        Ok(())
    }
}

/// A name as a part of a path. With a `/` in it, or nothing, it is nothing that we made; it is there all the same.
fn part(name: &str) -> Cow<'_, str> {
    match name {
        "" => Cow::Borrowed("%"),
        name if name.contains('/') => Cow::Owned(name.replace('/', "%2f")),
        name => Cow::Borrowed(name),
    }
}

/// The folder that was asked about, where it was one: `root` has another id in answers.
fn only(level: &HashMap<String, String>) -> Option<&String> {
    level.values().next().filter(|_| level.len() == 1)
}

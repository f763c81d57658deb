//! Folders by path: found, all of a name, and made where there is none.

use std::collections::HashSet;

use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::json;

use super::file::File;
use super::known::Folder;
use super::query::{self, FOLDER, PARENTS};
use super::{GoogleDrive, ROOT};
use crate::storage::backend::{Fault, Made, Removed};
use crate::storage::drive::escape::{join, parts, split};

/// Files of a manifest that are asked where they lie; of more, an empty folder is not worth it.
const MOST_ASKED: usize = 500;
const AT_ONCE: usize = 4;

impl GoogleDrive {
    /// All folders of a path, the lowest first; none where it does not exist, in a place that does. `anew` asks again
    /// for those of which some are known: others may have made more.
    pub(super) async fn folders(&self, path: &str, anew: bool) -> Result<Vec<String>, Fault> {
        let mut ids = vec![self.top.clone()];
        let mut at = String::new();
        for name in parts(path) {
            at = join(&at, name);
            let mut next = self.known().folders(&at);
            if next.is_empty() || anew {
                let found = self.named(&ids, name).await?;
                let folders = found.iter().filter(|file| file.is_folder()).map(Folder::of);
                let mut known = self.known();
                known.learn(&at, folders);
                next = known.folders(&at);
            }
            if next.is_empty() {
                // Nothing is missing in a place that is not there itself.
                if ids.contains(&self.top) {
                    self.asked_top().await?;
                }
                return Ok(next);
            }
            ids = next;
        }
        Ok(ids)
    }

    /// Everything of a name in any of these folders.
    pub(super) async fn named(&self, parents: &[String], name: &str) -> Result<Vec<File>, Fault> {
        let mut found = Vec::new();
        for parents in parents.chunks(PARENTS) {
            let files = self.below(parents, |parents| query::named(parents, name)).await?;
            // The search does not tell upper from lower case.
            found.extend(files.into_iter().filter(|file| file.name == name));
        }
        Ok(found)
    }

    /// The folder of a path, made with all above it where need be. One at a time: two who do not see each other's folder
    /// would make two.
    pub(super) async fn make(&self, path: &str) -> Result<String, Fault> {
        let making = self.making.lock().await;
        let mut id = self.top.clone();
        let mut at = String::new();
        for name in parts(path) {
            let above = at;
            at = join(&above, name);
            // Nothing of others can be in a folder that was made a moment ago.
            let is_new = self.known().was_made(&above);
            let there = if is_new { self.known().folders(&at) } else { self.folders(&at, false).await? };
            id = match there.into_iter().next() {
                Some(id) => id,
                None => self.make_one(&at, name, &id).await?,
            };
        }
        drop(making);
        Ok(id)
    }

    async fn make_one(&self, path: &str, name: &str, parent: &str) -> Result<String, Fault> {
        let id = self.id().await?;
        let url = self.address.files();
        let body = json!({"id": id, "name": name, "mimeType": FOLDER, "parents": [parent]});
        let made = match self.writes.send(|client| client.post(&url).json(&body)).await {
            Ok(answer) => Some(answer.json()?),
            // The id is ours alone: it was made, and the answer was lost.
            Err(Fault::Exists) => self.file(&id).await?,
            Err(Fault::NotFound) if parent == self.top && parent != ROOT => return Err(self.no_top()),
            Err(Fault::NotFound) => {
                self.known().forget(split(path).0);
                None
            }
            Err(fault) => return Err(fault),
        };
        let made = made.ok_or_else(|| Fault::Broken("a folder vanished while another was made in it".to_owned()))?;
        let mut known = self.known();
        known.learn(path, [Folder::of(&made)]);
        known.is_new(path, &made.id);
        Ok(made.id.clone())
    }

    /// Takes away folders at and below `folder` that this process made, that nothing of `stands` lies in, and that are
    /// empty: to the bin, where they take no room and nobody's file would be lost. Others may have made the same ones at
    /// the same moment, and theirs are those that count.
    pub(super) async fn seconds_to_bin(&self, folder: &str, stands: &[Made<'_>]) -> Result<(), Fault> {
        let path = self.path(folder);
        let made = self.known().made(&path);
        if made.is_empty() || stands.len() > MOST_ASKED {
            return Ok(());
        }
        let stands: Vec<(String, Option<String>)> =
            stands.iter().map(|made| (made.key.to_owned(), made.id.map(str::to_owned))).collect();
        let asked = futures::stream::iter(stands).map(|(key, id)| async move {
            // A listing that lags would show an empty folder: each file is asked by its id where it lies.
            let there = self.exactly(Made { key: &key, id: id.as_deref() }).await?;
            there.map(|file| file.parents).ok_or(Fault::NotFound)
        });
        let used: Vec<Vec<String>> = asked.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut used: HashSet<String> = used.into_iter().flatten().collect();
        let mut open: Vec<String> = used.iter().cloned().collect();
        while let Some(id) = open.pop() {
            let above = self.file(&id).await?.map(|folder| folder.parents).unwrap_or_default();
            open.extend(above.into_iter().filter(|id| used.insert(id.clone())));
        }
        let making = self.making.lock().await;
        for (path, id) in made.into_iter().filter(|(_, id)| !used.contains(id)) {
            let inside = self.below(std::slice::from_ref(&id), query::inside).await?;
            if inside.iter().any(|file| !self.known().was_erased(&file.id)) {
                continue;
            }
            self.to_bin(&id).await?;
            self.known().is_erased(&id);
            self.listings.lock().await.remove(&path);
            tracing::info!(path, "a second folder of that name was empty");
        }
        drop(making);
        Ok(())
    }

    /// Keeps nothing in mind of a path and of what is below it.
    pub(super) async fn forget_all(&self, path: &str) {
        self.known().forget(path);
        let start = format!("{path}/");
        self.listings.lock().await.retain(|known, _| known != path && !known.starts_with(&start));
    }

    /// Removes all folders of a path for good, with what is in them.
    pub(super) async fn remove_whole(&self, folder: &str) -> Result<Removed, Fault> {
        if parts(folder).next().is_none() {
            return Err(Fault::Setting("the whole place is never removed, only folders in it".to_owned()));
        }
        let path = self.path(folder);
        let making = self.making.lock().await;
        let mut freed = true;
        for id in self.folders(&path, true).await? {
            freed &= self.erase(&id).await?;
        }
        self.forget_all(&path).await;
        drop(making);
        Ok(Removed { freed })
    }
}

//! Folders: looked into, made and removed; those that are claims, too.

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use openssh_sftp_client::metadata::MetaData;

use super::write::again;
use super::{LANES, Sftp, is_broken, is_folder, told};
use crate::storage::backend::claim::Claims;
use crate::storage::backend::{Backend as _, Fault};
use crate::storage::key::is_marks;

impl Sftp {
    pub(super) async fn look(&self, path: &str) -> Result<Option<MetaData>, Fault> {
        let asked = self.ask(|session| {
            let path = path.to_owned();
            async move { session.client.fs().metadata(path).await }
        });
        match asked.await {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) => match told(error) {
                Fault::NotFound => Ok(None),
                fault => Err(fault),
            },
        }
    }

    /// A folder and those above it.
    pub(super) async fn make(&self, folder: &str) -> Result<(), Fault> {
        let whole = self.path(folder);
        let ends = whole.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([whole.len()]);
        for end in ends {
            let path = &whole[..end];
            let made = self.ask(|session| {
                let path = path.to_owned();
                async move { session.client.fs().create_dir(path).await }
            });
            // What is there answers with a failure of no particular kind; whether it is a folder shows soon enough.
            if let Err(error) = made.await
                && !self.look(path).await?.is_some_and(|there| is_folder(&there))
            {
                return Err(told(error));
            }
        }
        Ok(())
    }

    /// The entries of one folder by their names; nothing where there is none.
    async fn entries(&self, folder: &str) -> Result<Vec<(String, MetaData)>, Fault> {
        let path = self.path(folder);
        let listed = self.ask(|session| {
            let path = path.clone();
            async move {
                let folder = session.client.fs().open_dir(path).await?;
                folder.read_dir().try_collect::<Vec<_>>().await
            }
        });
        let entries = match listed.await.map_err(told) {
            Err(Fault::NotFound) => return Ok(Vec::new()),
            entries => entries?,
        };
        let named = entries.into_iter().filter_map(|entry| {
            let name = entry.filename().to_str()?.to_owned();
            (!matches!(&*name, "." | "..")).then(|| (name, entry.metadata()))
        });
        Ok(named.collect())
    }

    /// Everything below a folder by whole keys, folders before what is in them.
    pub(super) async fn walk(&self, folder: &str, deep: bool) -> Result<Vec<(String, MetaData)>, Fault> {
        let mut found = Vec::new();
        let mut waiting = vec![folder.trim_matches('/').to_owned()];
        while let Some(folder) = waiting.pop() {
            for (name, metadata) in self.entries(&folder).await? {
                let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                if deep && is_folder(&metadata) {
                    waiting.push(key.clone());
                }
                found.push((key, metadata));
            }
        }
        Ok(found)
    }

    /// A folder and all that is in it, marks last; nothing where there is none.
    pub(super) async fn remove_tree(&self, folder: &str) -> Result<(), Fault> {
        let found = self.walk(folder, true).await?;
        let (folders, files): (Vec<_>, Vec<_>) = found.iter().partition(|(_, metadata)| is_folder(metadata));
        let (marks, files): (Vec<_>, Vec<_>) = files.into_iter().partition(|(key, _)| is_marks(key));
        for some in [files, marks] {
            let paths: Vec<String> = some.iter().map(|(key, _)| self.path(key)).collect();
            let removals = futures::stream::iter(paths).map(|path| async move { self.unlink(&path).await });
            removals.buffer_unordered(LANES).try_collect::<()>().await?;
        }
        let mut folders: Vec<String> = folders.iter().map(|(key, _)| self.path(key)).collect();
        folders.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
        folders.push(self.path(folder));
        for path in folders {
            let removed = self.ask(|session| {
                let path = path.clone();
                async move { session.client.fs().remove_dir(path).await }
            });
            match removed.await.map_err(told) {
                Ok(()) | Err(Fault::NotFound) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Claims for Sftp {
    async fn make_new(&self, folder: &str) -> Result<bool, Fault> {
        let path = self.path(folder);
        again(|| async {
            let session = self.session().await?;
            // Where the answer was lost it is looked at: asked again, the server would say that it is there.
            match session.client.fs().create_dir(&path).await {
                Ok(()) => Ok(true),
                Err(error) => {
                    if is_broken(&error) {
                        self.forget(&session).await;
                    }
                    self.look(&path).await?.map(|_| false).ok_or_else(|| told(error))
                }
            }
        })
        .await
    }

    async fn drop_claim(&self, folder: &str) -> Result<(), Fault> {
        let path = self.path(folder);
        let removed = self.ask(|session| {
            let path = path.clone();
            async move { session.client.fs().remove_dir(path).await }
        });
        match removed.await.map_err(told) {
            Ok(()) | Err(Fault::NotFound) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    async fn is_taken(&self, key: &str) -> Result<bool, Fault> {
        Ok(self.stat(key).await?.is_some())
    }
}

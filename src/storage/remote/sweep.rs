//! Removing what broken-off publishes left: only in folders of ours without a manifest, only what nobody wrote to for
//! long, and never against a publisher that goes on with it ([`super::marks`] says how each knows of the other).

use futures::{StreamExt, TryStreamExt};

use super::marks::{Since, age, put_mark};
use super::{LANES, Remote, journal};
use crate::id::ProjectName;
use crate::storage::backend::{Fault, Made, Meta};
use crate::storage::{Folder, Progress, StorageError, Swept, Unfinished, key};

/// How often removing is begun anew in one folder.
const ROUNDS: u32 = 100;

/// Folders of a project that have no manifest, and something in them.
pub(super) async fn unfinished(remote: &Remote, project: &ProjectName) -> Result<Vec<Unfinished>, StorageError> {
    let names = remote.folders_below(project.as_str()).await?;
    let named = names.into_iter().filter_map(|name| name.parse::<Folder>().ok());
    let looked = named.map(|folder| async move {
        let manifest = key::object_manifest(project, &folder);
        let there = remote.service.stat(&manifest).await.map_err(|fault| remote.fault("look at", &manifest, fault))?;
        if there.is_some() {
            return Ok(None);
        }
        let contents = remote.contents(project, &folder).await?;
        Ok::<_, StorageError>(summary(folder, &contents))
    });
    let mut found: Vec<Unfinished> =
        futures::stream::iter(looked).buffered(LANES).filter_map(|one| async { one.transpose() }).try_collect().await?;
    found.sort_by_key(|one| one.folder.to_string());
    Ok(found)
}

fn summary(folder: Folder, contents: &[Meta]) -> Option<Unfinished> {
    if contents.is_empty() || contents.iter().any(|meta| meta.key == key::MANIFEST) {
        return None;
    }
    // That somebody began to remove it makes it no younger.
    let others = contents.iter().filter(|meta| !key::is_sweep(&meta.key));
    let times: Option<Vec<_>> = others.map(|meta| meta.modified).collect();
    let files = contents.iter().filter(|meta| !key::is_mark(&meta.key));
    Some(Unfinished {
        folder,
        files: files.clone().count(),
        bytes: files.map(|meta| meta.size).sum(),
        touched: times.and_then(|times| times.into_iter().max()),
    })
}

/// What a round came to.
enum Round {
    Over(Swept),
    /// Its time was over; what is left is another round's.
    Again,
}

/// Removes one of these folders, unless somebody still has to do with it.
pub(super) async fn sweep(
    remote: &Remote,
    project: &ProjectName,
    folder: &Folder,
    progress: &dyn Progress,
) -> Result<Swept, StorageError> {
    let whole = key::object_folder(project, folder);
    let journals = remote.journals.as_deref();
    if journal::is_in_use(journals, &remote.service.place(), &whole, remote.bounds.old) {
        return Ok(Swept::Left("a publish on this machine was sending to it".to_owned()));
    }
    for _ in 0..ROUNDS {
        if let Round::Over(swept) = (Sweep { remote, project, folder, whole: &whole, progress }).round().await? {
            return Ok(swept);
        }
    }
    Ok(Swept::Left("it takes long; another prune goes on with it".to_owned()))
}

struct Sweep<'a> {
    remote: &'a Remote,
    project: &'a ProjectName,
    folder: &'a Folder,
    /// With a closing `/`.
    whole: &'a str,
    progress: &'a dyn Progress,
}

impl Sweep<'_> {
    async fn round(&self) -> Result<Round, StorageError> {
        if self.remote.contents(self.project, self.folder).await?.is_empty() {
            return Ok(Round::Over(Swept::Left("it is gone".to_owned())));
        }
        let since = Since::now();
        let mark = key::sweep(self.project, self.folder);
        match put_mark(self.remote, &mark).await {
            Ok(()) => {}
            Err(Fault::NotFound) => return Ok(Round::Over(Swept::Left("it is gone".to_owned()))),
            Err(fault) => return Err(self.remote.fault("write", &mark, fault)),
        }
        let done = self.under(&mark, since).await;
        if !matches!(done, Ok(Round::Over(Swept::Gone { .. })))
            && let Err(fault) = self.remote.service.remove(&mark).await
        {
            // Publishers pass it by after a while, and so does the next prune.
            tracing::info!(%fault, mark, "a mark stays");
        }
        done
    }

    /// Judges and removes, while our mark is there.
    async fn under(&self, mark: &str, since: Since) -> Result<Round, StorageError> {
        // Whoever listed the folder just before the mark was there has put a hold there after this.
        tokio::time::sleep(self.remote.bounds.pause).await;
        let contents = self.remote.contents(self.project, self.folder).await?;
        let name = mark.strip_prefix(self.whole).unwrap_or(mark);
        let doomed = match self.judge(name, contents) {
            Ok(doomed) => doomed,
            Err(why) => return Ok(Round::Over(Swept::Left(why.to_owned()))),
        };
        if !self.remove_files(doomed, since).await? {
            return Ok(Round::Again);
        }
        self.remove_rest(name, since).await
    }

    /// What is to be removed; or why nothing is.
    fn judge(&self, mark: &str, contents: Vec<Meta>) -> Result<Vec<Meta>, &'static str> {
        let bounds = &self.remote.bounds;
        let ours = contents.iter().find(|meta| meta.key == mark).ok_or("the storage's listings lag behind")?;
        let timeless = "the storage does not tell when files were written";
        let now = ours.modified.ok_or(timeless)?;
        let doomed: Vec<Meta> = contents.into_iter().filter(|meta| meta.key != mark).collect();
        for meta in &doomed {
            if meta.key == key::MANIFEST {
                return Err("it is published meanwhile");
            }
            let age = age(now, meta.modified.ok_or(timeless)?);
            if key::is_sweep(&meta.key) && age <= bounds.dead {
                return Err("another prune is at it");
            }
            if !key::is_sweep(&meta.key) && age < bounds.old {
                return Err("somebody is writing to it");
            }
        }
        if doomed.is_empty() { Err("it is gone") } else { Ok(doomed) }
    }

    /// Removes exactly these; `false` when the time was over first.
    async fn remove_files(&self, doomed: Vec<Meta>, since: Since) -> Result<bool, StorageError> {
        let duplicates = self.remote.service.traits().duplicates;
        let removals = doomed.into_iter().map(|meta| async move {
            if self.progress.cancelled() {
                return Err(StorageError::Cancelled);
            }
            if since.elapsed() >= self.remote.bounds.work {
                return Ok(false);
            }
            let key = format!("{}{}", self.whole, meta.key);
            let made = Made { key: &key, id: meta.id.as_deref().filter(|_| duplicates) };
            let removed = self.remote.service.remove_made(made).await;
            removed.map(|()| true).map_err(|fault| self.remote.fault("remove", &key, fault))
        });
        futures::stream::iter(removals).buffer_unordered(LANES).try_all(|done| async move { done }).await
    }

    /// The folders, and last the folder itself with our mark, as long as nothing else is in it.
    async fn remove_rest(&self, mark: &str, since: Since) -> Result<Round, StorageError> {
        let folder = self.whole.trim_end_matches('/');
        let wrong = |fault| self.remote.fault("remove", folder, fault);
        let rest = self.remote.contents(self.project, self.folder).await?;
        if rest.iter().any(|meta| !key::is_mark(&meta.key) || key::is_sweep(&meta.key) && meta.key != mark) {
            return Ok(Round::Over(Swept::Left("somebody is writing to it".to_owned())));
        }
        for below in self.remote.folders_below(folder).await? {
            if since.elapsed() >= self.remote.bounds.work {
                return Ok(Round::Again);
            }
            self.remote.service.remove_folder(&format!("{}{below}", self.whole)).await.map_err(wrong)?;
        }
        if since.elapsed() >= self.remote.bounds.work {
            return Ok(Round::Again);
        }
        match self.remote.service.remove_folder(folder).await {
            Ok(removed) => Ok(Round::Over(Swept::Gone { freed: removed.freed })),
            // A publisher was as quick as to put something into the empty folder, which stays then.
            Err(_) if !self.is_there(mark).await? => Ok(Round::Over(Swept::Gone { freed: true })),
            Err(fault) => Err(wrong(fault)),
        }
    }

    async fn is_there(&self, name: &str) -> Result<bool, StorageError> {
        Ok(self.remote.contents(self.project, self.folder).await?.iter().any(|meta| meta.key == name))
    }
}

//! Removing what broken-off publishes left: only in folders of ours without a manifest, only what nobody wrote to for
//! long, and never against a publisher that goes on with it ([`super::marks`] says how each knows of the other). One file
//! in it that nothing proves to be ours ([`super::proof`]) keeps the whole folder, unless such are to go, too.
//!
//! What was published and is being taken away has a mark of its own: what is no younger than it is of nobody, so that
//! whoever comes after a prune that was killed goes on. Folders without files, which some services keep, go by their own
//! times.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;

use super::marks::{Since, age, put_mark};
use super::proof::Ours;
use super::unpublish::at_once;
use super::{LANES, Remote, journal, leftovers};
use crate::id::ProjectName;
use crate::storage::backend::{Fault, Made, Meta};
use crate::storage::{Folder, Progress, StorageError, Swept, Unfinished, key, prune};

/// How often removing is begun anew in one folder.
const ROUNDS: u32 = 100;
/// Why a folder is left alone for now: by what this machine remembers, and by what a prune said there.
const SENDING: &str = "a publish on this machine was sending to it";
const SWEEPING: &str = "another prune is at it, or was killed during the last quarter of an hour";

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
        let busy = is_sent_to(remote, project, &folder).then_some(SENDING);
        if !contents.is_empty() {
            let ours = Ours::of(remote, project, &folder, &contents).await;
            let busy = busy.or_else(|| is_swept(&contents, remote.bounds.dead).then_some(SWEEPING));
            return Ok(summary(folder, &contents, &ours).map(|found| Unfinished { busy, ..found }));
        }
        let idle = idle_since(remote, project, &folder).await?;
        Ok::<_, StorageError>(idle.map(|since| Unfinished {
            folder,
            files: 0,
            unproven: 0,
            bytes: 0,
            touched: Some(since),
            begun: false,
            busy,
        }))
    });
    let mut found: Vec<Unfinished> =
        futures::stream::iter(looked).buffered(LANES).filter_map(|one| async { one.transpose() }).try_collect().await?;
    found.sort_by_key(|one| one.folder.to_string());
    Ok(found)
}

fn summary(folder: Folder, contents: &[Meta], ours: &Ours) -> Option<Unfinished> {
    if contents.is_empty() || contents.iter().any(|meta| meta.key == key::MANIFEST) {
        return None;
    }
    // That somebody began to remove it makes it no younger.
    let others = contents.iter().filter(|meta| !key::is_sweep(&meta.key));
    let times: Option<Vec<_>> = others.map(|meta| meta.modified).collect();
    let files = contents.iter().filter(|meta| !key::is_mark(&meta.key));
    let taken = taken_at(contents);
    Some(Unfinished {
        folder,
        files: files.clone().count(),
        unproven: ours.lacks(contents),
        bytes: files.map(|meta| meta.size).sum(),
        touched: times.and_then(|times| times.into_iter().max()),
        begun: contents.iter().filter(|meta| !key::is_sweep(&meta.key)).all(|meta| was_taken(meta, taken))
            && taken.is_some(),
        busy: None,
    })
}

/// Whether a publish of this machine has to do with a folder, or had so not long ago.
fn is_sent_to(remote: &Remote, project: &ProjectName, folder: &Folder) -> bool {
    let (place, whole) = (remote.service.place(), key::object_folder(project, folder));
    journal::is_in_use(remote.journals.as_deref(), &place, &whole, remote.bounds.old)
}

/// Whether a prune said there that it takes the rest away, so lately that it may be at it: by this machine's clock, which
/// whoever removes something does not trust.
fn is_swept(contents: &[Meta], dead: Duration) -> bool {
    let now = Timestamp::now();
    let mut said = contents.iter().filter(|meta| key::is_sweep(&meta.key)).filter_map(|meta| meta.modified);
    said.any(|then| age(now, then) <= dead)
}

/// When a prune said that it takes away what was published there.
fn taken_at(contents: &[Meta]) -> Option<Timestamp> {
    contents.iter().filter(|meta| key::is_taken(&meta.key)).filter_map(|meta| meta.modified).max()
}

/// Whether something was there when that was said. A publisher's hold is never: services tell whole seconds.
fn was_taken(meta: &Meta, taken: Option<Timestamp>) -> bool {
    !key::is_mark(&meta.key) && meta.modified.zip(taken).is_some_and(|(written, taken)| written <= taken)
}

/// Since when nothing was done in a folder in which only folders lie, by their own times; `None` where a file lies in it,
/// where there is none, and where services keep no such folders or tell no times of them.
async fn idle_since(
    remote: &Remote,
    project: &ProjectName,
    folder: &Folder,
) -> Result<Option<Timestamp>, StorageError> {
    let prefix = key::object_folder(project, folder);
    let whole = prefix.trim_end_matches('/');
    let wrong = |fault| remote.fault("look at", whole, fault);
    // Listed first: should it be removed and made anew after this, whoever removes it put a mark there after this.
    let below = remote.service.list(whole, true).await.map_err(wrong)?;
    if below.iter().any(|meta| !meta.folder) {
        return Ok(None);
    }
    let Some(own) = remote.service.folder(whole).await.map_err(wrong)? else { return Ok(None) };
    let times: Option<Vec<Timestamp>> = below.into_iter().chain([own]).map(|meta| meta.modified).collect();
    Ok(times.and_then(|times| times.into_iter().max()))
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
    with_foreign: bool,
    progress: &dyn Progress,
) -> Result<Swept, StorageError> {
    if is_sent_to(remote, project, folder) {
        return Ok(Swept::Left(SENDING.to_owned()));
    }
    // What has arrived of half-sent files lies in no folder.
    leftovers::of_the_forgotten(remote).await;
    let whole = key::object_folder(project, folder);
    let sweep = Sweep { remote, project, folder, whole: &whole, with_foreign, progress };
    for _ in 0..ROUNDS {
        if let Round::Over(swept) = sweep.round().await? {
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
    /// Also what nothing proves to be ours.
    with_foreign: bool,
    progress: &'a dyn Progress,
}

impl Sweep<'_> {
    async fn round(&self) -> Result<Round, StorageError> {
        let gone = || Ok(Round::Over(Swept::Left("it is gone".to_owned())));
        let since = Since::now();
        let mut idle = None;
        if self.remote.contents(self.project, self.folder).await?.is_empty() {
            idle = idle_since(self.remote, self.project, self.folder).await?;
            if idle.is_none() {
                return gone();
            }
        }
        let mark = key::sweep(self.project, self.folder);
        match put_mark(self.remote, &mark).await {
            Ok(()) => {}
            Err(Fault::NotFound) => return gone(),
            Err(fault) => return Err(self.remote.fault("write", &mark, fault)),
        }
        let done = if idle.is_some() && since.elapsed() >= self.remote.bounds.pause {
            // It may be another folder of that name by now, which somebody made a moment ago.
            Ok(Round::Over(Swept::Left("it took long to say that it is removed".to_owned())))
        } else {
            self.under(&mark, since, idle).await
        };
        if !matches!(done, Ok(Round::Over(Swept::Gone { .. })))
            && let Err(fault) = self.remote.service.remove(&mark).await
        {
            // Publishers pass it by after a while, and so does the next prune.
            tracing::info!(%fault, mark, "a mark stays");
        }
        done
    }

    /// Judges and removes, while our mark is there.
    async fn under(&self, mark: &str, since: Since, idle: Option<Timestamp>) -> Result<Round, StorageError> {
        // Whoever listed the folder just before the mark was there has put a hold there after this.
        tokio::time::sleep(self.remote.bounds.pause).await;
        let contents = self.remote.contents(self.project, self.folder).await?;
        let name = mark.strip_prefix(self.whole).unwrap_or(mark);
        let doomed = match self.judge(name, contents, idle) {
            Ok(doomed) => doomed,
            Err(why) => return Ok(Round::Over(Swept::Left(why.to_owned()))),
        };
        if !self.with_foreign {
            let unproven = Ours::of(self.remote, self.project, self.folder, &doomed).await.lacks(&doomed);
            let files = doomed.iter().filter(|meta| !key::is_mark(&meta.key)).count();
            if let Some(why) = prune::unproven(unproven, files) {
                return Ok(Round::Over(Swept::Left(why.to_owned())));
            }
        }
        // By these it is known that the others may go.
        let (last, doomed): (Vec<Meta>, Vec<Meta>) = doomed.into_iter().partition(|meta| key::is_taken(&meta.key));
        if !self.remove_files(doomed, since).await? {
            return Ok(Round::Again);
        }
        let last: Vec<&str> = last.iter().map(|meta| &*meta.key).chain([name]).collect();
        self.remove_rest(&last, since).await
    }

    /// What is to be removed; or why nothing is.
    fn judge(&self, mark: &str, contents: Vec<Meta>, idle: Option<Timestamp>) -> Result<Vec<Meta>, &'static str> {
        const WRITING: &str = "somebody is writing to it";
        let bounds = &self.remote.bounds;
        let ours = contents.iter().find(|meta| meta.key == mark).ok_or("the storage's listings lag behind")?;
        let now = ours.modified.ok_or(prune::TIMELESS)?;
        let taken = taken_at(&contents);
        let doomed: Vec<Meta> = contents.into_iter().filter(|meta| meta.key != mark).collect();
        for meta in &doomed {
            if meta.key == key::MANIFEST {
                return Err("it is published meanwhile");
            }
            let age = age(now, meta.modified.ok_or(prune::TIMELESS)?);
            if key::is_sweep(&meta.key) && age <= bounds.dead {
                return Err(SWEEPING);
            }
            if !key::is_sweep(&meta.key) && age < bounds.old && !was_taken(meta, taken) {
                return Err(WRITING);
            }
        }
        match idle {
            Some(idle) if doomed.is_empty() && age(now, idle) < bounds.old => Err(WRITING),
            None if doomed.is_empty() => Err("it is gone"),
            _ => Ok(doomed),
        }
    }

    /// Removes exactly these; `false` when the time was over first, or the service asked for a pause, after which it is looked
    /// anew.
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
            let Some(removed) = at_once(self.remote, since, self.remote.service.remove_made(made)).await else {
                return Ok(false);
            };
            removed.map(|()| true).map_err(|fault| self.remote.fault("remove", &key, fault))
        });
        futures::stream::iter(removals).buffer_unordered(LANES).try_all(|done| async move { done }).await
    }

    /// The folders, and last the folder itself with these marks, of which ours is the last, as long as nothing else is in it.
    async fn remove_rest(&self, marks: &[&str], since: Since) -> Result<Round, StorageError> {
        let folder = self.whole.trim_end_matches('/');
        let wrong = |fault| self.remote.fault("remove", folder, fault);
        let rest = self.remote.contents(self.project, self.folder).await?;
        let is_known = |meta: &Meta| marks.contains(&&*meta.key);
        if rest.iter().any(|meta| !key::is_mark(&meta.key) || key::is_sweep(&meta.key) && !is_known(meta)) {
            return Ok(Round::Over(Swept::Left("somebody is writing to it".to_owned())));
        }
        for below in self.remote.folders_below(folder).await? {
            if since.elapsed() >= self.remote.bounds.work {
                return Ok(Round::Again);
            }
            let below = format!("{}{below}", self.whole);
            match at_once(self.remote, since, self.remote.service.remove_folder(&below)).await {
                Some(removed) => {
                    removed.map_err(wrong)?;
                }
                None => return Ok(Round::Again),
            }
        }
        if since.elapsed() >= self.remote.bounds.work {
            return Ok(Round::Again);
        }
        let Some(removed) = at_once(self.remote, since, self.remote.service.remove_folder(folder)).await else {
            return Ok(Round::Again);
        };
        match removed {
            Ok(removed) => Ok(Round::Over(Swept::Gone { freed: removed.freed })),
            // A publisher was as quick as to put something into the empty folder, which stays then.
            Err(_) if !self.is_there(marks).await? => Ok(Round::Over(Swept::Gone { freed: true })),
            Err(fault) => Err(wrong(fault)),
        }
    }

    async fn is_there(&self, marks: &[&str]) -> Result<bool, StorageError> {
        let contents = self.remote.contents(self.project, self.folder).await?;
        Ok(contents.iter().any(|meta| marks.contains(&&*meta.key)))
    }
}

#[cfg(test)]
mod tests;

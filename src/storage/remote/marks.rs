//! Who may trust and who may remove what a broken-off publish left in a folder: each says so there first, and looks then.
//!
//! A publisher that finds something puts a *hold* into the folder and lists it after that; a pruner puts a *sweep* and
//! lists after that. Whatever the order, at least one of the two sees the other: the pruner that sees a hold, or anything
//! else that is young, withdraws with nothing removed; the publisher that sees a sweep waits until it is gone, and begins
//! anew with what is there then. Neither trusts clocks of two machines: ages are differences of times that the storage
//! itself tells.
//!
//! A sweep at the manifest's own name, refused by create-only writing, would not be enough: it may come and go between a
//! publisher's listing and its manifest, which would then name files that are gone.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use jiff::Timestamp;

use super::Remote;
use crate::id::ProjectName;
use crate::storage::backend::{Fault, Meta};
use crate::storage::{Folder, Progress, StorageError, key};

/// Looks at a folder in which a mark of ours cannot be seen, though it was put there.
const LOOKS: u32 = 8;
/// Marks of ours that vanished, each with a folder that somebody removed.
const MARKS: u32 = 100;
const DAY: Duration = Duration::from_hours(24);
/// Who was stopped, or failed, waits no longer than this for its marks to go.
const LEAVING: Duration = Duration::from_secs(3);

/// How long what takes, and how much waits. The program uses the defaults.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// What nobody wrote to for so long is of nobody any more: services keep half-sent files for a week.
    pub old: Duration,
    /// A pruner takes its sweep away after this, and begins anew if need be.
    pub work: Duration,
    /// A sweep that is there for so long is of a pruner that died. Far more than `work` and one request.
    pub dead: Duration,
    /// What a publisher found to be there it looks for again after this, before it names it.
    pub fresh: Duration,
    /// Between two looks at what another one does.
    pub pause: Duration,
    /// Where names are not exclusive: a publisher that sees another one at work looks so long whether its manifest shows.
    pub rival: Duration,
    /// Bytes that are sent and not visible yet, where files become visible in batches, before a batch is begun.
    pub unseen: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            old: 7 * DAY,
            work: Duration::from_mins(4),
            dead: Duration::from_mins(15),
            fresh: DAY,
            pause: Duration::from_millis(1500),
            rival: Duration::from_secs(20),
            unseen: 256 * 1024 * 1024,
        }
    }
}

/// Counts time, that in which the machine slept too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since(Instant, SystemTime);

impl Since {
    pub(super) fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    pub(super) fn elapsed(self) -> Duration {
        self.0.elapsed().max(self.1.elapsed().unwrap_or_default())
    }
}

/// How much older `then` is than `now`, both told by the storage; nothing for what is younger.
pub(super) fn age(now: Timestamp, then: Timestamp) -> Duration {
    now.duration_since(then).try_into().unwrap_or_default()
}

/// Holds that one publish has put and not taken away yet: they go when it ends, however it does, unless it is killed.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<BTreeSet<String>>);

impl Marks {
    fn change<T>(&self, change: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is there stays until it is old: what it holds may be needed yet.
    pub(super) fn leave(&self) {
        self.change(BTreeSet::clear);
    }

    /// Takes away what is left of them.
    pub(super) async fn clear(&self, remote: &Remote) {
        let left = self.change(std::mem::take);
        let going = left.iter().map(|mark| remote.service.remove(mark));
        let Ok(gone) = tokio::time::timeout(LEAVING, futures::future::join_all(going)).await else {
            tracing::info!("marks stay: the service does not answer");
            return;
        };
        gone.into_iter().filter_map(Result::err).for_each(|fault| tracing::info!(%fault, "a mark stays"));
    }
}

/// A publisher's hold on a folder.
pub(super) struct Hold {
    /// Its mark; none where nothing was found that could be trusted, or removed.
    mark: Option<String>,
    since: Since,
    /// Whether somebody else's sweep was met.
    pub(super) met: bool,
    /// Whether the folder was made for the mark, where services tell who made it.
    pub(super) made: bool,
}

impl Hold {
    /// Lists what lies in the folder, its keys relative to it and without marks, when nobody removes it, and keeps others
    /// from beginning to, with one of `marks`. `whatever`: also where nothing lies there.
    pub(super) async fn take(
        remote: &Remote,
        project: &ProjectName,
        folder: &Folder,
        whatever: bool,
        marks: &Marks,
        progress: &dyn Progress,
    ) -> Result<(Vec<Meta>, Self), StorageError> {
        let mut taking = Taking { remote, project, folder, marks, progress, seen: HashMap::new(), met: false };
        for _ in 0..MARKS {
            let since = Since::now();
            let empty = remote.contents(project, folder).await?.is_empty();
            if empty && !whatever && !taking.stands().await? {
                return Ok((Vec::new(), Self { mark: None, since, met: taking.met, made: false }));
            }
            // The mark would make it too, and nobody could tell then who did.
            let made = empty && taking.make().await?;
            let Some(mark) = taking.put().await? else { continue };
            if let Some(contents) = taking.look(&mark).await? {
                let contents = contents.into_iter().filter(|meta| !key::is_mark(&meta.key)).collect();
                return Ok((contents, Self { mark: Some(mark), since, met: taking.met, made }));
            }
        }
        let whole = key::object_folder(project, folder);
        Err(remote.fault("hold", &whole, Fault::Broken("it is removed again and again".to_owned())))
    }

    /// Whether what was found when it was taken, and was made since, can still be trusted.
    pub(super) async fn standing(&self, remote: &Remote) -> Result<Standing, StorageError> {
        if let Some(mark) = &self.mark {
            let there = remote.service.stat(mark).await.map_err(|fault| remote.fault("look at", mark, fault))?;
            if there.is_none() {
                return Ok(Standing::Lost);
            }
        }
        Ok(if self.since.elapsed() > remote.bounds.fresh { Standing::Aged } else { Standing::Firm })
    }

    /// Its mark.
    pub(super) fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// Not needed any more. Should it stay, it is removed with the next publish, or when it is old.
    pub(super) async fn release(self, remote: &Remote, marks: &Marks) {
        let Some(mark) = &self.mark else { return };
        match remote.service.remove(mark).await {
            Ok(()) => drop(marks.change(|marks| marks.remove(mark))),
            Err(fault) => tracing::info!(%fault, mark, "a mark stays"),
        }
    }
}

/// How good a hold still is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Firm,
    /// It is so long ago that others may take the folder for one of nobody soon.
    Aged,
    /// Somebody removed it, and maybe more.
    Lost,
}

struct Taking<'a> {
    remote: &'a Remote,
    project: &'a ProjectName,
    folder: &'a Folder,
    marks: &'a Marks,
    progress: &'a dyn Progress,
    /// Sweeps of others, and since when they are there.
    seen: HashMap<String, Instant>,
    met: bool,
}

impl Taking<'_> {
    /// Makes the folder; whether nobody did before.
    async fn make(&self) -> Result<bool, StorageError> {
        let whole = key::object_folder(self.project, self.folder);
        let made = self.remote.service.own_folder(whole.trim_end_matches('/')).await;
        Ok(made.map_err(|fault| self.remote.fault("make the folder", &whole, fault))? == Some(true))
    }

    /// Whether there is a folder without files, which a pruner may be about to remove.
    async fn stands(&self) -> Result<bool, StorageError> {
        let whole = key::object_folder(self.project, self.folder);
        let there = self.remote.service.folder(whole.trim_end_matches('/')).await;
        there.map(|there| there.is_some()).map_err(|fault| self.remote.fault("look at", &whole, fault))
    }

    /// Puts a mark; `None` where the folder vanished at that moment.
    async fn put(&self) -> Result<Option<String>, StorageError> {
        let mark = key::hold(self.project, self.folder);
        // Should this be stopped half-way, nobody knows whether it is there.
        self.marks.change(|marks| marks.insert(mark.clone()));
        match put_mark(self.remote, &mark).await {
            Ok(()) => Ok(Some(mark)),
            Err(Fault::NotFound) => {
                self.begin_anew().await;
                Ok(None)
            }
            Err(fault) => Err(self.remote.fault("write", &mark, fault)),
        }
    }

    /// Looks until nobody sweeps; `None` when the mark went with the folder.
    async fn look(&mut self, mark: &str) -> Result<Option<Vec<Meta>>, StorageError> {
        let prefix = key::object_folder(self.project, self.folder);
        let name = mark.strip_prefix(&prefix).unwrap_or(mark);
        let mut looks = 0;
        loop {
            let contents = self.remote.contents(self.project, self.folder).await?;
            let ours = contents.iter().find(|meta| meta.key == name).cloned();
            let lives = self.living(&prefix, &contents, ours.as_ref()).await?;
            if let Some(sweep) = lives {
                self.wait(&sweep).await;
                continue;
            }
            let gone = ours.is_none() && {
                let there = self.remote.service.stat(mark).await;
                there.map_err(|fault| self.remote.fault("look at", mark, fault))?.is_none()
            };
            if gone {
                self.begin_anew().await;
                return Ok(None);
            }
            // A listing that lags behind our own mark may do so behind that of another.
            looks += 1;
            if ours.is_some() || looks == LOOKS {
                return Ok(Some(contents));
            }
            tokio::time::sleep(self.remote.bounds.pause).await;
        }
    }

    /// A sweep of somebody who lives. Those of the dead are removed: each has a name of its own, so nobody's else is hit.
    async fn living(
        &mut self,
        prefix: &str,
        contents: &[Meta],
        ours: Option<&Meta>,
    ) -> Result<Option<String>, StorageError> {
        let dead = self.remote.bounds.dead;
        for sweep in contents.iter().filter(|meta| key::is_sweep(&meta.key)) {
            let seen = self.seen.entry(sweep.key.clone()).or_insert_with(Instant::now).elapsed();
            let told = ours.and_then(|ours| ours.modified).zip(sweep.modified).map(|(now, then)| age(now, then));
            if seen.max(told.unwrap_or_default()) <= dead {
                return Ok(Some(sweep.key.clone()));
            }
            let key = format!("{prefix}{}", sweep.key);
            self.remote.service.remove(&key).await.map_err(|fault| self.remote.fault("remove", &key, fault))?;
            tracing::info!(key, "was of a prune that died");
        }
        Ok(None)
    }

    async fn wait(&mut self, sweep: &str) {
        if !self.met {
            tracing::info!(sweep, "a prune removes what an earlier publish left");
        }
        self.met = true;
        self.progress.waits("for `prune`, which removes what an earlier try left in this folder");
        tokio::time::sleep(self.remote.bounds.pause).await;
    }

    /// Who removes a folder has removed all of it a moment after it looks so.
    async fn begin_anew(&self) {
        tokio::time::sleep(self.remote.bounds.pause).await;
        let whole = key::object_folder(self.project, self.folder);
        self.remote.service.forget_folder(whole.trim_end_matches('/')).await;
    }
}

/// Puts a mark, whose name is of nobody else: a failure that nobody knows the end of is tried again.
pub(super) async fn put_mark(remote: &Remote, mark: &str) -> Result<(), Fault> {
    let words = Bytes::from_static(b"written by soopervisor while it publishes or prunes; of no use afterwards");
    put_saying(remote, mark, words).await
}

/// As [`put_mark`], with something in it that its reader is to know.
pub(super) async fn put_saying(remote: &Remote, mark: &str, words: Bytes) -> Result<(), Fault> {
    let mut tries = 0;
    loop {
        match remote.service.put(mark, words.clone()).await {
            // A first try that was carried out without an answer.
            Ok(_) => return Ok(()),
            Err(fault) if fault.is_passing() && tries < 2 => tries += 1,
            Err(fault) => return Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::stores::ObjectStore;

    const FOLDER: &str = "0123456789abcdef0123456789abcdef01234567";

    async fn held(remote: &Remote, marks: &Marks) -> Hold {
        let (project, folder) = ("demo".parse().unwrap(), FOLDER.parse().unwrap());
        Hold::take(remote, &project, &folder, true, marks, &()).await.unwrap().1
    }

    async fn left(remote: &Remote) -> usize {
        remote.contents(&"demo".parse().unwrap(), &FOLDER.parse().unwrap()).await.unwrap().len()
    }

    #[tokio::test]
    async fn who_ends_without_letting_go_leaves_a_mark_only_where_it_is_needed() {
        let remote = Remote::new(Arc::new(ObjectStore::memory().unwrap()), None);
        let marks = Marks::default();
        held(&remote, &marks).await.release(&remote, &marks).await;
        assert_eq!(left(&remote).await, 0);
        // Stopped or failed, some of them with an old hold and a new one.
        for many in [1, 2] {
            for _ in 0..many {
                drop(held(&remote, &marks).await);
            }
            assert_eq!(left(&remote).await, many);
            marks.clear(&remote).await;
            assert_eq!(left(&remote).await, 0);
        }
        // Its manifest may be on its way.
        drop(held(&remote, &marks).await);
        marks.leave();
        marks.clear(&remote).await;
        assert_eq!(left(&remote).await, 1);
    }

    #[tokio::test]
    async fn who_finds_a_folder_without_files_says_so_too() {
        let place = tempfile::tempdir().unwrap();
        let remote = Remote::new(Arc::new(ObjectStore::folder(place.path().to_owned()).unwrap()), None);
        let (project, folder) = ("demo".parse().unwrap(), FOLDER.parse().unwrap());
        let marks = Marks::default();
        let (_, hold) = Hold::take(&remote, &project, &folder, false, &marks, &()).await.unwrap();
        assert_eq!((hold.mark, left(&remote).await), (None, 0), "in a new folder nobody needs to");
        std::fs::create_dir_all(place.path().join("demo").join(FOLDER)).unwrap();
        let (contents, hold) = Hold::take(&remote, &project, &folder, false, &marks, &()).await.unwrap();
        assert_eq!((contents.len(), left(&remote).await), (0, 1));
        hold.release(&remote, &marks).await;
        assert_eq!(left(&remote).await, 0);
    }
}

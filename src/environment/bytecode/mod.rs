//! Bytecode: compiled once for each package and Python, in the background, and hard-linked into every environment.
//!
//! A prefix is read-only where it is used, so Python cannot keep what it compiles; without this, every process would
//! compile all that it imports. Nobody waits for it: what is on the shelf is linked while a prefix is built, the rest is
//! compiled by an errand that may outlive us and is linked by whoever comes by. Linking adds files to a published
//! prefix, one whole file at a time, and changes none.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::bench::Bench;
use super::{EnvironmentError, Prepared, Store};
use crate::engine::Engine;
use crate::id::RunId;
use job::Job;
use origin::{Group, Python};
use shelf::Shelf;

mod job;
mod origin;
mod shelf;

/// Beside a prefix's records, without their ending: how far its bytecode is.
const STATE: &str = "conda-meta/soopervisor-bytecode";
/// Held by whoever works on it.
const LOCK: &str = "conda-meta/soopervisor-bytecode.lock";
/// Errands in a row that brought nothing new, after which a prefix is left as it is.
const VAIN: u32 = 3;
/// So few files that a prefix has for itself, such as those with its path in them, are worth no container of their own.
const FEW: usize = 40;
/// Between two looks at an errand.
const PAUSE: Duration = Duration::from_secs(2);
/// But so many times what the look took, where a prefix has thousands of files: the pipeline wants the processors.
const REST: u32 = 50;
/// And no longer than this.
const LONGEST: Duration = Duration::from_mins(2);
/// Between two looks whether there is room for one.
const QUEUE: Duration = Duration::from_secs(15);

/// All of it below the store.
pub(super) fn folder(store: &Path) -> PathBuf {
    store.join("bytecode")
}

fn jobs(store: &Path) -> PathBuf {
    folder(store).join("jobs")
}

/// uv's unpacked wheels, by the name that its cache has for them. Under another name nothing is found there, and each
/// prefix has bytecode of its own.
pub(super) fn wheels(store: &Path) -> PathBuf {
    store.join("bench/shared/uv/archive-v0")
}

/// How far a prefix is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Files that were linked.
    linked: usize,
    /// Sources that wait to be compiled.
    missing: usize,
    /// Errands since the last progress.
    vain: u32,
}

impl State {
    /// What is noted in a prefix; nothing where it was never looked at.
    pub(super) fn of(prefix: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(prefix.join(STATE)).ok()?).ok()
    }

    /// Whether there is nothing left to do.
    pub(super) fn is_settled(self) -> bool {
        self.missing == 0 || self.vain >= VAIN
    }

    /// Whether processes had better keep bytecode of their own: Python takes it from one place only.
    pub(super) fn is_mostly_missing(self) -> bool {
        self.missing > self.linked
    }

    fn note(self, prefix: &Path) -> io::Result<()> {
        let path = prefix.join(STATE);
        let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(prefix))?;
        serde_json::to_writer(&mut file, &self)?;
        file.persist(path).map(drop).map_err(|error| error.error)
    }
}

/// While a prefix is built: links what is on the shelf. No environment fails for it, except for a full disk.
pub(super) fn link_known(store: &Path, bench: &Bench, id: &str) -> Result<(), EnvironmentError> {
    match settle(store, &bench.prefix, id, Errands::default()) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            Err(EnvironmentError::io(&bench.prefix, "linking bytecode", error))
        }
        Err(error) => {
            tracing::debug!(%error, "bytecode was not linked");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// What is known of errands for a prefix.
#[derive(Debug, Clone, Copy, Default)]
struct Errands {
    /// One is at work.
    working: bool,
    /// One has ended since the last look.
    ended: bool,
}

/// Links what can be linked and notes what is missing; returns it.
fn settle(store: &Path, prefix: &Path, id: &str, errands: Errands) -> io::Result<(State, Vec<Group>)> {
    let mut state = State { missing: 0, ..State::of(prefix).unwrap_or_default() };
    let Some(python) = Python::of(prefix) else {
        state.note(prefix)?;
        return Ok((state, Vec::new()));
    };
    let shelf = Shelf::of(store, &python.tag);
    let before = state.linked;
    let mut open = Vec::new();
    for group in origin::groups(store, prefix, id, &python)? {
        if shelf.has(&group.name) {
            state.linked += shelf.link(&group, prefix)?;
        } else {
            state.missing += group.files.len();
            open.push(group);
        }
    }
    if !errands.working && state.missing < FEW && open.iter().all(Group::is_own) {
        state.missing = 0;
        open.clear();
    }
    state.vain = if state.linked > before { 0 } else { state.vain + u32::from(errands.ended) };
    state.note(prefix)?;
    Ok((state, open))
}

/// Errands that may be at work for a store at once: half of the processors, one at least. They have few shares, but
/// memory and disk of their own.
fn most() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}

/// Leave to send one more, as long as it is held; none while as many are at work as may be. Who has none asks again, or
/// leaves it to the next run.
fn leave(store: &Path, most: usize) -> io::Result<Option<File>> {
    std::fs::create_dir_all(jobs(store))?;
    let lock = File::open(jobs(store))?;
    if lock.try_lock().is_err() {
        return Ok(None);
    }
    let working = Job::all(store, None)?.iter().filter(|job| job.is_alive()).count();
    Ok((working < most).then_some(lock))
}

/// Prefixes that an errand works with.
pub(super) fn in_use(store: &Path) -> Vec<String> {
    let jobs = Job::all(store, None).unwrap_or_default();
    jobs.into_iter().filter(Job::is_alive).map(|job| job.id()).collect()
}

/// Moves errands that are still at work out of the store, into a folder beside it: their containers go on there, what
/// they finish is lost, and below `store` nothing changes any more.
pub(super) fn set_aside(store: &Path) -> io::Result<()> {
    let working = Job::all(store, None)?.into_iter().filter(Job::is_alive);
    for job in working {
        let mut aside = store.as_os_str().to_owned();
        aside.push("-unfinished");
        std::fs::create_dir_all(&aside)?;
        job.move_to(Path::new(&aside))?;
    }
    Ok(())
}

/// Removes what dead errands left, when their prefix is not known any more. What is finished is kept.
pub(super) fn clear(store: &Path, is_known: impl Fn(&str) -> bool) {
    for job in Job::all(store, None).unwrap_or_default() {
        if !job.is_alive() && !is_known(&job.id()) {
            let _ = job.take_in(store);
            job.remove();
        }
    }
}

/// What is done for a published prefix while, and after, a run uses it.
pub struct Chore {
    /// Where it all is.
    pub store: Store,
    /// The environment; held for as long as this works.
    pub prepared: Prepared,
    /// Runs the errand.
    pub engine: Arc<dyn Engine>,
    /// Any image with glibc.
    pub image: String,
    /// The user of containers.
    pub user: (u32, u32),
    /// The run that sends it.
    pub run: RunId,
}

/// What a look at a prefix says.
enum Next {
    Nothing,
    Wait(Duration),
    Send(Job),
}

impl Chore {
    /// Links what is finished and has the rest compiled, until there is nothing left. May be dropped at any moment:
    /// the next run goes on with it. Never fails, as nothing depends on it.
    pub async fn run(self) {
        let chore = Arc::new(self);
        loop {
            let (looking, since) = (Arc::clone(&chore), Instant::now());
            let next = match tokio::task::spawn_blocking(move || looking.look()).await {
                Ok(Ok(next)) => next,
                Ok(Err(error)) => return tracing::debug!(%error, "bytecode is left as it is"),
                Err(_) => return,
            };
            let rest = (since.elapsed() * REST).min(LONGEST);
            let pause = match next {
                Next::Nothing => return,
                Next::Wait(pause) => pause,
                Next::Send(job) => {
                    if let Err(error) = chore.engine.send(&job.errand(&chore)).await {
                        tracing::debug!(%error, "nothing is compiled in the background");
                        return job.remove();
                    }
                    PAUSE
                }
            };
            tokio::time::sleep(pause.max(rest)).await;
        }
    }

    /// One look, by one process at a time.
    fn look(&self) -> io::Result<Next> {
        let (store, prefix) = (&self.store.root, &self.prepared.host_prefix);
        let Some(id) = prefix.file_name().and_then(|name| name.to_str()) else { return Ok(Next::Nothing) };
        let lock = File::options().create(true).truncate(false).write(true).open(prefix.join(LOCK))?;
        if lock.try_lock().is_err() {
            return Ok(Next::Nothing);
        }
        // Asked before its results are taken in: what it finishes in between is for the next look.
        let jobs = Job::all(store, Some(id))?;
        let (alive, dead): (Vec<_>, Vec<_>) = jobs.into_iter().partition(Job::is_alive);
        for job in alive.iter().chain(&dead) {
            job.take_in(store)?;
        }
        let errands = Errands { working: !alive.is_empty(), ended: !dead.is_empty() };
        let (state, open) = settle(store, prefix, id, errands)?;
        dead.iter().for_each(Job::remove);
        if open.is_empty() {
            return Ok(Next::Nothing);
        }
        if !alive.is_empty() {
            return Ok(Next::Wait(PAUSE));
        }
        if state.is_settled() {
            return Ok(Next::Nothing);
        }
        let Some(python) = Python::of(prefix) else { return Ok(Next::Nothing) };
        // From its preparation on it is counted by others.
        let Some(_leave) = leave(store, most())? else { return Ok(Next::Wait(QUEUE)) };
        let job = Job::prepare(store, id, &self.prepared.guest_prefix, &python, &open, self.user)?;
        Ok(Next::Send(job))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job that was asked for a moment ago.
    fn asked(store: &Path, name: &str) -> PathBuf {
        let folder = jobs(store).join(name);
        std::fs::create_dir_all(folder.join("files")).unwrap();
        std::fs::write(folder.join("note.json"), "{}").unwrap();
        folder
    }

    #[test]
    fn no_more_errands_are_at_work_for_a_store_than_may_be_whatever_prefixes_they_are_for() {
        let store = tempfile::tempdir().unwrap();
        let leave = |most| leave(store.path(), most).unwrap();
        let first = leave(1).expect("nobody works");
        assert!(leave(1).is_none(), "another process is about to send one");
        drop(first);
        let one = asked(store.path(), "one.x");
        assert!(leave(1).is_none() && leave(2).is_some());
        let _two = asked(store.path(), "two.y");
        assert!(leave(2).is_none());
        std::fs::write(one.join("files/end"), "").unwrap();
        assert!(leave(2).is_some(), "one has ended");
    }

    #[test]
    fn of_many_processes_that_want_to_send_one_at_once_as_many_do_as_may() {
        let store = tempfile::tempdir().unwrap();
        let sent: usize = std::thread::scope(|scope| {
            let send = |number: usize| {
                let store = store.path();
                move || {
                    let Some(_leave) = leave(store, 2).unwrap() else { return 0 };
                    asked(store, &format!("{number}.x"));
                    1
                }
            };
            let threads: Vec<_> = (0..50).map(|number| scope.spawn(send(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((1..=2).contains(&sent), "{sent}");
        assert!(most() >= 1);
    }
}

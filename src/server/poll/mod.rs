//! The poller: reads the refs of every watched repository with git's own protocol, and writes what changed together with
//! its event.
//!
//! Polling is the truth; a webhook only says that now is a good time ([`Poller::wake`]). Nothing is fetched here but
//! names and ids, and nothing is run.

pub mod answer;
pub mod fault;
mod memory;
pub mod pace;
mod paths;
pub mod pktline;
pub mod reading;
pub mod spawned;
pub mod state;
mod turn;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc};
use url::Url;

use self::answer::Refs;
use self::fault::Fault;
use self::memory::{Mark, Memory, Times};
use self::pace::Host;
use self::reading::{Credential, Password, Reader, Reading, Trace};
use self::state::{Between, FirstSeen, Forced, Paths};
use crate::id::CommitSha;
use crate::server::event::Kind;
use crate::server::file::{Commits, File};
use crate::server::hook::meaning::Hint;
use crate::server::metrics::Metrics;
use crate::server::room;
use crate::server::work::checkout::{between, thrown_away};
use crate::store::database::{Applied, Asked, Database, DatabaseError, KnownRef, NewEvent, RefChange, Repo};
use crate::web;

/// Commits of one change that are told at most, the newest ones.
const CAP: usize = 20;

/// Where a repository is.
#[derive(Debug, Clone)]
pub enum Address {
    /// Reached by our own client.
    Http(Url, Option<Credential>),
    /// Reached by git: SSH, with a deploy key where one is set, or a folder.
    Git(String, Option<PathBuf>),
}

impl Address {
    /// As written, without credentials.
    pub fn text(&self) -> String {
        match self {
            Self::Http(url, _) => {
                let mut url = url.clone();
                let _ = url.set_username("").and_then(|()| url.set_password(None));
                url.to_string()
            }
            Self::Git(text, _) => text.clone(),
        }
    }

    fn host(&self) -> String {
        let of_ssh = |text: &str| {
            let bare = text.strip_prefix("ssh://").unwrap_or(text);
            let bare = bare.rsplit_once('@').map_or(bare, |(_, bare)| bare);
            bare.split([':', '/']).next().unwrap_or_default().to_owned()
        };
        match self {
            Self::Http(url, _) => url.host_str().unwrap_or_default().to_owned(),
            Self::Git(text, _) => of_ssh(text),
        }
    }

    /// Who answers there: the host, and the port of its web server.
    pub(in crate::server) fn place(&self) -> String {
        match self {
            Self::Http(url, _) => format!("{}:{}", self.host(), url.port_or_known_default().unwrap_or_default()),
            Self::Git(..) => self.host(),
        }
    }

    /// The same, with a password that is good now: git is given one before it is started.
    ///
    /// # Errors
    /// When none can be had.
    pub(in crate::server) async fn at_hand(&self) -> Result<Self, web::Fault> {
        let Self::Http(url, Some(who)) = self else { return Ok(self.clone()) };
        let password = Password::Kept(who.password.now().await?);
        Ok(Self::Http(url.clone(), Some(Credential { user: who.user.clone(), password })))
    }

    /// Whether both lead to the same place as the same account.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one, own), Self::Http(two, others)) => {
                let same = |(own, other): (&Credential, &Credential)| own.is_like(other);
                one == two && own.is_some() == others.is_some() && own.as_ref().zip(others.as_ref()).is_none_or(same)
            }
            (Self::Git(one, own), Self::Git(two, others)) => one == two && own == others,
            _ => false,
        }
    }

    /// What shares a budget: the host and who asks.
    fn budget(&self) -> String {
        let who = match self {
            Self::Http(_, Some(who)) => who.password.name(),
            _ => "",
        };
        format!("{} {who}", self.host())
    }
}

/// One repository to read.
#[derive(Debug, Clone)]
pub struct Watch {
    /// Its number and name.
    pub repo: i64,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// Which refs: whole names or beginnings of names.
    pub prefixes: Vec<String>,
    /// How often, when the user says so.
    pub every: Option<Duration>,
    /// What the first reading tells.
    pub first_seen: FirstSeen,
    /// What is told when a branch moved by more than one commit.
    pub commits: Commits,
}

impl Watch {
    /// Whether a reading of both asks the same, of the same place, as often.
    fn reads_like(&self, other: &Self) -> bool {
        self.address.is_like(&other.address) && self.prefixes == other.prefixes && self.every == other.every
    }
}

/// How hard the poller may work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effort {
    /// Requests a second to one host with one credential.
    pub rate: f64,
    /// Readings at a time, in all.
    pub at_once: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { rate: 20.0, at_once: 64 }
    }
}

/// A reading that was not written.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// It failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// It could not be written.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Reads repositories; clones share everything.
#[derive(Clone)]
pub struct Poller {
    database: Database,
    reader: Reader,
    metrics: Metrics,
    effort: Effort,
    hosts: Arc<Mutex<HashMap<String, Host>>>,
    memory: Memory,
    /// Repositories whose last reading said that everything is gone.
    emptied: Arc<Mutex<HashSet<i64>>>,
    /// Why readings were not noted the last time.
    unnoted: Arc<Mutex<Option<String>>>,
    /// Is rung when an event was written.
    told: Arc<Notify>,
    /// Where copies of repositories are whose commits are told one by one, or asked about.
    copies: Option<PathBuf>,
    /// Whose handlers say what is asked about commits.
    file: Arc<Mutex<Option<Arc<File>>>>,
    waking: mpsc::UnboundedSender<i64>,
    woken: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<i64>>>,
}

impl Poller {
    /// A poller that has read nothing yet; it rings `told` when it wrote an event.
    pub fn new(database: Database, reader: Reader, metrics: Metrics, effort: Effort, told: Arc<Notify>) -> Self {
        let (waking, woken) = mpsc::unbounded_channel();
        Self {
            database,
            reader,
            metrics,
            effort,
            hosts: Arc::default(),
            memory: Memory::default(),
            emptied: Arc::default(),
            unnoted: Arc::default(),
            told,
            copies: None,
            file: Arc::default(),
            waking,
            woken: Arc::new(tokio::sync::Mutex::new(woken)),
        }
    }

    /// The same, which keeps copies of repositories below a folder where each commit is told, or a handler asks whether a
    /// push threw commits away, or what changed.
    #[must_use]
    pub fn copying(self, folder: PathBuf) -> Self {
        Self { copies: Some(folder), ..self }
    }

    /// From now on, what the handlers of this file ask about commits is found out, and nothing else.
    pub fn go_by(&self, file: Option<&Arc<File>>) {
        *locked(&self.file) = file.cloned();
    }

    /// Says that a repository is worth a reading now.
    pub fn wake(&self, repo: i64) {
        // Nobody polls any more: then nobody needs to be woken.
        let _ = self.waking.send(repo);
    }

    /// Reads one repository and writes what changed; what a webhook said of a change goes into its event. The budget of
    /// the host is the caller's to ask.
    ///
    /// # Errors
    /// When it could not be read, which is noted, or not be written.
    pub async fn read(&self, watch: &Watch, hint: Option<&Hint>) -> Result<Applied, PollError> {
        // Most readings bring nothing new, and are told from the others without the database. What is new is asked for
        // once more, after what is known of it was read.
        if hint.is_none() && self.memory.knows(watch.repo, Instant::now()) {
            let is_same = match self.asked(self.memory.trace(watch.repo), watch).await {
                Ok(None) => self.memory.is_as_before(watch.repo),
                Ok(Some(reading)) => {
                    self.memory.is_same(watch.repo, Mark::of(&reading, &watch.prefixes), reading.trace)
                }
                Err(fault) => return Err(self.failed(watch.repo, fault).await),
            };
            if is_same {
                return Ok(Applied::default());
            }
        }
        let repo = self.database.repo(&watch.name).await?;
        // Known before asking: what another reading writes meanwhile makes ours late, and late is dropped.
        let known = self.database.refs(repo.id).await?;
        let reading = match self.asked(None, watch).await {
            Ok(Some(reading)) => reading,
            // Nothing was named that it could be the same as.
            Ok(None) => return Ok(Applied::default()),
            Err(fault) => return Err(self.failed(repo.id, fault).await),
        };
        let seen = &reading.refs;
        self.believe(&repo, &known, seen).await?;
        self.follow(&repo, &reading).await?;
        let told = match self.told(watch, &repo, hint, &known, seen).await {
            Ok(told) => told,
            // Nothing of this reading is kept: the next one tells it all.
            Err(PollError::Fault(fault)) => return Err(self.failed(repo.id, fault).await),
            Err(error) => return Err(error),
        };
        let (before, now) = (repo.asked.as_deref(), &watch.prefixes[..]);
        let asked = (before != Some(now)).then_some(Asked { before, now });
        let is_told = seen.head.is_none() || repo.head == seen.head;
        if told.is_empty() && asked.is_none() && repo.first_seen.is_some() && repo.failures == 0 && is_told {
            let mark = Mark::of(&reading, &watch.prefixes);
            self.memory.keep(repo.id, mark, reading.trace, Times::of(&repo));
            // Noted with the others.
            self.memory.is_as_before(repo.id);
            return Ok(Applied::default());
        }
        let applied = self.database.apply(repo.id, seen.head.as_deref(), asked, &told).await?;
        if asked.is_some() && applied.late > 0 {
            // Nothing was written, and what another reading saw may be older.
            self.wake(repo.id);
        }
        if !applied.events.is_empty() {
            self.told.notify_one();
        }
        // When it changed, and whether another reading was first, the next one sees.
        self.memory.forget(repo.id);
        Ok(applied)
    }

    /// Notes that a reading failed; that comes back as the error that it is.
    async fn failed(&self, repo: i64, fault: Fault) -> PollError {
        self.memory.forget(repo);
        match self.database.reading_failed(repo, &fault.to_string()).await {
            Ok(_) => fault.into(),
            Err(error) => error.into(),
        }
    }

    /// Tells the database of readings that brought nothing new.
    async fn note(&self) {
        let unwritten = self.memory.unwritten();
        let fault = self.database.unchanged(&unwritten).await.err().map(|error| room::words(&error));
        // A disk is full for hours, and this comes at every turn.
        let before = std::mem::replace(&mut *locked(&self.unnoted), fault.clone());
        match fault {
            Some(error) if before.as_ref() != Some(&error) => {
                tracing::warn!(error, "not written that repositories were read");
            }
            None if before.is_some() => tracing::info!("written again that repositories are read"),
            _ => {}
        }
    }

    async fn believe(&self, repo: &Repo, known: &[KnownRef], seen: &Refs) -> Result<(), PollError> {
        if state::is_suspicious(known, seen) {
            // An ill server forgets everything; only one that says it twice is believed.
            if locked(&self.emptied).insert(repo.id) {
                let fault = Fault::Server("every ref is gone; the next reading decides".to_owned());
                return Err(self.failed(repo.id, fault).await);
            }
        } else {
            locked(&self.emptied).remove(&repo.id);
        }
        Ok(())
    }

    /// Notes where the repository is now, when its host says that it moved.
    async fn follow(&self, repo: &Repo, reading: &Reading) -> Result<(), DatabaseError> {
        if repo.moved == reading.moved {
            return Ok(());
        }
        if let Some(moved) = &reading.moved {
            tracing::warn!(repo = repo.name, "moved to {moved}: write the new address into the server's file");
        }
        self.database.moved(repo.id, reading.moved.as_deref()).await
    }

    /// What is to be told of a reading.
    async fn told(
        &self,
        watch: &Watch,
        repo: &Repo,
        hint: Option<&Hint>,
        known: &[KnownRef],
        seen: &Refs,
    ) -> Result<Vec<(RefChange, Option<NewEvent>)>, PollError> {
        let between = self.between(watch, hint, known, seen).await?;
        let forced = self.forced(watch, known, seen, &between).await?;
        let (prefixes, first_seen, none) = (&watch.prefixes[..], watch.first_seen, Paths::new());
        let told = state::Told { repo, prefixes, first_seen, hint, between: &between, forced: &forced, paths: &none };
        let paths = self.paths(watch, told, known, seen).await;
        Ok(state::Told { paths: &paths, ..told }.changes(known, seen, Timestamp::now()))
    }

    /// Which moves threw commits away; refs do not show it, so it is asked of the commits, where a handler wants to know.
    async fn forced(&self, watch: &Watch, known: &[KnownRef], seen: &Refs, between: &Between) -> Result<Forced, Fault> {
        let mut found = Forced::new();
        let Some(folder) = self.copies.as_ref().filter(|_| self.asks_for_forced(&watch.name)) else { return Ok(found) };
        for change in state::changes(known, &seen.heads, &watch.prefixes) {
            let (name, tip) = (change.name.clone(), change.after.clone());
            let Some(Ok(tip)) = tip.map(|tip| tip.parse::<CommitSha>()) else { continue };
            let moves: Vec<_> = state::steps(change, between).iter().filter_map(moved).collect();
            if !moves.is_empty() {
                let thrown = thrown_away(folder, &watch.address, &name, &tip, moves).await;
                let thrown = thrown.map_err(|error| Fault::Server(error.to_string()))?;
                found.extend(thrown.iter().map(|(from, to)| (from.to_string(), to.to_string())));
            }
        }
        Ok(found)
    }

    /// Whether a handler wants to know of pushes to this repository whether they threw commits away.
    fn asks_for_forced(&self, repo: &str) -> bool {
        let file = locked(&self.file).clone();
        file.is_some_and(|file| {
            let kinds = [Kind::Push, Kind::TagMoved];
            file.handlers.iter().any(|handler| handler.is_for(repo, &kinds) && handler.reads("forced"))
        })
    }

    /// What lies between what was known and what was seen, as far as each step is to be told.
    async fn between(
        &self,
        watch: &Watch,
        hint: Option<&Hint>,
        known: &[KnownRef],
        seen: &Refs,
    ) -> Result<Between, PollError> {
        match (watch.commits, hint, &self.copies) {
            (Commits::EachPush, Some(hint), _) => {
                // Asked after the refs were read: whoever tells more meanwhile makes this reading late.
                let told = self.database.told_of(watch.repo, &hint.reference, state::ends(hint)).await?;
                Ok(state::pushes(hint, known, &seen.heads, &told))
            }
            (Commits::EachCommit, _, Some(folder)) => {
                let mut found = Between::new();
                for change in state::changes(known, &seen.heads, &watch.prefixes) {
                    let was = change.before.filter(|was| !was.deleted && change.name.starts_with("refs/heads/"));
                    let (Some(was), Some(tip)) = (was, change.after) else { continue };
                    let (Ok(from), Ok(to)) = (was.sha.parse::<CommitSha>(), tip.parse::<CommitSha>()) else { continue };
                    let walked = between(folder, &watch.address, &change.name, &from, &to, CAP).await;
                    let mut steps = walked.map_err(|error| Fault::Server(error.to_string()))?;
                    // The last one is where the branch is.
                    steps.pop();
                    found.insert(change.name, steps.iter().map(ToString::to_string).collect());
                }
                Ok(found)
            }
            _ => Ok(Between::new()),
        }
    }

    /// One reading, counted.
    async fn asked(&self, last: Option<Trace>, watch: &Watch) -> Result<Option<Reading>, Fault> {
        let began = Instant::now();
        let seen = self.ask(last, watch).await;
        let host = watch.address.host();
        let word = seen.as_ref().map_or_else(Fault::word, |_| "ok");
        self.metrics.add("soop_poll_total", &[("host", &host), ("result", word)], 1.0);
        let took = began.elapsed().as_secs_f64();
        self.metrics.add("soop_poll_seconds_total", &[("host", &host)], took);
        self.metrics.observe("soop_poll_duration_seconds", took);
        seen
    }

    async fn ask(&self, last: Option<Trace>, watch: &Watch) -> Result<Option<Reading>, Fault> {
        match &watch.address {
            Address::Http(url, who) => self.reader.read(last, url, who.as_ref(), &watch.prefixes).await,
            Address::Git(..) => {
                let refs = spawned::read(&watch.address, &watch.prefixes).await?;
                Ok(Some(Reading { refs, moved: None, trace: None }))
            }
        }
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From which commit to which other a ref moved.
fn moved(change: &RefChange) -> Option<(CommitSha, CommitSha)> {
    let before = change.before.as_ref().filter(|before| !before.deleted)?;
    Some((before.sha.parse().ok()?, change.after.as_ref()?.parse().ok()?))
}

//! The server's settings while it runs: its file is read again when it changed, handlers of the API are put beside the
//! file's, and whoever goes by them is replaced. What is wrong does not count: the settings from before go on.
//!
//! Whoever is replaced takes nothing new and ends what it has begun; nothing is cut off by a change of the file.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::file::File;
use super::handler::read::parse;
use super::hook::Receiver;
use super::hook::genuine::HookSecrets;
use super::poll::Watch;
use super::room;
use super::serve::{RepoAsk, ServeError, watches};
use super::standing::{OF_HANDLER, Standing, Trouble};
use crate::store::database::{Database, Policy};

mod changes;
#[cfg(test)]
mod tests;

/// How often is looked whether something changed.
const EVERY: Duration = Duration::from_secs(2);

/// What a file says that can change while the server runs.
#[derive(Clone)]
pub struct Loaded {
    /// The file.
    pub file: Arc<File>,
    /// Its repositories, with their credentials.
    pub repos: Vec<RepoAsk>,
    /// What webhooks are signed with.
    pub secrets: HookSecrets,
    /// What holds for all workers.
    pub policy: Policy,
}

/// Reads a file; what is wrong with it, when anything is.
pub type Read = Arc<dyn Fn() -> Result<Loaded, Vec<Trouble>> + Send + Sync>;

/// Where settings come from.
#[derive(Clone)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// Reads it.
    pub read: Read,
    /// What the file was before it was read for the first time.
    pub mark: Mark,
}

/// Starts those who go by the settings; they take nothing new once the token is cancelled.
pub(super) type Staff = Box<dyn Fn(Option<&Arc<File>>, &CancellationToken) -> JoinSet<()> + Send + Sync>;

/// What tells one text of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(Option<(SystemTime, u64, u64)>);

impl Mark {
    /// That of no file, or of one that is to be read whatever it is.
    const NONE: Self = Self(None);

    /// That of a file as it is now.
    pub fn of(path: &Path) -> Self {
        use std::os::unix::fs::MetadataExt;
        let mark = |meta: Metadata| Some((meta.modified().ok()?, meta.len(), meta.ino()));
        Self(std::fs::metadata(path).ok().and_then(mark))
    }
}

/// Keeps up with the settings.
pub(super) struct Reload {
    pub(super) database: Database,
    pub(super) source: Option<Source>,
    pub(super) watching: watch::Sender<Vec<Arc<Watch>>>,
    pub(super) receiver: Receiver,
    pub(super) standing: Standing,
    pub(super) staff: Staff,
}

/// What counts now, and what it was made of.
struct Now {
    mark: Mark,
    file: Option<Arc<File>>,
    /// Names and versions of the API's handlers.
    handlers: Vec<(String, i64)>,
    of_file: Vec<Trouble>,
    of_handlers: Vec<Trouble>,
}

impl Reload {
    /// Starts everybody, and keeps up until it is told to stop; then everybody has ended.
    pub(super) async fn run(&self, stop: CancellationToken) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        let mut now = Now {
            mark: self.source.as_ref().map_or(Mark::NONE, |source| source.mark),
            file: self.standing.file_alone(),
            handlers: Vec::new(),
            of_file: Vec::new(),
            of_handlers: Vec::new(),
        };
        let Some(mut merged) = self.first(&mut now, &stop).await else { return };
        let mut retired = stop.child_token();
        let mut staff = (self.staff)(merged.as_ref(), &retired);
        while !stop.is_cancelled() {
            let asked = tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(EVERY) => false,
                () = self.standing.written.notified() => false,
                () = heard(&mut hangup) => true,
                // Those who are replaced end in their own time.
                Some(_) = staff.join_next(), if !staff.is_empty() => continue,
            };
            let read = self.reread(&mut now, asked).await;
            if let Some(file) = self.merge(&mut now, read).await {
                merged = file;
                retired.cancel();
                retired = stop.child_token();
                let mut next = (self.staff)(merged.as_ref(), &retired);
                // Both are waited for at the end.
                staff.spawn(async move { while next.join_next().await.is_some() {} });
            }
        }
        while staff.join_next().await.is_some() {}
    }

    /// What counts at the start. Nobody begins without the handlers of the API: events are decided once.
    async fn first(&self, now: &mut Now, stop: &CancellationToken) -> Option<Option<Arc<File>>> {
        loop {
            if let Some(merged) = self.merge(now, true).await {
                return Some(merged);
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Reads the file where it changed, or where somebody asks; whether there is a new one that counts.
    async fn reread(&self, now: &mut Now, asked: bool) -> bool {
        let Some(source) = self.source.clone() else { return false };
        let mark = Mark::of(&source.path);
        if mark == Mark::NONE && now.file.is_none() {
            self.none_yet(now);
            return false;
        }
        if mark == now.mark && !asked {
            return false;
        }
        let read = tokio::task::spawn_blocking(move || (source.read)()).await;
        // Whatever is no fault of the file passes, and then the file counts.
        let (mark, applied) = match read {
            Ok(Ok(loaded)) => match self.apply(&loaded).await {
                Ok(()) => (mark, Ok(loaded.file)),
                Err(error @ ServeError::Database(_)) => (Mark::NONE, Err(vec![plain("the server's file", &error)])),
                Err(error) => (mark, Err(vec![plain("the server's file", &error)])),
            },
            Ok(Err(trouble)) => (mark, Err(trouble)),
            Err(error) => (Mark::NONE, Err(vec![plain("the server's file", &error)])),
        };
        now.mark = mark;
        match applied {
            Ok(file) => {
                let changed = changes::changes(&now.file.clone().unwrap_or_default(), &file);
                tracing::info!("the server's file was read again, and counts: {changed}");
                now.of_file.clear();
                now.file = Some(file);
                true
            }
            Err(trouble) => {
                for trouble in &trouble {
                    tracing::error!("{}; the file from before goes on", trouble.line());
                }
                now.of_file = trouble;
                self.tell(now, self.standing.file());
                false
            }
        }
    }

    /// There never was a file that counts, and there is none: what was wrong with one in between went with it.
    fn none_yet(&self, now: &mut Now) {
        now.mark = Mark::NONE;
        if !now.of_file.is_empty() {
            now.of_file.clear();
            self.tell(now, None);
        }
    }

    async fn apply(&self, loaded: &Loaded) -> Result<(), ServeError> {
        let watches = watches(&self.database, &loaded.repos).await?;
        self.database.set_policy(loaded.policy).await?;
        self.watching.send_replace(watches);
        self.receiver.replace_secrets(loaded.secrets.clone());
        Ok(())
    }

    /// The file with the handlers of the API, where either is new.
    async fn merge(&self, now: &mut Now, read: bool) -> Option<Option<Arc<File>>> {
        let Some(file) = now.file.clone() else { return read.then_some(None) };
        let versions = match self.database.handlers().await {
            Ok(versions) => versions,
            Err(error) => {
                tracing::warn!(error = room::words(&error), "handlers are not read");
                // The next round begins with the file again.
                now.mark = Mark::NONE;
                return None;
            }
        };
        let known: Vec<_> = versions.iter().map(|version| (version.name.clone(), version.version)).collect();
        if !read && known == now.handlers {
            return None;
        }
        now.handlers = known;
        now.of_handlers.clear();
        let mut merged = File::clone(&file);
        for version in versions {
            match handler(&version.name, version.text.as_deref().unwrap_or_default(), &file) {
                Ok(handler) => merged.handlers.push(handler),
                Err(trouble) => now.of_handlers.extend(trouble),
            }
        }
        for trouble in &now.of_handlers {
            tracing::error!("{}; the handler does not count", trouble.line());
        }
        let merged = Arc::new(merged);
        self.tell(now, Some(Arc::clone(&merged)));
        Some(Some(merged))
    }

    fn tell(&self, now: &Now, file: Option<Arc<File>>) {
        let trouble = [now.of_file.clone(), now.of_handlers.clone()].concat();
        self.standing.set(file, now.file.clone(), trouble);
    }
}

/// A handler of the API, which is called as the API calls it and as none of the file's is.
///
/// # Errors
/// Everything that is wrong with it.
pub fn handler(name: &str, text: &str, file: &File) -> Result<super::handler::Handler, Vec<Trouble>> {
    let shown = format!("{OF_HANDLER}{name}");
    let wrong = |message: &str| Trouble {
        place: shown.clone(),
        code: "server/handler".to_owned(),
        message: message.to_owned(),
    };
    if file.handlers.iter().any(|handler| handler.name == name) {
        return Err(vec![wrong(
            "the server's file has a handler of this name, and that one is done: rename one of them",
        )]);
    }
    let (handler, findings) = parse(&shown, text.as_bytes(), file);
    match handler {
        Some(handler) if handler.name == name => Ok(handler),
        Some(_) => Err(vec![wrong("its `name` is another one than that of the request")]),
        None => Err(findings.iter().map(|finding| Trouble::of(finding, &shown)).collect()),
    }
}

fn plain(place: &str, error: &dyn std::error::Error) -> Trouble {
    Trouble { place: place.to_owned(), code: "server/reload".to_owned(), message: error.to_string() }
}

async fn heard(hangup: &mut Option<Signal>) {
    match hangup {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

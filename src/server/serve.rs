//! The whole server: opens the database, starts everything that waits for something, and ends it in order.
//!
//! One server a data folder: a lock says so, and is how the next one knows that the one before is dead.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::artifacts::Artifacts;
use super::asked::Asked;
use super::comments::Comments;
use super::file::{Commits, File};
use super::forges::Forges;
use super::glance::Glance;
use super::hook::genuine::HookSecrets;
use super::hook::{Asking, Dispatcher, Receiver};
use super::http::{self, Auth, ListenError, Server, token};
use super::metrics::Metrics;
use super::parts::Parts;
use super::perform::{ByFile, Doing, Performer, Turns, Yard};
use super::poll::reading::{Credential, Reader};
use super::poll::state::FirstSeen;
use super::poll::{self, Address, Poller, Watch};
use super::queue::{ByHand, Decide, Events};
use super::reload::{Reload, Source};
use super::room;
use super::rounds::Rounds;
use super::standing::Standing;
use super::stopping::{Stopping, answer_last};
use super::sweep;
use super::work::copies::Copies;
use super::work::{self, Worker};
use crate::run::Host;
use crate::run::stop::Stop;
use crate::secret::Secret;
use crate::store::database::{Claim, Database, DatabaseError, NewRepo, Policy};
use crate::store::{Home, Runs, StoreError};
use crate::web::Reach;

/// A repository as the configuration has it.
#[derive(Debug, Clone)]
pub struct RepoAsk {
    /// Its name here.
    pub name: String,
    /// Its address as written; credentials in it are refused.
    pub url: String,
    /// Refs to read: whole names or beginnings.
    pub prefixes: Vec<String>,
    /// How often, when the user says so.
    pub every: Option<Duration>,
    /// What the first reading tells.
    pub first_seen: FirstSeen,
    /// What is told when a branch moved by more than one commit.
    pub commits: Commits,
    /// Who reads it over HTTP.
    pub credential: Option<Credential>,
    /// The deploy key that reads it over SSH.
    pub key: Option<PathBuf>,
    /// Its runs at once, in each mode.
    pub concurrency: usize,
    /// What its runs need: `storage`, `project`, `secrets`.
    pub run: serde_json::Value,
}

/// What a server is to do.
pub struct Serving {
    /// This machine.
    pub host: Host,
    /// This program: it is started anew for each run.
    pub program: PathBuf,
    /// `sqlite:PATH` or `postgres://…`; a file in the data folder when it is none.
    pub database: Option<String>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Who is asked for a token.
    pub auth: Auth,
    /// What is watched.
    pub repos: Vec<RepoAsk>,
    /// What webhooks are signed with.
    pub secrets: HookSecrets,
    /// The server's file, whose handlers are done; without one, only what is asked for by hand is run.
    pub file: Option<Arc<File>>,
    /// Where the file is read again when it changes, and read at all once it is there.
    pub source: Option<Source>,
    /// How hard it polls.
    pub poll: poll::Effort,
    /// How hard it works.
    pub work: work::Effort,
    /// What holds for all workers.
    pub policy: Policy,
}

/// What a server says once it listens.
#[derive(Debug)]
pub struct Greeting {
    /// Where it listens.
    pub address: SocketAddr,
    /// The one-time token that makes the first admin, when there is none yet.
    pub set_up: Option<Secret>,
    /// Runs of an earlier process that go on, or ended while there was none.
    pub adopted: usize,
    /// Runs of an earlier process that are queued again.
    pub queued: usize,
}

/// Why the server does not serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The data folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A file or socket.
    #[error("cannot {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// Another server has the data folder.
    #[error("another server or worker of this name uses the folder `{}`", .0.display())]
    Taken(PathBuf),
    /// An address of a repository that is none.
    #[error("`{0}` is no address of a repository")]
    Repo(String),
    /// An address with a password in it.
    #[error("the address of `{0}` holds a password: set it as a credential, so that it is in no list and no log")]
    Password(String),
    /// This machine's settings.
    #[error("{}", .0.line())]
    Settings(Box<Stop>),
    /// The system has no randomness to give.
    #[error("the system gives no random bytes")]
    Random,
}

/// Where the database of a data folder is.
pub fn default_database(state: &Path) -> String {
    format!("sqlite:{}", state.join("server.db").display())
}

/// Serves until it is told to stop, then ends what goes on. `greet` is called once, when requests are answered.
///
/// # Errors
/// When it cannot begin, or the system takes its socket away.
pub async fn serve(
    serving: Serving,
    greet: impl FnOnce(Greeting) + Send,
    stopping: Stopping,
) -> Result<(), ServeError> {
    let (_lock, stop) = (own(&serving.host.home)?, stopping.soon().clone());
    let database = open(&serving).await?;
    let watches = watches(&database, &serving.repos).await?;
    let (watching, watched) = watch::channel(watches);
    let (metrics, kept, told, queued) = (Metrics::default(), Arc::default(), Arc::<Notify>::default(), Arc::default());
    let poller = poller(&serving, &database, &metrics, &told)?;
    let worker = worker(&serving, &database, &watched, &metrics, &queued, &told)?.hurrying(stopping.now());
    let left = worker.take_over().await?;
    let set_up = set_up(&database, serving.auth).await?;
    let standing = standing(&serving);
    let receiver = Receiver::new(database.clone(), serving.secrets.clone(), metrics.clone(), Arc::clone(&kept));
    let server = Server {
        database: database.clone(),
        poller: poller.clone(),
        watches: watched.clone(),
        receiver: receiver.clone(),
        metrics: metrics.clone(),
        told: Arc::clone(&told),
        auth: serving.auth,
        set_up: Arc::new(Mutex::new(set_up.as_ref().map(|secret| token::hash(secret.expose())))),
        runs: serving.host.home.runs(),
        worker: worker.name.clone(),
        standing: standing.clone(),
        engine: (serving.work.limits.here > 0).then(|| Arc::clone(&serving.host.connect)),
        stopping: stop.clone(),
    };
    let listener = http::bind(serving.listen, serving.auth).await?;
    let address = listener.local_addr().map_err(|source| ServeError::Io { action: "listen", source })?;
    let asked = Asked::new(database.clone(), Glance::new(poller.clone(), watched.clone()), Arc::clone(&told));
    let parts = standing.parts.clone();
    let staff = Staffing {
        parts: parts.clone(),
        standing: standing.clone(),
        database: database.clone(),
        poller: poller.clone(),
        watched: watched.clone(),
        reach: reach(&serving.host)?,
        yard: yard(&serving, &watched),
        kept,
        told,
        asked: asked.bell(),
        queued,
        handled: Arc::default(),
        turns: Turns::default(),
        metrics: metrics.clone(),
        stop: stop.clone(),
    };
    let staff = Box::new(move |file: Option<&Arc<File>>, retired: &CancellationToken| staff.begin(file, retired));
    let reload = Reload { database: database.clone(), source: serving.source, watching, receiver, standing, staff };
    let greeting = Greeting { address, set_up, adopted: left.adopted.len(), queued: left.queued };
    let lasting = Lasting { reload, poller, watched, worker, adopted: left.adopted, database: database.clone(), asked };
    let (works, closed) = (lasting.begin(&parts, &stop), CancellationToken::new());
    greet(greeting);
    // What is delivered while runs are waited for is kept, and the next server reads it.
    let answering = http::serve(listener, server, closed.clone());
    let served = answer_last(answering, works, &stop, &closed).await;
    database.close().await;
    tracing::info!("stopped");
    served.map_err(|source| ServeError::Io { action: "answer requests", source })
}

/// What is wrong with the file, as far as is known so far.
fn standing(serving: &Serving) -> Standing {
    Standing::with(serving.file.clone()).reading(serving.source.as_ref().map(|source| source.path.as_path()))
}

/// The data folder, in which something can be written and where no other server is.
fn own(home: &Home) -> Result<fs_err::File, ServeError> {
    home.ensure()?;
    // The database would try for half a minute, and not say why.
    let fault = |source| ServeError::Io { action: "write into the data folder", source };
    room::try_writing(home.state()).map_err(fault)?;
    lock(home.state(), "server.lock")
}

/// The database, with what holds for all workers.
async fn open(serving: &Serving) -> Result<Database, DatabaseError> {
    let address = serving.database.clone().unwrap_or_else(|| default_database(serving.host.home.state()));
    let database = Database::open(&address).await?;
    if serving.database.is_none() {
        // It is in the folder that is ours alone.
        database.let_go().await?;
    }
    database.set_policy(serving.policy).await?;
    Ok(database)
}

fn poller(serving: &Serving, database: &Database, metrics: &Metrics, told: &Arc<Notify>) -> Result<Poller, ServeError> {
    let client = crate::web::client(&trusting(&serving.host)?).map_err(|fault| {
        let source = std::io::Error::other(fault.to_string());
        ServeError::Io { action: "reach the network", source }
    })?;
    let poller = Poller::new(database.clone(), Reader::new(client), metrics.clone(), serving.poll, Arc::clone(told));
    Ok(poller.copying(serving.host.home.state().join("poller")))
}

/// Those who work for as long as the server does.
struct Lasting {
    reload: Reload,
    poller: Poller,
    watched: watch::Receiver<Vec<Arc<Watch>>>,
    worker: Worker,
    adopted: Vec<Claim>,
    database: Database,
    asked: Asked,
}

impl Lasting {
    fn begin(self, parts: &Parts, stop: &CancellationToken) -> JoinSet<()> {
        let Self { reload, poller, watched, worker, adopted, database, asked } = self;
        let home = &worker.host.home;
        let history = Runs::of(home);
        // Of runs, of what is asked about commits, of scripts.
        let folders = vec![worker.folder.clone(), home.state().join("poller"), home.cache().join("scripts")];
        let copies = Copies::of(folders, watched.clone());
        let (mut works, reload) = (JoinSet::new(), Arc::new(reload));
        works.spawn(parts.clone().keep("settings", stop.clone(), move |stop| {
            let reload = Arc::clone(&reload);
            async move { reload.run(stop).await }
        }));
        works.spawn(parts.clone().keep("asked", stop.clone(), move |stop| {
            let asked = asked.clone();
            async move { asked.run(stop).await }
        }));
        works.spawn(parts.clone().keep("poller", stop.clone(), move |stop| {
            let (poller, watched) = (poller.clone(), watched.clone());
            async move { poller.run(watched, stop).await }
        }));
        works.spawn(worker.keep_at_work(adopted, parts.clone(), stop.clone()));
        works.spawn(parts.clone().keep("sweep", stop.clone(), move |stop| {
            let (database, history, copies) = (database.clone(), history.clone(), copies.clone());
            async move { sweep::run(&database, &history, &copies, stop).await }
        }));
        works
    }
}

/// What those who go by the server's file need besides it.
struct Staffing {
    parts: Parts,
    standing: Standing,
    database: Database,
    poller: Poller,
    watched: watch::Receiver<Vec<Arc<Watch>>>,
    /// To the forges.
    reach: Reach,
    /// Where scripts run; opened once, because it clears what is left there.
    yard: Option<Yard>,
    kept: Arc<Notify>,
    told: Arc<Notify>,
    asked: Arc<Notify>,
    queued: Arc<Notify>,
    handled: Arc<Notify>,
    /// One set for all files: who is replaced goes on beside who replaces it.
    turns: Turns,
    metrics: Metrics,
    stop: CancellationToken,
}

impl Staffing {
    /// Starts them; they take nothing new once they are retired.
    fn begin(&self, file: Option<&Arc<File>>, retired: &CancellationToken) -> JoinSet<()> {
        let mut works = JoinSet::new();
        let (database, told) = (&self.database, &self.told);
        self.poller.go_by(file);
        let forges = file.map(|file| Forges::of(Arc::clone(file), self.reach.clone()));
        self.standing.tells(forges.clone());
        let asking = || Some(Asking::of(Arc::clone(file?), forges.clone()?));
        let (poller, watched, kept) = (self.poller.clone(), self.watched.clone(), Arc::clone(&self.kept));
        let dispatcher = Dispatcher::new(database.clone(), poller, watched, kept, Arc::clone(told)).asking(asking());
        for _ in 0..4 {
            let dispatcher = dispatcher.clone();
            works.spawn(self.parts.clone().keep("deliveries", retired.clone(), move |retired| {
                let dispatcher = dispatcher.clone();
                async move { dispatcher.run(retired).await }
            }));
        }
        let mut decide: Arc<dyn Decide> = Arc::new(ByHand);
        if let (Some(file), Some(forges)) = (file, &forges) {
            decide = Arc::new(ByFile(Arc::clone(file)));
            self.by_file(file, forges, retired, &mut works);
        }
        let events = Events::new(database.clone(), decide, Arc::clone(told), Arc::clone(&self.queued));
        let events = events.telling(Arc::clone(&self.handled));
        works.spawn(self.parts.clone().keep("events", retired.clone(), move |retired| {
            let events = events.clone();
            async move { events.run(retired).await }
        }));
        works
    }

    /// Those who go by the handlers.
    fn by_file(&self, file: &Arc<File>, forges: &Forges, retired: &CancellationToken, works: &mut JoinSet<()>) {
        let (database, told) = (self.database.clone(), Arc::clone(&self.told));
        let comments = Comments::of(database.clone(), Arc::clone(file), forges.clone(), Arc::clone(&told));
        let artifacts = Artifacts::of(database.clone(), Arc::clone(file), forges.clone(), told);
        let rounds = Rounds { comments, artifacts };
        works.spawn(self.parts.clone().keep("lists", retired.clone(), move |retired| rounds.clone().run(retired)));
        let performer = self.performer(file, forges);
        let stop = self.stop.clone();
        works.spawn(self.parts.clone().keep("actions", retired.clone(), move |retired| {
            let (performer, stop) = (performer.clone(), stop.clone());
            async move { performer.run(retired, stop).await }
        }));
        let (file, asked) = (Arc::clone(file), Arc::clone(&self.asked));
        works.spawn(self.parts.clone().keep("schedules", retired.clone(), move |retired| {
            super::clock::run(database.clone(), Arc::clone(&file), Arc::clone(&asked), retired)
        }));
    }

    fn performer(&self, file: &Arc<File>, forges: &Forges) -> Performer {
        let (database, file, handled) = (self.database.clone(), Arc::clone(file), Arc::clone(&self.handled));
        let (queued, asked) = (Arc::clone(&self.queued), Arc::clone(&self.asked));
        let doing = Doing::new(database.clone(), Arc::clone(&file), forges.clone(), queued, asked);
        let doing = doing.taking(self.turns.clone()).counting(self.metrics.clone());
        let doing = doing.reading(Glance::new(self.poller.clone(), self.watched.clone()));
        let effects = match &self.yard {
            Some(yard) => Arc::new(doing.with_scripts(yard.clone())),
            None => Arc::new(doing),
        };
        Performer { database, file, effects, handled }
    }
}

/// Where scripts run, also of a file that is not there yet.
fn yard(serving: &Serving, watched: &watch::Receiver<Vec<Arc<Watch>>>) -> Option<Yard> {
    serving.source.as_ref()?;
    let at_once = serving.file.clone().unwrap_or_default().server.workers;
    Some(Yard::open(serving.host.clone(), watched.clone(), at_once))
}

fn reach(host: &Host) -> Result<Reach, ServeError> {
    Ok(host.access().map_err(|stop| ServeError::Settings(Box::new(stop)))?.reach)
}

fn worker(
    serving: &Serving,
    database: &Database,
    watched: &watch::Receiver<Vec<Arc<Watch>>>,
    metrics: &Metrics,
    queued: &Arc<Notify>,
    told: &Arc<Notify>,
) -> Result<Worker, ServeError> {
    let state = serving.host.home.state();
    Ok(Worker {
        database: database.clone(),
        host: serving.host.clone(),
        name: named(state)?,
        watches: watched.clone(),
        folder: state.join("worker"),
        handoffs: state.join("worker/drivers"),
        program: serving.program.clone(),
        effort: serving.work,
        metrics: metrics.clone(),
        queued: Arc::clone(queued),
        told: Arc::clone(told),
        hurry: CancellationToken::new(),
    })
}

/// How this machine reaches others; from now on git and handlers trust whom our own client trusts.
pub(super) fn trusting(host: &Host) -> Result<Reach, ServeError> {
    let reach = reach(host)?;
    if let Some(bundle) = &reach.ca_bundle {
        super::trust::trust(bundle, host.home.state());
    }
    Ok(reach)
}

/// What the worker of a data folder is called.
pub(super) fn named(state: &Path) -> Result<String, ServeError> {
    work::name_of(state).map_err(|source| ServeError::Io { action: "name the worker of the data folder", source })
}

/// One server a folder, for as long as the file is open.
pub(super) fn lock(state: &Path, name: &str) -> Result<fs_err::File, ServeError> {
    let open = |source| ServeError::Io { action: "lock the data folder", source };
    let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(state.join(name));
    let file = file.map_err(open)?;
    match file.file().try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(ServeError::Taken(state.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(open(error)),
    }
}

/// The one-time token, where there is nobody yet who could make others.
async fn set_up(database: &Database, auth: Auth) -> Result<Option<Secret>, ServeError> {
    if auth == Auth::Nobody || !database.tokens().await?.is_empty() {
        return Ok(None);
    }
    token::new().map(Some).ok_or(ServeError::Random)
}

/// Writes the list into the database; what is to be read comes back with its number.
///
/// # Errors
/// When an address is none or holds a password.
pub async fn watches(database: &Database, asked: &[RepoAsk]) -> Result<Vec<Arc<Watch>>, ServeError> {
    let addresses = asked.iter().map(address).collect::<Result<Vec<_>, _>>()?;
    let repos = asked.iter().zip(&addresses).map(|(ask, address)| NewRepo {
        url: address.text(),
        name: ask.name.clone(),
        settings: json!({"run": ask.run, "concurrency": ask.concurrency, "each": ask.commits != Commits::Latest}),
    });
    database.watch(&repos.collect::<Vec<_>>()).await?;
    let mut watches = Vec::new();
    for (ask, address) in asked.iter().zip(addresses) {
        watches.push(watch_of(ask, database.repo(&ask.name).await?.id, address));
    }
    Ok(watches)
}

pub(super) fn watch_of(ask: &RepoAsk, repo: i64, address: Address) -> Arc<Watch> {
    let (name, prefixes) = (ask.name.clone(), ask.prefixes.clone());
    let (every, first_seen, commits) = (ask.every, ask.first_seen, ask.commits);
    Arc::new(Watch { repo, name, address, prefixes, every, first_seen, commits })
}

pub(super) fn address(ask: &RepoAsk) -> Result<Address, ServeError> {
    if !ask.url.starts_with("http://") && !ask.url.starts_with("https://") {
        // An option is no address, and neither is a program of git's `ext::`.
        let fits = !ask.url.is_empty() && !ask.url.starts_with('-') && !ask.url.contains("::");
        let address = Address::Git(ask.url.clone(), ask.key.clone());
        return if fits { Ok(address) } else { Err(ServeError::Repo(ask.url.clone())) };
    }
    let url = Url::parse(&ask.url).map_err(|_| ServeError::Repo(ask.name.clone()))?;
    if url.password().is_some() || !url.username().is_empty() {
        return Err(ServeError::Password(ask.name.clone()));
    }
    Ok(Address::Http(url, ask.credential.clone()))
}

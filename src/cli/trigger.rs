//! `soopervisor trigger`: asks the server of this machine for a run. It reads the repository first; what it found is told,
//! or why it found nothing.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::seam;
use crate::server::event::Source;
use crate::server::room::{self, Lack};
use crate::server::serve::default_database;
use crate::server::trigger::{self, Ask, TriggerError};
use crate::store::Home;
use crate::store::database::{Database, DatabaseError, Event};

/// How long is waited for a server to take it up.
const PATIENCE: Duration = Duration::from_secs(15);

/// Arguments of `trigger`.
#[derive(Debug, Clone, Args)]
pub struct Trigger {
    /// The repository, by the name that the server has for it or by its address
    pub repo: String,
    /// A branch or tag [default: the default branch]
    #[arg(long = "ref", value_name = "REF")]
    pub reference: Option<String>,
    /// `sample` or `full` [default: what the handlers say]
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// The server's database [default: a file in the data folder]
    #[arg(long, env = "SOOPERVISOR_DATABASE", hide_env_values = true, value_name = "ADDRESS")]
    pub database: Option<String>,
}

pub(super) fn execute(args: &Trigger) -> Result<Exit, Failure> {
    let address = database(args.database.as_deref())?;
    let event = seam::block_on(async {
        let database = open(&address).await?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let id = format!("cli-{}-{since}", std::process::id());
        let actor = std::env::var("USER").unwrap_or_else(|_| "cli".to_owned());
        let ask = Ask {
            repo: &args.repo,
            reference: args.reference.as_deref(),
            mode: args.mode.as_deref(),
            actor: &actor,
            source: Source::Person,
            id: &id,
        };
        let id = trigger::ask(&database, &ask, &[]).await.map_err(|error| failed(&error))?;
        let event = taken_up(&database, id).await.map_err(|error| unwritten(&error))?;
        database.close().await;
        Ok(event)
    })?;
    let (id, fault) = (event.id, event.fault.as_deref());
    match (event.state.as_str(), &event.new.new_sha) {
        ("asked", _) => {
            let why = fault.unwrap_or("no server reads it now");
            Console::answer(&format!("asked for a run (event {id}); it waits: {why}\n"));
        }
        ("failed", None) => return Err(Failure::new(Exit::Usage, fault.unwrap_or("no commit was found").to_owned())),
        (_, sha) => {
            let sha = sha.as_deref().unwrap_or("what is there");
            Console::answer(&format!("asked for a run of {sha} (event {id})\n"));
        }
    }
    Ok(Exit::Ok)
}

/// The event once the server has found its commit, or has not for a while.
async fn taken_up(database: &Database, id: i64) -> Result<Event, DatabaseError> {
    let begun = Instant::now();
    loop {
        let event = database.event(id).await?;
        if event.state != "asked" || begun.elapsed() > PATIENCE {
            return Ok(event);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The address of the server's database, which must be there: who asks does not make one.
pub(super) fn database(asked: Option<&str>) -> Result<String, Failure> {
    let address = match given(asked)? {
        Some(address) => address,
        None => default_database(Home::from_env()?.state()),
    };
    match address.strip_prefix("sqlite:") {
        Some(path) if !Path::new(path).exists() => {
            Err(Failure::new(Exit::Usage, format!("there is no database `{path}`"))
                .help("start the server once: soopervisor serve --repo URL"))
        }
        _ => Ok(address),
    }
}

/// Opens the database. Where nothing can be written that is said at once: the database itself tries for half a minute.
pub(super) async fn open(address: &str) -> Result<Database, Failure> {
    let folder = address.strip_prefix("sqlite:").and_then(|path| Path::new(path).parent());
    // The name of a file alone is one of this folder.
    let folder = folder.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    if let Some(folder) = folder
        && let Err(error) = room::try_writing(folder)
    {
        let what = format!("nothing can be written beside the database, in `{}`", folder.display());
        let failure = unwritten(&error);
        return Err(Failure { what, why: vec![room::words(&error)], ..failure });
    }
    Database::open(address).await.map_err(|error| unwritten(&error))
}

/// An error of the database, or of the disk below it.
pub(super) fn unwritten(error: &(dyn std::error::Error + 'static)) -> Failure {
    match room::lack(error) {
        Some(lack @ Lack::Full) => Failure::of(Exit::DiskFull, error).help(lack.help()),
        Some(lack @ Lack::ReadOnly) => Failure::of(Exit::Internal, error).help(lack.help()),
        None => Failure::of(Exit::Internal, error),
    }
}

/// The address as it was given, which must not be one with a password that was typed: every user of this machine would see
/// it in the list of processes.
pub(super) fn given(asked: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(address) = asked else { return Ok(None) };
    let typed = std::env::var("SOOPERVISOR_DATABASE").as_deref() != Ok(address);
    if typed && holds_password(address) {
        let failure =
            Failure::new(Exit::Usage, "`--database` holds a password, which other users of this machine can see");
        return Err(failure.help("put the address into the variable SOOPERVISOR_DATABASE"));
    }
    Ok(Some(address.to_owned()))
}

fn holds_password(address: &str) -> bool {
    // What is no address is told by whoever opens it.
    let Ok(url) = url::Url::parse(address) else { return false };
    url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password")
}

fn failed(error: &TriggerError) -> Failure {
    match error {
        TriggerError::Database(_) => unwritten(error),
        _ => Failure::of(Exit::Usage, error),
    }
}

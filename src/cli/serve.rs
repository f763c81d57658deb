//! `soopervisor serve`: watches repositories until a signal ends it. What it does is said by a file (`by_file.rs`) or by the
//! command line (`by_words.rs`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use self::by_file::{of_file, source};
use self::by_words::of_words;
use super::args::LogFormat;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{parse, seam, trigger};
use crate::server::forges::Logins;
use crate::server::hook::genuine::HookSecrets;
use crate::server::http::{ADDRESS, Auth};
use crate::server::reload::Mark;
use crate::server::serve::{Greeting, ServeError, Serving, serve};
use crate::server::stopping::Stopping;
use crate::server::{poll, standing, work};
use crate::store::Home;
use crate::store::database::Policy;

mod by_file;
mod by_words;

pub(super) use self::by_file::{for_worker, text_of};

/// The server's file of this machine, where none is named and the user has none.
const SYSTEM: &str = "/etc/soopervisor/server.yaml";

/// Arguments of `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// The server's file: repositories, handlers, credentials (examples/server/server.yaml) [default: server.yaml beside
    /// config.yaml, else /etc/soopervisor/server.yaml]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["repos", "storage", "poll"])]
    pub config: Option<PathBuf>,
    /// Without a file: a repository to watch, over HTTPS or SSH, or a folder (repeatable)
    #[arg(long = "repo", value_name = "URL")]
    pub repos: Vec<String>,
    /// Where outputs of its runs go
    #[arg(long, value_name = "STORAGE", requires = "repos")]
    pub storage: Option<String>,
    /// How often repositories are read: `60s`, `5m` [default: by how much happens in them]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration, requires = "repos")]
    pub poll: Option<Duration>,
    /// Where to listen [default: what the file says, else 127.0.0.1:8080]
    #[arg(long, env = "SOOPERVISOR_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// The database: sqlite:PATH or postgres://… [default: a file in the data folder]
    // Checked by the server: clap repeats a value that it refuses, and this one may hold a password.
    #[arg(long, env = "SOOPERVISOR_DATABASE", hide_env_values = true, value_name = "ADDRESS")]
    pub database: Option<String>,
    /// Ask nobody for a token; only on an address that this machine alone reaches
    #[arg(long)]
    pub no_auth: bool,
    /// Runs at a time [default: what the file says, else 2]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..))]
    pub workers: Option<u8>,
    /// How the log on stderr is written
    #[arg(long, env = "SOOPERVISOR_LOG_FORMAT", hide_env_values = true, value_enum, default_value_t)]
    #[arg(hide_default_value = true, value_name = "FORM")]
    pub log_format: LogFormat,
}

pub(super) fn execute(args: &Serve) -> Result<Exit, Failure> {
    let home = Home::from_env()?;
    let serving = serving(args, &home)?;
    let next = next_step(&serving);
    seam::block_on(async move {
        let stop = Stopping::default();
        let listening = tokio::spawn(listen(stop.clone()));
        let greet = move |greeting: Greeting| Console::note(&(words(&greeting) + &next));
        let served = serve(serving, greet, stop).await;
        listening.abort();
        served.map(|()| Exit::Ok).map_err(|error| failed(&error))
    })
}

fn serving(args: &Serve, home: &Home) -> Result<Serving, Failure> {
    let mut serving = match &args.config {
        Some(path) => of_file(path, home, &Logins::default())?,
        None if args.repos.is_empty() => of_places(&home.server_file(), Path::new(SYSTEM), home)?,
        None => of_words(args, home)?,
    };
    serving.auth = if args.no_auth { Auth::Nobody } else { Auth::Everybody };
    serving.listen = args.listen.unwrap_or(serving.listen);
    if let Some(workers) = args.workers {
        serving.work.limits.here = workers.into();
    }
    serving.database = trigger::given(args.database.as_deref())?.or(serving.database);
    Ok(serving)
}

/// One that watches nothing, on this machine only.
fn bare(home: &Home) -> Result<Serving, Failure> {
    Ok(Serving {
        host: seam::host(home)?,
        program: program()?,
        database: None,
        listen: ADDRESS,
        auth: Auth::Everybody,
        repos: Vec::new(),
        secrets: HookSecrets::default(),
        file: None,
        source: None,
        poll: poll::Effort::default(),
        work: work::Effort::default(),
        policy: Policy::default(),
    })
}

/// The file of this user, else that of the machine. Where neither is there, nothing is watched until the first of them is.
fn of_places(own: &Path, system: &Path, home: &Home) -> Result<Serving, Failure> {
    if let Some(path) = usual_file(own, system) {
        Console::note(&format!("the server's file is {}\n", path.display()));
        return of_file(path, home, &Logins::default());
    }
    let source = source(own, home, Mark::of(own), &Logins::default());
    Ok(Serving { source: Some(source), ..bare(home)? })
}

/// Which of two files is there. One that cannot be looked for is: whoever reads it is told why.
fn usual_file<'a>(own: &'a Path, system: &'a Path) -> Option<&'a Path> {
    [own, system].into_iter().find(|path| path.try_exists().unwrap_or(true))
}

/// What to do next, where nothing is watched.
fn next_step(serving: &Serving) -> String {
    let source = serving.source.as_ref().filter(|_| serving.repos.is_empty());
    source.map(|source| standing::unwatched(&source.path) + "\n").unwrap_or_default()
}

/// This program, as long as it is where it was started from.
pub(super) fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::of(Exit::Internal, &error))
}

/// What became of the runs of an earlier process.
pub(super) fn of_before(adopted: usize, queued: usize) -> String {
    let mut text = String::new();
    if adopted > 0 {
        text.push_str(&format!("{adopted} run(s) of a process that ended without a word go on\n"));
    }
    if queued > 0 {
        text.push_str(&format!("{queued} run(s) of a process that ended without a word are queued again\n"));
    }
    text
}

fn words(greeting: &Greeting) -> String {
    let mut text = format!("serving on http://{}\n", greeting.address);
    text.push_str(&of_before(greeting.adopted, greeting.queued));
    if let Some(token) = &greeting.set_up {
        let token = String::from_utf8_lossy(token.expose());
        text.push_str(&format!(
            "there is no admin yet; once, within this start: curl -X POST http://{}/api/setup -H 'Content-Type: \
             application/json' -d '{{\"token\": \"{token}\"}}'\n",
            greeting.address
        ));
    }
    text
}

/// The first signal ends the server in order, the second without waiting for its runs.
pub(super) async fn listen(stop: Stopping) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.ask();
    }
}

pub(super) fn failed(error: &ServeError) -> Failure {
    let exit = match error {
        ServeError::Listen(_) | ServeError::Repo(_) | ServeError::Password(_) | ServeError::Taken(_) => Exit::Usage,
        _ => return trigger::unwritten(error),
    };
    Failure::of(exit, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_name_the_file_of_the_user_is_read_else_that_of_the_machine_and_else_the_next_step_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        let (own, system) = (home.server_file(), folder.path().join("system.yaml"));
        let serving = |own: &Path| of_places(own, &system, &home).map_err(|failure| failure.what).unwrap();
        let none = serving(&own);
        assert!(none.repos.is_empty() && none.file.is_none());
        assert_eq!(none.source.as_ref().unwrap().path, own, "it is read once it is there");
        let said = next_step(&none);
        assert!(
            said.contains(&format!("write {}", own.display())) && said.ends_with("what is wrong with it\n"),
            "{said}"
        );
        std::fs::write(&system, "repos: [{url: 'https://h/acme/churn', name: machine}]").unwrap();
        let of_machine = serving(&own);
        assert_eq!((of_machine.repos[0].name.as_str(), next_step(&of_machine).as_str()), ("machine", ""));
        std::fs::write(&own, "repos: [{url: 'https://h/acme/churn', name: own}]").unwrap();
        assert_eq!(serving(&own).repos[0].name, "own");
    }
}

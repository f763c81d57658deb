//! `soopervisor worker`: works on the runs of a server until a signal ends it.

use std::path::PathBuf;

use clap::Args;

use super::args::LogFormat;
use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{seam, serve, trigger};
use crate::server::serve::default_database;
use crate::server::stopping::Stopping;
use crate::server::work::Effort;
use crate::server::work::alone::{Begun, Working, work};
use crate::store::Home;

/// Arguments of `worker`.
#[derive(Debug, Clone, Args)]
pub struct Worker {
    /// The server's database: postgres://…, or sqlite:PATH on the same machine [default: what the file says, else the
    /// server's of this data folder]
    #[arg(long, env = "SOOPERVISOR_DATABASE", hide_env_values = true, value_name = "ADDRESS")]
    pub database: Option<String>,
    /// The server's file, for the credentials of repositories
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What tells it from other workers of this data folder
    #[arg(long, value_name = "NAME", default_value = "1", value_parser = name)]
    pub name: String,
    /// Runs at a time
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    pub workers: u8,
    /// How the log on stderr is written
    #[arg(long, env = "SOOPERVISOR_LOG_FORMAT", hide_env_values = true, value_enum, default_value_t)]
    #[arg(hide_default_value = true, value_name = "FORM")]
    pub log_format: LogFormat,
}

/// A name that a file may have.
fn name(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fits.then(|| text.to_owned()).ok_or_else(|| "a name has letters, digits and `-`".to_owned())
}

pub(super) fn execute(args: &Worker) -> Result<Exit, Failure> {
    let home = Home::from_env()?;
    let mut effort = Effort::default();
    effort.limits.here = args.workers.into();
    let of_file = args.config.as_ref().map(|path| serve::for_worker(path, &home)).transpose()?;
    let (known, database) = of_file.unwrap_or_default();
    let database =
        trigger::given(args.database.as_deref())?.or(database).unwrap_or_else(|| default_database(home.state()));
    let name = args.name.clone();
    let working = Working { host: seam::host(&home)?, program: serve::program()?, database, name, known, effort };
    let words = format!("working as `{}`", args.name);
    seam::block_on(async move {
        let stop = Stopping::default();
        let listening = tokio::spawn(serve::listen(stop.clone()));
        let greet = move |begun: Begun| {
            Console::note(&format!("{words}\n{}", serve::of_before(begun.adopted, begun.queued)));
        };
        let worked = work(working, greet, stop).await;
        listening.abort();
        worked.map(|()| Exit::Ok).map_err(|error| serve::failed(&error))
    })
}

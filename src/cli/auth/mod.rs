//! `soopervisor auth`: logins of drives, one file for each thing to do with them.
//!
//! Tokens go to the service, to the token file, or to stdout where that was asked for; never into words.

use super::args::Auth;
use super::exit::Exit;
use super::failure::Failure;
use super::seam;
use crate::auth::{Endpoints, HELPER, Provider, TokenFile, keep_from_dumps};
use crate::storage::Remotes;
use crate::store::Home;
use crate::web::Fault;

mod export;
mod login;
mod logout;
mod status;

pub(super) fn execute(args: &Auth) -> Result<Exit, Failure> {
    keep_from_dumps();
    let home = Home::from_env()?;
    match args {
        Auth::Login(args) => login::execute(args, &home),
        Auth::Status(args) => status::execute(args, &home),
        Auth::Logout(args) => logout::execute(args, &home),
        Auth::Export(args) => export::execute(args, &home),
    }
}

/// A drive by the name that the user gave it.
struct Remote {
    name: String,
    provider: Provider,
    endpoints: Endpoints,
    remotes: Remotes,
}

impl Remote {
    /// A drive's own name, or one that config.yaml or variables give a meaning.
    fn named(name: &str, home: &Home) -> Result<Self, Failure> {
        let remotes = seam::remotes(home)?;
        let kind = remotes.kind(name).map_err(|error| Failure::of(Exit::Usage, &error))?;
        let provider = kind.and_then(|kind| Provider::named(kind.name())).ok_or_else(|| {
            // Not repeated where it may be a pasted value.
            let plain = name.len() < 40 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
            let name = if plain { name } else { "…" };
            Failure::new(Exit::Usage, format!("there is no drive `{name}`")).help(
                "the drives are `box`, `dropbox`, `onedrive` and `gdrive`, and those under `remotes:` in config.yaml",
            )
        })?;
        let endpoints = Endpoints::of(provider, name, |variable| remotes.resolved(name, variable));
        let endpoints = endpoints.map_err(|fault| failed("it cannot be asked", &fault))?;
        Ok(Self { name: name.to_owned(), provider, endpoints, remotes })
    }

    /// Looks up what is set for it.
    fn set(&self) -> impl Fn(&str) -> Option<String> + '_ {
        |variable| self.remotes.resolved(&self.name, variable)
    }
}

fn tokens(home: &Home) -> TokenFile {
    TokenFile::in_folder(home.state()).kept_by(std::env::var(HELPER).ok())
}

fn client(home: &Home) -> Result<reqwest::Client, Failure> {
    crate::web::client(&seam::reach(home)?).map_err(|fault| failed("the network cannot be used", &fault))
}

/// What could not be done, and why.
fn failed(what: impl Into<String>, fault: &Fault) -> Failure {
    let exit = if matches!(fault, Fault::Setting(_)) { Exit::Usage } else { Exit::StorageFailed };
    Failure::new(exit, what).why(fault.to_string())
}

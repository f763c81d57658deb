//! `soopervisor serve`: watches repositories until a signal ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{parse, seam};
use crate::secret::Secret;
use crate::server::hook::genuine::HookSecrets;
use crate::server::http::{ADDRESS, Auth};
use crate::server::poll::state::FirstSeen;
use crate::server::queue::ByHand;
use crate::server::serve::{Greeting, RepoAsk, ServeError, Serving, serve};
use crate::server::{poll, work};
use crate::store::Home;

/// Arguments of `serve`.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// A repository to watch: an address over HTTPS or SSH, or a folder (repeatable)
    #[arg(long = "repo", value_name = "URL", required = true)]
    pub repos: Vec<String>,
    /// Where outputs of its runs go
    #[arg(long, env = "SOOPERVISOR_STORAGE", hide_env_values = true, value_name = "STORAGE")]
    pub storage: Option<String>,
    /// How often repositories are read: `60s`, `5m` [default: by how much happens in them]
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    pub poll: Option<Duration>,
    /// Where to listen
    #[arg(long, env = "SOOPERVISOR_LISTEN", hide_env_values = true, default_value_t = ADDRESS, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The database: sqlite:PATH or postgres://… [default: a file in the data folder]
    // Checked by the server: clap repeats a value that it refuses, and this one may hold a password.
    #[arg(long, env = "SOOPERVISOR_DATABASE", hide_env_values = true, value_name = "ADDRESS")]
    pub database: Option<String>,
    /// Ask nobody for a token; only on an address that this machine alone reaches
    #[arg(long)]
    pub no_auth: bool,
    /// Runs at a time
    #[arg(long, default_value_t = 2, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..))]
    pub workers: u8,
}

pub(super) fn execute(args: &Serve, console: Console) -> Result<Exit, Failure> {
    let home = Home::from_env()?;
    let serving = serving(args, &home)?;
    seam::block_on(async move {
        let stop = CancellationToken::new();
        let listening = tokio::spawn(listen(stop.clone()));
        let greet = move |greeting: Greeting| Console::note(&words(&greeting, console));
        let served = serve(serving, greet, stop).await;
        listening.abort();
        served.map(|()| Exit::Ok).map_err(|error| failed(&error))
    })
}

fn serving(args: &Serve, home: &Home) -> Result<Serving, Failure> {
    let repos = args.repos.iter().map(|url| RepoAsk {
        name: name(url),
        url: url.clone(),
        prefixes: vec!["refs/heads/".to_owned(), "refs/tags/".to_owned()],
        every: args.poll,
        first_seen: FirstSeen::Record,
        credential: None,
        key: None,
        run: args.storage.as_ref().map_or_else(|| json!({}), |storage| json!({"storage": storage})),
    });
    let mut work = work::Effort::default();
    work.limits.all = args.workers.into();
    Ok(Serving {
        host: seam::host(home)?,
        database: args.database.clone(),
        listen: args.listen,
        auth: if args.no_auth { Auth::Nobody } else { Auth::Everybody },
        repos: repos.collect(),
        secrets: secrets(),
        decide: Arc::new(ByHand),
        poll: poll::Effort::default(),
        work,
    })
}

/// The last two parts of an address: `acme/churn`.
fn name(url: &str) -> String {
    let bare = url.trim_end_matches('/').trim_end_matches(".git");
    let bare = bare.split_once("://").map_or(bare, |(_, rest)| rest.split_once('/').map_or(rest, |(_, path)| path));
    let mut parts: Vec<&str> = bare.rsplit(['/', ':']).filter(|part| !part.is_empty()).take(2).collect();
    parts.reverse();
    parts.join("/")
}

/// Webhook secrets, from variables; two while one is being replaced, separated by a space.
fn secrets() -> HookSecrets {
    let of = |variable: &str| {
        let values = std::env::var(variable).unwrap_or_default();
        values.split_whitespace().map(|value| Secret::new(variable, value.as_bytes().to_vec())).collect()
    };
    HookSecrets {
        github: of("SOOPERVISOR_GITHUB_HOOK_SECRET"),
        gitea: of("SOOPERVISOR_GITEA_HOOK_SECRET"),
        gitlab: of("SOOPERVISOR_GITLAB_HOOK_SECRET"),
    }
}

fn words(greeting: &Greeting, _: Console) -> String {
    let mut text = format!("serving on http://{}\n", greeting.address);
    if greeting.taken_back > 0 {
        let count = greeting.taken_back;
        text.push_str(&format!("{count} run(s) of a server that ended without a word are queued again\n"));
    }
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

/// The first signal ends the server in order.
async fn listen(stop: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stop.cancel();
}

fn failed(error: &ServeError) -> Failure {
    let exit = match error {
        ServeError::Listen(_) | ServeError::Repo(_) | ServeError::Password(_) | ServeError::Taken(_) => Exit::Usage,
        _ => Exit::Internal,
    };
    Failure::of(exit, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_called_as_its_host_calls_it() {
        assert_eq!(name("https://github.com/acme/churn.git"), "acme/churn");
        assert_eq!(name("git@host:acme/churn.git"), "acme/churn");
        assert_eq!(name("/srv/git/acme/churn/"), "acme/churn");
        assert_eq!(name("https://host/solo"), "solo");
    }
}

//! `soopervisor token`: API tokens of the server of this machine; and `soopervisor admin`: its database.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{seam, trigger};
use crate::server::http::token::{self, Scope};
use crate::store::database::{Database, DatabaseError, NewToken};

const DAY_MS: i64 = 86_400_000;

/// What to do with tokens.
#[derive(Debug, Clone, Subcommand)]
pub enum Token {
    /// Make a token and print it, this once
    Create(Create),
    /// List tokens, without the tokens themselves
    List(Where),
    /// Take a token back
    Revoke(Revoke),
}

/// Arguments of `token create`.
#[derive(Debug, Clone, Args)]
pub struct Create {
    /// What people call it
    pub name: String,
    /// What it allows: read, run or admin
    #[arg(long, default_value = "read", value_name = "SCOPE", value_parser = scope)]
    pub scope: Scope,
    /// How long it is good for
    #[arg(long, default_value_t = 90, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=366))]
    pub days: i64,
    /// Where the database is.
    #[command(flatten)]
    pub place: Where,
}

/// Arguments of `token revoke`.
#[derive(Debug, Clone, Args)]
pub struct Revoke {
    /// Its number, as `token list` has it
    pub id: i64,
    /// Where the database is.
    #[command(flatten)]
    pub place: Where,
}

/// Which server is meant.
#[derive(Debug, Clone, Args)]
pub struct Where {
    /// The server's database [default: a file in the data folder]
    #[arg(long, env = "SOOPERVISOR_DATABASE", hide_env_values = true, value_name = "ADDRESS")]
    pub database: Option<String>,
}

/// What to do with the database.
#[derive(Debug, Clone, Subcommand)]
pub enum Admin {
    /// Write a whole copy of the SQLite database while the server goes on
    Backup(Backup),
}

/// Arguments of `admin backup`.
#[derive(Debug, Clone, Args)]
pub struct Backup {
    /// The file, which must not be there yet
    pub to: PathBuf,
    /// Where the database is.
    #[command(flatten)]
    pub place: Where,
}

fn scope(text: &str) -> Result<Scope, String> {
    text.parse().map_err(|()| "there are read, run and admin".to_owned())
}

/// Opens the database and does something with it.
fn with<T, F: Future<Output = Result<T, DatabaseError>>>(
    place: &Where,
    act: impl FnOnce(Database) -> F,
) -> Result<T, Failure> {
    let address = trigger::database(place.database.as_deref())?;
    seam::block_on(async {
        let done = async {
            let database = Database::open(&address).await?;
            let done = act(database.clone()).await;
            database.close().await;
            done
        };
        done.await.map_err(|error| match error {
            DatabaseError::Missing { .. } | DatabaseError::Address(_) => Failure::of(Exit::Usage, &error),
            _ => Failure::of(Exit::Internal, &error),
        })
    })
}

pub(super) fn execute(verb: &Token) -> Result<Exit, Failure> {
    match verb {
        Token::Create(args) => create(args),
        Token::List(place) => list(place),
        Token::Revoke(args) => with(&args.place, async |database| {
            database.revoke_token(args.id).await?;
            database.note("cli", "token.revoke", &args.id.to_string(), "").await?;
            Ok(Exit::Ok)
        }),
    }
}

fn create(args: &Create) -> Result<Exit, Failure> {
    let made = token::new().ok_or_else(|| Failure::new(Exit::Internal, "the system gives no random bytes"))?;
    let hash = token::hash(made.expose());
    with(&args.place, async |database| {
        let new = NewToken { name: &args.name, hash: &hash, scopes: args.scope.word(), lasts_ms: args.days * DAY_MS };
        let id = database.add_token(&new).await?;
        database.note("cli", "token.create", &id.to_string(), &args.name).await
    })?;
    Console::answer(&format!("{}\n", String::from_utf8_lossy(made.expose())));
    Ok(Exit::Ok)
}

fn list(place: &Where) -> Result<Exit, Failure> {
    let tokens = with(place, async |database| database.tokens().await)?;
    let day = |at: i64| {
        let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
        at.strftime("%Y-%m-%d").to_string()
    };
    let mut text = String::new();
    for token in tokens {
        let until = match token.revoked_at {
            Some(at) => format!("taken back {}", day(at)),
            None => format!("until {}", day(token.expires_at)),
        };
        let used = token.used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {}", day(at)));
        text.push_str(&format!("{}  {}  {}  {until}  {used}\n", token.id, token.name, token.scopes));
    }
    Console::answer(&text);
    Ok(Exit::Ok)
}

pub(super) fn admin(verb: &Admin) -> Result<Exit, Failure> {
    let Admin::Backup(args) = verb;
    with(&args.place, async |database| database.backup(&args.to).await)?;
    Console::answer(&format!("written: {}\n", args.to.display()));
    Ok(Exit::Ok)
}

//! `soopervisor token`: API tokens of the server of this machine; and `soopervisor admin`: its database.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::console::Console;
use super::exit::Exit;
use super::failure::Failure;
use super::{seam, trigger};
use crate::server::http::token::{self, Scope};
use crate::store::database::{Database, DatabaseError, NewToken, Token as Known};

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
    #[arg(value_parser = name)]
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

/// The same names as over the API.
fn name(text: &str) -> Result<String, String> {
    if token::is_name(text) {
        return Ok(text.to_owned());
    }
    Err("a name has 1 to 100 characters that can be printed, and begins with one that can be seen".to_owned())
}

/// Opens the database and does something with it.
fn with<T, F: Future<Output = Result<T, DatabaseError>>>(
    place: &Where,
    act: impl FnOnce(Database) -> F,
) -> Result<T, Failure> {
    let address = trigger::database(place.database.as_deref())?;
    seam::block_on(async {
        let database = trigger::open(&address).await?;
        let done = act(database.clone()).await;
        database.close().await;
        done.map_err(|error| match error {
            DatabaseError::Missing { .. } | DatabaseError::Address(_) => Failure::of(Exit::Usage, &error),
            _ => trigger::unwritten(&error),
        })
    })
}

pub(super) fn execute(verb: &Token) -> Result<Exit, Failure> {
    match verb {
        Token::Create(args) => create(args),
        Token::List(place) => list(place),
        Token::Revoke(args) => revoke(args),
    }
}

fn create(args: &Create) -> Result<Exit, Failure> {
    let made = token::new().ok_or_else(|| Failure::new(Exit::Internal, "the system gives no random bytes"))?;
    let hash = token::hash(made.expose());
    with(&args.place, async |database| {
        let new = NewToken { name: &args.name, hash: &hash, scopes: args.scope.word(), lasts_ms: args.days * DAY_MS };
        database.add_token(&new, "cli").await
    })?;
    Console::answer(&format!("{}\n", String::from_utf8_lossy(made.expose())));
    Ok(Exit::Ok)
}

fn revoke(args: &Revoke) -> Result<Exit, Failure> {
    let before = with(&args.place, async |database| {
        let known = database.tokens().await?.into_iter().find(|token| token.id == args.id);
        let before = known.and_then(|token| token.revoked_at);
        if before.is_none() {
            database.revoke_token(args.id, "cli").await?;
        }
        Ok(before)
    })?;
    if let Some(at) = before {
        Console::note(&format!("token {} was taken back already, {}\n", args.id, day(at)));
    }
    Ok(Exit::Ok)
}

fn day(at: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    at.strftime("%Y-%m-%d").to_string()
}

/// Until when a token is good, as of now.
fn until(token: &Known, now: i64) -> String {
    match token.revoked_at {
        Some(at) => format!("taken back {}", day(at)),
        None if token.expires_at <= now => format!("expired {}", day(token.expires_at)),
        None => format!("until {}", day(token.expires_at)),
    }
}

fn list(place: &Where) -> Result<Exit, Failure> {
    let tokens = with(place, async |database| database.tokens().await)?;
    let now = jiff::Timestamp::now().as_millisecond();
    let mut text = String::new();
    for token in tokens {
        let until = until(&token, now);
        let used = token.used_at.map_or_else(|| "never used".to_owned(), |at| format!("used {}", day(at)));
        text.push_str(&format!("{}  {}  {}  {until}  {used}\n", token.id, token.name, token.scopes));
    }
    Console::answer(&text);
    Ok(Exit::Ok)
}

pub(super) fn admin(verb: &Admin) -> Result<Exit, Failure> {
    let Admin::Backup(args) = verb;
    if args.to.symlink_metadata().is_ok() {
        let what = format!("`{}` is there already, and a copy replaces nothing", args.to.display());
        return Err(Failure::new(Exit::Usage, what).help("name a file that is not there yet"));
    }
    with(&args.place, async |database| database.backup(&args.to).await)?;
    Console::answer(&format!("written: {}\n", args.to.display()));
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_called_as_over_the_api() {
        assert_eq!(name("laptop of ada"), Ok("laptop of ada".to_owned()));
        for refused in ["", " ", "a\nb", "\u{1b}[31m", &"x".repeat(101)] {
            assert!(name(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_token_that_is_good_no_more_does_not_look_good() {
        let token = |expires_at, revoked_at| Known {
            id: 1,
            name: "x".to_owned(),
            scopes: "read".to_owned(),
            created_at: 0,
            expires_at,
            used_at: None,
            revoked_at,
        };
        assert_eq!(until(&token(2 * DAY_MS, None), DAY_MS), "until 1970-01-03");
        assert_eq!(until(&token(2 * DAY_MS, None), 2 * DAY_MS), "expired 1970-01-03");
        assert_eq!(until(&token(2 * DAY_MS, Some(DAY_MS)), 3 * DAY_MS), "taken back 1970-01-02");
    }
}

//! What only an admin does: tokens, handlers, the audit log; and becoming the first one.

use std::sync::PoisonError;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Server;
use super::gate::{Looks, Rules};
use super::problem::Problem;
use super::repos::{Page, body, query};
use super::runs::number;
use super::token::{self, Scope};
use crate::server::reload::handler;
use crate::server::standing::Trouble;
use crate::store::database::{Database, DatabaseError, HandlerVersion, NewToken};

const DAY_MS: i64 = 86_400_000;
/// No token lasts longer than a year.
pub(super) const LONGEST_DAYS: i32 = 366;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetUp {
    token: String,
    name: Option<String>,
}

/// A token that was made; the only time that it is shown.
#[derive(Serialize)]
pub(super) struct Made {
    id: i64,
    name: String,
    token: String,
    expires_in_days: i64,
}

/// Makes a token for somebody and keeps what it hashes to.
async fn make(database: &Database, actor: &str, name: &str, scopes: &str, days: i32) -> Result<Made, Problem> {
    let days = i64::from(days);
    let made = token::new().ok_or_else(Problem::internal)?;
    let hash = token::hash(made.expose());
    let id = database.add_token(&NewToken { name, hash: &hash, scopes, lasts_ms: days * DAY_MS }, actor).await?;
    let token = String::from_utf8_lossy(made.expose()).into_owned();
    Ok(Made { id, name: name.to_owned(), token, expires_in_days: days })
}

fn checked_name(name: &str) -> Result<&str, Problem> {
    token::is_name(name)
        .then_some(name)
        .ok_or_else(|| Problem::bad("the name is empty, too long, or not printable", "choose another"))
}

pub(super) async fn set_up(
    State(server): State<Server>,
    ask: Result<Json<SetUp>, JsonRejection>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let Json(ask) = ask.map_err(body)?;
    let name = checked_name(ask.name.as_deref().unwrap_or("admin"))?;
    {
        let mut waiting = server.set_up.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.as_deref() != Some(&token::hash(ask.token.as_bytes())) {
            return Err(Problem::unauthorised());
        }
        // Used up before anything else can fail: the next start prints another as long as there is no admin.
        *waiting = None;
    }
    let made = make(&server.database, "set-up", name, Scope::Admin.word(), LONGEST_DAYS).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

#[derive(Serialize)]
pub(super) struct TokenList {
    tokens: Vec<TokenRow>,
}

#[derive(Serialize)]
struct TokenRow {
    id: i64,
    name: String,
    scopes: String,
    created_at: i64,
    expires_at: i64,
    used_at: Option<i64>,
    revoked_at: Option<i64>,
}

pub(super) async fn tokens(_: Rules, State(server): State<Server>) -> Result<Json<TokenList>, Problem> {
    let row = |token: crate::store::database::Token| TokenRow {
        id: token.id,
        name: token.name,
        scopes: token.scopes,
        created_at: token.created_at,
        expires_at: token.expires_at,
        used_at: token.used_at,
        revoked_at: token.revoked_at,
    };
    Ok(Json(TokenList { tokens: server.database.tokens().await?.into_iter().map(row).collect() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenAsk {
    name: String,
    scopes: Vec<String>,
    days: Option<f64>,
}

pub(super) async fn create_token(
    Rules(caller): Rules,
    State(server): State<Server>,
    ask: Result<Json<TokenAsk>, JsonRejection>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let Json(ask) = ask.map_err(body)?;
    let name = checked_name(&ask.name)?;
    // `7.0` is a whole number too, as JSON Schema counts them.
    let asked = ask.days.unwrap_or(90.0);
    let days = (1..=LONGEST_DAYS).find(|days| (asked - f64::from(*days)).abs() < f64::EPSILON);
    let days = days.ok_or_else(|| Problem::bad("`days` is between 1 and 366", "leave it out for 90"))?;
    let known = |scope: &String| scope.parse::<Scope>().is_ok();
    if ask.scopes.is_empty() || !ask.scopes.iter().all(known) {
        return Err(Problem::bad("`scopes` are of read, run and admin", "[\"read\"] is the least"));
    }
    let made = make(&server.database, &caller.name, name, &ask.scopes.join(" "), days).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

pub(super) async fn revoke_token(
    Rules(caller): Rules,
    State(server): State<Server>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<StatusCode, Problem> {
    server.database.revoke_token(number(id)?, &caller.name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
pub(super) struct AuditList {
    entries: Vec<AuditRow>,
}

#[derive(Serialize)]
struct AuditRow {
    at: i64,
    actor: String,
    verb: String,
    target: String,
    detail: String,
}

pub(super) async fn audit(
    _: Rules,
    State(server): State<Server>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<AuditList>, Problem> {
    let Query(page) = page.map_err(query)?;
    let row = |entry: crate::store::database::AuditEntry| AuditRow {
        at: entry.at,
        actor: entry.actor,
        verb: entry.verb,
        target: entry.target,
        detail: entry.detail,
    };
    let entries = server.database.audit(page.limit()?).await?.into_iter().map(row).collect();
    Ok(Json(AuditList { entries }))
}

#[derive(Serialize)]
pub(super) struct HandlerList {
    handlers: Vec<HandlerListed>,
}

/// A handler, wherever it is from. What is in the server's file is changed there.
#[derive(Serialize)]
struct HandlerListed {
    name: String,
    source: &'static str,
    version: Option<i64>,
    text: Option<String>,
    author: Option<String>,
    created_at: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct VersionList {
    handlers: Vec<HandlerRow>,
}

#[derive(Serialize)]
pub(super) struct HandlerRow {
    name: String,
    version: i64,
    text: Option<String>,
    author: String,
    created_at: i64,
}

impl From<HandlerVersion> for HandlerRow {
    fn from(version: HandlerVersion) -> Self {
        let HandlerVersion { name, version, text, author, created_at } = version;
        Self { name, version, text, author, created_at }
    }
}

pub(super) async fn handlers(_: Looks, State(server): State<Server>) -> Result<Json<HandlerList>, Problem> {
    let known = server.database.handlers().await?;
    let file = server.standing.file_alone().unwrap_or_default();
    let of_file = file.handlers.iter().map(|handler| HandlerListed {
        name: handler.name.clone(),
        source: "file",
        version: None,
        text: None,
        author: None,
        created_at: None,
    });
    let of_api = known.into_iter().map(|known| HandlerListed {
        name: known.name,
        source: "api",
        version: Some(known.version),
        text: known.text,
        author: Some(known.author),
        created_at: Some(known.created_at),
    });
    Ok(Json(HandlerList { handlers: of_file.chain(of_api).collect() }))
}

pub(super) async fn handler_versions(
    _: Looks,
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<Json<VersionList>, Problem> {
    let handlers: Vec<_> = server.database.handler_versions(&name).await?.into_iter().map(HandlerRow::from).collect();
    if handlers.is_empty() {
        return Err(DatabaseError::Missing { what: "handler", name }.into());
    }
    Ok(Json(VersionList { handlers }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HandlerAsk {
    text: String,
}

pub(super) async fn put_handler(
    Rules(caller): Rules,
    State(server): State<Server>,
    Path(name): Path<String>,
    ask: Result<Json<HandlerAsk>, JsonRejection>,
) -> Result<Json<HandlerRow>, Problem> {
    let Json(ask) = ask.map_err(body)?;
    let name = checked_name(&name)?;
    // The file alone: a new version may take the place of one that counts already, and none that of one of the file's.
    let Some(file) = server.standing.file_alone() else {
        let help = server.standing.mistaken().or_else(|| server.standing.unwatched());
        let help = help.unwrap_or_else(|| "start it with --config FILE".to_owned());
        return Err(Problem::bad("this server has no file that handlers could go by", help));
    };
    if let Err(trouble) = handler(name, &ask.text, &file) {
        let lines: Vec<String> = trouble.iter().map(Trouble::line).collect();
        return Err(Problem::bad(lines.join("\n"), "`soopervisor handlers schema` tells what a handler may say"));
    }
    write(&server, name, Some(&ask.text), &caller.name).await
}

pub(super) async fn delete_handler(
    Rules(caller): Rules,
    State(server): State<Server>,
    Path(name): Path<String>,
) -> Result<Json<HandlerRow>, Problem> {
    let there = server.database.handlers().await?.into_iter().any(|handler| handler.name == name);
    let written = server.standing.file_alone();
    if !there && written.is_some_and(|file| file.handlers.iter().any(|handler| handler.name == name)) {
        let error = format!("the handler `{name}` is in the server's file, and no request changes that");
        let help = "take it out there, or write `enabled: false` at it; the file is read again within seconds";
        return Err(Problem::new(StatusCode::CONFLICT, error, help));
    }
    if !there {
        return Err(DatabaseError::Missing { what: "handler", name }.into());
    }
    write(&server, &name, None, &caller.name).await
}

async fn write(server: &Server, name: &str, text: Option<&str>, author: &str) -> Result<Json<HandlerRow>, Problem> {
    let version = server.database.put_handler(name, text, author).await?;
    server.standing.written.notify_one();
    let versions = server.database.handler_versions(name).await?;
    let made = versions.into_iter().find(|known| known.version == version);
    made.map(|made| Json(made.into())).ok_or_else(Problem::internal)
}

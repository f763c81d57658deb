//! The button of the page: a form that asks for a run, which is what the API and the command line do.
//!
//! A browser sends whatever form a site makes for it. So a form counts that comes from a page of ours, that holds a seal
//! which only this process can have put there, and that brings a token which may start runs, where tokens are asked for.
//! That token is in the form's body alone; nothing of it is shown, logged or kept.

use std::collections::HashMap;
use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::post;
use url::form_urlencoded;

use super::super::gate::{self, Caller};
use super::super::problem::Problem;
use super::super::repos::{self, TriggerAsk};
use super::super::token::Scope;
use super::super::{Server, door, timely};
use crate::secret::Secret;
use crate::server::event::Kind;
use crate::store::database::{DatabaseError, Run};

/// No form of ours is longer.
const LONGEST: usize = 16 << 10;
/// What seals forms, for as long as this process lives; none where the system has no randomness to give.
static KEY: LazyLock<Option<hmac::Key>> =
    LazyLock::new(|| hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok());

pub(super) fn router() -> Router<Server> {
    let form = Router::new().route("/repos/{name}/trigger", post(trigger));
    form.layer(DefaultBodyLimit::max(LONGEST)).layer(axum::middleware::from_fn(timely))
}

/// The form of one repository.
pub(super) struct Form {
    /// Where it goes.
    pub(super) action: String,
    /// Shows that it comes from here.
    pub(super) seal: String,
}

impl Form {
    /// None where forms cannot be sealed.
    pub(super) fn of(repo: &str) -> Option<Self> {
        Some(Self { action: format!("/repos/{}/trigger", segment(repo)), seal: seal(repo)? })
    }
}

/// A name as one part of an address.
fn segment(name: &str) -> String {
    let mut part = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            part.push(char::from(byte));
        } else {
            part.push_str(&format!("%{byte:02X}"));
        }
    }
    part
}

fn sealed(repo: &str) -> Vec<u8> {
    format!("trigger\n{repo}").into_bytes()
}

fn seal(repo: &str) -> Option<String> {
    let key = KEY.as_ref()?;
    Some(hex::encode(hmac::sign(key, &sealed(repo)).as_ref()))
}

fn is_seal(repo: &str, seal: &str) -> bool {
    let (Some(key), Ok(seal)) = (KEY.as_ref(), hex::decode(seal)) else { return false };
    hmac::verify(key, &sealed(repo), &seal).is_ok()
}

/// What somebody filled in.
#[derive(Debug, Default)]
struct Filled {
    seal: String,
    reference: Option<String>,
    mode: Option<String>,
    token: Option<Secret>,
}

impl Filled {
    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let help = "programs ask by POST /api/trigger";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this is no form of the page", help));
        }
        let mut filled = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            let value = value.trim();
            let some = || (!value.is_empty()).then(|| value.to_owned());
            match &*name {
                "seal" => value.clone_into(&mut filled.seal),
                "ref" => filled.reference = some(),
                "mode" => filled.mode = some(),
                "token" => filled.token = Some(Secret::new("token", value.as_bytes().to_vec())),
                _ => return Err(Problem::bad("the form has a field that the page's has not", AGAIN)),
            }
        }
        Ok(filled)
    }

    /// Whoever the token is of, where it may start runs.
    async fn caller(&self, server: &Server) -> Result<Caller, Problem> {
        if let Some(anybody) = gate::anybody(server) {
            return Ok(anybody);
        }
        let shown = self.token.as_ref().map(|token| String::from_utf8_lossy(token.expose()));
        let known = gate::known(server, shown.as_deref().unwrap_or_default(), Scope::Run).await;
        known.map_err(|problem| match problem.status() {
            // Nothing that a browser should ask for by itself: it would send it with every request.
            StatusCode::UNAUTHORIZED => {
                let help = "write one that may start runs into it: `soopervisor token create NAME --scope run`";
                Problem::new(StatusCode::FORBIDDEN, "the form brought no API token that is known here", help)
            }
            _ => problem,
        })
    }
}

const AGAIN: &str = "load the overview again, and ask there";

async fn trigger(
    State(server): State<Server>,
    repo: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match asked(&server, repo, &headers, body).await {
        Ok(event) => Redirect::to(&format!("/?asked={event}")).into_response(),
        Err(problem) => refused(&problem),
    }
}

/// The number of the event that says what was asked for.
async fn asked(
    server: &Server,
    repo: Result<Path<String>, PathRejection>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<i64, Problem> {
    let file = server.standing.file();
    let public = file.as_ref().and_then(|file| file.server.public_url.as_deref());
    if !door::is_from_here(headers, public) {
        let help = "ask on this server's overview; behind a proxy, write `public_url` into the server's file; programs \
                    ask by POST /api/trigger";
        return Err(Problem::new(StatusCode::FORBIDDEN, "the form comes from another site", help));
    }
    let Path(repo) = repo.map_err(|_| Problem::missing("there is no such repository"))?;
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text(), AGAIN))?;
    let filled = Filled::read(headers, &body)?;
    if !is_seal(&repo, &filled.seal) {
        let error = "the form is not of this server, or from before it was started";
        return Err(Problem::new(StatusCode::FORBIDDEN, error, AGAIN));
    }
    let caller = filled.caller(server).await?;
    let ask = TriggerAsk { repo, r#ref: filled.reference, mode: filled.mode };
    Ok(repos::asked(server, &caller, &ask).await?.event)
}

#[derive(Template)]
#[template(path = "page/refused.html")]
struct Refused<'a> {
    error: &'a str,
    help: &'a str,
}

/// Why nothing was asked for, as a page.
fn refused(problem: &Problem) -> Response {
    match (Refused { error: problem.error(), help: problem.help() }).render() {
        Ok(page) => (problem.status(), Html(page)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page was not drawn");
            Problem::internal().into_response()
        }
    }
}

/// What became of what somebody asked for.
pub(super) struct Notice {
    /// The event.
    pub(super) event: i64,
    /// In words.
    pub(super) text: String,
    /// Its runs, newest first.
    pub(super) runs: Vec<i64>,
    /// Whether there may be a run of it soon.
    pub(super) again: bool,
}

impl Notice {
    /// Of an event that somebody asked for; none of any other number. `runs` are those of the page.
    pub(super) async fn of(
        server: &Server,
        id: i64,
        names: &HashMap<i64, String>,
        runs: &[Run],
    ) -> Result<Option<Self>, Problem> {
        let event = match server.database.event(id).await {
            Ok(event) if event.new.kind == Kind::Manual.name() => event,
            Ok(_) | Err(DatabaseError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let runs: Vec<i64> = runs.iter().filter(|run| run.new.event == Some(id)).map(|run| run.id).collect();
        let failed = event.state == "failed";
        let repo = event.new.repo.and_then(|repo| names.get(&repo)).map(String::as_str).unwrap_or_default();
        let mut text = format!("Event {id} asks for a run of {repo}");
        match &event.fault {
            Some(fault) if failed => text.push_str(&format!(", and failed: {fault}")),
            _ if runs.is_empty() => text.push_str(". There is no run of it yet."),
            _ => text.push('.'),
        }
        Ok(Some(Self { event: id, text, again: runs.is_empty() && !failed, runs }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(kind: &str, body: &str) -> Result<Filled, Problem> {
        let headers = [(CONTENT_TYPE, kind.parse().unwrap())].into_iter().collect();
        Filled::read(&headers, body.as_bytes())
    }

    #[test]
    fn a_seal_is_of_one_repository_and_nobody_makes_one_up() {
        let Form { action, seal } = Form::of("acme/churn").unwrap();
        assert_eq!(action, "/repos/acme%2Fchurn/trigger");
        assert!(is_seal("acme/churn", &seal));
        assert!(!is_seal("acme/report", &seal) && !is_seal("acme/churn", "") && !is_seal("acme/churn", "zz"));
        let other = if seal.starts_with('0') { "1" } else { "0" };
        assert!(!is_seal("acme/churn", &format!("{other}{}", &seal[1..])));
    }

    #[test]
    fn a_name_is_one_part_of_an_address_whatever_is_in_it() {
        assert_eq!(segment("a b/ü?#\"<"), "a%20b%2F%C3%BC%3F%23%22%3C");
    }

    #[test]
    fn a_form_has_the_fields_of_the_pages_and_empty_ones_are_none() {
        let usual = "application/x-www-form-urlencoded; charset=UTF-8";
        let read = filled(usual, "seal=ab&ref=+feat%2Fx+&mode=&token=+soop_1+").unwrap();
        assert_eq!((read.seal.as_str(), read.reference.as_deref(), read.mode.as_deref()), ("ab", Some("feat/x"), None));
        assert_eq!(read.token.as_ref().unwrap().expose(), b"soop_1");
        assert!(!format!("{read:?}").contains("soop_1"));
        let status = |read: Result<Filled, Problem>| read.unwrap_err().status().as_u16();
        assert_eq!(status(filled(usual, "seal=ab&colour=red")), 400);
        assert_eq!((status(filled("text/plain", "seal=ab")), status(filled("application/json", "{}"))), (415, 415));
    }
}

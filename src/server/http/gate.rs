//! Who asks, and whether they may: bearer tokens everywhere, and for a browser that only looks, the same token as a
//! password. A form of the page brings its token in its body. No cookie is ever set, so no other site can act in a reader's
//! name.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::problem::Problem;
use super::token::{self, Scope};
use super::{Auth, Server};

/// Somebody who may do what the request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// The token's name; `anybody` where no token is asked for.
    pub(super) name: String,
}

/// Whoever may look.
pub(super) struct Looks;
/// Whoever may start and stop runs.
pub(super) struct Runs(pub(super) Caller);
/// Whoever may do everything.
pub(super) struct Rules(pub(super) Caller);

macro_rules! gate {
    ($name:ident, $scope:expr, $made:expr) => {
        impl FromRequestParts<Server> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self, Problem> {
                let looks = matches!(parts.method, Method::GET | Method::HEAD);
                pass(server, &parts.headers, looks, $scope).await.map($made)
            }
        }
    };
}

gate!(Looks, Scope::Read, |_| Looks);
gate!(Runs, Scope::Run, Runs);
gate!(Rules, Scope::Admin, Rules);

async fn pass(server: &Server, headers: &HeaderMap, looks: bool, wanted: Scope) -> Result<Caller, Problem> {
    if let Some(anybody) = anybody(server) {
        return Ok(anybody);
    }
    let shown = shown(headers, looks).ok_or_else(Problem::unauthorised)?;
    known(server, &shown, wanted).await
}

/// Everybody, where nobody is asked for a token.
pub(super) fn anybody(server: &Server) -> Option<Caller> {
    (server.auth == Auth::Nobody).then(|| Caller { name: "anybody".to_owned() })
}

/// Whoever shows this token, where it allows what is wanted.
pub(super) async fn known(server: &Server, shown: &str, wanted: Scope) -> Result<Caller, Problem> {
    if !token::is_one(shown) {
        return Err(Problem::unauthorised());
    }
    let known = server.database.token(&token::hash(shown.as_bytes())).await?.ok_or_else(Problem::unauthorised)?;
    match Scope::most(&known.scopes) {
        Some(scope) if scope >= wanted => Ok(Caller { name: known.name }),
        _ => Err(Problem::forbidden(wanted)),
    }
}

/// The token that a request shows.
fn shown(headers: &HeaderMap, looks: bool) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    // A browser sends this by itself, also when another site makes it: good for looking only.
    if scheme.eq_ignore_ascii_case("basic") && looks {
        let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        return pair.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}

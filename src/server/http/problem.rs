//! Answers that are no success: a status, what is wrong, and what to do. Never what the database or a file said in detail.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::token::Scope;
use crate::server::room;
use crate::store::database::DatabaseError;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    error: String,
    help: String,
}

#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    help: &'a str,
}

impl Problem {
    /// A problem with these words.
    pub(super) fn new(status: StatusCode, error: impl Into<String>, help: impl Into<String>) -> Self {
        Self { status, error: error.into(), help: help.into() }
    }

    /// Its status.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong.
    pub(super) fn error(&self) -> &str {
        &self.error
    }

    /// What to do.
    pub(super) fn help(&self) -> &str {
        &self.help
    }

    /// The request makes no sense.
    pub(super) fn bad(error: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, help)
    }

    /// No token, or none that is good.
    pub(super) fn unauthorised() -> Self {
        let help = "send `Authorization: Bearer soop_…`; `soopervisor token create` makes one";
        Self::new(StatusCode::UNAUTHORIZED, "a token is needed", help)
    }

    /// A token that allows too little.
    pub(super) fn forbidden(wanted: Scope) -> Self {
        let error = format!("the token does not have the scope `{}`", wanted.word());
        Self::new(StatusCode::FORBIDDEN, error, "use a token with more scope")
    }

    /// Not there.
    pub(super) fn missing(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, "see /api/openapi.json for what there is")
    }

    /// Our own fault; the log says more.
    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server could not do it", "the server's log says why")
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        if matches!(error, DatabaseError::Missing { .. }) {
            return Self::missing(error.to_string());
        }
        tracing::error!(error = room::words(&error), "a request failed");
        Self::internal()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Json(Body { error: &self.error, help: &self.help });
        let mut response = (self.status, body).into_response();
        let more = match self.status {
            // Makes a browser ask for the token.
            StatusCode::UNAUTHORIZED => {
                Some((WWW_AUTHENTICATE, "Basic realm=\"soopervisor: any user, a token as the password\""))
            }
            // What there is too much of now is less then, and who is told to stop has done so.
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "30")),
            _ => None,
        };
        if let Some((name, value)) = more {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

//! Why a reading failed, in the classes that decide when to read again.

use std::time::Duration;

use thiserror::Error;

use super::answer::AnswerError;
use crate::web;

/// A reading that failed. Never holds an address or a credential.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// The server was not reached, or broke off.
    #[error("the server was not reached: {0}")]
    Network(String),
    /// The server answers, but not with refs, or says that it is ill.
    #[error("the server is not well: {0}")]
    Server(String),
    /// Not there, or not for us: a server does not tell which. With what it answered over HTTP, else 0.
    #[error("no access{}: the repository is not there, or the credential does not fit", answered(*.0))]
    Denied(u16),
    /// Too much was asked of the host.
    #[error("the host asks for a pause")]
    Throttled(Option<Duration>),
    /// The address or the credential cannot be used at all.
    #[error("{0}")]
    Setting(String),
}

/// What a fault is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Waits longer each time.
    Passing,
    /// Is shown as `no access` and looked at again now and then.
    Denied,
    /// Concerns the whole host.
    Throttled,
}

fn answered(status: u16) -> String {
    if status == 0 { String::new() } else { format!(" (HTTP {status})") }
}

impl Fault {
    /// Its class.
    pub fn class(&self) -> Class {
        match self {
            Self::Network(_) | Self::Server(_) => Class::Passing,
            Self::Denied(_) | Self::Setting(_) => Class::Denied,
            Self::Throttled(_) => Class::Throttled,
        }
    }

    /// How long the host asks to be left alone, where it says.
    pub fn pause(&self) -> Option<Duration> {
        match self {
            Self::Throttled(after) => *after,
            _ => None,
        }
    }

    /// The word in metrics.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Network(_) => "network",
            Self::Server(_) => "server",
            Self::Denied(_) => "denied",
            Self::Throttled(_) => "throttled",
            Self::Setting(_) => "setting",
        }
    }

    /// What an HTTP status that is not 200 means.
    pub(super) fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            429 => Self::Throttled(retry_after),
            // GitHub says 403 for a secondary limit, and then says when to come back.
            403 | 503 if retry_after.is_some() => Self::Throttled(retry_after),
            401 | 403 | 404 | 410 | 451 => Self::Denied(status),
            _ => Self::Server(format!("HTTP {status}")),
        }
    }

    /// Why there is no password to show.
    pub(super) fn of_login(fault: &web::Fault) -> Self {
        let words = format!("there is no token to show: {fault}");
        match fault {
            web::Fault::Throttled(after) => Self::Throttled(*after),
            fault if fault.is_passing() => Self::Network(words),
            _ => Self::Setting(words),
        }
    }

    /// reqwest's words without the address, which may hold a password.
    pub(super) fn of_request(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut words = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            words = cause.to_string();
            source = cause.source();
        }
        Self::Network(words)
    }
}

impl From<AnswerError> for Fault {
    fn from(error: AnswerError) -> Self {
        Self::Server(error.to_string())
    }
}

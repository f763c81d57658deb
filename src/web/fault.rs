//! What can go wrong with a request: few kinds, each of which the caller treats in its own way.

use std::time::Duration;

use thiserror::Error;

use super::waits::spoken;

/// How a fault begins where there was no connection.
const UNCONNECTED: &str = "no connection";

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// What was asked for is not there.
    #[error("not found")]
    NotFound,
    /// What was to be made is there already.
    #[error("it is there already")]
    Exists,
    /// Too much was asked for; retries did not help.
    #[error("the service asks for fewer requests{}", after(.0.as_ref()))]
    Throttled(Option<Duration>),
    /// What an app or an account may ask for in a day is used up.
    #[error("the limit of the day is reached: {0}")]
    Spent(String),
    /// Nobody is logged in, or no longer.
    #[error("{0}")]
    Login(String),
    /// Logged in, and not allowed.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// The account has no room left.
    #[error("the account is full")]
    Full,
    /// One file is larger than the service or the account's plan takes.
    #[error("the file is larger than the account may store{}", most(.0.as_ref()))]
    TooLarge(Option<u64>),
    /// What arrived is not what was sent.
    #[error("what was stored is not what was sent: {0}")]
    Damaged(String),
    /// The service refused for a reason that repeating does not mend.
    #[error("the service answered {status}: {words}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its code and words, cut, without anything secret.
        words: String,
    },
    /// The service or the way to it failed; retries did not help.
    #[error("{0}")]
    Broken(String),
    /// An answer that cannot be understood.
    #[error("the service's answer cannot be understood: {0}")]
    Form(String),
    /// Something is set that cannot be right.
    #[error("{0}")]
    Setting(String),
    /// A file of this machine changed while it was sent.
    #[error("the file changed while it was sent")]
    Changed,
    /// A file of this machine failed while it was sent.
    #[error("{0}")]
    Local(String),
}

impl Fault {
    /// A failure of the way, without the address: it may be a credential.
    pub fn network(error: reqwest::Error) -> Self {
        let what = match &error {
            error if error.is_timeout() => "no answer in time",
            error if error.is_connect() => UNCONNECTED,
            _ => "the connection broke",
        };
        let error = error.without_url();
        let mut causes = Vec::new();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(at) = cause {
            causes.push(at.to_string());
            cause = at.source();
        }
        // Some have no words of their own.
        causes.retain(|words| !words.trim().is_empty());
        match causes.last() {
            Some(last) => Self::Broken(format!("{what}: {last}")),
            None => Self::Broken(what.to_owned()),
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Broken(_))
    }

    /// Whether nobody could be connected to: whatever else is asked there now comes to the same.
    pub fn is_unconnected(&self) -> bool {
        matches!(self, Self::Broken(words) if words.starts_with(UNCONNECTED))
    }

    /// A refusal with a service's own words, cut to what people read.
    pub fn refused(status: u16, words: &str) -> Self {
        let words: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        Self::Refused { status, words: words.trim().to_owned() }
    }
}

fn after(delay: Option<&Duration>) -> String {
    delay.map(|delay| format!(" for {}", spoken(*delay))).unwrap_or_default()
}

fn most(bytes: Option<&u64>) -> String {
    bytes.map(|bytes| format!(" ({bytes} bytes)")).unwrap_or_default()
}

//! What can go wrong with the server's database.

use thiserror::Error;

/// Why the database did not do what was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The address is of no database that is known here.
    #[error("`{0}` is no database: write `sqlite:/folder/ledger.db` or `postgres://user@host/name`")]
    Address(String),
    /// It could not be reached.
    #[error("the database cannot be opened")]
    Open(#[source] sqlx::Error),
    /// A migration failed, and nothing of it was kept.
    #[error("the database cannot be brought to version {version}")]
    Migration {
        /// The version it was to have.
        version: i64,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// A newer program was here.
    #[error("the database has version {found}, this program knows up to {known}: use the newer soopervisor")]
    Newer {
        /// The version in it.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// A statement failed.
    #[error("the database could not {action}")]
    Query {
        /// What was tried.
        action: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// What is stored is not what this program stores.
    #[error("the database holds something that is not understood: {0}")]
    Content(String),
    /// The lease is gone: another worker has the run, or it has ended. Nothing was written.
    #[error("run {run} is no longer held with epoch {epoch}: stop working on it")]
    Fenced {
        /// The run, or the outbox row.
        run: i64,
        /// The epoch that was shown.
        epoch: i64,
    },
    /// There is no such row.
    #[error("there is no {what} `{name}`")]
    Missing {
        /// A repository, a run, a token.
        what: &'static str,
        /// As asked for.
        name: String,
    },
}

impl DatabaseError {
    /// Attaches what was tried.
    pub(super) fn query(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Query { action, source }
    }
}

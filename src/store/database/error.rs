//! What can go wrong with the server's database.

use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

/// Of all databases of this process.
static BUSY: AtomicU64 = AtomicU64::new(0);

/// How many statements of this process gave up waiting for others: for a lock, or for a connection.
pub fn busy() -> u64 {
    BUSY.load(Ordering::Relaxed)
}

fn is_busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        // SQLite says it in words; Postgres by the codes of a conflict, of a deadlock, and of a lock that is not to be had.
        sqlx::Error::Database(said) => {
            let code = said.code().unwrap_or_default();
            said.message().contains("is locked") || matches!(&*code, "40001" | "40P01" | "55P03")
        }
        _ => false,
    }
}

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
    /// It is not copied.
    #[error("no copy was made: {0}")]
    Copy(String),
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
        move |source| {
            if is_busy(&source) {
                BUSY.fetch_add(1, Ordering::Relaxed);
            }
            Self::Query { action, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::database::Database;

    #[tokio::test]
    async fn a_statement_that_gives_up_waiting_for_another_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("sqlite:{}", folder.path().join("it.db").display());
        let (one, other) = (Database::open(&address).await.unwrap(), Database::open(&address).await.unwrap());
        let before = busy();
        let held = one.begin().await.unwrap();
        // For five seconds, as every connection is set to.
        let refused = other.move_cursor("where", &json!(1)).await;
        assert!(refused.is_err() && busy() > before, "{refused:?}");
        held.rollback().await.unwrap();
        other.move_cursor("where", &json!(1)).await.unwrap();
        assert!(!is_busy(&sqlx::Error::RowNotFound));
    }
}

//! Who changed what, and when. Rows are added, swept when they are old, and never changed.

use sqlx::any::AnyRow;

use super::error::DatabaseError;
use super::link::Database;
use super::row::Fields;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// A token's name, or who else it was.
    pub actor: String,
    /// What was done: `run.cancel`.
    pub verb: String,
    /// To what.
    pub target: String,
    /// How it went.
    pub detail: String,
}

impl Database {
    /// Notes a change.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn note(&self, actor: &str, verb: &str, target: &str, detail: &str) -> Result<(), DatabaseError> {
        let text = self.sql("INSERT INTO audit (at, actor, verb, target, detail) VALUES (now_ms(), $1, $2, $3, $4)");
        let query = sqlx::query(text).bind(actor).bind(verb).bind(target).bind(detail);
        query.execute(self.writer()).await.map_err(DatabaseError::query("note a change"))?;
        Ok(())
    }

    /// The newest changes, newest first.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn audit(&self, limit: i64) -> Result<Vec<Entry>, DatabaseError> {
        let text = "SELECT at, actor, verb, target, detail FROM audit ORDER BY id DESC LIMIT $1";
        let rows = sqlx::query(text).bind(limit).fetch_all(self.reader()).await;
        let read = |row: &AnyRow| {
            let (actor, verb) = (row.text("actor")?, row.text("verb")?);
            Ok(Entry { at: row.int("at")?, actor, verb, target: row.text("target")?, detail: row.text("detail")? })
        };
        rows.map_err(DatabaseError::query("read the audit log"))?.iter().map(read).collect()
    }
}

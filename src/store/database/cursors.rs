//! How far lists of forges were read: one small document a list, which only its reader understands.

use serde_json::Value;

use super::error::DatabaseError;
use super::link::Database;
use super::row::Fields;

impl Database {
    /// How far a list was read; none where it was not yet.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn cursor(&self, name: &str) -> Result<Option<Value>, DatabaseError> {
        let row =
            sqlx::query("SELECT document FROM cursors WHERE name = $1").bind(name).fetch_optional(self.reader()).await;
        row.map_err(DatabaseError::query("read how far a list was read"))?.map(|row| row.json("document")).transpose()
    }

    /// Notes it, in place of what was there.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn move_cursor(&self, name: &str, document: &Value) -> Result<(), DatabaseError> {
        let text = self.sql(
            "INSERT INTO cursors (name, document, changed_at) VALUES ($1, $2, now_ms()) ON CONFLICT (name) \
             DO UPDATE SET document = excluded.document, changed_at = excluded.changed_at",
        );
        let query = sqlx::query(text).bind(name).bind(document.to_string());
        query.execute(self.writer()).await.map_err(DatabaseError::query("note how far a list was read"))?;
        Ok(())
    }
}

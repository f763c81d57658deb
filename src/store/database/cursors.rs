//! How far lists of forges were read: one small document a list, which only its reader understands.

use serde_json::Value;

use super::error::DatabaseError;
use super::link::{AnyQuery, Database};
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
        let query = self.moving(name, document);
        query.execute(self.writer()).await.map_err(DatabaseError::query("note how far a list was read"))?;
        Ok(())
    }

    /// Whether it takes a transaction that writes, from its beginning to its end: notes the document as
    /// [`Self::move_cursor`] does, which needs none and may go well where none can be begun.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn try_writing(&self, name: &str, document: &Value) -> Result<(), DatabaseError> {
        let mut transaction = self.begin().await?;
        let query = self.moving(name, document);
        query.execute(&mut *transaction).await.map_err(DatabaseError::query("write"))?;
        transaction.commit().await.map_err(DatabaseError::query("end a transaction"))
    }

    fn moving<'a>(&self, name: &'a str, document: &Value) -> AnyQuery<'a> {
        let text = self.sql(
            "INSERT INTO cursors (name, document, changed_at) VALUES ($1, $2, now_ms()) ON CONFLICT (name) \
             DO UPDATE SET document = excluded.document, changed_at = excluded.changed_at",
        );
        sqlx::query(text).bind(name).bind(document.to_string())
    }
}

//! What is remembered of builds elsewhere: one document for a source and what builds it.

use serde_json::Value;

use super::error::DatabaseError;
use super::link::Database;
use super::row::Fields;

impl Database {
    /// What is remembered under a name.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn builds(&self, name: &str) -> Result<Option<Value>, DatabaseError> {
        let text = "SELECT document FROM builds WHERE name = $1";
        let row = sqlx::query(text).bind(name).fetch_optional(self.reader()).await;
        row.map_err(DatabaseError::query("read what was built"))?.map(|row| row.json("document")).transpose()
    }

    /// Remembers it under a name, in place of what was there.
    ///
    /// # Errors
    /// When the database says no: nothing must be asked for then.
    pub async fn remember_builds(&self, name: &str, document: &Value) -> Result<(), DatabaseError> {
        let text = self.sql(
            "INSERT INTO builds (name, document, changed_at) VALUES ($1, $2, now_ms()) ON CONFLICT (name) \
             DO UPDATE SET document = excluded.document, changed_at = excluded.changed_at",
        );
        let query = sqlx::query(text).bind(name).bind(document.to_string());
        query.execute(self.writer()).await.map_err(DatabaseError::query("note what is built"))?;
        Ok(())
    }
}

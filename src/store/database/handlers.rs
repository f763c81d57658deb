//! Handlers that came over the API: every version is kept, the newest counts, and one without text is gone.

use sqlx::any::AnyRow;

use super::audit::{Deed, note};
use super::error::DatabaseError;
use super::link::Database;
use super::row::Fields;

/// One version of a handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerVersion {
    /// The handler.
    pub name: String,
    /// From 1.
    pub version: i64,
    /// As written; nothing when this version removed it.
    pub text: Option<String>,
    /// Who wrote it.
    pub author: String,
    /// When, in milliseconds since 1970.
    pub created_at: i64,
}

impl HandlerVersion {
    fn of(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            name: row.text("name")?,
            version: row.int("version")?,
            text: row.maybe_text("text")?,
            author: row.text("author")?,
            created_at: row.int("created_at")?,
        })
    }
}

impl Database {
    /// Adds a version, and notes who does; its number comes back.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn put_handler(&self, name: &str, text: Option<&str>, author: &str) -> Result<i64, DatabaseError> {
        let fault = || DatabaseError::query("keep a handler");
        let mut transaction = self.begin_alone().await?;
        let query = self.sql(
            "INSERT INTO handlers (name, version, text, author, created_at) VALUES ($1, \
             1 + COALESCE((SELECT max(version) FROM handlers WHERE name = $1), 0), $2, $3, now_ms()) RETURNING version",
        );
        let query = sqlx::query(query).bind(name).bind(text).bind(author);
        let version = query.fetch_one(&mut *transaction).await.map_err(fault())?.int("version")?;
        let (verb, detail) = (if text.is_some() { "handler.put" } else { "handler.delete" }, version.to_string());
        note(self, &mut transaction, Deed { actor: author, verb, target: name, detail: &detail }).await?;
        transaction.commit().await.map_err(fault())?;
        Ok(version)
    }

    /// The newest version of every handler that is not gone, by name.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn handlers(&self) -> Result<Vec<HandlerVersion>, DatabaseError> {
        let text = "SELECT name, version, text, author, created_at FROM handlers h WHERE text IS NOT NULL \
                    AND version = (SELECT max(version) FROM handlers n WHERE n.name = h.name) ORDER BY name";
        let rows = sqlx::query(text).fetch_all(self.reader()).await.map_err(DatabaseError::query("list handlers"))?;
        rows.iter().map(HandlerVersion::of).collect()
    }

    /// Every version of a handler, newest first.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn handler_versions(&self, name: &str) -> Result<Vec<HandlerVersion>, DatabaseError> {
        let text = "SELECT name, version, text, author, created_at FROM handlers WHERE name = $1 ORDER BY version DESC";
        let rows = sqlx::query(text).bind(name).fetch_all(self.reader()).await;
        rows.map_err(DatabaseError::query("read a handler"))?.iter().map(HandlerVersion::of).collect()
    }
}

//! What runs published: where it is, and its first files, for whoever lists them. The manifest in the storage is the truth.

use serde::{Deserialize, Serialize};

use super::error::DatabaseError;
use super::link::Database;
use super::queue::{fenced, held};
use super::row::Fields;

/// What a run published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifacts {
    /// The folder in the storage, as a person opens it.
    pub location: String,
    /// Files, links included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first of them.
    pub listing: Vec<Artifact>,
}

/// One published file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its path in the folder.
    pub path: String,
    /// Its bytes.
    pub size: u64,
}

impl Database {
    /// Notes what a run published.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] when the claim is gone.
    pub async fn published(&self, run: i64, epoch: i64, artifacts: &Artifacts) -> Result<(), DatabaseError> {
        let broken = |error: serde_json::Error| DatabaseError::Content(error.to_string());
        let text = concat!("UPDATE runs SET artifacts = $3 WHERE ", held!());
        let query = sqlx::query(self.sql(text)).bind(run).bind(epoch);
        let query = query.bind(serde_json::to_string(artifacts).map_err(broken)?);
        let done = query.execute(self.writer()).await.map_err(DatabaseError::query("note what was published"))?;
        fenced(done.rows_affected(), run, epoch)
    }

    /// What a run published; nothing when it did not.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn artifacts(&self, run: i64) -> Result<Option<Artifacts>, DatabaseError> {
        let query = sqlx::query("SELECT artifacts FROM runs WHERE id = $1").bind(run);
        let row = query.fetch_optional(self.reader()).await;
        let row = row.map_err(DatabaseError::query("read what was published"))?;
        let text = row.map(|row| row.maybe_text("artifacts")).transpose()?.flatten();
        let broken = |error: serde_json::Error| DatabaseError::Content(error.to_string());
        text.map(|text| serde_json::from_str(&text).map_err(broken)).transpose()
    }
}

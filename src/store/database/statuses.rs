//! Statuses of commits: which was asked for last, so that an older one is never told after it, and what is left to be told
//! later, when there is room for it.

use serde_json::Value;
use sqlx::any::AnyRow;

use super::error::DatabaseError;
use super::link::Database;
use super::row::Fields;

/// Which status it is: a commit has one of each name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StatusKey {
    /// The repository, as the server's file calls it.
    pub repo: String,
    /// The commit.
    pub sha: String,
    /// The status's name, as forges tell them apart.
    pub context: String,
}

/// A status that is left to be told later.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftStatus {
    /// Which.
    pub key: StatusKey,
    /// To be shown when it is told.
    pub generation: i64,
    /// What it says.
    pub document: Value,
}

impl LeftStatus {
    fn of(row: &AnyRow) -> Result<Self, DatabaseError> {
        let key = StatusKey { repo: row.text("repo")?, sha: row.text("sha")?, context: row.text("context")? };
        Ok(Self { key, generation: row.int("generation")?, document: row.json("waiting")? })
    }
}

impl Database {
    /// Notes that a status is asked for, on account of an event: whatever was left of an older one is taken out. Its
    /// generation comes back, or nothing when it is itself the older one: it says that something begins, and how a later
    /// event's ended was asked for already.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn note_status(&self, key: &StatusKey, event: i64, ends: bool) -> Result<Option<i64>, DatabaseError> {
        let text = self.sql(
            "INSERT INTO statuses (repo, sha, context, generation, event_id, ends, changed_at) \
             VALUES ($1, $2, $3, 1, $4, $5, now_ms()) ON CONFLICT (repo, sha, context) DO UPDATE SET \
             generation = statuses.generation + 1, event_id = excluded.event_id, ends = excluded.ends, waiting = NULL, \
             changed_at = excluded.changed_at \
             WHERE excluded.ends = 1 OR statuses.ends = 0 OR statuses.event_id <= excluded.event_id \
             RETURNING generation",
        );
        let query = sqlx::query(text).bind(&key.repo).bind(&key.sha).bind(&key.context);
        let query = query.bind(event).bind(i64::from(ends));
        let row = query.fetch_optional(self.writer()).await.map_err(DatabaseError::query("note a status"))?;
        row.map(|row| row.int("generation")).transpose()
    }

    /// Whether none that is newer was asked for.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn status_stands(&self, key: &StatusKey, generation: i64) -> Result<bool, DatabaseError> {
        let text = "SELECT generation FROM statuses WHERE repo = $1 AND sha = $2 AND context = $3";
        let query = sqlx::query(text).bind(&key.repo).bind(&key.sha).bind(&key.context);
        let row = query.fetch_optional(self.reader()).await.map_err(DatabaseError::query("look for a status"))?;
        Ok(row.map(|row| row.int("generation")).transpose()? == Some(generation))
    }

    /// Leaves a status to be told later, unless one that is newer was asked for. Whether it is left.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn leave_status(&self, left: &LeftStatus) -> Result<bool, DatabaseError> {
        let text = "UPDATE statuses SET waiting = $5 WHERE repo = $1 AND sha = $2 AND context = $3 AND generation = $4";
        let query = sqlx::query(text).bind(&left.key.repo).bind(&left.key.sha).bind(&left.key.context);
        let query = query.bind(left.generation).bind(left.document.to_string());
        let done = query.execute(self.writer()).await.map_err(DatabaseError::query("leave a status for later"))?;
        Ok(done.rows_affected() == 1)
    }

    /// All that are left to be told, oldest first.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn left_statuses(&self) -> Result<Vec<LeftStatus>, DatabaseError> {
        let text = "SELECT repo, sha, context, generation, waiting FROM statuses WHERE waiting IS NOT NULL \
                    ORDER BY changed_at, repo, sha, context";
        let rows = sqlx::query(text).fetch_all(self.reader()).await;
        rows.map_err(DatabaseError::query("list statuses"))?.iter().map(LeftStatus::of).collect()
    }

    /// Whether a status that was left is still to be told.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn is_left(&self, left: &LeftStatus) -> Result<bool, DatabaseError> {
        let text = "SELECT 1 AS there FROM statuses WHERE repo = $1 AND sha = $2 AND context = $3 AND generation = $4 \
                    AND waiting IS NOT NULL";
        let query = sqlx::query(text).bind(&left.key.repo).bind(&left.key.sha).bind(&left.key.context);
        let row = query.bind(left.generation).fetch_optional(self.reader()).await;
        Ok(row.map_err(DatabaseError::query("look for a status"))?.is_some())
    }

    /// A status that was left is told, or nobody ever will.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn settle_left(&self, left: &LeftStatus) -> Result<(), DatabaseError> {
        let text = "UPDATE statuses SET waiting = NULL \
                    WHERE repo = $1 AND sha = $2 AND context = $3 AND generation = $4";
        let query = sqlx::query(text).bind(&left.key.repo).bind(&left.key.sha).bind(&left.key.context);
        let done = query.bind(left.generation).execute(self.writer()).await;
        done.map_err(DatabaseError::query("note that a status was told"))?;
        Ok(())
    }
}

//! What is removed with time, in small batches, and the copy that is kept of the rest.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::error::DatabaseError;
use super::link::{Database, Dialect};

const DAY_MS: i64 = 86_400_000;
const BATCH: i64 = 500;

/// How long things are kept, in milliseconds. Runs are kept for ever; what would ask for one again is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Raw deliveries that are done or failed.
    pub deliveries_ms: i64,
    /// Events that were handled, with their actions.
    pub events_ms: i64,
    /// What is remembered of refs that are gone.
    pub tombstones_ms: i64,
    /// The audit log.
    pub audit_ms: i64,
    /// What was built elsewhere for repositories that are no longer watched. For one that is watched it is never too old: a
    /// schedule asks again for a commit that was built long ago.
    pub builds_ms: i64,
    /// The keys of runs that ended. Whatever asks a second time is found by its event, its delivery or its step for as long
    /// as those are kept, so this is far longer than all of them.
    pub keys_ms: i64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            deliveries_ms: 7 * DAY_MS,
            events_ms: 90 * DAY_MS,
            tombstones_ms: 30 * DAY_MS,
            audit_ms: 365 * DAY_MS,
            builds_ms: 90 * DAY_MS,
            keys_ms: 400 * DAY_MS,
        }
    }
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Deliveries.
    pub deliveries: u64,
    /// Events.
    pub events: u64,
    /// Tombstones.
    pub tombstones: u64,
    /// Rows of the audit log.
    pub audit: u64,
    /// Builds elsewhere.
    pub builds: u64,
    /// Keys of runs.
    pub keys: u64,
}

impl Database {
    /// Removes what is old enough. What waits is never removed.
    ///
    /// # Errors
    /// When the database says no; what was removed until then stays so.
    pub async fn sweep(&self, retention: Retention) -> Result<Swept, DatabaseError> {
        let swept = Swept {
            deliveries: self
                .remove(
                    "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries \
                     WHERE state <> 'waiting' AND received_at <= now_ms() - $1 LIMIT $2)",
                    retention.deliveries_ms,
                )
                .await?,
            events: self
                .remove(
                    "DELETE FROM events WHERE id IN (SELECT id FROM events e WHERE state NOT IN ('waiting', 'asked') \
                     AND created_at <= now_ms() - $1 AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.event_id = e.id \
                     AND o.state IN ('waiting', 'doing')) LIMIT $2)",
                    retention.events_ms,
                )
                .await?,
            tombstones: self
                .remove(
                    "DELETE FROM refs WHERE (repo_id, name) IN (SELECT repo_id, name FROM refs \
                     WHERE deleted_at <= now_ms() - $1 LIMIT $2)",
                    retention.tombstones_ms,
                )
                .await?,
            audit: self
                .remove(
                    "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at <= now_ms() - $1 LIMIT $2)",
                    retention.audit_ms,
                )
                .await?,
            // The name begins with the repository's.
            builds: self
                .remove(
                    "DELETE FROM builds WHERE name IN (SELECT name FROM builds b WHERE changed_at <= now_ms() - $1 \
                     AND NOT EXISTS (SELECT 1 FROM repos r WHERE r.active = 1 \
                     AND substr(b.name, 1, length(r.name) + 1) = r.name || ' ') LIMIT $2)",
                    retention.builds_ms,
                )
                .await?,
            // A short one in its place, which nobody asks for: the run itself stays.
            keys: self
                .remove(
                    "UPDATE runs SET key = 'old ' || id WHERE id IN (SELECT id FROM runs \
                     WHERE ended_at <= now_ms() - $1 AND key <> 'old ' || id LIMIT $2)",
                    retention.keys_ms,
                )
                .await?,
        };
        let journal = "DELETE FROM journal WHERE (event, handler, step) IN (SELECT event, handler, step FROM journal \
                       WHERE begun_at <= now_ms() - $1 LIMIT $2)";
        self.remove(journal, retention.events_ms).await?;
        let statuses = "DELETE FROM statuses WHERE (repo, sha, context) IN (SELECT repo, sha, context FROM statuses \
                        WHERE changed_at <= now_ms() - $1 AND waiting IS NULL LIMIT $2)";
        self.remove(statuses, retention.events_ms).await?;
        if self.dialect() == Dialect::Sqlite {
            // The second shortens the file and its log, which otherwise keep the size that they once had. Where somebody reads,
            // it does what it can, and the next sweep does the rest.
            let vacuum = sqlx::raw_sql("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)");
            vacuum.execute(self.writer()).await.map_err(DatabaseError::query("give room back"))?;
        }
        Ok(swept)
    }

    async fn remove(&self, text: &'static str, age_ms: i64) -> Result<u64, DatabaseError> {
        let mut removed = 0;
        loop {
            let done = sqlx::query(self.sql(text)).bind(age_ms).bind(BATCH).execute(self.writer()).await;
            let rows = done.map_err(DatabaseError::query("sweep"))?.rows_affected();
            removed += rows;
            if rows < BATCH.unsigned_abs() {
                return Ok(removed);
            }
        }
    }

    /// Writes a whole, consistent copy to a file that is not there yet, while everything goes on.
    ///
    /// # Errors
    /// When the file exists or cannot be written, and on Postgres, which has tools of its own (`pg_dump`).
    pub async fn backup(&self, path: &Path) -> Result<(), DatabaseError> {
        if self.dialect() == Dialect::Postgres {
            return Err(DatabaseError::Copy("this is a Postgres, which is copied with `pg_dump`".to_owned()));
        }
        let words = |error: std::io::Error| DatabaseError::Copy(format!("`{}`: {error}", path.display()));
        // Hashes of tokens and everybody's history are in it. SQLite writes into a file that is empty.
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(words)?;
        let query = sqlx::query("VACUUM INTO $1").bind(path.display().to_string());
        if let Err(error) = query.execute(self.reader()).await {
            // What was begun is no copy of anything.
            let _ = std::fs::remove_file(path);
            return Err(DatabaseError::query("write the copy")(error));
        }
        Ok(())
    }
}

//! What the server's file says of all workers: kept in the database, so that those on other machines go by it too.

use super::error::DatabaseError;
use super::link::Database;
use super::row::Fields;

/// Limits that hold for every worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Runs at once on all workers together; none for no limit.
    pub concurrency: Option<i64>,
    /// How long a claim holds without a heartbeat, in milliseconds; none for the usual time.
    pub lease_ms: Option<i64>,
    /// How long logs of runs that went well are kept, in milliseconds; none for the usual time.
    pub logs_ms: Option<i64>,
    /// Bytes that all logs of a machine may take; none for the usual number.
    pub log_bytes: Option<i64>,
}

impl Policy {
    /// Each by the name that its row has.
    fn rows(self) -> [(&'static str, Option<i64>); 4] {
        let Self { concurrency, lease_ms, logs_ms, log_bytes } = self;
        [("concurrency", concurrency), ("lease_ms", lease_ms), ("logs_ms", logs_ms), ("log_bytes", log_bytes)]
    }
}

impl Database {
    /// Sets what holds for all workers from now on.
    ///
    /// # Errors
    /// When the database says no; nothing has changed then.
    pub async fn set_policy(&self, policy: Policy) -> Result<(), DatabaseError> {
        let fault = || DatabaseError::query("set what holds for all workers");
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM policy").execute(&mut *transaction).await.map_err(fault())?;
        for (name, value) in policy.rows() {
            let Some(value) = value else { continue };
            let query = sqlx::query("INSERT INTO policy (name, value) VALUES ($1, $2)").bind(name).bind(value);
            query.execute(&mut *transaction).await.map_err(fault())?;
        }
        transaction.commit().await.map_err(fault())
    }

    /// What holds for all workers.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn policy(&self) -> Result<Policy, DatabaseError> {
        let rows = sqlx::query("SELECT name, value FROM policy").fetch_all(self.reader()).await;
        let mut policy = Policy::default();
        for row in rows.map_err(DatabaseError::query("read what holds for all workers"))? {
            let value = Some(row.int("value")?);
            match row.text("name")?.as_str() {
                "concurrency" => policy.concurrency = value,
                "lease_ms" => policy.lease_ms = value,
                "logs_ms" => policy.logs_ms = value,
                "log_bytes" => policy.log_bytes = value,
                _ => {}
            }
        }
        Ok(policy)
    }
}

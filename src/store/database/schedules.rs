//! When a schedule is next due. A tick and its event are written together, so none is told twice.

use super::error::DatabaseError;
use super::events::{NewEvent, insert_as};
use super::link::Database;
use super::row::Fields;

/// One schedule. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// As written; another text makes it another schedule.
    pub spec: String,
    /// When it is due.
    pub next_at: i64,
}

impl Database {
    /// Sets a schedule. One with the same text keeps the time that it is due.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn schedule(&self, schedule: &Schedule) -> Result<(), DatabaseError> {
        let text = "INSERT INTO schedules (name, spec, next_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET \
                    next_at = CASE WHEN schedules.spec = excluded.spec THEN schedules.next_at ELSE excluded.next_at END, \
                    spec = excluded.spec";
        let query = sqlx::query(text).bind(&schedule.name).bind(&schedule.spec).bind(schedule.next_at);
        query.execute(self.writer()).await.map_err(DatabaseError::query("set a schedule"))?;
        Ok(())
    }

    /// Schedules that are due, the most overdue first, and the database's time.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn due(&self) -> Result<(i64, Vec<Schedule>), DatabaseError> {
        let fault = || DatabaseError::query("read schedules");
        let now = sqlx::query(self.sql("SELECT now_ms() AS now")).fetch_one(self.reader()).await.map_err(fault())?;
        let now = now.int("now")?;
        let text = "SELECT name, spec, next_at FROM schedules WHERE next_at <= $1 ORDER BY next_at";
        let rows = sqlx::query(text).bind(now).fetch_all(self.reader()).await.map_err(fault())?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(Schedule { name: row.text("name")?, spec: row.text("spec")?, next_at: row.int("next_at")? })
        };
        Ok((now, rows.iter().map(read).collect::<Result<_, DatabaseError>>()?))
    }

    /// The schedule's tick: it is next due at `next_at`, and its event is kept, whose commit is still to be found. Whether it
    /// was still due as told.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn tick(&self, due: &Schedule, next_at: i64, event: &NewEvent) -> Result<bool, DatabaseError> {
        let fault = || DatabaseError::query("note a tick");
        let mut transaction = self.begin().await?;
        let text = "UPDATE schedules SET last_at = next_at, next_at = $3 WHERE name = $1 AND next_at = $2";
        let query = sqlx::query(text).bind(&due.name).bind(due.next_at).bind(next_at);
        let done = query.execute(&mut *transaction).await.map_err(fault())?.rows_affected() == 1;
        if done {
            insert_as("asked", self, &mut transaction, event).await?;
        }
        transaction.commit().await.map_err(fault())?;
        Ok(done)
    }

    /// Removes schedules that are not among these.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn keep_schedules(&self, names: &[&str]) -> Result<(), DatabaseError> {
        let fault = || DatabaseError::query("remove schedules");
        let mut transaction = self.begin().await?;
        let rows = sqlx::query("SELECT name FROM schedules").fetch_all(&mut *transaction).await.map_err(fault())?;
        for row in rows {
            let name = row.text("name")?;
            if !names.contains(&name.as_str()) {
                let query = sqlx::query("DELETE FROM schedules WHERE name = $1").bind(name);
                query.execute(&mut *transaction).await.map_err(fault())?;
            }
        }
        transaction.commit().await.map_err(fault())
    }
}

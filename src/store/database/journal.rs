//! What is remembered of the steps of a handler, so that one that was interrupted goes on where it was.

use serde_json::Value;
use sqlx::any::AnyRow;

use super::error::DatabaseError;
use super::link::Database;
use super::row::Fields;

/// What is known of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKnown {
    /// Nothing.
    New,
    /// It was begun, and nobody knows whether it was done.
    Begun,
    /// It ended with this.
    Finished(Value),
}

/// A step as it was noted.
#[derive(Debug, Clone, PartialEq)]
pub struct StepNoted {
    /// Its handler.
    pub handler: String,
    /// Which, in its handler.
    pub step: String,
    /// When it began, in milliseconds since 1970.
    pub begun_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// How; nothing while it goes on.
    pub outcome: Option<Value>,
}

impl StepNoted {
    fn of(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            handler: row.text("handler")?,
            step: row.text("step")?,
            begun_at: row.int("begun_at")?,
            ended_at: row.maybe_int("ended_at")?,
            outcome: row.maybe_text("outcome")?.map(|_| row.json("outcome")).transpose()?,
        })
    }
}

impl Database {
    /// Every step of every handler that was noted for an event, by the event's key, in the order in which they began.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn steps_noted(&self, event: &str) -> Result<Vec<StepNoted>, DatabaseError> {
        let text = "SELECT handler, step, begun_at, ended_at, outcome FROM journal WHERE event = $1 \
                    ORDER BY begun_at, handler, step";
        let rows = sqlx::query(text).bind(event).fetch_all(self.reader()).await;
        rows.map_err(DatabaseError::query("read the journal"))?.iter().map(StepNoted::of).collect()
    }

    /// What is known of a step of a handler for an event, by the event's key.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn recall(&self, event: &str, handler: &str, step: &str) -> Result<StepKnown, DatabaseError> {
        let text = "SELECT outcome FROM journal WHERE event = $1 AND handler = $2 AND step = $3";
        let row = sqlx::query(text).bind(event).bind(handler).bind(step).fetch_optional(self.reader()).await;
        let Some(row) = row.map_err(DatabaseError::query("read the journal"))? else { return Ok(StepKnown::New) };
        match row.maybe_text("outcome")? {
            Some(_) => Ok(StepKnown::Finished(row.json("outcome")?)),
            None => Ok(StepKnown::Begun),
        }
    }

    /// Notes that a step begins; one that was begun before stays as it is.
    ///
    /// # Errors
    /// When the database says no: the step must not be done then.
    pub async fn begin_step(
        &self,
        event: &str,
        handler: &str,
        step: &str,
        arguments: &Value,
    ) -> Result<(), DatabaseError> {
        let text = self.sql(
            "INSERT INTO journal (event, handler, step, arguments, begun_at) VALUES ($1, $2, $3, $4, now_ms()) \
             ON CONFLICT (event, handler, step) DO NOTHING",
        );
        let query = sqlx::query(text).bind(event).bind(handler).bind(step).bind(arguments.to_string());
        query.execute(self.writer()).await.map_err(DatabaseError::query("write the journal"))?;
        Ok(())
    }

    /// Notes how a step ended; the first ending counts.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn finish_step(
        &self,
        event: &str,
        handler: &str,
        step: &str,
        outcome: &Value,
    ) -> Result<(), DatabaseError> {
        let text = self.sql(
            "INSERT INTO journal (event, handler, step, arguments, begun_at, outcome, ended_at) \
             VALUES ($1, $2, $3, 'null', now_ms(), $4, now_ms()) ON CONFLICT (event, handler, step) \
             DO UPDATE SET outcome = COALESCE(journal.outcome, excluded.outcome), \
             ended_at = COALESCE(journal.ended_at, excluded.ended_at)",
        );
        let query = sqlx::query(text).bind(event).bind(handler).bind(step).bind(outcome.to_string());
        query.execute(self.writer()).await.map_err(DatabaseError::query("write the journal"))?;
        Ok(())
    }
}

//! Actions that an event calls for, each done once: a row is written with the event, done later, and kept with its result.

use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::error::DatabaseError;
use super::link::Database;
use super::row::Fields;

/// An action to do.
#[derive(Debug, Clone, PartialEq)]
pub struct NewAction {
    /// The handler that asks for it.
    pub handler: String,
    /// Its place in the handler, from 0.
    pub position: i64,
    /// What to do.
    pub action: Value,
    /// Whether it may be begun again when nobody knows whether it was done.
    pub retryable: bool,
}

/// An action that was taken to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxAction {
    /// Its number here.
    pub id: i64,
    /// The event that called for it.
    pub event: i64,
    /// What was asked.
    pub new: NewAction,
    /// To be shown when it is done.
    pub epoch: i64,
    /// How often it was begun, this time included.
    pub attempts: i64,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolution {
    /// Done; the result is for later ones.
    Done(Value),
    /// Not done, to be tried again in so many milliseconds.
    Again(String, i64),
    /// Not done, and never will be.
    Failed(String),
}

impl OutboxAction {
    fn of(row: &AnyRow) -> Result<Self, DatabaseError> {
        let new = NewAction {
            handler: row.text("handler")?,
            position: row.int("position")?,
            action: row.json("action")?,
            retryable: row.flag("retryable")?,
        };
        let (epoch, attempts) = (row.int("epoch")?, row.int("attempts")?);
        Ok(Self { id: row.int("id")?, event: row.int("event_id")?, new, epoch, attempts })
    }
}

/// Writes an action inside a transaction; one of the same event, handler and position is there once.
pub(super) async fn insert(
    database: &Database,
    connection: &mut AnyConnection,
    event: i64,
    action: &NewAction,
) -> Result<(), DatabaseError> {
    let text = database.sql(
        "INSERT INTO outbox (event_id, handler, position, action, retryable, state, not_before, created_at) \
         VALUES ($1, $2, $3, $4, $5, 'waiting', now_ms(), now_ms()) ON CONFLICT (event_id, handler, position) DO NOTHING",
    );
    let query = sqlx::query(text).bind(event).bind(&action.handler).bind(action.position);
    let query = query.bind(action.action.to_string()).bind(i64::from(action.retryable));
    query.execute(connection).await.map_err(DatabaseError::query("write an action"))?;
    Ok(())
}

impl Database {
    /// The next action that waits. One whose doer went away is taken again if it may be; else it is `unknown`: it may
    /// have happened, and nobody does it twice.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn next_action(&self, lease_ms: i64) -> Result<Option<OutboxAction>, DatabaseError> {
        let fault = || DatabaseError::query("take an action");
        let text = self.sql(
            "UPDATE outbox SET state = 'unknown', ended_at = now_ms(), result = '\"its doer went away\"' \
             WHERE state = 'doing' AND lease_until <= now_ms() AND retryable = 0",
        );
        sqlx::query(text).execute(self.writer()).await.map_err(fault())?;
        let text = self.sql(
            "UPDATE outbox SET state = 'doing', epoch = epoch + 1, attempts = attempts + 1, lease_until = now_ms() + $1 \
             WHERE id = (SELECT id FROM outbox WHERE (state = 'waiting' AND (not_before <= now_ms() OR not_before > now_ms() + 900000)) \
             OR (state = 'doing' AND lease_until <= now_ms() AND retryable = 1) ORDER BY id LIMIT 1) \
             RETURNING id, event_id, handler, position, action, retryable, epoch, attempts",
        );
        let row = self.alone(sqlx::query(text).bind(lease_ms), "take an action").await?;
        row.as_ref().map(OutboxAction::of).transpose()
    }

    /// Keeps an action for another `lease_ms`.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] when another has it by now.
    pub async fn renew_action(&self, id: i64, epoch: i64, lease_ms: i64) -> Result<(), DatabaseError> {
        let text = self.sql(
            "UPDATE outbox SET lease_until = now_ms() + $3 WHERE id = $1 AND epoch = $2 AND state = 'doing' \
             AND lease_until > now_ms()",
        );
        let query = sqlx::query(text).bind(id).bind(epoch).bind(lease_ms);
        let done = query.execute(self.writer()).await.map_err(DatabaseError::query("keep an action"))?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(DatabaseError::Fenced { run: id, epoch }) }
    }

    /// The action ended so. That it is given up is told with its event, too.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] when another has it by now.
    pub async fn resolve_action(&self, id: i64, epoch: i64, how: &Resolution) -> Result<(), DatabaseError> {
        let (state, result, delay) = match how {
            Resolution::Done(value) => ("done", value.clone(), 0),
            Resolution::Again(why, delay) => ("waiting", Value::from(why.as_str()), *delay),
            Resolution::Failed(why) => ("failed", Value::from(why.as_str()), 0),
        };
        let text = self.sql(
            "UPDATE outbox SET state = $3, result = $4, not_before = now_ms() + $5, lease_until = NULL, \
             ended_at = CASE WHEN $3 = 'waiting' THEN NULL ELSE now_ms() END \
             WHERE id = $1 AND epoch = $2 AND state = 'doing' AND lease_until > now_ms() RETURNING event_id, handler",
        );
        let fault = || DatabaseError::query("note how an action ended");
        let query = sqlx::query(text).bind(id).bind(epoch).bind(state).bind(result.to_string()).bind(delay);
        let mut transaction = self.begin().await?;
        let row = query.fetch_optional(&mut *transaction).await.map_err(fault())?;
        let row = row.ok_or(DatabaseError::Fenced { run: id, epoch })?;
        if let Resolution::Failed(why) = how {
            let told = format!("handler `{}`: {why}", row.text("handler")?);
            let query = sqlx::query("UPDATE events SET fault = $2 WHERE id = $1").bind(row.int("event_id")?).bind(told);
            query.execute(&mut *transaction).await.map_err(fault())?;
        }
        transaction.commit().await.map_err(fault())
    }

    /// How long the action waits that waits longest, in milliseconds; 0 where none does.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn oldest_action_ms(&self) -> Result<i64, DatabaseError> {
        let text =
            self.sql("SELECT COALESCE(now_ms() - MIN(created_at), 0) AS age FROM outbox WHERE state = 'waiting'");
        let row = sqlx::query(text).fetch_one(self.reader()).await;
        row.map_err(DatabaseError::query("ask what waits to be done"))?.int("age")
    }

    /// What the earlier actions of a handler brought for an event: position, state, result.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn action_results(
        &self,
        event: i64,
        handler: &str,
    ) -> Result<Vec<(i64, String, Option<Value>)>, DatabaseError> {
        let text = "SELECT position, state, result FROM outbox WHERE event_id = $1 AND handler = $2 ORDER BY position";
        let rows = sqlx::query(text).bind(event).bind(handler).fetch_all(self.reader()).await;
        let read = |row: &AnyRow| {
            let result = row.maybe_text("result")?.map(|_| row.json("result")).transpose()?;
            Ok((row.int("position")?, row.text("state")?, result))
        };
        rows.map_err(DatabaseError::query("read an event's actions"))?.iter().map(read).collect()
    }

    /// The handlers that were gone through for an event, to their end, and what came of each.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn ends_of_handlers(&self, event: i64) -> Result<Vec<(String, Value)>, DatabaseError> {
        let text = "SELECT handler, result FROM outbox WHERE event_id = $1 AND state = 'done' AND result IS NOT NULL \
                    ORDER BY id";
        let rows = sqlx::query(text).bind(event).fetch_all(self.reader()).await;
        let read = |row: &AnyRow| Ok((row.text("handler")?, row.json("result")?));
        rows.map_err(DatabaseError::query("read an event's actions"))?.iter().map(read).collect()
    }
}

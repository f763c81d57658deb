//! Webhook deliveries, raw, before anything else is made of them.

use sqlx::any::AnyRow;

use super::error::DatabaseError;
use super::events::{NewEvent, insert};
use super::link::Database;
use super::row::Fields;

/// Bodies of more bytes keep a processor so busy that others would wait behind them.
const LARGE: usize = 256 << 10;

/// Does what takes long for a large body beside the tasks that answer others.
pub fn apart<T>(bytes: usize, act: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let threads = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes > LARGE && threads { tokio::task::block_in_place(act) } else { act() }
}

/// A delivery that was found genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery<'a> {
    /// `github`, `gitea`, `gitlab`.
    pub forge: &'a str,
    /// The forge's own id of it; a redelivery has the same.
    pub delivery: &'a str,
    /// The event's name, as the forge says it.
    pub event: &'a str,
    /// The body's media type.
    pub content_type: &'a str,
    /// The body as it arrived; it is kept compressed.
    pub body: &'a [u8],
}

/// What a delivery turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// Seen for the first time, kept.
    New(i64),
    /// Seen before and failed then: will be tried again.
    Again(i64),
    /// Seen before, and done or on its way.
    Known(i64),
}

/// A delivery that waits to be turned into events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its number here.
    pub id: i64,
    /// `github`, `gitea`, `gitlab`.
    pub forge: String,
    /// The forge's own id of it.
    pub delivery: String,
    /// The event's name, as the forge says it.
    pub event: String,
    /// The body's media type.
    pub content_type: String,
    /// The body as it arrived.
    pub body: Vec<u8>,
    /// How often it was tried, this time included.
    pub attempts: i64,
    /// When it arrived, in milliseconds since 1970.
    pub received_at: i64,
}

impl Delivery {
    fn of(row: &AnyRow) -> Result<Self, DatabaseError> {
        let packed = row.bytes("body")?;
        let body = zstd::decode_all(&packed[..]);
        Ok(Self {
            id: row.int("id")?,
            forge: row.text("forge")?,
            delivery: row.text("delivery")?,
            event: row.text("event")?,
            content_type: row.text("content_type")?,
            body: body.map_err(|error| DatabaseError::Content(format!("a delivery's body: {error}")))?,
            attempts: row.int("attempts")?,
            received_at: row.int("received_at")?,
        })
    }
}

impl Database {
    /// Keeps a delivery. Of a known one only the number of copies changes, unless it failed: then it waits again.
    ///
    /// # Errors
    /// When the database says no; the sender is to be told so.
    pub async fn receive(&self, new: &NewDelivery<'_>) -> Result<Receipt, DatabaseError> {
        let fault = || DatabaseError::query("keep a delivery");
        let body = apart(new.body.len(), || zstd::encode_all(new.body, 3))
            .map_err(|error| DatabaseError::Content(error.to_string()))?;
        let text = self.sql(
            "INSERT INTO deliveries (forge, delivery, event, content_type, body, state, not_before, received_at) \
             VALUES ($1, $2, $3, $4, $5, 'waiting', now_ms(), now_ms()) \
             ON CONFLICT (forge, delivery) DO NOTHING RETURNING id",
        );
        let query = sqlx::query(text).bind(new.forge).bind(new.delivery).bind(new.event);
        let query = query.bind(new.content_type).bind(body);
        if let Some(row) = query.fetch_optional(self.writer()).await.map_err(fault())? {
            return Ok(Receipt::New(row.int("id")?));
        }
        let mut transaction = self.begin().await?;
        let receipt = self.once_more(&mut transaction, new).await?;
        transaction.commit().await.map_err(fault())?;
        Ok(receipt)
    }

    async fn once_more(
        &self,
        connection: &mut sqlx::AnyConnection,
        new: &NewDelivery<'_>,
    ) -> Result<Receipt, DatabaseError> {
        let fault = || DatabaseError::query("keep a delivery");
        let again = self.sql(
            "UPDATE deliveries SET state = 'waiting', not_before = now_ms(), attempts = 0, copies = copies + 1 \
             WHERE forge = $1 AND delivery = $2 AND state = 'failed' RETURNING id",
        );
        let query = sqlx::query(again).bind(new.forge).bind(new.delivery);
        if let Some(row) = query.fetch_optional(&mut *connection).await.map_err(fault())? {
            return Ok(Receipt::Again(row.int("id")?));
        }
        let known = "UPDATE deliveries SET copies = copies + 1 WHERE forge = $1 AND delivery = $2 RETURNING id";
        let query = sqlx::query(known).bind(new.forge).bind(new.delivery);
        Ok(Receipt::Known(query.fetch_one(connection).await.map_err(fault())?.int("id")?))
    }

    /// The next delivery that waits. It is not taken away: until it is settled it waits again after `lease_ms`, so one
    /// whose reader died is read once more.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn next_delivery(&self, lease_ms: i64) -> Result<Option<Delivery>, DatabaseError> {
        let text = self.sql(
            "UPDATE deliveries SET attempts = attempts + 1, not_before = now_ms() + $1 WHERE id = (\
             SELECT id FROM deliveries WHERE state = 'waiting' AND (not_before <= now_ms() OR not_before > now_ms() + 900000) ORDER BY id LIMIT 1) \
             RETURNING id, forge, delivery, event, content_type, body, attempts, received_at",
        );
        let row = self.alone(sqlx::query(text).bind(lease_ms), "read a delivery").await?;
        row.as_ref().map(Delivery::of).transpose()
    }

    /// Leaves a delivery to its reader for another `lease_ms`, unless another has taken it since; which it is, its number
    /// of attempts tells.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn renew_delivery(&self, id: i64, attempts: i64, lease_ms: i64) -> Result<(), DatabaseError> {
        let text = self.sql(
            "UPDATE deliveries SET not_before = now_ms() + $3 WHERE id = $1 AND attempts = $2 AND state = 'waiting'",
        );
        let query = sqlx::query(text).bind(id).bind(attempts).bind(lease_ms);
        query.execute(self.writer()).await.map_err(DatabaseError::query("keep a delivery"))?;
        Ok(())
    }

    /// Puts a delivery off that its reader has no room for: it waits `wait_ms`, and this was no try.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn postpone_delivery(&self, id: i64, attempts: i64, wait_ms: i64) -> Result<(), DatabaseError> {
        let text = self.sql(
            "UPDATE deliveries SET not_before = now_ms() + $3, attempts = attempts - 1 \
             WHERE id = $1 AND attempts = $2 AND state = 'waiting'",
        );
        let query = sqlx::query(text).bind(id).bind(attempts).bind(wait_ms);
        query.execute(self.writer()).await.map_err(DatabaseError::query("put a delivery off"))?;
        Ok(())
    }

    /// The delivery is done: what it meant is written in the same transaction. The numbers of new events come back.
    ///
    /// # Errors
    /// When the database says no; the delivery waits again then.
    pub async fn settle_delivery(&self, id: i64, events: &[NewEvent]) -> Result<Vec<i64>, DatabaseError> {
        let fault = || DatabaseError::query("settle a delivery");
        let text = "UPDATE deliveries SET state = 'done', fault = NULL WHERE id = $1 AND state = 'waiting'";
        let mut made = Vec::new();
        if events.is_empty() {
            sqlx::query(text).bind(id).execute(self.writer()).await.map_err(fault())?;
            return Ok(made);
        }
        let mut transaction = self.begin().await?;
        let done = sqlx::query(text).bind(id).execute(&mut *transaction).await.map_err(fault())?;
        if done.rows_affected() == 1 {
            for event in events {
                made.extend(insert(self, &mut transaction, event).await?);
            }
        }
        transaction.commit().await.map_err(fault())?;
        Ok(made)
    }

    /// The delivery could not be understood or followed: it waits `again_ms`, or for its redelivery when that is none.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn delivery_failed(&self, id: i64, why: &str, again_ms: Option<i64>) -> Result<(), DatabaseError> {
        let text = self.sql(
            "UPDATE deliveries SET fault = $2, state = $3, not_before = now_ms() + $4 WHERE id = $1 AND state = 'waiting'",
        );
        let state = if again_ms.is_some() { "waiting" } else { "failed" };
        let query = sqlx::query(text).bind(id).bind(why).bind(state).bind(again_ms.unwrap_or(0));
        query.execute(self.writer()).await.map_err(DatabaseError::query("note a failed delivery"))?;
        Ok(())
    }
}

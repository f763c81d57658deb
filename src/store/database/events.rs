//! Events: what happened, once each. An event is handled when what it calls for is written, in the same transaction.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::audit::{Deed, note};
use super::error::DatabaseError;
use super::link::{Database, Dialect};
use super::outbox::{self, NewAction};
use super::row::Fields;
use super::runs::{self, Enqueued, NewRun};

const COLUMNS: &str = "id, key, repo_id, kind, source, reference, old_sha, new_sha, payload, state, attempts, fault, \
                       created_at";

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What makes it the same as another one: the second with a key is dropped.
    pub key: String,
    /// The repository it happened in.
    pub repo: Option<i64>,
    /// `push`, `comment`, `schedule`, …
    pub kind: String,
    /// `poll`, `hook`, `schedule`, `hand`.
    pub source: String,
    /// The ref it is about.
    pub reference: Option<String>,
    /// What the ref pointed to before.
    pub old_sha: Option<String>,
    /// What it points to now.
    pub new_sha: Option<String>,
    /// Everything else.
    pub payload: Value,
    /// What is not known of it, and why: its `fault` from the start, which is read back as that alone.
    pub doubt: Option<String>,
}

/// Something that happened, as it was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its number here.
    pub id: i64,
    /// What was handed in.
    pub new: NewEvent,
    /// `asked` until its commit is known, then `waiting`, and in the end `handled` or `failed`.
    pub state: String,
    /// How often it was tried, this time included.
    pub attempts: i64,
    /// Why it could not be handled, which handler of it was given up, and why, or why its commit may be an old one or what
    /// changed is not known.
    pub fault: Option<String>,
    /// When it was kept, in milliseconds since 1970.
    pub created_at: i64,
}

/// What an event calls for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settlement {
    /// Runs to queue.
    pub runs: Vec<NewRun>,
    /// Actions to do.
    pub actions: Vec<NewAction>,
}

impl Event {
    fn of(row: &AnyRow) -> Result<Self, DatabaseError> {
        let new = NewEvent {
            key: row.text("key")?,
            repo: row.maybe_int("repo_id")?,
            kind: row.text("kind")?,
            source: row.text("source")?,
            reference: row.maybe_text("reference")?,
            old_sha: row.maybe_text("old_sha")?,
            new_sha: row.maybe_text("new_sha")?,
            payload: row.json("payload")?,
            doubt: None,
        };
        Ok(Self {
            id: row.int("id")?,
            new,
            state: row.text("state")?,
            attempts: row.int("attempts")?,
            fault: row.maybe_text("fault")?,
            created_at: row.int("created_at")?,
        })
    }
}

/// Writes an event inside a transaction; nothing when its key is known.
pub(super) async fn insert(
    database: &Database,
    connection: &mut AnyConnection,
    event: &NewEvent,
) -> Result<Option<i64>, DatabaseError> {
    insert_as("waiting", database, connection, event).await
}

/// The same, in another state.
pub(super) async fn insert_as(
    state: &str,
    database: &Database,
    connection: &mut AnyConnection,
    event: &NewEvent,
) -> Result<Option<i64>, DatabaseError> {
    let text = database.sql(
        "INSERT INTO events (key, repo_id, kind, source, reference, old_sha, new_sha, payload, state, fault, \
         not_before, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now_ms(), now_ms()) \
         ON CONFLICT (key) DO NOTHING RETURNING id",
    );
    let query = sqlx::query(text).bind(&event.key).bind(event.repo).bind(&event.kind).bind(&event.source);
    let query = query.bind(&event.reference).bind(&event.old_sha).bind(&event.new_sha).bind(event.payload.to_string());
    let query = query.bind(state).bind(&event.doubt);
    let row = query.fetch_optional(connection).await.map_err(DatabaseError::query("write an event"))?;
    row.map(|row| row.int("id")).transpose()
}

impl Database {
    /// Keeps an event; nothing when its key is known.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn tell(&self, event: &NewEvent) -> Result<Option<i64>, DatabaseError> {
        let mut connection = self.writer().acquire().await.map_err(DatabaseError::query("write an event"))?;
        insert(self, &mut connection, event).await
    }

    /// Keeps an event whose commit is still to be found: it waits for that before it waits for anything else. Nothing when
    /// its key is known.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn ask(&self, event: &NewEvent) -> Result<Option<i64>, DatabaseError> {
        let mut connection = self.writer().acquire().await.map_err(DatabaseError::query("write an event"))?;
        insert_as("asked", self, &mut connection, event).await
    }

    /// As [`Database::tell`], of a run that somebody asks for by hand in a repository: who did is noted with it.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn tell_by(&self, event: &NewEvent, actor: &str, repo: &str) -> Result<Option<i64>, DatabaseError> {
        self.by_hand("waiting", event, actor, repo).await
    }

    /// As [`Database::ask`], of a run that somebody asks for by hand in a repository: who did is noted with it.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn ask_by(&self, event: &NewEvent, actor: &str, repo: &str) -> Result<Option<i64>, DatabaseError> {
        self.by_hand("asked", event, actor, repo).await
    }

    async fn by_hand(
        &self,
        state: &str,
        event: &NewEvent,
        actor: &str,
        repo: &str,
    ) -> Result<Option<i64>, DatabaseError> {
        let mut transaction = self.begin().await?;
        let written = insert_as(state, self, &mut transaction, event).await?;
        if let Some(id) = written {
            let reference = event.reference.as_deref().unwrap_or("the default branch");
            let detail = event.new_sha.clone().unwrap_or_else(|| format!("{reference}, event {id}"));
            let deed = Deed { actor, verb: "trigger", target: repo, detail: &detail };
            note(self, &mut transaction, deed).await?;
        }
        transaction.commit().await.map_err(DatabaseError::query("write an event"))?;
        Ok(written)
    }

    /// The next events whose commit is to be found, oldest first, at most so many. Each comes again after `lease_ms`,
    /// unless it is [answered](Database::answer) before.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn asked(&self, lease_ms: i64, most: i64) -> Result<Vec<Event>, DatabaseError> {
        // This is asked twice a second: who only looks takes no lock.
        let found =
            sqlx::query("SELECT id FROM events WHERE state = 'asked' LIMIT 1").fetch_optional(self.reader()).await;
        if found.map_err(DatabaseError::query("read events"))?.is_none() {
            return Ok(Vec::new());
        }
        self.next_in("asked", lease_ms, most).await
    }

    /// The commit of an event is found, and stands with its ref in what is handed in: now it waits as others do. Whether
    /// nobody was faster.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn answer(&self, id: i64, found: &NewEvent) -> Result<bool, DatabaseError> {
        self.answered(id, found, None).await
    }

    /// As [`Database::answer`], of a commit that may not be the right one; the event says why, also once it is handled.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn answer_unsure(&self, id: i64, found: &NewEvent, why: &str) -> Result<bool, DatabaseError> {
        self.answered(id, found, Some(why)).await
    }

    async fn answered(&self, id: i64, found: &NewEvent, why: Option<&str>) -> Result<bool, DatabaseError> {
        let text = self.sql(
            "UPDATE events SET reference = $2, new_sha = $3, payload = $4, state = 'waiting', attempts = 0, fault = $5, \
             not_before = now_ms() WHERE id = $1 AND state = 'asked'",
        );
        let query = sqlx::query(text).bind(id).bind(&found.reference).bind(&found.new_sha);
        let done = query.bind(found.payload.to_string()).bind(why).execute(self.writer()).await;
        Ok(done.map_err(DatabaseError::query("write the commit of an event"))?.rows_affected() == 1)
    }

    /// The next event that waits, oldest first. Until it is settled it waits again after `lease_ms`.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn next_event(&self, lease_ms: i64) -> Result<Option<Event>, DatabaseError> {
        Ok(self.next_events(lease_ms, 1).await?.pop())
    }

    /// The next events that wait, oldest first, at most so many; as [`Database::next_event`].
    ///
    /// # Errors
    /// When the database says no.
    pub async fn next_events(&self, lease_ms: i64, most: i64) -> Result<Vec<Event>, DatabaseError> {
        self.next_in("waiting", lease_ms, most).await
    }

    async fn next_in(&self, state: &str, lease_ms: i64, most: i64) -> Result<Vec<Event>, DatabaseError> {
        let fault = || DatabaseError::query("read events");
        let text = self.sql(
            "UPDATE events SET attempts = attempts + 1, not_before = now_ms() + $1 WHERE id IN (\
             SELECT id FROM events WHERE state = $3 AND (not_before <= now_ms() OR not_before > now_ms() + 900000) ORDER BY id LIMIT $2) \
             RETURNING id, key, repo_id, kind, source, reference, old_sha, new_sha, payload, state, attempts, fault, created_at",
        );
        let query = sqlx::query(text).bind(lease_ms).bind(most).bind(state);
        let rows = if self.dialect() == Dialect::Sqlite {
            query.fetch_all(self.writer()).await.map_err(fault())?
        } else {
            let mut transaction = self.begin_alone().await?;
            let rows = query.fetch_all(&mut *transaction).await.map_err(fault())?;
            transaction.commit().await.map_err(fault())?;
            rows
        };
        let mut events = rows.iter().map(Event::of).collect::<Result<Vec<_>, _>>()?;
        events.sort_by_key(|event| event.id);
        Ok(events)
    }

    /// The event is handled: its runs and actions are written with it, each once, however often this is called.
    ///
    /// # Errors
    /// When the database says no; the event waits again then.
    pub async fn settle_event(&self, id: i64, settlement: &Settlement) -> Result<Vec<Enqueued>, DatabaseError> {
        self.settle_events(&[(id, settlement.clone())]).await
    }

    /// As [`Database::settle_event`], for several in one transaction.
    ///
    /// # Errors
    /// When the database says no; all of them wait again then.
    pub async fn settle_events(&self, settled: &[(i64, Settlement)]) -> Result<Vec<Enqueued>, DatabaseError> {
        let fault = || DatabaseError::query("settle events");
        let mut queued = Vec::new();
        let mut transaction = self.begin_alone().await?;
        for (id, settlement) in settled {
            // What is wrong with it before it is tried was said when it was kept or its commit was looked for, and stays true.
            let text = self.sql(
                "UPDATE events SET state = 'handled', handled_at = now_ms(), \
                 fault = CASE WHEN attempts = 1 THEN fault ELSE NULL END WHERE id = $1 AND state = 'waiting'",
            );
            let done = sqlx::query(text).bind(id).execute(&mut *transaction).await.map_err(fault())?;
            if done.rows_affected() == 0 {
                continue;
            }
            for run in &settlement.runs {
                queued.push(runs::insert(self, &mut transaction, run).await?);
            }
            for action in &settlement.actions {
                outbox::insert(self, &mut transaction, *id, action).await?;
            }
        }
        transaction.commit().await.map_err(fault())?;
        Ok(queued)
    }

    /// The event could not be handled, or its commit not be found: it waits `again_ms`, or is given up when that is none.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn event_failed(&self, id: i64, why: &str, again_ms: Option<i64>) -> Result<(), DatabaseError> {
        let text = self.sql(
            "UPDATE events SET fault = $2, state = CASE WHEN $3 = 1 THEN state ELSE 'failed' END, \
             not_before = now_ms() + $4 WHERE id = $1 AND state IN ('waiting', 'asked')",
        );
        let query = sqlx::query(text).bind(id).bind(why).bind(i64::from(again_ms.is_some()));
        let query = query.bind(again_ms.unwrap_or(0));
        query.execute(self.writer()).await.map_err(DatabaseError::query("note a failed event"))?;
        Ok(())
    }

    /// One event.
    ///
    /// # Errors
    /// [`DatabaseError::Missing`] when there is none.
    pub async fn event(&self, id: i64) -> Result<Event, DatabaseError> {
        let text = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM events WHERE id = $1"));
        let row = sqlx::query(text).bind(id).fetch_optional(self.reader()).await;
        let row = row.map_err(DatabaseError::query("read an event"))?;
        let missing = || DatabaseError::Missing { what: "event", name: id.to_string() };
        Event::of(&row.ok_or_else(missing)?)
    }

    /// Of two commits, those that events of a ref tell of: that it went there, or was there.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn told_of(
        &self,
        repo: i64,
        reference: &str,
        commits: [Option<String>; 2],
    ) -> Result<BTreeSet<String>, DatabaseError> {
        let text = "SELECT old_sha, new_sha FROM events WHERE repo_id = $1 AND reference = $2 \
                    AND (old_sha = $3 OR new_sha = $3 OR old_sha = $4 OR new_sha = $4)";
        let asked = commits.map(Option::unwrap_or_default);
        let query = sqlx::query(text).bind(repo).bind(reference).bind(&asked[0]).bind(&asked[1]);
        let rows = query.fetch_all(self.reader()).await.map_err(DatabaseError::query("look for events of a ref"))?;
        let mut found = BTreeSet::new();
        for row in rows {
            let shas = [row.maybe_text("old_sha")?, row.maybe_text("new_sha")?];
            found.extend(shas.into_iter().flatten().filter(|sha| asked.contains(sha)));
        }
        Ok(found)
    }

    /// The number of the event with a key.
    ///
    /// # Errors
    /// [`DatabaseError::Missing`] when there is none.
    pub async fn event_by_key(&self, key: &str) -> Result<i64, DatabaseError> {
        let row = sqlx::query("SELECT id FROM events WHERE key = $1").bind(key).fetch_optional(self.reader()).await;
        let missing = || DatabaseError::Missing { what: "event", name: key.to_owned() };
        row.map_err(DatabaseError::query("look for an event"))?.ok_or_else(missing)?.int("id")
    }

    /// The newest events, newest first, those before `before` when it is given.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn events(&self, before: Option<i64>, limit: i64) -> Result<Vec<Event>, DatabaseError> {
        let text = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM events WHERE id < $1 ORDER BY id DESC LIMIT $2"));
        let rows = sqlx::query(text).bind(before.unwrap_or(i64::MAX)).bind(limit).fetch_all(self.reader()).await;
        rows.map_err(DatabaseError::query("list events"))?.iter().map(Event::of).collect()
    }

    /// Nobody has anything any more: deliveries, events and actions that an earlier process had taken are taken up at once.
    /// To be called only by who knows that no other process uses the database.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn let_go(&self) -> Result<(), DatabaseError> {
        let fault = || DatabaseError::query("let go of what a dead process had");
        let mut transaction = self.begin_alone().await?;
        for text in [
            "UPDATE deliveries SET not_before = now_ms() WHERE state = 'waiting' AND not_before > now_ms()",
            "UPDATE events SET not_before = now_ms() WHERE state IN ('waiting', 'asked') AND not_before > now_ms()",
            "UPDATE outbox SET lease_until = now_ms() WHERE state = 'doing'",
        ] {
            sqlx::query(self.sql(text)).execute(&mut *transaction).await.map_err(fault())?;
        }
        transaction.commit().await.map_err(fault())
    }

    /// How many events and deliveries wait; events whose commit is still to be found among them.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn waiting(&self) -> Result<(i64, i64), DatabaseError> {
        let text = "SELECT (SELECT count(*) FROM events WHERE state IN ('waiting', 'asked')) AS events, \
                    (SELECT count(*) FROM deliveries WHERE state = 'waiting') AS deliveries";
        let row = sqlx::query(text).fetch_one(self.reader()).await.map_err(DatabaseError::query("count events"))?;
        Ok((row.int("events")?, row.int("deliveries")?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::database::{NewDelivery, NewRepo, NewRun, QueueLimits};

    /// A database in which something of each kind waits.
    async fn waiting(folder: &std::path::Path) -> Database {
        let database = Database::open(&format!("sqlite:{}", folder.join("it.db").display())).await.unwrap();
        let url = "https://h.example/acme/churn".to_owned();
        database.watch(&[NewRepo { url, name: "acme/churn".into(), settings: json!({}) }]).await.unwrap();
        let text = |text: &str| text.to_owned();
        let event = |key: &str| NewEvent {
            key: text(key),
            repo: Some(1),
            kind: text("push"),
            source: text("poll"),
            reference: None,
            old_sha: None,
            new_sha: None,
            payload: json!({}),
            doubt: None,
        };
        let action = NewAction { handler: text("h"), position: 0, action: json!({}), retryable: true };
        let handled = database.tell(&event("one")).await.unwrap().unwrap();
        database.settle_event(handled, &Settlement { runs: Vec::new(), actions: vec![action] }).await.unwrap();
        database.tell(&event("two")).await.unwrap();
        let (delivery, content_type) = ("d", "application/json");
        let new = NewDelivery { forge: "github", delivery, event: "push", content_type, body: b"{}" };
        database.receive(&new).await.unwrap();
        let run = NewRun {
            key: text("r"),
            repo: 1,
            event: None,
            lane: text("l"),
            reference: None,
            sha: "a".repeat(40),
            mode: text("full"),
            request: json!({}),
            priority: 1,
            supersede: false,
        };
        database.enqueue(&run).await.unwrap();
        database
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_makes_nothing_wait_for_it() {
        for (ahead_ms, taken) in [(7_200_000_i64, true), (600_000, false)] {
            let folder = tempfile::tempdir().unwrap();
            let database = waiting(folder.path()).await;
            // Two hours that were not: all that waits was written then. Ten minutes may be meant.
            for table in ["events", "deliveries", "outbox", "runs"] {
                let text = database.sql("UPDATE TABLE_ SET not_before = now_ms() + $1");
                let text = text.as_str().replace("TABLE_", table);
                let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(ahead_ms);
                query.execute(database.writer()).await.unwrap();
            }
            let found = [
                !database.next_events(1_000, 9).await.unwrap().is_empty(),
                database.next_delivery(1_000).await.unwrap().is_some(),
                database.next_action(1_000).await.unwrap().is_some(),
                database.claim("w", QueueLimits::default()).await.unwrap().is_some(),
            ];
            assert_eq!(found, [taken; 4], "{ahead_ms}");
        }
    }
}

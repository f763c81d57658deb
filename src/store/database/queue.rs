//! Leases: who works on a run, and what only that one may write.
//!
//! A claim raises the run's epoch. Every later write shows it and is refused when the epoch is another one, the run has
//! ended, or the lease is over, whoever noticed that first. So a worker that slept past its lease changes nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::DatabaseError;
use super::events::{NewEvent, insert};
use super::link::Database;
use super::row::Fields;
use super::runs::{COLUMNS, Run, RunState};

/// How many may run at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// On all workers together, besides what [`super::Policy`] says.
    pub all: i64,
    /// On this worker.
    pub here: i64,
    /// Of one repository in one mode, where the repository's own limit is not higher.
    pub repo: i64,
    /// How long a claim holds without a heartbeat, in milliseconds.
    pub lease_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { all: i64::MAX, here: 2, repo: 1, lease_ms: 60_000 }
    }
}

/// A run that a worker has.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The run.
    pub run: Run,
    /// To be shown with every write.
    pub epoch: i64,
}

/// What a heartbeat brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Whether the run was asked to stop.
    pub cancel: bool,
}

/// A step that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRow {
    /// Its place among the attempt's steps, from 0.
    pub seq: i64,
    /// `execute`.
    pub name: String,
    /// `done`, `failed`.
    pub outcome: String,
    /// How long it took.
    pub elapsed_ms: i64,
    /// A few words.
    pub detail: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// [`RunState::Succeeded`], [`RunState::Failed`] or [`RunState::Cancelled`].
    pub state: RunState,
    /// The run core's exit code.
    pub exit_code: i64,
    /// One line for people.
    pub summary: String,
}

/// When an attempt that failed through no fault of the pipeline is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How many attempts may fail so.
    pub most: i64,
    /// How long the run waits, in milliseconds.
    pub delay_ms: i64,
}

impl Default for Retry {
    fn default() -> Self {
        Self { most: 3, delay_ms: 30_000 }
    }
}

/// The id of no run: they begin with 1.
const NO_RUN: i64 = 0;

/// What has to hold for a write: run `$1`, epoch `$2`.
macro_rules! held {
    () => {
        "id = $1 AND epoch = $2 AND state = 'running' AND lease_until > now_ms()"
    };
}
pub(super) use held;

impl Database {
    /// The next run for a worker: highest priority first, then oldest, as the limits allow. What an earlier attempt left is no
    /// part of this one.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn claim(&self, worker: &str, limits: Limits) -> Result<Option<Claim>, DatabaseError> {
        let fault = || DatabaseError::query("claim a run");
        let mut transaction = self.begin_alone().await?;
        let text = self.sql(
            "UPDATE runs SET state = 'running', epoch = epoch + 1, worker = $1, lease_until = now_ms() + $2, local_run = NULL, \
             started_at = COALESCE(started_at, now_ms()) WHERE id = (\
             SELECT r.id FROM runs r JOIN repos p ON p.id = r.repo_id \
             WHERE r.state = 'queued' AND (r.not_before <= now_ms() OR r.not_before > now_ms() + 900000) \
             AND (SELECT count(*) FROM runs a WHERE a.state = 'running') < $3 \
             AND (SELECT count(*) FROM runs a WHERE a.state = 'running') \
             < COALESCE((SELECT value FROM policy WHERE name = 'concurrency'), $3) \
             AND (SELECT count(*) FROM runs a WHERE a.state = 'running' AND a.worker = $1) < $5 \
             AND (SELECT count(*) FROM runs a WHERE a.state = 'running' AND a.repo_id = r.repo_id AND a.mode = r.mode) \
             < CASE WHEN p.concurrency > $4 THEN p.concurrency ELSE $4 END \
             ORDER BY r.priority DESC, r.id LIMIT 1) RETURNING id, epoch",
        );
        let query = sqlx::query(text).bind(worker).bind(limits.lease_ms).bind(limits.all).bind(limits.repo);
        let query = query.bind(limits.here);
        let Some(row) = query.fetch_optional(&mut *transaction).await.map_err(fault())? else {
            return Ok(None);
        };
        let (id, epoch) = (row.int("id")?, row.int("epoch")?);
        let note = self.sql("INSERT INTO attempts (run_id, epoch, worker, started_at) VALUES ($1, $2, $3, now_ms())");
        let note = sqlx::query(note).bind(id).bind(epoch).bind(worker);
        note.execute(&mut *transaction).await.map_err(fault())?;
        let text = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM runs WHERE id = $1"));
        let row = sqlx::query(text).bind(id).fetch_one(&mut *transaction).await.map_err(fault())?;
        transaction.commit().await.map_err(fault())?;
        Ok(Some(Claim { run: Run::of(&row)?, epoch }))
    }

    /// Keeps a claim for another `lease_ms`.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] when it is gone: the worker stops at once.
    pub async fn heartbeat(&self, run: i64, epoch: i64, lease_ms: i64) -> Result<Beat, DatabaseError> {
        let text = concat!("UPDATE runs SET lease_until = now_ms() + $3 WHERE ", held!(), " RETURNING cancel");
        let query = sqlx::query(self.sql(text)).bind(run).bind(epoch).bind(lease_ms);
        let row = query.fetch_optional(self.writer()).await.map_err(DatabaseError::query("keep a claim"))?;
        Ok(Beat { cancel: row.ok_or(DatabaseError::Fenced { run, epoch })?.flag("cancel")? })
    }

    /// Notes where the worker keeps the run's files.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] when the claim is gone.
    pub async fn placed(&self, run: i64, epoch: i64, local_run: &str) -> Result<(), DatabaseError> {
        let text = concat!("UPDATE runs SET local_run = $3 WHERE ", held!());
        let query = sqlx::query(self.sql(text)).bind(run).bind(epoch).bind(local_run);
        let done = query.execute(self.writer()).await.map_err(DatabaseError::query("note a run's place"))?;
        fenced(done.rows_affected(), run, epoch)
    }

    /// Notes a step that ended; the same one twice is kept once.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] when the claim is gone.
    pub async fn step(&self, run: i64, epoch: i64, step: &StepRow) -> Result<(), DatabaseError> {
        let fault = || DatabaseError::query("note a step");
        let mut transaction = self.begin().await?;
        self.hold(&mut transaction, run, epoch).await?;
        let text = self.sql(
            "INSERT INTO steps (run_id, epoch, seq, name, outcome, elapsed_ms, detail, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, now_ms()) ON CONFLICT (run_id, epoch, seq) DO NOTHING",
        );
        let query = sqlx::query(text).bind(run).bind(epoch).bind(step.seq).bind(&step.name).bind(&step.outcome);
        query.bind(step.elapsed_ms).bind(&step.detail).execute(&mut *transaction).await.map_err(fault())?;
        transaction.commit().await.map_err(fault())
    }

    /// The run ended. That it did is an event, written with it.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] when the claim is gone.
    pub async fn finish(&self, run: i64, epoch: i64, ended: &Ended) -> Result<(), DatabaseError> {
        let fault = || DatabaseError::query("end a run");
        let mut transaction = self.begin().await?;
        let text = concat!(
            "UPDATE runs SET state = $3, exit_code = $4, summary = $5, ended_at = now_ms(), lease_until = NULL WHERE ",
            held!()
        );
        let query = sqlx::query(self.sql(text)).bind(run).bind(epoch).bind(ended.state.word());
        let query = query.bind(ended.exit_code).bind(&ended.summary);
        let done = query.execute(&mut *transaction).await.map_err(fault())?;
        fenced(done.rows_affected(), run, epoch)?;
        self.attempt_ended(&mut transaction, run, epoch, ended.state.word()).await?;
        self.tell_finished(&mut transaction, run, ended.state).await?;
        transaction.commit().await.map_err(fault())
    }

    /// The attempt failed through no fault of the pipeline: the run waits for another, or fails for good when there
    /// were too many. The state that it has now comes back.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] when the claim is gone.
    pub async fn retry(&self, run: i64, epoch: i64, why: &str, retry: Retry) -> Result<RunState, DatabaseError> {
        let fault = || DatabaseError::query("put a run back");
        let mut transaction = self.begin().await?;
        let text = concat!(
            "UPDATE runs SET failures = failures + 1, summary = $3, not_before = now_ms() + $4, lease_until = NULL, \
             state = CASE WHEN cancel = 1 THEN 'cancelled' WHEN failures + 1 < $5 THEN 'queued' ELSE 'failed' END, \
             ended_at = CASE WHEN cancel = 0 AND failures + 1 < $5 THEN NULL ELSE now_ms() END WHERE ",
            held!(),
            " RETURNING state"
        );
        let query = sqlx::query(self.sql(text)).bind(run).bind(epoch).bind(why).bind(retry.delay_ms).bind(retry.most);
        let row = query.fetch_optional(&mut *transaction).await.map_err(fault())?;
        let state: RunState = super::row::word(&row.ok_or(DatabaseError::Fenced { run, epoch })?.text("state")?)?;
        self.attempt_ended(&mut transaction, run, epoch, "retried").await?;
        if state.has_ended() {
            self.tell_finished(&mut transaction, run, state).await?;
        }
        transaction.commit().await.map_err(fault())?;
        Ok(state)
    }

    /// Gives a run back unharmed: the worker is asked to go. It waits again, and nothing counts against it.
    ///
    /// # Errors
    /// [`DatabaseError::Fenced`] when the claim is gone.
    pub async fn hand_back(&self, run: i64, epoch: i64) -> Result<(), DatabaseError> {
        let fault = || DatabaseError::query("hand a run back");
        let mut transaction = self.begin().await?;
        let text =
            concat!("UPDATE runs SET state = 'queued', lease_until = NULL, not_before = now_ms() WHERE ", held!());
        let done = sqlx::query(self.sql(text)).bind(run).bind(epoch).execute(&mut *transaction).await;
        fenced(done.map_err(fault())?.rows_affected(), run, epoch)?;
        self.attempt_ended(&mut transaction, run, epoch, "handed-back").await?;
        transaction.commit().await.map_err(fault())
    }

    /// Takes back what workers no longer hold: runs whose lease is over and, when `dead` names a worker whose process is
    /// known to be gone, all of its runs. They wait again, or are lost when that happened too often.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn reap(&self, dead: Option<&str>, retry: Retry) -> Result<Vec<(i64, RunState)>, DatabaseError> {
        self.take_back(dead.unwrap_or_default(), NO_RUN, retry).await
    }

    /// As [`Database::reap`], for one run whose worker is known to have lost it.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn abandon(&self, run: i64, retry: Retry) -> Result<Vec<(i64, RunState)>, DatabaseError> {
        self.take_back("", run, retry).await
    }

    async fn take_back(&self, dead: &str, run: i64, retry: Retry) -> Result<Vec<(i64, RunState)>, DatabaseError> {
        let fault = || DatabaseError::query("take runs back");
        let mut transaction = self.begin_alone().await?;
        let text = self.sql(
            "UPDATE runs SET failures = failures + 1, lease_until = NULL, not_before = now_ms(), \
             summary = 'its worker went away', \
             state = CASE WHEN cancel = 1 THEN 'cancelled' WHEN failures + 1 < $2 THEN 'queued' ELSE 'lost' END, \
             ended_at = CASE WHEN cancel = 0 AND failures + 1 < $2 THEN NULL ELSE now_ms() END \
             WHERE state = 'running' AND (lease_until <= now_ms() OR worker = $1 OR id = $3) \
             RETURNING id, epoch, state",
        );
        let query = sqlx::query(text).bind(dead).bind(retry.most).bind(run);
        let mut reaped = Vec::new();
        for row in query.fetch_all(&mut *transaction).await.map_err(fault())? {
            let (run, state) = (row.int("id")?, super::row::word::<RunState>(&row.text("state")?)?);
            self.attempt_ended(&mut transaction, run, row.int("epoch")?, "expired").await?;
            if state.has_ended() {
                self.tell_finished(&mut transaction, run, state).await?;
            }
            reaped.push((run, state));
        }
        transaction.commit().await.map_err(fault())?;
        Ok(reaped)
    }

    /// The runs that a worker has, whether its leases are over or not: for its next process.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn held_by(&self, worker: &str) -> Result<Vec<Claim>, DatabaseError> {
        let fault = || DatabaseError::query("read what a worker has");
        let text = format!("SELECT {COLUMNS} FROM runs WHERE state = 'running' AND worker = $1 ORDER BY id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(text)).bind(worker).fetch_all(self.reader()).await;
        let runs = rows.map_err(fault())?.iter().map(Run::of).collect::<Result<Vec<_>, _>>()?;
        Ok(runs.into_iter().map(|run| Claim { epoch: run.epoch, run }).collect())
    }

    /// The workers whose claims hold now.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn workers(&self) -> Result<Vec<String>, DatabaseError> {
        let text = self.sql(
            "SELECT DISTINCT worker FROM runs WHERE state = 'running' AND lease_until > now_ms() AND worker IS NOT NULL \
             ORDER BY worker",
        );
        let rows = sqlx::query(text).fetch_all(self.reader()).await;
        rows.map_err(DatabaseError::query("ask who works"))?.iter().map(|row| row.text("worker")).collect()
    }

    /// Goes on with a claim of an earlier process of the same worker, which is known to be dead, also when the lease is
    /// over: the attempt stays the same. `false` when the run has gone elsewhere meanwhile.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn resume(&self, run: i64, epoch: i64, worker: &str, lease_ms: i64) -> Result<bool, DatabaseError> {
        let text = self.sql(
            "UPDATE runs SET lease_until = now_ms() + $4 \
             WHERE id = $1 AND epoch = $2 AND state = 'running' AND worker = $3",
        );
        let query = sqlx::query(text).bind(run).bind(epoch).bind(worker).bind(lease_ms);
        let done = query.execute(self.writer()).await.map_err(DatabaseError::query("go on with a claim"))?;
        Ok(done.rows_affected() == 1)
    }

    /// Holds the run's row for the rest of the transaction.
    async fn hold(&self, connection: &mut sqlx::AnyConnection, run: i64, epoch: i64) -> Result<(), DatabaseError> {
        let text = concat!("UPDATE runs SET epoch = epoch WHERE ", held!());
        let done = sqlx::query(self.sql(text)).bind(run).bind(epoch).execute(connection).await;
        fenced(done.map_err(DatabaseError::query("hold a run"))?.rows_affected(), run, epoch)
    }

    async fn attempt_ended(
        &self,
        connection: &mut sqlx::AnyConnection,
        run: i64,
        epoch: i64,
        outcome: &str,
    ) -> Result<(), DatabaseError> {
        let text = self.sql("UPDATE attempts SET ended_at = now_ms(), outcome = $3 WHERE run_id = $1 AND epoch = $2");
        let query = sqlx::query(text).bind(run).bind(epoch).bind(outcome);
        query.execute(connection).await.map_err(DatabaseError::query("note how an attempt ended"))?;
        Ok(())
    }

    /// A run that ended is an event, so that handlers hear of it.
    async fn tell_finished(
        &self,
        connection: &mut sqlx::AnyConnection,
        run: i64,
        state: RunState,
    ) -> Result<(), DatabaseError> {
        let text = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM runs WHERE id = $1"));
        let row = sqlx::query(text).bind(run).fetch_one(&mut *connection).await;
        let found = Run::of(&row.map_err(DatabaseError::query("read a run"))?)?;
        let mut payload = serde_json::Map::new();
        payload.insert("run".to_owned(), Value::from(run));
        payload.insert("state".to_owned(), Value::from(state.word()));
        payload.insert("mode".to_owned(), Value::from(found.new.mode.as_str()));
        payload.insert("summary".to_owned(), Value::from(found.summary.as_deref()));
        let took = found.started_at.zip(found.ended_at).map(|(start, end)| (end - start).max(0));
        payload.insert("took_ms".to_owned(), Value::from(took));
        let previous = super::runs::previous(&mut *connection, &found).await?;
        payload.insert("previous".to_owned(), Value::from(previous.map(RunState::word)));
        if let Some(chain) = found.new.request.get("chain") {
            payload.insert("chain".to_owned(), chain.clone());
        }
        let event = NewEvent {
            key: key_of_end(run),
            repo: Some(found.new.repo),
            kind: "run_finished".to_owned(),
            source: "run".to_owned(),
            reference: found.new.reference,
            old_sha: None,
            new_sha: Some(found.new.sha),
            payload: Value::Object(payload),
            doubt: None,
        };
        insert(self, connection, &event).await?;
        Ok(())
    }
}

/// The key of the event that the end of a run is.
pub fn key_of_end(run: impl std::fmt::Display) -> String {
    format!("run/{run}/finished")
}

pub(super) fn fenced(rows: u64, run: i64, epoch: i64) -> Result<(), DatabaseError> {
    if rows == 1 { Ok(()) } else { Err(DatabaseError::Fenced { run, epoch }) }
}

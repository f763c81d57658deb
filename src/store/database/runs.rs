//! Runs as rows: putting them in line, reading them, cancelling them.

use std::str::FromStr;

use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::audit::{Deed, note};
use super::error::DatabaseError;
use super::link::Database;
use super::queue::StepRow;
use super::row::{Fields, word};

pub(super) const COLUMNS: &str = "id, key, repo_id, event_id, lane, reference, sha, mode, request, priority, state, \
    epoch, worker, cancel, failures, created_at, started_at, ended_at, exit_code, summary, local_run, superseded_by";

/// What is said of a run that waits for nothing any more.
const GONE: &str = "its branch is gone";

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Waits for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// Published.
    Succeeded,
    /// The pipeline, or what it needs, failed.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// A newer one took its place before it began.
    Superseded,
    /// Its workers went away too often.
    Lost,
}

impl RunState {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Superseded, Self::Lost];

    /// The word in the database, the API and on pages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
            Self::Lost => "lost",
        }
    }

    /// Whether nothing more will happen to it.
    pub fn has_ended(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl FromStr for RunState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.word() == text).ok_or(())
    }
}

/// A run to put in line.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    /// What makes it the same as another one: the second with a key is not made.
    pub key: String,
    /// The repository.
    pub repo: i64,
    /// The event that called for it.
    pub event: Option<i64>,
    /// Runs of one lane replace each other: the repository, the ref and the mode.
    pub lane: String,
    /// The ref it is of.
    pub reference: Option<String>,
    /// The commit, 40 hexadecimal digits.
    pub sha: String,
    /// `sample` or `full`.
    pub mode: String,
    /// What the worker needs besides.
    pub request: Value,
    /// Higher goes first.
    pub priority: i64,
    /// Whether it takes the place of those of its lane that wait.
    pub supersede: bool,
}

/// What came of putting a run in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The run with this key.
    pub id: i64,
    /// Whether it is new.
    pub new: bool,
    /// How many that waited it replaced.
    pub superseded: u64,
}

/// One run. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its number here.
    pub id: i64,
    /// What was put in line; `supersede` is not kept.
    pub new: NewRun,
    /// How it stands.
    pub state: RunState,
    /// How often it was claimed.
    pub epoch: i64,
    /// Who has it, or had it last.
    pub worker: Option<String>,
    /// Whether it was asked to stop.
    pub cancel: bool,
    /// Attempts that failed for reasons that are not the pipeline's.
    pub failures: i64,
    /// When it was put in line.
    pub created_at: i64,
    /// When it was first claimed.
    pub started_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// How the run core ended.
    pub exit_code: Option<i64>,
    /// One line for people.
    pub summary: Option<String>,
    /// Its folder in the worker's own history, once the last attempt has one.
    pub local_run: Option<String>,
    /// The run that took its place.
    pub superseded_by: Option<i64>,
}

/// One claim of a run, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The lease's epoch.
    pub epoch: i64,
    /// Who had it.
    pub worker: String,
    /// When it was claimed.
    pub started_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// How: `succeeded`, `failed`, `cancelled`, `retried`, `expired`, `handed-back`.
    pub outcome: Option<String>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of one repository.
    pub repo: Option<i64>,
    /// In one state.
    pub state: Option<RunState>,
    /// With a lower number.
    pub before: Option<i64>,
    /// At most so many; 50 when it is none.
    pub limit: Option<i64>,
}

impl Run {
    pub(super) fn of(row: &AnyRow) -> Result<Self, DatabaseError> {
        let new = NewRun {
            key: row.text("key")?,
            repo: row.int("repo_id")?,
            event: row.maybe_int("event_id")?,
            lane: row.text("lane")?,
            reference: row.maybe_text("reference")?,
            sha: row.text("sha")?,
            mode: row.text("mode")?,
            request: row.json("request")?,
            priority: row.int("priority")?,
            supersede: false,
        };
        Ok(Self {
            id: row.int("id")?,
            new,
            state: word(&row.text("state")?)?,
            epoch: row.int("epoch")?,
            worker: row.maybe_text("worker")?,
            cancel: row.flag("cancel")?,
            failures: row.int("failures")?,
            created_at: row.int("created_at")?,
            started_at: row.maybe_int("started_at")?,
            ended_at: row.maybe_int("ended_at")?,
            exit_code: row.maybe_int("exit_code")?,
            summary: row.maybe_text("summary")?,
            local_run: row.maybe_text("local_run")?,
            superseded_by: row.maybe_int("superseded_by")?,
        })
    }
}

/// Puts a run in line inside a transaction.
pub(super) async fn insert(
    database: &Database,
    connection: &mut AnyConnection,
    run: &NewRun,
) -> Result<Enqueued, DatabaseError> {
    let fault = || DatabaseError::query("put a run in line");
    let text = database.sql(
        "INSERT INTO runs (key, repo_id, event_id, lane, reference, sha, mode, request, priority, state, not_before, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'queued', now_ms(), now_ms()) ON CONFLICT (key) DO NOTHING RETURNING id",
    );
    let query = sqlx::query(text).bind(&run.key).bind(run.repo).bind(run.event).bind(&run.lane).bind(&run.reference);
    let query = query.bind(&run.sha).bind(&run.mode).bind(run.request.to_string()).bind(run.priority);
    let Some(row) = query.fetch_optional(&mut *connection).await.map_err(fault())? else {
        let known = sqlx::query("SELECT id FROM runs WHERE key = $1").bind(&run.key);
        let id = known.fetch_one(connection).await.map_err(fault())?.int("id")?;
        return Ok(Enqueued { id, new: false, superseded: 0 });
    };
    let id = row.int("id")?;
    let mut superseded = 0;
    if run.supersede {
        let text = database.sql(
            "UPDATE runs SET state = 'superseded', superseded_by = $2, ended_at = now_ms() \
             WHERE lane = $1 AND state = 'queued' AND id < $2",
        );
        let done = sqlx::query(text).bind(&run.lane).bind(id).execute(&mut *connection).await.map_err(fault())?;
        superseded = done.rows_affected();
    }
    if run.reference.as_ref().is_some_and(|name| name.starts_with("refs/heads/")) {
        // Who asks late asks after what waited for the branch was cancelled.
        let text = database.sql(
            "UPDATE runs SET state = 'cancelled', cancel = 1, ended_at = now_ms(), summary = $2 WHERE id = $1 AND EXISTS (\
             SELECT 1 FROM refs WHERE refs.repo_id = runs.repo_id AND refs.name = runs.reference AND deleted_at IS NOT NULL)",
        );
        sqlx::query(text).bind(id).bind(GONE).execute(connection).await.map_err(fault())?;
    }
    Ok(Enqueued { id, new: true, superseded })
}

/// How the run before this one in its lane ended.
pub(super) async fn previous(connection: &mut AnyConnection, run: &Run) -> Result<Option<RunState>, DatabaseError> {
    let text = "SELECT state FROM runs WHERE lane = $1 AND id < $2 AND state IN ('succeeded', 'failed', 'lost') \
                ORDER BY id DESC LIMIT 1";
    let row = sqlx::query(text).bind(&run.new.lane).bind(run.id).fetch_optional(connection).await;
    let row = row.map_err(DatabaseError::query("look for a run"))?;
    row.map(|row| word(&row.text("state")?)).transpose()
}

impl Database {
    /// Puts a run in line; one with the same key is not made twice.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn enqueue(&self, run: &NewRun) -> Result<Enqueued, DatabaseError> {
        let mut transaction = self.begin_alone().await?;
        let queued = insert(self, &mut transaction, run).await?;
        transaction.commit().await.map_err(DatabaseError::query("put a run in line"))?;
        Ok(queued)
    }

    /// Asks a run to stop: one that waits is cancelled now, one that runs learns it with its next heartbeat. The state
    /// that it has now comes back.
    ///
    /// # Errors
    /// [`DatabaseError::Missing`] when there is none.
    pub async fn cancel(&self, id: i64) -> Result<RunState, DatabaseError> {
        let mut connection = self.writer().acquire().await.map_err(DatabaseError::query("cancel a run"))?;
        self.cancel_in(&mut connection, id).await
    }

    /// As [`Database::cancel`], and notes who does.
    ///
    /// # Errors
    /// [`DatabaseError::Missing`] when there is none.
    pub async fn cancel_by(&self, id: i64, actor: &str) -> Result<RunState, DatabaseError> {
        let mut transaction = self.begin().await?;
        let state = self.cancel_in(&mut transaction, id).await?;
        let target = id.to_string();
        let deed = Deed { actor, verb: "run.cancel", target: &target, detail: state.word() };
        note(self, &mut transaction, deed).await?;
        transaction.commit().await.map_err(DatabaseError::query("cancel a run"))?;
        Ok(state)
    }

    async fn cancel_in(&self, connection: &mut AnyConnection, id: i64) -> Result<RunState, DatabaseError> {
        let text = self.sql(
            "UPDATE runs SET cancel = CASE WHEN state IN ('queued', 'running') THEN 1 ELSE cancel END, \
             ended_at = CASE WHEN state = 'queued' THEN now_ms() ELSE ended_at END, \
             state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END WHERE id = $1 RETURNING state",
        );
        let row = sqlx::query(text).bind(id).fetch_optional(connection).await;
        let row = row.map_err(DatabaseError::query("cancel a run"))?;
        word(&row.ok_or_else(|| missing(id))?.text("state")?)
    }

    /// Cancels what waits in a lane: its branch is gone.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn cancel_lane(&self, lane: &str) -> Result<u64, DatabaseError> {
        let text = self.sql(
            "UPDATE runs SET state = 'cancelled', cancel = 1, ended_at = now_ms(), summary = $2 \
             WHERE lane = $1 AND state = 'queued'",
        );
        let done = sqlx::query(text).bind(lane).bind(GONE).execute(self.writer()).await;
        Ok(done.map_err(DatabaseError::query("cancel a lane"))?.rows_affected())
    }

    /// What waits or runs in a lane, oldest first.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn active_runs(&self, lane: &str) -> Result<Vec<Run>, DatabaseError> {
        let text = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM runs WHERE lane = $1 AND state IN ('queued', 'running') ORDER BY id"
        ));
        let rows = sqlx::query(text).bind(lane).fetch_all(self.reader()).await;
        rows.map_err(DatabaseError::query("look into a lane"))?.iter().map(Run::of).collect()
    }

    /// One run.
    ///
    /// # Errors
    /// [`DatabaseError::Missing`] when there is none.
    pub async fn run(&self, id: i64) -> Result<Run, DatabaseError> {
        let text = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM runs WHERE id = $1"));
        let row = sqlx::query(text).bind(id).fetch_optional(self.reader()).await;
        Run::of(&row.map_err(DatabaseError::query("read a run"))?.ok_or_else(|| missing(id))?)
    }

    /// The run with this key, if there is one.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn run_by_key(&self, key: &str) -> Result<Option<Run>, DatabaseError> {
        let text = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM runs WHERE key = $1"));
        let row = sqlx::query(text).bind(key).fetch_optional(self.reader()).await;
        row.map_err(DatabaseError::query("read a run"))?.as_ref().map(Run::of).transpose()
    }

    /// Runs, newest first.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, DatabaseError> {
        let text = sqlx::AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM runs WHERE ($1 = 0 OR repo_id = $1) AND ($2 = '' OR state = $2) AND id < $3 \
             ORDER BY id DESC LIMIT $4"
        ));
        let query = sqlx::query(text).bind(filter.repo.unwrap_or(0)).bind(filter.state.map_or("", RunState::word));
        let query = query.bind(filter.before.unwrap_or(i64::MAX)).bind(filter.limit.unwrap_or(50));
        let rows = query.fetch_all(self.reader()).await.map_err(DatabaseError::query("list runs"))?;
        rows.iter().map(Run::of).collect()
    }

    /// How the run before this one in its lane ended.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn previous_end(&self, run: &Run) -> Result<Option<RunState>, DatabaseError> {
        let mut connection = self.reader().acquire().await.map_err(DatabaseError::query("look for a run"))?;
        previous(&mut connection, run).await
    }

    /// Every claim of a run, in order.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn attempts(&self, run: i64) -> Result<Vec<Attempt>, DatabaseError> {
        let text = "SELECT epoch, worker, started_at, ended_at, outcome FROM attempts WHERE run_id = $1 ORDER BY epoch";
        let rows = sqlx::query(text).bind(run).fetch_all(self.reader()).await;
        let read = |row: &AnyRow| {
            Ok(Attempt {
                epoch: row.int("epoch")?,
                worker: row.text("worker")?,
                started_at: row.int("started_at")?,
                ended_at: row.maybe_int("ended_at")?,
                outcome: row.maybe_text("outcome")?,
            })
        };
        rows.map_err(DatabaseError::query("read a run's attempts"))?.iter().map(read).collect()
    }

    /// Steps of a run's last attempt that ended, in order.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn steps(&self, run: i64) -> Result<Vec<StepRow>, DatabaseError> {
        let text = "SELECT seq, name, outcome, elapsed_ms, detail FROM steps WHERE run_id = $1 \
                    AND epoch = (SELECT epoch FROM runs WHERE id = $1) ORDER BY seq";
        let rows = sqlx::query(text).bind(run).fetch_all(self.reader()).await;
        let read = |row: &AnyRow| {
            Ok(StepRow {
                seq: row.int("seq")?,
                name: row.text("name")?,
                outcome: row.text("outcome")?,
                elapsed_ms: row.int("elapsed_ms")?,
                detail: row.text("detail")?,
            })
        };
        rows.map_err(DatabaseError::query("read a run's steps"))?.iter().map(read).collect()
    }

    /// How many runs are in each state that has any.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn count_runs(&self) -> Result<Vec<(RunState, i64)>, DatabaseError> {
        let rows = sqlx::query("SELECT state, count(*) AS number FROM runs GROUP BY state ORDER BY state");
        let rows = rows.fetch_all(self.reader()).await.map_err(DatabaseError::query("count runs"))?;
        rows.iter().map(|row| Ok((word(&row.text("state")?)?, row.int("number")?))).collect()
    }
}

fn missing(id: i64) -> DatabaseError {
    DatabaseError::Missing { what: "run", name: id.to_string() }
}

//! What is known of a repository's refs. A change and its event are written together or not at all.

use sqlx::any::AnyRow;

use super::error::DatabaseError;
use super::events::{NewEvent, insert};
use super::link::Database;
use super::row::Fields;

/// One ref as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRef {
    /// `refs/heads/main`.
    pub name: String,
    /// The commit it pointed to, the last one when it is gone.
    pub sha: String,
    /// How often it was made: 1, and one more with each time that it came back.
    pub generation: i64,
    /// How often it changed.
    pub serial: i64,
    /// Whether it is gone.
    pub deleted: bool,
}

/// One ref that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefChange {
    /// Its name.
    pub name: String,
    /// As it was known when the reading began; a tombstone counts.
    pub before: Option<KnownRef>,
    /// What it points to now; nothing when it is gone.
    pub after: Option<String>,
}

/// Which refs a reading asked for, where the one before it asked for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// What was known of that when the reading began.
    pub before: Option<&'a [String]>,
    /// What it asked for: whole names or beginnings of names.
    pub now: &'a [String],
}

/// What became of a reading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Events that were written, by number.
    pub events: Vec<i64>,
    /// Changes that another reading had seen first.
    pub late: usize,
}

impl KnownRef {
    fn of(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            name: row.text("name")?,
            sha: row.text("sha")?,
            generation: row.int("generation")?,
            serial: row.int("serial")?,
            deleted: row.maybe_int("deleted_at")?.is_some(),
        })
    }
}

impl Database {
    /// Everything that is known of a repository's refs, tombstones included.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn refs(&self, repo: i64) -> Result<Vec<KnownRef>, DatabaseError> {
        let text = "SELECT name, sha, generation, serial, deleted_at FROM refs WHERE repo_id = $1 ORDER BY name";
        let rows = sqlx::query(text).bind(repo).fetch_all(self.reader()).await;
        rows.map_err(DatabaseError::query("read refs"))?.iter().map(KnownRef::of).collect()
    }

    /// Writes what a reading found, in one transaction: each change together with its event, if it has one. A change
    /// whose ref is no longer as the reading knew it is dropped; the next reading sees to it. `head` is what HEAD points to.
    /// `asked` is noted with it. What is told depends on what was asked for before: where another reading has noted
    /// something else meanwhile, all of this one comes too late.
    ///
    /// # Errors
    /// When the database says no; nothing of the reading is kept then.
    pub async fn apply(
        &self,
        repo: i64,
        head: Option<&str>,
        asked: Option<Asked<'_>>,
        changes: &[(RefChange, Option<NewEvent>)],
    ) -> Result<Applied, DatabaseError> {
        let fault = || DatabaseError::query("write what a reading found");
        let mut applied = Applied::default();
        let mut transaction = self.begin().await?;
        if let Some(asked) = asked
            && !note(&mut transaction, repo, asked).await?
        {
            return Ok(Applied { late: changes.len(), ..applied });
        }
        // What follows a step that came too late comes too late, whatever its number.
        let mut late: Option<&str> = None;
        for (change, event) in changes {
            if late == Some(change.name.as_str()) {
                applied.late += 1;
                continue;
            }
            if !self.change(&mut transaction, repo, change).await? {
                applied.late += 1;
                late = Some(&change.name);
                continue;
            }
            if let Some(event) = event {
                applied.events.extend(insert(self, &mut transaction, event).await?);
            }
        }
        let text = if changes.len() > applied.late {
            "UPDATE repos SET read_at = now_ms(), first_seen = COALESCE(first_seen, now_ms()), failures = 0, \
             fault = NULL, head = COALESCE($2, head), changed_at = now_ms() WHERE id = $1"
        } else {
            "UPDATE repos SET read_at = now_ms(), first_seen = COALESCE(first_seen, now_ms()), failures = 0, \
             fault = NULL, head = COALESCE($2, head) WHERE id = $1"
        };
        sqlx::query(self.sql(text)).bind(repo).bind(head).execute(&mut *transaction).await.map_err(fault())?;
        transaction.commit().await.map_err(fault())?;
        Ok(applied)
    }

    /// Whether the ref was still as the reading knew it, and is now as it found it.
    async fn change(
        &self,
        connection: &mut sqlx::AnyConnection,
        repo: i64,
        change: &RefChange,
    ) -> Result<bool, DatabaseError> {
        let known = change.before.as_ref();
        let query = match (known, &change.after) {
            (None, Some(after)) => sqlx::query(self.sql(
                "INSERT INTO refs (repo_id, name, sha, generation, serial, first_seen, changed_at) \
                 VALUES ($1, $2, $3, 1, 1, now_ms(), now_ms()) ON CONFLICT (repo_id, name) DO NOTHING",
            ))
            .bind(repo)
            .bind(&change.name)
            .bind(after),
            (Some(known), Some(after)) => sqlx::query(self.sql(
                "UPDATE refs SET sha = $4, serial = serial + 1, changed_at = now_ms(), \
                 generation = generation + CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END, deleted_at = NULL \
                 WHERE repo_id = $1 AND name = $2 AND serial = $3",
            ))
            .bind(repo)
            .bind(&change.name)
            .bind(known.serial)
            .bind(after),
            (Some(known), None) => sqlx::query(self.sql(
                "UPDATE refs SET serial = serial + 1, changed_at = now_ms(), deleted_at = now_ms() \
                 WHERE repo_id = $1 AND name = $2 AND serial = $3 AND deleted_at IS NULL",
            ))
            .bind(repo)
            .bind(&change.name)
            .bind(known.serial),
            (None, None) => return Ok(false),
        };
        let done = query.execute(connection).await.map_err(DatabaseError::query("write a ref"))?;
        Ok(done.rows_affected() == 1)
    }
}

/// Notes what was asked for; whether nobody else has noted anything since the reading began.
async fn note(connection: &mut sqlx::AnyConnection, repo: i64, asked: Asked<'_>) -> Result<bool, DatabaseError> {
    let text = |names: &[String]| serde_json::json!(names).to_string();
    let query = sqlx::query("UPDATE repos SET asked = $2 WHERE id = $1 AND COALESCE(asked, '') = $3");
    let query = query.bind(repo).bind(text(asked.now)).bind(asked.before.map(text).unwrap_or_default());
    let done = query.execute(connection).await.map_err(DatabaseError::query("note what was asked for"))?;
    Ok(done.rows_affected() == 1)
}

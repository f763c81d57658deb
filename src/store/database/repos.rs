//! Repositories that are watched, and how their last reading went.

use serde_json::Value;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::error::DatabaseError;
use super::link::Database;
use super::row::Fields;

const COLUMNS: &str =
    "id, url, name, settings, active, first_seen, read_at, changed_at, hook_at, head, failures, fault, asked, moved";

/// A repository to watch.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRepo {
    /// Its address, without credentials.
    pub url: String,
    /// Its name here.
    pub name: String,
    /// What the configuration says about it.
    pub settings: Value,
}

/// A repository that is watched. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct Repo {
    /// Its number here.
    pub id: i64,
    /// Its address, without credentials.
    pub url: String,
    /// Its name here.
    pub name: String,
    /// What the configuration says about it.
    pub settings: Value,
    /// Whether it is still watched.
    pub active: bool,
    /// When its refs were first read.
    pub first_seen: Option<i64>,
    /// When they were last read.
    pub read_at: Option<i64>,
    /// When one of them last changed.
    pub changed_at: Option<i64>,
    /// When a webhook of it last arrived and was genuine.
    pub hook_at: Option<i64>,
    /// What HEAD points to there, when it was told: `refs/heads/main`.
    pub head: Option<String>,
    /// Readings that failed since the last one that did not.
    pub failures: i64,
    /// Why the last one failed.
    pub fault: Option<String>,
    /// Whole names or beginnings of names that the last reading asked for; nothing where nobody noted it.
    pub asked: Option<Vec<String>>,
    /// Where its host says that it is now, without credentials.
    pub moved: Option<String>,
}

impl Repo {
    fn of(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.int("id")?,
            url: row.text("url")?,
            name: row.text("name")?,
            settings: row.json("settings")?,
            active: row.flag("active")?,
            first_seen: row.maybe_int("first_seen")?,
            read_at: row.maybe_int("read_at")?,
            changed_at: row.maybe_int("changed_at")?,
            hook_at: row.maybe_int("hook_at")?,
            head: row.maybe_text("head")?,
            failures: row.int("failures")?,
            fault: row.maybe_text("fault")?,
            asked: row.maybe_text("asked")?.map(|text| asked_of(&text)).transpose()?,
            moved: row.maybe_text("moved")?,
        })
    }
}

/// Whoever writes the address that a repository's host told means the same repository, unless the one from before is
/// written, too.
async fn follow(connection: &mut AnyConnection, url: &str, repos: &[NewRepo]) -> Result<(), DatabaseError> {
    let fault = || DatabaseError::query("follow a repository to its new address");
    let text =
        "SELECT id, url FROM repos WHERE moved = $1 AND NOT EXISTS (SELECT 1 FROM repos WHERE url = $1) ORDER BY id";
    for row in sqlx::query(text).bind(url).fetch_all(&mut *connection).await.map_err(fault())? {
        let (id, from) = (row.int("id")?, row.text("url")?);
        if repos.iter().all(|repo| repo.url != from) {
            let query = sqlx::query("UPDATE repos SET url = $2, moved = NULL WHERE id = $1").bind(id).bind(url);
            query.execute(&mut *connection).await.map_err(fault())?;
            return Ok(());
        }
    }
    Ok(())
}

fn asked_of(text: &str) -> Result<Vec<String>, DatabaseError> {
    serde_json::from_str(text).map_err(|error| DatabaseError::Content(format!("column asked: {error}")))
}

impl Database {
    /// Watches exactly these: new ones are added, known ones (by address, or by the one that their host said they moved to)
    /// take the new name and settings, and the others are no longer active but keep their history.
    ///
    /// # Errors
    /// When the database says no; nothing has changed then.
    pub async fn watch(&self, repos: &[NewRepo]) -> Result<(), DatabaseError> {
        let fault = || DatabaseError::query("write the list of repositories");
        let mut transaction = self.begin_alone().await?;
        sqlx::query("UPDATE repos SET active = 0, name = 'was:' || url")
            .execute(&mut *transaction)
            .await
            .map_err(fault())?;
        for repo in repos {
            follow(&mut transaction, &repo.url, repos).await?;
            let text = self.sql(
                "INSERT INTO repos (url, name, settings, concurrency, created_at) VALUES ($1, $2, $3, $4, now_ms()) \
                 ON CONFLICT (url) DO UPDATE SET name = excluded.name, settings = excluded.settings, \
                 concurrency = excluded.concurrency, active = 1",
            );
            let query = sqlx::query(text).bind(&repo.url).bind(&repo.name).bind(repo.settings.to_string());
            // A column besides, because the queue counts by it.
            let at_once = repo.settings.get("concurrency").and_then(Value::as_i64).unwrap_or(1);
            query.bind(at_once.max(1)).execute(&mut *transaction).await.map_err(fault())?;
        }
        transaction.commit().await.map_err(fault())
    }

    /// All repositories that are watched, by name.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn repos(&self) -> Result<Vec<Repo>, DatabaseError> {
        let text = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM repos WHERE active = 1 ORDER BY name"));
        let rows = sqlx::query(text).fetch_all(self.reader()).await;
        rows.map_err(DatabaseError::query("list repositories"))?.iter().map(Repo::of).collect()
    }

    /// All repositories that ever were watched.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn all_repos(&self) -> Result<Vec<Repo>, DatabaseError> {
        let text = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM repos ORDER BY name"));
        let rows = sqlx::query(text).fetch_all(self.reader()).await;
        rows.map_err(DatabaseError::query("list repositories"))?.iter().map(Repo::of).collect()
    }

    /// One repository, by name or address.
    ///
    /// # Errors
    /// [`DatabaseError::Missing`] when there is none.
    pub async fn repo(&self, name: &str) -> Result<Repo, DatabaseError> {
        let text = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM repos WHERE name = $1 OR url = $1"));
        let row = sqlx::query(text).bind(name).fetch_optional(self.reader()).await;
        let row = row.map_err(DatabaseError::query("read a repository"))?;
        let missing = || Err(DatabaseError::Missing { what: "repository", name: name.to_owned() });
        row.as_ref().map_or_else(missing, Repo::of)
    }

    /// One repository, by its number, watched or not; none when there never was one.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn repo_of(&self, id: i64) -> Result<Option<Repo>, DatabaseError> {
        let text = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM repos WHERE id = $1"));
        let row = sqlx::query(text).bind(id).fetch_optional(self.reader()).await;
        row.map_err(DatabaseError::query("read a repository"))?.as_ref().map(Repo::of).transpose()
    }

    /// Notes that a reading failed; how often in a row comes back.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn reading_failed(&self, repo: i64, fault: &str) -> Result<i64, DatabaseError> {
        let text = "UPDATE repos SET failures = failures + 1, fault = $2 WHERE id = $1 RETURNING failures";
        let row = sqlx::query(text).bind(repo).bind(fault).fetch_one(self.writer()).await;
        row.map_err(DatabaseError::query("note a failed reading"))?.int("failures")
    }

    /// Notes that these were read just now, and are as they were.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn unchanged(&self, repos: &[i64]) -> Result<(), DatabaseError> {
        // A few hundred at a time: nobody waits long behind it.
        for some in repos.chunks(500) {
            let numbers: Vec<String> = some.iter().map(ToString::to_string).collect();
            let text = self.sql("UPDATE repos SET read_at = now_ms() WHERE id IN ");
            let text = format!("{}({})", text.as_str(), numbers.join(", "));
            let query = sqlx::query(sqlx::AssertSqlSafe(text));
            query.execute(self.writer()).await.map_err(DatabaseError::query("note readings"))?;
        }
        Ok(())
    }

    /// Notes where a repository's host says that it is now; nothing where it is where it was.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn moved(&self, repo: i64, to: Option<&str>) -> Result<(), DatabaseError> {
        let query = sqlx::query("UPDATE repos SET moved = $2 WHERE id = $1").bind(repo).bind(to);
        query.execute(self.writer()).await.map_err(DatabaseError::query("note a move"))?;
        Ok(())
    }

    /// Those that are watched under an address from which they moved: numbers, and where they are now.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn moves(&self) -> Result<Vec<(i64, String)>, DatabaseError> {
        let text = "SELECT id, moved FROM repos WHERE active = 1 AND moved IS NOT NULL ORDER BY id";
        let rows = sqlx::query(text).fetch_all(self.reader()).await.map_err(DatabaseError::query("list moves"))?;
        rows.iter().map(|row| Ok((row.int("id")?, row.text("moved")?))).collect()
    }

    /// Notes that a genuine webhook arrived.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn hooked(&self, repo: i64) -> Result<(), DatabaseError> {
        let query = sqlx::query(self.sql("UPDATE repos SET hook_at = now_ms() WHERE id = $1")).bind(repo);
        query.execute(self.writer()).await.map_err(DatabaseError::query("note a webhook"))?;
        Ok(())
    }
}

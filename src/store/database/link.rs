//! The open database: its pools, its dialect, its transactions.
//!
//! Times to come are by the wall clock, which may be set back. Nothing waits longer than ten minutes, so what would wait for more
//! than a quarter of an hour (`now_ms() + 900000`) was written before that, and waits no longer.
//!
//! SQLite has one writing connection, so that no two transactions ever wait for each other inside it, and several
//! that read. Postgres has one pool.
//!
//! Where a disk is full, SQLite ends a transaction by itself. Whoever then ends it once more is told that there is none, and the
//! connection counts it as open for ever: it could begin no other. Such a connection is given up, and a new one made.

use std::path::Path;
use std::time::Duration;

use sqlx::any::{AnyArguments, AnyPoolOptions, AnyRow, install_default_drivers};
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor, Row, SqlSafeStr, SqlStr, Transaction};

use super::error::DatabaseError;
use super::migrations;

/// SQLite's clock, in the place of the function that Postgres has.
const SQLITE_NOW: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";

/// A statement with its values.
pub(super) type AnyQuery<'a> = sqlx::query::Query<'a, Any, AnyArguments>;

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// The server's database; clones share it.
#[derive(Debug, Clone)]
pub struct Database {
    dialect: Dialect,
    writer: AnyPool,
    readers: AnyPool,
}

impl Database {
    /// Opens the database at an address, `sqlite:PATH` or `postgres://…`, and brings it to this program's version. An
    /// SQLite file that is not there is made, for the owner only.
    ///
    /// # Errors
    /// When it cannot be reached, is newer than this program, or cannot be migrated.
    pub async fn open(address: &str) -> Result<Self, DatabaseError> {
        install_default_drivers();
        let this = match address.split_once(':') {
            Some(("sqlite", path)) => Self::sqlite(Path::new(path)).await?,
            Some(("postgres" | "postgresql", _)) => Self::postgres(address).await?,
            // The address may hold a password: only its first word is repeated.
            _ => return Err(DatabaseError::Address(address.split(':').next().unwrap_or_default().to_owned())),
        };
        migrations::bring_up(&this).await?;
        Ok(this)
    }

    async fn sqlite(path: &Path) -> Result<Self, DatabaseError> {
        let missing = |error: std::io::Error| DatabaseError::Open(sqlx::Error::Io(error));
        if !path.exists() {
            let mut options = std::fs::OpenOptions::new();
            std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create(true).truncate(false), 0o600);
            options.open(path).map_err(missing)?;
        }
        let path = std::path::absolute(path).map_err(missing)?;
        let mut address = url::Url::from_file_path(&path)
            .map_err(|()| DatabaseError::Address(path.display().to_string()))?
            .to_string();
        address.replace_range(..4, "sqlite");
        let open = |connections, settings: &'static [&'static str]| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(30))
                .after_connect(move |connection, _| Box::pin(settle_sqlite(connection, settings)))
        };
        // What was to be undone is undone by then: the pool waits for an answer of the connection first.
        let writer = open(1, WRITER).before_acquire(|connection, _| {
            let whole = !connection.is_in_transaction();
            Box::pin(async move { Ok::<_, sqlx::Error>(whole) })
        });
        let writer = writer.connect(&address).await.map_err(DatabaseError::Open)?;
        let readers = open(4, READER).connect(&address).await.map_err(DatabaseError::Open)?;
        Ok(Self { dialect: Dialect::Sqlite, writer, readers })
    }

    async fn postgres(address: &str) -> Result<Self, DatabaseError> {
        let options = AnyPoolOptions::new().max_connections(8).acquire_timeout(Duration::from_secs(30));
        let pool = options.connect(address).await.map_err(DatabaseError::Open)?;
        Ok(Self { dialect: Dialect::Postgres, writer: pool.clone(), readers: pool })
    }

    /// Closes every connection; what was committed stays.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        sqlx::query("SELECT 1").execute(self.reader()).await.map_err(DatabaseError::query("answer"))?;
        Ok(())
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// For statements that only read.
    pub(super) fn reader(&self) -> &AnyPool {
        &self.readers
    }

    /// For single statements that write.
    pub(super) fn writer(&self) -> &AnyPool {
        &self.writer
    }

    /// A transaction that writes. On SQLite it has the write lock from its first moment.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        let statement = match self.dialect {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            Dialect::Postgres => "BEGIN",
        };
        self.writer.begin_with(statement).await.map_err(DatabaseError::query("begin"))
    }

    /// A transaction that no other of its kind runs beside: what is counted in it stays true until it ends.
    pub(super) async fn begin_alone(&self) -> Result<Transaction<'static, Any>, DatabaseError> {
        let mut transaction = self.begin().await?;
        if self.dialect == Dialect::Postgres {
            let lock = sqlx::query("SELECT pg_advisory_xact_lock(7305142608)");
            lock.execute(&mut *transaction).await.map_err(DatabaseError::query("take its lock"))?;
        }
        Ok(transaction)
    }

    /// One statement beside which no other of its kind runs; the row that it gives, if it gives one. SQLite, which writes
    /// one at a time, needs no transaction for it.
    pub(super) async fn alone(
        &self,
        query: AnyQuery<'_>,
        action: &'static str,
    ) -> Result<Option<AnyRow>, DatabaseError> {
        let fault = || DatabaseError::query(action);
        if self.dialect == Dialect::Sqlite {
            return query.fetch_optional(&self.writer).await.map_err(fault());
        }
        let mut transaction = self.begin_alone().await?;
        let row = query.fetch_optional(&mut *transaction).await.map_err(fault())?;
        transaction.commit().await.map_err(fault())?;
        Ok(row)
    }

    /// The statement in this database's words: `now_ms()` is its clock.
    pub(super) fn sql(&self, text: &'static str) -> SqlStr {
        match self.dialect {
            Dialect::Sqlite if text.contains("now_ms()") => {
                AssertSqlSafe(text.replace("now_ms()", SQLITE_NOW)).into_sql_str()
            }
            _ => text.into_sql_str(),
        }
    }
}

/// Counts only before the first table is made.
const VACUUM: &str = "PRAGMA auto_vacuum = INCREMENTAL";

/// What the connection that writes to SQLite is set to.
const WRITER: &[&str] = &[
    "PRAGMA busy_timeout = 5000",
    VACUUM,
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
];

/// What those are set to that read. The file knows the rest, and to set it would take the lock of whoever writes.
const READER: &[&str] = &["PRAGMA busy_timeout = 5000"];

async fn settle_sqlite(connection: &mut AnyConnection, settings: &'static [&'static str]) -> Result<(), sqlx::Error> {
    for pragma in settings {
        // To say it again is to write, and a new connection is made while the disk is full, too.
        if *pragma == VACUUM && is_incremental(connection).await? {
            continue;
        }
        connection.execute(*pragma).await?;
    }
    Ok(())
}

async fn is_incremental(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    let row = sqlx::query("PRAGMA auto_vacuum").fetch_one(connection).await?;
    Ok(row.try_get::<i64, _>(0)? == 2)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILL: &str = "INSERT INTO filler (body) VALUES (zeroblob(1000000))";

    async fn opened(folder: &Path) -> (String, Database) {
        let address = format!("sqlite:{}", folder.join("it.db").display());
        let database = Database::open(&address).await.unwrap();
        sqlx::query("CREATE TABLE filler (body BLOB NOT NULL)").execute(database.writer()).await.unwrap();
        (address, database)
    }

    /// Fails a transaction in its middle: there is no room for what it writes.
    async fn fill(database: &Database) {
        // Of this connection only, and no less than the file has by now.
        sqlx::query("PRAGMA max_page_count = 1").execute(database.writer()).await.unwrap();
        let mut transaction = database.begin().await.unwrap();
        let error = sqlx::query(FILL).execute(&mut *transaction).await.unwrap_err();
        assert!(error.to_string().contains("full"), "{error}");
    }

    #[tokio::test]
    async fn a_disk_that_was_full_in_the_middle_of_a_transaction_is_in_the_way_of_none_that_follows() {
        let folder = tempfile::tempdir().unwrap();
        let (_, database) = opened(folder.path()).await;
        for turn in 0..3 {
            fill(&database).await;
            database.try_writing("readyz", &json!(turn)).await.unwrap();
            let mut transaction = database.begin().await.unwrap();
            sqlx::query(FILL).execute(&mut *transaction).await.unwrap();
            transaction.rollback().await.unwrap();
            assert_eq!(database.cursor("readyz").await.unwrap(), Some(json!(turn)));
        }
        let row = sqlx::query("SELECT count(*) FROM filler").fetch_one(database.reader()).await.unwrap();
        assert_eq!(row.try_get::<i64, _>(0).unwrap(), 0, "nothing of what failed is kept");
        // The connection that took the place of the first is set as that one was: `NORMAL`, which is not the usual.
        let row = sqlx::query("PRAGMA synchronous").fetch_one(database.writer()).await.unwrap();
        assert_eq!(row.try_get::<i64, _>(0).unwrap(), 1);
        let row = sqlx::query("PRAGMA auto_vacuum").fetch_one(database.reader()).await.unwrap();
        assert_eq!(row.try_get::<i64, _>(0).unwrap(), 2);
    }

    #[tokio::test]
    async fn whoever_can_write_a_row_but_begin_no_transaction_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        let (address, database) = opened(folder.path()).await;
        // One that keeps its connection, whatever that believes.
        let writer = AnyPoolOptions::new().max_connections(1).connect(&address).await.unwrap();
        let stuck = Database { dialect: Dialect::Sqlite, writer, readers: database.reader().clone() };
        fill(&stuck).await;
        stuck.move_cursor("readyz", &json!(1)).await.unwrap();
        stuck.try_writing("readyz", &json!(2)).await.unwrap_err();
        assert_eq!(stuck.cursor("readyz").await.unwrap(), Some(json!(1)));
        database.try_writing("readyz", &json!(3)).await.unwrap();
    }
}

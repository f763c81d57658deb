//! Brings a database to this program's version, one migration a transaction, and refuses a newer one.

use sqlx::Executor;

use super::error::DatabaseError;
use super::link::{Database, Dialect};
use super::row::Fields;

/// All of them, in order: SQLite's text, Postgres's text.
const MIGRATIONS: [(&str, &str); 4] = [
    (
        include_str!("../../../migrations/sqlite/0001_ledger.sql"),
        include_str!("../../../migrations/postgres/0001_ledger.sql"),
    ),
    (
        include_str!("../../../migrations/sqlite/0002_builds.sql"),
        include_str!("../../../migrations/postgres/0002_builds.sql"),
    ),
    (
        include_str!("../../../migrations/sqlite/0003_limits.sql"),
        include_str!("../../../migrations/postgres/0003_limits.sql"),
    ),
    (
        include_str!("../../../migrations/sqlite/0004_cursors.sql"),
        include_str!("../../../migrations/postgres/0004_cursors.sql"),
    ),
];

/// The version that they come to.
const KNOWN: i64 = 4;

pub(super) async fn bring_up(database: &Database) -> Result<(), DatabaseError> {
    let made = "CREATE TABLE IF NOT EXISTS migrations (version BIGINT PRIMARY KEY)";
    let wrong = |version| move |source| DatabaseError::Migration { version, source };
    for (version, texts) in (1_i64..).zip(MIGRATIONS) {
        // Servers that start together migrate one after the other.
        let mut transaction = database.begin_alone().await?;
        transaction.execute(made).await.map_err(wrong(version))?;
        let found = sqlx::query("SELECT max(version) AS version FROM migrations")
            .fetch_one(&mut *transaction)
            .await
            .map_err(wrong(version))?;
        let found = found.maybe_int("version")?.unwrap_or(0);
        if found > KNOWN {
            return Err(DatabaseError::Newer { found, known: KNOWN });
        }
        if found < version {
            let text = if database.dialect() == Dialect::Sqlite { texts.0 } else { texts.1 };
            sqlx::raw_sql(text).execute(&mut *transaction).await.map_err(wrong(version))?;
            let note = sqlx::query("INSERT INTO migrations (version) VALUES ($1)").bind(version);
            note.execute(&mut *transaction).await.map_err(wrong(version))?;
        }
        transaction.commit().await.map_err(wrong(version))?;
    }
    Ok(())
}

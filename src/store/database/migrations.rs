//! Brings a database to this program's version, one migration a transaction, and refuses a newer one.

use sqlx::Executor;

use super::error::DatabaseError;
use super::link::{Database, Dialect};
use super::row::Fields;

/// All of them, in order: SQLite's text, Postgres's text.
const MIGRATIONS: [(&str, &str); 7] = [
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
    (
        include_str!("../../../migrations/sqlite/0005_lookups.sql"),
        include_str!("../../../migrations/postgres/0005_lookups.sql"),
    ),
    (
        include_str!("../../../migrations/sqlite/0006_readings.sql"),
        include_str!("../../../migrations/postgres/0006_readings.sql"),
    ),
    (
        include_str!("../../../migrations/sqlite/0007_statuses.sql"),
        include_str!("../../../migrations/postgres/0007_statuses.sql"),
    ),
];

/// The version that they come to.
const KNOWN: i64 = 7;

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

#[cfg(test)]
mod tests {
    use sqlx::any::install_default_drivers;
    use sqlx::{AnyConnection, Connection};

    use super::*;
    use crate::store::database::RunState;

    const ROWS: &str =
        "INSERT INTO repos (url, name, created_at) VALUES ('https://h.example/acme/churn', 'acme/churn', 1);
        INSERT INTO events (key, repo_id, kind, source, payload, state, not_before, created_at)
        VALUES ('k', 1, 'push', 'poll', '{}', 'handled', 1, 1);
        INSERT INTO runs (key, repo_id, event_id, lane, sha, mode, request, priority, state, not_before, created_at)
        VALUES ('k', 1, 1, 'l', 'a', 'full', '{}', 1, 'queued', 1, 1);";

    #[tokio::test]
    async fn a_database_of_any_earlier_program_is_brought_up_with_all_that_is_in_it() {
        install_default_drivers();
        for version in 1..KNOWN {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("it.db");
            std::fs::File::create(&path).unwrap();
            let address = format!("sqlite:{}", path.display());
            let mut old = AnyConnection::connect(&address).await.unwrap();
            old.execute("CREATE TABLE migrations (version BIGINT PRIMARY KEY)").await.unwrap();
            for (number, (text, _)) in (1..=version).zip(MIGRATIONS) {
                sqlx::raw_sql(text).execute(&mut old).await.unwrap();
                let note = sqlx::query("INSERT INTO migrations (version) VALUES ($1)").bind(number);
                note.execute(&mut old).await.unwrap();
            }
            sqlx::raw_sql(ROWS).execute(&mut old).await.unwrap();
            old.close().await.unwrap();
            let database = Database::open(&address).await.unwrap();
            let run = database.run(1).await.unwrap();
            assert_eq!((run.state, run.new.event), (RunState::Queued, Some(1)), "from {version}");
            assert_eq!(database.repo("acme/churn").await.unwrap().id, 1, "from {version}");
            assert!(database.artifacts(1).await.unwrap().is_none() && database.cursor("x").await.unwrap().is_none());
            assert!(database.left_statuses().await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn neither_a_sweep_nor_the_end_of_a_run_reads_every_run() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}", folder.path().join("it.db").display())).await.unwrap();
        for (index, text) in [
            // What the database does by itself for each event that is removed.
            ("runs_event", "EXPLAIN QUERY PLAN UPDATE runs SET event_id = NULL WHERE event_id = 1"),
            (
                "runs_lane",
                "EXPLAIN QUERY PLAN SELECT state FROM runs WHERE lane = 'l' AND id < 9 ORDER BY id DESC LIMIT 1",
            ),
        ] {
            let rows = sqlx::query(text).fetch_all(database.writer()).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.text("detail").unwrap()).collect();
            assert!(plan.iter().any(|line| line.contains(index)), "{plan:?}");
        }
    }
}

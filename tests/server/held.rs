//! A server that is kept from its next write, from outside: in its database a trigger that never ends stands before that write,
//! so that what was written until then is all there is when the server is killed. The program itself knows nothing of it.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

/// Rows without end, in no memory. A trigger may not say `WITH`, what it reads may.
const ENDLESS: &str = "CREATE VIEW endless AS WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT 1 FROM counted) \
                       SELECT n FROM counted";

/// A write that nobody gets behind, as long as the trigger is there.
pub(crate) struct Hold(PathBuf);

impl Hold {
    /// Keeps everybody from a write: `INSERT ON runs`, `UPDATE ON runs WHEN NEW.state = 'running'`.
    pub(crate) async fn before(write: &str, database: &Path) -> Self {
        let this = Self(database.to_owned());
        let trigger = format!("CREATE TRIGGER held BEFORE {write} BEGIN SELECT sum(n) FROM endless; END");
        this.change(format!("{ENDLESS}; {trigger}")).await;
        this
    }

    /// Whether somebody stands there: what writes otherwise is done in a few milliseconds.
    pub(crate) async fn is_met(&self) -> bool {
        let mut connection = self.connect(Duration::ZERO).await;
        for _ in 0..20 {
            if sqlx::raw_sql("BEGIN IMMEDIATE; ROLLBACK").execute(&mut connection).await.is_ok() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    }

    /// Lets everybody through again; to be called once whoever stood there is dead.
    pub(crate) async fn lift(self) {
        self.change("DROP TRIGGER held; DROP VIEW endless".to_owned()).await;
    }

    async fn change(&self, text: String) {
        let mut connection = self.connect(Duration::from_secs(30)).await;
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn connect(&self, patience: Duration) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(&self.0).busy_timeout(patience);
        SqliteConnection::connect_with(&options).await.unwrap()
    }
}

/// The lock without which a worker does not fetch from a repository: it waits for as long as this is kept.
pub(crate) fn copy_of(url: &url::Url, worker: &Path) -> File {
    let key = hex::encode(Sha256::digest(url.as_str()));
    let copies = worker.join("copies");
    std::fs::create_dir_all(&copies).unwrap();
    let file = OpenOptions::new().create(true).append(true).open(copies.join(format!("{}.lock", &key[..16]))).unwrap();
    file.lock().unwrap();
    file
}

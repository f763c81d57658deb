//! Who changed what, and when. A row is written in the transaction of its change, so that neither is there without the
//! other; rows are swept when they are old, and never changed.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::error::DatabaseError;
use super::link::Database;
use super::row::Fields;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// A token's name, or who else it was.
    pub actor: String,
    /// What was done: `run.cancel`.
    pub verb: String,
    /// To what.
    pub target: String,
    /// How it went.
    pub detail: String,
}

/// A change that is being made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deed<'a> {
    /// As in [`Entry`].
    pub(super) actor: &'a str,
    pub(super) verb: &'a str,
    pub(super) target: &'a str,
    pub(super) detail: &'a str,
}

/// Notes a change inside the transaction that makes it.
pub(super) async fn note(
    database: &Database,
    connection: &mut AnyConnection,
    deed: Deed<'_>,
) -> Result<(), DatabaseError> {
    let text = database.sql("INSERT INTO audit (at, actor, verb, target, detail) VALUES (now_ms(), $1, $2, $3, $4)");
    let query = sqlx::query(text).bind(deed.actor).bind(deed.verb).bind(deed.target).bind(deed.detail);
    query.execute(connection).await.map_err(DatabaseError::query("note a change"))?;
    Ok(())
}

impl Database {
    /// The newest changes, newest first.
    ///
    /// # Errors
    /// When the database says no.
    pub async fn audit(&self, limit: i64) -> Result<Vec<Entry>, DatabaseError> {
        let text = "SELECT at, actor, verb, target, detail FROM audit ORDER BY id DESC LIMIT $1";
        let rows = sqlx::query(text).bind(limit).fetch_all(self.reader()).await;
        let read = |row: &AnyRow| {
            let (actor, verb) = (row.text("actor")?, row.text("verb")?);
            Ok(Entry { at: row.int("at")?, actor, verb, target: row.text("target")?, detail: row.text("detail")? })
        };
        rows.map_err(DatabaseError::query("read the audit log"))?.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::database::{NewEvent, NewRepo, NewRun, NewToken, RunState};

    const TOKEN: NewToken<'_> = NewToken { name: "ci", hash: "h", scopes: "read", lasts_ms: 60_000 };

    fn event(key: &str) -> NewEvent {
        NewEvent {
            key: key.to_owned(),
            repo: Some(1),
            kind: "manual".to_owned(),
            source: "api".to_owned(),
            reference: Some("main".to_owned()),
            old_sha: None,
            new_sha: None,
            payload: json!({}),
            doubt: None,
        }
    }

    /// A database with a repository, a token and a run that waits.
    async fn open(folder: &std::path::Path) -> Database {
        let database = Database::open(&format!("sqlite:{}", folder.join("it.db").display())).await.unwrap();
        let url = "https://h.example/acme/churn".to_owned();
        database.watch(&[NewRepo { url, name: "acme/churn".to_owned(), settings: json!({}) }]).await.unwrap();
        database.add_token(&TOKEN, "ann").await.unwrap();
        let run = NewRun {
            key: "r".to_owned(),
            repo: 1,
            event: None,
            lane: "l".to_owned(),
            reference: None,
            sha: "a".repeat(40),
            mode: "full".to_owned(),
            request: json!({}),
            priority: 1,
            supersede: false,
        };
        database.enqueue(&run).await.unwrap();
        database
    }

    /// Everything that somebody may change; whether each said that it did.
    async fn change(database: &Database) -> [bool; 7] {
        let token = NewToken { hash: "other", ..TOKEN };
        [
            database.add_token(&token, "ann").await.is_ok(),
            database.revoke_token(1, "ann").await.is_ok(),
            database.put_handler("x", Some("text"), "ann").await.is_ok(),
            database.put_handler("x", None, "ann").await.is_ok(),
            database.cancel_by(1, "ann").await.is_ok(),
            database.tell_by(&event("told"), "ann", "acme/churn").await.is_ok(),
            database.ask_by(&event("asked"), "ann", "acme/churn").await.is_ok(),
        ]
    }

    #[tokio::test]
    async fn a_change_that_cannot_be_noted_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let database = open(folder.path()).await;
        sqlx::query("ALTER TABLE audit RENAME TO gone").execute(database.writer()).await.unwrap();
        assert_eq!(change(&database).await, [false; 7]);
        let tokens = database.tokens().await.unwrap();
        assert!(tokens.len() == 1 && tokens[0].revoked_at.is_none(), "{tokens:?}");
        assert!(database.handler_versions("x").await.unwrap().is_empty());
        let run = database.run(1).await.unwrap();
        assert_eq!((run.state, run.cancel), (RunState::Queued, false));
        assert_eq!(database.events(None, 9).await.unwrap(), []);
        sqlx::query("ALTER TABLE gone RENAME TO audit").execute(database.writer()).await.unwrap();
        assert_eq!(change(&database).await, [true; 7]);
        assert_eq!(database.audit(20).await.unwrap().len(), 8, "and the token of the beginning");
    }
}

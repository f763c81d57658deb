//! What the audit log promises: it has what somebody changed by hand, and nothing else.

use soopervisor::store::database::{AuditEntry, NewEvent};

use super::promises::{push, sha};
use super::{Database, DatabaseError, Place, RunState, new_run, repo};

/// The whole audit log, oldest first.
pub(crate) async fn audit(database: &Database) -> Vec<String> {
    let mut entries = database.audit(50).await.unwrap();
    entries.reverse();
    let line = |AuditEntry { actor, verb, target, detail, .. }| format!("{actor} {verb} {target} {detail}");
    entries.into_iter().map(line).collect()
}

pub(crate) async fn what_somebody_changes_is_noted_with_the_change_and_what_was_refused_is_not(place: &Place) {
    let database = &place.database;
    let id = repo(database).await;
    let run = database.enqueue(&new_run(id, "k")).await.unwrap().id;
    database.cancel(run).await.unwrap();
    assert!(audit(database).await.is_empty(), "nobody did it by hand");
    assert_eq!(database.cancel_by(run, "ann").await.unwrap(), RunState::Cancelled);
    assert!(matches!(database.cancel_by(77, "ann").await, Err(DatabaseError::Missing { .. })));
    database.put_handler("h", Some("one"), "ann").await.unwrap();
    database.put_handler("h", None, "bob").await.unwrap();
    let asked = NewEvent { key: "asked".into(), reference: None, new_sha: None, ..push(id, "one") };
    assert!(database.tell_by(&push(id, "one"), "ann", "acme/churn").await.unwrap().is_some());
    assert_eq!(database.tell_by(&push(id, "one"), "ann", "acme/churn").await.unwrap(), None);
    let asked = database.ask_by(&asked, "bob", "acme/churn").await.unwrap().unwrap();
    assert_eq!(database.event(asked).await.unwrap().state, "asked");
    let expected = [
        format!("ann run.cancel {run} cancelled"),
        "ann handler.put h 1".to_owned(),
        "bob handler.delete h 2".to_owned(),
        format!("ann trigger acme/churn {}", sha('b')),
        format!("bob trigger acme/churn the default branch, event {asked}"),
    ];
    assert_eq!(audit(database).await, expected);
}

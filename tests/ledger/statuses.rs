//! What the database promises of statuses: the one that was asked for last stands, and what is left to be told is there
//! until it was told or a newer one came.

use serde_json::json;
use soopervisor::store::database::{LeftStatus, Retention, StatusKey};

use super::Place;
use super::promises::sha;

fn key(context: &str) -> StatusKey {
    StatusKey { repo: "acme/churn".into(), sha: sha('a'), context: context.into() }
}

pub(crate) async fn the_status_asked_for_last_stands(place: &Place) {
    let database = &place.database;
    let first = database.note_status(&key("ci"), 5, false).await.unwrap().unwrap();
    assert!(database.status_stands(&key("ci"), first).await.unwrap());
    let left = LeftStatus { key: key("ci"), generation: first, document: json!({"state": "pending"}) };
    assert!(database.leave_status(&left).await.unwrap());
    assert_eq!(database.left_statuses().await.unwrap(), std::slice::from_ref(&left));
    // The end takes it out as it is noted.
    let end = database.note_status(&key("ci"), 5, true).await.unwrap().unwrap();
    assert!(end > first);
    assert!(database.left_statuses().await.unwrap().is_empty() && !database.is_left(&left).await.unwrap());
    assert!(!database.status_stands(&key("ci"), first).await.unwrap());
    assert!(!database.leave_status(&left).await.unwrap(), "too late to be left");
    // A beginning of an earlier event comes too late; one of a later event, and any end, does not.
    assert_eq!(database.note_status(&key("ci"), 4, false).await.unwrap(), None);
    assert!(database.status_stands(&key("ci"), end).await.unwrap());
    assert!(database.note_status(&key("ci"), 4, true).await.unwrap().is_some());
    assert!(database.note_status(&key("ci"), 9, false).await.unwrap().is_some());
    // Others are others.
    assert_eq!(database.note_status(&key("other"), 1, false).await.unwrap(), Some(1));
}

pub(crate) async fn a_status_that_is_left_stays_until_it_is_told(place: &Place) {
    let database = &place.database;
    let mut all = Vec::new();
    for context in ["a", "b"] {
        let generation = database.note_status(&key(context), 1, false).await.unwrap().unwrap();
        let left = LeftStatus { key: key(context), generation, document: json!({"state": "pending"}) };
        assert!(database.leave_status(&left).await.unwrap());
        all.push(left);
    }
    assert_eq!(database.left_statuses().await.unwrap(), all);
    database.settle_left(&all[0]).await.unwrap();
    assert!(!database.is_left(&all[0]).await.unwrap() && database.is_left(&all[1]).await.unwrap());
    // What waits is never swept; what was told is, in time.
    database.sweep(Retention { events_ms: 0, ..Retention::default() }).await.unwrap();
    assert_eq!(database.left_statuses().await.unwrap(), all[1..]);
    assert!(!database.status_stands(&key("a"), all[0].generation).await.unwrap());
}

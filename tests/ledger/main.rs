//! The server's database: one suite of promises, held by SQLite and by Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod audited;
mod postgres;
mod promises;
mod refs;
mod statuses;

use soopervisor::store::database::{
    Artifact, Artifacts, Database, DatabaseError, NewRepo, NewRun, Policy, QueueLimits, Retry, RunState,
};

/// A fresh database, and what keeps it there.
struct Place {
    database: Database,
    address: String,
    folder: tempfile::TempDir,
}

async fn sqlite() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("sqlite:{}", folder.path().join("led ger.db").display());
    Place { database: Database::open(&address).await.unwrap(), address, folder }
}

async fn postgres() -> Place {
    let address = postgres::fresh_database();
    Place { database: Database::open(&address).await.unwrap(), address, folder: tempfile::tempdir().unwrap() }
}

async fn repo(database: &Database) -> i64 {
    let settings = serde_json::json!({"poll": 60});
    let new = NewRepo { url: "https://git.example/acme/churn.git".into(), name: "acme/churn".into(), settings };
    database.watch(&[new]).await.unwrap();
    database.repo("acme/churn").await.unwrap().id
}

fn new_run(repo: i64, key: &str) -> NewRun {
    NewRun {
        key: key.to_owned(),
        repo,
        event: None,
        lane: "acme/churn refs/heads/main sample".into(),
        reference: Some("refs/heads/main".into()),
        sha: "a".repeat(40),
        mode: "sample".into(),
        request: serde_json::json!({"storage": "local:/out"}),
        priority: 0,
        supersede: false,
    }
}

macro_rules! both {
    ($($name:ident)*) => {
        mod on_sqlite { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::promises::$name(&super::sqlite().await).await; }
        )* }
        mod on_postgres { $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() { super::promises::$name(&super::postgres().await).await; }
        )* }
    };
}

both! {
    a_database_is_opened_again_with_all_that_was_in_it
    a_newer_database_is_refused
    repositories_follow_the_list_and_keep_their_history
    a_ref_and_its_event_change_together_or_not_at_all
    of_readings_that_began_at_once_one_tells_of_the_change
    of_a_change_in_steps_all_are_written_or_none
    what_was_published_is_noted_by_who_holds_the_run
    a_ref_that_comes_back_is_a_new_generation
    what_a_reading_asked_for_is_noted_with_it_by_one_of_those_that_began_at_once
    a_repository_that_moved_is_followed_when_its_new_address_is_written
    an_event_without_a_commit_waits_for_it_before_it_is_handled
    a_delivery_is_kept_once_and_a_failed_one_is_tried_again_when_it_comes_again
    a_delivery_whose_reader_died_is_read_again
    a_delivery_that_is_put_off_waits_and_that_was_no_try
    an_event_is_handled_once_with_all_that_it_calls_for
    runs_go_by_priority_then_age_and_stay_within_the_limits
    limits_hold_for_all_workers_for_each_and_for_each_repository
    the_next_process_of_a_worker_goes_on_with_its_claims_unless_another_has_them
    workers_that_claim_at_once_get_different_runs
    a_worker_past_its_lease_writes_nothing
    a_worker_that_wakes_after_another_took_over_writes_nothing
    only_infrastructure_failures_are_tried_again_and_not_for_ever
    a_worker_that_is_known_to_be_dead_loses_its_runs_at_once
    a_newer_run_takes_the_place_of_those_that_wait
    a_run_of_a_branch_that_is_gone_is_cancelled_when_it_is_put_in_line
    what_was_told_of_a_ref_is_known_by_its_events
    a_run_that_waits_is_cancelled_at_once_and_one_that_runs_hears_of_it
    a_finished_run_is_an_event_written_with_it
    an_action_is_done_once_and_one_that_may_have_happened_is_not_repeated
    the_status_asked_for_last_stands
    a_status_that_is_left_stays_until_it_is_told
    tokens_are_good_until_they_expire_or_are_taken_back
    what_somebody_changes_is_noted_with_the_change_and_what_was_refused_is_not
    a_tick_is_told_once
    handlers_keep_every_version
    what_is_remembered_of_builds_is_the_last_that_was_written
    the_sweep_takes_what_is_old_and_never_what_waits
    the_sweep_forgets_builds_of_nobody_and_keys_of_old_runs_and_repeats_nothing
    a_thousand_events_from_many_tasks_are_each_handled_once
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_sqlite_is_whole_while_others_write() {
    let place = sqlite().await;
    let repo = repo(&place.database).await;
    place.database.enqueue(&new_run(repo, "one")).await.unwrap();
    let copy = place.folder.path().join("copy.db");
    place.database.backup(&copy).await.unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&copy).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "hashes of tokens are in it");
    let opened = Database::open(&format!("sqlite:{}", copy.display())).await.unwrap();
    assert_eq!(opened.run(1).await.unwrap().new.key, "one");
    assert!(place.database.backup(&copy).await.is_err(), "an existing file is not overwritten");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_a_copy_of_postgres_is_told_what_makes_one() {
    let place = postgres().await;
    let copy = place.folder.path().join("copy.db");
    let refused = place.database.backup(&copy).await.unwrap_err().to_string();
    assert_eq!(refused, "no copy was made: this is a Postgres, which is copied with `pg_dump`");
    assert!(!copy.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_sqlite_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let place = sqlite().await;
    let path = place.address.strip_prefix("sqlite:").unwrap();
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_of_no_database_is_refused_without_repeating_it() {
    let error = Database::open("mysql://me:s3cret@host/db").await.unwrap_err();
    assert!(matches!(error, DatabaseError::Address(_)));
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

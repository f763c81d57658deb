//! The publish protocol over a service that breaks off wherever it hurts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fixture_run::{Run, SHA, folder, project};
use soopervisor::id::RelPath;
use soopervisor::plan::OnConflict;
use soopervisor::storage::backend::HashKind;
use soopervisor::storage::prune::{self, Policy};
use soopervisor::storage::remote::Remote;
use soopervisor::storage::verify::verify;
use soopervisor::storage::{PublishOutcome, Storage, StorageError};

use shelf::Shelf;

mod fixture_run;
#[path = "conformance/shelf.rs"]
mod shelf;

fn remote(shelf: &Arc<Shelf>, journals: Option<PathBuf>) -> Remote {
    Remote::new(Arc::clone(shelf) as Arc<_>, journals)
}

/// What lies on the shelf.
trait Keys {
    fn keys(&self) -> Vec<String>;
}

impl Keys for Shelf {
    fn keys(&self) -> Vec<String> {
        self.objects.lock().expect("objects").keys().cloned().collect()
    }
}

fn path(text: &str) -> RelPath {
    text.parse().expect("a path")
}

fn filled(files: usize) -> Run {
    let run = Run::new();
    for at in 0..files {
        run.product(format!("f{at}.csv"), format!("content {at}"));
    }
    run.product("big.bin", vec![7; 3 << 20]);
    run
}

async fn is_sound(remote: &Remote) -> bool {
    verify(remote, &project(), &folder(), &()).await.expect("a report").is_sound()
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_off_after_any_request_nothing_is_published_and_the_next_publish_heals() {
    for shelf in [shelf::plain, shelf::drive] {
        let run = filled(5);
        let whole = shelf();
        remote(&whole, None).publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
        let requests = whole.requests.load(Ordering::SeqCst);
        for broken in 0..i64::try_from(requests).expect("few") {
            let shelf = shelf();
            let remote = remote(&shelf, None);
            shelf.breaks_after.store(broken, Ordering::SeqCst);
            let result = remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await;
            shelf.breaks_after.store(-1, Ordering::SeqCst);
            let published = !remote.folders(&project()).await.expect("folders").is_empty();
            assert!(published || result.is_err(), "after {broken} requests");
            let again = remote.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await;
            let again = again.unwrap_or_else(|error| panic!("after {broken} requests: {error}"));
            let expected = if published { PublishOutcome::Identical } else { PublishOutcome::Created };
            assert_eq!(again.outcome, expected, "after {broken} requests");
            assert!(is_sound(&remote).await, "after {broken} requests");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_that_was_half_sent_is_gone_on_with_by_another_process() {
    let (run, shelf) = (filled(0), shelf::drive());
    let journals = run.path("journals");
    shelf.breaks_after.store(7, Ordering::SeqCst);
    let first = remote(&shelf, Some(journals.clone()));
    first.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect_err("broken");
    let sent = shelf.bytes_in.load(Ordering::SeqCst);
    assert!(sent > 0 && sent < 3 << 20, "{sent}");
    shelf.breaks_after.store(-1, Ordering::SeqCst);
    let kept: Vec<_> = fs_err::read_dir(&journals).expect("journals").map(|e| e.expect("a file").path()).collect();
    for file in &kept {
        assert_eq!(fs_err::metadata(file).expect("a file").permissions().mode() & 0o077, 0, "sessions are credentials");
    }
    let second = remote(&shelf, Some(journals.clone()));
    second.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    assert_eq!(shelf.bytes_in.load(Ordering::SeqCst), 3 << 20, "nothing is sent twice");
    assert_eq!(fs_err::read_dir(&journals).expect("journals").count(), 0, "nothing is left of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_with_other_results_left_behind_is_replaced_and_removed() {
    let (run, shelf) = (filled(3), shelf::plain());
    let remote = remote(&shelf, None);
    shelf.breaks_after.store(12, Ordering::SeqCst);
    remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect_err("broken");
    shelf.breaks_after.store(-1, Ordering::SeqCst);
    assert!(!shelf.keys().is_empty(), "something was left");
    for at in 0..3 {
        run.product(format!("f{at}.csv"), format!("other {at}"));
    }
    fs_err::remove_file(run.path("work/big.bin")).expect("removed");
    let published = remote.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await.expect("published");
    assert!(is_sound(&remote).await, "{:?}", shelf.keys());
    let named = published.manifest.files.iter().filter(|entry| entry.stored.is_some()).count();
    assert!(named > 0, "what held something else got another name: {:?}", shelf.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_publisher_could_not_remove_any_more_goes_with_the_next_publish() {
    for shelf in [shelf::plain, shelf::drive] {
        let (run, shelf) = (filled(3), shelf());
        let remote = remote(&shelf, None);
        remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
        let whole = shelf.keys();
        let left = format!("demo/{SHA}/f0#0123456789abcdef.csv");
        shelf.objects.lock().expect("objects").insert(left, bytes::Bytes::from_static(b"of a run before"));
        assert!(!is_sound(&remote).await);
        let again = remote.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await.expect("published");
        assert_eq!(again.outcome, PublishOutcome::Identical);
        assert_eq!(shelf.keys(), whole);
        assert!(is_sound(&remote).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_makes_neither_a_failure_nor_a_duplicate_of_the_manifest() {
    let (run, shelf) = (Run::new(), shelf::drive());
    run.product("a", "1");
    shelf.lies_once.store(true, Ordering::SeqCst);
    let remote = remote(&shelf, None);
    let published = remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    assert_eq!(published.outcome, PublishOutcome::Created);
    assert!(is_sound(&remote).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_publishers_one_wins_and_the_other_says_so_and_leaves_nothing() {
    for _ in 0..20 {
        let shelf = shelf::plain();
        let (one, two) = (filled(8), filled(8));
        two.product("f3.csv", "something else");
        two.product("more.csv", "more");
        let first = remote(&shelf, None);
        let second = remote(&shelf, None);
        let (a, b) = tokio::join!(
            first.publish(one.publication("one", OnConflict::Fail), Arc::new(())),
            second.publish(two.publication("two", OnConflict::Fail), Arc::new(())),
        );
        let lost = match (&a, &b) {
            (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
            other => panic!("{other:?}"),
        };
        assert!(matches!(lost, StorageError::Conflict { .. }), "{lost}");
        assert!(is_sound(&first).await, "{:?}", shelf.keys());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_that_the_newest_commit_has_are_copied_by_the_service() {
    let (run, shelf) = (Run::new(), shelf::drive());
    run.product("data/big.bin", vec![9; 9 << 20]);
    run.product("small", "1");
    let remote = remote(&shelf, None);
    remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    let sent = shelf.bytes_in.load(Ordering::SeqCst);
    run.product("small", "2");
    let mut later = run.publication("later", OnConflict::Fail);
    later.about.revision = SHA.replacen("0123", "0199", 1).parse().expect("a revision");
    later.about.commit = later.about.revision.commit.clone();
    let published = remote.publish(later, Arc::new(())).await.expect("published");
    assert_eq!(shelf.bytes_in.load(Ordering::SeqCst) - sent, 1, "only the small one was sent");
    assert!(verify(&remote, &project(), &published.folder, &()).await.expect("a report").is_sound());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_some_services_take_for_one_are_all_published_and_come_back() {
    let shelf = Arc::new(Shelf { hash: Some(HashKind::Sha1), ..Shelf::new() });
    let run = Run::new();
    let names = ["A/x.csv", "a/x.csv", "é.png", "e\u{301}.png", "CON", "desktop.ini", "~x", "tail.", " lead"];
    for name in names {
        run.product(name, name);
    }
    run.product(format!("{}/{}.csv", "d".repeat(180), "f".repeat(250)), "long");
    let remote = remote(&shelf, None);
    let published = remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    assert!(is_sound(&remote).await, "{:?}", shelf.keys());
    let folded: std::collections::BTreeSet<String> = shelf.keys().iter().map(|key| key.to_lowercase()).collect();
    assert_eq!(folded.len(), shelf.keys().len());
    assert!(shelf.keys().iter().all(|key| key.chars().count() <= 400));
    for name in names {
        let entry = published.manifest.entry(&path(name)).expect("an entry");
        let mut reader = remote.open(&project(), &folder(), entry, 0).await.expect("a file");
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut text).await.expect("its bytes");
        assert_eq!(text, name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_account_is_told_before_anything_is_sent() {
    let shelf = Arc::new(Shelf { free: Some(1000), ..Shelf::new() });
    let error = remote(&shelf, None).publish(filled(1).publication("r", OnConflict::Fail), Arc::new(())).await;
    match error {
        Err(StorageError::Full { free: 1000, needed, .. }) => assert!(needed > 3 << 20),
        other => panic!("{other:?}"),
    }
    assert!(shelf.keys().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_stop_is_heard_while_a_service_does_not_answer() {
    #[derive(Debug)]
    struct Stop;
    impl soopervisor::storage::Progress for Stop {
        fn cancelled(&self) -> bool {
            true
        }
    }
    let shelf = shelf::plain();
    let stopped = remote(&shelf, None).publish(filled(1).publication("r", OnConflict::Fail), Arc::new(Stop)).await;
    assert!(matches!(stopped, Err(StorageError::Cancelled)), "{stopped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_sent_is_never_published() {
    let (run, shelf) = (filled(0), shelf::plain());
    let publication = run.publication("r", OnConflict::Fail);
    run.product("big.bin", vec![8; 3 << 20]);
    let error = remote(&shelf, None).publish(publication, Arc::new(())).await.expect_err("changed");
    assert!(matches!(&error, StorageError::Changed { path } if path.to_string() == "big.bin"), "{error:?}");
    assert!(shelf.keys().iter().all(|key| !key.ends_with("manifest.json")));
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_removes_only_folders_that_a_manifest_proves_and_never_the_newest() {
    let shelf = shelf::plain();
    let remote = remote(&shelf, None);
    let run = filled(1);
    for (at, digit) in ["0199", "0188", "0177"].iter().enumerate() {
        let mut publication = run.publication("r", OnConflict::Fail);
        publication.about.revision = SHA.replacen("0123", digit, 1).parse().expect("a revision");
        publication.about.commit = publication.about.revision.commit.clone();
        publication.about.ended =
            jiff::Timestamp::from_second(i64::try_from(at).expect("small") * 86_400).expect("a time");
        remote.publish(publication, Arc::new(())).await.expect("published");
    }
    // Of somebody who is publishing, of another tool, and of a liar.
    let foreign = SHA.replacen("0123", "0166", 1);
    for (key, bytes) in [
        (format!("demo/{foreign}/a.csv"), "half"),
        ("demo/notes/todo.txt".to_owned(), "mine"),
        (format!("demo/{}/manifest.json", SHA.replacen("0123", "0155", 1)), "{}"),
    ] {
        shelf.objects.lock().expect("objects").insert(key, bytes.into());
    }
    let before = shelf.keys();
    let policy = Policy { keep_last: Some(1), ..Policy::default() };
    let now = jiff::Timestamp::now();
    let plan = prune::plan(&remote, &project(), &policy, now).await.expect("a plan");
    assert_eq!((plan.go.len(), plan.stay.len(), plan.doubtful.len()), (2, 1, 1));
    assert_eq!(shelf.keys(), before, "a plan changes nothing");
    let report = prune::remove(&remote, &project(), &plan, &()).await.expect("a report");
    assert_eq!(report.removed.len(), 2);
    let gone: Vec<_> = before.into_iter().filter(|key| !shelf.keys().contains(key)).collect();
    assert!(gone.iter().all(|key| key.contains("0199456789") || key.contains("0188456789")), "{gone:?}");
    assert!(!gone.is_empty() && shelf.keys().iter().any(|key| key.starts_with("demo/0177456789")));
}

//! The publish protocol over a service that breaks off wherever it hurts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fixture_run::{Run, SHA, folder, project};
use soopervisor::id::RelPath;
use soopervisor::plan::OnConflict;
use soopervisor::storage::backend::HashKind;
use soopervisor::storage::prune::{self, Policy};
use soopervisor::storage::remote::{Bounds, Remote};
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Done, Progress, PublishOutcome, Storage, StorageError, Swept};

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

    /// As if all of it had been written so many days earlier.
    fn age(&self, days: i64);
}

impl Keys for Shelf {
    fn keys(&self) -> Vec<String> {
        self.objects.lock().expect("objects").keys().cloned().collect()
    }

    fn age(&self, days: i64) {
        for at in self.times.lock().expect("times").values_mut() {
            *at -= jiff::SignedDuration::from_hours(24 * days);
        }
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
    // Only a run that makes it would know whose this is.
    let report = verify(&remote, &project(), &folder(), &()).await.expect("a report");
    assert!(report.missing.is_empty() && report.changed.is_empty(), "{report:?}");
    assert!(report.extra.iter().all(|extra| *extra == path("big.bin")), "{report:?}");
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
        // What held the name of an output of the run before, and a hold.
        for name in ["f0%230123456789abcdef.csv", ".soopervisor-hold%2d0123"] {
            let left = format!("demo/{SHA}/{name}");
            shelf.objects.lock().expect("objects").insert(left, bytes::Bytes::from_static(b"of a run before"));
        }
        assert!(!is_sound(&remote).await);
        let again = remote.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await.expect("published");
        assert_eq!(again.outcome, PublishOutcome::Identical);
        assert_eq!(shelf.keys(), whole);
        assert!(is_sound(&remote).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes_a_commit_again_removes_nothing_that_somebody_put_there() {
    for shelf in [shelf::plain, shelf::drive] {
        let (run, shelf) = (filled(2), shelf());
        let remote = remote(&shelf, None);
        remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
        let notes = format!("demo/{SHA}/my notes.txt");
        shelf.objects.lock().expect("objects").insert(notes.clone(), "mine".into());
        let again = remote.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await.expect("published");
        assert_eq!(again.outcome, PublishOutcome::Identical);
        assert!(shelf.keys().contains(&notes));
        run.product("f0.csv", "other");
        let kept = remote.publish(run.publication("more", OnConflict::Keep), Arc::new(())).await.expect("kept");
        assert_eq!(kept.outcome, PublishOutcome::Kept);
        assert!(shelf.keys().contains(&notes));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_puts_there_while_a_broken_off_publish_is_gone_on_with_stays() {
    /// Somebody else, as soon as the first file is done.
    struct Visitor(Arc<Shelf>);
    impl Progress for Visitor {
        fn at(&self, done: Done) {
            if done.files > 0 {
                let notes = format!("demo/{SHA}/my notes.txt");
                self.0.objects.lock().expect("objects").insert(notes, "mine".into());
            }
        }
    }
    let (run, shelf) = (small(6), shelf::plain());
    let (left, unknown) = (format!("demo/{SHA}/d0/f0.csv"), format!("demo/{SHA}/of-another-result.csv"));
    for key in [&left, &unknown] {
        shelf.objects.lock().expect("objects").insert(key.clone(), "of a publish that broke off".into());
    }
    let visitor = Arc::new(Visitor(Arc::clone(&shelf)));
    let published = quick(&shelf).publish(run.publication("r", OnConflict::Fail), visitor).await.expect("published");
    assert_eq!(published.outcome, PublishOutcome::Created);
    let keys = shelf.keys();
    assert!(!keys.contains(&left) && keys.contains(&format!("demo/{SHA}/my notes.txt")), "{keys:?}");
    assert!(keys.contains(&unknown), "nothing tells whose it is: {keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_puts_there_before_a_broken_off_publish_is_gone_on_with_stays() {
    for shelf in [shelf::plain, shelf::drive] {
        let (run, shelf) = (small(6), shelf());
        leave(&shelf, &run, 0).await;
        let notes = format!("demo/{SHA}/my notes.txt");
        shelf.objects.lock().expect("objects").insert(notes.clone(), "mine".into());
        let remote = quick(&shelf);
        let published = remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
        assert_eq!(published.outcome, PublishOutcome::Created);
        assert!(shelf.keys().contains(&notes), "{:?}", shelf.keys());
        let report = verify(&remote, &project(), &folder(), &()).await.expect("a report");
        assert_eq!((&*report.extra, report.ok), (&[path("my notes.txt")][..], 6), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_machine_was_about_to_send_goes_though_the_run_once_more_does_not_make_it() {
    let (run, shelf) = (filled(0), shelf::drive());
    let journals = run.path("journals");
    shelf.breaks_after.store(7, Ordering::SeqCst);
    let first = remote(&shelf, Some(journals.clone()));
    first.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect_err("broken");
    shelf.breaks_after.store(-1, Ordering::SeqCst);
    // It arrived after all, and nobody heard of it.
    let left = format!("demo/{SHA}/big.bin");
    shelf.objects.lock().expect("objects").insert(left.clone(), "whole".into());
    fs_err::remove_file(run.path("work/big.bin")).expect("removed");
    run.product("a.csv", "1");
    let second = remote(&shelf, Some(journals));
    second.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    assert!(!shelf.keys().contains(&left), "{:?}", shelf.keys());
    assert!(is_sound(&second).await, "{:?}", shelf.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_machine_had_sent_whole_goes_unless_somebody_changed_it_since() {
    let (run, shelf) = (Run::new(), Arc::new(Shelf { hash: Some(HashKind::Md5), ..Shelf::new() }));
    let journals = run.path("journals");
    for at in 0..8 {
        run.product(format!("f{at}.csv"), format!("content {at}"));
    }
    shelf.breaks_after.store(14, Ordering::SeqCst);
    let first = remote(&shelf, Some(journals.clone()));
    first.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect_err("broken");
    shelf.breaks_after.store(-1, Ordering::SeqCst);
    let left: Vec<String> = shelf.keys().into_iter().filter(|key| key.ends_with(".csv")).collect();
    assert!(left.len() > 1, "{left:?}");
    // One of them is somebody's by now, and there is one of which nobody knows.
    let theirs = [left[0].clone(), format!("demo/{SHA}/notes.csv")];
    for key in &theirs {
        shelf.objects.lock().expect("objects").insert(key.clone(), "theirs".into());
    }
    for at in 0..8 {
        fs_err::remove_file(run.path(format!("work/f{at}.csv"))).expect("removed");
    }
    run.product("other.csv", "1");
    let second = remote(&shelf, Some(journals));
    second.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await.expect("published");
    let there: Vec<String> = shelf.keys().into_iter().filter(|key| key.ends_with(".csv")).collect();
    assert_eq!(there, [theirs[0].clone(), theirs[1].clone(), format!("demo/{SHA}/other.csv")]);
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
async fn while_one_batch_becomes_visible_others_are_sent() {
    let (run, shelf) = (filled(620), shelf::drive());
    // The first batch is ready when all but a few are sent: whoever waits for it before going on waits for ever.
    shelf.holds_until.store(615, Ordering::SeqCst);
    let remote = remote(&shelf, None);
    let publishing = remote.publish(run.publication("r", OnConflict::Fail), Arc::new(()));
    let published = tokio::time::timeout(Duration::from_mins(2), publishing).await.expect("the lanes go on");
    published.expect("published");
    let settled = shelf.settled.lock().expect("settled").clone();
    assert_eq!((settled[0], settled.iter().sum::<usize>()), (500, 621), "{settled:?}");
    assert!(is_sound(&remote).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_becomes_visible_before_much_of_it_waits() {
    let (run, shelf) = (Run::new(), shelf::drive());
    for at in 0..20 {
        run.product(format!("f{at:02}.bin"), vec![7; 100_000]);
    }
    let few = Bounds { unseen: 450_000, ..Bounds::default() };
    let remote = remote(&shelf, None).bounded(few);
    remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    let settled = shelf.settled.lock().expect("settled").clone();
    // Five are enough for a batch; some more may have come while one was under way.
    assert!(settled.len() >= 2 && settled[0] == 5 && settled.iter().sum::<usize>() == 20, "{settled:?}");
    assert!(is_sound(&remote).await);
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
async fn a_storage_without_a_free_byte_is_told_before_there_is_anything_to_send() {
    let health = async |free| {
        let shelf = Arc::new(Shelf { free, ..Shelf::new() });
        remote(&shelf, None).check().await.expect("it answers")
    };
    let full = health(Some(0)).await.has_room().expect_err("full");
    assert_eq!(full.to_string(), "shelf: has 0 bytes free, 1 KiB are needed");
    assert!(full.help().expect("help").contains("soopervisor prune"));
    for free in [Some(1), None] {
        health(free).await.has_room().expect("what is to be sent is not known yet");
    }
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
async fn who_stops_before_the_manifest_has_gone_out_is_told_that_nothing_was_published() {
    /// Wants to stop once the service lets nothing through.
    struct Hasty(Arc<Shelf>);
    impl Progress for Hasty {
        fn cancelled(&self) -> bool {
            self.0.paused.load(Ordering::SeqCst)
        }
    }
    for heard in [false, true] {
        let (shelf, run) = (shelf::plain(), filled(1));
        shelf.holds_manifest.store(true, Ordering::SeqCst);
        shelf.heard_manifest.store(heard, Ordering::SeqCst);
        let hasty = Arc::new(Hasty(Arc::clone(&shelf)));
        let stopped = remote(&shelf, None).publish(run.publication("r", OnConflict::Fail), hasty).await;
        let (told, expected) = match &stopped {
            Err(StorageError::Cancelled) => ("nothing", !heard),
            Err(StorageError::Undecided { .. }) => ("perhaps", heard),
            _ => ("something else", false),
        };
        assert!(expected, "heard: {heard}, told: {told}: {stopped:?}");
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn prune_leaves_a_folder_of_a_service_that_holds_files_of_others() {
    let (shelf, run) = (shelf::plain(), filled(1));
    let remote = remote(&shelf, None);
    for (at, digit) in ["0199", "0188", "0177"].iter().enumerate() {
        let mut publication = run.publication("r", OnConflict::Fail);
        publication.about.revision = SHA.replacen("0123", digit, 1).parse().expect("a revision");
        publication.about.commit = publication.about.revision.commit.clone();
        publication.about.ended =
            jiff::Timestamp::from_second(i64::try_from(at).expect("small") * 86_400).expect("a time");
        remote.publish(publication, Arc::new(())).await.expect("published");
    }
    let key = format!("demo/{}/users-own.txt", SHA.replacen("0123", "0199", 1));
    shelf.objects.lock().expect("objects").insert(key.clone(), "mine".into());
    let (one, now) = (Policy { keep_last: Some(1), ..Policy::default() }, jiff::Timestamp::now());
    let plan = prune::plan(&remote, &project(), &one, now).await.expect("a plan");
    assert_eq!((plan.go.len(), plan.stay.len(), plan.foreign.len()), (1, 2, 1));
    prune::remove(&remote, &project(), &plan, &()).await.expect("a report");
    assert!(shelf.keys().contains(&key));
    let wanted = Policy { with_foreign: true, ..one };
    let plan = prune::plan(&remote, &project(), &wanted, now).await.expect("a plan");
    assert_eq!((plan.go.len(), plan.stay.len(), plan.foreign.len()), (1, 1, 1));
    prune::remove(&remote, &project(), &plan, &()).await.expect("a report");
    assert!(!shelf.keys().contains(&key));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_under_the_name_that_they_had_when_they_were_published() {
    let (shelf, run) = (shelf::plain(), Run::new());
    run.product(".~lock.ods#", "of an office program");
    let remote = remote(&shelf, None);
    let published = remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    assert_eq!(published.manifest.files[0].stored.as_deref(), Some("%2e~lock.ods#"));
    assert!(is_sound(&remote).await);
    // An earlier version took the name as it was.
    let manifest = format!("demo/{SHA}/manifest.json");
    {
        let mut objects = shelf.objects.lock().expect("objects");
        let file = objects.remove(&format!("demo/{SHA}/%2e~lock.ods#")).expect("the file");
        objects.insert(format!("demo/{SHA}/.~lock.ods#"), file);
        let text = String::from_utf8(objects[&manifest].to_vec()).expect("text");
        let noted = r#","stored":"%2e~lock.ods#""#;
        assert!(text.contains(noted), "{text}");
        objects.insert(manifest, text.replace(noted, "").into());
    }
    assert!(is_sound(&remote).await, "{:?}", shelf.keys());
    let again = remote.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await.expect("published");
    assert_eq!(again.outcome, PublishOutcome::Identical);
    assert!(is_sound(&remote).await, "{:?}", shelf.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_puts_into_a_folder_after_the_plan_keeps_it() {
    let (shelf, run) = (shelf::plain(), filled(1));
    let remote = remote(&shelf, None);
    for (at, digit) in ["0199", "0188", "0177"].iter().enumerate() {
        let mut publication = run.publication("r", OnConflict::Fail);
        publication.about.revision = SHA.replacen("0123", digit, 1).parse().expect("a revision");
        publication.about.commit = publication.about.revision.commit.clone();
        publication.about.ended =
            jiff::Timestamp::from_second(i64::try_from(at).expect("small") * 86_400).expect("a time");
        remote.publish(publication, Arc::new(())).await.expect("published");
    }
    let (one, now) = (Policy { keep_last: Some(1), ..Policy::default() }, jiff::Timestamp::now());
    let plan = prune::plan(&remote, &project(), &one, now).await.expect("a plan");
    assert_eq!((plan.go.len(), plan.foreign.len()), (2, 0));
    // While a person thinks about it.
    let key = format!("demo/{}/my notes.txt", SHA.replacen("0123", "0199", 1));
    shelf.objects.lock().expect("objects").insert(key.clone(), "mine".into());
    let report = prune::remove(&remote, &project(), &plan, &()).await.expect("a report");
    assert_eq!((report.removed.len(), report.spared.len()), (1, 1));
    assert_eq!((&report.spared[0].0, report.spared[0].1), (&plan.go[0], 1));
    let whole = |keys: Vec<String>| keys.iter().filter(|key| key.contains("0199456789")).count();
    assert!(shelf.keys().contains(&key) && whole(shelf.keys()) > 2, "{:?}", shelf.keys());
    let wanted = Policy { with_foreign: true, ..one };
    let plan = prune::plan(&remote, &project(), &wanted, now).await.expect("a plan");
    let report = prune::remove(&remote, &project(), &plan, &()).await.expect("a report");
    assert_eq!((report.removed.len(), report.spared.len()), (1, 0));
    assert!(!shelf.keys().contains(&key));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_others_are_seen_whatever_they_are_called() {
    let (shelf, run) = (shelf::plain(), filled(1));
    let remote = remote(&shelf, None);
    remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    let mut later = run.publication("r", OnConflict::Fail);
    later.about.revision = SHA.replacen("0123", "0199", 1).parse().expect("a revision");
    later.about.commit = later.about.revision.commit.clone();
    later.about.ended += jiff::SignedDuration::from_hours(24);
    remote.publish(later, Arc::new(())).await.expect("published");
    let (one, now) = (Policy { keep_last: Some(1), ..Policy::default() }, jiff::Timestamp::now());
    let go = async || prune::plan(&remote, &project(), &one, now).await.expect("a plan").go.len();
    assert_eq!((go().await, is_sound(&remote).await), (1, true));
    // Not as we write names, no path at all, and one that is read as the name of a file of ours.
    for name in ["100% sure.txt", "a//b", "../x", "%2e%2e/x", "f%30.csv"] {
        let key = format!("demo/{SHA}/{name}");
        shelf.objects.lock().expect("objects").insert(key.clone(), "mine".into());
        let report = verify(&remote, &project(), &folder(), &()).await.expect("a report");
        assert_eq!((report.extra.len(), report.ok, report.changed.len()), (1, 2, 0), "{name}: {report:?}");
        assert_eq!(go().await, 0, "{name}");
        shelf.objects.lock().expect("objects").remove(&key);
    }
}

const DEAD: Duration = Duration::from_millis(60);

/// With the program's own bounds, but what is waited for.
fn quick(shelf: &Arc<Shelf>) -> Remote {
    let pause = Duration::from_millis(1);
    remote(shelf, None).bounded(Bounds { dead: DEAD, pause, ..Bounds::default() })
}

/// What a publish of `run` leaves that broke off, days ago.
async fn leave(shelf: &Arc<Shelf>, run: &Run, days: i64) {
    // While files are sent, or while those that were sent are made visible.
    shelf.breaks_after.store(if shelf.batches { 20 } else { 10 }, Ordering::SeqCst);
    quick(shelf).publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect_err("broken off");
    shelf.breaks_after.store(-1, Ordering::SeqCst);
    assert!(!shelf.keys().is_empty(), "something was left");
    shelf.age(days);
}

fn small(files: usize) -> Run {
    let run = Run::new();
    for at in 0..files {
        run.product(format!("d{}/f{at}.csv", at % 2), format!("content {at}"));
    }
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_sweeps_what_broke_off_long_ago_and_nothing_that_is_young_or_not_ours() {
    let (run, shelf, now) = (small(5), shelf::plain(), jiff::Timestamp::now());
    let remote = quick(&shelf);
    leave(&shelf, &run, 6).await;
    let left = shelf.keys();
    for key in ["demo/notes/todo.txt".to_owned(), format!("demo/x{SHA}/a"), format!("demo/{SHA}x/a")] {
        shelf.objects.lock().expect("objects").insert(key.clone(), "mine".into());
        shelf.times.lock().expect("times").insert(key, jiff::Timestamp::UNIX_EPOCH);
    }
    let plan = prune::plan(&remote, &project(), &Policy::default(), now).await.expect("a plan");
    assert_eq!((plan.unfinished.len(), plan.under_way.len()), (0, 1), "six days are young");
    shelf.age(2);
    let plan = prune::plan(&remote, &project(), &Policy::default(), now).await.expect("a plan");
    assert_eq!((plan.unfinished.len(), plan.under_way.len()), (1, 0));
    assert_eq!(plan.unfinished[0].files, left.len());
    // One file was written since the plan was made.
    let young = left[0].clone();
    let old = shelf.times.lock().expect("times").insert(young.clone(), jiff::Timestamp::now());
    let report = prune::remove(&remote, &project(), &plan, &()).await.expect("a report");
    assert!(report.swept.is_empty() && report.left.len() == 1, "{report:?}");
    assert!(left.iter().all(|key| shelf.keys().contains(key)), "nothing of it was removed");
    shelf.times.lock().expect("times").insert(young, old.expect("a time"));
    let report = prune::remove(&remote, &project(), &plan, &()).await.expect("a report");
    assert_eq!((report.swept.len(), report.left.len()), (1, 0), "{report:?}");
    assert_eq!(shelf.keys().len(), 3, "what is not ours is there: {:?}", shelf.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_of_this_machine_that_is_wrong_sweeps_nothing_that_the_storage_calls_young() {
    let (run, shelf) = (small(5), shelf::plain());
    leave(&shelf, &run, 1).await;
    let future = jiff::Timestamp::now() + Duration::from_hours(24 * 30);
    let plan = prune::plan(&quick(&shelf), &project(), &Policy::default(), future).await.expect("a plan");
    assert_eq!(plan.unfinished.len(), 1);
    let before = shelf.keys();
    let report = prune::remove(&quick(&shelf), &project(), &plan, &()).await.expect("a report");
    assert!(report.swept.is_empty(), "{report:?}");
    assert_eq!(shelf.keys(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_tells_no_times_is_left_alone_and_that_is_said() {
    let (run, shelf) = (small(5), shelf::plain());
    leave(&shelf, &run, 30).await;
    shelf.timeless.store(true, Ordering::SeqCst);
    let plan = prune::plan(&quick(&shelf), &project(), &Policy::default(), jiff::Timestamp::now()).await;
    let plan = plan.expect("a plan");
    assert!(plan.unfinished.is_empty() && plan.under_way[0].1.contains("does not tell"), "{plan:?}");
    let swept = quick(&shelf).sweep(&project(), &folder(), &()).await.expect("looked at");
    assert!(matches!(&swept, Swept::Left(why) if why.contains("does not tell")), "{swept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_killed_between_any_two_requests_is_gone_on_with_by_the_next_and_by_a_publish() {
    for publishes in [false, true] {
        for broken in 0..100 {
            let (run, shelf) = (small(5), shelf::plain());
            leave(&shelf, &run, 8).await;
            shelf.breaks_after.store(broken, Ordering::SeqCst);
            let killed = quick(&shelf).sweep(&project(), &folder(), &()).await;
            shelf.breaks_after.store(-1, Ordering::SeqCst);
            tokio::time::sleep(DEAD + Duration::from_millis(20)).await;
            if publishes {
                let published = quick(&shelf).publish(run.publication("r", OnConflict::Fail), Arc::new(())).await;
                published.unwrap_or_else(|error| panic!("after {broken} requests: {error}"));
                assert!(is_sound(&quick(&shelf)).await, "after {broken} requests: {:?}", shelf.keys());
            } else {
                let now = jiff::Timestamp::now();
                let plan = prune::plan(&quick(&shelf), &project(), &Policy::default(), now).await.expect("a plan");
                assert!(plan.under_way.is_empty(), "after {broken} requests it counts as young: {plan:?}");
                prune::remove(&quick(&shelf), &project(), &plan, &()).await.expect("removed");
                assert!(shelf.keys().is_empty(), "after {broken} requests: {:?}", shelf.keys());
            }
            assert!(shelf.keys().iter().all(|key| !key.contains(".soopervisor-")), "{:?}", shelf.keys());
            if killed.is_ok() {
                assert!(broken > 5, "it was broken off several times");
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_against_prunes_is_always_whole_and_never_fails() {
    for race in 0_u64..150 {
        let (run, shelf) = (small(6), if race % 2 == 0 { shelf::plain() } else { shelf::drive() });
        leave(&shelf, &run, 8).await;
        let prunes = [race % 5, race % 7].map(|late| {
            let remote = quick(&shelf);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(late)).await;
                remote.sweep(&project(), &folder(), &()).await
            })
        });
        let publisher = remote(&shelf, None).bounded(quick_bounds());
        let published = publisher.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await;
        let mut swept = Vec::new();
        for prune in prunes {
            swept.push(prune.await.expect("a prune").expect("swept or left"));
        }
        let published = published.unwrap_or_else(|error| panic!("race {race}: {error}, {swept:?}"));
        assert_eq!(published.outcome, PublishOutcome::Created);
        assert!(is_sound(&publisher).await, "race {race}: {swept:?}, {:?}", shelf.keys());
        assert!(shelf.keys().iter().all(|key| !key.contains(".soopervisor-")), "{:?}", shelf.keys());
    }
}

fn quick_bounds() -> Bounds {
    Bounds { pause: Duration::from_millis(1), ..Bounds::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_whose_leftovers_are_removed_under_it_begins_anew() {
    /// Removes everything at the first file that is done, as a prune would that took a publisher for dead.
    struct Thief(Arc<Shelf>, AtomicBool);
    impl Progress for Thief {
        fn at(&self, done: Done) {
            if done.files > 1 && !self.1.swap(true, Ordering::SeqCst) {
                self.0.objects.lock().expect("objects").clear();
            }
        }
    }
    let (run, shelf) = (small(6), shelf::plain());
    leave(&shelf, &run, 8).await;
    let thief = Arc::new(Thief(Arc::clone(&shelf), AtomicBool::new(false)));
    let published = quick(&shelf).publish(run.publication("r", OnConflict::Fail), Arc::clone(&thief) as Arc<_>).await;
    assert_eq!(published.expect("published").outcome, PublishOutcome::Created);
    assert!(thief.1.load(Ordering::SeqCst), "something was removed");
    assert!(is_sound(&quick(&shelf)).await, "{:?}", shelf.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_publish_of_this_machine_had_to_do_with_lately_is_not_swept() {
    let (run, shelf) = (small(5), shelf::plain());
    leave(&shelf, &run, 8).await;
    let journals = run.path("journals");
    let here = || remote(&shelf, Some(journals.clone())).bounded(quick_bounds());
    shelf.breaks_after.store(3, Ordering::SeqCst);
    here().publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect_err("broken off");
    shelf.breaks_after.store(-1, Ordering::SeqCst);
    shelf.age(30);
    let swept = here().sweep(&project(), &folder(), &()).await.expect("looked at");
    assert!(matches!(&swept, Swept::Left(why) if why.contains("this machine")), "{swept:?}");
    let swept = quick(&shelf).sweep(&project(), &folder(), &()).await.expect("swept");
    assert!(matches!(swept, Swept::Gone { .. }), "elsewhere nobody knows of it: {swept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn taking_a_young_commit_away_is_gone_on_with_wherever_it_broke_off() {
    for requests in 0..9 {
        let (run, shelf) = (small(4), shelf::plain());
        let remote = quick(&shelf);
        remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
        shelf.breaks_after.store(requests, Ordering::SeqCst);
        let broke_off = remote.unpublish(&project(), &folder()).await.is_err();
        shelf.breaks_after.store(-1, Ordering::SeqCst);
        tokio::time::sleep(DEAD * 2).await;
        let plan = prune::plan(&remote, &project(), &Policy::default(), jiff::Timestamp::now()).await.expect("a plan");
        prune::remove(&remote, &project(), &plan, &()).await.expect("a report");
        let left: Vec<String> =
            shelf.keys().into_iter().filter(|key| key.starts_with(&format!("demo/{SHA}/"))).collect();
        let published = left.iter().any(|key| key.ends_with("/manifest.json"));
        assert!(left.is_empty() || published && is_sound(&remote).await, "after {requests} requests: {left:?}");
        if !broke_off {
            assert!(left.is_empty() && requests > 1, "{requests}: {left:?}");
            return;
        }
    }
    panic!("it always broke off");
}

//! One publish: broken off, answered late or not at all, against another one, in batches, to an account that is full.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use soopervisor::plan::OnConflict;
use soopervisor::storage::backend::HashKind;
use soopervisor::storage::remote::Bounds;
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Progress, PublishOutcome, Storage as _, StorageError};

use crate::fixture_run::{Run, SHA, folder, project};
use crate::shelf::{self, Shelf};
use crate::{Keys as _, filled, is_sound, path, remote};

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
    assert_eq!(full.to_string(), "shelf: has 0 B free, 1.0 kB are needed");
    assert!(full.help().expect("help").contains("soopervisor prune"));
    for free in [Some(1), None] {
        health(free).await.has_room().expect("what is to be sent is not known yet");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_to_stop_is_heard_while_a_service_does_not_answer() {
    #[derive(Debug)]
    struct Stop;
    impl Progress for Stop {
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
        shelf.heard_before.store(heard, Ordering::SeqCst);
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
async fn a_login_that_ends_once_the_manifest_was_taken_is_no_word_that_it_is_not_published() {
    for late in [false, true] {
        let (shelf, run) = (shelf::plain(), filled(1));
        shelf.ends_login.store(true, Ordering::SeqCst);
        shelf.ends_late.store(late, Ordering::SeqCst);
        let remote = remote(&shelf, None);
        let failed = remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect_err("ended");
        assert_eq!(matches!(&failed, StorageError::Undecided { fault: Some(_), .. }), late, "{failed:?}");
        assert_eq!(matches!(&failed, StorageError::Service { action: "write", .. }), !late, "{failed:?}");
        let said = failed.to_string();
        assert!(said.contains("the login has ended"), "{said}");
        assert_eq!(said.contains("may be published, or not"), late, "{said}");
        assert_eq!(remote.folders(&project()).await.expect("folders").len(), usize::from(late));
        if late {
            let help = failed.help().expect("help");
            assert!(help.contains(&format!("--project {}`", project())), "{help}");
            assert!(is_sound(&remote).await, "what the manifest names is there");
        }
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

//! What lies in a commit's folder besides its files: of runs that broke off, which goes, and of somebody else, which stays.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use soopervisor::plan::OnConflict;
use soopervisor::storage::backend::HashKind;
use soopervisor::storage::prune::{self, Policy};
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Done, Progress, Publication, PublishOutcome, Storage as _};

use crate::fixture_run::{Run, SHA, folder, project};
use crate::shelf::{self, Shelf};
use crate::{Keys as _, filled, is_sound, leave, path, quick, remote, small};

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
    // What lay there may be anybody's by now.
    let report = verify(&remote, &project(), &folder(), &()).await.expect("a report");
    assert!(report.missing.is_empty() && report.changed.is_empty(), "{report:?}");
    assert!(!report.extra.is_empty(), "{report:?}");
    assert_eq!(published.others.len(), report.extra.len(), "it is told: {published:?}, {report:?}");
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
async fn ploombers_note_of_a_product_goes_with_the_next_publish_and_one_of_no_product_stays_and_is_told() {
    for shelf in [shelf::plain, shelf::drive] {
        let (run, shelf) = (filled(1), shelf());
        run.product(".f0.csv.metadata", "{\"timestamp\": 1.5, \"params\": {}}");
        let [note, theirs] = [".f0.csv.metadata", ".notes.metadata"].map(|name| format!("demo/{SHA}/{name}"));
        let lies = |key: &String| {
            shelf.objects.lock().expect("objects").insert(key.clone(), "of a run before".into());
        };
        lies(&theirs);
        let remote = remote(&shelf, None);
        // One that goes on with it, and one that finds the manifest of a publisher which was killed right after that.
        for (id, outcome) in [("r", PublishOutcome::Created), ("again", PublishOutcome::Identical)] {
            lies(&note);
            let published = remote.publish(run.publication(id, OnConflict::Fail), Arc::new(())).await;
            let published = published.expect("published");
            assert_eq!((published.outcome, &*published.others), (outcome, &[".notes.metadata".to_owned()][..]));
            assert!(!shelf.keys().contains(&note) && shelf.keys().contains(&theirs), "{:?}", shelf.keys());
            let report = verify(&remote, &project(), &folder(), &()).await.expect("a report");
            assert_eq!((&*report.extra, report.ok), (&[path(".notes.metadata")][..], 3), "{report:?}");
        }
    }
}

/// Of another commit, a day later.
fn newer(run: &Run) -> Publication {
    let mut newer = run.publication("later", OnConflict::Fail);
    newer.about.revision = SHA.replacen("0123", "0199", 1).parse().expect("a revision");
    newer.about.commit = newer.about.revision.commit.clone();
    newer.about.ended += jiff::SignedDuration::from_hours(24);
    newer
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_a_commit_published_points_to_it_where_a_killed_publisher_did_not() {
    for shelf in [shelf::plain, shelf::drive] {
        let (run, shelf) = (filled(1), shelf());
        let remote = remote(&shelf, None);
        let (older, newer) = (run.publication("r", OnConflict::Fail), newer(&run));
        let held = || shelf.objects.lock().expect("objects").clone();
        let lose = |key: &str| drop(shelf.objects.lock().expect("objects").remove(key));
        let again = async |publication: &Publication| {
            let published = remote.publish(publication.clone(), Arc::new(())).await.expect("published");
            assert_eq!(published.outcome, PublishOutcome::Identical);
        };
        remote.publish(older.clone(), Arc::new(())).await.expect("published");
        let before = held()["demo/latest.json"].clone();
        remote.publish(newer.clone(), Arc::new(())).await.expect("published");
        let whole = held();
        let index: Vec<&String> = whole.keys().filter(|key| key.starts_with("demo/index/")).collect();
        assert_eq!(index.len(), 2, "{index:?}");
        // Killed right behind the manifest, of the newest one and of the first one of all.
        for latest in [Some(&before), None] {
            lose(index[1]);
            lose("demo/latest.json");
            if let Some(latest) = latest {
                shelf.objects.lock().expect("objects").insert("demo/latest.json".to_owned(), latest.clone());
            }
            again(&newer).await;
            assert_eq!(held(), whole);
        }
        // An older one goes into the index, and is not the latest.
        lose(index[0]);
        again(&older).await;
        assert_eq!(held(), whole);
        // Reading, the folder, the entry and the latest: whichever fails, the run does not.
        let mut asked = 0;
        for failing in 0..=4 {
            lose(index[1]);
            lose("demo/latest.json");
            let since = shelf.requests.load(Ordering::SeqCst);
            shelf.breaks_after.store(if failing == 0 { -1 } else { asked - failing }, Ordering::SeqCst);
            again(&newer).await;
            shelf.breaks_after.store(-1, Ordering::SeqCst);
            if failing == 0 {
                asked = i64::try_from(shelf.requests.load(Ordering::SeqCst) - since).expect("few");
            }
        }
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
    let others = [&left, &unknown, &format!("demo/{SHA}/my notes.txt")];
    assert!(others.iter().all(|other| keys.contains(other)), "nothing tells whose they are: {keys:?}");
    assert_eq!(published.others, ["d0/f0.csv", "my notes.txt", "of-another-result.csv"]);
    let there = shelf.objects.lock().expect("objects")[&left].clone();
    assert_eq!(there, "of a publish that broke off", "nobody wrote over it");
    let stored = published.manifest.entry(&path("d0/f0.csv")).expect("an entry").stored.clone();
    assert!(stored.is_some_and(|stored| keys.contains(&format!("demo/{SHA}/{stored}"))), "{keys:?}");
    // Nor does who finds the commit published, whose file is older than the manifest by now.
    shelf.times.lock().expect("times").insert(left.clone(), jiff::Timestamp::UNIX_EPOCH);
    let again = quick(&shelf).publish(run.publication("again", OnConflict::Fail), Arc::new(())).await;
    let again = again.expect("published");
    assert_eq!((again.outcome, again.others.len()), (PublishOutcome::Identical, 3));
    assert!(shelf.keys().contains(&left), "{:?}", shelf.keys());
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
async fn what_this_machine_was_about_to_send_stays_since_nothing_proves_who_wrote_what_lies_there() {
    let (run, shelf) = (filled(0), shelf::drive());
    let journals = run.path("journals");
    shelf.breaks_after.store(7, Ordering::SeqCst);
    let first = remote(&shelf, Some(journals.clone()));
    first.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect_err("broken");
    shelf.breaks_after.store(-1, Ordering::SeqCst);
    // It arrived after all and nobody heard of it, or somebody put another one there.
    let left = format!("demo/{SHA}/big.bin");
    shelf.objects.lock().expect("objects").insert(left.clone(), "whole".into());
    fs_err::remove_file(run.path("work/big.bin")).expect("removed");
    run.product("a.csv", "1");
    let second = remote(&shelf, Some(journals));
    second.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    assert!(shelf.keys().contains(&left), "{:?}", shelf.keys());
    let report = verify(&second, &project(), &folder(), &()).await.expect("a report");
    assert_eq!((&*report.extra, report.ok), (&[path("big.bin")][..], 1), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_machine_had_sent_whole_goes_unless_somebody_changed_it_since() {
    let with_checksums = Shelf { hash: Some(HashKind::Md5), ..Shelf::new() };
    for shelf in [with_checksums, Shelf { tags: true, ..Shelf::new() }] {
        what_was_sent_whole_goes(&Arc::new(shelf)).await;
    }
}

async fn what_was_sent_whole_goes(shelf: &Arc<Shelf>) {
    let run = Run::new();
    let journals = run.path("journals");
    for at in 0..8 {
        run.product(format!("f{at}.csv"), format!("content {at}"));
    }
    shelf.breaks_after.store(14, Ordering::SeqCst);
    let first = remote(shelf, Some(journals.clone()));
    first.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect_err("broken");
    shelf.breaks_after.store(-1, Ordering::SeqCst);
    let left: Vec<String> = shelf.keys().into_iter().filter(|key| key.contains(".csv")).collect();
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
    let second = remote(shelf, Some(journals));
    let published = second.publish(run.publication("again", OnConflict::Fail), Arc::new(())).await.expect("published");
    assert_eq!(published.others.len(), 2, "{published:?}");
    let there: Vec<String> = shelf.keys().into_iter().filter(|key| key.contains(".csv")).collect();
    assert_eq!(there, [theirs[0].clone(), theirs[1].clone(), format!("demo/{SHA}/other.csv")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebodys_file_is_told_by_its_name_in_the_storage_also_where_that_is_the_name_of_an_output() {
    let (run, shelf) = (small(1), shelf::plain());
    for name in ["a%3ab.txt", "d0/f0.csv"] {
        shelf.objects.lock().expect("objects").insert(format!("demo/{SHA}/{name}"), "theirs".into());
    }
    let remote = quick(&shelf);
    let published = remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    assert_eq!(published.others, ["a%3ab.txt", "d0/f0.csv"]);
    let report = verify(&remote, &project(), &folder(), &()).await.expect("a report");
    assert_eq!((&*report.extra, report.ok), (&[path("a%3ab.txt"), path("d0/f0.csv")][..], 1), "{report:?}");
    let document = serde_json::to_value(&report).expect("a document");
    assert_eq!(document["extra"], serde_json::json!(["a%3ab.txt", "d0/f0.csv"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_others_are_seen_whatever_they_are_called() {
    let (shelf, run) = (shelf::plain(), filled(1));
    let remote = remote(&shelf, None);
    remote.publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect("published");
    remote.publish(newer(&run), Arc::new(())).await.expect("published");
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

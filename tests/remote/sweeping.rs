//! What broke off long ago is swept, and nothing that is young, of somebody else or gone on with.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use soopervisor::plan::OnConflict;
use soopervisor::storage::backend::HashKind;
use soopervisor::storage::prune::{self, Policy};
use soopervisor::storage::remote::Bounds;
use soopervisor::storage::{Done, Progress, PublishOutcome, Storage as _, Swept};

use crate::fixture_run::{Run, SHA, folder, project};
use crate::shelf::{self, Shelf};
use crate::{DEAD, Keys as _, is_sound, leave, quick, remote, small};

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
    let plan = prune::plan(&remote, &project(), &whatever(), now).await.expect("a plan");
    assert_eq!((plan.unfinished.len(), plan.under_way.len()), (0, 1), "six days are young");
    shelf.age(2);
    let plan = prune::plan(&remote, &project(), &whatever(), now).await.expect("a plan");
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
async fn a_folder_in_which_nothing_proves_a_file_to_be_ours_stays_and_that_is_said() {
    let (shelf, now) = (shelf::plain(), jiff::Timestamp::now());
    let remote = quick(&shelf);
    let thesis = format!("demo/{SHA}/thesis.docx");
    shelf.objects.lock().expect("objects").insert(thesis.clone(), "mine".into());
    shelf.times.lock().expect("times").insert(thesis.clone(), jiff::Timestamp::UNIX_EPOCH);
    let plan = prune::plan(&remote, &project(), &Policy::default(), now).await.expect("a plan");
    assert!(plan.is_empty() && plan.under_way[0].1.contains("nothing proves that they are ours"), "{plan:?}");
    // As though it had come after the plan.
    let swept = remote.sweep(&project(), &folder(), false, &()).await.expect("looked at");
    assert!(matches!(&swept, Swept::Left(why) if why.contains("--with-foreign")), "{swept:?}");
    assert_eq!(shelf.keys(), [thesis], "no mark is left either");
    let plan = prune::plan(&remote, &project(), &whatever(), now).await.expect("a plan");
    prune::remove(&remote, &project(), &plan, &()).await.expect("a report");
    assert!(shelf.keys().is_empty(), "who wants that has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_machine_had_sent_whole_is_swept_and_one_that_somebody_changed_keeps_it() {
    let (run, shelf) = (Run::new(), Arc::new(Shelf { hash: Some(HashKind::Md5), ..Shelf::new() }));
    for at in 0..8 {
        run.product(format!("f{at}.csv"), format!("content {at}"));
    }
    let journals = run.path("journals");
    let here = || remote(&shelf, Some(journals.clone())).bounded(quick_bounds());
    shelf.breaks_after.store(14, Ordering::SeqCst);
    here().publish(run.publication("r", OnConflict::Fail), Arc::new(())).await.expect_err("broken off");
    shelf.breaks_after.store(-1, Ordering::SeqCst);
    shelf.age(8);
    // So is what this machine remembers of it.
    for file in fs_err::read_dir(&journals).expect("journals") {
        let file = std::fs::File::options().write(true).open(file.expect("a file").path()).expect("a file");
        file.set_modified(std::time::SystemTime::now() - Duration::from_hours(24 * 8)).expect("aged");
    }
    let files: Vec<String> = shelf.keys().into_iter().filter(|key| key.contains(".csv")).collect();
    assert!(files.len() > 1, "{files:?}");
    let unproven = async || here().unfinished(&project()).await.expect("unfinished")[0].unproven;
    assert_eq!(unproven().await, 0, "{:?}", shelf.keys());
    let ours = shelf.objects.lock().expect("objects").insert(files[0].clone(), "theirs".into()).expect("ours");
    assert_eq!(unproven().await, 1);
    let swept = here().sweep(&project(), &folder(), false, &()).await.expect("looked at");
    assert!(matches!(&swept, Swept::Left(why) if why.contains("all of them are ours")), "{swept:?}");
    shelf.objects.lock().expect("objects").insert(files[0].clone(), ours);
    let swept = here().sweep(&project(), &folder(), false, &()).await.expect("swept");
    assert!(matches!(swept, Swept::Gone { .. }), "{swept:?}");
    assert!(shelf.keys().is_empty(), "{:?}", shelf.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_of_this_machine_that_is_wrong_sweeps_nothing_that_the_storage_calls_young() {
    let (run, shelf) = (small(5), shelf::plain());
    leave(&shelf, &run, 1).await;
    let future = jiff::Timestamp::now() + Duration::from_hours(24 * 30);
    let plan = prune::plan(&quick(&shelf), &project(), &whatever(), future).await.expect("a plan");
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
    let swept = quick(&shelf).sweep(&project(), &folder(), true, &()).await.expect("looked at");
    assert!(matches!(&swept, Swept::Left(why) if why.contains("does not tell")), "{swept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prune_killed_between_any_two_requests_is_gone_on_with_by_the_next_and_by_a_publish() {
    for publishes in [false, true] {
        for broken in 0..100 {
            let (run, shelf) = (small(5), shelf::plain());
            leave(&shelf, &run, 8).await;
            shelf.breaks_after.store(broken, Ordering::SeqCst);
            let killed = quick(&shelf).sweep(&project(), &folder(), true, &()).await;
            shelf.breaks_after.store(-1, Ordering::SeqCst);
            tokio::time::sleep(DEAD + Duration::from_millis(20)).await;
            if publishes {
                let published = quick(&shelf).publish(run.publication("r", OnConflict::Fail), Arc::new(())).await;
                published.unwrap_or_else(|error| panic!("after {broken} requests: {error}"));
                assert!(is_sound(&quick(&shelf)).await, "after {broken} requests: {:?}", shelf.keys());
            } else {
                let now = jiff::Timestamp::now();
                let plan = prune::plan(&quick(&shelf), &project(), &whatever(), now).await.expect("a plan");
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
                remote.sweep(&project(), &folder(), true, &()).await
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

/// Nobody else is here, and nothing proves what these publishes left.
fn whatever() -> Policy {
    Policy { with_foreign: true, ..Policy::default() }
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
    let swept = here().sweep(&project(), &folder(), true, &()).await.expect("looked at");
    assert!(matches!(&swept, Swept::Left(why) if why.contains("this machine")), "{swept:?}");
    let swept = quick(&shelf).sweep(&project(), &folder(), true, &()).await.expect("swept");
    assert!(matches!(swept, Swept::Gone { .. }), "elsewhere nobody knows of it: {swept:?}");
}

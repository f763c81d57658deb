//! Which published folders a prune takes away, and that it is gone on with wherever it broke off.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use soopervisor::plan::OnConflict;
use soopervisor::storage::Storage as _;
use soopervisor::storage::prune::{self, Policy};
use soopervisor::storage::remote::Remote;

use crate::fixture_run::{Run, SHA, folder, project};
use crate::{DEAD, Keys as _, filled, is_sound, quick, remote, shelf, small};

/// Publishes three commits, each a day after the one before.
async fn publish_three(remote: &Remote, run: &Run) {
    for (at, digit) in ["0199", "0188", "0177"].iter().enumerate() {
        let mut publication = run.publication("r", OnConflict::Fail);
        publication.about.revision = SHA.replacen("0123", digit, 1).parse().expect("a revision");
        publication.about.commit = publication.about.revision.commit.clone();
        publication.about.ended =
            jiff::Timestamp::from_second(i64::try_from(at).expect("small") * 86_400).expect("a time");
        remote.publish(publication, Arc::new(())).await.expect("published");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prune_removes_only_folders_that_a_manifest_proves_and_never_the_newest() {
    let shelf = shelf::plain();
    let remote = remote(&shelf, None);
    let run = filled(1);
    publish_three(&remote, &run).await;
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
    publish_three(&remote, &run).await;
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
async fn what_somebody_puts_into_a_folder_after_the_plan_keeps_it() {
    let (shelf, run) = (shelf::plain(), filled(1));
    let remote = remote(&shelf, None);
    publish_three(&remote, &run).await;
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
async fn what_is_put_into_a_folder_while_the_service_asks_to_wait_with_its_removal_stays() {
    let gone = SHA.replacen("0123", "0199", 1);
    for (name, bytes, why) in [
        ("users-own.txt", "mine", Some("somebody put files there")),
        ("manifest.json", "{}", Some("published again")),
        (".DS_Store", "", None),
    ] {
        let (shelf, run) = (shelf::plain(), filled(1));
        let remote = remote(&shelf, None);
        publish_three(&remote, &run).await;
        let policy = Policy { keep_last: Some(2), ..Policy::default() };
        let plan = prune::plan(&remote, &project(), &policy, jiff::Timestamp::now()).await.expect("a plan");
        assert_eq!(plan.go.len(), 1);
        let key = format!("demo/{gone}/{name}");
        *shelf.meanwhile.lock().expect("meanwhile") = Some((key.clone(), bytes.into()));
        let report = prune::remove(&remote, &project(), &plan, &()).await.expect("a report");
        let told = report.left.first().map(|(one, told)| (one.folder.to_string(), told.clone()));
        assert_eq!((report.removed.len(), shelf.keys().contains(&key)), (usize::from(why.is_none()), why.is_some()));
        match (why, told) {
            (Some(why), Some((folder, told))) => assert!(folder == gone && told.contains(why), "{name}: {told}"),
            (None, None) => {}
            other => panic!("{name}: {other:?}"),
        }
    }
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

//! Publishers of one commit on Google Drive, where a name may be taken twice, while listings show some new files later than
//! others: whose manifest is the oldest is the winner, also where it comes to light last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use soopervisor::plan::OnConflict;
use soopervisor::storage::remote::{Bounds, Remote};
use soopervisor::storage::verify::verify;
use soopervisor::storage::{PublishOutcome, Published, Storage, StorageError};

use crate::bench::Bench;
use crate::fake::{Drive, Fake};
use crate::fixture_run::{Run, SHA, folder, project};

const MANIFEST: &str = "manifest.json";

fn fake(bench: &Bench) -> &Fake {
    &bench.drive.as_ref().expect("a drive").fake
}

/// A process that publishes files of its own contents.
struct Publisher {
    run: Run,
    storage: Arc<dyn Storage>,
}

impl Publisher {
    fn new(bench: &Bench, at: usize) -> Self {
        let run = Run::new();
        for name in 0..3 {
            run.product(format!("data/{name}.txt"), format!("of {at}"));
        }
        let storage = bench.drive.as_ref().expect("a drive").storage(&run.path("state"));
        Self { run, storage }
    }

    async fn publish(&self, id: &str) -> Result<Published, StorageError> {
        self.storage.publish(self.run.publication(id, OnConflict::Fail), Arc::new(())).await
    }
}

/// One of them says so, the others that they lost, and nothing of theirs is left; which one it is.
async fn one_won(bench: &Bench, ended: &[Result<Published, StorageError>]) -> usize {
    let won: Vec<usize> = (0..ended.len()).filter(|at| ended[*at].is_ok()).collect();
    assert_eq!(won.len(), 1, "one wins: {ended:?}");
    for result in ended {
        match result {
            Ok(published) => assert_eq!(published.outcome, PublishOutcome::Created),
            Err(error) => assert!(matches!(error, StorageError::Conflict { .. }), "the others say so: {error:?}"),
        }
    }
    let manifest = bench.storage.manifest(&project(), &folder()).await.expect("a manifest");
    assert_eq!(manifest.about.run.to_string(), format!("run-{}", won[0]));
    let report = verify(&*bench.storage, &project(), &folder(), &()).await.expect("a report");
    assert!(report.is_sound(), "all of its files are its own, and no others are left: {report:?}");
    let names = fake(bench).names(Drive::GDrive);
    assert_eq!(names.iter().filter(|name| name.contains(MANIFEST)).count(), 1, "{names:?}");
    assert!(names.iter().all(|name| !name.contains(".soopervisor-")), "a mark is left: {names:?}");
    won[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn of_publishers_at_once_one_wins_though_the_first_manifest_comes_to_light_last() {
    for many in [2, 3] {
        let bench = Bench::on_gdrive().await;
        fake(&bench).show_late(MANIFEST, 1, Duration::from_secs(3));
        let publishers: Vec<Publisher> = (0..many).map(|at| Publisher::new(&bench, at)).collect();
        let publish = |at: usize| {
            let publisher = &publishers[at];
            async move { publisher.publish(&format!("run-{at}")).await }
        };
        let ended = futures::future::join_all((0..many).map(publish)).await;
        one_won(&bench, &ended).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sees_another_one_at_work_waits_for_its_manifest_and_says_that_it_lost() {
    let bench = Bench::on_gdrive().await;
    fake(&bench).show_late(MANIFEST, 1, Duration::from_secs(8));
    let publishers = [Publisher::new(&bench, 0), Publisher::new(&bench, 1)];
    // The first manifest is there, and nobody can see it.
    let later = async {
        while !fake(&bench).names(Drive::GDrive).iter().any(|name| name.ends_with(MANIFEST)) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        publishers[1].publish("run-1").await
    };
    let (first, second) = tokio::join!(publishers[0].publish("run-0"), later);
    assert_eq!(one_won(&bench, &[first, second]).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_publisher_left_holds_nobody_up_for_longer_than_its_bound() {
    let bench = Bench::on_gdrive().await;
    bench.run.product("a.csv", "1");
    let service = bench.service.as_ref().expect("a service");
    let above = format!("demo/{SHA}");
    service.make_folders(&["demo".to_owned(), above.clone()]).await.expect("folders");
    for name in [".soopervisor-hold%2d0", "theirs.csv"] {
        assert!(service.put(&format!("{above}/{name}"), "1".into()).await.expect("written"), "{name}");
    }
    let rival = Duration::from_secs(2);
    let bounds = Bounds { rival, pause: Duration::from_millis(100), ..Bounds::default() };
    let open = bench.opener().expect("a service");
    let storage = Remote::new(open(), None).bounded(bounds);
    let begun = Instant::now();
    let published = storage.publish(bench.run.publication("r", OnConflict::Fail), Arc::new(())).await;
    let published = published.expect("published");
    assert_eq!((published.outcome, published.others), (PublishOutcome::Created, vec!["theirs.csv".to_owned()]));
    assert!(begun.elapsed() >= rival, "somebody might have been at work");
    // Whoever finds it published takes away what is of nobody, and waits for nothing.
    let begun = Instant::now();
    let again =
        storage.publish(bench.run.publication("again", OnConflict::Fail), Arc::new(())).await.expect("published");
    assert_eq!(again.outcome, PublishOutcome::Identical);
    assert!(begun.elapsed() < rival, "{:?}", begun.elapsed());
    let names = fake(&bench).names(Drive::GDrive);
    assert!(names.iter().all(|name| !name.contains(".soopervisor-")), "a mark is left: {names:?}");
}

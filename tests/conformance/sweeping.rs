//! Removing what broken-off publishes left, by a service's own clock, and against publishers that go on with it.

use std::time::Duration;

use soopervisor::id::{ProjectName, RelPath};
use soopervisor::plan::OnConflict;
use soopervisor::storage::backend::Shared;
use soopervisor::storage::remote::{Bounds, Remote};
use soopervisor::storage::verify::verify;
use soopervisor::storage::{Storage, Swept};

use crate::fixture_run::{Run, SHA, folder, project};

/// Opens the service as another process would.
pub(crate) type Open<'a> = &'a (dyn Fn() -> Shared + Sync);

/// What a run makes, of which a broken-off publish left some.
const OUTPUTS: [&str; 3] = ["a.csv", "data/b.csv", "data/deep/c.csv"];
const LEFT: [&str; 3] = ["a.csv", "data/b.csv", STRANGER];
const STRANGER: &str = "stranger.csv";
/// Some tell whole seconds only.
const A_WHILE: Duration = Duration::from_secs(3);

/// For which everything is old that nobody wrote to for so many seconds.
fn bounded(service: Shared, old: u64) -> Remote {
    let (old, pause, rival) = (Duration::from_secs(old), Duration::from_millis(100), Duration::from_millis(500));
    Remote::new(service, None).bounded(Bounds { old, pause, rival, ..Bounds::default() })
}

fn filled() -> Run {
    let run = Run::new();
    for name in OUTPUTS {
        run.product(name, name);
    }
    run
}

async fn leave(service: &Shared, project: &str) {
    let folders = ["", "/data"].map(|below| format!("{project}/{SHA}{below}"));
    service.make_folders(&[vec![project.to_owned()], folders.to_vec()].concat()).await.expect("folders");
    for name in LEFT {
        assert!(service.put(&format!("{project}/{SHA}/{name}"), name.into()).await.expect("put"), "{name}");
    }
}

async fn names(service: &Shared, project: &str) -> Vec<String> {
    let listed = service.list(&format!("{project}/{SHA}"), true).await.expect("a list");
    listed.into_iter().filter(|meta| !meta.folder).map(|meta| meta.key).collect()
}

pub(crate) async fn what_broke_off_is_swept_when_it_is_old(open: Open<'_>) {
    let service = open();
    leave(&service, "demo").await;
    let found = bounded(open(), 0).unfinished(&project()).await.expect("unfinished");
    assert_eq!((found.len(), found[0].files, &found[0].folder), (1, LEFT.len(), &folder()), "{}", service.place());
    assert_eq!(found[0].unproven, LEFT.len(), "{}", service.place());
    assert!(found[0].touched.is_some(), "{found:?}");
    let young = bounded(open(), 1000).sweep(&project(), &folder(), true, &()).await.expect("looked at");
    assert!(matches!(&young, Swept::Left(why) if why.contains("writing")), "{}: {young:?}", service.place());
    assert_eq!(names(&service, "demo").await.len(), LEFT.len(), "nothing of it was removed, and no mark is left");
    tokio::time::sleep(A_WHILE).await;
    let spared = bounded(open(), 1).sweep(&project(), &folder(), false, &()).await.expect("looked at");
    assert!(matches!(&spared, Swept::Left(why) if why.contains("nothing proves")), "{}: {spared:?}", service.place());
    assert_eq!(names(&service, "demo").await.len(), LEFT.len(), "{}: no mark is left", service.place());
    let gone = bounded(open(), 1).sweep(&project(), &folder(), true, &()).await.expect("swept");
    assert!(matches!(gone, Swept::Gone { .. }), "{}: {gone:?}", service.place());
    assert_eq!(names(&service, "demo").await, [""; 0], "{}", service.place());
    let again = bounded(open(), 0).unfinished(&project()).await.expect("unfinished");
    assert!(again.is_empty(), "{}: {again:?}", service.place());
    folders_without_files_go_too(open).await;
}

/// Where services keep such: those of a commit, by their own times; no others.
async fn folders_without_files_go_too(open: Open<'_>) {
    let service = open();
    let ours = format!("empty/{SHA}");
    let folders = ["empty".to_owned(), ours.clone(), format!("{ours}/data"), "empty/notes".to_owned()];
    service.make_folders(&folders).await.expect("folders");
    // Of some servers' folders nothing is told, or not since when they are there: those stay.
    if service.folder(&ours).await.expect("looked at").and_then(|own| own.modified).is_none() {
        return;
    }
    let project: ProjectName = "empty".parse().expect("a project");
    // A busy machine takes its time to say that a folder is removed.
    let bounded = |old| bounded(open(), old).bounded(Bounds { old: Duration::from_secs(old), ..Bounds::default() });
    let found = bounded(0).unfinished(&project).await.expect("unfinished");
    assert_eq!((found.len(), found[0].files, &found[0].folder), (1, 0, &folder()), "{}", service.place());
    let young = bounded(1000).sweep(&project, &folder(), true, &()).await.expect("looked at");
    assert!(matches!(young, Swept::Left(_)), "{}: {young:?}", service.place());
    assert!(service.folder(&ours).await.expect("looked at").is_some(), "{}", service.place());
    tokio::time::sleep(A_WHILE).await;
    let gone = bounded(1).sweep(&project, &folder(), true, &()).await.expect("swept");
    assert!(matches!(gone, Swept::Gone { .. }), "{}: {gone:?}", service.place());
    assert!(service.folder(&ours).await.expect("looked at").is_none(), "{}", service.place());
    assert!(service.folder("empty/notes").await.expect("looked at").is_some(), "of somebody else");
}

/// Each race in a project of its own, all at once.
pub(crate) async fn publishers_and_pruners_at_once_lose_nothing(open: Open<'_>, races: u32) {
    futures::future::join_all((0..races).map(|race| async move { leave(&open(), &format!("race-{race}")).await }))
        .await;
    tokio::time::sleep(A_WHILE).await;
    futures::future::join_all((0..races).map(|race| one_race(open, race))).await;
}

async fn one_race(open: Open<'_>, race: u32) {
    let name = format!("race-{race}");
    let project: ProjectName = name.parse().expect("a project");
    let run = filled();
    let mut publication = run.publication("r", OnConflict::Fail);
    publication.about.project = project.clone();
    let (publisher, pruner) = (bounded(open(), 1000), bounded(open(), 2));
    let sweeping = async {
        // From long before the publisher's first look to the middle of its work.
        tokio::time::sleep(Duration::from_millis(u64::from(race) * 90)).await;
        pruner.sweep(&project, &folder(), true, &()).await
    };
    let (published, swept) = tokio::join!(publisher.publish(publication, std::sync::Arc::new(())), sweeping);
    published.unwrap_or_else(|error| panic!("{name}: {error}, and the prune: {swept:?}"));
    let report = verify(&publisher, &project, &folder(), &()).await.expect("a report");
    // Of a name that no output has: the prune may take it, a publish leaves it to whoever it is of.
    let stranger = |extra: &RelPath| extra.as_str() == Some(STRANGER);
    let whole = report.missing.is_empty() && report.changed.is_empty();
    assert!(whole && report.extra.iter().all(stranger), "{name}: {report:?}, and the prune: {swept:?}");
    assert_eq!(report.ok, OUTPUTS.len() as u64, "{name}");
    let left = names(&open(), &name).await;
    assert!(left.iter().all(|key| !key.contains(".soopervisor-")), "{name}: a mark is left: {left:?}");
    assert!(pruner.unfinished(&project).await.expect("unfinished").is_empty(), "{name}");
}

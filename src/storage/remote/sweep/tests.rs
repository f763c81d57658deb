//! Folders that a publish or a prune left, in a folder of this machine, which tells when what was written.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::storage::Storage;
use crate::storage::remote::Bounds;
use crate::storage::samples;
use crate::storage::stores::ObjectStore;

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const WEEK: Duration = Duration::from_hours(7 * 24);

struct Scene {
    place: tempfile::TempDir,
    remote: Remote,
    project: ProjectName,
    folder: Folder,
}

impl Scene {
    /// A prune is taken for dead at once, and looks twice in no time.
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let store = ObjectStore::folder(place.path().to_owned()).unwrap();
        let bounds = Bounds { dead: Duration::ZERO, pause: Duration::from_secs(1), ..Bounds::default() };
        let remote = Remote::new(Arc::new(store), None).bounded(bounds);
        Self { place, remote, project: "demo".parse().unwrap(), folder: SHA.parse().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join("demo").join(SHA).join(name)
    }

    fn write(&self, name: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }

    async fn mark(&self) -> String {
        let manifest = samples::manifest("demo", &[("a.csv", None), ("data/b.csv", None)]);
        self.remote.announce(&self.project, &self.folder, Some(&manifest)).await.unwrap()
    }

    /// What a prune would do, which it then does; whether the folder is gone.
    async fn pruned(&self, begun: bool) -> bool {
        let found = self.remote.unfinished(&self.project).await.unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].begun, begun, "{found:?}");
        let now = Timestamp::now();
        let plan = prune::plan(&self.remote, &self.project, &prune::Policy::default(), now).await.unwrap();
        prune::remove(&self.remote, &self.project, &plan, &()).await.unwrap();
        let swept = self.remote.sweep(&self.project, &self.folder, false, &()).await.unwrap();
        let gone = !self.place.path().join("demo").join(SHA).exists();
        assert!(gone || matches!(&swept, Swept::Left(why) if why.contains("writing")), "{swept:?}");
        gone
    }
}

#[tokio::test]
async fn what_a_prune_began_to_take_away_goes_however_young_it_is() {
    let scene = Scene::new();
    scene.write("a.csv");
    scene.write("data/b.csv");
    assert!(!scene.pruned(false).await, "a publish may go on with it");
    assert!(scene.path("data/b.csv").exists());
    scene.mark().await;
    // As though killed again, by a prune of before and one that went on.
    put_mark(&scene.remote, &key::sweep(&scene.project, &scene.folder)).await.unwrap();
    scene.mark().await;
    assert!(scene.pruned(true).await);
}

#[tokio::test]
async fn a_prune_that_was_killed_a_moment_ago_is_told_to_keep_the_folder_by_the_plan_as_by_who_removes() {
    let mut scene = Scene::new();
    scene.remote = scene.remote.bounded(Bounds { pause: Duration::from_millis(1), ..Bounds::default() });
    scene.write("a.csv");
    scene.mark().await;
    let (policy, now) = (prune::Policy::default(), Timestamp::now());
    let plan = prune::plan(&scene.remote, &scene.project, &policy, now).await.unwrap();
    assert!(plan.unfinished.is_empty(), "{plan:?}");
    let swept = scene.remote.sweep(&scene.project, &scene.folder, false, &()).await.unwrap();
    assert_eq!(swept, Swept::Left(plan.under_way[0].1.to_owned()));
    assert!(plan.under_way[0].0.begun && scene.path("a.csv").exists());
}

#[tokio::test]
async fn a_file_that_somebody_put_there_after_a_prune_was_killed_keeps_the_folder_however_old_it_is() {
    let scene = Scene::new();
    scene.write("a.csv");
    scene.write("data/b.csv");
    scene.mark().await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    scene.write("user-later.txt");
    let plan = async |with_foreign| {
        let later = Timestamp::now() + WEEK + Duration::from_hours(24);
        let policy = prune::Policy { with_foreign, ..prune::Policy::default() };
        prune::plan(&scene.remote, &scene.project, &policy, later).await.unwrap()
    };
    let found = scene.remote.unfinished(&scene.project).await.unwrap();
    assert_eq!((found[0].files, found[0].unproven), (3, 1), "{found:?}");
    let spared = plan(false).await;
    assert!(spared.unfinished.is_empty() && spared.under_way[0].1.contains("all of them are ours"), "{spared:?}");
    assert_eq!(plan(true).await.unfinished.len(), 1, "who wants that has it");
    // One of ours that somebody wrote to since is not ours any more.
    std::fs::remove_file(scene.path("user-later.txt")).unwrap();
    scene.write("a.csv");
    let found = scene.remote.unfinished(&scene.project).await.unwrap();
    assert_eq!((found[0].files, found[0].unproven), (2, 1), "{found:?}");
}

#[tokio::test]
async fn what_a_publish_began_since_is_not_taken_for_what_the_prune_left() {
    let scene = Scene::new();
    scene.write("a.csv");
    scene.mark().await;
    scene.write("data/of-a-later-publish.csv");
    assert!(!scene.pruned(false).await);
    let held = Scene::new();
    held.write("a.csv");
    held.mark().await;
    put_mark(&held.remote, &key::hold(&held.project, &held.folder)).await.unwrap();
    assert!(!held.pruned(false).await, "who is to publish it again trusts what lies there");
    assert!(held.path("a.csv").exists());
}

#[tokio::test]
async fn who_takes_a_commit_away_says_so_before_the_manifest_goes() {
    let scene = Scene::new();
    scene.write("a.csv");
    scene.write(key::MANIFEST);
    let mark = scene.remote.announce(&scene.project, &scene.folder, None).await.unwrap();
    assert!(key::is_marks(&mark) && scene.place.path().join(&mark).exists());
    scene.remote.unpublish(&scene.project, &scene.folder).await.unwrap();
    assert!(!scene.path("").exists());
}

#[tokio::test]
async fn folders_without_files_go_by_their_own_times_and_only_ours() {
    let scene = Scene::new();
    for name in ["data/deep", "plots"] {
        std::fs::create_dir_all(scene.path(name)).unwrap();
    }
    let other = scene.place.path().join("demo/notes");
    std::fs::create_dir(&other).unwrap();
    assert!(!scene.pruned(false).await, "somebody may have made it a moment ago");
    let age = |name: &str| {
        let folder = std::fs::File::open(scene.path(name)).unwrap();
        folder.set_modified(SystemTime::now() - WEEK - Duration::from_mins(1)).unwrap();
    };
    ["data/deep", "data", ""].into_iter().for_each(age);
    assert!(!scene.pruned(false).await, "one of them is young");
    ["data/deep", "data", "plots", ""].into_iter().for_each(age);
    assert!(scene.pruned(false).await);
    assert!(other.exists());
    assert_eq!(scene.remote.unfinished(&scene.project).await.unwrap(), []);
}

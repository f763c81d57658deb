//! Files of a published folder in a new snapshot: whole, verified, through no link, over nothing that is there.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use fixture_run::{Run, about, folder, project};
use soopervisor::id::RelPath;
use soopervisor::outputs::manifest::{Manifest, ReuseNote};
use soopervisor::outputs::{Baseline, Bounds, Collection, Traces, Wanted, collect, traces};
use soopervisor::plan::{OnConflict, OutputRules, PlannedProduct, PlannedTask};
use soopervisor::reuse::{LAYOUT, Now, Offer, Piece, Restoration, Source, kept, misfit, offers, remove, restore};
use soopervisor::storage::local::Local;
use soopervisor::storage::{Publication, Storage};

mod fixture_run;

fn path(text: &str) -> RelPath {
    text.parse().expect("a path")
}

fn task(name: &str, products: &[&str]) -> PlannedTask {
    let product = |text: &&str| PlannedProduct { key: None, declared: (*text).to_owned(), path: Some(path(text)) };
    PlannedTask {
        name: name.to_owned(),
        source: format!("{name}.py"),
        products: products.iter().map(product).collect(),
        upstream: Vec::new(),
    }
}

/// `a` makes a file, `b` a folder and a file.
fn tasks() -> Vec<PlannedTask> {
    vec![task("a", &["out/a.csv"]), task("b", &["out/parts", "out/b.csv"])]
}

fn wanted<'a>(
    tasks: &'a [PlannedTask],
    rules: &'a OutputRules,
    baseline: &'a Baseline,
    root: &'a RelPath,
) -> Wanted<'a> {
    Wanted { pipeline_dir: root, tasks, rules, baseline, bounds: Bounds::default() }
}

fn collected(run: &Run, tasks: &[PlannedTask], rules: &OutputRules) -> Collection {
    collect(&run.roots(), &wanted(tasks, rules, &Baseline::default(), &RelPath::root())).expect("outputs")
}

/// A storage in which a whole run of both tasks is published.
struct Earlier {
    run: Run,
    storage: Local,
}

impl Earlier {
    async fn new() -> Self {
        let run = Run::new();
        for name in ["out/a.csv", "out/parts/1", "out/parts/sub/2", "out/b.csv"] {
            run.product(name, name);
        }
        fs_err::create_dir(run.path("work/out/parts/empty")).expect("a folder");
        fs_err::set_permissions(run.path("work/out/a.csv"), PermissionsExt::from_mode(0o755)).expect("a mode");
        for name in ["a.csv", "parts", "b.csv"] {
            run.product(format!("out/.{name}.metadata"), "{\"timestamp\": 1.5}");
        }
        let storage = Local::new(run.store()).durable(false);
        let mut about = about("first");
        about.reuse = Some(ReuseNote { layout: LAYOUT, ..ReuseNote::default() });
        let collection = collected(&run, &tasks(), &OutputRules::default());
        let roots = Arc::new(run.roots());
        let publication = Publication { about, roots, collection, on_conflict: OnConflict::Fail, same: None };
        storage.publish(publication, Arc::new(())).await.expect("published");
        Self { run, storage }
    }

    async fn manifest(&self) -> Manifest {
        self.storage.manifest(&project(), &folder()).await.expect("a manifest")
    }

    async fn offer(&self) -> Offer {
        offers(&self.manifest().await, &tasks(), &RelPath::root(), &OutputRules::default()).expect("an offer")
    }

    fn published(&self, file: &str) -> PathBuf {
        self.run.store().join("demo").join(folder().to_string()).join(file)
    }

    /// Lays everything that is offered into the snapshot of another run.
    async fn restore(&self, into: &Run) -> Restoration {
        let offer = self.offer().await;
        let all: BTreeMap<&str, &[Piece]> =
            offer.tasks.iter().map(|(name, pieces)| (name.as_str(), pieces.as_slice())).collect();
        let (project, folder) = (project(), folder());
        let source = Source { storage: &self.storage, project: &project, folder: &folder, beneath: None };
        restore(source, &all, &into.roots(), None, &|| false).await.expect("restored")
    }
}

#[tokio::test]
async fn everything_comes_back_as_it_was_and_is_known_to_be_the_same() {
    let earlier = Earlier::new().await;
    let into = Run::new();
    let done = earlier.restore(&into).await;
    assert!(done.failed.is_empty(), "{:?}", done.failed);
    let diff = std::process::Command::new("diff")
        .args(["-r", "--no-dereference"])
        .args([earlier.run.path("work"), into.path("work")])
        .output()
        .expect("diff");
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
    let meta = |run: &Run| fs_err::metadata(run.path("work/out/a.csv")).expect("a file");
    assert_eq!(meta(&earlier.run).permissions(), meta(&into).permissions());
    assert_eq!(meta(&earlier.run).modified().expect("a time"), meta(&into).modified().expect("a time"));
    let fate = kept(&done.laid, &folder(), &into.roots());
    assert!(fate.executed.is_empty());
    assert_eq!(fate.same.expect("files").files.len(), 7);
}

#[tokio::test]
async fn what_the_run_touched_is_not_the_same_and_new_metadata_means_executed() {
    let earlier = Earlier::new().await;
    let into = Run::new();
    let done = earlier.restore(&into).await;
    into.product("out/.a.csv.metadata", "{\"timestamp\": 2.5}");
    // The same bytes, the same length, even the same time: somebody wrote it all the same.
    let at = into.path("work/out/b.csv");
    let time = fs_err::metadata(&at).expect("a file").modified().expect("a time");
    fs_err::write(&at, "out/b.csv").expect("written");
    std::fs::File::options().write(true).open(&at).expect("open").set_modified(time).expect("a time");
    let fate = kept(&done.laid, &folder(), &into.roots());
    assert_eq!(fate.executed.into_iter().collect::<Vec<_>>(), ["a"]);
    let same = fate.same.expect("files").files;
    assert!(!same.contains_key(&path("out/b.csv")) && !same.contains_key(&path("out/.a.csv.metadata")));
    assert!(same.contains_key(&path("out/a.csv")));
}

#[tokio::test]
async fn damage_takes_the_whole_task_out_and_leaves_no_trace() {
    let earlier = Earlier::new().await;
    fs_err::write(earlier.published("out/parts/1"), "0ut/parts/1").expect("damaged");
    let into = Run::new();
    let mut done = earlier.restore(&into).await;
    assert_eq!(done.failed.keys().collect::<Vec<_>>(), ["b"]);
    assert!(done.failed["b"].contains("damaged"), "{:?}", done.failed);
    remove(&mut done, &into.roots(), &|task| task == "b").expect("removed");
    let mut left: Vec<_> = fs_err::read_dir(into.path("work/out"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, [".a.csv.metadata", "a.csv"]);
    remove(&mut done, &into.roots(), &|_| true).expect("removed");
    assert_eq!(fs_err::read_dir(into.path("work")).expect("a folder").count(), 0);
}

#[tokio::test]
async fn links_and_files_of_the_repository_are_neither_followed_nor_overwritten() {
    let earlier = Earlier::new().await;
    let (into, elsewhere) = (Run::new(), tempfile::tempdir().expect("a folder"));
    std::os::unix::fs::symlink(elsewhere.path(), into.path("work/out")).expect("a link");
    let done = earlier.restore(&into).await;
    assert_eq!((done.failed.len(), done.laid.len()), (2, 0), "{done:?}");
    assert_eq!(fs_err::read_dir(elsewhere.path()).expect("a folder").count(), 0);
    let into = Run::new();
    into.product("out/a.csv", "of the repository");
    let done = earlier.restore(&into).await;
    assert!(done.failed["a"].contains("in the commit itself"), "{:?}", done.failed);
    assert_eq!(fs_err::read_to_string(into.path("work/out/a.csv")).expect("a file"), "of the repository");
}

#[tokio::test]
async fn a_task_is_offered_whole_or_not_at_all() {
    let earlier = Earlier::new().await;
    let manifest = earlier.manifest().await;
    let (root, rules) = (RelPath::root(), OutputRules::default());
    let offer = |manifest: &Manifest, tasks: &[PlannedTask]| offers(manifest, tasks, &root, &rules).expect("an offer");
    assert_eq!(offer(&manifest, &tasks()).tasks["b"].len(), 6);
    let mut lacking = manifest.clone();
    lacking.files.retain(|entry| entry.path != path("out/.parts.metadata"));
    assert!(offer(&lacking, &tasks()).unavailable["b"].contains("metadata"));
    let mut unsettled = manifest.clone();
    unsettled.about.reuse.as_mut().expect("a note").unsettled = vec!["a".to_owned()];
    assert!(offer(&unsettled, &tasks()).unavailable["a"].contains("after it had ended"));
    let nested = [tasks(), vec![task("c", &["out/parts/c.csv"])]].concat();
    assert!(offer(&manifest, &nested).unavailable["b"].contains("overlaps"));
    let exclude = OutputRules { exclude: vec!["*.tmp".to_owned()], ..OutputRules::default() };
    let excluded = offers(&manifest, &tasks(), &root, &exclude).expect("an offer");
    assert!(excluded.unavailable["b"].contains("exclude") && excluded.tasks.contains_key("a"));
    let mut strange = manifest.clone();
    strange.files[0].task = None;
    assert!(offers(&strange, &tasks(), &root, &rules).is_err());
}

#[tokio::test]
async fn only_a_run_of_the_same_making_fits() {
    let manifest = Earlier::new().await.manifest().await;
    let digest = |byte| soopervisor::id::Digest([byte; 32]);
    let now = Now { setting: BTreeMap::new(), environment: digest(1), image: "sha256:1".to_owned() };
    assert!(misfit(&manifest, &now).expect("no environment").contains("environment"));
    let mut fitting = manifest.clone();
    fitting.about.environment =
        Some(soopervisor::outputs::manifest::EnvironmentNote { key: digest(1), lock: serde_json::Value::Null });
    assert_eq!(misfit(&fitting, &now), None);
    let image = Now { image: "sha256:2".to_owned(), ..now.clone() };
    assert!(misfit(&fitting, &image).expect("another image").contains("image"));
    let setting = Now { setting: BTreeMap::from([("variables".to_owned(), digest(2))]), ..now.clone() };
    assert!(misfit(&fitting, &setting).expect("another setting").contains("variables"));
    fitting.about.reuse.as_mut().expect("a note").layout = LAYOUT + 1;
    assert!(misfit(&fitting, &now).expect("another layout").contains("version"));
}

#[test]
fn what_a_run_leaves_besides_its_outputs_is_noticed() {
    let run = Run::new();
    run.product("data.csv", "1");
    run.product("gone.csv", "1");
    run.product("a.py", "code");
    let baseline = Baseline::scan(&run.roots().work).expect("a baseline");
    let home = tempfile::tempdir().expect("a folder");
    let open = cap_std::fs::Dir::open_ambient_dir(home.path(), cap_std::ambient_authority()).expect("a folder");
    let look = |installs: bool| -> Traces {
        let (tasks, rules, root) = (tasks(), OutputRules::default(), RelPath::root());
        let found = collected(&run, &tasks, &rules);
        let wanted = wanted(&tasks, &rules, &baseline, &root);
        traces(&run.roots(), &wanted, &found, &open, &[path("a.py")].into(), installs, &|_| false).expect("traces")
    };
    let later = |name: &str, seconds: u64| {
        let at = run.product(name, "x");
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 + seconds);
        std::fs::File::options().write(true).open(at).expect("open").set_modified(time).expect("a time");
    };
    for name in ["out/a.csv", "out/b.csv", "out/parts/1"] {
        later(name, 1);
    }
    for name in ["out/.a.csv.metadata", "out/.b.csv.metadata", "out/.parts.metadata", "pkg/__pycache__/x.pyc"] {
        later(name, 2);
    }
    // Ploomber adds a cell to a script that has none.
    run.product("a.py", "more code");
    fs_err::create_dir_all(home.path().join(".ipython/profile")).expect("a folder");
    assert_eq!(look(false), Traces::default());
    later("out/parts/1", 3);
    later("build/lib/x.py", 1);
    assert_eq!(look(true), Traces { strays: Vec::new(), unsettled: vec!["b".to_owned()] });
    fs_err::write(run.path("work/data.csv"), "22").expect("written");
    fs_err::remove_file(run.path("work/gone.csv")).expect("removed");
    fs_err::create_dir_all(home.path().join("nltk_data")).expect("a folder");
    fs_err::write(home.path().join("nltk_data/words"), "x").expect("a file");
    assert_eq!(look(true).strays, ["data.csv", "gone.csv (gone)", "~/nltk_data/words"]);
}

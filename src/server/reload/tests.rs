//! Settings that change while something else does not work.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::server::metrics::Metrics;

/// A file that is read, and how often it was; its staff is nobody, and how often it began.
struct Scene {
    folder: tempfile::TempDir,
    database: Database,
    read: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
    wrong: Arc<Mutex<bool>>,
}

impl Scene {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&format!("sqlite:{}", folder.path().join("server.db").display())).await.unwrap();
        let scene = Self { folder, database, read: Arc::default(), begun: Arc::default(), wrong: Arc::default() };
        scene.write("first");
        scene
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("server.yaml")
    }

    fn times(&self) -> usize {
        self.read.load(Ordering::SeqCst)
    }

    /// One whose file was first read when it was this.
    fn reload(&self, mark: Mark) -> Reload {
        let (read, begun, wrong) = (Arc::clone(&self.read), Arc::clone(&self.begun), Arc::clone(&self.wrong));
        let loaded = move || {
            read.fetch_add(1, Ordering::SeqCst);
            let trouble = Trouble { place: "server.yaml".into(), code: "server/value".into(), message: "no".into() };
            if *wrong.lock().unwrap() {
                return Err(vec![trouble]);
            }
            let (repos, secrets) = (Vec::new(), HookSecrets::default());
            Ok(Loaded { file: Arc::default(), repos, secrets, policy: Policy::default() })
        };
        let staff = move |_: Option<&Arc<File>>, _: &CancellationToken| {
            begun.fetch_add(1, Ordering::SeqCst);
            JoinSet::new()
        };
        let database = self.database.clone();
        Reload {
            source: Some(Source { path: self.path(), read: Arc::new(loaded), mark }),
            watching: watch::channel(Vec::new()).0,
            receiver: Receiver::new(database.clone(), HookSecrets::default(), Metrics::default(), Arc::default()),
            standing: Standing::with(Some(Arc::default())),
            staff: Box::new(staff),
            database,
        }
    }

    fn now(mark: Mark) -> Now {
        let file = Some(Arc::default());
        Now { mark, file, handlers: Vec::new(), of_file: Vec::new(), of_handlers: Vec::new() }
    }
}

#[tokio::test]
async fn nobody_begins_before_the_handlers_of_the_api_are_known() {
    let scene = Scene::open().await;
    let (reload, stop) = (scene.reload(Mark::of(&scene.path())), CancellationToken::new());
    scene.database.close().await;
    let stopping = stop.clone();
    let running = tokio::spawn(async move { reload.run(stopping).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(scene.begun.load(Ordering::SeqCst), 0, "events would be decided without them, once and for all");
    stop.cancel();
    running.await.unwrap();
    let scene = Scene::open().await;
    let (reload, stop) = (scene.reload(Mark::of(&scene.path())), CancellationToken::new());
    let stopping = stop.clone();
    let running = tokio::spawn(async move { reload.run(stopping).await });
    while scene.begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_file_that_could_not_be_applied_is_applied_later_and_one_that_is_wrong_is_not_read_again() {
    let scene = Scene::open().await;
    let mark = Mark::of(&scene.path());
    let (reload, mut now) = (scene.reload(mark), Scene::now(mark));
    assert!(!reload.reread(&mut now, false).await && scene.times() == 0, "it is the one that counts");
    *scene.wrong.lock().unwrap() = true;
    scene.write("a wrong one");
    for _ in 0..2 {
        assert!(!reload.reread(&mut now, false).await);
        assert_eq!((scene.times(), now.of_file.len()), (1, 1));
    }
    *scene.wrong.lock().unwrap() = false;
    scene.write("a right one, at last");
    scene.database.close().await;
    for again in [2, 3] {
        assert!(!reload.reread(&mut now, false).await);
        assert_eq!((scene.times(), now.of_file[0].code.as_str()), (again, "server/reload"));
    }
}

#[tokio::test]
async fn what_was_written_while_the_server_started_is_seen() {
    let scene = Scene::open().await;
    let mark = Mark::of(&scene.path());
    let reload = scene.reload(mark);
    scene.write("written meanwhile");
    let mut now = Scene::now(reload.source.as_ref().unwrap().mark);
    assert!(reload.reread(&mut now, false).await);
    assert!(!reload.reread(&mut now, false).await && scene.times() == 1);
}

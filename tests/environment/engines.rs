//! Engines for tests: one that must not be touched, and one that plays the builder on the host.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use soopervisor::engine::{
    Control, Engine, EngineError, EngineInfo, ExecSpec, Exit, Image, OutputSink, Session, SessionSpec, Stream, Swept,
};
use tokio::sync::Notify;

/// What the builder does when the install script arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Play {
    /// Installs ploomber and writes a lock, as uv would.
    Install,
    /// Fails to resolve with wheels only; works with source builds.
    NeedsSource,
    /// As [`Play::NeedsSource`] for a line `builds`, and for no other. What runs while versions are worked out leaves a
    /// file behind.
    Mixed,
    /// Fails to resolve in any way.
    Unresolvable,
    /// Says that the disk is full.
    DiskFull,
    /// Fills the disk, and says so.
    Fill,
    /// Installs, fills the disk, and is content.
    InstallAndFill,
    /// Never ends.
    Hang,
}

/// Writable mounts of one container: host folder, path inside.
pub(crate) type Writable = Vec<(PathBuf, String)>;

/// Counts what it was asked for.
pub(crate) struct Builder {
    pub(crate) play: Play,
    pub(crate) started: Arc<AtomicUsize>,
    pub(crate) closed: Arc<AtomicUsize>,
    /// Guest paths of writable mounts, container by container.
    pub(crate) writable: Arc<std::sync::Mutex<Vec<Writable>>>,
    /// How many of them had a network.
    pub(crate) networked: Arc<AtomicUsize>,
    /// What each of them was told to do.
    pub(crate) scripts: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Builder {
    pub(crate) fn new(play: Play) -> Self {
        let (started, closed) = (Arc::default(), Arc::default());
        Self { play, started, closed, writable: Arc::default(), networked: Arc::default(), scripts: Arc::default() }
    }
}

#[async_trait]
impl Engine for Builder {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        Err(EngineError::Unavailable { tried: "a test".to_owned() })
    }

    async fn find_image(&self, _: &str) -> Result<Option<Image>, EngineError> {
        Ok(None)
    }

    async fn ensure_image(&self, _: &str, _: &mut (dyn FnMut(String) + Send)) -> Result<Image, EngineError> {
        Err(EngineError::Unavailable { tried: "a test".to_owned() })
    }

    async fn shares_files(&self, _: &Path, _: &str) -> Result<bool, EngineError> {
        Ok(true)
    }

    async fn start(&self, spec: SessionSpec) -> Result<Box<dyn Session>, EngineError> {
        self.started.fetch_add(1, Ordering::SeqCst);
        self.networked.fetch_add(usize::from(spec.network), Ordering::SeqCst);
        let writable = spec.mounts.iter().filter(|mount| mount.writable);
        let writable = writable.map(|mount| (mount.host.0.clone(), mount.guest.0.clone())).collect();
        self.writable.lock().unwrap().push(writable);
        let stop = Arc::new(Stop { asked: Notify::new() });
        let (closed, scripts) = (Arc::clone(&self.closed), Arc::clone(&self.scripts));
        Ok(Box::new(Container { spec, play: self.play, closed, scripts, stop }))
    }

    async fn sweep(&self) -> Result<Vec<Swept>, EngineError> {
        Ok(Vec::new())
    }
}

struct Container {
    spec: SessionSpec,
    play: Play,
    closed: Arc<AtomicUsize>,
    scripts: Arc<std::sync::Mutex<Vec<String>>>,
    stop: Arc<Stop>,
}

struct Stop {
    asked: Notify,
}

#[async_trait]
impl Control for Stop {
    async fn stop(&self, _: Duration) -> Result<(), EngineError> {
        self.kill().await
    }
    async fn kill(&self) -> Result<(), EngineError> {
        self.asked.notify_one();
        Ok(())
    }
}

impl Container {
    /// Where it works, and for which prefix.
    fn place<'a>(&self, script: &'a str) -> (PathBuf, &'a str) {
        let root = self.spec.mounts.iter().find(|mount| mount.guest.0 == "/opt/sv").unwrap().host.0.clone();
        let id = script.split("/opt/sv/build/").nth(1).and_then(|rest| rest.split('/').next()).unwrap();
        (root, id)
    }

    /// Writes until nothing more fits.
    fn fill(&self, script: &str) {
        let (root, id) = self.place(script);
        let mut file = std::fs::File::create(root.join("e").join(id).join("filler")).unwrap();
        while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    }

    /// What uv leaves behind.
    fn install(&self, script: &str) -> std::io::Result<()> {
        if let Some(out) = self.spec.mounts.iter().find(|mount| mount.guest.0 == "/out") {
            return std::fs::write(out.host.0.join("shop-0.1.0-py3-none-any.whl"), "a wheel");
        }
        let (root, id) = self.place(script);
        let (prefix, lock) = (root.join("e").join(id), root.join("build").join(id).join("lock.txt"));
        if script.contains("pip compile") {
            let asked = std::fs::read_to_string(lock.with_file_name("request.in"))?;
            let rows: String = asked.lines().filter(|line| !line.starts_with('-')).map(row).collect();
            std::fs::write(&lock, &rows)?;
            if rows.contains("builds==") {
                std::fs::create_dir_all(root.join("uv/sdists-v9/pypi/builds/1"))?;
                std::fs::write(prefix.join("planted"), "by a setup.py")?;
            }
        }
        let rows = std::fs::read_to_string(lock)?.replace("\\\n", " ");
        for row in rows.lines().filter(|_| script.contains("pip install")) {
            let (name, version) = row.split_once("==").unwrap_or(("ploomber", "0.23.3"));
            let version = version.split(' ').next().unwrap_or_default();
            let info = prefix.join(format!("lib/python3.11/site-packages/{name}-{version}.dist-info"));
            std::fs::create_dir_all(&info)?;
            std::fs::write(info.join("INSTALLER"), "uv")?;
        }
        Ok(())
    }

    /// Whether a line that has no wheel is to be installed, or looked up.
    fn lacks_a_wheel(&self, script: &str) -> bool {
        let (root, id) = self.place(script);
        let lock = std::fs::read_to_string(root.join("build").join(id).join("lock.txt")).unwrap_or_default();
        script.contains("pip compile") || lock.contains("builds==")
    }
}

/// What uv makes of a requirement.
fn row(line: &str) -> String {
    let name = line.split(['=', '<', '>', '~', '[', ' ', ';']).next().unwrap_or_default();
    match name {
        _ if line.contains("://") => format!("ploomber @ {line}\n"),
        "ploomber" => "ploomber==0.23.3 \\\n    --hash=sha256:ab\n".to_owned(),
        name => format!("{name}==1 \\\n    --hash=sha256:cd\n"),
    }
}

#[async_trait]
impl Session for Container {
    fn name(&self) -> &'static str {
        "test"
    }

    fn control(&self) -> Arc<dyn Control> {
        Arc::clone(&self.stop) as Arc<dyn Control>
    }

    async fn exec(&mut self, spec: ExecSpec, sink: &mut dyn OutputSink) -> Result<Exit, EngineError> {
        self.scripts.lock().unwrap().push(spec.script.clone());
        let wheels_only = spec.script.contains("--only-binary :all:");
        let (code, words) = match self.play {
            Play::Hang => {
                self.stop.asked.notified().await;
                (137, "")
            }
            Play::NeedsSource if wheels_only => (41, "no usable wheels\n"),
            Play::Mixed if wheels_only && self.lacks_a_wheel(&spec.script) => (41, "no usable wheels\n"),
            Play::Unresolvable => (41, "Because nosuch was not found\nhttps://me:pw@index.example.com said so\n"),
            Play::DiskFull => (42, "error: No space left on device (os error 28)\n"),
            Play::Fill => (42, "error: failed to write: No space left on device (os error 28)\n"),
            Play::Install | Play::NeedsSource | Play::Mixed | Play::InstallAndFill => (0, "Installed 1 package\n"),
        };
        if code == 0 {
            self.install(&spec.script).unwrap();
        }
        if matches!(self.play, Play::Fill | Play::InstallAndFill) {
            self.fill(&spec.script);
        }
        sink.output(Stream::Stderr, words.as_bytes()).await;
        Ok(Exit { code, oom_killed: false, peak_memory_bytes: None })
    }

    async fn close(self: Box<Self>) -> Result<(), EngineError> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Panics when anything is asked of it.
pub(crate) struct Untouchable;

#[async_trait]
impl Engine for Untouchable {
    async fn info(&self) -> Result<EngineInfo, EngineError> {
        panic!("the engine was asked for its info")
    }
    async fn find_image(&self, _: &str) -> Result<Option<Image>, EngineError> {
        panic!("the engine was asked for an image")
    }
    async fn ensure_image(&self, _: &str, _: &mut (dyn FnMut(String) + Send)) -> Result<Image, EngineError> {
        panic!("the engine was asked for an image")
    }
    async fn shares_files(&self, _: &Path, _: &str) -> Result<bool, EngineError> {
        panic!("the engine was asked for a probe")
    }
    async fn start(&self, _: SessionSpec) -> Result<Box<dyn Session>, EngineError> {
        panic!("the engine was asked for a container")
    }
    async fn sweep(&self) -> Result<Vec<Swept>, EngineError> {
        panic!("the engine was asked to sweep")
    }
}

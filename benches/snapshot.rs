//! How a commit of 20,000 files and 200 MB gets into a run: exported, exported and kept, copied from what is kept, and
//! laid over what is kept, each in turn in one program.
//!
//! `cargo bench --bench snapshot -- [FILES] [ROUNDS] [DIR]`. The overlay needs an engine and `make setup`; `cp -a` of the
//! same files stands beside for what the disk does at that moment.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use soopervisor::engine::docker::Docker;
use soopervisor::engine::volume::{Overlay, VolumeSpec};
use soopervisor::engine::{
    Carried, Engine, ExecSpec, GuestPath, OutputSink, Purpose, SessionSpec, Stream, VolumeMount,
};
use soopervisor::outputs::Baseline;
use soopervisor::repo::{self, Snapshots};
use soopervisor::run::host::RUNNER_IMAGE;

mod stage;
use stage::say;

const FILE: usize = 10 << 10;

struct Deaf;

#[async_trait::async_trait]
impl OutputSink for Deaf {
    async fn output(&mut self, _: Stream, _: &[u8]) {}
    async fn gap(&mut self) {}
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |at: usize, default| arguments.get(at).and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (files, rounds) = (number(0, 20_000_usize), number(1, 5_usize));
    let top = arguments.get(2).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(top).expect("a folder");
    let repository = dir.path().join("repo");
    commit(&repository, files);
    let checkout = repo::open(&repository, false).expect("the repository that was just made");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let docker = runtime.block_on(Docker::connect(&|name| std::env::var(name).ok())).expect("an engine");

    let mut rows = [
        "cp -a",
        "exported",
        "exported and kept, then copied",
        "kept: copied",
        "kept: found",
        "kept: overlay and container",
        "container alone",
        "baseline scanned",
        "baseline from the listing",
    ]
    .map(|name| (name, Vec::new()));
    let mut time = |row: usize, work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        rows[row].1.push(start.elapsed());
    };
    for round in 0..rounds {
        let to = |name: &str| dir.path().join(format!("{name}-{round}"));
        let snapshots = Snapshots::at(to("snapshots"));
        time(1, &mut || drop(checkout.export(&open(&to("exported")), None).expect("exported")));
        time(0, &mut || run("cp", &["-a".as_ref(), to("exported").as_ref(), to("cp").as_ref()]));
        time(2, &mut || {
            let kept = checkout.kept(&snapshots, None).expect("kept");
            checkout.lay_out(kept, &snapshots, &open(&to("first")), None).expect("copied");
        });
        time(3, &mut || {
            let kept = checkout.kept(&snapshots, None).expect("kept");
            checkout.lay_out(kept, &snapshots, &open(&to("second")), None).expect("copied");
        });
        let mut kept = None;
        time(4, &mut || kept = checkout.kept(&snapshots, None).expect("kept"));
        let kept = kept.expect("large enough");
        // The engine takes a container's root away with a sync of the whole file system: it would wait for what the rows
        // above wrote, which a run of a kept commit does not write.
        run("sync", &[]);
        time(5, &mut || {
            let overlay = Overlay { lower: kept.files(), upper: to("upper"), scratch: to("scratch") };
            drop((open(&overlay.upper), open(&overlay.scratch)));
            runtime.block_on(container(&docker, Some(overlay)));
        });
        time(6, &mut || runtime.block_on(container(&docker, None)));
        time(7, &mut || drop(Baseline::scan(&open(&to("second"))).expect("scanned")));
        let contents = kept.contents().clone();
        time(8, &mut || drop(Baseline::of(contents.entries.clone(), contents.mtime_ns)));
        for name in ["cp", "exported", "first", "second", "snapshots"] {
            std::fs::remove_dir_all(to(name)).expect("removed");
        }
    }
    say(&format!("{files} files of {FILE} bytes, {rounds} rounds, load {}\n", stage::load()));
    tell(rows.into());
}

fn tell(rows: Vec<(&str, Vec<Duration>)>) {
    say("| way | median | least | most |\n|---|---|---|---|");
    for (name, mut times) in rows {
        times.sort();
        let cell = |time: Duration| format!("{:.3} s", time.as_secs_f64());
        let (median, least, most) = (times[times.len() / 2], times[0], times[times.len() - 1]);
        say(&format!("| {name} | {} | {} | {} |", cell(median), cell(least), cell(most)));
    }
}

fn open(path: &Path) -> Dir {
    std::fs::create_dir_all(path).expect("a folder");
    Dir::open_ambient_dir(path, ambient_authority()).expect("a folder")
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status().expect(program);
    assert!(status.success(), "{program}");
}

/// Files that do not compress well and differ from each other, a hundred in a folder.
fn commit(repository: &Path, files: usize) {
    let mut seed = 1_u64;
    for number in 0..files {
        let folder = repository.join(format!("d{}/e{}", number / 1000, number / 100));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut text = String::with_capacity(FILE + 16);
        while text.len() < FILE {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            write!(text, "{seed:016x}").expect("a string takes everything");
        }
        std::fs::write(folder.join(format!("f{number}")), &text[..FILE]).expect("a file");
    }
    for arguments in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "bench"]] {
        let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
        let done = Command::new("git").arg("-C").arg(repository).args(identity).args(arguments).status().expect("git");
        assert!(done.success(), "git {arguments:?}");
    }
}

/// One container that does nothing, with the overlay as its snapshot.
async fn container(docker: &Docker, overlay: Option<Overlay>) {
    let volumes = docker.volumes().expect("Docker has volumes");
    let run: soopervisor::id::RunId = "snapshot-bench".parse().expect("a name");
    let name = format!("soopervisor-snapshot-bench-{}", std::process::id());
    let mut carried = Carried::default();
    if overlay.is_some() {
        volumes
            .create(&VolumeSpec { name: name.clone(), run: run.clone(), kept: None, overlay })
            .await
            .expect("a volume");
        let guest = GuestPath("/workspace".to_owned());
        carried.volumes.push(VolumeMount { volume: name.clone(), guest, writable: true });
    }
    let spec = SessionSpec {
        run,
        purpose: Purpose::Run,
        image: RUNNER_IMAGE.to_owned(),
        user: (0, 0),
        mounts: Vec::new(),
        carried,
        pipes: None,
        env: std::collections::BTreeMap::new(),
        workdir: "/".to_owned(),
        memory_bytes: None,
        cpus: None,
        pids: 64,
        disk_bytes: None,
        network: false,
        labels: std::collections::BTreeMap::new(),
    };
    let mut session = docker.start(spec).await.expect("a container");
    let script = ExecSpec { script: "exit 0".to_owned(), secrets: Vec::new(), nonce: String::new() };
    session.exec(script, &mut Deaf).await.expect("an exit");
    session.close().await.expect("closed");
    volumes.remove(&name).await.expect("removed");
}

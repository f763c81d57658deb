//! The second run of a pipeline of 20 tasks in which nothing changed, against `ploomber build` in a container that was
//! kept with everything in it; and a run after one task was changed, on a machine that has the storage only.
//!
//! `cargo bench --bench reuse -- [ROUNDS]`. Each of our runs is of a new commit that changes a document; it starts a
//! fresh container, fetches and checks every product, and publishes the whole. The other side is what people do to be
//! quick: a container that never ends, `docker exec … ploomber build`, nothing published. Needs the engine and
//! `make setup`.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const TASKS: usize = 20;
/// Of which so many are executed when the first of them changes: each needs the one before.
const EXECUTED: usize = 5;
const ENVIRONMENT: &str =
    "name: bench\nchannels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip\n  - pip: [ploomber]\n";

fn main() {
    let rounds = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(5);
    let dir = tempfile::tempdir().expect("a folder");
    let repo = dir.path().join("repo");
    write_repository(&repo);
    let first = time(|| ours(dir.path(), &[]));
    let kept = Kept::start(dir.path());
    let (mut ours_took, mut theirs_took, mut full) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        fs_err::write(repo.join("README.md"), format!("round {round}\n")).expect("a file");
        commit(&repo);
        ours_took.push(time(|| {
            let said = ours(dir.path(), &[]);
            let all = format!("{TASKS} of {TASKS} tasks taken over");
            assert!(said.contains(&all), "not all was taken over:\n{said}");
        }));
        theirs_took.push(time(|| kept.build()));
        full.push(time(|| ours(dir.path(), &["--no-reuse"])));
    }
    let elsewhere = time(|| from_the_storage_only(dir.path()));
    let (ours_took, theirs_took, full) = (middle(ours_took), middle(theirs_took), middle(full));
    println!("| what | median of {rounds} |");
    println!("|---|---|");
    println!("| first run of {TASKS} tasks | {} |", seconds(first));
    println!("| second run, all tasks taken over | {} |", seconds(ours_took));
    println!("| `ploomber build` in a kept container | {} |", seconds(theirs_took));
    println!("| second run, `--no-reuse` | {} |", seconds(full));
    println!(
        "| one task of {TASKS} changed, from a fresh machine with the storage only: {EXECUTED} executed | {} |",
        seconds(elsewhere)
    );
    println!("\nratio {:.2}, load {}", ours_took.as_secs_f64() / theirs_took.as_secs_f64(), load());
}

/// Twenty functions in a row, each with some work.
fn write_repository(repo: &Path) {
    fs_err::create_dir_all(repo).expect("a folder");
    let mut pipeline = String::from("tasks:\n");
    let mut module = String::from("import time\nfrom pathlib import Path\n");
    for at in 0..TASKS {
        let written = write!(pipeline, "  - source: tasks.t{at}\n    product: output/{at}.txt\n");
        written.expect("a string takes everything");
        let (argument, read) = match at.checked_sub(1) {
            Some(before) => (", upstream", format!("    Path(str(upstream['t{before}'])).read_text()\n")),
            None => ("", String::new()),
        };
        let body = format!("{read}    time.sleep(0.5)\n    Path(str(product)).write_text('{at}')\n");
        write!(module, "\ndef t{at}(product{argument}):\n{body}").expect("a string takes everything");
    }
    let files = [("environment.yml", ENVIRONMENT), ("pipeline.yaml", &pipeline), ("tasks.py", &module)];
    for (name, text) in files {
        fs_err::write(repo.join(name), text).expect("a file");
    }
    git(repo, &["init", "-q"]);
    commit(repo);
}

fn git(repo: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
    let done = Command::new("git").arg("-C").arg(repo).args(identity).args(args).status().expect("git");
    assert!(done.success(), "git {args:?}");
}

fn commit(repo: &Path) {
    git(repo, &["add", "-A"]);
    git(repo, &["commit", "-q", "-m", "bench"]);
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Changes one task near the end and runs that where nothing is kept: no environment, no lock, no history.
fn from_the_storage_only(dir: &Path) {
    let (module, changed) = (dir.join("repo/tasks.py"), TASKS - EXECUTED);
    let text = fs_err::read_to_string(&module).expect("the module");
    fs_err::write(&module, text.replace(&format!("write_text('{changed}')"), "write_text('new')")).expect("a file");
    commit(&dir.join("repo"));
    let said = on(dir, Some(&dir.join("fresh")), &[]);
    let rest = format!("{changed} of {TASKS} tasks taken over");
    assert!(said.contains(&rest), "more or less was executed than that task and what needs it:\n{said}");
}

/// One run; it keeps its folders, so that the other side can use the first one's.
fn ours(dir: &Path, more: &[&str]) -> String {
    on(dir, None, more)
}

/// On this machine, or on one whose folders are below `fresh`.
fn on(dir: &Path, fresh: Option<&Path>, more: &[&str]) -> String {
    let storage = format!("local:{}", dir.join("out").display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
    command
        .arg("run")
        .arg(dir.join("repo"))
        .args(["--storage", &storage, "--format", "plain", "--keep-work"])
        .args(more);
    command.env("XDG_STATE_HOME", fresh.unwrap_or(dir).join("state")).stdin(Stdio::null());
    if let Some(fresh) = fresh {
        command.env("XDG_CACHE_HOME", fresh.join("cache"));
    }
    let output = command.output().expect("soopervisor");
    assert!(output.status.success(), "a run failed:\n{}", text(&output));
    text(&output)
}

/// A container that stays, with the first run's files, products included.
struct Kept {
    id: String,
}

impl Kept {
    fn start(dir: &Path) -> Self {
        let runs: Vec<PathBuf> = fs_err::read_dir(dir.join("state/soopervisor/runs"))
            .expect("runs")
            .map(|run| run.expect("a run").path())
            .collect();
        let script = fs_err::read_to_string(runs[0].join("reproduce.sh")).expect("the run's command");
        let script = script.replace("docker run --rm -i", "docker run --rm -d");
        let whole = "\"${program[@]}\"";
        assert!(script.contains(whole), "its program");
        let script = script.replace(whole, "sleep infinity");
        let output = Command::new("bash").args(["-c", &script]).output().expect("docker");
        assert!(output.status.success(), "{}", text(&output));
        let kept = Self { id: String::from_utf8_lossy(&output.stdout).trim().to_owned() };
        kept.build();
        kept
    }

    fn build(&self) {
        let build = "source /soopervisor/activate.sh; cd /workspace; ploomber build";
        let output = Command::new("docker").args(["exec", &self.id, "bash", "-c", build]).output().expect("docker");
        assert!(output.status.success(), "{}", text(&output));
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The benchmark is over; what cannot be removed is said by docker itself.
        let _ = Command::new("docker").args(["rm", "-f", &self.id]).stdout(Stdio::null()).status();
    }
}

fn time<T>(act: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    act();
    start.elapsed()
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn load() -> String {
    let text = fs_err::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

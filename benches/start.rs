//! What answers at once: `--help`, and the verdict on a pipeline of 1,000 tasks. Whole processes, and in this one.
//!
//! `cargo bench --bench start`

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use soopervisor::id::RelPath;
use soopervisor::repo::Folder;
use soopervisor::validate::{Options, check};
use stage::say;

mod stage;

const TASKS: usize = 1000;
const ROUNDS: usize = 21;

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    project(dir.path());
    let folder = Folder::open(dir.path()).expect("a folder");
    let found = check(&folder, &RelPath::root(), &Options::default());
    assert!(found.project.is_some() && found.diagnostics.is_empty(), "{:?}", found.diagnostics);

    say(&format!("load {}, {ROUNDS} rounds\n\n| what | median | least | bar |\n|---|---|---|---|", stage::load()));
    row("`--help`, whole process", Some(10), || process(&["--help"]));
    row("`validate`, 1,000 tasks, in this process", Some(50), || {
        drop(check(&folder, &RelPath::root(), &Options::default()));
    });
    let module = tempfile::tempdir().expect("a folder");
    functions(module.path());
    let one = Folder::open(module.path()).expect("a folder");
    let found = check(&one, &RelPath::root(), &Options::default());
    assert!(found.project.is_some(), "{:?}", found.diagnostics);
    row("`validate`, 1,000 functions of one module, in this process", Some(50), || {
        drop(check(&one, &RelPath::root(), &Options::default()));
    });
    let path = dir.path().to_str().expect("a plain path");
    row("`validate`, 1,000 tasks, whole process", Some(50), || process(&["validate", path]));
    row("`/bin/true`, for comparison", None, || {
        assert!(Command::new("/bin/true").status().expect("it runs").success());
    });
}

fn process(args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
    // Its notes would stand between the rows; only why it failed is worth a look.
    let ended = command.args(args).stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("soopervisor");
    assert!(ended.status.success(), "{args:?}: {}\n{}", ended.status, String::from_utf8_lossy(&ended.stderr));
}

fn row(what: &str, bar: Option<u32>, mut act: impl FnMut()) {
    act();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            act();
            start.elapsed()
        })
        .collect();
    times.sort();
    let [median, least] = [times[ROUNDS / 2], times[0]].map(|time| time.as_secs_f64() * 1000.0);
    let bar = bar.map_or("–".to_owned(), |bar| format!("≤ {bar} ms"));
    say(&format!("| {what} | {median:.1} ms | {least:.1} ms | {bar} |"));
}

/// Scripts as notebooks, each after the one before, each with two products.
fn project(dir: &Path) {
    let mut pipeline = String::from("tasks:\n");
    fs_err::create_dir_all(dir.join("scripts")).expect("a folder");
    for task in 0..TASKS {
        let before = if task == 0 { "None".to_owned() } else { format!("[\"task-{}\"]", task - 1) };
        let source =
            format!("# %% tags=[\"parameters\"]\nupstream = {before}\nproduct = None\n\n# %%\nprint({task})\n");
        fs_err::write(dir.join(format!("scripts/task-{task}.py")), source).expect("a file");
        write!(
            pipeline,
            "  - source: scripts/task-{task}.py\n    name: task-{task}\n    product:\n      nb: output/{task}.ipynb\n      \
             data: output/{task}.csv\n"
        )
        .expect("a string takes everything");
    }
    environment(dir, &pipeline);
}

/// Functions of one module, each after the one before.
fn functions(dir: &Path) {
    let (mut pipeline, mut module) = (String::from("tasks:\n"), String::from("from pathlib import Path\n"));
    for task in 0..TASKS {
        let before = if task == 0 { String::new() } else { ", upstream".to_owned() };
        let asked =
            if task == 0 { "''".to_owned() } else { format!("Path(upstream['task_{}']).read_text()", task - 1) };
        write!(
            module,
            "\n\ndef task_{task}(product{before}):\n    text = {asked}\n    Path(product).write_text(text)\n"
        )
        .expect("a string takes everything");
        write!(pipeline, "  - source: tasks.task_{task}\n    name: task_{task}\n    product: output/{task}.csv\n")
            .expect("a string takes everything");
    }
    fs_err::write(dir.join("tasks.py"), module).expect("a file");
    environment(dir, &pipeline);
}

fn environment(dir: &Path, pipeline: &str) {
    fs_err::write(dir.join("pipeline.yaml"), pipeline).expect("a file");
    let environment =
        "name: many\nchannels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip\n  - pip: [ploomber]\n";
    fs_err::write(dir.join("environment.yml"), environment).expect("a file");
}

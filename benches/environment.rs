//! What the environment step costs: whole runs of one repository, unchanged, with a new key each time whose wheels are
//! cached, and with keys whose locks are known too, up to the moment when the container runs. And a `pip:` section of which
//! nothing is cached, against pip.
//!
//! `cargo bench --bench environment -- [ROUNDS]`. Needs an engine and `make setup`; it has a store of its own.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use soopervisor::store::Home;
use stage::say;

mod stage;

const PIPELINE: &str = "tasks:\n  - source: task.sh\n    product: output/x.txt\n";
/// What a data scientist's list looks like.
/// Ploomber is in it: an environment without it gets it anyway, and pip has to do the same work.
const LIST: [&str; 4] = ["ploomber==0.23.3", "pandas==2.2.3", "scikit-learn==1.5.2", "matplotlib==3.9.2"];
const PLOOMBER: &str = "#!/bin/bash\nmkdir -p output\necho x > output/x.txt\n";

/// A repository, and a home with a store of its own that uses this machine's settings.
struct Place {
    dir: tempfile::TempDir,
}

/// One run, seen from outside.
#[derive(Default)]
struct Run {
    /// From the start of the process to the first line of the container.
    until_ready: Duration,
    /// The step `prepare`, as the run tells it.
    step: Duration,
    /// The step `execute`.
    executed: Duration,
    /// Processor time of our own process, both kinds, all of the run.
    own: Duration,
    /// The same, at the beginning of the step `prepare`, and between its beginning and its end.
    begun: Option<Duration>,
    spent: Duration,
    /// What the step said of the environment.
    words: String,
}

fn main() {
    let rounds: usize = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(9);
    let place = Place::new();
    say(&format!("load {}, {rounds} rounds, medians (least)\n", stage::load()));
    place.pip_section();
    let first = place.run(0);
    assert!(first.words.contains("built"), "{}", first.words);
    say(&format!("the first run of all took {:.1} s until its container ran\n", first.until_ready.as_secs_f64()));
    place.wait_for_bytecode();
    say("| run | environment step | own processor time in it | until the container runs | of the whole run |");
    say("|---|---|---|---|---|");
    let same: Vec<Run> = (0..rounds).map(|_| place.run(0)).collect();
    assert!(same.iter().all(|run| run.words.contains("reused")));
    row("unchanged environment.yml", &same);
    let new: Vec<Run> = (1..=rounds.div_ceil(2)).map(|round| place.run(round)).collect();
    assert!(new.iter().all(|run| run.words.contains("built")));
    row("new key, cached wheels, compiled before", &new);
    let known: Vec<Run> = (1..=rounds.div_ceil(2)).map(|round| place.run_from_lock(round)).collect();
    assert!(known.iter().all(|run| run.words.contains("built")));
    row("the same keys once more, their locks known", &known);
    say(&format!("\nload {}", stage::load()));
}

fn row(what: &str, runs: &[Run]) {
    let cell = |take: fn(&Run) -> Duration| {
        let mut times: Vec<Duration> = runs.iter().map(take).collect();
        times.sort();
        format!("{} ms ({})", times[times.len() / 2].as_millis(), times[0].as_millis())
    };
    let [step, spent] = [cell(|run| run.step), cell(|run| run.spent)];
    say(&format!("| {what} | {step} | {spent} | {} | {} |", cell(|run| run.until_ready), cell(|run| run.own)));
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().expect("a folder") };
        let home = place.home();
        fs_err::create_dir_all(&home).expect("a folder");
        let settings = Home::from_env().expect("a home").config().to_owned();
        if settings.exists() {
            fs_err::copy(settings, home.join("config.yaml")).expect("the user's settings");
        }
        place.repository("repo", &environment(0), PLOOMBER);
        place
    }

    /// A committed repository beside the others, whose Ploomber is `ploomber`.
    fn repository(&self, name: &str, environment: &str, ploomber: &str) {
        let repo = self.dir.path().join(name);
        fs_err::create_dir_all(repo.join("bin")).expect("a folder");
        let files = [
            ("pipeline.yaml", PIPELINE),
            ("task.sh", "echo x > {{product}}\n"),
            ("bin/ploomber", ploomber),
            ("environment.yml", environment),
        ];
        for (name, text) in files {
            fs_err::write(repo.join(name), text).expect("a file");
        }
        let runs = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(repo.join("bin/ploomber"), runs).expect("a mode");
        for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "bench"]] {
            let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
            let done = Command::new("git").arg("-C").arg(&repo).args(identity).args(args).status().expect("git");
            assert!(done.success(), "git {args:?}");
        }
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    /// The same list, cold both times: the step that builds an environment with it, against pip inside the container of
    /// an environment without it. Only the conda part is cached.
    fn pip_section(&self) {
        let list = LIST.join(" ");
        let pip = format!(
            "#!/bin/bash\nset -e\n\"$CONDA_PREFIX/bin/python\" -m pip install -q --no-cache-dir --target /tmp/t {list}\n\
             mkdir -p output\necho x > output/x.txt\n"
        );
        let without = "channels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip\n";
        self.repository("without", without, &pip);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for round in 0..3 {
            theirs.push(self.run_in("without").executed);
            self.forget_wheels();
            // Another key each time.
            let mut with = format!("{without}  - pip:\n");
            for wanted in LIST {
                writeln!(with, "      - {wanted}").expect("a string takes everything");
            }
            writeln!(with, "variables:\n  COLD: '{round}'").expect("a string takes everything");
            self.repository("with", &with, PLOOMBER);
            ours.push(self.run_in("with").step);
        }
        let [ours, theirs] = [ours, theirs].map(|mut times| {
            times.sort();
            times[1].as_secs_f64()
        });
        let ratio = theirs / ours;
        say(&format!(
            "\n{list}, nothing of it cached: {ours:.1} s, pip in the same container {theirs:.1} s, {ratio:.1} times \
             (medians of 3, bar 5)\n"
        ));
    }

    /// What uv downloaded for the environment that pip ran in.
    fn forget_wheels(&self) {
        let root = self.home().join("cache/env");
        let kept: Vec<PathBuf> =
            [root.join("uv"), root.join("bench/shared/uv")].into_iter().filter(|at| at.exists()).collect();
        assert!(!kept.is_empty(), "no wheels are kept below {}", root.display());
        for at in kept {
            fs_err::remove_dir_all(at).expect("they are gone");
        }
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// One run; another `round` is another key with the same packages.
    fn run(&self, round: usize) -> Run {
        fs_err::write(self.repo().join("environment.yml"), environment(round)).expect("a file");
        self.run_in("repo")
    }

    fn run_in(&self, repository: &str) -> Run {
        let out = format!("local:{}", self.dir.path().join(format!("out-{}", id())).display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
        command.arg("run").arg(self.dir.path().join(repository)).args([
            "--storage",
            &out,
            "--format",
            "json",
            "--allow-dirty",
        ]);
        command.args(["--env", "PATH=/workspace/bin:/usr/bin:/bin"]).env("SOOPERVISOR_HOME", self.home());
        let start = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("soopervisor");
        let threads = format!("/proc/{}/task", child.id());
        let mut run = Run::default();
        for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
            let line = line.expect("a line");
            let event: serde_json::Value = serde_json::from_str(&line).expect("an event");
            run.own = processor_time(&threads).unwrap_or(run.own);
            run.take(&event, start.elapsed());
        }
        let status = child.wait().expect("soopervisor ends");
        assert!(status.success() && !run.until_ready.is_zero(), "a run failed: {status}");
        run
    }

    /// One run of a key whose environment was collected meanwhile: its lock, the wheels and their bytecode are there.
    fn run_from_lock(&self, round: usize) -> Run {
        std::thread::sleep(Duration::from_secs(2));
        let mut prune = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
        prune.args(["env", "prune", "--older-than", "1s"]).env("SOOPERVISOR_HOME", self.home()).stdout(Stdio::null());
        assert!(prune.status().expect("soopervisor").success(), "env prune");
        self.run(round)
    }

    /// Runs until nothing is left to compile.
    fn wait_for_bytecode(&self) {
        let since = Instant::now();
        while !self.is_compiled() {
            assert!(since.elapsed() < Duration::from_mins(20), "compiling takes too long");
            std::thread::sleep(Duration::from_secs(5));
            // What was compiled is counted when an environment is used again.
            for repository in ["repo", "with", "without"] {
                self.run_in(repository);
            }
        }
        say(&format!("everything was compiled {:.0} s after the first run\n", since.elapsed().as_secs_f64()));
    }
}

impl Place {
    /// As the store notes it beside each prefix.
    fn is_compiled(&self) -> bool {
        let prefixes = fs_err::read_dir(self.home().join("cache/env/e")).expect("the store");
        let states = prefixes.map(|prefix| prefix.expect("a prefix").path().join("conda-meta/soopervisor-bytecode"));
        states
            .filter(|state| state.exists())
            .all(|state| fs_err::read_to_string(state).is_ok_and(|text| text.contains("\"missing\":0,")))
    }
}

impl Run {
    fn take(&mut self, event: &serde_json::Value, at: Duration) {
        let is = |name: &str, value: &str| event[name].as_str() == Some(value);
        if is("step", "prepare") && self.begun.is_none() {
            self.begun = Some(self.own);
        }
        if is("step", "prepare") && event["elapsed_ms"].is_u64() {
            self.spent = self.own.saturating_sub(self.begun.unwrap_or_default());
            self.step = Duration::from_millis(event["elapsed_ms"].as_u64().unwrap_or_default());
            event.to_string().clone_into(&mut self.words);
        }
        if is("step", "execute") && event["elapsed_ms"].is_u64() {
            self.executed = Duration::from_millis(event["elapsed_ms"].as_u64().unwrap_or_default());
        }
        // The script's own first words.
        if is("step", "execute") && event.to_string().contains("activating") {
            self.until_ready = at;
        }
    }
}

/// What the threads of a process have run, in the kernel's own nanoseconds; `None` once it is gone. Threads that have
/// ended are not in it: those that wait for work stay for ten seconds.
fn processor_time(threads: &str) -> Option<Duration> {
    let of = |thread: std::fs::DirEntry| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some(Duration::from_nanos(std::fs::read_dir(threads).ok()?.flatten().filter_map(of).sum()))
}

fn environment(round: usize) -> String {
    let mut text = String::from("name: bench\nchannels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip\n");
    text += "  - pip:\n      - ploomber==0.23.3\n      - pandas==2.2.3\n";
    if round > 0 {
        write!(text, "variables:\n  ROUND: '{round}'\n").expect("a string takes everything");
    }
    text
}

fn id() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

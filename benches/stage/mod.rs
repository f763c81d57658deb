//! What the benchmarks of whole runs share: a repository whose pipeline costs nothing, and runs of it.
//!
//! Its own `ploomber`, first in PATH, is a shell script that writes the product and, when asked, prints a log. So
//! what is measured is soopervisor and the engine, not Python. Needs the engine and an environment that can be built
//! (`make setup`); the user's own caches and settings are used.

#![allow(clippy::allow_attributes, dead_code, reason = "each benchmark uses a part of it")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) mod bare;

/// How large the committed piece of a log is; it is printed again and again.
pub(crate) const BLOCK_MIB: usize = 4;

/// Hidden in every 2,000th line of the log.
pub(crate) const TOKEN: &str = "Zk3vQ8mT1xW9rB5nC7dF2gH6jL4pS0aE";

const ENVIRONMENT: &str = "name: bench\nchannels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip\n";
const PIPELINE: &str = "tasks:\n  - source: task.sh\n    product: output/x.txt\n";
const TASK: &str = "echo x > {{product}}\n";
const PLOOMBER: &str = r"#!/bin/bash
mkdir -p output
echo x > output/x.txt
for ((i = 0; i < ${BENCH_BLOCKS:-0}; i++)); do cat block.log; done
";

/// A repository and a place for outputs.
pub(crate) struct Stage {
    dir: tempfile::TempDir,
    rounds: std::cell::Cell<u32>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let stage = Self { dir: tempfile::tempdir().expect("a folder"), rounds: std::cell::Cell::new(0) };
        let repo = stage.repo();
        fs_err::create_dir_all(repo.join("bin")).expect("a folder");
        fs_err::create_dir_all(repo.join("output")).expect("a folder");
        let files = [
            ("environment.yml", ENVIRONMENT),
            ("pipeline.yaml", PIPELINE),
            ("task.sh", TASK),
            ("bin/ploomber", PLOOMBER),
        ];
        for (name, text) in files {
            fs_err::write(repo.join(name), text).expect("a file");
        }
        fs_err::write(repo.join("block.log"), block()).expect("a file");
        let runs = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(repo.join("bin/ploomber"), runs).expect("a mode");
        for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "bench"]] {
            let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
            let done = Command::new("git").arg("-C").arg(&repo).args(identity).args(args).status().expect("git");
            assert!(done.success(), "git {args:?}");
        }
        stage
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    /// A run into a storage of its own, so that it publishes each time. `real` takes the environment's own Ploomber.
    pub(crate) fn run(&self, real: bool) -> Command {
        self.rounds.set(self.rounds.get() + 1);
        let out = format!("local:{}", self.dir.path().join(format!("out-{}", self.rounds.get())).display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
        command.arg("run").arg(self.repo()).args(["--storage", &out, "--format", "plain", "--secret", "BENCH_TOKEN"]);
        if !real {
            command.args(["--env", "PATH=/workspace/bin:/usr/bin:/bin"]);
        }
        command.env("BENCH_TOKEN", TOKEN).stdin(Stdio::null()).stderr(Stdio::inherit());
        command
    }

    /// Builds the environment where that was not done before, and leaves the folders of one run for [`Bare`].
    pub(crate) fn warm_up(&self, real: bool) -> Bare {
        let mut command = self.run(real);
        command.arg("--keep-work").args(forced(real));
        let told = command.output().expect("soopervisor");
        let text = String::from_utf8_lossy(&told.stdout);
        assert!(told.status.success(), "the run to warm up failed:\n{text}");
        let id = text.split_once(" run ").and_then(|(_, rest)| rest.split_once(':')).expect("it tells its run").0;
        let shown =
            Command::new(env!("CARGO_BIN_EXE_soopervisor")).args(["show", id, "--json"]).output().expect("show");
        assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        Bare::read(&runs().join(id).join("reproduce.sh"))
    }
}

/// Both sides execute the task each time.
pub(crate) fn forced(real: bool) -> &'static [&'static str] {
    if real { &["--", "--force"] } else { &[] }
}

fn runs() -> PathBuf {
    soopervisor::store::Home::from_env().expect("a home").runs()
}

/// The container of a run, as its `reproduce.sh` describes it.
pub(crate) struct Bare {
    pub(crate) image: String,
    /// Outside, inside, whether it is read-only.
    pub(crate) mounts: Vec<(String, String, bool)>,
    pub(crate) user: String,
}

impl Bare {
    fn read(file: &Path) -> Self {
        let text = fs_err::read_to_string(file).expect("the run's command");
        let word = |word: &str| word.trim_matches('\'').to_owned();
        let mount = |line: &str| {
            let line = word(line.trim().trim_end_matches('\\').trim_end().strip_prefix("--mount ")?);
            let part = |name: &str| line.split(',').find_map(|part| part.strip_prefix(name)).map(str::to_owned);
            Some((part("source=")?, part("target=")?, line.ends_with(",readonly")))
        };
        let user = text.split_once("--user ").and_then(|(_, rest)| rest.split_once(' ')).expect("a user").0;
        let last = text.trim_end().lines().last().and_then(|line| line.split_whitespace().next()).expect("an image");
        Self { image: word(last), mounts: text.lines().filter_map(mount).collect(), user: user.to_owned() }
    }
}

/// Lines as data pipelines print them, with the token now and then.
pub(crate) fn block() -> Vec<u8> {
    let mut text = String::with_capacity((BLOCK_MIB << 20) + 200);
    let mut line = 0_u64;
    while text.len() < BLOCK_MIB << 20 {
        line += 1;
        let number = line.wrapping_mul(2_654_435_761) % 1_000_000;
        let written = match line % 3 {
            0 => writeln!(text, "2026-11-21 09:30:00,{:03} INFO clean: kept {number} of 1000000 rows", line % 1000),
            1 => writeln!(text, "epoch {:3}/100  loss=0.{number:06}  val_accuracy=0.{number:06}", line % 100),
            _ => writeln!(text, "Downloading https://data.example.org/parts/part-{number:06}.parquet (12.5 MB)"),
        };
        written.expect("a string takes everything");
        if line.is_multiple_of(2000) {
            text += &format!("export TOKEN={TOKEN}\n");
        }
    }
    text.truncate(BLOCK_MIB << 20);
    text.pop();
    text.push('\n');
    text.into_bytes()
}

/// The machine's load over the last minute.
pub(crate) fn load() -> String {
    let text = fs_err::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

/// Writes a line at once: benchmarks of minutes are watched.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

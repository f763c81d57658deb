//! What tests start beside themselves: it runs as root below a folder of its own, and ends with the test or the program.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::kit::image;

/// A service and its folder. The service's input is a pipe from here: where that ends, it clears up.
pub(super) struct Keeper {
    pub(super) folder: PathBuf,
    child: Child,
}

impl Keeper {
    /// Starts `script` (POSIX shell) with the folder and `arguments`. It has to wait for the end of its input, end what
    /// it started and remove the folder.
    pub(super) fn start(script: &str, arguments: &[&str]) -> Self {
        // Kept: the script removes it.
        let folder = tempfile::Builder::new().prefix("soopervisor-elsewhere-").tempdir().unwrap().keep();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let whole = format!("set -eu; PATH=$PATH:/usr/sbin:/sbin; export PATH; scratch=$1; shift\n{script}");
        let child = as_root("sh")
            .args(["-c", &whole, "keeper"])
            .arg(&folder)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    /// Waits until `ready`; where that does not come, what was logged is told.
    pub(super) fn wait(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        let since = Instant::now();
        while !ready() {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || since.elapsed() > Duration::from_mins(1) {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(15).collect();
                panic!("{what} did not come up ({ended:?}):\n{}", last.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Nothing of what `work` starts in the service's name is left when it is over.
    pub(super) fn sees_all_gone_after(&self, work: impl FnOnce()) {
        let before = processes_that_name(&self.folder);
        work();
        let since = Instant::now();
        loop {
            let mut left = processes_that_name(&self.folder);
            left.retain(|line| !before.contains(line));
            if left.is_empty() {
                return;
            }
            assert!(since.elapsed() < Duration::from_secs(20), "still there: {left:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// An engine that listens at `address`, with the runner image brought from the engine of this machine.
    pub(super) fn wait_for_engine(&mut self, what: &str, address: &str, more: &[(&str, &str)]) {
        let docker = |arguments: &[&str]| {
            let mut command = Command::new("docker");
            command.args(["-H", address]).args(arguments).envs(more.iter().copied()).env_remove("DOCKER_HOST");
            command
        };
        self.wait(what, || docker(&["version"]).output().is_ok_and(|output| output.status.success()));
        let mut saving = Command::new("docker").args(["save", &image()]).stdout(Stdio::piped()).spawn().unwrap();
        let loaded = docker(&["load", "-q"]).stdin(saving.stdout.take().unwrap()).output().unwrap();
        assert!(saving.wait().unwrap().success() && loaded.status.success(), "{what} takes no image: {loaded:?}");
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        if !std::thread::panicking() {
            // A connection that was told to end may take a moment for it.
            let since = Instant::now();
            let mut left = processes_that_name(&self.folder);
            while !left.is_empty() && since.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(100));
                left = processes_that_name(&self.folder);
            }
            assert!(left.is_empty(), "still there: {left:#?}");
            assert!(!self.folder.exists(), "{} is still there", self.folder.display());
        }
    }
}

/// The command lines of processes in which the folder occurs; zombies have none.
fn processes_that_name(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(folder)).collect()
}

/// A program with root's rights.
pub(super) fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let silent = Command::new("sudo").args(["-n", "true"]).output().is_ok_and(|output| output.status.success());
    assert!(silent, "these tests start engines as root, and sudo asks for a password: `sudo -v` before the tests");
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// Fails in one line where a program is not installed.
pub(super) fn needs(programs: &[&str]) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    for program in programs {
        let there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
        assert!(there, "`{program}` is missing: `make test` installs what these tests need");
    }
}

pub(super) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Must succeed.
pub(super) fn done(output: &Output) -> String {
    let text =
        [&output.stdout[..], &output.stderr[..]].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat();
    assert!(output.status.success(), "{}: {}", output.status, shortened(&text));
    text
}

/// This program once more, for an engine elsewhere: the same tests, without those of this folder.
pub(super) fn suite(program: &Path, arguments: &[&str], skipped: &[&str], mut command: Command) {
    command.args([program.to_str().unwrap(), "--skip", "elsewhere::", "--test-threads", "4"]).args(arguments);
    for test in skipped {
        command.args(["--skip", test]);
    }
    let output = command.env("RUST_BACKTRACE", "0").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let passed = text.lines().filter(|line| line.starts_with("test ") && line.ends_with(" ... ok")).count();
    assert!(output.status.success(), "{}", shortened(&text));
    assert!(passed > 5, "only {passed} tests ran");
}

/// The end of a text, lines cut; moved in, for what it says of its tests is no line of this program's own.
fn shortened(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.ends_with(" ... ok"));
    let lines: Vec<String> = lines.map(|line| format!("  | {}", line.chars().take(400).collect::<String>())).collect();
    format!("\n{}", lines[lines.len().saturating_sub(80)..].join("\n"))
}

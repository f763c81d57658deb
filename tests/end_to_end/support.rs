//! A user's machine in small: repositories made on the spot, the real program, a home of its own, the real engine.
//!
//! Built environments are shared between the tests (and with the user's own runs), because building one takes half a
//! minute; everything else is thrown away with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// What a data scientist's repository has at least; every test's repository asks for the same environment. From 4.25 on
/// `jsonschema` reads a grammar for a second and a half whenever Ploomber starts, which is half of its start.
pub(crate) const ENVIRONMENT: &str = "name: tiny\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n      - ploomber\n      - jsonschema<4.25\n      - sqlalchemy\n      - pandas\n";

/// One user with one repository.
pub(crate) struct User {
    _dir: tempfile::TempDir,
    root: PathBuf,
}

impl User {
    /// A repository with these files (and `environment.yml`, where it is not among them), committed.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let user = Self::empty();
        user.write("environment.yml", ENVIRONMENT);
        for (path, text) in files {
            user.write(path, text);
        }
        user.commit("first");
        user
    }

    /// A copy of one of the project's examples, committed.
    pub(crate) fn with_example(name: &str) -> Self {
        let user = Self::empty();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
        let status =
            Command::new("cp").arg("-r").arg(format!("{}/.", from.display())).arg(user.repo()).status().unwrap();
        assert!(status.success(), "copying the example {name}");
        user.commit("first");
        user
    }

    fn empty() -> Self {
        let dir = tempfile::Builder::new().prefix("soopervisor test ").tempdir().unwrap();
        let root = dir.path().to_owned();
        std::fs::create_dir(root.join("my repo")).unwrap();
        let user = Self { _dir: dir, root };
        user.git(&["init", "-q", "-b", "main"]);
        user
    }

    /// The repository; its name has a space, as people's folders do.
    pub(crate) fn repo(&self) -> PathBuf {
        self.root.join("my repo")
    }

    /// The storage folder.
    pub(crate) fn storage(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    /// The folder of runs.
    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("state/soopervisor/runs")
    }

    /// Writes a file of the repository.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.repo().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs git in the repository and returns what it printed.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let fixed = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"];
        let output = Command::new("git").args(fixed).args(args).current_dir(self.repo()).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits everything and returns the full sha.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// The program, with nothing of the tester's environment that would change what it does.
    pub(crate) fn program(&self, args: &[&str]) -> Command {
        self.begun(Command::new(env!("CARGO_BIN_EXE_soopervisor")), args)
    }

    /// The same for a program that is already put into a command, with whatever starts it.
    pub(crate) fn begun(&self, mut command: Command, args: &[&str]) -> Command {
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["GITHUB_", "RUNNER_", "SOOPERVISOR_"].iter().any(|prefix| name.starts_with(prefix)) || name == "CI" {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(&self.root).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.root.join("state")).env("NO_COLOR", "1");
        command
    }

    /// `soopervisor "my repo" --storage local:artifacts …`.
    pub(crate) fn run_command(&self, more: &[&str]) -> Command {
        let mut args = vec!["run", "my repo", "--storage", "local:artifacts"];
        args.extend(more);
        self.program(&args)
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, more: &[&str]) -> Said {
        Said::from(self.run_command(more).output().unwrap())
    }

    /// Starts it and leaves it running.
    pub(crate) fn start(&self, more: &[&str]) -> Child {
        self.run_command(more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs another verb to its end.
    pub(crate) fn say(&self, args: &[&str]) -> Said {
        Said::from(self.program(args).output().unwrap())
    }

    /// The one published folder.
    pub(crate) fn published(&self) -> PathBuf {
        let mut folders = self.published_folders();
        assert_eq!(folders.len(), 1, "published: {folders:?}");
        folders.remove(0)
    }

    /// Every published folder; nothing else may stand beside them.
    pub(crate) fn published_folders(&self) -> Vec<PathBuf> {
        let Ok(projects) = std::fs::read_dir(self.storage()) else { return Vec::new() };
        let mut folders: Vec<PathBuf> = projects
            .map(|project| project.unwrap().path())
            .filter(|project| project.is_dir())
            .flat_map(|project| std::fs::read_dir(project).unwrap().map(|folder| folder.unwrap().path()))
            .filter(|folder| folder.is_dir())
            .collect();
        folders.sort();
        folders
    }

    /// The manifest of the one published folder.
    pub(crate) fn manifest(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.published().join("manifest.json")).unwrap()).unwrap()
    }

    /// Every byte that soopervisor wrote for this user's runs, with the file it stands in (the work folders, which
    /// hold what the pipeline wrote, left out).
    pub(crate) fn written(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut open = vec![self.runs()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let kind = entry.file_type().unwrap();
                if kind.is_dir() && !["work", "output", "home"].iter().any(|name| entry.file_name() == *name) {
                    open.push(entry.path());
                } else if kind.is_file() {
                    found.push((entry.path(), std::fs::read(entry.path()).unwrap()));
                }
            }
        }
        found
    }

    /// Containers, in any state, of this user's runs.
    pub(crate) fn containers(&self) -> Vec<String> {
        let Ok(runs) = std::fs::read_dir(self.runs()) else { return Vec::new() };
        let ids: Vec<String> = runs.map(|run| run.unwrap().file_name().to_string_lossy().into_owned()).collect();
        let output = Command::new("docker").args(["ps", "-a", "--format", "{{.Names}}"]).output().unwrap();
        assert!(output.status.success(), "these tests need a container engine: `make setup` installs and starts one");
        let names = String::from_utf8_lossy(&output.stdout).into_owned();
        names.lines().filter(|name| ids.iter().any(|id| name.contains(id))).map(str::to_owned).collect()
    }
}

/// What the program said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Exit code; 128 + signal where a signal ended it.
    pub(crate) code: i32,
    /// Standard output and standard error.
    pub(crate) text: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Self { code, text }
    }
}

impl Said {
    /// The exit code must be this.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.text);
        self
    }

    /// The text must hold this.
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Self {
        assert!(self.text.contains(part), "`{part}` is not in:\n{}", self.text);
        self
    }

    /// The text must not hold this.
    #[track_caller]
    pub(crate) fn hides(self, part: &str) -> Self {
        assert!(!self.text.contains(part), "`{part}` is in:\n{}", self.text);
        self
    }
}

/// Waits until `true`, at most `seconds`.
#[track_caller]
pub(crate) fn eventually(seconds: u64, what: &str, mut check: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    while !check() {
        assert!(std::time::Instant::now() < end, "not within {seconds} s: {what}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Sends a signal.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

//! The real program, killed and raced while it builds: with a `uv` of a few lines of shell that takes its time and a
//! `ploomber` of three, so that only the environment is under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::channel::{self, Package};

const PYTHON: &str = "#!/bin/sh\nexit 1\n";
/// Resolves at once and installs one package after a while, as the real one would with a slow index.
const UV: &str = r#"#!/bin/sh
case " $* " in
*" compile "*) echo 'sleepy==1 --hash=sha256:ab' >lock.txt ;;
*" install "*)
  sleep 4
  while [ "$1" != --python ]; do shift; done
  site=${2%/bin/python}/lib/python3.11/site-packages
  mkdir -p "$site/sleepy-1.dist-info" && echo uv >"$site/sleepy-1.dist-info/INSTALLER"
  ;;
esac
"#;
pub(crate) const PLOOMBER: &str = "#!/bin/sh\ncat \"$SOOPERVISOR_CONSTRAINTS\" /soopervisor/activate.sh >/dev/null || exit 9\n\
                        [ \"$ACTIVATED\" = yes ] || exit 8\n\
                        mkdir -p output && echo one > output/first.txt\n";
const ENVIRONMENT: &str = "channels: [conda-forge]\ndependencies: [python=3.11, pip, ploomber, {pip: [sleepy]}]\n";
const PIPELINE: &str = "tasks:\n  - source: tasks.first\n    product: output/first.txt\n";

/// One user: a home, a repository and a channel of his own.
pub(crate) struct User {
    folder: tempfile::TempDir,
}

impl User {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        publish(&folder.path().join("channel"), "24.0");
        let repo = folder.path().join("repo");
        fs::create_dir(&repo).unwrap();
        fs::write(folder.path().join("uv"), UV).unwrap();
        fs::set_permissions(folder.path().join("uv"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(repo.join("environment.yml"), ENVIRONMENT).unwrap();
        fs::write(repo.join("pipeline.yaml"), PIPELINE).unwrap();
        fs::write(repo.join("tasks.py"), "def first(product):\n    pass\n").unwrap();
        for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "first"]] {
            let fixed = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"];
            assert!(Command::new("git").args(fixed).args(args).current_dir(&repo).status().unwrap().success());
        }
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A run that publishes to a folder of that name.
    pub(crate) fn command(&self, storage: &str) -> Command {
        // The shell only sets the mask; `exec` leaves the program under the number that we know.
        let mut command = Command::new("sh");
        command.args(["-c", "umask \"$MASK\" && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_soopervisor")]);
        command.args(["run", "-v", "repo", "--storage", &format!("local:{storage}")]);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mirrors = format!("conda-forge={}", self.path("channel").display());
        command.env("SOOPERVISOR_HOME", self.path("home")).env("SOOPERVISOR_CONDA_MIRRORS", mirrors);
        command.env("SOOPERVISOR_UV", self.path("uv")).env("PIP_CONFIG_FILE", "/dev/null").env("MASK", "022");
        command
    }

    /// Names of containers of this user's runs, in any state.
    fn containers(&self) -> Vec<String> {
        let output = Command::new("docker").args(["ps", "-a", "--format", "{{.Names}}"]).output().unwrap();
        assert!(output.status.success(), "these tests need a container engine: `make setup` installs and starts one");
        let runs: Vec<String> = names(&self.path("home/state/runs"));
        let all = String::from_utf8_lossy(&output.stdout).into_owned();
        all.lines().filter(|name| runs.iter().any(|run| name.contains(run))).map(str::to_owned).collect()
    }

    fn keys(&self) -> Vec<String> {
        names(&self.path("home/cache/env/keys"))
    }

    fn published(&self, storage: &str) -> bool {
        let folders = names(&self.path(storage).join("repo"));
        folders.iter().any(|folder| {
            let file = self.path(storage).join("repo").join(folder).join("output/first.txt");
            fs::read_to_string(file).is_ok_and(|text| text == "one\n")
        })
    }
}

/// A channel whose pip is this one.
pub(crate) fn publish(channel: &Path, pip: &str) {
    let _ = fs::remove_dir_all(channel);
    let package = |name, version, depends, files| Package { name, version, depends, files };
    let python = [
        ("bin/python", PYTHON),
        ("lib/python3.11/os.py", ""),
        ("etc/conda/activate.d/python.sh", "export ACTIVATED=yes\n"),
    ];
    let pip_files = [("bin/pip", "#!/bin/sh\n")];
    channel::write(
        channel,
        &[
            package("python", "3.11.7", &[], &python),
            package("pip", pip, &["python"], &pip_files),
            package("ploomber", "0.23.3", &["python"], &[("bin/ploomber", PLOOMBER)]),
        ],
    );
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

pub(crate) fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[track_caller]
fn eventually(what: &str, check: impl Fn() -> bool) {
    let since = Instant::now();
    while !check() {
        assert!(since.elapsed() < Duration::from_mins(2), "not within two minutes: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

#[track_caller]
pub(crate) fn succeeds(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn kill_nine_during_a_build_leaves_no_container_and_the_next_run_builds_anew() {
    let user = User::new();
    let mut child = user.command("out").spawn().unwrap();
    eventually("the builder runs", || user.containers().iter().any(|name| name.contains("-build-")));
    child.kill().unwrap();
    let died = child.wait_with_output().unwrap();
    assert!(!died.status.success() && user.keys().is_empty(), "{}", text(&died));
    eventually("the builder is gone", || user.containers().is_empty());
    let said = succeeds(user.command("out").spawn().unwrap());
    assert!(said.contains("building the environment"), "{said}");
    assert!(user.published("out") && user.keys().len() == 1);
    assert_eq!(user.containers(), Vec::<String>::new());
    let again = succeeds(user.command("out").spawn().unwrap());
    assert!(!again.contains("building the environment") && again.contains("reused"), "{again}");
}

#[test]
fn two_programs_that_want_one_environment_build_it_once() {
    let user = User::new();
    let (one, two) = (user.command("one").spawn().unwrap(), user.command("two").spawn().unwrap());
    let said = succeeds(one) + &succeeds(two);
    assert_eq!(said.matches("building the environment").count(), 1, "{said}");
    assert_eq!(said.matches("waiting for another run that builds this environment (run ").count(), 1, "{said}");
    assert_eq!(user.keys().len(), 1);
    assert!(user.published("one") && user.published("two"));
}

#[test]
fn a_strict_umask_makes_no_environment_that_a_run_cannot_read() {
    let user = User::new();
    succeeds(user.command("out").env("MASK", "077").spawn().unwrap());
    assert!(user.published("out"));
}

#[test]
fn an_environment_that_nobody_used_for_a_month_goes_when_another_is_built() {
    let user = User::new();
    succeeds(user.command("out").spawn().unwrap());
    let store = user.path("home/cache/env");
    let key = store.join("keys").join(&user.keys()[0]);
    let long_ago = std::time::SystemTime::now() - Duration::from_hours(31 * 24);
    fs::File::options().append(true).open(&key).unwrap().set_modified(long_ago).unwrap();
    let other = user.path("repo/environment.yml");
    fs::write(&other, format!("{ENVIRONMENT}variables: {{A: b}}\n")).unwrap();
    let said = succeeds(user.command("out").arg("--allow-dirty").spawn().unwrap());
    assert!(said.contains("unused for 31 days"), "{said}");
    assert!(!key.exists() && user.keys().len() == 1);
    let prefixes = names(&store.join("e"));
    assert_eq!(prefixes.len(), 2, "one prefix and its activation: {prefixes:?}");
}

#[test]
fn a_builder_that_is_killed_is_told_and_the_next_run_builds_anew() {
    let user = User::new();
    let child = user.command("out").spawn().unwrap();
    let builder = || user.containers().into_iter().find(|name| name.contains("-build-"));
    eventually("the builder runs", || builder().is_some());
    let status = Command::new("docker").args(["kill", "-s", "KILL", &builder().unwrap()]).output().unwrap();
    assert!(status.status.success());
    let died = child.wait_with_output().unwrap();
    let said = text(&died);
    assert_eq!(died.status.code(), Some(5), "{said}");
    assert!(said.contains("the builder was killed from outside"), "{said}");
    assert!(user.keys().is_empty() && names(&user.path("home/cache/env/e")).is_empty());
    succeeds(user.command("out").spawn().unwrap());
    assert!(user.published("out") && user.keys().len() == 1);
}

#[test]
fn kill_nine_at_any_moment_leaves_a_store_that_the_next_run_repairs() {
    let user = User::new();
    // From the first file to the last rename and beyond: a build takes about five seconds.
    for wait in [150, 400, 700, 1100, 2500, 5200, 5600] {
        let mut child = user.command("out").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait_with_output().unwrap();
    }
    succeeds(user.command("out").arg("--on-conflict").arg("new-run").spawn().unwrap());
    assert!(user.published("out"));
    let store = user.path("home/cache/env");
    assert_eq!(user.keys().len(), 1);
    let prefixes = names(&store.join("e"));
    assert_eq!(prefixes.len(), 2, "one prefix and its activation: {prefixes:?}");
    for place in ["bench/shared/e", "bench/shared/build"] {
        assert_eq!(names(&store.join(place)), Vec::<String>::new(), "{place}");
    }
    let half = names(&store.join("pkgs")).into_iter().filter(|name| name.starts_with('.') && name != ".cache.lock");
    assert_eq!(half.collect::<Vec<_>>(), Vec::<String>::new());
    eventually("no container is left", || user.containers().is_empty());
}

#[test]
fn environments_are_listed_explained_and_pruned() {
    let user = User::new();
    let env = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_soopervisor"));
        command.arg("env").args(words).current_dir(user.folder.path()).env("SOOPERVISOR_HOME", user.path("home"));
        command.env("PIP_CONFIG_FILE", "/dev/null").output().unwrap()
    };
    fs::create_dir(user.path("home")).unwrap();
    fs::write(user.path("home/config.yaml"), "environments: {bytecode: false}\n").unwrap();
    let why = env(&["why", "repo"]);
    assert!(text(&why).contains("is not built, and neither is any other"), "{}", text(&why));
    succeeds(user.command("out").spawn().unwrap());
    assert!(!user.path("home/cache/env/bytecode").exists(), "nothing is compiled where that is turned off");
    let document: serde_json::Value = serde_json::from_slice(&env(&["list", "--json"]).stdout).unwrap();
    let one = &document["environments"][0];
    let key = one["key"].as_str().unwrap();
    assert_eq!((&one["projects"], &one["python"]), (&serde_json::json!(["repo"]), &"3.11.7".into()));
    assert_eq!((&one["packages"], &one["in_use"]), (&4.into(), &false.into()));
    assert!(document["total_bytes"].as_u64().unwrap() >= one["bytes"].as_u64().unwrap());
    let table = text(&env(&["list"]));
    assert!(table.contains(&key[..16]) && table.contains("just now"), "{table}");
    assert!(text(&env(&["why", "repo"])).contains("is built: a run reuses it"));
    assert!(text(&env(&["why", &key[..8]])).contains("ploomber"), "its inputs");
    let changed = user.path("repo/environment.yml");
    fs::write(&changed, format!("{ENVIRONMENT}variables: {{A: b}}\n")).unwrap();
    let why = text(&env(&["why", "repo"]));
    assert!(why.contains(&format!("the nearest is {}", &key[..16])) && why.contains("+ A=b"), "{why}");
    assert_eq!(env(&["why", "0123456789"]).status.code(), Some(2));
    assert_eq!(env(&["why", "no folder"]).status.code(), Some(2));

    let dry = text(&env(&["prune", "--all", "--dry-run"]));
    assert!(dry.contains(&format!("would remove {}", &key[..16])), "{dry}");
    assert_eq!(user.keys().len(), 1);
    let nothing = text(&env(&["prune"]));
    assert!(nothing.contains("--all"), "it is new and small: {nothing}");
    let done = text(&env(&["prune", "--all"]));
    assert!(done.contains(&format!("removed {}", &key[..16])) && user.keys().is_empty(), "{done}");
    assert!(text(&env(&["list"])).contains("no environments"));
}

//! Whole runs of the real program on an engine that does not see our files.

use std::path::Path;
use std::process::Command;

use crate::daemon::{daemon, says};
use crate::proxy;

#[path = "../environment/channel.rs"]
mod channel;
#[path = "../end_to_end/support.rs"]
#[expect(dead_code, reason = "written for another program, which uses all of it")]
mod support;

use channel::Package;
pub(crate) use support::{Said, User, eventually, signal};

const PIPELINE: &str = "tasks:\n  - source: tasks.first\n    product: output/first.txt\n  - source: tasks.second\n    product: products/second.txt\n";
const TASKS: &str = "import os\nfrom pathlib import Path\n\ndef first(product):\n    print('writing the first')\n    Path(product).write_text('one\\n')\n    os.remove('unwanted.txt')\n\ndef second(product, upstream):\n    Path('/output/extra.txt').write_text('extra\\n')\n    Path(product).write_text(Path(upstream['first']).read_text() + 'two\\n')\n";

/// The user of such a daemon. The environments of these tests are built on it, once for all of them.
pub(crate) struct Far {
    pub(crate) user: User,
    proxy: &'static str,
}

impl Far {
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        static PROXY: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        let proxy = PROXY.get_or_init(|| proxy::serve(&daemon().gateway));
        Self { user: User::with(files), proxy }
    }

    pub(crate) fn tiny() -> Self {
        Self::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", TASKS), ("unwanted.txt", "x\n")])
    }

    pub(crate) fn command(&self, more: &[&str]) -> Command {
        let mut command = self.user.run_command(more);
        command.env("DOCKER_HOST", &daemon().address).env_remove("DOCKER_CONTEXT").env_remove("DOCKER_TLS_VERIFY");
        // The first daemon's environments must not be found: this cache belongs to these tests.
        command
            .env("XDG_CACHE_HOME", &daemon().cache)
            .env("HTTPS_PROXY", self.proxy)
            .env("NO_PROXY", "127.0.0.1,localhost");
        command
    }

    fn run(&self, more: &[&str]) -> Said {
        Said::from(self.command(more).output().unwrap())
    }

    /// Whether a pipeline of this user runs.
    fn running(&self) -> bool {
        let names = says(&["ps", "--format", "{{.Names}}"]);
        let runs = std::fs::read_dir(self.user.runs()).into_iter().flatten().flatten();
        let ids: Vec<String> = runs.map(|run| run.file_name().to_string_lossy().into_owned()).collect();
        names.lines().any(|name| ids.iter().any(|id| name.contains(&format!("{id}-run-"))))
    }

    /// Containers and volumes of this user's runs.
    fn left_there(&self) -> Vec<String> {
        let runs = std::fs::read_dir(self.user.runs()).into_iter().flatten().flatten();
        let ids: Vec<String> = runs.map(|run| run.file_name().to_string_lossy().into_owned()).collect();
        let all = says(&["ps", "-a", "--format", "{{.Names}}"]) + &says(&["volume", "ls", "-q"]);
        all.lines().filter(|name| ids.iter().any(|id| name.contains(id))).map(str::to_owned).collect()
    }
}

#[test]
fn a_pipeline_runs_where_nothing_of_ours_is_seen_and_the_second_run_starts_at_once() {
    let far = Far::tiny();
    far.run(&["-v", "--project", "tiny"]).exits(0).says("they are copied to and from it").says("writing the first");
    let folder = far.user.published();
    assert_eq!(std::fs::read_to_string(folder.join("products/second.txt")).unwrap(), "one\ntwo\n");
    assert_eq!(std::fs::read_to_string(folder.join("output/extra.txt")).unwrap(), "extra\n");
    assert!(folder.join("output/.first.txt.metadata").is_file());
    let manifest = far.user.manifest();
    let pip = manifest["environment"]["lock"]["pip"].as_array().unwrap();
    assert!(pip.iter().any(|package| package["name"] == "ploomber"), "the lock names ploomber: {manifest}");
    assert_eq!(far.left_there(), Vec::<String>::new());

    far.user.write("tasks.py", &TASKS.replace("one", "uno"));
    far.user.commit("second");
    far.run(&["-v", "--project", "tiny"]).exits(0).says("environment reused").hides("building the environment");
    assert_eq!(far.user.published_folders().len(), 2);
    assert_eq!(far.left_there(), Vec::<String>::new());
}

#[test]
fn tasks_are_taken_over_there_as_well() {
    let pipeline = "tasks:\n  - source: tasks.first\n    product: output/first.txt\n";
    let tasks = "from pathlib import Path\n\ndef first(product):\n    Path(str(product)).write_text('one')\n";
    let far = Far::with(&[("pipeline.yaml", pipeline), ("tasks.py", tasks), ("README.md", "words\n")]);
    far.run(&["--project", "taken"]).exits(0);
    far.user.write("README.md", "other words\n");
    far.user.commit("second");
    far.run(&["--project", "taken"]).exits(0).says("1 of 1 task taken over");
    assert_eq!(far.left_there(), Vec::<String>::new());
}

#[test]
fn a_pipeline_that_fails_leaves_its_files_here_and_nothing_there() {
    let tasks = "def first(product):\n    open('half.txt', 'w').write('half')\n    raise ValueError('no luck')\n";
    let far =
        Far::with(&[("pipeline.yaml", "tasks:\n  - source: tasks.first\n    product: out.txt\n"), ("tasks.py", tasks)]);
    far.run(&[]).exits(4).says("no luck");
    assert_eq!(far.left_there(), Vec::<String>::new());
    let run = std::fs::read_dir(far.user.runs()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(run.join("work/half.txt")).unwrap(), "half");
    // With a mended source, the command on the card repeats it there.
    std::fs::write(run.join("work/tasks.py"), "def first(product):\n    open(product, 'w').write('again')\n").unwrap();
    let mut again = Command::new("bash");
    again.arg(run.join("reproduce.sh")).env("DOCKER_HOST", &daemon().address);
    let again = Said::from(again.output().unwrap());
    again.exits(0).says("first");
}

#[test]
fn ctrl_c_and_kill_nine_leave_nothing_there() {
    let tasks = "import time\n\ndef first(product):\n    print('asleep', flush=True)\n    time.sleep(600)\n";
    let far =
        Far::with(&[("pipeline.yaml", "tasks:\n  - source: tasks.first\n    product: out.txt\n"), ("tasks.py", tasks)]);
    // Started, not only created: before that there is nothing that could end by itself.
    let running = || far.running();
    let mut child = far.command(&[]).spawn().unwrap();
    eventually(300, "the pipeline runs", running);
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(far.left_there(), Vec::<String>::new());

    let mut child = far.command(&[]).spawn().unwrap();
    eventually(120, "the pipeline runs again", running);
    child.kill().unwrap();
    child.wait().unwrap();
    eventually(30, "the container ends with us", || !running());
    // Its volumes wait for the next run on this machine; that may be one of another test.
    far.user.write("tasks.py", "def first(product):\n    open(product, 'w').write('x')\n");
    far.user.commit("awake");
    far.run(&["-v"]).exits(0);
    assert_eq!(far.left_there(), Vec::<String>::new());
}

/// Packages that are shell scripts, so that only volumes take time.
pub(crate) fn quick_channel(folder: &Path) -> String {
    let python =
        [("bin/python", "#!/bin/sh\n"), ("lib/python3.11/os.py", ""), ("etc/conda/activate.d/a.sh", "export ON=1\n")];
    let ploomber = "#!/bin/sh\n[ \"$ON\" = 1 ] || exit 8\ncat \"$SOOPERVISOR_CONSTRAINTS\" >/dev/null || exit 9\n\
                    mkdir -p output products && echo one >output/first.txt && echo two >products/second.txt\n";
    let package = |name, version, depends, files| Package { name, version, depends, files };
    channel::write(
        folder,
        &[
            package("python", "3.11.7", &[], &python),
            package("pip", "24.0", &["python"], &[("bin/pip", "#!/bin/sh\n")]),
            package("ploomber", "0.23.3", &["python"], &[("bin/ploomber", ploomber)]),
            package(
                "slow",
                "1",
                &["python"],
                &[("bin/.slow-post-link.sh", "echo linked >\"$PREFIX/slow\"\nsleep 5\n")],
            ),
        ],
    );
    format!("conda-forge={}", folder.display())
}

#[test]
fn an_environment_whose_volume_was_removed_is_built_anew_and_one_that_nobody_used_for_a_month_goes() {
    let far = Far::tiny();
    let folder = tempfile::tempdir().unwrap();
    let mirrors = quick_channel(&folder.path().join("channel"));
    std::fs::write(folder.path().join("uv"), "never run").unwrap();
    let run = |variables: &str| {
        let environment = "channels: [conda-forge]\ndependencies: [python=3.11, pip, ploomber]\nvariables: ";
        far.user.write("environment.yml", &format!("{environment}{variables}\n"));
        far.user.commit("environment");
        let mut command = far.command(&["-v", "--on-conflict", "new-run"]);
        // A store of its own: what it holds is what this test made.
        command.env("SOOPERVISOR_HOME", folder.path().join("home")).env("SOOPERVISOR_CONDA_MIRRORS", &mirrors);
        command.env("SOOPERVISOR_UV", folder.path().join("uv"));
        Said::from(command.output().unwrap())
    };
    run("{A: b}").exits(0).says("building the environment");
    run("{A: b}").exits(0).says("environment reused");
    let store = folder.path().join("home/cache/env");
    let prefixes =
        std::fs::read_dir(store.join("e")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let id = prefixes.into_iter().find(|name| !name.ends_with("activate.sh")).unwrap();
    let volume = format!("soopervisor-env-{id}");
    says(&["volume", "rm", &volume]);
    run("{A: b}").exits(0).says("building the environment");

    let key = std::fs::read_dir(store.join("keys")).unwrap().next().unwrap().unwrap().path();
    let entry: serde_json::Value = serde_json::from_slice(&std::fs::read(&key).unwrap()).unwrap();
    let old = entry["volume"].as_str().unwrap().to_owned();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(31 * 24);
    std::fs::File::options().append(true).open(&key).unwrap().set_modified(long_ago).unwrap();
    run("{C: d}").exits(0).says("unused for 31 days").says("removed 1 volumes");
    let there = says(&["volume", "ls", "-q"]);
    assert!(!there.contains(&old), "{there}");
}

#[test]
fn what_is_pruned_is_free_there_as_well_and_volumes_are_counted() {
    let far = Far::tiny();
    let folder = tempfile::tempdir().unwrap();
    let mirrors = quick_channel(&folder.path().join("channel"));
    std::fs::write(folder.path().join("uv"), "never run").unwrap();
    far.user.write("environment.yml", "channels: [conda-forge]\ndependencies: [python=3.11, pip, ploomber]\n");
    far.user.commit("environment");
    let with_home = |mut command: Command| {
        command.env("SOOPERVISOR_HOME", folder.path().join("home"));
        Said::from(command.output().unwrap())
    };
    let mut run = far.command(&["-v"]);
    run.env("SOOPERVISOR_CONDA_MIRRORS", &mirrors).env("SOOPERVISOR_UV", folder.path().join("uv"));
    with_home(run).exits(0).says("building the environment");
    let prefixes = std::fs::read_dir(folder.path().join("home/cache/env/e")).unwrap();
    let mut names = prefixes.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let volume = format!("soopervisor-env-{}", names.find(|name| !name.ends_with("activate.sh")).unwrap());
    assert!(says(&["volume", "ls", "-q"]).contains(&volume));

    let env = |words: &[&str]| {
        let mut command = far.user.program(words);
        command.env("DOCKER_HOST", &daemon().address).env_remove("DOCKER_CONTEXT").env_remove("DOCKER_TLS_VERIFY");
        with_home(command).exits(0)
    };
    let listed: serde_json::Value = serde_json::from_str(&env(&["env", "list", "--json"]).text).unwrap();
    let one = &listed["environments"][0];
    assert!(one["in_volume"] == true && listed["volume_bytes"].as_u64().unwrap() > 0, "{listed}");
    assert!(one["bytes"].as_u64().unwrap() >= listed["volume_bytes"].as_u64().unwrap(), "{listed}");
    env(&["env", "list"]).says("of it in volumes of engines");
    env(&["env", "prune", "--all", "--dry-run"]).hides("in the engine");
    assert!(says(&["volume", "ls", "-q"]).contains(&volume));
    env(&["env", "prune", "--all"]).says("removed 1 volume in the engine");
    assert!(!says(&["volume", "ls", "-q"]).contains(&volume));
}

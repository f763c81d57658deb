//! Only what changed runs: tasks are taken over from the nearest published ancestor, and the result is the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::{Said, User};

#[path = "../environment/channel.rs"]
mod channel;

/// Four functions in a diamond, and a script that reads none of them.
const PIPELINE: &str = "tasks:
  - source: tasks.load
    product: output/load.txt
  - source: tasks.left
    product: output/left.txt
  - source: tasks.right
    product: output/right.txt
  - source: tasks.both
    product: {text: output/both.txt, more: output/more.txt}
";
const TASKS: &str = "from pathlib import Path

def read(path):
    return Path(path).read_text()

def load(product):
    Path(str(product)).write_text('load 1\\n')

def left(product, upstream):
    Path(str(product)).write_text(read(upstream['load']) + 'left 1\\n')

def right(product, upstream):
    Path(str(product)).write_text(read(upstream['load']) + 'right 1\\n')

def both(product, upstream):
    text = read(upstream['left']) + read(upstream['right']) + 'both 1\\n'
    Path(str(product['text'])).write_text(text)
    Path(str(product['more'])).write_text(text.upper())
";

fn user() -> User {
    User::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", TASKS), ("README.md", "words\n")])
}

fn folder(user: &User, sha: &str) -> PathBuf {
    user.published_folders().into_iter().find(|folder| folder.ends_with(sha)).expect("it is published")
}

fn manifest(user: &User, sha: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder(user, sha).join("manifest.json")).unwrap()).unwrap()
}

/// Outcome, reason and commit of each task.
fn tasks(user: &User, sha: &str) -> BTreeMap<String, (String, String, Option<String>)> {
    let manifest = manifest(user, sha);
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let task = |task: &serde_json::Value| {
        (text(&task["name"]), (text(&task["outcome"]), text(&task["reason"]), task["from"].as_str().map(str::to_owned)))
    };
    manifest["tasks"].as_array().unwrap().iter().map(task).collect()
}

fn reused(user: &User, sha: &str) -> Vec<String> {
    tasks(user, sha).into_iter().filter(|(_, task)| task.0 == "reused").map(|(name, _)| name).collect()
}

fn products(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let output = std::fs::read_dir(folder.join("output")).unwrap();
    let files = output.map(|entry| entry.unwrap().path());
    let named =
        |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap());
    files.map(named).filter(|(name, _)| !name.starts_with('.')).collect()
}

#[test]
fn a_new_commit_executes_what_changed_and_publishes_all() {
    let user = user();
    let first = user.git(&["rev-parse", "HEAD"]);
    user.run(&[]).exits(0).hides("taken over");
    user.write("README.md", "other words\n");
    let second = user.commit("words");
    user.run(&[]).exits(0).says("4 of 4 tasks taken over").says(&first[..10]);
    assert_eq!(reused(&user, &second), ["both", "left", "load", "right"]);
    assert_eq!(products(&folder(&user, &second)), products(&folder(&user, &first)));
    user.write("tasks.py", &TASKS.replace("left 1", "left 2"));
    let third = user.commit("left");
    let said = user.run(&[]).exits(0).says("2 of 4 tasks taken over").says("`left` in `tasks.py` changed");
    said.says("`left`, which it needs, is executed").says("nothing that matters to it changed since");
    let told = tasks(&user, &third);
    assert_eq!(told["load"].2.as_deref(), Some(second.as_str()), "{told:?}");
    assert_eq!(told["left"], ("executed".to_owned(), "`left` in `tasks.py` changed".to_owned(), None));
    let both = std::fs::read_to_string(folder(&user, &third).join("output/both.txt")).unwrap();
    assert_eq!(both, "load 1\nleft 2\nload 1\nright 1\nboth 1\n");
    user.say(&["verify", &third, "--storage", "local:artifacts", "--project", "my-repo"]).exits(0);
    assert_eq!(user.containers(), [""; 0]);
}

#[test]
fn copies_of_two_commits_are_two_files() {
    use std::os::unix::fs::MetadataExt;
    let user = user();
    let first = user.git(&["rev-parse", "HEAD"]);
    user.run(&[]).exits(0);
    let second = user.commit("nothing changed");
    user.run(&[]).exits(0).says("4 of 4 tasks taken over");
    let of = |sha: &str| folder(&user, sha).join("output/load.txt");
    let (one, two) = (std::fs::metadata(of(&first)).unwrap(), std::fs::metadata(of(&second)).unwrap());
    assert_ne!(one.ino(), two.ino());
    assert_eq!((one.modified().unwrap(), one.mode()), (two.modified().unwrap(), two.mode()));
    std::fs::write(of(&second), "edited").unwrap();
    assert_eq!(std::fs::read_to_string(of(&first)).unwrap(), "load 1\n");
}

#[test]
fn damage_variables_and_wishes_execute_and_say_so() {
    let user = user();
    let first = user.git(&["rev-parse", "HEAD"]);
    user.run(&[]).exits(0);
    user.write("README.md", "more\n");
    let second = user.commit("words");
    user.run(&["--env", "LEVEL=2", "--on-conflict", "keep"]).exits(0).says("differs in its variables");
    assert_eq!(reused(&user, &second), [""; 0]);
    user.write("README.md", "and more\n");
    let third = user.commit("words");
    user.run(&["--no-reuse"]).exits(0).hides("taken over");
    assert_eq!(reused(&user, &third), [""; 0]);
    std::fs::write(folder(&user, &third).join("output/left.txt"), "damaged").unwrap();
    user.write("README.md", "and more again\n");
    let fourth = user.commit("words");
    user.run(&[]).exits(0).says("2 of 4 tasks taken over").says("`output/left.txt` is damaged there");
    assert_eq!(reused(&user, &fourth), ["load", "right"]);
    assert_eq!(products(&folder(&user, &fourth)), products(&folder(&user, &first)));
    user.write("README.md", "uncommitted\n");
    user.run(&["--allow-dirty"]).exits(0).says("there are uncommitted changes");
    user.git(&["checkout", "-q", "."]);
    user.run(&["--on-conflict", "keep", "--", "--force"]).exits(0).says("`--force` is given to Ploomber");
}

#[test]
fn a_file_that_no_task_declares_keeps_parts_from_being_taken() {
    let left = TASKS.replace("'load 1\\n')", "'load 1\\n')\n    Path('hidden.txt').write_text('x')");
    let user = User::with(&[("pipeline.yaml", PIPELINE), ("tasks.py", &left)]);
    user.run(&[]).exits(0);
    user.write("tasks.py", &left.replace("left 1", "left 2"));
    let second = user.commit("left");
    user.run(&[]).exits(0).says("every task is executed").says("`hidden.txt` was left or changed there");
    assert_eq!(reused(&user, &second), [""; 0]);
    // Where nothing is executed, nobody misses it.
    let third = user.commit("nothing");
    user.run(&[]).exits(0);
    assert_eq!(reused(&user, &third).len(), 4);
}

/// What random edits change, and how the repository looks after them.
#[derive(Debug, Clone, Default)]
struct Edited {
    /// A number in the code of each task.
    code: BTreeMap<&'static str, u64>,
    /// In env.yaml, handed to one task; in a module that one task imports; in a text that none reads.
    level: u64,
    helper: u64,
    words: u64,
    /// A comment in the specs, and a task more.
    comment: u64,
    more: bool,
}

const FUNCTIONS: [&str; 5] = ["load", "left", "right", "both", "scaled"];

impl Edited {
    /// One edit; what it was, for the failure.
    fn edit(&mut self, dice: u64) -> String {
        let at = usize::try_from(dice >> 40).unwrap();
        match (dice >> 33) % 9 {
            0 => self.words += 1,
            1 => self.comment += 1,
            2 => self.level += 1,
            3 => self.helper += 1,
            4 => self.more = !self.more,
            5 => *self.code.entry("shell").or_default() += 1,
            _ => *self.code.entry(FUNCTIONS[at % FUNCTIONS.len()]).or_default() += 1,
        }
        format!("{self:?}")
    }

    fn write(&self, user: &User) {
        let mut code =
            TASKS.replace("def read", "import helpers\n\ndef read").replace("'left 1", "helpers.WORD + 'left 1");
        code += "\ndef scaled(product, upstream, level):\n    \
                 Path(str(product)).write_text(read(upstream['right']) * level + 'scaled 1\\n')\n";
        code += "\ndef twice(product, upstream):\n    Path(str(product)).write_text(read(upstream['scaled']))\n";
        for name in FUNCTIONS {
            code = code.replace(&format!("{name} 1"), &format!("{name} {}", self.number(name)));
        }
        let task = |name: &str| format!("  - source: tasks.{name}\n    product: output/{name}.txt\n");
        let mut pipeline = format!("# {}\n{PIPELINE}", self.comment) + &task("scaled");
        pipeline += "    params: {level: '{{level}}'}\n  - source: shell.sh\n    product: output/shell.txt\n";
        if self.more {
            pipeline += &task("twice");
        }
        let shell = format!(
            "cat {{{{upstream['left']}}}} > {{{{product}}}}\necho {} >> {{{{product}}}}\n",
            self.number("shell")
        );
        for (path, text) in [
            ("tasks.py", code),
            ("pipeline.yaml", pipeline),
            ("shell.sh", shell),
            ("env.yaml", format!("level: {}\n", self.level + 1)),
            ("helpers.py", format!("WORD = 'word {}, '\n", self.helper)),
            ("README.md", format!("{}\n", self.words)),
        ] {
            user.write(path, &text);
        }
    }

    fn number(&self, name: &str) -> u64 {
        self.code.get(name).copied().unwrap_or_default()
    }
}

/// A number that was set for the test, which a failure names.
fn set(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

/// Random edits, others each time; each commit is run with and without taking tasks over, and must come to the same.
#[test]
fn a_full_run_and_one_that_takes_tasks_over_come_to_the_same() {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let seed = set("SOOPERVISOR_TEST_SEED", u64::from(now.subsec_nanos()));
    let (user, mut edited, mut dice, mut taken) = (user(), Edited::default(), seed, 0);
    edited.write(&user);
    user.commit("random edits begin");
    user.run(&[]).exits(0);
    for round in 0..set("SOOPERVISOR_TEST_ROUNDS", 6) {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let what = edited.edit(dice);
        edited.write(&user);
        let sha = user.commit("round");
        user.run(&[]).exits(0);
        taken += reused(&user, &sha).len();
        let full = user.run(&["--no-reuse"]);
        let same = full.code == 0 && full.text.contains("identical content was there");
        assert!(same, "SOOPERVISOR_TEST_SEED={seed}, round {round}, {what}: {}", full.text);
    }
    assert!(taken > 0, "SOOPERVISOR_TEST_SEED={seed}: nothing was ever taken over");
}

/// A channel with these versions of one package.
fn publish(folder: &Path, versions: &[&str]) {
    let files = [("share/extra", "x")];
    let packages: Vec<_> = versions
        .iter()
        .map(|version| channel::Package { name: "extra", version, depends: &[], files: &files })
        .collect();
    channel::write(folder, &packages);
}

/// Containers that compile the environments below a cache.
fn compilers(cache: &Path) -> Vec<String> {
    let ids = std::fs::read_dir(cache.join("soopervisor/env/e")).into_iter().flatten().flatten();
    let ids = ids.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let found = ids.filter(|id| !id.contains(".activate")).map(|id| {
        let filter = format!("label=soopervisor.environment={id}");
        docker(&["ps", "-aq", "--filter", &filter])
    });
    found.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn docker(arguments: &[&str]) -> String {
    let output = std::process::Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_fresh_machine_with_the_storage_only_executes_what_changed_whatever_the_channels_have_by_now() {
    let environment = "channels: [conda-forge, bioconda]\ndependencies:\n  - python=3.11\n  - pip\n  - extra\n  \
                       - pip: [ploomber, jsonschema<4.25]\n";
    let user = User::with(&[("environment.yml", environment), ("pipeline.yaml", PIPELINE), ("tasks.py", TASKS)]);
    let folder = tempfile::tempdir().unwrap();
    let channel = folder.path().join("channel");
    let machine = |name: &str, more: &[&str]| {
        let mut command = user.run_command(&[&["-v"], more].concat());
        command.env("XDG_CACHE_HOME", folder.path().join(name).join("cache"));
        command.env("XDG_STATE_HOME", folder.path().join(name).join("state"));
        command.env("SOOPERVISOR_CONDA_MIRRORS", format!("bioconda={}", channel.display()));
        command
    };
    publish(&channel, &["1"]);
    Said::from(machine("first", &[]).output().unwrap()).exits(0).says("building the environment");
    // Bytecode for an environment that nobody uses again.
    for compiler in compilers(&folder.path().join("first/cache")) {
        docker(&["rm", "-f", &compiler]);
    }

    publish(&channel, &["1", "2"]);
    user.write("tasks.py", &TASKS.replace("left 1", "left 2"));
    let second = user.commit("left");
    let said = Said::from(machine("second", &[]).output().unwrap()).exits(0);
    said.says("nothing is solved").says("2 of 4 tasks taken over").hides("resolves differently");
    assert_eq!(reused(&user, &second), ["load", "right"]);
    let lock = &manifest(&user, &second)["environment"]["lock"];
    let extra = lock["conda"].as_array().unwrap().iter().find(|row| row["name"] == "extra").unwrap();
    assert_eq!(extra["version"], "1");

    // Also where no task is taken over; and who solves anew is told what became of it.
    let said = Said::from(machine("third", &["--no-reuse", "--env", "X=1"]).output().unwrap()).exits(0);
    said.says("nothing is solved").hides("taken over").hides("resolves differently");
    let said = Said::from(machine("fourth", &["--no-reuse", "--refresh"]).output().unwrap()).exits(0);
    said.says("resolves differently").says("extra 1 → 2").hides("no package is known");
}

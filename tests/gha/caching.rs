//! The workflow's cache between two runners: packed and unpacked as `actions/cache` does it.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use soopervisor::gha::{Carried, Context, Trust};

use crate::payloads::{comment_on_pull, pull, push_to_branch, sample};
use crate::runner::{Done, Job};
use crate::scene::{ENVIRONMENT, FORK, REPO, Scene};

/// What the documented workflow saves, and under which key.
fn documented() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/workflows/soopervisor.yml");
    let workflow: Value = serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let steps = workflow["jobs"]["sample"]["steps"].as_array().unwrap();
    steps.iter().find(|step| step["uses"].as_str().unwrap().starts_with("actions/cache@")).unwrap()["with"].clone()
}

/// Runners that GitHub makes for one job each, and the service between them that keeps one archive.
struct Runners {
    home: tempfile::TempDir,
    archive: tempfile::TempDir,
}

impl Runners {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), archive: tempfile::tempdir().unwrap() }
    }

    /// The folder that the workflow names, on the runner of now.
    fn folder(&self) -> PathBuf {
        let named = documented()["path"].as_str().unwrap().to_owned();
        self.home.path().join(named.strip_prefix("~/").unwrap())
    }

    fn archived(&self) -> PathBuf {
        self.archive.path().join("cache.tar")
    }

    fn tar(&self, args: &[&str]) -> bool {
        Command::new("tar").args(args).current_dir(self.home.path()).status().unwrap().success()
    }

    /// A machine that ends with its job ends whatever runs on it; this one goes on.
    fn end_compilers(&self) {
        let docker = |args: &[&str]| {
            let done = Command::new("docker").args(args).output().unwrap();
            String::from_utf8(done.stdout).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        for prefix in std::fs::read_dir(self.folder().join("e")).unwrap() {
            let label = format!("label=soopervisor.environment={}", prefix.unwrap().file_name().to_str().unwrap());
            for container in docker(&["ps", "-aq", "--filter", &label]) {
                docker(&["rm", "-f", &container]);
            }
        }
    }

    /// As the step does it when the job has succeeded.
    fn save(&self) {
        let (archive, folder) = (self.archived(), self.folder());
        let (archive, folder) = (archive.to_str().unwrap(), folder.to_str().unwrap());
        // tar fails where a file changes while it is read: a compiler that is still at work must not be in there.
        assert!(self.tar(&["--posix", "-cf", archive, "-P", folder]), "nothing is written to it any more");
    }

    /// A new machine, and what is left of the archive on it.
    fn next(&self, brought: impl FnOnce(&Self)) {
        self.end_compilers();
        std::fs::remove_dir_all(self.folder()).unwrap();
        let _ = std::fs::remove_dir_all(self.folder().with_file_name("env-unfinished"));
        brought(self);
    }

    fn restore(&self) {
        assert!(self.tar(&["-xf", self.archived().to_str().unwrap(), "-P"]));
    }

    /// A download that breaks off: tar complains, the step goes on, and what was unpacked stays.
    fn restore_half(&self) {
        let archive = std::fs::File::options().write(true).open(self.archived()).unwrap();
        let mut length = archive.metadata().unwrap().len() / 2;
        archive.set_len(length).unwrap();
        // Where it breaks off between two files, tar takes what is there for all of it.
        while self.tar(&["-xf", self.archived().to_str().unwrap(), "-P"]) {
            length -= 512;
            archive.set_len(length).unwrap();
        }
        assert!(self.folder().exists());
    }

    /// Of each package that came from a channel, the file that describes it, and when and where it was written.
    fn packages(&self) -> BTreeMap<String, (u64, i64)> {
        let folders = std::fs::read_dir(self.folder().join("pkgs")).unwrap().map(|entry| entry.unwrap().path());
        let about = |folder: PathBuf| {
            let about = std::fs::metadata(folder.join("info/index.json")).ok()?;
            Some((folder.file_name()?.to_str()?.to_owned(), (about.ino(), about.ctime())))
        };
        folders.filter_map(about).collect()
    }

    async fn run(&self, scene: &Scene) -> Done {
        let event = push_to_branch(REPO, "main", &"0".repeat(40), &scene.base);
        let job: Job = scene.job().event("push", &event).env("RUNNER_ENVIRONMENT", "github-hosted");
        let cache = self.home.path().join(".cache");
        job.env("XDG_CACHE_HOME", cache.to_str().unwrap()).run().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_cache_builds_nothing_on_the_next_runner_and_a_broken_one_is_repaired() {
    let small = ENVIRONMENT.replace("      - sqlalchemy\n      - pandas\n", "");
    let scene = Scene::with_environment(&small).await;
    let runners = Runners::new();
    let built = |done: &Done| {
        assert_eq!(done.code, 0, "{}", done.log.text());
        let folder = Path::new(&done.outputs["artifact-url"]);
        assert_eq!(std::fs::read_to_string(folder.join("output/second.txt")).unwrap(), "sample=True\ntwo\n");
        let text = done.log.text();
        assert_ne!(text.contains("environment built"), text.contains("environment reused"), "{text}");
        text.contains("environment built")
    };
    let warned = |done: &Done| done.log.annotations.iter().any(|(_, _, text)| text.contains("were not whole"));
    let miss = runners.run(&scene).await;
    assert!(built(&miss) && !warned(&miss));
    runners.save();
    runners.next(Runners::restore);
    let hit = runners.run(&scene).await;
    assert!(!built(&hit) && !warned(&hit), "{}", hit.log.text());
    // What a hit leaves can be saved under another key.
    runners.save();
    runners.next(Runners::restore_half);
    let broken = runners.run(&scene).await;
    assert!(built(&broken) && warned(&broken), "{}", broken.log.text());
    runners.save();
    runners.next(Runners::restore);
    let repaired = runners.run(&scene).await;
    assert!(!built(&repaired) && !warned(&repaired), "{}", repaired.log.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_cache_is_built_upon_and_what_did_not_change_is_fetched_from_nowhere() {
    // Of its own: compilers of the same environment are ended with the other tests' runners.
    let small = ENVIRONMENT.replace("      - pandas\n", "");
    let mut scene = Scene::with_environment(&small).await;
    let runners = Runners::new();
    let first = runners.run(&scene).await;
    assert!(first.code == 0 && first.log.text().contains("environment built"), "{}", first.log.text());
    runners.save();
    // The key is another one now: the step finds the newest cache whose key begins alike.
    scene.main_goes_on(&[("environment.yml", &small.replace("  - pip\n", "  - pip\n  - tzdata\n"))]);
    runners.next(Runners::restore);
    let brought = runners.packages();
    let second = runners.run(&scene).await;
    let (text, said) = (second.log.text(), &second.log.annotations);
    assert!(second.code == 0 && text.contains("environment built"), "{text}");
    assert!(!said.iter().any(|(_, _, words)| words.contains("were not whole")), "{said:?}");
    let now = runners.packages();
    assert!(brought.len() > 1 && now.keys().any(|name| name.starts_with("tzdata-")), "{brought:?} {now:?}");
    for (name, written) in &brought {
        assert_eq!(now.get(name), Some(written), "{name} was fetched again");
    }
}

#[test]
fn the_workflows_name_the_folder_that_the_program_uses_and_keys_that_fit_each_other() {
    let cache = documented();
    assert_eq!(cache["path"], "~/.cache/soopervisor/env");
    let key = cache["key"].as_str().unwrap();
    // Another machine, another environment, or another version of the action: another key.
    for part in ["runner.os", "runner.arch", ".github/workflows/soopervisor"] {
        assert!(key.contains(part), "{part} is not in {key}");
    }
    let (_, globs) = key.split_once("hashFiles(").unwrap();
    let globs: Vec<&str> = globs.split('\'').skip(1).step_by(2).collect();
    let hashed = |path: &str| globs.iter().any(|glob| fits(glob, path));
    for path in [
        "environment.yml",
        "ml/environment.yaml",
        "environment-gpu.yml",
        "requirements.txt",
        "ml/dev-requirements.txt",
        "requirements-dev.txt",
        "soopervisor.yaml",
        "ml/soopervisor.yaml",
        ".github/workflows/soopervisor-comment.yml",
    ] {
        assert!(hashed(path), "{path} is not in {key}");
    }
    for path in ["pipeline.yaml", "tasks.py", "environment.py", "notes.txt", ".github/workflows/ci.yml"] {
        assert!(!hashed(path), "{path} is in {key}: every change of it would build anew");
    }
    let begins = cache["restore-keys"].as_str().unwrap();
    assert!(key.starts_with(begins) && begins.ends_with('-'), "{begins}");
    let comment = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/workflows/soopervisor-comment.yml"),
    );
    let comment = comment.unwrap();
    assert!(comment.contains(key) && comment.contains(begins), "the other workflow finds what this one saves");
}

/// Whether a pattern of `hashFiles` is one of this file, as far as the workflows use them.
fn fits(glob: &str, path: &str) -> bool {
    let (glob, path) = match glob.strip_prefix("**/") {
        Some(glob) => (glob, path.rsplit('/').next().unwrap()),
        None => (glob, path),
    };
    let parts: Vec<&str> = glob.split('*').collect();
    let [first, between @ .., last] = &parts[..] else { return glob == path };
    let Some(mut rest) = path.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
    between.iter().all(|part| {
        let found = rest.split_once(part);
        rest = found.map_or("", |(_, after)| after);
        found.is_some()
    })
}

/// Every documented workflow, by the event that starts it.
fn workflows() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/workflows");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), serde_yaml::from_str(&text).unwrap())
        })
        .collect()
}

/// What a part of a job's condition comes to: a text in quotes, or a path into the event.
fn value(part: &str, event: &str, payload: &Value) -> Value {
    let part = part.trim();
    match part.strip_prefix('\'').and_then(|part| part.strip_suffix('\'')) {
        Some(text) => text.into(),
        None if part == "github.event_name" => event.into(),
        None if part == "github.repository" => payload["repository"]["full_name"].clone(),
        None => {
            let path = part.strip_prefix("github.event.").unwrap_or_else(|| panic!("{part}"));
            payload.pointer(&format!("/{}", path.replace('.', "/"))).cloned().unwrap_or_default()
        }
    }
}

/// GitHub's expressions, as far as the workflows use them.
fn holds(condition: &str, event: &str, payload: &Value) -> bool {
    let one = |text: &str| {
        let of = |part| value(part, event, payload);
        if let Some((left, right)) = text.split_once("==") {
            return of(left) == of(right);
        }
        if let Some((left, right)) = text.split_once("!=") {
            return of(left) != of(right);
        }
        if let Some(words) = text.trim().strip_prefix("startsWith(").and_then(|rest| rest.strip_suffix(')')) {
            let (whole, start) = words.split_once(',').unwrap();
            return of(whole).as_str().unwrap_or_default().starts_with(of(start).as_str().unwrap());
        }
        !of(text).is_null()
    };
    condition.split("||").any(|all| all.split("&&").all(one))
}

#[test]
fn no_workflow_saves_what_a_forks_run_or_a_comments_leaves() {
    let (zero, some) = ("0".repeat(40), "a".repeat(40));
    let comment = |on: &str| comment_on_pull(REPO, 7, on, "/soopervisor run", "2026-11-02T12:00:00Z");
    // What happens, the workflow that answers, whether it may save.
    let cases = [
        ("push", push_to_branch(REPO, "main", &zero, &some), "soopervisor.yml", true),
        ("workflow_dispatch", sample("workflow_dispatch"), "soopervisor.yml", true),
        ("pull_request", pull(REPO, REPO, 7, "opened", &some, &zero), "soopervisor.yml", true),
        ("pull_request", pull(REPO, REPO, 7, "synchronize", &some, &zero), "soopervisor.yml", true),
        ("pull_request", pull(REPO, FORK, 7, "opened", &some, &zero), "soopervisor-forks.yml", false),
        ("pull_request", pull(REPO, FORK, 7, "synchronize", &some, &zero), "soopervisor-forks.yml", false),
        ("issue_comment", comment("ann"), "soopervisor-comment.yml", false),
        ("issue_comment", comment("eve"), "soopervisor-comment.yml", false),
    ];
    for (event, payload, answers, may_save) in cases {
        let mut answered = Vec::new();
        for (name, workflow) in workflows() {
            let starts = workflow["on"].as_object().unwrap().contains_key(event);
            for (_, job) in workflow["jobs"].as_object().unwrap().iter().filter(|_| starts) {
                if !holds(job["if"].as_str().unwrap(), event, &payload) {
                    continue;
                }
                let steps = job["steps"].as_array().unwrap();
                let uses = |what: &str| steps.iter().any(|step| step["uses"].as_str().unwrap().starts_with(what));
                assert_eq!(uses("actions/cache@") || uses("actions/cache/save@"), may_save, "{name} for {event}");
                // Elsewhere nobody's cache can be filled by what looks like another step.
                assert!(steps.iter().all(|step| step.get("run").is_none()), "{name}");
                answered.push(name.clone());
            }
        }
        assert_eq!(answered, [answers], "for {event}");
    }
}

#[test]
fn of_all_that_is_run_only_code_of_the_repository_leaves_an_environment_to_others() {
    let runner = |kind: &'static str| {
        let temp = tempfile::tempdir().unwrap();
        let set = temp.path().to_str().unwrap().to_owned();
        let variable = move |name: &str| {
            Some(match name {
                "GITHUB_REPOSITORY" => REPO.to_owned(),
                "GITHUB_SHA" => "a".repeat(40),
                "GITHUB_EVENT_NAME" => "push".to_owned(),
                "RUNNER_ENVIRONMENT" => kind.to_owned(),
                "GITHUB_EVENT_PATH" | "GITHUB_WORKSPACE" | "RUNNER_TEMP" => set.clone(),
                _ => return None,
            })
        };
        (Context::read(&variable).unwrap(), temp)
    };
    for (trust, uses, leaves) in [(Trust::Own, true, true), (Trust::Vouched, true, false), (Trust::Fork, false, false)]
    {
        let (context, place) = runner("github-hosted");
        let root = place.path().join("env");
        for folder in ["keys", "e/one"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::write(root.join("e/one/a.py"), "print(1)").unwrap();
        soopervisor::environment::seal(&root, std::time::Duration::ZERO).unwrap();
        let carried = Carried::of(&context, root.clone(), trust);
        assert_eq!(carried.is_some(), uses, "{trust:?}");
        if let Some(carried) = carried {
            assert_eq!(carried.arrive().unwrap(), None, "it is whole");
            std::fs::write(root.join("e/one/b.py"), "print(2)").unwrap();
            carried.send().unwrap();
            assert_eq!(root.join("seal.json").exists(), leaves, "{trust:?}");
            let elsewhere = soopervisor::environment::arrive(&root).unwrap();
            assert_eq!(elsewhere != soopervisor::environment::Arrival::Removed, leaves, "{trust:?}: {elsewhere:?}");
        }
        let (mut stays, place) = runner("self-hosted");
        assert!(Carried::of(&stays, place.path().to_owned(), trust).is_none(), "others may use it meanwhile");
        // One of one's own that ends with its job, as the workflow says.
        stays.hosted = true;
        assert_eq!(Carried::of(&stays, place.path().to_owned(), trust).is_some(), uses, "{trust:?}");
    }
}

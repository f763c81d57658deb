//! The workflow's cache between two runners: packed and unpacked as `actions/cache` does it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::payloads::push_to_branch;
use crate::runner::{Done, Job};
use crate::scene::{ENVIRONMENT, REPO, Scene};

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

    /// On a busy machine a compiler may work for longer than the job waits for it.
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
        self.end_compilers();
        let (archive, folder) = (self.archived(), self.folder());
        let (archive, folder) = (archive.to_str().unwrap(), folder.to_str().unwrap());
        assert!(self.tar(&["--posix", "-cf", archive, "-P", folder]), "nothing is written to it any more");
    }

    /// A new machine, and what is left of the archive on it.
    fn next(&self, brought: impl FnOnce(&Self)) {
        self.end_compilers();
        std::fs::remove_dir_all(self.folder()).unwrap();
        brought(self);
    }

    fn restore(&self) {
        assert!(self.tar(&["-xf", self.archived().to_str().unwrap(), "-P"]));
    }

    /// A download that breaks off: tar complains, the step goes on, and what was unpacked stays.
    fn restore_half(&self) {
        let length = std::fs::metadata(self.archived()).unwrap().len();
        std::fs::File::options().write(true).open(self.archived()).unwrap().set_len(length / 2).unwrap();
        assert!(!self.tar(&["-xf", self.archived().to_str().unwrap(), "-P"]));
        assert!(self.folder().exists());
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

#[test]
fn the_workflows_name_the_folder_that_the_program_uses_and_keys_that_fit_each_other() {
    let cache = documented();
    assert_eq!(cache["path"], "~/.cache/soopervisor/env");
    let key = cache["key"].as_str().unwrap();
    // Another machine, another environment, or another version of the action: another key.
    for part in
        ["runner.os", "runner.arch", "**/environment.yml", "**/requirements*.txt", ".github/workflows/soopervisor"]
    {
        assert!(key.contains(part), "{part} is not in {key}");
    }
    let begins = cache["restore-keys"].as_str().unwrap();
    assert!(key.starts_with(begins) && begins.ends_with('-'), "{begins}");
    let comment = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/workflows/soopervisor-comment.yml"),
    );
    let comment = comment.unwrap();
    assert!(comment.contains(key) && comment.contains(begins), "the other workflow finds what this one saves");
}

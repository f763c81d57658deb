//! What is promised of the store of environments holds over volumes, too: one build for two, no half environment whatever
//! is killed, and nothing left of a build that died.

use std::process::Command;
use std::time::Duration;

use crate::daemon::{daemon, says};
use crate::runs::{Far, Said, eventually, quick_channel};

/// A user with a store of their own, whose environment comes out of a channel of shell scripts.
struct Place {
    far: Far,
    folder: tempfile::TempDir,
    mirrors: String,
}

impl Place {
    fn new(packages: &str) -> Self {
        let (far, folder) = (Far::tiny(), tempfile::tempdir().unwrap());
        let mirrors = quick_channel(&folder.path().join("channel"));
        std::fs::write(folder.path().join("uv"), "never run").unwrap();
        let place = Self { far, folder, mirrors };
        place.ask_for(packages, "");
        place
    }

    fn ask_for(&self, packages: &str, more: &str) {
        let text = format!("channels: [conda-forge]\ndependencies: [python=3.11, pip, {packages}]\n{more}");
        self.far.user.write("environment.yml", &text);
        self.far.user.commit("environment");
    }

    fn command(&self) -> Command {
        let mut command = self.far.command(&["-v", "--on-conflict", "new-run"]);
        command.env("SOOPERVISOR_HOME", self.folder.path().join("home"));
        command.env("SOOPERVISOR_CONDA_MIRRORS", &self.mirrors).env("SOOPERVISOR_UV", self.folder.path().join("uv"));
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command
    }

    fn run(&self) -> Said {
        Said::from(self.command().output().unwrap())
    }

    fn names(&self, below: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("home/cache/env").join(below));
        entries.into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The runs of this user, which name their containers and volumes.
    fn ids(&self) -> Vec<String> {
        let runs = std::fs::read_dir(self.folder.path().join("home/state/runs"));
        runs.into_iter().flatten().map(|run| run.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn builder(&self) -> Option<String> {
        let ids = self.ids();
        let names = says(&["ps", "--format", "{{.Names}}"]);
        let builders = names.lines().filter(|name| name.contains("-build-"));
        builders.map(str::to_owned).find(|name| ids.iter().any(|id| name.contains(id)))
    }

    /// Volumes of environments that no key of this store leads to and that its builds made.
    fn is_tidy(&self) -> bool {
        let ids = self.ids();
        let all = says(&["ps", "-a", "--format", "{{.Names}}"]) + &says(&["volume", "ls", "-q"]);
        !all.lines().any(|name| ids.iter().any(|id| name.contains(id)))
    }
}

#[test]
fn two_that_want_one_environment_build_it_once() {
    let place = Place::new("ploomber");
    let both = [place.command().spawn().unwrap(), place.command().spawn().unwrap()];
    let said = both.map(|child| Said::from(child.wait_with_output().unwrap()).exits(0).text).concat();
    assert_eq!(said.matches("building the environment").count(), 1, "{said}");
    assert_eq!(place.names("keys").len(), 1);
    place.run().exits(0).says("environment reused");
}

#[test]
fn a_builder_that_is_killed_there_is_told_and_the_next_run_builds_anew() {
    // Its script, which runs there too, takes its time.
    let place = Place::new("ploomber, slow");
    let child = place.command().spawn().unwrap();
    // One that only fills the volume may be gone before it can be killed.
    let kill = |name: String| {
        std::thread::sleep(Duration::from_millis(500));
        let mut docker = Command::new("docker");
        docker.args(["kill", "-s", "KILL", &name]).env("DOCKER_HOST", &daemon().address).env_remove("DOCKER_CONTEXT");
        docker.output().is_ok_and(|output| output.status.success())
    };
    eventually(120, "a builder is killed", || place.builder().is_some_and(kill));
    Said::from(child.wait_with_output().unwrap()).exits(5).says("the builder was killed from outside");
    assert_eq!(place.names("keys"), [""; 0]);
    place.run().exits(0).says("building the environment");
    place.run().exits(0).says("environment reused");
    assert!(place.is_tidy());
}

#[test]
fn kill_nine_at_any_moment_of_a_build_there_leaves_what_the_next_run_repairs() {
    let place = Place::new("ploomber");
    for wait in [200, 700, 1500, 2500, 4000] {
        let mut child = place.command().spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    place.run().exits(0);
    place.run().exits(0).says("environment reused");
    assert_eq!(place.names("keys").len(), 1);
    // Whoever builds next clears away what is left of builds that died.
    place.ask_for("ploomber", "variables: {A: b}\n");
    place.run().exits(0).says("building the environment");
    let prefixes = place.names("e");
    assert_eq!(prefixes.len(), 4, "two prefixes and their activations: {prefixes:?}");
    for left in ["bench/shared/e", "bench/shared/build"] {
        assert_eq!(place.names(left), [""; 0], "{left}");
    }
    eventually(60, "no container or volume of a dead run is left", || place.is_tidy());
}

//! install/install.sh: what is put on the runner, and what is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use sha2::{Digest, Sha256};

/// A copy of the installer with one release in its table, and a folder that is the release page.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn with(program: &[u8], listed: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("install/install.sh");
        for folder in ["install", "releases/v9", "tools"] {
            std::fs::create_dir_all(at.join(folder)).unwrap();
        }
        std::fs::copy(from, at.join("install/install.sh")).unwrap();
        let name = "soopervisor-v9-x86_64-unknown-linux-musl";
        std::fs::write(at.join("releases/v9").join(name), program).unwrap();
        std::fs::write(
            at.join("install/checksums.txt"),
            format!("# x\n{}  {name}\n", hex::encode(Sha256::digest(listed))),
        )
        .unwrap();
        Self { dir }
    }

    fn run(&self, env: &[(&str, &str)]) -> (Output, String) {
        let at = self.dir.path();
        let output = at.join("output");
        std::fs::write(&output, "").unwrap();
        let mut command = Command::new("bash");
        command
            .arg(at.join("install/install.sh"))
            .env("GITHUB_OUTPUT", &output)
            .env("RUNNER_OS", "Linux")
            .env("RUNNER_ARCH", "X64");
        command.env("RUNNER_TOOL_CACHE", at.join("tools")).env("GITHUB_WORKSPACE", at);
        command.env("SOOPERVISOR_RELEASES", format!("file://{}", at.join("releases").display()));
        let ended = command.envs(env.iter().copied()).output().unwrap();
        (ended, std::fs::read_to_string(output).unwrap())
    }
}

const PROGRAM: &[u8] = b"#!/bin/sh\necho soopervisor 9\n";

#[test]
fn a_release_is_taken_only_as_the_table_says_and_kept_for_the_next_job() {
    let place = Place::with(PROGRAM, PROGRAM);
    let (ended, output) = place.run(&[("INPUT_VERSION", "v9")]);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    let program = output.trim().strip_prefix("program=").unwrap();
    assert_eq!(std::fs::read(program).unwrap(), PROGRAM);
    // What is kept is not fetched again, unless somebody changed it.
    std::fs::remove_dir_all(place.dir.path().join("releases")).unwrap();
    assert!(place.run(&[("INPUT_VERSION", "v9")]).0.status.success());
    std::fs::write(program, "#!/bin/sh\necho evil\n").unwrap();
    assert!(!place.run(&[("INPUT_VERSION", "v9")]).0.status.success());
}

#[test]
fn what_is_not_in_the_table_or_not_what_it_says_is_refused() {
    let place = Place::with(b"#!/bin/sh\necho evil\n", PROGRAM);
    for (env, words) in [
        (vec![("INPUT_VERSION", "v9")], "is not what install/checksums.txt says"),
        (vec![("INPUT_VERSION", "v10")], "has no checksum"),
        (vec![("INPUT_VERSION", "v9"), ("RUNNER_ARCH", "ARM64")], "no checksum for aarch64"),
        (vec![("INPUT_VERSION", "v9"), ("RUNNER_ARCH", "ARM")], "no program for runners with ARM"),
        (vec![("INPUT_VERSION", "v9"), ("RUNNER_OS", "Windows")], "no Linux containers"),
        (vec![("INPUT_VERSION", "../../x")], "is none"),
        (vec![("INPUT_BINARY_PATH", "no/such")], "is no program"),
        (vec![("INPUT_VERSION", "source")], "needs the whole repository"),
    ] {
        let (ended, output) = place.run(&env);
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(!ended.status.success() && output.is_empty() && said.contains(words), "{env:?}: {said}");
        assert!(said.lines().last().unwrap().starts_with("::error title=soopervisor::"));
    }
}

#[test]
fn a_program_on_the_runner_is_taken_as_it_is() {
    let place = Place::with(PROGRAM, PROGRAM);
    let own = place.dir.path().join("own");
    std::fs::write(&own, PROGRAM).unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).unwrap();
    for path in ["own", own.to_str().unwrap()] {
        let (ended, output) = place.run(&[("INPUT_BINARY_PATH", path), ("RUNNER_ARCH", "ARM64")]);
        assert!(ended.status.success() && output.trim() == format!("program={}", own.display()), "{output}");
    }
}

//! Engines that are not the Docker Engine of this machine: Podman, Docker and Podman without root, Docker over TLS and
//! ssh, a registry, a context. Each is started here; for each the engine's tests run again in a second process, and an
//! example runs from its commit to its published folder.
//!
//! What is missing on the machine fails with a line that says so; `scripts/test.sh` installs it.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use keeper::done;

mod keeper;
mod podman;
mod registry;
mod remote;
mod rootless;
#[path = "../../end_to_end/support.rs"]
#[expect(dead_code, reason = "written for another program, which uses all of it")]
mod support;

use support::{Said, User};

/// One after the other: each keeps two processors busy.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A whole run of an example, and what it published.
fn runs_an_example(setting: &[(&str, &str)], more: &[&str]) {
    let user = User::with_example("sales-sql");
    let ran = Said::from(user.run_command(more).envs(setting.iter().copied()).output().unwrap());
    ran.exits(0).says("succeeded");
    let folder = user.published();
    assert!(folder.join("output/report.txt").is_file(), "the report is there");
    let mut verify = user.program(&["verify", "latest", "--storage", "local:../artifacts"]);
    let verified = verify.current_dir(user.repo()).output();
    assert!(done(&verified.unwrap()).contains("as the manifest says"));
}

/// Runs a program of this machine's `docker` command.
fn docker(arguments: &[&str]) -> String {
    done(&Command::new("docker").args(arguments).output().unwrap())
}

//! The kit of the engine's tests, with the second daemon in the place of this machine's.

#![allow(
    clippy::allow_attributes,
    dead_code,
    unused_imports,
    reason = "written for another program, which uses all of it"
)]

use soopervisor::engine::Engine as _;
use soopervisor::engine::docker::Docker;

#[path = "../engine/kit.rs"]
mod near;

pub(crate) use near::{Heard, close, image, in_time, run, script, script_with, spec};

/// The second daemon, with the runner image present.
pub(crate) async fn docker() -> Docker {
    let address = tokio::task::spawn_blocking(|| crate::daemon::daemon().address.clone()).await.unwrap();
    let docker = Docker::connect(&move |name| (name == "DOCKER_HOST").then(|| address.clone())).await.unwrap();
    docker.ensure_image(&image(), &mut |_| ()).await.unwrap();
    docker
}

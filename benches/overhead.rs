//! What soopervisor adds to its container: whole warm runs against the bare container sequence (create, attach, start,
//! read to the end, wait, remove) with the same image, mounts, hardening and script, in turn.
//!
//! `cargo bench --bench overhead -- [ROUNDS]`. Needs an engine and `make setup`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, RemoveContainerOptions, WaitContainerOptions,
};
use futures::StreamExt as _;
use stage::{Bare, Stage, forced, say};

mod stage;

fn main() {
    let rounds: usize = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(15);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    say(&format!("load {}, {rounds} rounds, medians (least)\n", stage::load()));
    say("| pipeline | whole run | bare container | ratio (bar 1.15) | own share (bar 60 ms) |");
    say("|---|---|---|---|---|");
    for (name, real, rounds) in [("a shell script", false, rounds), ("one task in Ploomber", true, rounds.div_ceil(3))]
    {
        let stage = Stage::new();
        let bare = stage.warm_up(real);
        let client = bollard::Docker::connect_with_defaults().expect("an engine");
        let client = runtime.block_on(client.negotiate_version()).expect("an engine");
        let [mut ours, mut theirs] = [const { Vec::new() }; 2];
        for _ in 0..rounds {
            theirs.push(runtime.block_on(sequence(&client, &bare)));
            ours.push(whole(&stage, real));
        }
        let (ours, theirs) = (sorted(ours), sorted(theirs));
        let middle = |times: &[Duration]| times[times.len() / 2];
        let cell = |times: &[Duration]| format!("{} ms ({})", middle(times).as_millis(), times[0].as_millis());
        let ratio = middle(&ours).as_secs_f64() / middle(&theirs).as_secs_f64();
        let share = |ours: Duration, theirs: Duration| (ours.as_secs_f64() - theirs.as_secs_f64()) * 1000.0;
        say(&format!(
            "| {name} | {} | {} | {ratio:.2} | {:.0} ms ({:.0}) |",
            cell(&ours),
            cell(&theirs),
            share(middle(&ours), middle(&theirs)),
            share(ours[0], theirs[0]),
        ));
    }
    say(&format!("\nload {}", stage::load()));
}

fn whole(stage: &Stage, real: bool) -> Duration {
    let mut command = stage.run(real);
    command.args(forced(real)).stdout(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("soopervisor");
    let took = start.elapsed();
    assert!(status.success(), "a run failed: {status}");
    took
}

async fn sequence(client: &bollard::Docker, bare: &Bare) -> Duration {
    let body = body(bare);
    let start = Instant::now();
    let id = client.create_container(None::<CreateContainerOptions>, body).await.expect("created").id;
    let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
    let mut attached = client.attach_container(&id, Some(options)).await.expect("attached");
    client.start_container(&id, None).await.expect("started");
    let mut said = Vec::new();
    while let Some(frame) = attached.output.next().await {
        said.extend_from_slice(&frame.expect("output").into_bytes());
    }
    let ended = client.wait_container(&id, None::<WaitContainerOptions>).next().await.expect("an answer");
    client.remove_container(&id, None::<RemoveContainerOptions>).await.expect("removed");
    let took = start.elapsed();
    assert!(ended.is_ok(), "the bare container failed: {ended:?}\n{}", String::from_utf8_lossy(&said));
    took
}

/// Hardened as a run's container is, so that both pay for the same.
fn body(bare: &Bare) -> ContainerCreateBody {
    let mounts = bare.mounts.iter().map(|(source, target, read_only)| Mount {
        typ: Some(MountType::BIND),
        source: Some(source.clone()),
        target: Some(target.clone()),
        read_only: Some(*read_only),
        ..Mount::default()
    });
    ContainerCreateBody {
        image: Some(bare.image.clone()),
        cmd: Some(["bash", "/soopervisor/run.sh"].map(str::to_owned).to_vec()),
        user: Some(bare.user.clone()),
        working_dir: Some("/workspace".to_owned()),
        env: Some(vec!["HOME=/home/runner".to_owned(), format!("BENCH_TOKEN={}", stage::TOKEN)]),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            init: Some(true),
            log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges".into()]),
            ipc_mode: Some("private".into()),
            network_mode: Some("bridge".into()),
            pids_limit: Some(4096),
            mounts: Some(mounts.collect()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort();
    times
}

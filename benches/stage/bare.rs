//! The container of a run without soopervisor: create, attach, start, read to the end, wait, remove, straight through
//! the engine's API. What the engine itself costs, and how fast it delivers.

use std::time::{Duration, Instant};

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptions, RemoveContainerOptions, WaitContainerOptions,
};
use futures::StreamExt as _;
use http::Response;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::BufReader;
use tokio::net::UnixStream;

use super::Bare;

/// What it took, and how many bytes it said.
pub(crate) struct Sequence {
    pub(crate) took: Duration,
    pub(crate) bytes: usize,
}

/// Where the engine of a machine listens unless it was told otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// The engine, with a connection for each request; what it sends is read in pieces as large as soopervisor reads.
pub(crate) async fn engine() -> bollard::Docker {
    let version = bollard::API_DEFAULT_VERSION;
    let client = bollard::Docker::connect_with_custom_transport(ask, Some("unix://engine"), 3600, version);
    client.expect("an engine").negotiate_version().await.expect("an engine")
}

async fn ask(mut request: bollard::BollardRequest) -> Result<Response<Incoming>, bollard::errors::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().expect("a path");
    request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("engine"));
    let socket = BufReader::with_capacity(128 * 1024, UnixStream::connect(SOCKET).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender.send_request(request).await?)
}

/// Runs it; the script prints `blocks` pieces of the log.
pub(crate) async fn sequence(client: &bollard::Docker, like: &Bare, blocks: usize) -> Sequence {
    let body = body(like, blocks);
    let start = Instant::now();
    let id = client.create_container(None::<CreateContainerOptions>, body).await.expect("created").id;
    let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
    let mut attached = client.attach_container(&id, Some(options)).await.expect("attached");
    client.start_container(&id, None).await.expect("started");
    let (mut said, mut bytes) = (Vec::new(), 0);
    while let Some(frame) = attached.output.next().await {
        let frame = frame.expect("output").into_bytes();
        bytes += frame.len();
        if said.len() < 10_000 {
            said.extend_from_slice(&frame);
        }
    }
    let ended = client.wait_container(&id, None::<WaitContainerOptions>).next().await.expect("an answer");
    client.remove_container(&id, None::<RemoveContainerOptions>).await.expect("removed");
    let took = start.elapsed();
    assert!(ended.is_ok(), "the bare container failed: {ended:?}\n{}", String::from_utf8_lossy(&said));
    Sequence { took, bytes }
}

/// Hardened as a run's container is, so that both pay for the same.
fn body(bare: &Bare, blocks: usize) -> ContainerCreateBody {
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
        env: Some(vec![
            "HOME=/home/runner".to_owned(),
            format!("BENCH_TOKEN={}", super::TOKEN),
            format!("BENCH_BLOCKS={blocks}"),
        ]),
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

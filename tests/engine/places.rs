//! Finding an engine, knowing what it is, and whether it sees our files.

use soopervisor::engine::docker::Docker;
use soopervisor::engine::{Engine as _, EngineError};

use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::kit::{docker, image, run_script};

async fn connect(pairs: &[(&str, &str)]) -> Result<Docker, EngineError> {
    let pairs: Vec<(String, String)> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Docker::connect(&move |name| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())).await
}

#[tokio::test]
async fn an_absent_daemon_is_unavailable_with_what_was_tried_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix://{}", folder.path().join("none.sock").display());
    let error = connect(&[("DOCKER_HOST", &socket)]).await.err().unwrap();
    let EngineError::Unavailable { tried } = &error else { panic!("{error:?}") };
    assert!(tried.contains(&socket) && tried.contains("no such socket") && tried.contains("DOCKER_HOST"), "{tried}");
}

#[tokio::test]
async fn a_socket_nobody_listens_on_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let error = connect(&[("DOCKER_HOST", &format!("unix://{}", path.display()))]).await.err().unwrap().to_string();
    assert!(error.contains("nothing listens"), "{error}");
}

#[tokio::test]
async fn a_socket_that_never_answers_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mute.sock");
    let _mute = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let error = connect(&[("DOCKER_HOST", &format!("unix://{}", path.display()))]).await.err().unwrap().to_string();
    assert!(error.contains("no answer in 15 s"), "{error}");
}

#[tokio::test]
async fn addresses_that_are_not_understood_say_so() {
    for (address, words) in [
        ("carrier-pigeon://x", "unix://, tcp:// or ssh://"),
        ("ssh://me@host/var/run/docker.sock", "ssh://[USER@]HOST[:PORT]"),
        ("tcp://127.0.0.1:1", "refused"),
    ] {
        let error = connect(&[("DOCKER_HOST", address)]).await.err().unwrap().to_string();
        assert!(error.contains(words), "{address}: {error}");
    }
}

#[tokio::test]
async fn what_ssh_says_of_a_host_that_it_does_not_reach_is_told() {
    let error = connect(&[("DOCKER_HOST", "ssh://me@127.0.0.1:1")]).await.err().unwrap().to_string();
    // A user whom the machine has no name for is refused by ssh itself.
    let told = ["refused", "No user exists", "not installed"].iter().any(|words| error.contains(words));
    assert!(told && error.contains("ssh://me@127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn says_what_it_is() {
    let info = docker().await.info().await.unwrap();
    assert!(info.name.starts_with("docker ") || info.name.starts_with("podman "), "{info:?}");
    assert!(info.address.contains("://") && info.cgroup.starts_with("cgroup v") && !info.architecture.is_empty());
}

#[tokio::test]
async fn the_daemon_of_this_machine_sees_our_files() {
    let folder = tempfile::tempdir().unwrap();
    assert!(docker().await.shares_files(folder.path(), &image()).await.unwrap());
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0, "the probe cleans up");
}

#[tokio::test]
async fn folders_are_laid_over_each_other_here_or_it_is_known_that_they_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let docker = docker().await;
    let info = docker.info().await.unwrap();
    let user = if info.rootless { (0, 0) } else { (10001, 10001) };
    // What it depends on besides the engine (the kernel, the file system below) has no say in whether it is a fault.
    let answer = docker.overlays(folder.path(), &image(), user).await;
    assert!(matches!(answer, Ok(_) | Err(EngineError::Refused { .. })), "{answer:?}");
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0, "the probe cleans up");
    let volumes = crate::kit::docker_says(&["volume", "ls", "-q"]);
    assert!(!volumes.contains("soopervisor-probe-"), "{volumes}");
}

#[tokio::test]
async fn a_folder_that_mount_options_cannot_name_is_refused_before_a_volume_exists() {
    let folder = tempfile::Builder::new().prefix("a,b").tempdir().unwrap();
    let refused = docker().await.overlays(folder.path(), &image(), (10001, 10001)).await.unwrap_err();
    assert!(refused.to_string().contains("mount options"), "{refused}");
}

#[tokio::test]
async fn a_probe_in_a_folder_that_is_not_there_names_it() {
    let error = docker().await.shares_files("/no/such/folder".as_ref(), &image()).await.unwrap_err().to_string();
    assert!(error.contains("/no/such/folder"), "{error}");
}

async fn pass_on(mut far: TcpStream, daemon: String) {
    let mut near = UnixStream::connect(daemon).await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut far, &mut near).await;
}

#[tokio::test]
async fn a_daemon_behind_tcp_works_like_a_local_one() {
    let address = docker().await.info().await.unwrap().address;
    let daemon = address.strip_prefix("unix://").expect("these tests need a local daemon").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((far, _)) = listener.accept().await {
            tokio::spawn(pass_on(far, daemon.clone()));
        }
    });
    let far = connect(&[("DOCKER_HOST", &url)]).await.unwrap();
    let (exit, heard) = run_script(&far, "head -c 3000000 /dev/zero; echo err >&2; exit 6").await;
    assert_eq!((exit.code, heard.out.len(), heard.stderr()), (6, 3_000_000, "err\n"));
}

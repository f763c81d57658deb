//! Nothing stays behind when our process dies, and a connection that breaks is told.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use soopervisor::engine::docker::Docker;
use soopervisor::engine::{Engine as _, EngineError, Errand, HostPath, Purpose, SessionSpec};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::kit::{Heard, close, docker, docker_says, exists, gone, image, in_time, mount, open_folder, script, spec};

/// Tells the copy of this test program that it is to hold a session; the value is the script.
const HOLD: &str = "SOOPERVISOR_TEST_HOLD";

#[tokio::test]
#[ignore = "the second process of the tests below, started by them"]
async fn holds_a_session_when_asked() {
    let text = std::env::var(HOLD).expect("only the tests below start this");
    let docker = docker().await;
    let mut session = docker.start(spec()).await.unwrap();
    println!("\nholding {}", session.name());
    if text.is_empty() {
        std::future::pending::<()>().await;
    }
    let _ = session.exec(script(text), &mut Heard::default()).await;
}

/// A second process that holds a session, and the name of its container.
fn holder(text: &str) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "death::holds_a_session_when_asked", "--nocapture"])
        .env(HOLD, text)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let name = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("holding ").map(str::to_owned));
    (child, name.expect("the other process starts a container"))
}

async fn is_gone_soon_after_a_kill(text: &str) {
    let (mut child, name) = holder(text);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(exists(&name));
    child.kill().unwrap();
    child.wait().unwrap();
    let took = gone(&name).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn kill_nine_of_our_process_takes_the_container_along() {
    is_gone_soon_after_a_kill("sleep 1000").await;
}

#[tokio::test]
async fn kill_nine_takes_along_a_container_that_ignores_term() {
    is_gone_soon_after_a_kill("trap '' TERM; for i in {1..1000}; do sleep 1; done").await;
}

#[tokio::test]
async fn kill_nine_before_the_script_takes_the_container_along() {
    is_gone_soon_after_a_kill("").await;
}

/// A container as a dead process would have left it, were there no lifeline.
fn leave(labels: &[(&str, &str)]) -> String {
    let name = format!("engine-tests-leftover-{}", std::process::id() ^ rand());
    let mut arguments = vec!["create".to_owned(), "--name".into(), name.clone()];
    for (label, value) in labels {
        arguments.extend(["--label".to_owned(), format!("{label}={value}")]);
    }
    arguments.extend([image(), "true".to_owned()]);
    docker_says(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(exists(&name));
    name
}

fn rand() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _};
    u32::try_from(std::collections::hash_map::RandomState::new().build_hasher().finish() >> 40).unwrap()
}

#[tokio::test]
async fn the_sweep_takes_the_dead_only() {
    let docker = docker().await;
    let living = docker.start(spec()).await.unwrap();
    let read = |label: &str| {
        let format = format!("{{{{index .Config.Labels \"{label}\"}}}}");
        docker_says(&["inspect", "-f", &format, living.name()]).trim().to_owned()
    };
    let (host, boot, pid) = (read("soopervisor.host"), read("soopervisor.boot"), read("soopervisor.pid"));
    let owner = |host: &str, start: &str| {
        leave(&[
            ("soopervisor.run", "left-behind"),
            ("soopervisor.host", host),
            ("soopervisor.boot", &boot),
            ("soopervisor.pid", &pid),
            ("soopervisor.pid-start", start),
        ])
    };
    let dead = owner(&host, "1");
    let elsewhere = owner("another-host", "1");
    let unknown = leave(&[("soopervisor.host", &host)]);
    let stranger = leave(&[]);

    // Two at once: parallel sweeps must not trip over each other.
    let (one, two) = tokio::join!(docker.sweep(), docker.sweep());
    let mut swept = one.unwrap();
    swept.extend(two.unwrap());
    let kept = [living.name(), &elsewhere, &unknown, &stranger].map(exists);
    docker_says(&["rm", "-f", &elsewhere, &unknown, &stranger]);
    assert!(!exists(&dead));
    assert!(swept.iter().any(|swept| swept.name == dead && swept.run == "left-behind"), "{swept:?}");
    assert_eq!(kept, [true; 4], "a living process, another host, an unknown owner and a stranger are spared");
    close(living).await;
}

#[tokio::test]
async fn a_dropped_session_is_removed_in_the_background() {
    let docker = docker().await;
    let session = docker.start(spec()).await.unwrap();
    let name = session.name().to_owned();
    drop(session);
    assert!(gone(&name).await < Duration::from_secs(10));
}

#[tokio::test]
async fn a_container_removed_by_someone_else_is_told_and_closes_well() {
    let docker = docker().await;
    let mut session = docker.start(spec()).await.unwrap();
    let name = session.name().to_owned();
    let removed = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(700));
        docker_says(&["rm", "-f", &name])
    });
    let exit = in_time(session.exec(script("sleep 1000"), &mut Heard::default())).await.unwrap();
    removed.await.unwrap();
    assert_eq!(exit.code, 137);
    close(session).await;
}

/// Stands between us and the daemon. While it is cut it drops our side of every connection and answers nobody, but
/// keeps the daemon's side open: so a container's streams look when a daemon with live-restore restarts.
async fn relay(listener: UnixListener, daemon: String, cut: watch::Receiver<bool>) {
    while let Ok((ours, _)) = listener.accept().await {
        if *cut.borrow() {
            continue;
        }
        let theirs = UnixStream::connect(&daemon).await.unwrap();
        tokio::spawn(carry(ours, theirs, cut.clone()));
    }
}

async fn carry(mut ours: UnixStream, mut theirs: UnixStream, mut cut: watch::Receiver<bool>) {
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut ours, &mut theirs) => return,
        _ = cut.wait_for(|cut| *cut) => drop(ours),
    }
    // What the daemon still sends is taken, so that the container does not block on it.
    let _ = tokio::io::copy(&mut theirs, &mut tokio::io::sink()).await;
}

async fn through_a_relay(folder: &Path) -> (Docker, watch::Sender<bool>) {
    let path = folder.join("relay.sock");
    let (cut, is_cut) = watch::channel(false);
    let listener = UnixListener::bind(&path).unwrap();
    let daemon = docker().await.info().await.unwrap().address;
    let daemon = daemon.strip_prefix("unix://").expect("these tests need a local daemon").to_owned();
    tokio::spawn(relay(listener, daemon, is_cut));
    let host = format!("unix://{}", path.display());
    let docker = Docker::connect(&move |name| (name == "DOCKER_HOST").then(|| host.clone())).await.unwrap();
    (docker, cut)
}

/// After a while the relay is cut, for so long.
async fn outage(cut: &watch::Sender<bool>, after: Duration, lasts: Duration) {
    tokio::time::sleep(after).await;
    cut.send_replace(true);
    tokio::time::sleep(lasts).await;
    cut.send_replace(false);
}

#[tokio::test]
async fn a_run_survives_a_daemon_that_comes_back_and_says_that_output_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (docker, cut) = through_a_relay(folder.path()).await;
    let mut session = docker.start(spec()).await.unwrap();
    let mut heard = Heard::default();
    let outage = outage(&cut, Duration::from_millis(800), Duration::from_millis(800));
    let text = "echo before; sleep 6; echo after; exit 4";
    let (exit, ()) = in_time(async { tokio::join!(session.exec(script(text), &mut heard), outage) }).await;
    close(session).await;
    assert_eq!((exit.unwrap().code, heard.gaps), (4, 1));
    assert_eq!(heard.stdout(), "before\nafter\n");
}

#[tokio::test]
async fn an_outage_loses_nothing_of_what_goes_through_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let (docker, cut) = through_a_relay(folder.path()).await;
    let piped = SessionSpec { pipes: Some(HostPath(folder.path().join("pipes"))), ..spec() };
    let mut session = docker.start(piped).await.unwrap();
    let mut heard = Heard::default();
    let outage = outage(&cut, Duration::from_millis(800), Duration::from_millis(800));
    let text = "for i in {1..60}; do echo $i; sleep 0.05; done; exit 4";
    let (exit, ()) = in_time(async { tokio::join!(session.exec(script(text), &mut heard), outage) }).await;
    close(session).await;
    let expected = (1..=60).fold(String::new(), |all, i| format!("{all}{i}\n"));
    assert_eq!((exit.unwrap().code, heard.gaps, heard.stdout()), (4, 0, expected.as_str()));
}

#[tokio::test]
async fn after_an_outage_a_run_can_still_be_stopped_with_grace_and_memory_kills_are_still_told() {
    let folder = tempfile::tempdir().unwrap();
    let (docker, cut) = through_a_relay(folder.path()).await;
    let mut small = spec();
    small.memory_bytes = Some(48 << 20);
    let mut session = docker.start(small).await.unwrap();
    let control = session.control();
    let asked = async {
        outage(&cut, Duration::from_millis(500), Duration::from_millis(800)).await;
        control.out_of_memory().await;
        let since = std::time::Instant::now();
        control.stop(Duration::from_secs(2)).await.unwrap();
        since.elapsed()
    };
    // Deaf to TERM: only the KILL after the grace ends it.
    let text = "trap '' TERM; sleep 4; (x=$(head -c 200000000 /dev/zero | tr '\\0' x)); while :; do sleep 1; done";
    let mut heard = Heard::default();
    let (exit, took) = in_time(async { tokio::join!(session.exec(script(text), &mut heard), asked) }).await;
    close(session).await;
    let exit = exit.unwrap();
    assert_eq!((exit.code, exit.oom_killed), (137, true));
    assert!(took >= Duration::from_secs(2), "the grace was not given: {took:?}");
}

#[tokio::test]
async fn a_container_that_ends_during_an_outage_is_not_taken_for_a_success() {
    let folder = tempfile::tempdir().unwrap();
    let (docker, cut) = through_a_relay(folder.path()).await;
    let mut session = docker.start(spec()).await.unwrap();
    let outage = outage(&cut, Duration::from_millis(500), Duration::from_secs(3));
    let mut heard = Heard::default();
    let (exit, ()) = in_time(async { tokio::join!(session.exec(script("sleep 1.5"), &mut heard), outage) }).await;
    assert!(matches!(exit, Err(EngineError::Gone { .. })), "{exit:?}");
    close(session).await;
}

#[tokio::test]
async fn a_daemon_that_stays_away_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (docker, cut) = through_a_relay(folder.path()).await;
    let mut session = docker.start(spec()).await.unwrap();
    let name = session.name().to_owned();
    let outage = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cut.send_replace(true);
    };
    let mut heard = Heard::default();
    let (exit, ()) = in_time(async { tokio::join!(session.exec(script("sleep 1000"), &mut heard), outage) }).await;
    assert!(matches!(exit, Err(EngineError::Gone { .. })), "{exit:?}");
    let closed = session.close().await;
    docker_says(&["rm", "-f", &name]);
    assert!(closed.is_err(), "a container that could not be removed must not pass as removed");
}

fn errand(words: &[&str], lasts: Duration) -> Errand {
    let mut spec = spec();
    spec.purpose = Purpose::Errand;
    Errand { spec, command: words.iter().map(|word| (*word).to_owned()).collect(), lasts }
}

#[tokio::test]
async fn an_errand_goes_on_without_us_hardened_and_of_low_priority_until_its_time_is_over() {
    let docker = docker().await;
    let folder = open_folder();
    let mut lasting = errand(&["sleep", "1000"], Duration::from_mins(5));
    lasting.spec.mounts.push(mount(folder.path(), "/shown", false));
    let lasting = docker.send(&lasting).await.unwrap();
    let over = docker.send(&errand(&["sleep", "1000"], Duration::ZERO)).await.unwrap();
    let format = "{{.HostConfig.CpuShares}} {{.HostConfig.CapDrop}} {{.HostConfig.NetworkMode}} {{.Config.User}} \
                  {{index .Config.Labels \"soopervisor.pid\"}}|{{.HostConfig.AutoRemove}} {{.Config.OpenStdin}}";
    let said = docker_says(&["inspect", "-f", format, &lasting]);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let swept = docker.sweep().await.unwrap();
    let shown = docker.shown().await.unwrap();
    let still = exists(&lasting);
    docker_says(&["rm", "-f", &lasting]);
    let dropped =
        said.strip_prefix("64 [").and_then(|rest| rest.split_once(']')).map(|(names, rest)| (names.to_owned(), rest));
    let (dropped, rest) = dropped.unwrap_or_else(|| panic!("{said}"));
    assert_eq!(rest, " none 10001:10001 <no value>|true false\n");
    // Podman writes all of them out.
    let all = dropped == "ALL"
        || (dropped.contains("SETUID") && dropped.contains("DAC_OVERRIDE") && dropped.split(' ').count() > 9);
    assert!(all, "{dropped}");
    assert!(swept.iter().any(|swept| swept.name == over) && !exists(&over), "{swept:?}");
    assert!(still, "its time is not over");
    assert!(shown.iter().any(|path| path == folder.path()), "{shown:?}");
}

#[tokio::test]
async fn an_errand_removes_itself_when_it_ends_and_one_that_cannot_start_stays_nowhere() {
    let docker = docker().await;
    for program in ["true", "/no/such/program"] {
        let name = docker.send(&errand(&[program], Duration::from_mins(5))).await.unwrap();
        gone(&name).await;
    }
    let mut elsewhere = errand(&["true"], Duration::from_mins(5));
    elsewhere.spec.image = "soopervisor-no-such-image".to_owned();
    assert!(matches!(docker.send(&elsewhere).await, Err(EngineError::Refused { .. })));
}

//! The second daemon: one for all tests of this program, gone when this program is gone, whatever ends it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Starts everything, waits for the end of its input, and leaves nothing. Its input is a pipe from this program: it ends
/// with it. The daemon is the first process of its own process namespace, so that its death takes along all it started.
const KEEPER: &str = r#"
set -eu
PATH=$PATH:/usr/sbin:/sbin
export PATH
scratch=$1 bridge=$2 subnet=$3 port=$4 hidden=$5
ip link add "$bridge" type bridge
ip addr add "$subnet.1/24" dev "$bridge"
ip link set "$bridge" up
unshare --mount --pid --fork --kill-child --mount-proc sh -c '
    set -eu
    mount --make-rprivate /
    mount --bind "$1" /mnt
    # What it must not see: our files, and the first daemon.
    for folder in "$5" /tmp /run/docker /run/containerd; do
        [ ! -d "$folder" ] || mount -t tmpfs tmpfs "$folder"
    done
    export TMPDIR=/mnt
    exec dockerd --data-root /mnt/data --exec-root /mnt/exec --pidfile /mnt/pid --host "tcp://127.0.0.1:$4" \
        --bridge "$2" --iptables=false --ip-forward=false --ip-masq=false --userland-proxy=false --tls=false
' sh "$scratch" "$bridge" "$subnet" "$port" "$hidden" </dev/null &
daemon=$!
read -r _ || true
kill -9 "$daemon" 2>/dev/null || true
wait "$daemon" 2>/dev/null || true
ip link del "$bridge" 2>/dev/null || true
for attempt in 1 2 3 4 5; do rm -rf "$scratch" && break; sleep 1; done
"#;

/// How to reach it.
pub(crate) struct Daemon {
    /// `tcp://127.0.0.1:…`.
    pub(crate) address: String,
    /// Our own address on its containers' network.
    pub(crate) gateway: String,
    /// A folder of ours that goes when it goes.
    pub(crate) cache: PathBuf,
    // Held, never read: its input ends with this program.
    _keeper: Child,
}

/// The daemon, started by whoever asks first.
pub(crate) fn daemon() -> &'static Daemon {
    static DAEMON: OnceLock<Result<Daemon, String>> = OnceLock::new();
    match DAEMON.get_or_init(|| std::panic::catch_unwind(start).unwrap_or_else(|_| Err("see above".to_owned()))) {
        Ok(daemon) => daemon,
        Err(why) => panic!("these tests need a second Docker daemon: {why}"),
    }
}

fn start() -> Result<Daemon, String> {
    let root = rustix::process::geteuid().is_root();
    if !root && !Command::new("sudo").args(["-n", "true"]).status().is_ok_and(|status| status.success()) {
        return Err("only root can start one, and sudo asks for a password: `sudo -v` before the tests".to_owned());
    }
    // Kept: the keeper removes it.
    let scratch =
        tempfile::Builder::new().prefix("soopervisor-far-").tempdir().map_err(|error| error.to_string())?.keep();
    let number = std::process::id() ^ u32::from(free_port());
    let (bridge, subnet) = (format!("svt{number:08x}"), format!("10.{}.{}", 64 + number % 128, number / 128 % 256));
    let port = free_port();
    let log = std::fs::File::create(scratch.join("log")).map_err(|error| error.to_string())?;
    let mut keeper = if root { Command::new("sh") } else { Command::new("sudo") };
    let keeper = keeper
        .args(if root { &[][..] } else { &["-n", "sh"] })
        .args(["-c", KEEPER, "keeper"])
        .arg(&scratch)
        .args([&bridge, &subnet, &port.to_string()])
        .arg(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(log.try_clone().map_err(|error| error.to_string())?)
        .stderr(log)
        .spawn()
        .map_err(|error| format!("sh cannot be started: {error}"))?;
    let cache = scratch.join("cache");
    std::fs::create_dir(&cache).map_err(|error| error.to_string())?;
    let daemon =
        Daemon { cache, address: format!("tcp://127.0.0.1:{port}"), gateway: format!("{subnet}.1"), _keeper: keeper };
    wait_for(&daemon.address, &scratch)?;
    load_image(&daemon.address)?;
    Ok(daemon)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(address: &str, scratch: &PathBuf) -> Result<(), String> {
    let since = Instant::now();
    while !docker(address, &["version"]).status().is_ok_and(|status| status.success()) {
        if since.elapsed() > Duration::from_mins(1) {
            let log = std::fs::read_to_string(Path::new(scratch).join("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(15).collect();
            return Err(format!("it did not answer at {address} within a minute:\n{}", last.join("\n")));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// The `docker` command for that daemon.
pub(crate) fn docker(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(["-H", address]).args(arguments).env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// From the first daemon: no registry is needed.
fn load_image(address: &str) -> Result<(), String> {
    let image = crate::kit::image();
    let mut saving = Command::new("docker")
        .args(["save", &image])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the docker command is needed: {error}"))?;
    let from = saving.stdout.take().ok_or("no output")?;
    let loaded = docker(address, &["load", "-q"]).stdin(from).status().map_err(|error| error.to_string())?;
    let saved = saving.wait().map_err(|error| error.to_string())?;
    if saved.success() && loaded.success() {
        Ok(())
    } else {
        Err(format!("the runner image {image} could not be brought over; `make image` makes it"))
    }
}

/// What `docker` says about that daemon's things.
pub(crate) fn says(arguments: &[&str]) -> String {
    let output = docker(&daemon().address, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

//! Podman, with root: its API socket, as `podman system service` opens it.

use std::process::Command;

use super::keeper::{Keeper, needs, suite};
use super::{one_at_a_time, runs_an_example};

/// Limits that this machine may not raise are not asked for. crun refuses a machine with both versions of control
/// groups; runc does not.
pub(super) const SETTINGS: &str = r#"
settings() {
    printf '[containers]\ndefault_ulimits = ["nofile=%s:%s", "nproc=4096:4096"]\n' "$(ulimit -Hn)" "$(ulimit -Hn)"
    printf '[engine]\ncgroup_manager = "cgroupfs"\n'
    if [ -d /sys/fs/cgroup/unified ]; then printf 'runtime = "runc"\n'; fi
    printf '[network]\nnetwork_config_dir = "%s/net"\n' "$scratch"
}
"#;

const PODMAN: &str = r#"
mkdir -p "$scratch/net"
# conmon leaves notes where it was started.
cd "$scratch"
settings >"$scratch/containers.conf"
export CONTAINERS_CONF="$scratch/containers.conf"
set -- --root "$scratch/root" --runroot "$scratch/run" --tmpdir "$scratch/tmp"
podman "$@" system service --time=0 "unix://$scratch/podman.sock" </dev/null &
service=$!
read -r _ || true
podman "$@" rm --all --force --time 0 >/dev/null 2>&1 || true
kill "$service" 2>/dev/null || true
wait "$service" 2>/dev/null || true
umount "$scratch/root/overlay" 2>/dev/null || true
rm -rf "$scratch"
"#;

#[test]
fn podman_keeps_every_promise_and_runs_an_example() {
    let _turn = one_at_a_time();
    needs(&["podman", "catatonit"]);
    let mut podman = Keeper::start(&format!("{SETTINGS}{PODMAN}"), &[]);
    let address = format!("unix://{}/podman.sock", podman.folder.display());
    podman.wait_for_engine("Podman", &address, &[]);
    let mut command = Command::new("env");
    command.arg(format!("DOCKER_HOST={address}"));
    suite(&std::env::current_exe().unwrap(), &[], &[], command);
    runs_an_example(&[("DOCKER_HOST", &address)], &[]);
}

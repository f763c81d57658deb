//! Engines without root: a user who is nobody else on this machine, with user ids of its own, starts them and runs on
//! them. The user exists in the mount namespace of the engine only.
//!
//! Control groups of version 1 cannot be given to a user: on a machine that has them, engines without root limit
//! neither memory nor processes, and the tests of those limits are left out.

use std::path::Path;
use std::process::Command;

use super::keeper::{Keeper, as_root, done, needs, suite};
use super::{one_at_a_time, podman};
use crate::kit::image;

/// The user's number.
const USER: &str = "4242";

const SHELL: &str = r#"
what=$1 user=$2
mkdir -p "$scratch/home" "$scratch/run" "$scratch/etc" "$scratch/dev" "$scratch/net"
for file in passwd group subuid subgid; do cp "/etc/$file" "$scratch/etc/$file" 2>/dev/null || : >"$scratch/etc/$file"; done
echo "soopervisor-test:x:$user:$user::$scratch/home:/bin/sh" >>"$scratch/etc/passwd"
echo "soopervisor-test:x:$user:" >>"$scratch/etc/group"
for file in subuid subgid; do echo "soopervisor-test:4200000:65536" >>"$scratch/etc/$file"; done
settings >"$scratch/containers.conf"
chmod 755 "$scratch"
chown "$user:$user" "$scratch/home" "$scratch/run" "$scratch/net"
chmod 700 "$scratch/run"
unshare --mount --pid --fork --kill-child --mount-proc --propagation private sh -c '
    set -eu
    scratch=$1 what=$2 user=$3
    for file in passwd group subuid subgid; do
        [ -e "/etc/$file" ] && mount --bind "$scratch/etc/$file" "/etc/$file"
    done
    # What udev allows everybody elsewhere.
    mount -t tmpfs tmpfs "$scratch/dev"
    mknod -m 666 "$scratch/dev/tun" c 10 200
    mknod -m 666 "$scratch/dev/fuse" c 10 229
    mount --bind "$scratch/dev/tun" /dev/net/tun
    mount --bind "$scratch/dev/fuse" /dev/fuse
    export HOME="$scratch/home" XDG_RUNTIME_DIR="$scratch/run" CONTAINERS_CONF="$scratch/containers.conf"
    cd "$HOME"
    case $what in
    podman) set -- env STORAGE_DRIVER=overlay podman system service --time=0 "unix://$scratch/run/engine.sock" ;;
    docker) set -- sh /usr/share/docker.io/contrib/dockerd-rootless.sh --data-root "$scratch/home/data" \
        --exec-root "$scratch/run/exec" --pidfile "$scratch/run/pid" --host "unix://$scratch/run/engine.sock" ;;
    esac
    exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@"
' sh "$scratch" "$what" "$user" </dev/null &
engine=$!
read -r _ || true
# The first process of the namespace: it has become another user, which undoes --kill-child.
pkill -9 -P "$engine" 2>/dev/null || true
kill -9 "$engine" 2>/dev/null || true
wait "$engine" 2>/dev/null || true
for attempt in 1 2 3 4 5; do rm -rf "$scratch" && break; sleep 1; done
"#;

/// As that user.
fn as_user(folder: &Path, address: &str) -> Command {
    let mut command = as_root("setpriv");
    let home = folder.join("home");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups", "env", "-C"]).arg(&home);
    for name in ["SOOPERVISOR_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "DOCKER_CONTEXT"] {
        command.args(["-u", name]);
    }
    command.arg(format!("HOME={}", home.display())).arg(format!("TMPDIR={}", home.display()));
    command.arg(format!("XDG_RUNTIME_DIR={}/run", folder.display())).arg(format!("DOCKER_HOST={address}"));
    command.arg(format!("SOOPERVISOR_TEST_IMAGE={}", image()));
    command
}

/// Starts it, brings programs, an example and the channel to where that user sees them, and runs all there is.
fn keeps_its_promises_and_runs_an_example(what: &str) {
    let mut keeper = Keeper::start(&format!("{}{SHELL}", podman::SETTINGS), &[what, USER]);
    let folder = keeper.folder.clone();
    let address = format!("unix://{}/run/engine.sock", folder.display());
    keeper.wait_for_engine(&format!("{what} without root"), &address, &[]);
    let (tests, program) = (folder.join("tests"), folder.join("soopervisor"));
    std::fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    std::fs::copy(env!("CARGO_BIN_EXE_soopervisor"), &program).unwrap();
    let limits = ["memory", "fork_bomb", "priority", "secrets_of_any_bytes", "labels_tell"];
    let unlimited = Path::new("/sys/fs/cgroup/memory").is_dir();
    suite(&tests, &[], if unlimited { &limits } else { &[] }, as_user(&folder, &address));

    let script = r#"
set -eu
home=$1 example=$2 user=$3 channel=$4
mkdir -p "$home/.config/soopervisor"
cp -r "$example" "$home/project"
if [ -d "$channel" ]; then
    cp -r "$channel" "$home/channel"
    printf 'mirrors:\n  conda-forge: ["%s/channel"]\n' "$home" >"$home/.config/soopervisor/config.yaml"
fi
cd "$home/project"
git init -q -b main && git add -A && git -c user.name=Test -c user.email=test@example.org commit -q -m first
chown -R "$user:$user" "$home/project" "$home/.config"
"#;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sales-sql");
    let home = folder.join("home");
    let mut staging = as_root("sh");
    staging.args(["-c", script, "stage"]).args([&home, &example]).arg(USER).arg(channel());
    done(&staging.output().unwrap());
    let mut run = as_user(&folder, &address);
    run.arg(&program).args(["run", "project", "--storage", "local:artifacts", "-v"]);
    let said = done(&run.output().unwrap());
    assert!(said.contains("succeeded"), "{said}");
    let mut again = as_user(&folder, &address);
    again.arg(&program).args(["verify", "latest", "--project", "project", "--storage", "local:artifacts"]);
    assert!(done(&again.output().unwrap()).contains("as the manifest says"));
    let mut doctor = as_user(&folder, &address);
    let doctor = doctor.arg(&program).args(["doctor", "--offline"]).output().unwrap();
    assert!(String::from_utf8_lossy(&doctor.stdout).contains(", rootless, "), "{doctor:?}");
}

/// The channel that `make channel` built, where one was needed.
fn channel() -> std::path::PathBuf {
    let variable = |name| std::env::var_os(name).map(std::path::PathBuf::from);
    let cache = variable("SOOPERVISOR_HOME").map(|home| home.join("cache"));
    let usual = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    cache.or_else(|| Some(usual()?.join("soopervisor"))).unwrap_or_default().join("channel")
}

#[test]
fn docker_without_root_keeps_its_promises_and_runs_an_example() {
    let _turn = one_at_a_time();
    needs(&["dockerd", "rootlesskit", "newuidmap", "slirp4netns", "setpriv"]);
    let script = "/usr/share/docker.io/contrib/dockerd-rootless.sh";
    assert!(Path::new(script).is_file(), "`{script}` is missing: it comes with Debian's docker.io");
    keeps_its_promises_and_runs_an_example("docker");
}

#[test]
fn podman_without_root_keeps_its_promises_and_runs_an_example() {
    let _turn = one_at_a_time();
    needs(&["podman", "catatonit", "newuidmap", "slirp4netns", "setpriv"]);
    keeps_its_promises_and_runs_an_example("podman");
}

//! A Postgres server of the distribution, started once for all tests of this program on a socket in a temporary folder,
//! by a user who is not root. It ends with the test program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

static SERVER: OnceLock<PathBuf> = OnceLock::new();
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// The folder with `initdb` and `postgres`.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").map(|found| found.filter_map(Result::ok).collect::<Vec<_>>());
    let mut found: Vec<PathBuf> = versions.unwrap_or_default().iter().map(|entry| entry.path().join("bin")).collect();
    found.retain(|folder| folder.join("initdb").is_file());
    found.sort();
    found.pop().expect("no Postgres below /usr/lib/postgresql: run `make setup`, or `apt-get install postgresql`")
}

/// The command, by a user who is not root: Postgres refuses root.
fn unprivileged(program: &Path) -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
    command
}

#[expect(clippy::zombie_processes, reason = "it outlives this program by a moment, and ends itself")]
fn start() -> PathBuf {
    let folder = tempfile::Builder::new().prefix("soop-pg-").tempdir_in("/tmp").unwrap().keep();
    let (data, bin) = (folder.join("data"), programs());
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&folder, Some(65534), Some(65534)).unwrap();
    }
    let made = unprivileged(&bin.join("initdb"))
        .args(["--auth=trust", "--no-sync", "--username=soop", "--encoding=UTF8", "--locale=C", "-D"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    // Looks whether this program is still there, however it may end, and then removes the folder. A signal could not ask:
    // it is another user's.
    let watch = "p=$1 f=$2; shift 2; \"$@\" >/dev/null 2>&1 & s=$!; while [ -d /proc/$p ]; do sleep 0.5; done; \
                 kill -INT $s; sleep 2; kill -KILL $s 2>/dev/null; wait $s; rm -rf \"$f\"";
    let mut server = unprivileged(Path::new("/bin/sh"));
    server.args(["-c", watch, "watch"]).arg(std::process::id().to_string()).arg(&folder);
    server.arg(bin.join("postgres")).arg("-D").arg(&data).arg("-k").arg(&folder);
    server.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=300"]);
    // Its own group: Ctrl-C at a terminal must not take the server before the watch does.
    std::os::unix::process::CommandExt::process_group(&mut server, 0);
    server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..900 {
        if psql(&folder, "postgres", "SELECT 1").is_ok() {
            return folder;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("Postgres did not answer within 90 s: {}", psql(&folder, "postgres", "SELECT 1").unwrap_err());
}

/// Runs one statement; what it said comes back when it failed.
pub(crate) fn psql(folder: &Path, database: &str, statement: &str) -> Result<(), String> {
    let mut command = Command::new(programs().join("psql"));
    command.arg("-h").arg(folder).args(["-U", "soop", "-d", database, "-qAtc", statement]);
    let output = command.output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The address of an empty database of its own.
pub(crate) fn fresh_database() -> String {
    let folder = SERVER.get_or_init(start);
    let name = format!("ledger{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    psql(folder, "postgres", &format!("CREATE DATABASE {name}")).unwrap();
    format!("postgres://soop@localhost/{name}?host={}", folder.display())
}

//! Real servers on free ports of this machine, gone with the test that started them.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::run;

/// Where scripts/servers.sh puts what it installs.
pub(crate) fn folder_of_servers() -> PathBuf {
    let cache = || {
        let set = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        set.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"))
    };
    let set = std::env::var_os("SOOPERVISOR_TEST_SERVERS").map(PathBuf::from);
    set.unwrap_or_else(|| cache().join("soopervisor/servers"))
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program that serves until it is dropped.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn start(name: &str, program: &Path, arguments: &[&str], port: u16) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| missing(name, &error));
        Self::answering(name, child, port)
    }

    /// One for all tests of this process, with which it ends: what is static is dropped by nobody.
    #[allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]
    pub(crate) fn for_all(name: &str, program: &Path, arguments: &[&str], port: u16) -> Self {
        if !program.exists() {
            missing(name, &"no such file");
        }
        let mut command = Command::new("sh");
        command.args(["-c", "\"$0\" \"$@\" </dev/null & child=$!; cat >/dev/null; kill \"$child\""]);
        command.arg(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self::answering(name, command.spawn().unwrap(), port)
    }

    fn answering(name: &str, child: Child, port: u16) -> Self {
        let mut server = Self(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.0.try_wait().unwrap() {
                panic!("{name} ended at once: {status}");
            }
            assert!(begun.elapsed() < Duration::from_secs(90), "{name} does not answer on port {port}");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }
}

fn missing(name: &str, error: &dyn std::fmt::Display) -> ! {
    panic!("{name} is missing ({error}): `scripts/test.sh` installs it (scripts/servers.sh)")
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Azurite's only account; everybody knows its key.
const AZURITE: (&str, &str) =
    ("devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==");

/// Azure Blob Storage in the memory of a server on that port: with [`Server::start`], or [`Server::for_all`].
#[allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]
pub(crate) fn azurite(start: fn(&str, &Path, &[&str], u16) -> Server, port: u16) -> Server {
    azurite_with(start, port, &["--inMemoryPersistence"])
}

/// Azure Blob Storage in a folder, by a server on that port.
#[allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]
pub(crate) fn azurite_on_the_disk(place: &Path, port: u16) -> Server {
    azurite_with(Server::start, port, &["--location", place.to_str().unwrap()])
}

#[allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]
fn azurite_with(start: fn(&str, &Path, &[&str], u16) -> Server, port: u16, kept: &[&str]) -> Server {
    let program = folder_of_servers().join("node_modules/.bin/azurite-blob");
    let number = port.to_string();
    let place = ["--blobHost", "127.0.0.1", "--blobPort", &number];
    start("azurite", &program, &[&place[..], kept, &["--skipApiVersionCheck", "--disableTelemetry"]].concat(), port)
}

/// S3 in a folder, by a server on that port, with one bucket. Its only key and secret are `S3RVER`.
#[allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]
pub(crate) fn s3rver(place: &Path, port: u16, bucket: &str) -> Server {
    let program = folder_of_servers().join("node_modules/.bin/s3rver");
    let (folder, number) = (place.to_str().unwrap(), port.to_string());
    let place = ["-d", folder, "-a", "127.0.0.1", "-p", &number, "--configure-bucket", bucket];
    let manners = ["--silent", "--no-vhost-buckets", "--allow-mismatched-signatures"];
    Server::start("s3rver", &program, &[&place[..], &manners].concat(), port)
}

/// A container there, and what is set to get to it.
#[allow(clippy::allow_attributes, dead_code, reason = "each test program uses a part of it")]
pub(crate) fn container(port: u16, name: &str) -> [(&'static str, String); 3] {
    let (account, key) = AZURITE;
    let endpoint = format!("http://127.0.0.1:{port}/{account}");
    let python = folder_of_servers().join("venv/bin/python");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stores/azure_container.py");
    run(python.to_str().unwrap(), &[script, &endpoint, name, key]);
    [
        ("SOOPERVISOR_AZBLOB_ENDPOINT", endpoint),
        ("SOOPERVISOR_AZBLOB_ACCOUNT", account.to_owned()),
        ("SOOPERVISOR_AZBLOB_ACCOUNT_KEY", key.to_owned()),
    ]
}

/// Keys of a server on that port and of two people, of whom it lets in the one whose key is `user`.
pub(crate) fn keys(place: &Path, port: u16) {
    let file = |name: &str| place.join(name).to_str().unwrap().to_owned();
    for name in ["host", "user", "stranger"] {
        run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &file(name)]);
    }
    std::fs::copy(place.join("user.pub"), place.join("authorized")).unwrap();
    let host_key = std::fs::read_to_string(place.join("host.pub")).unwrap();
    std::fs::write(place.join("known_hosts"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
}

/// An OpenSSH server for one user, whose key is `user`; `stranger` is a key that it does not know.
pub(crate) fn sshd(place: &Path, port: u16) -> Server {
    keys(place, port);
    let file = |name: &str| place.join(name).to_str().unwrap().to_owned();
    let settings = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n",
        file("host"),
        file("authorized"),
    );
    std::fs::write(place.join("sshd_config"), settings).unwrap();
    Server::start("sshd", Path::new("/usr/sbin/sshd"), &["-D", "-f", &file("sshd_config")], port)
}

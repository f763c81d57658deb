//! One connection to an SSH server, through the `ssh` program of this machine: its settings, agent and known hosts count.
//!
//! No password is ever asked for or given.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::{Error, Sftp as Client, SftpOptions};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::secret::withhold;
use crate::web::Fault;

const PATIENCE: Duration = Duration::from_secs(45);

/// Which server, and as whom.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Its name or address, or its name in ssh's settings.
    pub name: String,
    /// The user, where ssh's settings are not to decide.
    pub user: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// A private key.
    pub key: Option<PathBuf>,
    /// The keys of servers, where they are not ssh's own.
    pub known_hosts: Option<PathBuf>,
    /// ssh's settings, where they are not the user's own.
    pub ssh_config: Option<PathBuf>,
}

/// A living connection; gone, with its process, when it is dropped.
pub(super) struct Session {
    pub(super) client: Client,
    /// Whether a second name can be given to a file, once that was tried.
    pub(super) links: tokio::sync::OnceCell<bool>,
    _ssh: Child,
}

impl Session {
    pub(super) async fn open(host: &Host) -> Result<Self, Fault> {
        let started = command(host).spawn();
        let mut ssh =
            started.map_err(|error| Fault::Setting(format!("the program `ssh` cannot be started: {error}")))?;
        let (Some(stdin), Some(stdout), Some(mut stderr)) = (ssh.stdin.take(), ssh.stdout.take(), ssh.stderr.take())
        else {
            return Err(Fault::Broken("ssh has no pipes".to_owned()));
        };
        let told = tokio::spawn(async move {
            let mut told = Vec::new();
            let _ = (&mut stderr).take(16 * 1024).read_to_end(&mut told).await;
            // Whatever more it says must not block it.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            String::from_utf8_lossy(&told).into_owned()
        });
        match tokio::time::timeout(PATIENCE, Client::new(stdin, stdout, SftpOptions::new())).await {
            Ok(Ok(client)) => Ok(Self { client, links: tokio::sync::OnceCell::new(), _ssh: ssh }),
            Ok(Err(error)) => {
                drop(ssh);
                let told = tokio::time::timeout(Duration::from_secs(2), told).await;
                Err(refusal(&told.ok().and_then(Result::ok).unwrap_or_default(), &error))
            }
            Err(_) => Err(Fault::Broken("no answer in time".to_owned())),
        }
    }
}

fn command(host: &Host) -> Command {
    let mut command = Command::new("ssh");
    withhold(command.as_std_mut());
    command.args([
        "-T",
        "-oBatchMode=yes",
        "-oConnectTimeout=20",
        "-oServerAliveInterval=20",
        "-oClearAllForwardings=yes",
    ]);
    let mut option = |name: &str, value: &dyn AsRef<std::ffi::OsStr>| {
        command.arg(name).arg(value);
    };
    if let Some(file) = &host.ssh_config {
        option("-F", file);
    }
    if let Some(key) = &host.key {
        option("-i", key);
        option("-o", &"IdentitiesOnly=yes");
    }
    if let Some(file) = &host.known_hosts {
        option("-o", &format!("UserKnownHostsFile=\"{}\"", file.display()));
        option("-o", &"StrictHostKeyChecking=yes");
    }
    if let Some(user) = &host.user {
        option("-l", user);
    }
    if let Some(port) = &host.port {
        option("-p", &port.to_string());
    }
    command.args(["-s", "--", &host.name, "sftp"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Why ssh let nobody in, in its own words.
fn refusal(told: &str, error: &Error) -> Fault {
    let last: Vec<&str> = told.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let words = last.last().map_or_else(|| error.to_string(), |line| (*line).chars().take(300).collect());
    if told.contains("Permission denied") {
        return Fault::Login(format!(
            "{words}; ssh takes a key of the agent or of `key`, and asks for no password here"
        ));
    }
    if told.contains("Host key verification failed") || told.contains("HOST IDENTIFICATION HAS CHANGED") {
        return Fault::Login(format!("{words}; ssh does not know this server: connect once with `ssh` by hand"));
    }
    Fault::Broken(words)
}

/// What an answer means.
pub(super) fn fault(error: &Error) -> Fault {
    match error {
        Error::SftpError(SftpErrorKind::NoSuchFile, _) => Fault::NotFound,
        Error::SftpError(SftpErrorKind::PermDenied, words) => Fault::Forbidden(format!("{words}")),
        // The third version of the protocol has no word for a full disk, or for what exists.
        Error::SftpError(_, words) => {
            let words = format!("{words}");
            let low = words.to_ascii_lowercase();
            let full = ["no space", "quota exceeded"].iter().any(|says| low.contains(says));
            if full { Fault::Full } else { Fault::refused(0, &words) }
        }
        error => Fault::Broken(error.to_string()),
    }
}

//! A reading by git itself, for what is not reached over HTTP: SSH, and folders of this machine. Costs a process.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::answer::{Refs, listed};
use super::fault::Fault;
use super::reading::keep_asked;

const PATIENCE: Duration = Duration::from_mins(1);
const LONGEST: usize = 64 << 20;

/// Reads the refs below these prefixes. `key` is the private key of a deploy key.
///
/// # Errors
/// A [`Fault`], with git's last line where it says anything.
pub async fn read(address: &str, key: Option<&std::path::Path>, prefixes: &[String]) -> Result<Refs, Fault> {
    let mut git = Command::new("git");
    // Nothing of the environment that git would take for settings, and no question that nobody would answer.
    for name in
        ["GIT_DIR", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS", "SSH_ASKPASS"]
    {
        git.env_remove(name);
    }
    let mut ssh = "ssh -o BatchMode=yes -o ConnectTimeout=20".to_owned();
    if let Some(key) = key {
        let key = key.to_str().filter(|key| !key.contains(['\'', '\n']));
        let key = key.ok_or_else(|| Fault::Setting("the path of the deploy key cannot be handed to ssh".to_owned()))?;
        ssh = format!("{ssh} -o IdentitiesOnly=yes -i '{key}'");
    }
    git.env("GIT_TERMINAL_PROMPT", "0").env("GIT_SSH_COMMAND", ssh).env("LC_ALL", "C");
    git.args([
        "-c",
        "protocol.version=2",
        "-c",
        "protocol.ext.allow=never",
        "ls-remote",
        "--symref",
        "--",
        address,
        "HEAD",
    ]);
    git.args(prefixes.iter().map(|prefix| format!("{prefix}*")));
    git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).current_dir("/");
    let output = tokio::time::timeout(PATIENCE, git.output()).await;
    let output = output.map_err(|_| Fault::Network("git did not end within a minute".to_owned()))?;
    let output = output.map_err(|error| Fault::Setting(format!("git cannot be started: {error}")))?;
    if !output.status.success() {
        return Err(judged(&String::from_utf8_lossy(&output.stderr), address));
    }
    if output.stdout.len() > LONGEST {
        return Err(Fault::Server(format!("the list of refs is longer than {} MiB", LONGEST >> 20)));
    }
    let mut refs = listed(&output.stdout)?;
    keep_asked(&mut refs, prefixes);
    Ok(refs)
}

/// git's words in our classes.
fn judged(words: &str, address: &str) -> Fault {
    const DENIED: [&str; 6] = [
        "Permission denied",
        "does not appear to be a git repository",
        "not found",
        "Host key verification failed",
        "could not read Username",
        "Authentication failed",
    ];
    if DENIED.iter().any(|known| words.contains(known)) {
        return Fault::Denied(404);
    }
    let last = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("git said nothing");
    Fault::Network(last.replace(address, "the repository").chars().filter(|c| !c.is_control()).take(200).collect())
}

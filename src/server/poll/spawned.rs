//! A reading by git itself, for what is not reached over HTTP: SSH, and folders of this machine. Costs a process.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use super::Address;
use super::answer::{Refs, listed};
use super::fault::Fault;
use super::reading::keep_asked;
use crate::server::git::{self, Way};

const PATIENCE: Duration = Duration::from_mins(1);
const LONGEST: usize = 64 << 20;

/// Reads the refs below these prefixes.
///
/// # Errors
/// A [`Fault`], with git's last line where it says anything.
pub async fn read(address: &Address, prefixes: &[String]) -> Result<Refs, Fault> {
    if let Address::Git(_, Some(key)) = address
        && git::quoted(key).is_none()
    {
        return Err(Fault::Setting("the path of the deploy key cannot be handed to ssh".to_owned()));
    }
    let text = address.text();
    let mut git = git::git(Path::new("/"), Way::Watched(address));
    git.args(["-c", "protocol.version=2", "ls-remote", "--symref", "--", &text, "HEAD"]);
    // Ctrl-C at our terminal is for us: who stops lets go of the reading.
    git.process_group(0);
    git.args(prefixes.iter().map(|prefix| format!("{prefix}*")));
    let output = tokio::time::timeout(PATIENCE, git.output()).await;
    let output = output.map_err(|_| Fault::Network("git did not end within a minute".to_owned()))?;
    let output = output.map_err(|error| Fault::Setting(format!("git cannot be started: {error}")))?;
    if !output.status.success() {
        if let Some(signal) = output.status.signal() {
            return Err(Fault::Network(format!(
                "git was ended from outside, by signal {signal}, before it was through"
            )));
        }
        return Err(judged(&String::from_utf8_lossy(&output.stderr), &text));
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
    const DENIED: [&str; 5] = [
        "Permission denied",
        "does not appear to be a git repository",
        "not found",
        "could not read Username",
        "Authentication failed",
    ];
    // Nobody was asked yet who might deny anything, and asking again changes nothing.
    if let Some(todo) = git::of_host_key(words) {
        return Fault::Setting(todo.to_owned());
    }
    if DENIED.iter().any(|known| words.contains(known)) {
        return Fault::Denied(0);
    }
    Fault::Network(
        git::telling(words).replace(address, "the repository").chars().filter(|c| !c.is_control()).take(200).collect(),
    )
}

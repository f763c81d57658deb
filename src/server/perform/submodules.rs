//! Submodules of a workspace, as far as they are on the repository's own host.
//!
//! `.gitmodules` is anybody's text. An address on another host would make this server ask it, a path would show this
//! machine's files, so both are refused; submodules of submodules are not fetched. What a stranger names is asked for as
//! anybody may ask, over HTTP and with no password: the server's own opens repositories that the stranger cannot read.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;

use crate::server::action::EffectFault;
use crate::server::poll::Address;

const PATIENCE: Duration = Duration::from_mins(15);

/// How a repository is reached, as far as its submodules must be reached alike.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    /// What git calls it: `https`, `ssh`, `file`.
    protocol: String,
    /// Empty for a folder.
    host: String,
    /// Parts of the path.
    depth: usize,
}

impl Way {
    fn of(address: &str) -> Option<Self> {
        let way = |protocol: &str, place: &str, path: &str| Self {
            protocol: protocol.to_owned(),
            host: place.rsplit('@').next().unwrap_or(place).to_ascii_lowercase(),
            depth: path.split('/').filter(|part| !part.is_empty()).count(),
        };
        if let Some((protocol, rest)) = address.split_once("://") {
            let (place, path) = rest.split_once('/')?;
            return matches!(protocol, "https" | "http" | "ssh").then(|| way(protocol, place, path));
        }
        if address.starts_with('/') {
            return Some(way("file", "", address));
        }
        let (place, path) = address.split_once(':')?;
        place.contains('@').then(|| way("ssh", place, path))
    }

    /// Whether an address of `.gitmodules` leads to the same host.
    fn leads(&self, url: &str) -> bool {
        let plain = !url.starts_with('-') && !url.chars().any(char::is_control) && !url.contains("::");
        if url.starts_with("./") || url.starts_with("../") {
            let parts: Vec<&str> = url.split('/').collect();
            let up = parts.iter().take_while(|part| matches!(**part, "." | "..")).filter(|part| **part == "..").count();
            let rest = parts.iter().skip_while(|part| matches!(**part, "." | ".."));
            let inside = rest.clone().all(|part| !part.is_empty() && *part != "..") && rest.count() > 0;
            // Above the folder beside it nothing is the repository's neighbour any more.
            let most = if self.protocol == "file" { 1 } else { self.depth };
            return plain && inside && up <= most && !url.contains([':', '@']);
        }
        let other = Self::of(url).filter(|other| other.protocol != "file");
        plain && other.is_some_and(|other| other.protocol == self.protocol && other.host == self.host)
    }
}

/// Whose text `.gitmodules` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Author {
    /// Somebody's who may push.
    Trusted,
    /// Anybody's.
    Stranger,
}

/// Fetches them into a work tree that has none yet.
///
/// # Errors
/// When one is elsewhere, or cannot be fetched.
pub(super) async fn fetch(tree: &Path, address: &Address, author: Author) -> Result<(), EffectFault> {
    match std::fs::symlink_metadata(tree.join(".gitmodules")) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Err(EffectFault::new("`.gitmodules` is no file")),
        Err(_) => return Ok(()),
    }
    let own = address.text();
    let way = Way::of(&own).ok_or_else(|| EffectFault::new("submodules are fetched over HTTPS and SSH only"))?;
    let listed = ["config", "-z", "-f", ".gitmodules", "--get-regexp", r"^submodule\..*\.url$"];
    let listed = git(tree, None, &way, &listed).await?;
    if author == Author::Stranger && !matches!(address, Address::Http(..)) {
        let words = "submodules of a stranger's code are fetched over HTTP and without a password only: write \
                     `submodules: false`, or a `when` that leaves forks out";
        return Err(EffectFault::new(words));
    }
    for entry in listed.split('\0').filter(|entry| !entry.is_empty()) {
        let url = entry.split_once('\n').map_or("", |(_, url)| url);
        if !way.leads(url) {
            let shown: String = url.chars().take(200).collect();
            let words = format!("the submodule at `{}` is not on the repository's own host", shown.escape_debug());
            return Err(EffectFault::new(words));
        }
    }
    let trusted = (author == Author::Trusted).then_some(address);
    git(tree, trusted, &way, &["submodule", "--quiet", "update", "--init", "--checkout", "--force"]).await.map(drop)
}

/// With the credential of an address; without one, with nobody's.
async fn git(tree: &Path, address: Option<&Address>, way: &Way, words: &[&str]) -> Result<String, EffectFault> {
    let mut git = Command::new("git");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("GIT_") && !matches!(&*text, "GIT_EXEC_PATH" | "GIT_SSL_CAINFO") {
            git.env_remove(&name);
        }
    }
    git.env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let allowed = format!("protocol.{}.allow=always", way.protocol);
    for option in [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "credential.helper=",
        "gc.auto=0",
        "http.followRedirects=false",
        "filter.lfs.smudge=",
        "filter.lfs.required=false",
        "protocol.allow=never",
        &allowed,
    ] {
        git.args(["-c", option]);
    }
    match address {
        Some(Address::Http(url, Some(who))) => {
            let pair = [who.user.as_bytes(), b":", who.password.expose()].concat();
            git.env("GIT_CONFIG_COUNT", "1");
            git.env("GIT_CONFIG_KEY_0", format!("http.{}.extraHeader", url.origin().ascii_serialization()));
            git.env("GIT_CONFIG_VALUE_0", format!("Authorization: Basic {}", STANDARD.encode(pair)));
        }
        Some(Address::Git(_, Some(key))) => {
            let key = key.to_str().filter(|key| !key.contains(['\'', '\n']));
            let key = key.map(|key| format!(" -o IdentitiesOnly=yes -i '{key}'")).unwrap_or_default();
            git.env("GIT_SSH_COMMAND", format!("ssh -o BatchMode=yes -o ConnectTimeout=20{key}"));
        }
        Some(_) => {}
        // A password in `~/.netrc` is one of this server, too.
        None => drop(git.env("HOME", "/nonexistent")),
    }
    git.args(words).current_dir(tree).stdin(Stdio::null()).kill_on_drop(true);
    let failed = |words: &str| EffectFault::new(format!("submodules cannot be fetched: {words}"));
    let output = tokio::time::timeout(PATIENCE, git.output()).await.map_err(|_| failed("it took too long"))?;
    let output = output.map_err(|error| failed(&error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("git said nothing");
    Err(failed(&last.chars().filter(|c| !c.is_control()).take(300).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submodule_is_on_the_repositorys_own_host_or_nowhere() {
        let https = Way::of("https://git.example/acme/churn.git").unwrap();
        for good in
            ["../lib.git", "./x", "../../other/lib", "https://git.example/other/lib.git", "https://GIT.example/a"]
        {
            assert!(https.leads(good), "{good}");
        }
        for bad in [
            "https://evil.example/acme/lib",
            "https://git.example.evil/x",
            "https://git.example@evil.example/x",
            "http://git.example/x",
            "http://169.254.169.254/x",
            "ssh://git.example/x",
            "file:///etc",
            "/etc",
            "../../../evil.example/x",
            "..//evil.example/x",
            "../a/../../../../x",
            "ext::sh -c id",
            "--upload-pack=id",
            "../a@b:c",
            "",
        ] {
            assert!(!https.leads(bad), "{bad}");
        }
        let ssh = Way::of("git@git.example:acme/churn.git").unwrap();
        assert!(ssh.leads("git@git.example:acme/lib.git") && !ssh.leads("git@evil.example:acme/lib.git"));
        assert!(!ssh.leads("git@git.example.evil:x") && ssh.leads("../lib.git"));
        let folder = Way::of("/srv/git/acme/churn.git").unwrap();
        assert!(folder.leads("../lib.git") && !folder.leads("../../other") && !folder.leads("/srv/git/acme/lib.git"));
    }
}

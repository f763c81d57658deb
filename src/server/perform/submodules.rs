//! Submodules of a workspace, as far as they are on the repository's own host.
//!
//! `.gitmodules` is anybody's text. An address on another host would make this server ask it, a path would show this
//! machine's files, so both are refused; submodules of submodules are not fetched. What a stranger names is asked for as
//! anybody may ask, over HTTP and with no password: the server's own opens repositories that the stranger cannot read.

use std::path::Path;
use std::time::Duration;

use crate::server::action::EffectFault;
use crate::server::git;
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
    // All of it: git calls it a failure when a pattern finds nothing.
    let listed = git(tree, git::Way::Here, &["config", "-z", "-f", ".gitmodules", "--list"]).await?;
    let urls: Vec<&str> = listed.split('\0').filter_map(url_of).collect();
    if urls.is_empty() {
        return Ok(());
    }
    if author == Author::Stranger && !matches!(address, Address::Http(..)) {
        let words = "submodules of a stranger's code are fetched over HTTP and without a password only: write \
                     `submodules: false`, or a `when` that leaves forks out";
        return Err(EffectFault::new(words));
    }
    for url in urls {
        if !way.leads(url) {
            let shown: String = url.chars().take(200).collect();
            let words = format!("the submodule at `{}` is not on the repository's own host", shown.escape_debug());
            return Err(EffectFault::new(words));
        }
    }
    let trusted = match author {
        Author::Trusted => Some(address.at_hand().await.map_err(|fault| EffectFault::new(fault.to_string()))?),
        Author::Stranger => None,
    };
    let named = git::Way::Named(&way.protocol, trusted.as_ref());
    git(tree, named, &["submodule", "--quiet", "update", "--init", "--checkout", "--force"]).await.map(drop)
}

/// The address in a line of `git config -z --list`; git writes sections and keys small. A key without a value is an empty
/// address, which leads nowhere.
fn url_of(entry: &str) -> Option<&str> {
    let (key, value) = entry.split_once('\n').unwrap_or((entry, ""));
    key.strip_prefix("submodule.").and_then(|name| name.strip_suffix(".url")).map(|_| value)
}

async fn git(tree: &Path, way: git::Way<'_>, words: &[&str]) -> Result<String, EffectFault> {
    let mut git = git::git(tree, way);
    git.args(words);
    let failed = |words: &str| EffectFault::new(format!("submodules cannot be fetched: {words}"));
    let output = tokio::time::timeout(PATIENCE, git.output()).await.map_err(|_| failed("it took too long"))?;
    let output = output.map_err(|error| failed(&error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(&git::last_line(&output.stderr)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_what_git_lists() {
        let listed = "submodule.X.y.url\n../a\0submodule.X.y.path\nb\0submodule.url\nz\0core.url\nx\0submodule.q.url\0";
        assert_eq!(listed.split('\0').filter_map(url_of).collect::<Vec<_>>(), ["../a", ""]);
    }

    #[tokio::test]
    async fn a_file_of_submodules_without_any_is_no_fault() {
        let tree = tempfile::tempdir().unwrap();
        let address = Address::Git("git@git.example:acme/churn.git".to_owned(), None);
        for text in ["", "# none\n", "[submodule]\n\tactive = .\n"] {
            std::fs::write(tree.path().join(".gitmodules"), text).unwrap();
            for author in [Author::Trusted, Author::Stranger] {
                assert_eq!(fetch(tree.path(), &address, author).await, Ok(()), "{text}");
            }
        }
    }

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

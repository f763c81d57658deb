//! Brings one commit onto the runner, by its full id, into a folder of its own.
//!
//! The token is in git's environment only, for this one server; nothing is written into the repository's settings.
//! No program that the repository names is started: no hooks, no submodules. Of filters there are those that the runner has
//! set up, git-lfs most often; strangers do not choose the server that it asks.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use thiserror::Error;

use crate::id::CommitSha;
use crate::secret::{Secret, withhold_clouds};
use crate::web::Reach;

/// Enough ancestors to find what ran before; a whole history may be large.
const DEPTH: &str = "--depth=200";

/// Commits before the base of a pull request among which a run is looked for that it can be compared with.
pub const ANCESTORS: usize = 100;

/// Why a commit is not here.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Git failed.
    #[error("git could not {doing} {commit}: {words}")]
    Git {
        /// What it was to do.
        doing: &'static str,
        /// With what.
        commit: CommitSha,
        /// What it said.
        words: String,
    },
    /// Something else came.
    #[error("{wanted} was asked for and {got} came: nothing is run")]
    Other {
        /// As asked for.
        wanted: CommitSha,
        /// What is checked out.
        got: String,
    },
    /// Git, or a folder.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What is fetched, and from where.
#[derive(Debug)]
pub struct Fetch {
    /// `https://github.com`.
    pub server: String,
    /// `owner/name`.
    pub repo: crate::forge::RepoId,
    /// The commit.
    pub commit: CommitSha,
    /// Who asks; a public repository needs nobody.
    pub token: Option<Secret>,
    /// Certificates to trust besides the system's, and proxies.
    pub reach: Reach,
    /// Whether anybody may have written what is in it.
    pub strangers: bool,
}

/// Fetches a commit into `folder`, which must not exist.
///
/// # Errors
/// When it cannot be had; when what came is something else, nothing may be run.
pub fn fetch(fetch: &Fetch, folder: &Path) -> Result<(), PlaceError> {
    fs_err::create_dir_all(folder)?;
    let url = format!("{}/{}", fetch.server, fetch.repo);
    let commit = fetch.commit.as_str();
    let run = |doing, args: &[&str]| fetch.run(folder, doing, args);
    run("prepare a folder for", &["init", "-q", "."])?;
    run("name the server of", &["remote", "add", "origin", &url])?;
    run("fetch", &["fetch", "-q", "--no-tags", "--no-recurse-submodules", DEPTH, "origin", commit])?;
    run("check out", &["checkout", "-q", "--detach", commit])?;
    let here = run("look at", &["rev-parse", "HEAD"])?;
    let here = String::from_utf8_lossy(&here.stdout).trim().to_owned();
    if here == commit { Ok(()) } else { Err(PlaceError::Other { wanted: fetch.commit.clone(), got: here }) }
}

/// A commit and those before it, each the first parent of the one in front of it; 100 of them at the most. `folder` is one
/// that [`fetch`] made, or lies in it: what it lacks of that history is fetched, without the files.
///
/// # Errors
/// When git fails.
pub fn line(fetch: &Fetch, folder: &Path) -> Result<Vec<CommitSha>, PlaceError> {
    let most = (ANCESTORS + 1).to_string();
    let commit = fetch.commit.as_str();
    let depth = format!("--depth={most}");
    let wanted = ["fetch", "-q", "--no-tags", "--no-recurse-submodules", "--filter=tree:0", &depth, "origin", commit];
    fetch.run(folder, "fetch what is before", &wanted)?;
    let listed = ["rev-list", "--first-parent", "--max-count", &most, commit, "--"];
    let listed = fetch.run(folder, "list what is before", &listed)?;
    Ok(String::from_utf8_lossy(&listed.stdout).lines().filter_map(|line| line.trim().parse().ok()).collect())
}

impl Fetch {
    /// What git printed.
    fn run(&self, folder: &Path, doing: &'static str, args: &[&str]) -> Result<Output, PlaceError> {
        let mut command = git(folder, self);
        let trusted = self.reach.ca_bundle.as_deref().map(trusted).transpose()?;
        if let Some(trusted) = &trusted {
            // Stronger than a setting of git's: what this machine says to git alone does not count before what it says to us.
            command.env("GIT_SSL_CAINFO", trusted.path());
        }
        let output = command.args(args).output()?;
        if output.status.success() {
            return Ok(output);
        }
        let words = String::from_utf8_lossy(&output.stderr).lines().rev().take(3).collect::<Vec<_>>().join("; ");
        Err(PlaceError::Git { doing, commit: self.commit.clone(), words })
    }
}

/// The commit that is checked out in a folder; `None` where there is none.
pub fn commit_here(folder: &Path) -> Option<CommitSha> {
    let output = plain(folder).args(["rev-parse", "HEAD"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn plain(folder: &Path) -> Command {
    let mut command = Command::new("git");
    // It asks GitHub by https alone, and starts no helper.
    withhold_clouds(&mut command);
    command.current_dir(folder).stdin(Stdio::null()).env("GIT_TERMINAL_PROMPT", "0");
    for (name, _) in std::env::vars_os().filter(|(name, _)| redirects(name)) {
        command.env_remove(name);
    }
    for setting in [
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "credential.helper=",
        "submodule.recurse=false",
        "protocol.allow=never",
        "protocol.https.allow=always",
        "protocol.http.allow=always",
        "http.followRedirects=initial",
        "gc.auto=0",
        // A workspace that the runner made may be another user's, in a container.
        "safe.directory=*",
    ] {
        command.args(["-c", setting]);
    }
    command
}

/// Variables that would point git at another repository.
fn redirects(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        let kept = ["GIT_SSL_CAINFO", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"];
        name.starts_with("GIT_") && !kept.contains(&name)
    })
}

fn git(folder: &Path, fetch: &Fetch) -> Command {
    let mut command = plain(folder);
    let mut settings: Vec<(String, OsString)> = Vec::new();
    if let Some(token) = &fetch.token {
        let words = [b"x-access-token:", token.expose()].concat();
        let value = format!("AUTHORIZATION: basic {}", base64::engine::general_purpose::STANDARD.encode(words));
        settings.push((format!("http.{}/.extraheader", fetch.server), value.into()));
    }
    if fetch.strangers {
        // Stronger than what .lfsconfig says.
        settings.push(("lfs.url".to_owned(), format!("{}/{}.git/info/lfs", fetch.server, fetch.repo).into()));
    }
    // Also what no variable names, but this machine's settings; curl knows the small spelling of all of them.
    for (name, proxy) in &fetch.reach.proxies {
        command.env(name, proxy).env(name.to_ascii_lowercase(), proxy);
    }
    command.env("GIT_CONFIG_COUNT", settings.len().to_string());
    for (place, (key, value)) in settings.into_iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{place}"), key).env(format!("GIT_CONFIG_VALUE_{place}"), value);
    }
    command
}

/// The bundle and the system's authorities: git takes one file in place of the latter. It is there until it is dropped.
fn trusted(bundle: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let named = |error: std::io::Error| std::io::Error::new(error.kind(), format!("`{}`: {error}", bundle.display()));
    let pem = crate::web::authorities(bundle).map_err(named)?;
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(&pem)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_is_given_the_systems_authorities_besides_the_bundle() {
        let dir = tempfile::tempdir().unwrap();
        let bundle = dir.path().join("company.pem");
        std::fs::write(&bundle, "a certificate").unwrap();
        let mut fetch = Fetch {
            server: "https://github.example".to_owned(),
            repo: "octo-org/churn".parse().unwrap(),
            commit: "a".repeat(40).parse().unwrap(),
            token: None,
            reach: Reach { ca_bundle: Some(bundle.clone()), ..Reach::default() },
            strangers: false,
        };
        let shown = ["-c", "alias.shown=!cat \"$GIT_SSL_CAINFO\"", "shown"];
        let output = fetch.run(dir.path(), "show", &shown).unwrap();
        assert_eq!(output.stdout, crate::web::authorities(&bundle).unwrap());
        fetch.reach.ca_bundle = Some(dir.path().join("none.pem"));
        let told = fetch.run(dir.path(), "show", &shown).unwrap_err().to_string();
        assert!(told.contains("none.pem`"), "{told}");
    }

    #[test]
    fn strangers_do_not_choose_the_server_of_their_large_files() {
        let dir = tempfile::tempdir().unwrap();
        let asked = |strangers| {
            let fetch = Fetch {
                server: "https://github.example".to_owned(),
                repo: "octo-org/churn".parse().unwrap(),
                commit: "a".repeat(40).parse().unwrap(),
                token: Some(Secret::new("t", b"x".to_vec())),
                reach: Reach::default(),
                strangers,
            };
            git(dir.path(), &fetch).args(["init", "-q"]).status().unwrap();
            let said = git(dir.path(), &fetch).args(["config", "lfs.url"]).output().unwrap();
            String::from_utf8(said.stdout).unwrap()
        };
        // As git-lfs finds it before it looks into .lfsconfig.
        assert_eq!(asked(true), "https://github.example/octo-org/churn.git/info/lfs\n");
        assert_eq!(asked(false), "");
    }
}

//! A work tree of one commit, from a bare copy of the repository that is kept and fetched into.
//!
//! Nothing that a repository names is started: no hook, no filter of ours, no helper.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::id::CommitSha;
use crate::server::git::{self, Way};
use crate::server::poll::Address;
use crate::web;

/// Where work trees are.
pub(super) const WORK: &str = "work";
/// Where bare copies are, each beside its lock.
pub(super) const COPIES: &str = "copies";

pub(super) const PATIENCE: Duration = Duration::from_mins(15);
/// Keeps what was fetched last, so that the next fetch brings only what is new.
const LAST: &str = "refs/soopervisor/last";

/// Why there is no work tree.
#[derive(Debug, Error)]
pub enum CheckoutError {
    /// git did not do it; another time it may.
    #[error("git could not {action}: {words}")]
    Git {
        /// What was tried.
        action: &'static str,
        /// Its last line.
        words: String,
    },
    /// The server gave what it has, and this commit is not in it.
    #[error("git could not fetch: the commit {0} is not among what the server gives")]
    Missing(String),
    /// More paths changed than are listed.
    #[error("more than {0} paths changed, or their names take more than 1 MiB")]
    Many(usize),
    /// A folder could not be made or removed.
    #[error("cannot use the folder `{}`", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

/// A work tree; removed by [`Checkout::close`].
#[derive(Debug)]
pub struct Checkout {
    path: PathBuf,
}

impl Checkout {
    /// The work tree of this name, which an earlier process may have made.
    pub fn at(folder: &Path, name: &str) -> Self {
        Self { path: folder.join(WORK).join(name) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub async fn close(self) -> Result<(), CheckoutError> {
        remove(&self.path).await
    }
}

async fn remove(path: &Path) -> Result<(), CheckoutError> {
    match tokio::fs::remove_dir_all(path).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(CheckoutError::Io { path: path.to_owned(), source }),
    }
}

/// Makes a work tree of a commit at `folder/work/name`; the bare copy is kept in `folder/copies`, and used by one caller at
/// a time.
///
/// # Errors
/// When the commit cannot be fetched, or not be written.
pub async fn checkout(
    folder: &Path,
    name: &str,
    address: &Address,
    reference: Option<&str>,
    sha: &CommitSha,
) -> Result<Checkout, CheckoutError> {
    let (work, path) = (folder.join(WORK), folder.join(WORK).join(name));
    let source = |source| CheckoutError::Io { path: work.clone(), source };
    tokio::fs::create_dir_all(&work).await.map_err(source)?;
    let (copy, _alone) = copy_with(folder, address, reference, sha).await?;
    remove(&path).await?;
    let (from, to) = (copy.display().to_string(), path.display().to_string());
    git(&copy, Way::Folders, "make a work tree", &["clone", "--quiet", "--no-checkout", "--shared", "--", &from, &to])
        .await?;
    // What the run is told of where it came from.
    git(&path, Way::Here, "name the origin", &["remote", "set-url", "origin", &address.text()]).await?;
    git(&path, Way::Here, "check the commit out", &["checkout", "--quiet", "--detach", sha.as_str()]).await?;
    Ok(Checkout { path })
}

/// The commits of the first-parent history that lead from one commit to another, oldest first, the last `most` of them.
/// Where the one does not lead to the other, only the other.
///
/// # Errors
/// When the commit cannot be fetched.
pub async fn between(
    folder: &Path,
    address: &Address,
    reference: &str,
    from: &CommitSha,
    to: &CommitSha,
    most: usize,
) -> Result<Vec<CommitSha>, CheckoutError> {
    let (copy, _alone) = copy_with(folder, address, Some(reference), to).await?;
    let leads = ["merge-base", "--is-ancestor", from.as_str(), to.as_str()];
    if git(&copy, Way::Here, "compare two commits", &leads).await.is_err() {
        return Ok(vec![to.clone()]);
    }
    let (most, range) = (format!("--max-count={most}"), format!("{from}..{to}"));
    let words = ["rev-list", "--first-parent", &most, "--reverse", &range];
    let listed = git(&copy, Way::Here, "list commits", &words).await?;
    Ok(listed.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Of moves of a ref from one commit to another, on its way to `tip`, those that threw commits away: where the second does
/// not descend from the first. Whoever has the tip has all that it descends from, so that one which is not there was thrown
/// away, too.
///
/// # Errors
/// When the tip cannot be fetched.
pub async fn thrown_away(
    folder: &Path,
    address: &Address,
    reference: &str,
    tip: &CommitSha,
    moves: Vec<(CommitSha, CommitSha)>,
) -> Result<Vec<(CommitSha, CommitSha)>, CheckoutError> {
    let (copy, _alone) = copy_with(folder, address, Some(reference), tip).await?;
    let mut found = Vec::new();
    for (from, to) in moves {
        let leads = ["merge-base", "--is-ancestor", from.as_str(), to.as_str()];
        if git(&copy, Way::Here, "compare two commits", &leads).await.is_err() {
            found.push((from, to));
        }
    }
    Ok(found)
}

/// What the copy of a repository is called.
pub(super) fn name_of(address: &Address) -> String {
    hex::encode(&Sha256::digest(address.text().as_bytes())[..8])
}

/// Whether an open file is still the one of this path.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let id = |meta: Metadata| (meta.dev(), meta.ino());
    let here = std::fs::metadata(path).ok().map(id);
    here.is_some() && here == file.metadata().ok().map(id)
}

/// The lock of a copy. Who removes a copy takes its lock's file away: whoever had waited for that one asks again.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = File::options().create(true).append(true).open(path)?;
        file.lock()?;
        if is_at(&file, path) {
            // How long nobody used a copy is told by its lock; where it cannot be, the copy goes sooner.
            let _ = file.set_modified(SystemTime::now());
            return Ok(file);
        }
    }
}

/// The bare copy of a repository, with a commit in it. While what comes back with it is held, nobody else fetches into it.
pub(super) async fn copy_with(
    folder: &Path,
    address: &Address,
    reference: Option<&str>,
    sha: &CommitSha,
) -> Result<(PathBuf, File), CheckoutError> {
    let copies = folder.join(COPIES);
    let source = |source| CheckoutError::Io { path: copies.clone(), source };
    tokio::fs::create_dir_all(&copies).await.map_err(source)?;
    let copy = copies.join(name_of(address));
    let alone = bring(&copy, address, reference, sha).await?;
    Ok((copy, alone))
}

/// Makes sure that the copy has a commit. While what comes back is held, nobody else fetches into it.
async fn bring(
    copy: &Path,
    address: &Address,
    reference: Option<&str>,
    sha: &CommitSha,
) -> Result<File, CheckoutError> {
    let path = copy.with_extension("lock");
    let source = |source| CheckoutError::Io { path: path.clone(), source };
    let (waited, made) = (path.clone(), copy.to_owned());
    let alone = tokio::task::spawn_blocking(move || {
        let file = locked(&waited)?;
        std::fs::create_dir_all(&made)?;
        Ok(file)
    });
    let alone = alone.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(source)?;
    if !copy.join("HEAD").exists() {
        git(copy, Way::Here, "make a copy", &["init", "--quiet", "--bare", "."]).await?;
    }
    ensure(copy, address, reference, sha).await?;
    Ok(alone)
}

/// Makes sure that a copy has a commit; nobody else fetches into it meanwhile.
pub(super) async fn ensure(
    copy: &Path,
    address: &Address,
    reference: Option<&str>,
    sha: &CommitSha,
) -> Result<(), CheckoutError> {
    let wanted = format!("{sha}^{{commit}}");
    if has(copy, &wanted).await {
        return Ok(());
    }
    fetch(copy, address, reference, sha).await?;
    if has(copy, &wanted).await { Ok(()) } else { Err(CheckoutError::Missing(sha.short().to_owned())) }
}

async fn has(copy: &Path, commit: &str) -> bool {
    git(copy, Way::Here, "look for the commit", &["cat-file", "-e", commit]).await.is_ok()
}

/// By id where the server allows it, else all of what may hold it.
async fn fetch(copy: &Path, address: &Address, reference: Option<&str>, sha: &CommitSha) -> Result<(), CheckoutError> {
    let words = |fault: web::Fault| format!("there is no token to show: {fault}");
    let at_hand = address.at_hand().await;
    let address = &at_hand.map_err(|fault| CheckoutError::Git { action: "fetch", words: words(fault) })?;
    let from = address.text();
    if !has(copy, &format!("{LAST}^{{tree}}")).await {
        // What is not there, or not whole since the machine lost its power, would keep git from fetching at all.
        drop(git(copy, Way::Here, "forget what is not there", &["update-ref", "-d", LAST]).await);
    }
    let wanted = format!("+{sha}:{LAST}");
    let by_id = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--", &from, &wanted];
    if git(copy, Way::Watched(address), "fetch", &by_id).await.is_ok() {
        return Ok(());
    }
    let wanted = format!("+{}:refs/kept/last", reference.unwrap_or("refs/heads/*"));
    let wanted = if wanted.contains('*') { "+refs/heads/*:refs/kept/*".to_owned() } else { wanted };
    let words = ["fetch", "--quiet", "--no-tags", "--force", "--", &from, &wanted];
    git(copy, Way::Watched(address), "fetch", &words).await.map(drop)
}

pub(super) async fn git(
    folder: &Path,
    way: Way<'_>,
    action: &'static str,
    words: &[&str],
) -> Result<String, CheckoutError> {
    let mut git = git::git(folder, way);
    git.args(words);
    let failed = |words: String| CheckoutError::Git { action, words };
    let output = tokio::time::timeout(PATIENCE, git.output()).await;
    let output = output.map_err(|_| failed("it took more than a quarter of an hour".to_owned()))?;
    let output = output.map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failed(git::last_line(&output.stderr)))
}

//! What changed in steps of a ref: paths, from the bare copy that is kept of a repository, bounded in number and bytes.

use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::checkout::{self, CheckoutError};
use crate::id::CommitSha;
use crate::server::git::{self, Way};
use crate::server::poll::Address;

/// Paths of one step that are listed.
const MOST_PATHS: usize = 3_000;
/// Bytes of their names.
const MOST_BYTES: usize = 1 << 20;
/// Bytes of git's words that are looked at.
const MOST_WORDS: usize = 1 << 16;

/// Where a step begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// At a commit.
    Commit(CommitSha),
    /// Where it left a branch, which points to this commit now.
    Left(String, CommitSha),
}

/// The paths that differ between the two ends of each step of a ref on its way to `tip`; what was renamed is there under
/// both names. Bytes in a name that are no text are replaced.
///
/// # Errors
/// When the tip cannot be fetched: then nothing is known of any step.
pub async fn changed(
    folder: &Path,
    address: &Address,
    reference: &str,
    tip: &CommitSha,
    steps: &[(Since, CommitSha)],
) -> Result<Vec<Result<Vec<String>, CheckoutError>>, CheckoutError> {
    let (path, _alone) = checkout::copy_with(folder, address, Some(reference), tip).await?;
    let kept = Kept { path: &path, address };
    let mut found = Vec::new();
    for (since, to) in steps {
        found.push(kept.step(reference, since, to).await);
    }
    Ok(found)
}

/// A copy that nobody else fetches into.
struct Kept<'a> {
    path: &'a Path,
    address: &'a Address,
}

impl Kept<'_> {
    async fn step(&self, reference: &str, since: &Since, to: &CommitSha) -> Result<Vec<String>, CheckoutError> {
        self.have(reference, to).await?;
        match since {
            Since::Commit(from) => {
                // One that was thrown away many servers still give to whoever knows its id.
                self.have(reference, from).await?;
                self.differ(from, to).await
            }
            Since::Left(branch, tip) => {
                self.have(branch, tip).await?;
                let action = "find where the branch began";
                let words = ["merge-base", tip.as_str(), to.as_str()];
                let base = checkout::git(self.path, Way::Here, action, &words).await?;
                let base = base.trim().parse::<CommitSha>();
                let base = base.map_err(|error| CheckoutError::Git { action, words: error.to_string() })?;
                self.differ(&base, to).await
            }
        }
    }

    async fn have(&self, reference: &str, sha: &CommitSha) -> Result<(), CheckoutError> {
        checkout::ensure(self.path, self.address, Some(reference), sha).await
    }

    async fn differ(&self, from: &CommitSha, to: &CommitSha) -> Result<Vec<String>, CheckoutError> {
        let failed = |words: String| CheckoutError::Git { action: "list what changed", words };
        let mut git = git::git(self.path, Way::Here);
        git.args(["diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", "--no-textconv"]);
        git.args([from.as_str(), to.as_str(), "--"]);
        let mut child = git.spawn().map_err(|error| failed(error.to_string()))?;
        let (out, words) = (child.stdout.take(), child.stderr.take());
        let ended = async {
            // When more is written than is read, git ends.
            let (names, words) = tokio::try_join!(beginning(out, MOST_BYTES), beginning(words, MOST_WORDS))?;
            Ok::<_, std::io::Error>((names, words, child.wait().await?))
        };
        let ended = tokio::time::timeout(checkout::PATIENCE, ended).await;
        let ended = ended.map_err(|_| failed("it took more than a quarter of an hour".to_owned()))?;
        let (names, words, status) = ended.map_err(|error| failed(error.to_string()))?;
        if names.len() > MOST_BYTES {
            return Err(CheckoutError::Many(MOST_PATHS));
        }
        if !status.success() {
            return Err(failed(git::last_line(&words)));
        }
        let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let names: Vec<String> = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        if names.len() > MOST_PATHS { Err(CheckoutError::Many(MOST_PATHS)) } else { Ok(names) }
    }
}

/// What comes out of a pipe, and no more than a byte beyond this many.
async fn beginning(pipe: Option<impl AsyncRead + Unpin>, most: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(most as u64 + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;

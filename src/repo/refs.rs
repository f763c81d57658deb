//! Names of commits: branches, tags, and anything else that git understands.
//!
//! Reads what is here only, and asks no server.

use std::collections::BTreeSet;

use super::RepoError;
use super::checkout::Checkout;
use super::git::Failure;
use crate::id::CommitSha;

impl Checkout {
    /// The commit that git takes `name` for: a tag, a branch, a remote's branch. A name that git would take for an option
    /// or a range is none.
    ///
    /// # Errors
    /// When git cannot tell.
    pub fn commit_of(&self, name: &str) -> Result<Option<CommitSha>, RepoError> {
        if name.is_empty() || name.starts_with('-') || name.contains("..") || name.contains(['\0', '\n', ':', '^', '@'])
        {
            return Ok(None);
        }
        let asked = format!("{name}^{{commit}}");
        let found =
            self.git.ask(&["rev-parse", "--verify", "--quiet", "--end-of-options", &asked], "find the commit")?;
        Ok(found.and_then(|found| String::from_utf8_lossy(&found).trim().parse().ok()))
    }

    /// The commits that branches (`heads`) or tags (`tags`) of this repository name.
    ///
    /// # Errors
    /// When git cannot tell.
    pub fn named(&self, heads: bool, tags: bool) -> Result<BTreeSet<CommitSha>, RepoError> {
        let mut patterns = Vec::new();
        if heads {
            patterns.extend(["refs/heads", "refs/remotes"]);
        }
        if tags {
            patterns.push("refs/tags");
        }
        if patterns.is_empty() {
            return Ok(BTreeSet::new());
        }
        // The second is what an annotated tag points to.
        let mut words = vec!["for-each-ref", "--format=%(objectname)%0a%(*objectname)"];
        words.extend(patterns);
        let listed = self.git.run(&words).map_err(|failure: Failure| failure.while_it("list branches and tags"))?;
        Ok(String::from_utf8_lossy(&listed).lines().filter_map(|line| line.trim().parse().ok()).collect())
    }
}

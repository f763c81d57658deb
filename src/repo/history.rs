//! The commits before the one that is checked out, nearest first, and what two trees differ in.
//!
//! Reads what is here only: of a shallow clone that is little, and of a partial one contents may be missing.

use std::collections::{HashMap, HashSet, VecDeque};

use super::checkout::Checkout;
use super::listing::{self, Item, Listing};
use super::{CommitTree, RepoError};
use crate::id::{CommitSha, RelPath};

/// How many commits git is asked for: more than are returned, because merges bring in side branches.
const WALKED: usize = 1000;

/// Commits before another one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ancestors {
    /// The nearest first, by the number of steps; the commit itself is not among them.
    pub commits: Vec<CommitSha>,
    /// Whether history was cut off when it was cloned.
    pub shallow: bool,
}

impl Checkout {
    /// At most `limit` commits before the one that is checked out.
    ///
    /// # Errors
    /// When git cannot tell.
    pub fn ancestors(&self, limit: usize) -> Result<Ancestors, RepoError> {
        let head = &self.revision.commit;
        let count = format!("--max-count={WALKED}");
        let listed = self.git.run(&["rev-list", "--parents", &count, head.as_str()]);
        let listed = listed.map_err(|failure| failure.while_it("read the history"))?;
        let listed = String::from_utf8_lossy(&listed);
        let commits = nearest_first(&listed, head.as_str(), limit);
        Ok(Ancestors {
            commits: commits.iter().filter_map(|commit| commit.parse().ok()).collect(),
            shallow: self.git_dir.join("shallow").exists(),
        })
    }

    /// The files of an earlier commit.
    ///
    /// # Errors
    /// When they are not here.
    pub fn earlier(&self, commit: &CommitSha) -> Result<CommitTree, RepoError> {
        let tree = format!("{commit}^{{tree}}");
        let listed = listing::list(&self.git, &tree)?;
        let listing = Listing::load(self.git.clone(), self.lfs_objects.clone(), &self.root, &listed)?;
        Ok(CommitTree::new(std::sync::Arc::new(listing)))
    }
}

/// Steps through `COMMIT PARENT…` lines, breadth first.
fn nearest_first<'a>(lines: &'a str, head: &'a str, limit: usize) -> Vec<&'a str> {
    let parents: HashMap<&str, Vec<&str>> = lines
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            Some((words.next()?, words.collect()))
        })
        .collect();
    let (mut found, mut seen, mut waiting) = (Vec::new(), HashSet::from([head]), VecDeque::from([head]));
    while let Some(commit) = waiting.pop_front() {
        if commit != head {
            found.push(commit);
        }
        if found.len() == limit {
            break;
        }
        for parent in parents.get(commit).into_iter().flatten().copied() {
            if seen.insert(parent) {
                waiting.push_back(parent);
            }
        }
    }
    found
}

impl CommitTree {
    /// Every path that is there in one of both trees only, or with other content, another mode or as another kind.
    pub fn changed_since(&self, before: &Self) -> Vec<RelPath> {
        let (old, new) = (&before.listing().items, &self.listing().items);
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        let same = |a: &Item, b: &Item| a.kind == b.kind && a.oid == b.oid;
        let mut changed = Vec::new();
        loop {
            let order = match (old.peek(), new.peek()) {
                (Some(a), Some(b)) => a.path.cmp(&b.path),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => return changed,
            };
            let (a, b) = match order {
                std::cmp::Ordering::Less => (old.next(), None),
                std::cmp::Ordering::Greater => (None, new.next()),
                std::cmp::Ordering::Equal => (old.next(), new.next()),
            };
            match (a, b) {
                (Some(a), Some(b)) if same(a, b) => {}
                (Some(one), _) | (None, Some(one)) => changed.push(one.path.clone()),
                (None, None) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_come_by_the_number_of_steps_and_none_comes_twice() {
        // a is a merge of b and c, both of which come from d; e is beyond what git listed.
        let lines = "a b c\nc d\nb d\nd e\n";
        assert_eq!(nearest_first(lines, "a", 10), ["b", "c", "d", "e"]);
        assert_eq!(nearest_first(lines, "a", 2), ["b", "c"]);
        assert_eq!(nearest_first("a\n", "a", 10), [""; 0]);
        assert_eq!(nearest_first("", "a", 10), [""; 0]);
    }
}

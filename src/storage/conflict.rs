//! Whether two runs of a commit came to the same, and what differs.

use std::fmt;

use crate::id::RelPath;
use crate::outputs::manifest::Manifest;

/// How many differences are kept for people.
const SHOWN: usize = 10;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: RelPath,
    /// How.
    pub how: How,
}

/// How a path differs from what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Not published before.
    New,
    /// Published before, not there now.
    Gone,
    /// Other content.
    Changed,
}

/// What differs between two runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Differences {
    /// The first ten, by path.
    pub first: Vec<Difference>,
    /// How many there are.
    pub total: usize,
}

impl Differences {
    /// What `ours` changes in `theirs`; empty when both came to the same.
    pub fn between(theirs: &Manifest, ours: &Manifest) -> Self {
        let mut found = Self::default();
        if theirs.content == ours.content {
            return found;
        }
        let (mut old, mut new) = (theirs.files.iter().peekable(), ours.files.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (Some(a), Some(b)) => a.path.cmp(&b.path),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (None, None) => return found,
            };
            let (before, after) = match order {
                std::cmp::Ordering::Less => (old.next(), None),
                std::cmp::Ordering::Greater => (None, new.next()),
                std::cmp::Ordering::Equal => (old.next(), new.next()),
            };
            match (before, after) {
                (Some(a), Some(b)) if a.same_content(b) => {}
                (Some(_), Some(b)) => found.add(&b.path, How::Changed),
                (Some(a), None) => found.add(&a.path, How::Gone),
                (None, Some(b)) => found.add(&b.path, How::New),
                (None, None) => {}
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn add(&mut self, path: &RelPath, how: How) {
        self.total += 1;
        if self.first.len() < SHOWN {
            self.first.push(Difference { path: path.clone(), how });
        }
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, difference) in self.first.iter().enumerate() {
            let how = match difference.how {
                How::New => "is new",
                How::Gone => "is gone",
                How::Changed => "differs",
            };
            write!(f, "{}`{}` {how}", if at == 0 { "" } else { ", " }, difference.path)?;
        }
        match self.total - self.first.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

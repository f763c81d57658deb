//! What the poller itself remembers of its last readings, so that one that brings nothing new costs no question to the
//! database. The database stays the truth: what differs, and from time to time everything, is read against it again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::locked;
use super::reading::{Reading, Trace};
use crate::store::database::Repo;

/// How long the database is not asked: another server may write to it too.
const LONGEST: Duration = Duration::from_mins(10);

/// What a reading says, in so few bytes that it can be remembered of every repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark([u8; 32]);

impl Mark {
    /// Of what was seen below these prefixes.
    pub(super) fn of(seen: &Reading, prefixes: &[String]) -> Self {
        let mut digest = Sha256::new();
        let mut add = |text: &str| {
            // No name of a ref holds this byte.
            digest.update(text.as_bytes());
            digest.update([0]);
        };
        for prefix in prefixes {
            add(prefix);
        }
        add(seen.moved.as_deref().unwrap_or_default());
        add(seen.refs.head.as_deref().unwrap_or_default());
        for (name, id) in &seen.refs.heads {
            add(name);
            add(id);
        }
        Self(digest.finalize().into())
    }
}

/// When something last happened in a repository, in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) changed: Option<i64>,
    pub(super) hooked: Option<i64>,
}

impl Times {
    pub(super) fn of(repo: &Repo) -> Self {
        Self { changed: repo.changed_at.or(repo.first_seen), hooked: repo.hook_at }
    }
}

#[derive(Debug, Clone, Copy)]
struct Known {
    mark: Mark,
    /// The answer that said it last.
    trace: Option<Trace>,
    times: Times,
    /// When it was last compared with the database.
    at: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<i64, Known>,
    /// Repositories whose reading brought nothing new, and of which the database does not know that they were read.
    unwritten: Vec<i64>,
}

/// All that is remembered; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Inner>>);

impl Memory {
    /// Whether a reading of it may be compared with what is remembered.
    pub(super) fn knows(&self, repo: i64, now: Instant) -> bool {
        locked(&self.0).known.get(&repo).is_some_and(|known| now.saturating_duration_since(known.at) < LONGEST)
    }

    /// The answer of the last reading, where it is known.
    pub(super) fn trace(&self, repo: i64) -> Option<Trace> {
        locked(&self.0).known.get(&repo).and_then(|known| known.trace)
    }

    /// Notes a reading whose answer was the last one; not if it was forgotten meanwhile.
    pub(super) fn is_as_before(&self, repo: i64) -> bool {
        let mut inner = locked(&self.0);
        let known = inner.known.contains_key(&repo);
        if known {
            inner.unwritten.push(repo);
        }
        known
    }

    /// Whether a reading says what the last one said, in whatever order and words; then it is noted.
    pub(super) fn is_same(&self, repo: i64, mark: Mark, trace: Option<Trace>) -> bool {
        let mut inner = locked(&self.0);
        let Some(known) = inner.known.get_mut(&repo).filter(|known| known.mark == mark) else { return false };
        known.trace = trace;
        inner.unwritten.push(repo);
        true
    }

    /// This is in the database now.
    pub(super) fn keep(&self, repo: i64, mark: Mark, trace: Option<Trace>, times: Times) {
        locked(&self.0).known.insert(repo, Known { mark, trace, times, at: Instant::now() });
    }

    /// The next reading is compared with the database.
    pub(super) fn forget(&self, repo: i64) {
        locked(&self.0).known.remove(&repo);
    }

    /// When something last happened in it, as far as that is remembered.
    pub(super) fn times(&self, repo: i64) -> Option<Times> {
        locked(&self.0).known.get(&repo).map(|known| known.times)
    }

    /// How many readings the database has still to be told of.
    pub(super) fn unwritten_count(&self) -> usize {
        locked(&self.0).unwritten.len()
    }

    /// What the database has still to be told: those that were read and are as they were.
    pub(super) fn unwritten(&self) -> Vec<i64> {
        std::mem::take(&mut locked(&self.0).unwritten)
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Refs;
    use super::*;

    #[test]
    fn a_reading_is_the_same_only_when_every_name_id_and_prefix_is() {
        let prefixes = vec!["refs/heads/".to_owned()];
        let refs = |pairs: &[(&str, &str)], head: Option<&str>| {
            let heads = pairs.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect();
            Reading { refs: Refs { heads, head: head.map(str::to_owned) }, moved: None, trace: None }
        };
        let moved = |reading: Reading| Reading { moved: Some("https://h.example/b".to_owned()), ..reading };
        let first = Mark::of(&refs(&[("refs/heads/a", "1"), ("refs/heads/b", "2")], Some("refs/heads/a")), &prefixes);
        for (other, prefixes) in [
            (refs(&[("refs/heads/a", "2"), ("refs/heads/b", "2")], Some("refs/heads/a")), &prefixes),
            (refs(&[("refs/heads/a", "1")], Some("refs/heads/a")), &prefixes),
            (refs(&[("refs/heads/a", "1"), ("refs/heads/b", "2")], Some("refs/heads/b")), &prefixes),
            (refs(&[("refs/heads/a", "1"), ("refs/heads/b", "2")], None), &prefixes),
            (moved(refs(&[("refs/heads/a", "1"), ("refs/heads/b", "2")], Some("refs/heads/a"))), &prefixes),
            (refs(&[("refs/heads/a", "1"), ("refs/heads/b", "2")], Some("refs/heads/a")), &vec![]),
        ] {
            assert_ne!(Mark::of(&other, prefixes), first, "{other:?}");
        }
        let memory = Memory::default();
        assert!(!memory.knows(7, Instant::now()) && !memory.is_same(7, first, None) && !memory.is_as_before(7));
        memory.keep(7, first, None, Times { changed: None, hooked: Some(1) });
        assert!(memory.knows(7, Instant::now()) && memory.is_same(7, first, None) && memory.is_as_before(7));
        assert!(!memory.knows(7, Instant::now() + LONGEST), "the database is asked in the end");
        assert_eq!(memory.unwritten_count(), 2);
        assert_eq!(memory.unwritten(), [7, 7]);
        assert!(memory.unwritten().is_empty());
        memory.forget(7);
        assert!(!memory.is_same(7, first, None) && !memory.is_as_before(7));
    }
}

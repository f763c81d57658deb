//! Lists of forges that no webhook tells of: asked for now and then, each in its turn, one list of one repository at a time.
//!
//! Whose turn it is, how many ask at once, and how long one rests after a fault is decided here; what is read is known to
//! `comments` and `artifacts`.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::task::{self, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::artifacts::Artifacts;
use super::comments::Comments;
use super::room;
use crate::store::database::DatabaseError;

/// How often a list is asked for when nothing else is said.
pub(super) const USUAL: Duration = Duration::from_mins(1);
/// Longest wait after faults.
const LONGEST: Duration = Duration::from_mins(15);
/// How often is looked what is due.
const TICK: Duration = Duration::from_secs(1);
/// Lists that are asked for at a time, and those of one API among them: one that is slow holds up no other.
const AT_ONCE: usize = 32;
const OF_ONE: usize = 4;

/// Why a list was not read.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The forge, or what is missing to ask it.
    #[error("{0}")]
    Forge(String),
}

/// One list of one repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum List {
    Comments,
    Artifacts,
}

type Key = (List, String);

/// Asks for all of them; clones share everything.
#[derive(Debug, Clone)]
pub(super) struct Rounds {
    pub(super) comments: Comments,
    pub(super) artifacts: Artifacts,
}

impl Rounds {
    /// Asks as long as it is not told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        let comments = self.comments.repos().map(|repo| ((List::Comments, repo.name.clone()), self.comments.api(repo)));
        let artifacts =
            self.artifacts.repos().map(|repo| ((List::Artifacts, repo.name.clone()), self.artifacts.api(repo)));
        let mut round = Round::of(comments.chain(artifacts), Instant::now());
        let mut works: JoinSet<Result<Duration, ()>> = JoinSet::new();
        while !round.due.is_empty() || !works.is_empty() {
            for key in round.ready(Instant::now()) {
                let (this, asked) = (self.clone(), key.clone());
                let work = works.spawn(async move { this.turn(&asked).await });
                round.going.insert(work.id(), key);
            }
            tokio::select! {
                () = stop.cancelled() => return,
                Some(ended) = works.join_next_with_id() => match ended {
                    Ok((work, rest)) => round.ended(work, rest),
                    Err(error) => {
                        tracing::error!(error = room::words(&error), "a list is not read");
                        round.ended(error.id(), Err(()));
                    }
                },
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Reads one list; how long it may rest then, unless that failed.
    async fn turn(&self, (list, name): &Key) -> Result<Duration, ()> {
        let read = match list {
            List::Comments => self.comments.turn(name).await,
            List::Artifacts => self.artifacts.turn(name).await,
        };
        read.map_err(|error| tracing::warn!(repo = name, ?list, %error, "a list is not read"))
    }
}

/// Whose turn it is.
#[derive(Debug, Default)]
struct Round {
    /// When each list is asked for next.
    due: BTreeMap<Key, Instant>,
    /// Those that are being asked for.
    going: HashMap<task::Id, Key>,
    failures: BTreeMap<Key, u32>,
    /// The API of each.
    apis: BTreeMap<Key, String>,
}

impl Round {
    /// Lists with their APIs; not all are due at once.
    fn of(lists: impl Iterator<Item = (Key, Option<String>)>, now: Instant) -> Self {
        let mut round = Self::default();
        for (place, (key, api)) in lists.enumerate() {
            let phase = Duration::from_millis(u64::try_from(place).unwrap_or_default() * 100);
            round.due.insert(key.clone(), now + phase.min(USUAL));
            round.apis.extend(api.map(|api| (key, api)));
        }
        round
    }

    /// Those that are asked for now, no longer due.
    fn ready(&mut self, now: Instant) -> Vec<Key> {
        let mut busy: BTreeMap<Option<&String>, usize> = BTreeMap::new();
        for key in self.going.values() {
            *busy.entry(self.apis.get(key)).or_default() += 1;
        }
        let mut ready = Vec::new();
        for (key, _) in self.due.iter().filter(|(_, at)| **at <= now) {
            let of_it = busy.entry(self.apis.get(key)).or_default();
            if *of_it < OF_ONE && ready.len() + self.going.len() < AT_ONCE {
                *of_it += 1;
                ready.push(key.clone());
            }
        }
        self.due.retain(|key, _| !ready.contains(key));
        ready
    }

    /// One was asked for: how long it may rest, unless that failed.
    fn ended(&mut self, work: task::Id, rest: Result<Duration, ()>) {
        let Some(key) = self.going.remove(&work) else { return };
        let count = self.failures.entry(key.clone()).or_default();
        *count = if rest.is_ok() { 0 } else { count.saturating_add(1) };
        let later = USUAL * 2_u32.saturating_pow((*count).min(8));
        self.due.insert(key, Instant::now() + rest.unwrap_or(later.min(LONGEST)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn repositories_of_an_api_that_is_slow_hold_up_none_of_another() {
        let now = Instant::now();
        let of = |list: List, api: &'static str, count: usize| {
            (0..count).map(move |number| ((list, format!("{api}/{number:02}")), Some(api.to_owned())))
        };
        let lists =
            of(List::Comments, "slow", 20).chain(of(List::Artifacts, "slow", 20)).chain(of(List::Comments, "quick", 2));
        let (mut round, later) = (Round::of(lists, now), now + USUAL);
        let mut ready = round.ready(later);
        let quick = ready.iter().filter(|(_, name)| name.starts_with("quick")).count();
        assert_eq!((quick, ready.len()), (2, 2 + OF_ONE), "{ready:?}");
        let mut works = JoinSet::new();
        for key in ready.drain(..) {
            round.going.insert(works.spawn(async {}).id(), key);
        }
        assert!(round.ready(later).is_empty(), "none of it answers");
        let one = *round.going.iter().find(|(_, (_, name))| name.starts_with("slow")).unwrap().0;
        round.ended(one, Err(()));
        assert_eq!(round.ready(later).len(), 1);
        assert_eq!(round.failures.values().sum::<u32>(), 1);
    }

    #[test]
    fn two_lists_of_one_repository_are_each_asked_for_and_not_all_at_once() {
        let now = Instant::now();
        let lists = [List::Comments, List::Artifacts].map(|list| ((list, "acme/churn".to_owned()), None));
        let mut round = Round::of(lists.into_iter(), now);
        assert_eq!(round.ready(now), [(List::Comments, "acme/churn".to_owned())]);
        assert_eq!(round.ready(now + USUAL), [(List::Artifacts, "acme/churn".to_owned())]);
    }
}

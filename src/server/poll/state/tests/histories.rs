//! Pushes, forced ones among them, with their webhooks and readings, each late, twice, out of order or never: by every
//! policy each tip is told once, and what was told of in time is not lost.

use serde_json::json;

use super::*;
use crate::server::file::Commits;
use crate::server::poll::CAP;

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// So many commits are thrown away, and so many made.
    Push(usize, usize, usize),
    Delete(usize),
    /// A delivery comes, and what it brings is written at once or later; it may come again.
    Deliver {
        place: usize,
        at_once: bool,
        again: bool,
    },
    Lose(usize),
    Begin,
    Write(usize),
    WriteTwice(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let thrown = prop_oneof![4 => Just(0_usize), 1 => 1_usize..4];
    prop_oneof![
        5 => (0..NAMES.len(), thrown, 1_usize..12).prop_map(|(name, thrown, made)| Act::Push(name, thrown, made)),
        1 => (0..NAMES.len()).prop_map(Act::Delete),
        5 => (0_usize..6, any::<bool>(), any::<bool>())
            .prop_map(|(place, at_once, again)| Act::Deliver { place, at_once, again }),
        1 => (0_usize..6).prop_map(Act::Lose),
        2 => Just(Act::Begin),
        3 => (0_usize..4).prop_map(Act::Write),
        1 => (0_usize..4).prop_map(Act::WriteTwice),
    ]
}

fn policy() -> impl Strategy<Value = Commits> {
    prop_oneof![Just(Commits::Latest), Just(Commits::EachPush), Just(Commits::EachCommit)]
}

fn id(number: u32) -> String {
    format!("{number:040x}")
}

fn number(id: &str) -> u32 {
    u32::from_str_radix(id, 16).unwrap()
}

/// What a forge tells of a push.
fn hint(name: &str, before: Option<u32>, after: Option<u32>, forced: bool) -> Hint {
    Hint {
        reference: name.to_owned(),
        after: after.map(|after| id(after).parse().unwrap()),
        forced,
        delivery: "d".to_owned(),
        payload: json!({"before": id(before.unwrap_or(0))}),
        ..Hint::default()
    }
}

/// A repository, what is on its way from it, and what is known of it.
struct Story {
    policy: Commits,
    /// Commits of each ref, oldest first; each is made once.
    lines: BTreeMap<&'static str, Vec<u32>>,
    parents: BTreeMap<u32, Option<u32>>,
    sent: Vec<Hint>,
    /// Readings that are not written yet.
    open: Vec<Vec<(RefChange, Option<NewEvent>)>>,
    ledger: Ledger,
    /// Tips that a webhook told of, while there was more to be read of their ref.
    heard: BTreeSet<(String, String)>,
}

impl Story {
    fn of(policy: Commits) -> Self {
        let (lines, parents, heard) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { policy, lines, parents, sent: Vec::new(), open: Vec::new(), ledger: Ledger::default(), heard }
    }

    fn push(&mut self, name: &'static str, thrown: usize, made: usize) {
        let line = self.lines.entry(name).or_default();
        let before = line.last().copied();
        line.truncate(line.len().saturating_sub(thrown));
        for _ in 0..made {
            let commit = u32::try_from(self.parents.len()).unwrap() + 1;
            self.parents.insert(commit, line.last().copied());
            line.push(commit);
        }
        let forced = thrown > 0 && before.is_some();
        self.sent.push(hint(name, before, line.last().copied(), forced));
    }

    fn delete(&mut self, name: &'static str) {
        if let Some(line) = self.lines.remove(name) {
            self.sent.push(hint(name, line.last().copied(), None, false));
        }
    }

    fn tip(&self, name: &str) -> Option<String> {
        self.lines.get(name).and_then(|line| line.last()).map(|tip| id(*tip))
    }

    fn seen(&self) -> Refs {
        let heads = self.lines.keys().filter_map(|name| Some(((*name).to_owned(), self.tip(name)?))).collect();
        Refs { heads, head: None }
    }

    /// The commits from one, which is not among them, to another that descends from it.
    fn way(&self, from: &str, to: &str) -> Option<Vec<String>> {
        let (from, mut at, mut way) = (number(from), number(to), Vec::new());
        while at != from {
            way.push(id(at));
            at = self.parents[&at]?;
        }
        way.reverse();
        Some(way)
    }

    /// What events of a ref tell of, as the database has it.
    fn told(&self, name: &str) -> BTreeSet<String> {
        let of_it = self.ledger.events.iter().filter(|event| event.reference.as_deref() == Some(name));
        of_it.flat_map(|event| [event.old_sha.clone(), event.new_sha.clone()]).flatten().collect()
    }

    /// As the poller finds it.
    fn between(&self, hint: Option<&Hint>, known: &[KnownRef], seen: &Refs) -> Between {
        let mut found = Between::new();
        match (self.policy, hint) {
            (Commits::EachPush, Some(hint)) => {
                return pushes(hint, known, &seen.heads, &self.told(&hint.reference));
            }
            (Commits::EachCommit, _) => {
                for change in changes(known, &seen.heads, &prefixes()) {
                    let was = change.before.filter(|was| !was.deleted && change.name.starts_with("refs/heads/"));
                    let (Some(was), Some(tip)) = (was, change.after) else { continue };
                    if let Some(way) = self.way(&was.sha, &tip) {
                        let first = way.len().saturating_sub(CAP);
                        found.insert(change.name, way[first..way.len() - 1].to_vec());
                    }
                }
            }
            _ => {}
        }
        found
    }

    /// What a reading makes of what is there now.
    fn look(&self, hint: Option<&Hint>) -> Vec<(RefChange, Option<NewEvent>)> {
        let (known, seen, prefixes) = (self.ledger.known(), self.seen(), prefixes());
        let between = self.between(hint, &known, &seen);
        let mut forced = Forced::new();
        for change in changes(&known, &seen.heads, &prefixes) {
            let moves = steps(change, &between).into_iter().filter_map(|step| {
                let was = step.before.filter(|was| !was.deleted)?;
                Some((was.sha, step.after?))
            });
            forced.extend(moves.filter(|(from, to)| self.way(from, to).is_none()));
        }
        let told = Told {
            repo: &repo(false),
            prefixes: &prefixes,
            first_seen: FirstSeen::Record,
            hint,
            between: &between,
            forced: &forced,
            paths: &Paths::new(),
        };
        told.changes(&known, &seen, Timestamp::UNIX_EPOCH)
    }

    fn deliver(&mut self, hint: &Hint, at_once: bool) {
        let read = self.look(Some(hint));
        if !at_once {
            self.open.push(read);
            return;
        }
        let known = self.ledger.refs.get(&hint.reference).filter(|known| !known.deleted);
        let tip = self.tip(&hint.reference);
        let is_behind = tip.is_some() && known.is_some_and(|known| Some(&known.sha) != tip.as_ref());
        if let Some(after) = hint.after.as_ref().filter(|_| is_behind) {
            self.heard.insert((hint.reference.clone(), after.to_string()));
        }
        self.ledger.apply(read);
    }

    fn play(&mut self, act: Act) {
        match act {
            Act::Push(name, thrown, made) => self.push(NAMES[name], thrown, made),
            Act::Delete(name) => self.delete(NAMES[name]),
            Act::Deliver { place, at_once, again } if place < self.sent.len() => {
                let hint = self.sent.remove(place);
                self.deliver(&hint, at_once);
                if again {
                    self.sent.push(hint);
                }
            }
            Act::Lose(place) if place < self.sent.len() => drop(self.sent.remove(place)),
            Act::Begin => self.open.push(self.look(None)),
            Act::Write(place) if place < self.open.len() => {
                let read = self.open.remove(place);
                self.ledger.apply(read);
            }
            Act::WriteTwice(place) if place < self.open.len() => {
                let read = self.open.remove(place);
                self.ledger.apply(read.clone());
                self.ledger.apply(read);
            }
            _ => {}
        }
    }

    /// What is on its way comes last, and all is read.
    fn end(&mut self) {
        for hint in std::mem::take(&mut self.sent).iter().rev() {
            self.deliver(hint, true);
        }
        for read in std::mem::take(&mut self.open).into_iter().rev() {
            self.ledger.apply(read);
        }
        for _ in 0..2 {
            let read = self.look(None);
            self.ledger.apply(read);
        }
    }

    /// Whether a move of a ref is one commit further.
    fn is_one(&self, event: &NewEvent) -> bool {
        let ends = event.old_sha.as_ref().zip(event.new_sha.as_ref());
        ends.and_then(|(from, to)| self.way(from, to)).is_some_and(|way| way.len() == 1)
    }

    /// The events of a ref are a chain from nothing to where it is, and no tip is in it twice.
    fn judge(&self, name: &str) -> Result<(), TestCaseError> {
        let events = self.ledger.events.iter().filter(|event| event.reference.as_deref() == Some(name));
        let events: Vec<&NewEvent> = events.collect();
        let (mut at, mut tips) = (None, BTreeSet::new());
        for (place, event) in events.iter().enumerate() {
            prop_assert_eq!(event.old_sha.as_ref(), at, "a gap");
            at = event.new_sha.as_ref();
            prop_assert!(at.is_none_or(|tip| tips.insert(tip.clone())), "{:?} is told twice", at);
            let Some((from, to)) = event.old_sha.as_ref().zip(at) else { continue };
            let way = self.way(from, to);
            prop_assert!(way.is_some() || event.payload["forced"] == true, "{} to {} is forced", from, to);
            let each = self.policy == Commits::EachCommit && name.starts_with("refs/heads/");
            if each && way.is_some_and(|way| way.len() > 1) {
                // More than are told: the newest of them, in their order.
                let rest = events[place + 1..].iter().take(CAP - 1).take_while(|event| self.is_one(event)).count();
                prop_assert_eq!(rest, CAP - 1, "{} to {} leaves commits out", from, to);
            }
        }
        let tip = self.tip(name);
        prop_assert_eq!(at, tip.as_ref());
        Ok(())
    }
}

proptest! {
    #[test]
    fn by_every_policy_each_tip_is_told_once_whatever_webhooks_and_readings_do(
        policy in policy(), acts in proptest::collection::vec(act(), 0..70)
    ) {
        let mut story = Story::of(policy);
        for act in acts {
            story.play(act);
        }
        story.end();
        prop_assert!(story.look(None).is_empty());
        for name in NAMES {
            story.judge(name)?;
        }
        if policy == Commits::EachPush {
            for (name, tip) in &story.heard {
                prop_assert!(story.told(name).contains(tip), "{} of {} was told of and is lost", tip, name);
            }
        }
    }
}

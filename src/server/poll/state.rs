//! What a reading means for what is known: pure, no clock, no I/O.
//!
//! Changes are told against what was known when the reading began; the store drops those that another reading was first
//! with. A ref that was not asked for is never taken for gone, and one that nobody asked for before is no news.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::answer::Refs;
use crate::id::CommitSha;
use crate::server::event::{Event, Kind, Source};
use crate::server::hook::meaning::Hint;
use crate::server::ledger;
use crate::store::database::{KnownRef, NewEvent, RefChange, Repo};

/// What to do when a repository is seen for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstSeen {
    /// Refs are noted, nothing is told.
    #[default]
    Record,
    /// The default branch is told as if it were new.
    TellDefaultBranch,
}

/// What differs between what is known and what was seen below these prefixes.
pub fn changes(known: &[KnownRef], seen: &BTreeMap<String, String>, prefixes: &[String]) -> Vec<RefChange> {
    let asked = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
    let known: BTreeMap<&str, &KnownRef> = known.iter().map(|known| (known.name.as_str(), known)).collect();
    let gone = known.values().filter(|known| !known.deleted && asked(&known.name) && !seen.contains_key(&known.name));
    let gone = gone.map(|&known| RefChange { name: known.name.clone(), before: Some(known.clone()), after: None });
    let there = seen.iter().filter(|(name, _)| asked(name)).filter_map(|(name, sha)| {
        let before = known.get(name.as_str()).copied();
        let same = before.is_some_and(|before| !before.deleted && before.sha == *sha);
        (!same).then(|| RefChange { name: name.clone(), before: before.cloned(), after: Some(sha.clone()) })
    });
    gone.chain(there).collect()
}

/// Whether a reading says that everything is gone: to be believed only when the next one says so too.
pub fn is_suspicious(known: &[KnownRef], seen: &Refs) -> bool {
    seen.heads.is_empty() && known.iter().any(|known| !known.deleted)
}

/// What is told of a reading of one repository.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The repository.
    pub repo: &'a Repo,
    /// What was asked for.
    pub prefixes: &'a [String],
    /// What the first reading tells.
    pub first_seen: FirstSeen,
    /// What a webhook said of one change.
    pub hint: Option<&'a Hint>,
    /// What branches pointed to on their way to where they are, oldest first, where each step is told.
    pub between: &'a Between,
    /// Which moves threw commits away, where somebody asks.
    pub forced: &'a Forced,
    /// What changed in steps of which no webhook says it, where somebody asks.
    pub paths: &'a Paths,
}

/// Commits by the name of the ref.
pub type Between = BTreeMap<String, Vec<String>>;

/// Moves from one commit to another that does not descend from it.
pub type Forced = BTreeSet<(String, String)>;

/// One step of a ref: its name, where it was before it, unless it is new, and where it is after it.
pub type Step = (String, Option<String>, String);

/// What changed in a step: its paths, or why they are not known.
pub type Paths = BTreeMap<Step, Result<Vec<String>, String>>;

/// The step that a change is; none where the ref is gone.
pub fn step(change: &RefChange) -> Option<Step> {
    let was = change.before.as_ref().filter(|before| !before.deleted);
    Some((change.name.clone(), was.map(|was| was.sha.clone()), change.after.clone()?))
}

/// What sort of event a change is; none for refs that are neither branches nor tags.
pub fn kind(change: &RefChange) -> Option<Kind> {
    let was = change.before.as_ref().is_some_and(|before| !before.deleted);
    match (change.name.starts_with("refs/heads/"), was, change.after.is_some()) {
        (true, true, true) => Some(Kind::Push),
        (true, false, true) => Some(Kind::BranchCreated),
        (true, _, false) => Some(Kind::BranchDeleted),
        (false, ..) if !change.name.starts_with("refs/tags/") => None,
        (false, true, true) => Some(Kind::TagMoved),
        (false, false, true) => Some(Kind::TagCreated),
        (false, _, false) => Some(Kind::TagDeleted),
    }
}

/// Where a webhook says that its ref was before a push, and is after it.
pub fn ends(hint: &Hint) -> [Option<String>; 2] {
    let before = hint.payload.get("before").and_then(serde_json::Value::as_str);
    let before = before.and_then(|before| before.parse::<CommitSha>().ok()).filter(|before| !is_nothing(before));
    [before, hint.after.clone()].map(|end| end.map(|end| end.to_string()))
}

/// The pushes that a webhook tells of besides the last one: where its branch was before and after it. What was `told` of
/// the branch before comes late or twice, unless the webhook goes on from where the branch was.
pub fn pushes(hint: &Hint, known: &[KnownRef], seen: &BTreeMap<String, String>, told: &BTreeSet<String>) -> Between {
    let was = known.iter().find(|known| known.name == hint.reference && !known.deleted);
    let (Some(was), Some(tip)) = (was, seen.get(&hint.reference)) else { return Between::new() };
    // The ends of a move of annotated tags are the tags themselves, which nobody can run.
    if hint.behind.is_some() && hint.behind != hint.after {
        return Between::new();
    }
    let ends = ends(hint);
    let goes_on = ends[0].as_ref() == Some(&was.sha);
    let mut steps: Vec<String> = Vec::new();
    for step in ends.into_iter().flatten() {
        if step == *tip {
            break;
        }
        if step != *steps.last().unwrap_or(&was.sha) && (goes_on || !told.contains(&step)) {
            steps.push(step);
        }
    }
    if *tip == was.sha || steps.is_empty() { Between::new() } else { [(hint.reference.clone(), steps)].into() }
}

/// What forges write for a branch that was not there.
fn is_nothing(sha: &CommitSha) -> bool {
    sha.as_str().bytes().all(|digit| digit == b'0')
}

/// A change, step by step.
pub fn steps(change: RefChange, between: &Between) -> Vec<RefChange> {
    let Some(on_the_way) = between.get(&change.name) else { return vec![change] };
    let (Some(mut before), Some(tip)) = (change.before.clone(), change.after.clone()) else { return vec![change] };
    let mut found = Vec::new();
    for after in on_the_way.iter().chain(std::iter::once(&tip)) {
        let step = RefChange { name: change.name.clone(), before: Some(before.clone()), after: Some(after.clone()) };
        // As the database has it once the step is written.
        before.generation += i64::from(before.deleted);
        (before.sha, before.serial, before.deleted) = (after.clone(), before.serial + 1, false);
        found.push(step);
    }
    found
}

impl<'a> Told<'a> {
    /// The changes of a reading with what is to be told of each.
    pub fn changes(self, known: &[KnownRef], seen: &Refs, at: Timestamp) -> Vec<(RefChange, Option<NewEvent>)> {
        let told = self.each(known, seen).into_iter().map(|(change, is_told)| {
            let event = if is_told { self.event(&change, seen, at) } else { None };
            (change, event)
        });
        told.collect()
    }

    /// The changes that are told, of which no webhook lists what changed.
    pub fn unlisted(self, known: &[KnownRef], seen: &Refs) -> Vec<RefChange> {
        let told =
            self.each(known, seen).into_iter().filter(|(change, is_told)| *is_told && self.listed(change).is_none());
        told.map(|(change, _)| change).collect()
    }

    /// The changes of a reading, step by step, and whether each is told.
    fn each(self, known: &[KnownRef], seen: &Refs) -> Vec<(RefChange, bool)> {
        let first = self.repo.first_seen.is_none();
        let changes = changes(known, &seen.heads, self.prefixes).into_iter();
        let each = changes.flat_map(|change| {
            let is_default = seen.head.as_deref() == Some(change.name.as_str());
            let silent = if first {
                !(self.first_seen == FirstSeen::TellDefaultBranch && is_default)
            } else {
                self.is_no_news(&change)
            };
            let changes = if first || silent { vec![change] } else { steps(change, self.between) };
            changes.into_iter().map(move |change| (change, !silent))
        });
        each.collect()
    }

    /// What a webhook said of this change. Of an annotated tag git tells the commit that it stands for.
    fn hinted(&self, change: &RefChange) -> Option<&'a Hint> {
        let after = change.after.as_deref();
        self.hint.filter(|hint| {
            let is_told = hint.after.as_ref().map(CommitSha::as_str) == after;
            let is_behind = after.is_some() && hint.behind.as_ref().map(CommitSha::as_str) == after;
            hint.reference == change.name && (is_told || is_behind)
        })
    }

    /// What a webhook said that changed: of the whole way from one commit to the other only when the forge began where we
    /// did.
    fn listed(&self, change: &RefChange) -> Option<&'a [String]> {
        let was = change.before.as_ref().filter(|before| !before.deleted)?;
        let hint = self.hinted(change)?;
        let began = hint.payload.get("before").and_then(serde_json::Value::as_str);
        hint.paths.as_deref().filter(|_| began == Some(was.sha.as_str()))
    }

    /// What changed, and why that is not known where somebody asked.
    fn changed(&self, change: &RefChange) -> (Option<Vec<String>>, Option<String>) {
        if let Some(paths) = self.listed(change) {
            return (Some(paths.to_vec()), None);
        }
        match step(change).and_then(|step| self.paths.get(&step)) {
            Some(Ok(paths)) => (Some(paths.clone()), None),
            Some(Err(why)) => (None, Some(format!("which paths changed is not known: {why}"))),
            None => (None, None),
        }
    }

    /// Whether nobody asked for this ref before: what it is now it may have been for long, unless a webhook just told of it.
    fn is_no_news(&self, change: &RefChange) -> bool {
        let Some(asked) = &self.repo.asked else { return false };
        let was_asked = asked.iter().any(|prefix| change.name.starts_with(prefix.as_str()));
        !was_asked && self.hinted(change).is_none()
    }

    /// The event of a change; nothing for refs that are neither branches nor tags.
    fn event(self, change: &RefChange, seen: &Refs, at: Timestamp) -> Option<NewEvent> {
        let was = change.before.as_ref().filter(|before| !before.deleted);
        let commit = |sha: &str| sha.parse::<CommitSha>().ok();
        let mut event = Event::new(kind(change)?, &self.repo.name, at, Source::Poll);
        event.reference = Some(change.name.clone());
        event.before = was.and_then(|was| commit(&was.sha));
        event.after = change.after.as_deref().and_then(commit);
        // One that is new may have been there long ago, when all that was known of it has been swept.
        let now = at.as_millisecond();
        event.change = Some(change.before.as_ref().map_or(now, |before| before.serial + 1).unsigned_abs());
        event.default_branch =
            seen.head.as_deref().and_then(|head| head.strip_prefix("refs/heads/")).map(str::to_owned);
        if let (Some(was), Some(after)) = (was, &change.after) {
            event.forced = self.forced.contains(&(was.sha.clone(), after.clone()));
        }
        if let Some(hint) = self.hinted(change) {
            event.source = Source::Webhook;
            event.delivery = Some(hint.delivery.clone());
            event.actor.clone_from(&hint.actor);
            event.message.clone_from(&hint.message);
            event.forced |= hint.forced;
            event.payload = hint.payload.clone();
        }
        let (paths, doubt) = self.changed(change);
        event.paths = paths;
        let row = ledger::row(&event, Some(self.repo.id)).ok()?;
        Some(NewEvent { doubt, ..row })
    }
}

#[cfg(test)]
mod tests;

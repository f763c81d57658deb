//! What differs between two runs besides their files: packages, image, Ploomber, tasks.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::environment::{Change, differences};
use crate::id::CommitSha;
use crate::outputs::manifest::{About, TaskNote};

/// What the two runs ran in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Environment {
    /// Whether both manifests have a lock; without, nothing is known of packages.
    pub known: bool,
    /// Packages that came, went or changed; conda's before pip's.
    pub packages: Vec<Change>,
    /// Anything else: Python, Ploomber, the image.
    pub rest: Vec<Change>,
}

impl Environment {
    /// Whether nothing is known to differ.
    pub fn is_same(&self) -> bool {
        self.packages.is_empty() && self.rest.is_empty()
    }
}

/// One task that is on one side only, was executed on one and taken over on the other, or took a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskChange {
    /// Ploomber's name.
    pub name: String,
    /// How it went before.
    pub before: Option<TaskSide>,
    /// How it went after.
    pub after: Option<TaskSide>,
}

/// How a task went in one of the runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TaskSide {
    /// `executed` or `reused`.
    pub outcome: String,
    /// In milliseconds, where it was seen.
    pub elapsed_ms: Option<u64>,
    /// Why; may be empty.
    pub reason: String,
    /// The commit it was taken over from.
    pub from: Option<CommitSha>,
}

/// What the environments have not in common.
pub(super) fn environment(before: &About, after: &About) -> Environment {
    let locks = before.environment.as_ref().zip(after.environment.as_ref());
    let packages = locks.map(|(old, new)| differences(&old.lock, &new.lock)).unwrap_or_default();
    let mut rest = Vec::new();
    let mut differ = |name: &str, old: &str, new: &str| {
        if old != new {
            let side = |text: &str| Some(text.to_owned());
            rest.push(Change { name: name.to_owned(), before: side(old), after: side(new) });
        }
    };
    differ("image", &before.image.reference, &after.image.reference);
    if before.image.reference == after.image.reference {
        // The same name for other content.
        differ("image", short(&before.image.id), short(&after.image.id));
    }
    differ("ploomber", &before.ploomber, &after.ploomber);
    // Ploomber stands among the packages where a lock has it.
    rest.retain(|change| !packages.iter().any(|package| package.name == change.name));
    differ_mode(before, after, &mut rest);
    Environment { known: locks.is_some(), packages, rest }
}

fn differ_mode(before: &About, after: &About, rest: &mut Vec<Change>) {
    let word = |about: &About| super::mode(about.mode).to_owned();
    if before.mode != after.mode {
        rest.push(Change { name: "data".to_owned(), before: Some(word(before)), after: Some(word(after)) });
    }
}

fn short(id: &str) -> &str {
    let end = id.char_indices().nth(19).map_or(id.len(), |(at, _)| at);
    &id[..end]
}

/// Every task of both runs, in the order of the new one, then those that are gone.
pub(super) fn tasks(before: &[TaskNote], after: &[TaskNote]) -> Vec<TaskChange> {
    let side = |note: &TaskNote| TaskSide {
        outcome: note.outcome.clone(),
        elapsed_ms: note.elapsed_ms,
        reason: note.reason.clone(),
        from: note.from.clone(),
    };
    let (old_notes, new_notes) = (by_name(before), by_name(after));
    let kept = after.iter().map(|new| TaskChange {
        name: new.name.clone(),
        before: old_notes.get(new.name.as_str()).map(|note| side(note)),
        after: Some(side(new)),
    });
    let gone = before.iter().filter(|old| !new_notes.contains_key(old.name.as_str()));
    kept.chain(gone.map(|old| TaskChange { name: old.name.clone(), before: Some(side(old)), after: None })).collect()
}

fn by_name(notes: &[TaskNote]) -> BTreeMap<&str, &TaskNote> {
    notes.iter().map(|note| (note.name.as_str(), note)).collect()
}

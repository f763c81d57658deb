//! Which entries of two manifests belong together: by path, then by content.

use std::collections::BTreeMap;

use super::{Content, FileChange, Side, What};
use crate::id::{Digest, RelPath};
use crate::outputs::OutputKind;
use crate::outputs::manifest::Entry;

/// What became of every entry.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    /// Everything that is not the same, sorted by path.
    pub(super) changes: Vec<FileChange>,
    /// Paths of what is the same.
    pub(super) identical: Vec<RelPath>,
}

/// Pairs entries; both lists are sorted by path, as manifests are.
pub(super) fn pair(before: &[Entry], after: &[Entry]) -> Pairing {
    let mut pairing = Pairing::default();
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (Some(a), Some(b)) if a.path == b.path => {
                pairing.same_path(a, b);
                old.next();
                new.next();
            }
            (Some(a), Some(b)) if a.path < b.path => removed.extend(old.next()),
            (Some(_), None) => removed.extend(old.next()),
            (_, Some(_)) => added.extend(new.next()),
            (None, None) => break,
        }
    }
    pairing.moved(removed, added);
    pairing.changes.sort_by(|a, b| a.path.cmp(&b.path));
    pairing
}

impl Pairing {
    fn same_path(&mut self, before: &Entry, after: &Entry) {
        if before.same_content(after) {
            self.identical.push(after.path.clone());
        } else {
            self.changes.push(change(What::Changed, Some(before), Some(after)));
        }
    }

    /// Files that went away and came back under another name, and then what is left.
    fn moved(&mut self, removed: Vec<&Entry>, added: Vec<&Entry>) {
        let mut gone: BTreeMap<Digest, Vec<&Entry>> = BTreeMap::new();
        for entry in &removed {
            if let Some(digest) = of_content(entry) {
                gone.entry(digest).or_default().push(entry);
            }
        }
        let mut renamed: Vec<&RelPath> = Vec::new();
        for entry in added {
            let candidates = of_content(entry).and_then(|digest| gone.get_mut(&digest)).filter(|list| !list.is_empty());
            let Some(candidates) = candidates else {
                self.changes.push(change(What::Added, None, Some(entry)));
                continue;
            };
            // One that kept its name in another folder is more likely the same file.
            let at = candidates.iter().position(|old| old.path.file_name() == entry.path.file_name()).unwrap_or(0);
            let old = candidates.remove(at);
            renamed.push(&old.path);
            self.changes.push(change(What::Renamed { from: old.path.clone() }, Some(old), Some(entry)));
        }
        renamed.sort();
        for entry in removed.into_iter().filter(|entry| renamed.binary_search(&&entry.path).is_err()) {
            self.changes.push(change(What::Removed, Some(entry), None));
        }
    }
}

/// What tells a file from others; empty files are all the same and no rename of each other.
fn of_content(entry: &Entry) -> Option<Digest> {
    entry.sha256.filter(|_| entry.kind == OutputKind::File && entry.size > 0)
}

fn change(what: What, before: Option<&Entry>, after: Option<&Entry>) -> FileChange {
    let shown = after.or(before);
    let path = shown.map(|entry| entry.path.clone()).unwrap_or_default();
    let name = path.file_name();
    FileChange {
        metadata: name.starts_with(b".") && name.ends_with(b".metadata"),
        task: shown.and_then(|entry| entry.task.clone()),
        note: before.zip(after).and_then(|(a, b)| note(a, b)),
        before: before.map(side),
        after: after.map(side),
        content: Content::None,
        path,
        what,
    }
}

fn side(entry: &Entry) -> Side {
    Side { kind: entry.kind, size: entry.size, sha256: entry.sha256 }
}

/// What differs besides the bytes.
fn note(before: &Entry, after: &Entry) -> Option<String> {
    let word = |kind| match kind {
        OutputKind::File => "a file",
        OutputKind::Folder => "an empty folder",
        OutputKind::Link => "a link",
    };
    if before.kind != after.kind {
        return Some(format!("was {}, is {}", word(before.kind), word(after.kind)));
    }
    if let (Some(old), Some(new)) = (&before.link_target, &after.link_target) {
        return (old != new).then(|| format!("led to {old}, leads to {new}"));
    }
    let executable = |entry: &Entry| entry.mode & 0o111 != 0;
    match (executable(before), executable(after)) {
        (false, true) => Some("can be executed now".to_owned()),
        (true, false) => Some("cannot be executed any more".to_owned()),
        _ => None,
    }
}

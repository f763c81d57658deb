//! Settles paths that two sources claim: the same bytes are one output, different bytes are an error that names both.

use std::collections::BTreeSet;
use std::io::{self, Read};

use super::collect::Gather;
use super::rooted::Opener;
use super::{Output, OutputKind, OutputsError, Root, Roots};
use crate::id::RelPath;

pub(super) fn settle(gather: &mut Gather<'_>) -> Result<(), OutputsError> {
    let mut clashes = BTreeSet::new();
    let mut first = None;
    let mut note = |path: &RelPath, a: &Output, b: &Output| {
        first.get_or_insert_with(|| (describe(a), describe(b)));
        clashes.insert(path.clone());
    };
    for rival in std::mem::take(&mut gather.rivals) {
        let Some(taken) = gather.found.get(&rival.path) else { continue };
        // An empty folder gives way to anything: all it claims is that something is there.
        match (taken.kind, rival.kind) {
            (_, OutputKind::Folder) => {}
            (OutputKind::Folder, _) => drop(gather.found.insert(rival.path.clone(), rival)),
            _ if same(gather.roots, taken, &rival) => {}
            _ => note(&rival.path, taken, &rival),
        }
    }
    let mut filled = BTreeSet::new();
    for output in gather.found.values() {
        let mut above = output.path.parent();
        while let Some(path) = above.filter(|path| !path.is_root()) {
            match gather.found.get(&path) {
                Some(taken) if taken.kind == OutputKind::Folder => drop(filled.insert(path.clone())),
                Some(taken) => note(&path, taken, output),
                None => {}
            }
            above = path.parent();
        }
    }
    gather.found.retain(|path, _| !filled.contains(path));
    match first {
        None => Ok(()),
        Some(first) => {
            let total = clashes.len();
            Err(OutputsError::Clash { first, paths: clashes.into_iter().take(10).collect(), total })
        }
    }
}

/// A path as the user knows it.
fn describe(output: &Output) -> String {
    match output.from.0 {
        Root::Work => output.from.1.to_string(),
        Root::Output => format!("/output/{}", output.from.1),
    }
}

fn same(roots: &Roots, a: &Output, b: &Output) -> bool {
    match (a.kind, b.kind) {
        (OutputKind::Link, OutputKind::Link) => a.link_target == b.link_target,
        // A file that cannot be read now is not the same as anything: the error names both places.
        (OutputKind::File, OutputKind::File) => a.size == b.size && same_bytes(roots, a, b).unwrap_or(false),
        _ => false,
    }
}

fn same_bytes(roots: &Roots, a: &Output, b: &Output) -> io::Result<bool> {
    let (mut left, _) = Opener::new(roots.fd(a.from.0)).file(&a.from.1)?;
    let (mut right, _) = Opener::new(roots.fd(b.from.0)).file(&b.from.1)?;
    let (mut ours, mut theirs) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        let read = left.read(&mut ours)?;
        if read == 0 {
            return Ok(right.read(&mut theirs)? == 0);
        }
        if right.read_exact(&mut theirs[..read]).is_err() || ours[..read] != theirs[..read] {
            return Ok(false);
        }
    }
}

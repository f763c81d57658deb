//! Decides on symbolic links, after everything else was found: kept, replaced by what they lead to, or refused.
//!
//! Links are resolved by `cap-std` below their root, as the kernel would, so a chain that leaves the root for a moment
//! is refused too. A link that is kept points straight at a file or folder that is published, never at another link.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use super::collect::{FoundLink, Gather, Scope, reason_for};
use super::{OutputKind, OutputsError, RefusedReason, Root, rooted};
use crate::id::RelPath;

/// The path without links, below the root.
pub(super) fn real(root: &cap_std::fs::Dir, path: &RelPath) -> Result<RelPath, RefusedReason> {
    if path.is_root() {
        return Ok(RelPath::root());
    }
    match root.canonicalize(path.as_path()) {
        Ok(real) => {
            let bytes = real.as_os_str().as_bytes();
            RelPath::from_bytes(if bytes == b"." { b"" } else { bytes }).map_err(|_| RefusedReason::LinkOutside)
        }
        // Without an errno it is cap-std's own word for a path that leads outside.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() => {
            Err(RefusedReason::LinkOutside)
        }
        Err(error) => Err(match reason_for(&error) {
            RefusedReason::Unreadable if error.kind() == io::ErrorKind::PermissionDenied => RefusedReason::Unreadable,
            _ => RefusedReason::LinkDangling,
        }),
    }
}

pub(super) fn settle(gather: &mut Gather<'_>) -> Result<(), OutputsError> {
    let mut sources = HashMap::new();
    // Declared links first: what they lead to becomes an output that other links may point at. They are few, so that
    // the index may be renewed for each.
    while let Some(at) = gather.links.iter().position(|link| link.declared) {
        let link = gather.links.remove(at);
        index(gather, &mut sources);
        settle_one(gather, &link, &sources)?;
    }
    index(gather, &mut sources);
    index_above(gather, &mut sources);
    for link in std::mem::take(&mut gather.links) {
        settle_one(gather, &link, &sources)?;
    }
    Ok(())
}

fn settle_one(
    gather: &mut Gather<'_>,
    link: &FoundLink,
    sources: &HashMap<(Root, RelPath), RelPath>,
) -> Result<(), OutputsError> {
    if let Err(reason) = decide(gather, link, sources)? {
        gather.refuse(link.place.root, &link.place.real, reason);
    }
    Ok(())
}

fn index(gather: &Gather<'_>, sources: &mut HashMap<(Root, RelPath), RelPath>) {
    for output in gather.found.values().filter(|output| output.kind != OutputKind::Link) {
        sources.entry(output.from.clone()).or_insert_with(|| output.path.clone());
    }
    for (from, path) in &gather.folders {
        sources.entry(from.clone()).or_insert_with(|| path.clone());
    }
}

/// Folders of which a part is published: good enough for a link to lead to, not for a product to be.
fn index_above(gather: &Gather<'_>, sources: &mut HashMap<(Root, RelPath), RelPath>) {
    for output in gather.found.values() {
        let (root, mut real) = output.from.clone();
        let mut path = output.path.clone();
        while real.file_name() == path.file_name()
            && let (Some(real_above), Some(above)) = (real.parent(), path.parent())
            && !above.is_root()
            && !sources.contains_key(&(root, real_above.clone()))
        {
            sources.insert((root, real_above.clone()), above.clone());
            (real, path) = (real_above, above);
        }
    }
}

fn decide(
    gather: &mut Gather<'_>,
    link: &FoundLink,
    sources: &HashMap<(Root, RelPath), RelPath>,
) -> Result<Result<(), RefusedReason>, OutputsError> {
    let root = link.place.root;
    let real = match real(gather.roots.dir(root), &link.place.real) {
        Ok(real) => real,
        Err(reason) => return Ok(Err(reason)),
    };
    if let Some(target) = sources.get(&(root, real.clone())) {
        gather.add(&link.place, &link.stat, OutputKind::Link, Some(target.clone()), link.task.as_deref());
        return Ok(Ok(()));
    }
    if !link.declared {
        return Ok(Err(RefusedReason::LinkUnpublished));
    }
    if gather.is_whole(root, &real) {
        return Ok(Err(RefusedReason::Whole));
    }
    let above = real.parent().unwrap_or_default();
    let folder = match rooted::open_folder(gather.roots.fd(root), &above) {
        Ok(folder) => folder,
        Err(error) => return Ok(Err(reason_for(&error))),
    };
    let mut place = link.place.clone();
    place.real = real.clone();
    gather.take(
        folder.as_fd(),
        real.file_name(),
        place,
        0,
        &Scope { task: link.task.as_deref(), globs: None },
        false,
    )?;
    Ok(Ok(()))
}

//! Decides on symbolic links, after everything else was found: kept, replaced by what they lead to, or refused.
//!
//! Links are resolved by `cap-std` below their root, as the kernel would, so a chain that leaves the root for a moment
//! is refused too; one that begins with an absolute path below a root as the pipeline saw it is followed there. A link that is kept points straight at a file or folder that is published, never at another link.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use super::collect::{FoundLink, Gather, News, Place, Scope, around_reserved, reason_for};
use super::{OutputKind, OutputsError, RefusedReason, Root, Roots, rooted};
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
    // Declared links first: what they lead to becomes an output that other links may point at, and may have links in it.
    let (declared, others): (Vec<_>, Vec<_>) =
        std::mem::take(&mut gather.links).into_iter().partition(|link| link.declared);
    gather.links = others;
    for link in declared {
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

/// Reads what was added since the last time; of two outputs from one source, the first by path is the one to point at.
fn index(gather: &mut Gather<'_>, sources: &mut HashMap<(Root, RelPath), RelPath>) {
    let News { mut outputs, folders } = std::mem::take(&mut gather.news);
    outputs.sort_unstable();
    for output in outputs.iter().filter_map(|path| gather.found.get(path)).filter(|one| one.kind != OutputKind::Link) {
        sources.entry(output.from.clone()).or_insert_with(|| output.path.clone());
    }
    for from in folders {
        if let Some(path) = gather.folders.get(&from) {
            sources.entry(from).or_insert_with(|| path.clone());
        }
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

/// Where a link leads: below its own root or, where it names a place as the pipeline saw it, below that one's root.
fn leads_to(roots: &Roots, place: &Place) -> Result<(Root, RelPath), RefusedReason> {
    let outside = match real(roots.dir(place.root), &place.real) {
        Ok(real) => return Ok((place.root, real)),
        Err(RefusedReason::LinkOutside) => RefusedReason::LinkOutside,
        Err(reason) => return Err(reason),
    };
    let Ok(target) = roots.dir(place.root).read_link_contents(place.real.as_path()) else { return Err(outside) };
    let below = [(Root::Work, roots.guest_work), (Root::Output, roots.guest_output)]
        .into_iter()
        .find_map(|(root, guest)| Some((root, target.strip_prefix(guest).ok()?)));
    let Some((root, below)) = below else { return Err(outside) };
    let below = RelPath::from_bytes(below.as_os_str().as_bytes()).map_err(|_| outside)?;
    Ok((root, real(roots.dir(root), &below)?))
}

fn decide(
    gather: &mut Gather<'_>,
    link: &FoundLink,
    sources: &HashMap<(Root, RelPath), RelPath>,
) -> Result<Result<(), RefusedReason>, OutputsError> {
    let (root, real) = match leads_to(gather.roots, &link.place) {
        Ok(place) => place,
        Err(reason) => return Ok(Err(reason)),
    };
    if let Some(target) = sources.get(&(root, real.clone())) {
        // What it leads to is published under the link's own name: nothing is left to point at.
        if *target == around_reserved(&link.place.wanted) {
            return Ok(Ok(()));
        }
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
    (place.root, place.real) = (root, real.clone());
    gather.take(
        folder.as_fd(),
        real.file_name(),
        place,
        0,
        &Scope { task: link.task.as_deref(), globs: None },
        false,
    )?;
    // A product is missing where what it leads to cannot be published.
    Ok(gather.refused(root, &real).map_or(Ok(()), Err))
}

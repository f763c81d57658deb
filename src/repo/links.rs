//! Where a path leads when links are followed inside a tree, and never out of it.

use super::EntryKind;
use crate::id::RelPath;

/// As many as Linux follows.
const MOST_LINKS: usize = 40;

/// The path of the file or folder that `path` leads to; `None` when that is nothing, or outside.
pub(super) fn resolve(
    path: &RelPath,
    entry: impl Fn(&RelPath) -> Option<EntryKind>,
    target: impl Fn(&RelPath) -> Option<Vec<u8>>,
) -> Option<RelPath> {
    let mut ahead = parts(path.as_bytes());
    let mut here = RelPath::root();
    let mut links = 0;
    while let Some(part) = ahead.pop() {
        match &part[..] {
            b"" | b"." => continue,
            b".." => {
                here = here.parent()?;
                continue;
            }
            _ => {}
        }
        let next = here.join(&RelPath::from_bytes(&part).ok()?);
        match entry(&next)? {
            EntryKind::Link => {
                links += 1;
                let target = target(&next)?;
                if links > MOST_LINKS || target.is_empty() || target.starts_with(b"/") {
                    return None;
                }
                ahead.extend(parts(&target));
            }
            EntryKind::Folder | EntryKind::File { .. } | EntryKind::Submodule => here = next,
        }
    }
    Some(here)
}

/// The parts of a path, last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|b| *b == b'/').rev().map(<[u8]>::to_vec).collect()
}

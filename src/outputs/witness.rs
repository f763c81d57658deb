//! Products that nobody could name beforehand: a path with `{{now}}` or `{{git}}` in it, a grid's numbered files, a
//! pipeline that a function makes.
//!
//! Ploomber writes `.{name}.metadata` beside every file product once its task has succeeded. Where such a file is new
//! or changed since the snapshot, a task has made `{name}`, and it is published like a declared product. Looks below
//! the pipeline's folder, never into `.git`, through links, or into what is published whole in any case.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FileType;

use super::collect::{Gather, take_product};
use super::{MissingReason, OutputsError, Root, rooted};
use crate::id::RelPath;

/// A declared product with a gap in its path, and the text around the gaps.
struct Gapped<'a> {
    task: &'a str,
    declared: &'a str,
    around: Vec<&'a str>,
}

/// Takes every product that metadata speaks for, and takes those declared with a gap off the list of missing ones.
pub(super) fn settle(gather: &mut Gather<'_>) -> Result<(), OutputsError> {
    let at = gather.wanted.pipeline_dir;
    let folder = rooted::open_folder(gather.roots.fd(Root::Work), at).map_err(|source| OutputsError::Read {
        what: "the snapshot's",
        path: at.clone(),
        source,
    })?;
    let mut made = Vec::new();
    look(gather, folder.as_fd(), at, 0, &mut made)?;
    // A declared product below a linked folder is taken already, under its declared name.
    let files = gather.found.values().map(|output| (output.from.0, &output.from.1));
    let links = gather.links.iter().map(|link| (link.place.root, &link.place.real));
    let taken: HashSet<RelPath> =
        files.chain(links).filter(|(root, _)| *root == Root::Work).map(|(_, path)| path.clone()).collect();
    made.retain(|path| !taken.contains(path));
    let (tasks, guest) = (gather.wanted.tasks, gather.roots.guest_work);
    let products = tasks.iter().flat_map(|task| task.products.iter().map(|product| (task.name.as_str(), product)));
    let gapped: Vec<Gapped<'_>> = products
        .filter(|(_, product)| product.path.is_none() && has_gap(&product.declared))
        .map(|(task, product)| Gapped { task, declared: &product.declared, around: around(&product.declared, guest) })
        .collect();
    for path in made {
        let owner = gapped.iter().find(|gapped| fits(&gapped.around, path.as_bytes()));
        if take_product(gather, Root::Work, &path, owner.map(|owner| owner.task))?.is_ok()
            && let Some(owner) = owner
        {
            gather.missing.retain(|_, missing| {
                missing.why != MissingReason::Unknown || missing.task != owner.task || missing.product != owner.declared
            });
        }
    }
    Ok(())
}

/// Finds new metadata and notes the products beside it.
fn look(
    gather: &mut Gather<'_>,
    folder: BorrowedFd<'_>,
    at: &RelPath,
    depth: usize,
    made: &mut Vec<RelPath>,
) -> Result<(), OutputsError> {
    // What cannot be read holds no product that could be published.
    let Ok(names) = rooted::names(folder) else { return Ok(()) };
    for name in &names {
        gather.count()?;
        let (Ok(stat), Ok(path)) = (rooted::look(folder, name), rooted::child(at, name)) else { continue };
        match rooted::kind(&stat) {
            FileType::Directory => {
                let known = name == b".git" || gather.folders.contains_key(&(Root::Work, path.clone()));
                if !known
                    && depth < gather.wanted.bounds.depth
                    && let Ok(inside) = rooted::open_subfolder(folder, name)
                {
                    look(gather, inside.as_fd(), &path, depth + 1, made)?;
                }
            }
            FileType::RegularFile if !gather.wanted.baseline.holds(&path, &stat) => {
                let product = product_of(name).and_then(|product| rooted::child(at, product).ok());
                made.extend(product.filter(|path| !gather.folders.contains_key(&(Root::Work, path.clone()))));
            }
            _ => {}
        }
    }
    Ok(())
}

/// `model.pkl` of `.model.pkl.metadata`.
fn product_of(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(b".")?.strip_suffix(b".metadata").filter(|name| !name.is_empty())
}

/// Whether a path holds a placeholder that only the run can fill.
pub(super) fn has_gap(declared: &str) -> bool {
    declared.contains("{{") || declared.contains("[[")
}

/// The text before, between and behind the placeholders, seen from the snapshot's root.
fn around<'a>(declared: &'a str, guest_work: &str) -> Vec<&'a str> {
    let below = declared.strip_prefix(guest_work).and_then(|rest| rest.strip_prefix('/')).unwrap_or(declared);
    let mut rest = below.strip_prefix("./").unwrap_or(below);
    let mut parts = Vec::new();
    while let Some(open) = rest.find("{{").into_iter().chain(rest.find("[[")).min() {
        parts.push(&rest[..open]);
        let close = if rest[open..].starts_with("{{") { "}}" } else { "]]" };
        rest = rest[open..].find(close).map_or("", |end| &rest[open + end + close.len()..]);
    }
    parts.push(rest);
    parts
}

/// Whether a path from the snapshot's root ends in these parts, in this order; the first starts at a folder's name.
fn fits(around: &[&str], path: &[u8]) -> bool {
    let starts = std::iter::once(0).chain(path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at + 1));
    let [first, between @ .., last] = around else { return false };
    starts.into_iter().any(|start| {
        let Some(rest) = path[start..].strip_prefix(first.as_bytes()) else { return false };
        let Some(mut rest) = rest.strip_suffix(last.as_bytes()) else { return false };
        between.iter().all(|part| match memchr::memmem::find(rest, part.as_bytes()) {
            Some(at) => {
                rest = &rest[at + part.len()..];
                true
            }
            None => false,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(declared: &str, path: &str) -> bool {
        fits(&around(declared, "/workspace"), path.as_bytes())
    }

    #[test]
    fn a_gap_stands_for_any_text() {
        assert!(matches("out/{{now}}.csv", "out/2026-11-21.csv"));
        assert!(matches("./out/{{ git }}/x-{{now}}.csv", "sub/out/feat/a/x-1.csv"));
        assert!(matches("/workspace/sub/{{user}}.csv", "sub/me.csv"));
        assert!(matches("out/fit-[[number]].ipynb", "out/fit-0.ipynb"));
        assert!(matches("{{now}}", "anything"));
        assert!(!matches("out/{{now}}.csv", "about/1.csv"));
        assert!(!matches("out/{{now}}.csv", "out/1.csv.gz"));
        assert!(!matches("a{{now}}a", "a"));
        assert!(!matches("out/{{now}}-{{git}}.csv", "out/1.csv"));
    }

    #[test]
    fn metadata_names_its_product() {
        assert_eq!(product_of(b".x.csv.metadata"), Some(&b"x.csv"[..]));
        for other in [&b"x.metadata"[..], b"..metadata", b".metadata", b".x.meta"] {
            assert_eq!(product_of(other), None);
        }
        // Not a name a file can have, so nothing is looked for.
        assert!(rooted::child(&RelPath::root(), product_of(b"....metadata").unwrap()).is_err());
    }
}

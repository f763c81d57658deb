//! Where `source_loader` finds a source, without loading anything.

use super::{Found, LIMIT};
use crate::id::RelPath;
use crate::repo::{ReadError, Tree};
use crate::spec::{Pipeline, SourceLoader};
use crate::validate::{is_file, listing};

/// The file that the loader takes for a source, or what is to be said in place of it.
pub(super) fn find(
    tree: &dyn Tree,
    pipeline: &Pipeline,
    loader: &SourceLoader,
    source: &str,
    roots: &[RelPath],
) -> Result<RelPath, Found> {
    if loader.module.is_none() && loader.folders.is_empty() {
        return Err(anywhere(tree, pipeline, source));
    }
    let mut places = folders(tree, pipeline, loader, roots).ok_or(Found::Unknown)?;
    // Of folders that are not there the first is shown.
    places.sort_by_key(|place| tree.entry(place).is_none());
    let name = RelPath::normalise(source).map_err(|_| Found::Unknown)?;
    let all: Vec<RelPath> = places.iter().map(|place| place.join(&name)).collect();
    let is_there = |path: &RelPath| {
        let behind_link = || matches!(tree.read(path, LIMIT), Ok(Some(_)) | Err(ReadError::TooLong { .. }));
        tree.entry(path).is_some() || behind_link()
    };
    all.iter().find(|path| is_there(path)).or(all.first()).cloned().ok_or(Found::Unknown)
}

/// Whether none of the loader's folders has a file of this name; `false` where nobody knows which they are.
pub(super) fn lacks(
    tree: &dyn Tree,
    pipeline: &Pipeline,
    loader: &SourceLoader,
    name: &str,
    roots: &[RelPath],
) -> bool {
    let is_silent = loader.module.is_none() && loader.folders.is_empty();
    let places = folders(tree, pipeline, loader, roots).filter(|_| !is_silent);
    let (Some(places), Ok(name)) = (places, RelPath::normalise(name)) else { return false };
    // What lies behind a link to a folder has no entry of its own.
    let is_there = |path: &RelPath| tree.entry(path).is_some() || !matches!(tree.read(path, LIMIT), Ok(None));
    !places.iter().any(|place| is_there(&place.join(&name)))
}

/// What can be said of a source where nobody knows where to look: that no folder has such a file.
fn anywhere(tree: &dyn Tree, pipeline: &Pipeline, source: &str) -> Found {
    let Some(path) = pipeline.inside(source) else { return Found::Unknown };
    let Ok(wanted) = RelPath::normalise(source) else { return Found::Unknown };
    let below = [&b"/"[..], wanted.as_bytes()].concat();
    let is_it = |at: &RelPath| *at == wanted || at.as_bytes().ends_with(&below);
    match listing::all(tree) {
        Some(all) if !all.iter().any(|(at, _)| is_it(at)) => Found::Missing(path),
        _ => Found::Unknown,
    }
}

/// The folders that are looked into; `None` where they are not in the repository, or known to the run only.
fn folders(tree: &dyn Tree, pipeline: &Pipeline, loader: &SourceLoader, roots: &[RelPath]) -> Option<Vec<RelPath>> {
    let bases: Vec<RelPath> = match &loader.module {
        Some(module) => roots.iter().filter_map(|root| folder_of(tree, root, module)).collect(),
        None => roots.to_vec(),
    };
    if bases.is_empty() || loader.folders.is_empty() {
        return (!bases.is_empty()).then_some(bases);
    }
    let mut found = Vec::new();
    for folder in &loader.folders {
        if folder.starts_with('/') || folder.contains("{{") {
            found.push(pipeline.inside(folder)?);
        } else {
            let below = |base: &RelPath| Some(format!("{}/{folder}", base.as_str()?));
            let all = bases.iter().filter_map(below);
            found.extend(all.filter_map(|path| RelPath::normalise(path.trim_start_matches('/')).ok()));
        }
    }
    Some(found)
}

/// The folder that the file of a module lies in.
fn folder_of(tree: &dyn Tree, root: &RelPath, module: &str) -> Option<RelPath> {
    let path = module.replace('.', "/");
    let at = |ending: &str| Some(root.join(&RelPath::normalise(&format!("{path}{ending}")).ok()?));
    let file = [at("/__init__.py")?, at(".py")?].into_iter().find(|file| is_file(tree, file))?;
    file.parent()
}

//! Which files of a published folder are a task's own, whole, and where they lie in the snapshot.

use std::collections::BTreeMap;

use super::ancestor::{entangled, stranger};
use crate::id::RelPath;
use crate::outputs::OutputKind;
use crate::outputs::manifest::{Entry, Manifest, is_reserved};
use crate::plan::{OutputRules, PlannedTask};

/// One file of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// As published.
    pub entry: Entry,
    /// Where it lies in the snapshot.
    pub to: RelPath,
    /// Ploomber's word about a product, which it writes whenever it has executed the task.
    pub metadata: bool,
}

/// What a published folder has to give.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// All files of a task, by its name.
    pub tasks: BTreeMap<String, Vec<Piece>>,
    /// Why the files of others are not to be had.
    pub unavailable: BTreeMap<String, String>,
    /// Why no part may be taken without the rest, where that is so.
    pub entangled: Option<String>,
}

/// Looks for the files of every task.
///
/// # Errors
/// When nothing at all can be taken, and why.
pub fn offers(
    manifest: &Manifest,
    tasks: &[PlannedTask],
    pipeline_dir: &RelPath,
    rules: &OutputRules,
) -> Result<Offer, String> {
    if let Some(stranger) = stranger(manifest, tasks) {
        return Err(stranger);
    }
    let mut offer = Offer { entangled: entangled(manifest), ..Offer::default() };
    for task in tasks {
        match pieces(manifest, task, tasks, pipeline_dir, rules) {
            Ok(pieces) => drop(offer.tasks.insert(task.name.clone(), pieces)),
            Err(why) => drop(offer.unavailable.insert(task.name.clone(), why)),
        }
    }
    Ok(offer)
}

fn pieces(
    manifest: &Manifest,
    task: &PlannedTask,
    tasks: &[PlannedTask],
    pipeline_dir: &RelPath,
    rules: &OutputRules,
) -> Result<Vec<Piece>, String> {
    let note = manifest.about.reuse.as_ref();
    if note.is_some_and(|note| note.unsettled.contains(&task.name)) {
        return Err("its products were changed there after it had ended".to_owned());
    }
    if let Some(missing) = manifest.missing.iter().find(|missing| missing.task == task.name) {
        return Err(format!("`{}` did not come out there", missing.product));
    }
    let mut found = Vec::new();
    for product in &task.products {
        let Some(path) = &product.path else {
            return Err(format!("where `{}` lies is known to the run only", product.declared));
        };
        if tasks
            .iter()
            .any(|other| other.name != task.name && other.products.iter().any(|one| overlap(one.path.as_ref(), path)))
        {
            return Err(format!("`{path}` overlaps with the product of another task"));
        }
        let before = found.len();
        collect(manifest, path, pipeline_dir, rules, &mut found)?;
        if found.len() < before + 2 {
            return Err(format!("`{path}` is not there with its metadata"));
        }
    }
    Ok(found)
}

fn overlap(one: Option<&RelPath>, other: &RelPath) -> bool {
    one.is_some_and(|one| one.strip_prefix(other).is_some() || other.strip_prefix(one).is_some())
}

/// Adds a product, the folder's content where it is one, and the metadata beside it.
fn collect(
    manifest: &Manifest,
    path: &RelPath,
    pipeline_dir: &RelPath,
    rules: &OutputRules,
    found: &mut Vec<Piece>,
) -> Result<(), String> {
    let shown = shown(path, pipeline_dir);
    let first = shown.as_bytes().split(|b| *b == b'/').next().unwrap_or_default();
    if is_reserved(first) {
        return Err(format!("`{path}` is published under another name"));
    }
    let metadata = RelPath::from_bytes(&[b".", path.file_name(), b".metadata"].concat());
    let metadata = metadata.map_err(|error| error.to_string())?;
    let beside = |of: &RelPath| of.parent().unwrap_or_default().join(&metadata);
    let start = manifest.files.partition_point(|entry| entry.path < shown);
    let below = |entry: &&Entry| entry.path.as_bytes().starts_with(shown.as_bytes());
    for entry in manifest.files[start..].iter().take_while(below) {
        let Some(rest) = entry.path.strip_prefix(&shown) else { continue };
        let folder = !rest.is_root() || entry.kind == OutputKind::Folder;
        if folder && !rules.exclude.is_empty() {
            return Err(format!("`exclude` may have left out parts of the folder `{path}`"));
        }
        if entry.kind == OutputKind::Link {
            return Err(format!("`{}` is a link", entry.path));
        }
        found.push(Piece { entry: entry.clone(), to: path.join(&rest), metadata: false });
    }
    let entry = manifest.entry(&beside(&shown)).filter(|entry| entry.kind == OutputKind::File);
    found.extend(entry.map(|entry| Piece { entry: entry.clone(), to: beside(path), metadata: true }));
    match entry {
        Some(_) => Ok(()),
        None => Err(format!("`{path}` is not there with its metadata")),
    }
}

/// Where something of the snapshot is published.
fn shown(path: &RelPath, pipeline_dir: &RelPath) -> RelPath {
    path.strip_prefix(pipeline_dir).unwrap_or_else(|| RelPath::from_bytes(b"_root").unwrap_or_default().join(path))
}

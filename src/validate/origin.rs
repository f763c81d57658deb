//! Where the code of each task stands, for those who compare two versions of a project.
//!
//! Says only what is certain: a source that several files could provide has no known origin.

use super::{Project, below};
use crate::id::RelPath;
use crate::repo::{EntryKind, Tree};
use crate::spec::Task;

/// Where a task's code stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file of its own.
    File(RelPath),
    /// A function at the margin of a module.
    Function {
        /// The module's file.
        module: RelPath,
        /// The function.
        name: String,
    },
    /// Somewhere else, or not to be told.
    Unknown,
}

/// The origin of every task, in the order of the pipeline.
pub fn origins(tree: &dyn Tree, project: &Project) -> Vec<Origin> {
    let roots = roots(project);
    project.pipeline.tasks.iter().map(|task| origin(tree, project, &roots, task).unwrap_or(Origin::Unknown)).collect()
}

fn origin(tree: &dyn Tree, project: &Project, roots: &[RelPath], task: &Task) -> Option<Origin> {
    let source = task.source.as_ref()?.as_str();
    let is_file = |path: &RelPath| matches!(tree.entry(path), Some(EntryKind::File { .. }));
    if !task.is_function() {
        let path = project.pipeline.inside(source).filter(|_| project.pipeline.meta.source_loader.is_none())?;
        return is_file(&path).then_some(Origin::File(path));
    }
    let (modules, name) = source.rsplit_once('.')?;
    let modules = modules.replace('.', "/");
    let places = roots.iter().flat_map(|root| {
        ["/__init__.py", ".py"].map(|ending| Some(root.join(&RelPath::normalise(&format!("{modules}{ending}")).ok()?)))
    });
    let mut found: Vec<RelPath> = places.flatten().filter(|path| tree.entry(path).is_some()).collect();
    found.sort();
    found.dedup();
    match found.as_slice() {
        [module] if is_file(module) => Some(Origin::Function { module: module.clone(), name: name.to_owned() }),
        _ => None,
    }
}

/// Folders that modules are imported from.
fn roots(project: &Project) -> Vec<RelPath> {
    let file = below(&project.dir, &project.entry_point);
    let base = &project.pipeline.root;
    vec![file.parent().unwrap_or_default(), project.dir.clone(), base.clone(), below(base, "src")]
}

//! What two versions of a pipeline say as a whole, and what a task says of itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::RelPath;
use crate::spec::yaml::{Node, Value};
use crate::spec::{Pipeline, ProductKind, Task};
use crate::validate::Project;

/// Task classes whose files are all that they leave.
const CLASSES: [&str; 4] = ["NotebookRunner", "ScriptRunner", "ShellScript", "PythonCallable"];

/// What the pipeline as a whole says, and env.yaml.
pub(super) fn same_frame(before: &Project, after: &Project) -> Result<(), String> {
    let pipeline = &after.pipeline;
    if (&before.dir, &before.entry_point, before.package) != (&after.dir, &after.entry_point, after.package) {
        return Err("the pipeline lies elsewhere, or has become a package".to_owned());
    }
    if pipeline.location.is_some() || pipeline.meta.source_loader.is_some() {
        return Err("the pipeline is made while it runs".to_owned());
    }
    let document = &pipeline.document;
    if document.get("clients").is_some_and(|node| !node.is_falsy()) || pipeline.tasks.iter().any(uses_client) {
        return Err("the pipeline uses a client: what tasks leave in a database is not kept".to_owned());
    }
    for key in keys(document).union(&keys(&before.pipeline.document)).filter(|key| **key != "tasks") {
        let equal = match (before.pipeline.document.get(key), document.get(key)) {
            (Some(a), Some(b)) => same(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        if !equal {
            return Err(format!("`{key}` of the pipeline changed"));
        }
    }
    match (&before.env, &after.env) {
        (Some(a), Some(b)) if same(&a.root, &b.root) => Ok(()),
        (None, None) => Ok(()),
        _ => Err("the values of env.yaml changed".to_owned()),
    }
}

fn uses_client(task: &Task) -> bool {
    ["client", "product_client"].iter().any(|key| task.node.get(key).is_some_and(|node| !node.is_falsy()))
        || task.products.iter().any(|product| product.kind == ProductKind::Relation)
}

/// Why a task can never be taken over.
pub(super) fn unfit(pipeline: &Pipeline, task: &Task) -> Option<String> {
    let class = task.class.map(|class| class.name).unwrap_or_default();
    if !CLASSES.contains(&class) {
        return Some(format!("tasks of the class `{class}` leave more than files"));
    }
    if task.node.get("grid").is_some() {
        return Some("which files a grid makes is known to the run only".to_owned());
    }
    let known = |product| pipeline.product_path(task, product).is_some();
    if task.products.is_empty() || !task.products.iter().all(known) {
        return Some("where its products lie is known to the run only, or outside the repository".to_owned());
    }
    let gap = |text: &String| text.contains("{{") || text.contains("[[");
    let mut texts = Vec::new();
    scalars(&task.node, &mut texts);
    texts.iter().any(gap).then(|| "its entry holds a value that only the run knows".to_owned())
}

pub(super) fn products(task: &Task) -> Vec<(Option<&str>, &str)> {
    task.products.iter().map(|product| (product.key.as_deref(), product.text.as_str())).collect()
}

/// Files that are compared by what they say, with the values in them that may name files or functions.
pub(super) fn specs_of(project: &Project) -> BTreeMap<RelPath, Vec<String>> {
    let below = |name: &str| RelPath::normalise(name).ok().map(|name| project.dir.join(&name));
    let pipeline = below(&project.entry_point);
    let folder = pipeline.as_ref().and_then(RelPath::parent).unwrap_or_default();
    let imported = project.pipeline.meta.import_tasks_from.as_ref();
    let imported = imported.and_then(|name| RelPath::normalise(name.as_str()).ok()).map(|name| folder.join(&name));
    let mut specs: BTreeMap<RelPath, Vec<String>> =
        [below(&project.environment_path), below("soopervisor.yaml"), imported]
            .into_iter()
            .flatten()
            .map(|path| (path, Vec::new()))
            .collect();
    specs.extend(pipeline.map(|path| (path, values(&project.pipeline))));
    specs
}

/// env.yaml: compared by its values, and read like any other text, as these may name anything.
pub(super) fn env_path(project: &Project) -> Option<RelPath> {
    project.env.as_ref().and_then(|env| env.source.name.parse().ok())
}

/// Every text of a pipeline that is not where Ploomber looks for a task's own parts.
pub(super) fn values(pipeline: &Pipeline) -> Vec<String> {
    const OWN: [&str; 6] = ["source", "name", "product", "upstream", "class", "product_class"];
    let mut texts = Vec::new();
    let entries = |node: &Node| node.as_map().unwrap_or_default().to_vec();
    for (key, value) in entries(&pipeline.document) {
        if key.as_str() != Some("tasks") {
            scalars(&value, &mut texts);
        }
    }
    for (key, value) in pipeline.tasks.iter().flat_map(|task| entries(&task.node)) {
        if !key.as_str().is_some_and(|key| OWN.contains(&key)) {
            scalars(&value, &mut texts);
        }
    }
    texts
}

fn scalars(node: &Node, texts: &mut Vec<String>) {
    match &node.value {
        Value::Seq(items) => items.iter().for_each(|item| scalars(item, texts)),
        Value::Map(pairs) => pairs.iter().for_each(|(key, value)| {
            scalars(key, texts);
            scalars(value, texts);
        }),
        _ => texts.extend(node.scalar_text()),
    }
}

fn keys(node: &Node) -> BTreeSet<&str> {
    node.as_map().unwrap_or_default().iter().filter_map(|(key, _)| key.as_str()).collect()
}

/// Whether two nodes say the same, wherever they stand.
pub(super) fn same(a: &Node, b: &Node) -> bool {
    match (&a.value, &b.value) {
        (Value::Seq(a), Value::Seq(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        // Programs may go through parameters in the order in which they are written.
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.0, &b.0) && same(&a.1, &b.1))
        }
        (a, b) => a == b,
    }
}

//! Whether a text speaks of what a task makes: by a file's name, or by a folder on the way to it.

use super::words::{names_file, names_folder};
use crate::spec::Task;
use crate::validate::Project;

/// How the products of one task may be named.
#[derive(Debug, Default)]
pub(super) struct Naming {
    /// Whole file names.
    files: Vec<String>,
    /// The beginnings of names that are known to the run only.
    beginnings: Vec<String>,
    folders: Vec<String>,
    /// Nothing is known: any text may name them.
    anything: bool,
}

impl Naming {
    /// How the products of `task` may be named.
    pub(super) fn of(project: &Project, task: &Task) -> Self {
        let mut naming = Self { anything: task.products.is_empty(), ..Self::default() };
        let grid = task.node.get("grid").is_some();
        let dir = project.dir.as_str().unwrap_or_default();
        for product in &task.products {
            let path = project.pipeline.product_path(task, product);
            let text = match path.as_ref().and_then(|path| path.as_str()) {
                Some(path) => path.strip_prefix(dir).unwrap_or(path).to_owned(),
                None => product.text.value.clone(),
            };
            let (folder, name) = text.rsplit_once('/').unwrap_or(("", &text));
            if path.is_some() && !grid {
                naming.files.push(name.to_owned());
            } else {
                let end = name.find(['{', '[', '.']).unwrap_or(name.len());
                naming.anything |= end == 0;
                naming.beginnings.push(name[..end].to_owned());
            }
            let known =
                |part: &&str| !part.is_empty() && !part.contains(['{', '[', '}', ']']) && !part.starts_with('.');
            naming.folders.extend(folder.split('/').filter(known).map(str::to_owned));
        }
        naming.folders.sort();
        naming.folders.dedup();
        naming
    }

    /// Whether a text speaks of them.
    pub(super) fn fits(&self, text: &str) -> bool {
        self.anything
            || self.files.iter().any(|name| names_file(text, name))
            || self.beginnings.iter().any(|name| text.contains(name.as_str()))
            || self.folders.iter().any(|name| names_folder(text, name))
    }
}

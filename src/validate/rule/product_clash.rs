//! No two tasks make the same thing.

use std::collections::{HashMap, HashSet};

use super::{Facts, Rule, at, cells};
use crate::spec::{Product, ProductKind, Task};

pub(super) const RULE: Rule = Rule {
    code: "product/clash",
    about: "no two tasks have the same product",
    check: |facts, out| {
        let mut makers: HashMap<String, (usize, &str)> = HashMap::new();
        let mut seen: HashSet<(usize, String)> = HashSet::new();
        for (index, (task, _)) in facts.tasks().enumerate() {
            for product in &task.products {
                let mut told = false;
                for (shown, name) in made(facts, task, product) {
                    let (first, maker) = *makers.entry(name.clone()).or_insert((index, task.name.as_str()));
                    let again = !seen.insert((index, name));
                    if told || (first == index && !again) {
                        continue;
                    }
                    let message = if first == index {
                        format!("the task makes `{shown}` twice")
                    } else {
                        format!("the task `{maker}` makes `{shown}` too")
                    };
                    out.push(at(RULE.code, message, &task.file, product.text.span, "give one of the two another path"));
                    told = true;
                }
            }
        }
    },
};

/// What a product is shown as and what tells it from others; of a grid, that of each of its tasks.
fn made(facts: &Facts<'_>, task: &Task, product: &Product) -> Vec<(String, String)> {
    let place = facts.pipeline.product_path(task, product).map(|path| path.to_string());
    let written = &product.text.value;
    let is_file = product.kind == ProductKind::File;
    if task.node.get("grid").is_none() {
        let text = place.unwrap_or_else(|| written.clone());
        let name = if is_file { format!("file {text}") } else { format!("table {text}") };
        return vec![(written.clone(), name)];
    }
    // The tasks of a grid add their number to the name, and their folder is never the source's.
    let place = place.filter(|_| is_file && !facts.pipeline.meta.product_relative_to_source);
    let files = place.and_then(|path| cells::files(task, &path)).unwrap_or_default();
    files.into_iter().map(|file| (file.clone(), format!("file {file}"))).collect()
}

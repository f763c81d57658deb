//! No two tasks make the same thing.

use std::collections::{HashMap, HashSet};

use super::{Rule, at};
use crate::spec::ProductKind;

pub(super) const RULE: Rule = Rule {
    code: "product/clash",
    about: "no two tasks have the same product",
    check: |facts, out| {
        let mut makers: HashMap<String, (usize, &str)> = HashMap::new();
        let mut seen: HashSet<(usize, String)> = HashSet::new();
        for (index, (task, _)) in facts.tasks().enumerate() {
            // The tasks of a grid add their number to the file name.
            if task.node.get("grid").is_some() {
                continue;
            }
            for product in &task.products {
                let place = facts.pipeline.product_path(task, product).map(|path| path.to_string());
                let text = place.unwrap_or_else(|| product.text.value.clone());
                let name = match product.kind {
                    ProductKind::File => format!("file {text}"),
                    ProductKind::Relation => format!("table {text}"),
                };
                let (first, maker) = *makers.entry(name.clone()).or_insert((index, task.name.as_str()));
                let again = !seen.insert((index, name));
                if first == index && !again {
                    continue;
                }
                let message = if first == index {
                    format!("the task makes `{}` twice", product.text.value)
                } else {
                    format!("the task `{maker}` makes `{}` too", product.text.value)
                };
                out.push(at(RULE.code, message, &task.file, product.text.span, "give one of the two another path"));
            }
        }
    },
};

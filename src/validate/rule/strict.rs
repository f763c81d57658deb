//! `static_analysis: strict` holds the parameters cell to what the task passes.

use std::collections::BTreeSet;

use super::{Rule, at};
use crate::diag::Diagnostic;
use crate::spec::Task;
use crate::spec::yaml::Node;
use crate::validate::source::Found;

pub(super) const RULE: Rule = Rule {
    code: "source/strict",
    about: "with `static_analysis: strict` the parameters cell gives a value to each param of the task, and to no other",
    check: |facts, out| {
        for (task, found) in facts.tasks() {
            let is_strict = task.node.get("static_analysis").is_some_and(|value| value.as_str() == Some("strict"));
            let is_taken = task.class.is_some_and(|class| class.keys.contains(&"static_analysis"));
            if let (true, Found::Notebook { declared: Some(declared), .. }) = (is_strict && is_taken, found) {
                compare(task, declared, out);
            }
        }
    },
};

/// Says what the cell sets and the task does not pass, and the other way round.
fn compare(task: &Task, declared: &[String], out: &mut Vec<Diagnostic>) {
    let keys =
        |node: &Node| -> Option<Vec<String>> { node.as_map()?.iter().map(|(key, _)| key.scalar_text()).collect() };
    let Some(params) = task.node.get("params").map_or(Some(Vec::new()), keys) else { return };
    let cells: Vec<Vec<String>> = match task.node.get("grid") {
        None => vec![Vec::new()],
        Some(grid) => grid.as_seq().unwrap_or(std::slice::from_ref(grid)).iter().filter_map(keys).collect(),
    };
    let is_own = |name: &&String| !matches!(name.as_str(), "upstream" | "product");
    let declared: BTreeSet<&String> = declared.iter().filter(is_own).collect();
    for cell in &cells {
        let passed: BTreeSet<&String> = params.iter().chain(cell).filter(is_own).collect();
        for missing in declared.difference(&passed) {
            let message = format!("the parameters cell sets `{missing}`, which the task does not pass");
            let help = format!("add `{missing}` to the task's `params`, or set it in another cell");
            out.push(at(RULE.code, message, &task.file, task.span(), help));
        }
        for more in passed.difference(&declared) {
            let message = format!("the task passes `{more}`, which the parameters cell does not set");
            let help = format!("write `{more} = None` in the parameters cell");
            out.push(at(RULE.code, message, &task.file, task.span(), help));
        }
    }
}

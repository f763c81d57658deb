//! Names of tasks are unique.

use std::collections::HashMap;

use super::{Rule, at};
use crate::diag::Diagnostic;
use crate::spec::Task;

pub(super) const RULE: Rule = Rule {
    code: "task/duplicate-name",
    about: "no two tasks have the same name",
    check: |facts, out| {
        let is_text = |task: &Task| task.node.get("name").is_none_or(|name| name.scalar_text().is_some());
        for (task, _) in facts.tasks() {
            if let Some(node) = task.node.get("name").filter(|_| !is_text(task)) {
                let message = format!("`name` must be a text, but is {}", node.kind());
                out.push(at(RULE.code, message, &task.file, node.span, "write `name: my-task`"));
            }
        }
        let mut seen: HashMap<&str, &Task> = HashMap::new();
        for (task, _) in facts.tasks().filter(|(task, _)| task.node.get("grid").is_none() && is_text(task)) {
            let name = task.name.as_str();
            if name.is_empty() {
                continue;
            }
            if let Some(first) = seen.get(name) {
                let first = Diagnostic::note(RULE.code, "")
                    .at(&first.file, first.name.span)
                    .line_column()
                    .map_or(0, |(line, _)| line);
                let message = format!("a second task is called `{name}`");
                let help = format!("the first is in line {first}; add a `name:` to one of them");
                out.push(at(RULE.code, message, &task.file, task.name.span, help));
            } else {
                seen.insert(name, task);
            }
        }
    },
};

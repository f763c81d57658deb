//! Names of tasks are unique.

use std::collections::{HashMap, HashSet};

use super::{Rule, at, cells};
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
        let mut seen: HashMap<String, &Task> = HashMap::new();
        for (task, _) in facts.tasks().filter(|(task, _)| is_text(task)) {
            let is_grid = task.node.get("grid").is_some();
            let names = if is_grid { cells::names(task).unwrap_or_default() } else { vec![task.name.value.clone()] };
            if let Some((message, help)) = twice_in_grid(task, &names).filter(|_| is_grid) {
                out.push(at(RULE.code, message, &task.file, task.name.span, help));
            }
            let other = names.iter().filter(|name| !name.is_empty()).find_map(|name| Some((name, *seen.get(name)?)));
            if let Some((name, first)) = other {
                let first = Diagnostic::note(RULE.code, "")
                    .at(&first.file, first.name.span)
                    .line_column()
                    .map_or(0, |(line, _)| line);
                let message = format!("a second task is called `{name}`");
                let way = if is_grid { "give one of them another `name:`" } else { "add a `name:` to one of them" };
                let help = format!("the first is in line {first}; {way}");
                out.push(at(RULE.code, message, &task.file, task.name.span, help));
            }
            for name in names {
                seen.entry(name).or_insert(task);
            }
        }
    },
};

/// What is to be said of a grid that makes two tasks of one name.
fn twice_in_grid(task: &Task, names: &[String]) -> Option<(String, String)> {
    let mut seen = HashSet::new();
    let twice = names.iter().find(|name| !seen.insert(name.as_str()))?;
    let help = match cells::unknown(task).first() {
        Some(unknown) => format!("the grid has no `{unknown}`; name a key of it, or leave the `[[…]]` out for numbers"),
        None => {
            "write each key of the grid that has several values into the name, or leave the `[[…]]` out for numbers"
                .to_owned()
        }
    };
    Some((format!("the grid makes two tasks that are called `{twice}`"), help))
}

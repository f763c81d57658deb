//! `grid:` of a task.

use super::{Rule, at};

pub(super) const RULE: Rule = Rule {
    code: "task/grid",
    about: "`grid` is a mapping or a list of mappings, has a `name`, and shares no key with `params`",
    check: |facts, out| {
        for (task, _) in facts.tasks() {
            let Some((key, grid)) = task.node.entry("grid") else { continue };
            let mut error =
                |message: String, span, help: &str| out.push(at(RULE.code, message, &task.file, span, help));
            if task.node.get("name").is_none_or(|name| name.as_str().is_none()) {
                error(
                    "a task with `grid` needs a `name`".to_owned(),
                    key.span,
                    "add `name: fit-`; a number is added to it for every task",
                );
            }
            let cells = match (grid.as_seq(), grid.as_map()) {
                (Some(items), _) => items,
                (None, Some(_)) => std::slice::from_ref(grid),
                (None, None) => {
                    error(
                        format!("`grid` must be a mapping, but is {}", grid.kind()),
                        key.span,
                        "write `param: [value, value]` lines below it",
                    );
                    continue;
                }
            };
            for cell in cells {
                let Some(pairs) = cell.as_map() else {
                    error(
                        format!("a grid must be a mapping, but this is {}", cell.kind()),
                        cell.span,
                        "write `param: [value, value]` lines below it",
                    );
                    continue;
                };
                for (key, _) in pairs {
                    let name = key.scalar_text().unwrap_or_default();
                    if task.node.get("params").is_some_and(|params| params.get(&name).is_some()) {
                        error(format!("`{name}` stands in `grid` and in `params`"), key.span, "remove one of the two");
                    }
                }
            }
        }
    },
};

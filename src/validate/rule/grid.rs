//! `grid:` of a task.

use super::{Rule, at};
use crate::diag::Span;
use crate::spec::Task;

pub(super) const RULE: Rule = Rule {
    code: "task/grid",
    about: "`grid` is a mapping or a list of mappings, has a `name`, shares no key with `params`, and has no serializer",
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
            for key in unresolved(task) {
                let message = format!("Ploomber does not find the function of `{}` for a task with `grid`", key.0);
                let help = format!(
                    "it calls the text itself, which fails; write `{}` at the top of the pipeline, where it is for every \
                     function, or do its work in the task's function",
                    key.0
                );
                error(message, key.1, &help);
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

/// Keys whose dotted path Ploomber 0.23.3 hands on to the tasks of a grid as it is written (`TaskSpec.to_task`) and then
/// calls; `unserializer` only where there is something to read.
fn unresolved(task: &Task) -> Vec<(&'static str, Span)> {
    let reads = !task.upstream.is_empty();
    let keys = ["serializer", "unserializer"].into_iter().filter(|key| *key == "serializer" || reads);
    let set = keys.filter_map(|name| {
        let (key, value) = task.node.entry(name)?;
        (task.is_function() && !value.is_falsy()).then_some((name, key.span))
    });
    set.collect()
}

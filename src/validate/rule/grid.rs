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
            handed_on(task, &mut error);
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

/// Clients, which `TaskSpec.to_task` of Ploomber 0.23.3 hands on as they are written, too: one to a class that takes no such
/// key, the other to be used as if it were a client.
fn handed_on(task: &Task, error: &mut dyn FnMut(String, Span, &str)) {
    if let Some((key, _)) = task.node.entry("product_client") {
        let message = "a task with `grid` takes no `product_client`".to_owned();
        error(message, key.span, "write it below `clients:` at the top, with the product's class as its key");
    }
    let taken = task.class.is_some_and(|class| class.keys.contains(&"client"));
    if let Some((key, _)) = task.node.entry("client").filter(|(_, client)| taken && !client.is_falsy()) {
        let message = "Ploomber does not call the function of `client` for a task with `grid`".to_owned();
        let help = "it uses the text itself, which fails; write it below `clients:` at the top, with the task's class as its key";
        error(message, key.span, help);
    }
}

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

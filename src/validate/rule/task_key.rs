//! Keys of a task: those that every task has, and those of its class.

use super::{Rule, at};
use crate::spec::{class, suggest};

pub(super) const RULE: Rule = Rule {
    code: "task/unknown-key",
    about: "a task has only keys that its class takes, and a product class that exists",
    check: |facts, out| {
        for (task, _) in facts.tasks() {
            if let Some(node) = task.node.get("product_class") {
                let name = node.scalar_text().unwrap_or_default();
                if !class::PRODUCTS.contains(&name.as_str()) {
                    let help = suggest::help(&name, class::PRODUCTS);
                    out.push(at(RULE.code, format!("there is no product class `{name}`"), &task.file, node.span, help));
                }
            }
            let Some(class) = task.class else { continue };
            if task.product_class(&facts.pipeline.meta).is_none()
                && !matches!(class.name, "Task" | "TaskFactory" | "TaskGroup" | "Link" | "Input")
            {
                let message = format!("tasks of class `{}` need a `product_class`", class.name);
                out.push(at(
                    RULE.code,
                    message,
                    &task.file,
                    task.span(),
                    "add `product_class: File`, or the one of the table",
                ));
            }
            // What is told as a missing key is not told a second time as an unknown one.
            let wanted =
                ["source", "product"].into_iter().take(if facts.pipeline.meta.extract_product { 1 } else { 2 });
            let told: Vec<_> = wanted.filter_map(|wanted| class::misspelt(&task.node, wanted)).collect();
            for (key, value) in task.node.as_map().unwrap_or_default() {
                if told.contains(&key) {
                    continue;
                }
                let name = key.scalar_text().unwrap_or_default();
                let known =
                    class::TASK_KEYS.contains(&name.as_str()) || class.keys.contains(&name.as_str()) || name == "grid";
                // A client that is nothing is dropped before the class sees it.
                if known || (name == "client" && value.is_null()) {
                    continue;
                }
                let all = class::TASK_KEYS.iter().chain(class.keys).copied().chain(["grid"]);
                let owner = class::TASKS.iter().find(|other| other.keys.contains(&name.as_str()));
                let help = match (suggest::closest(&name, all.clone()), owner) {
                    (_, Some(owner)) => format!("`{name}` is for tasks of class `{}`", owner.name),
                    (Some(near), None) => format!("did you mean `{near}`?"),
                    (None, None) => suggest::help(&name, all),
                };
                let message = format!("a task of class `{}` takes no key `{name}`", class.name);
                out.push(at(RULE.code, message, &task.file, key.span, help));
            }
        }
    },
};

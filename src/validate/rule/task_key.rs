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
            // Of a class that cannot be told, keys of any class may be meant.
            let class = task.class.filter(|class| !class.is_abstract());
            if let Some(class) = class.filter(|_| task.product_class(&facts.pipeline.meta).is_none()) {
                let message = format!("tasks of class `{}` need a `product_class`", class.name);
                out.push(at(
                    RULE.code,
                    message,
                    &task.file,
                    task.span(),
                    "add `product_class: File`, or the one of the table",
                ));
            }
            let own: Vec<&str> = match class {
                Some(class) => class.keys.to_vec(),
                None => class::TASKS.iter().flat_map(|class| class.keys).copied().collect(),
            };
            for (key, value) in task.node.as_map().unwrap_or_default() {
                let name = key.scalar_text().unwrap_or_default();
                let all = class::TASK_KEYS.iter().chain(&own).copied().chain(["grid"]);
                // A client that is nothing is dropped before the class sees it.
                if all.clone().any(|known| known == name) || (name == "client" && value.is_null()) {
                    continue;
                }
                let owner = class::TASKS.iter().find(|other| other.keys.contains(&name.as_str()));
                let help = match (suggest::closest(&name, all.clone()), owner) {
                    (_, Some(owner)) => format!("`{name}` is for tasks of class `{}`", owner.name),
                    (Some(near), None) => format!("did you mean `{near}`?"),
                    (None, None) => suggest::help(&name, all),
                };
                let message = match class {
                    Some(class) => format!("a task of class `{}` takes no key `{name}`", class.name),
                    None => format!("no task takes a key `{name}`"),
                };
                out.push(at(RULE.code, message, &task.file, key.span, help));
            }
        }
    },
};

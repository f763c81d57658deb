//! `clients:` of pipeline.yaml, and what cannot do without a client.

use super::{Facts, Rule, at};
use crate::spec::yaml::Node;
use crate::spec::{Task, class, suggest};

pub(super) const RULE: Rule = Rule {
    code: "pipeline/clients",
    about: "`clients` has task and product classes as keys, and what asks a client for something has one",
    check: |facts, out| {
        let clients = facts.pipeline.document.get("clients").and_then(Node::as_map).unwrap_or_default();
        for (key, _) in clients.iter().filter(|(_, value)| !value.is_null()) {
            let name = key.scalar_text().unwrap_or_default();
            if key.as_str().is_none() || !owners().any(|owner| owner == name) {
                let message = format!("no client can be for `{name}`, which is no class of tasks or products");
                out.push(at(RULE.code, message, facts.file(), key.span, suggest::help(&name, owners())));
            }
        }
        for (task, _) in facts.tasks() {
            if let Some((class, node)) = lacking(facts, task) {
                let message = format!("a product of class `{class}` needs a client, and there is none");
                let help = format!(
                    "write `{class}: module.function` below `clients:` at the top, or `product_client: module.function` here; \
                     a client of the task's class is for the task only"
                );
                out.push(at(RULE.code, message, &task.file, node.span, help));
            }
            let Some(class) = task.class.filter(|class| ASKED.contains(&class.name)) else { continue };
            let own = task.node.get("client").is_some_and(|client| !client.is_null());
            if own || has(facts, class.name) {
                continue;
            }
            let hooks = ["on_finish", "on_render", "on_failure"].into_iter().filter_map(|key| task.node.entry(key));
            for (key, _) in hooks.filter(|(_, hook)| !hook.is_falsy()) {
                let hook = key.as_str().unwrap_or_default();
                let message =
                    format!("`{hook}` of a task of class `{}` gets its client, and there is none", class.name);
                let help = format!("write `{}: module.function` below `clients:` at the top", class.name);
                out.push(at(RULE.code, message, &task.file, key.span, help));
            }
        }
    },
};

/// Product classes that ask a client whether the product is there.
const NEEDING: [&str; 4] = ["SQLiteRelation", "PostgresRelation", "GenericProduct", "GenericSQLRelation"];
/// Task classes whose hooks are not set without a client.
const ASKED: [&str; 2] = ["SQLScript", "SQLDump"];

/// Classes that a client can be for.
fn owners() -> impl Iterator<Item = &'static str> + Clone {
    let tasks =
        class::TASKS.iter().map(|class| class.name).filter(|name| !matches!(*name, "TaskFactory" | "TaskGroup"));
    tasks.chain(class::PRODUCTS.into_iter().filter(|name| *name != "MetaProduct"))
}

/// Whether there is a client for a class; where that cannot be told, there may be. A slip in a key is told by itself.
fn has(facts: &Facts<'_>, class: &str) -> bool {
    let document = &facts.pipeline.document;
    let is_meant = |key: &Node, wanted: &str| key.as_str().is_some_and(|key| suggest::closest(key, [wanted]).is_some());
    let Some(clients) = document.get("clients").filter(|clients| !clients.is_falsy()) else {
        return document.as_map().unwrap_or_default().iter().any(|(key, _)| is_meant(key, "clients"));
    };
    let Some(pairs) = clients.as_map() else { return true };
    pairs.iter().filter(|(_, client)| !client.is_null()).any(|(key, _)| {
        let is_known = key.as_str().is_some_and(|key| owners().any(|owner| owner == key));
        key.as_str() == Some(class) || (!is_known && is_meant(key, class))
    })
}

/// The class of a task's product that has no client, and where the product stands.
fn lacking<'a>(facts: &Facts<'_>, task: &'a Task) -> Option<(&'static str, &'a Node)> {
    let class = task.product_class(&facts.pipeline.meta).filter(|class| NEEDING.contains(class))?;
    let own = task.node.get("product_client").is_some_and(|client| !client.is_null());
    let product = task.node.get("product").filter(|product| !product.is_null())?;
    (!own && !has(facts, class)).then(|| (class, task.node.get("product_class").unwrap_or(product)))
}

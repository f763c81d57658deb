//! SQL and shell sources: `{{product}}` is there, and every placeholder has a value.

use super::{Facts, Rule, at};
use crate::spec::yaml::Node;
use crate::spec::{Task, suggest};
use crate::validate::source::{FILTERS, Found, Template};

pub(super) const RULE: Rule = Rule {
    code: "source/template",
    about: "SQL and shell sources use `{{product}}`, and no placeholder without a value",
    check: |facts, out| {
        for (task, found) in facts.tasks() {
            let (Found::Template(template), Some(class)) = (found, task.class) else { continue };
            let mut error =
                |message: String, help: String| out.push(at(RULE.code, message, &task.file, task.span(), help));
            let lines: Vec<String> = template.brackets.iter().map(usize::to_string).collect();
            if let Some((last, others)) = lines.split_last() {
                let help = "write `[ -f x ]` or `test -f x`, or call a script that has the `[[`";
                let place = match others {
                    [] => format!("line {last}"),
                    _ => format!("lines {} and {last}", others.join(", ")),
                };
                error(format!("Ploomber reads the `[[` in {place} of the source as a placeholder"), help.to_owned());
            }
            if let Some((why, line)) = &template.broken {
                error(
                    format!("the placeholders in line {line} of the source cannot be read: {why}"),
                    "close every `{{` with `}}`".to_owned(),
                );
                continue;
            }
            for (message, help) in uses(facts, task, template) {
                error(message, help);
            }
            if !template.judged {
                continue;
            }
            let has = |name: &str| template.names.iter().any(|used| used == name);
            if matches!(class.name, "ShellScript" | "SQLScript") && !has("product") && !template.sets_product {
                let example = match class.name {
                    "ShellScript" => "write the result to `{{product}}`",
                    _ => "write `CREATE TABLE {{product}} AS SELECT ...`",
                };
                error("the source does not use `{{product}}`".to_owned(), example.to_owned());
            }
            if task.node.get("grid").is_some() {
                continue;
            }
            let params = task.node.get("params").and_then(Node::as_map).unwrap_or_default();
            let params: Vec<String> = params.iter().filter_map(|(key, _)| key.scalar_text()).collect();
            let upstream = (!task.upstream.is_empty()).then_some("upstream");
            for unused in params.iter().map(String::as_str).chain(upstream).filter(|name| !has(name)) {
                let help = format!("write `{{{{{unused}}}}}` in it; Ploomber refuses what a template does not use");
                error(format!("the source does not use `{unused}`"), help);
            }
            for name in &template.names {
                if params.contains(name) || matches!(name.as_str(), "product" | "upstream") {
                    continue;
                }
                let options = params.iter().map(String::as_str).chain(["product", "upstream"]);
                let help = match suggest::closest(name, options) {
                    Some(near) => format!("did you mean `{{{{{near}}}}}`?"),
                    None => format!("add `{name}` to the task's `params`"),
                };
                error(format!("the placeholder `{{{{{name}}}}}` of the source has no value"), help);
            }
        }
    },
};

/// What a product of several files has besides its keys.
const ATTRIBUTES: [&str; 12] = [
    "client",
    "delete",
    "download",
    "exists",
    "get",
    "items",
    "keys",
    "missing",
    "render",
    "task",
    "to_json_serializable",
    "upload",
];

/// What is to be said of keys, filters and files that a template uses and that there are not.
fn uses(facts: &Facts<'_>, task: &Task, template: &Template) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let product = task.node.get("product").and_then(Node::as_map).filter(|_| !template.sets_product);
    let known: Vec<&str> = product.unwrap_or_default().iter().filter_map(|(key, _)| key.as_str()).collect();
    let is_known = |key: &str| {
        known.contains(&key)
            || ATTRIBUTES.contains(&key)
            || matches!(key, "values" | "metadata")
            || key.starts_with('_')
    };
    for (key, line) in template.keys.iter().filter(|(key, _)| product.is_some() && !is_known(key)) {
        let message = format!("the product has no key `{key}`, which line {line} of the source asks for");
        told.push((message, suggest::help(key, known.iter().copied())));
    }
    for (name, line) in &template.filters {
        let help = match suggest::closest(name, FILTERS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "remove it, or do its work in the source".to_owned(),
        };
        told.push((format!("Jinja has no filter `{name}`, which line {line} of the source uses"), help));
    }
    for include in &template.includes {
        let (line, name) = (include.line, include.name.as_deref().unwrap_or("another file"));
        let by_loader = facts.pipeline.meta.source_loader.is_some() && !starts_at_root(task);
        told.push(if by_loader {
            let message = format!("no folder of `source_loader` has `{name}`, which line {line} of the source includes");
            (message, "create it and commit it, or correct the path; it is relative to those folders".to_owned())
        } else {
            let message = format!("line {line} of the source includes `{name}`, and Ploomber has no folder to look in");
            let help = "put the text into the source, or write `source_loader: {path: FOLDER}` below `meta:`, with both files there";
            (message, help.to_owned())
        });
    }
    told
}

fn starts_at_root(task: &Task) -> bool {
    task.source.as_ref().is_some_and(|source| source.as_str().starts_with('/'))
}

//! SQL and shell sources: `{{product}}` is there, and every placeholder has a value.

use super::{Facts, Rule, at};
use crate::diag::Diagnostic;
use crate::spec::class::{PRODUCTS, TaskClass};
use crate::spec::yaml::Node;
use crate::spec::{Spanned, Task, suggest};
use crate::validate::source::{Broken, FILTERS, Found, Template, Why};

pub(super) const RULE: Rule = Rule {
    code: "source/template",
    about: "SQL and shell sources use `{{product}}`, and no placeholder, upstream task or key without a value",
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
            if let Some(broken) = &template.broken {
                out.push(unreadable(broken));
                continue;
            }
            for (message, help) in uses(facts, task, template).into_iter().chain(asked(facts, task, template)) {
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
                let is_passed = match name.as_str() {
                    "product" => true,
                    "upstream" => upstream.is_some() || task.node.get("upstream").is_some_and(|node| !node.is_falsy()),
                    name => params.iter().any(|param| param == name) || is_product_class(class, template, name),
                };
                if is_passed {
                    continue;
                }
                let options = params.iter().map(String::as_str).chain(["product", "upstream"]);
                let help = match suggest::closest(name, options) {
                    _ if name == "upstream" => no_upstream(facts).to_owned(),
                    Some(near) => format!("did you mean `{{{{{near}}}}}`?"),
                    None => format!("add `{name}` to the task's `params`"),
                };
                error(format!("the placeholder `{{{{{name}}}}}` of the source has no value"), help);
            }
        }
    },
};

/// Where and why a source is no template; the place is in the source.
fn unreadable(broken: &Broken) -> Diagnostic {
    let Broken { source, span, why } = broken;
    let (message, help) = match why {
        Why::Comment => (
            "Jinja reads this `{#` as the start of a comment, which nothing ends".to_owned(),
            "write `{% raw %}` before it and `{% endraw %}` behind it, or end the comment with `#}`",
        ),
        Why::Said(why) => {
            let message = format!("the placeholders of the source cannot be read here: {why}");
            let help = if why.contains(", expected end of variable block") {
                "close every `{{` with `}}`; `{% raw %}…{% endraw %}` goes around what is none"
            } else if why.contains(", expected end of block") {
                "close every `{%` with `%}`; `{% raw %}…{% endraw %}` goes around what is none"
            } else {
                "correct it; `{% raw %}…{% endraw %}` goes around what is not for Jinja"
            };
            (message, help)
        }
    };
    at(RULE.code, message, source, *span, help)
}

/// Whether Ploomber gives the source a class by this name: a SQL script that says itself what it makes needs it for that.
fn is_product_class(class: &TaskClass, template: &Template, name: &str) -> bool {
    let is_it = template.product_class.as_deref() == Some(name);
    is_it && class.name == "SQLScript" && PRODUCTS.contains(&name)
}

/// What to do where a template uses `upstream` and the task needs no other.
fn no_upstream(facts: &Facts<'_>) -> &'static str {
    if facts.pipeline.meta.extract_upstream {
        "name the task that is needed, as in `{{upstream['task']}}`, or remove it"
    } else {
        "add `upstream: [TASK]` to the task, or remove it"
    }
}

/// What `upstream` has besides its tasks.
const METHODS: [&str; 8] = ["first", "get", "items", "keys", "pop", "to_dict", "to_json_serializable", "values"];

/// What is to be said of tasks that a template asks `upstream` for and that the task does not declare, and of keys that
/// their products do not have.
fn asked(facts: &Facts<'_>, task: &Task, template: &Template) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let declared: Vec<&str> = task.upstream.iter().map(Spanned::as_str).collect();
    for asked in &template.asked {
        let (name, line) = (asked.task.as_str(), asked.line);
        if !declared.contains(&name) {
            // Where they are read from the source, each was looked up among the tasks; where there are none, that is told.
            let is_read = facts.pipeline.meta.extract_upstream;
            if !is_read && !declared.is_empty() && !METHODS.contains(&name) && !name.starts_with('_') {
                let message = format!("the task does not declare `{name}`, which line {line} of the source asks for");
                let help =
                    format!("add it to the task's `upstream`; {}", suggest::help(name, declared.iter().copied()));
                told.push((message, help));
            }
            continue;
        }
        let Some(key) = &asked.key else { continue };
        let same = |other: &&Task| other.name.as_str() == name && other.node.get("grid").is_none();
        let needed = facts.pipeline.tasks.iter().find(same);
        let Some(product) = needed.and_then(|needed| needed.node.get("product")?.as_map()) else { continue };
        let known: Vec<&str> = product.iter().filter_map(|(key, _)| key.as_str()).collect();
        if !has_key(&known, key) {
            let message =
                format!("the product of `{name}` has no key `{key}`, which line {line} of the source asks for");
            told.push((message, suggest::help(key, known.iter().copied())));
        }
    }
    told
}

/// Whether a product of several files has a key or an attribute.
fn has_key(known: &[&str], key: &str) -> bool {
    known.contains(&key) || ATTRIBUTES.contains(&key) || matches!(key, "values" | "metadata") || key.starts_with('_')
}

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
    for (key, line) in template.keys.iter().filter(|(key, _)| product.is_some() && !has_key(&known, key)) {
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

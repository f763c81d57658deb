//! SQL and shell sources: `{{product}}` is there, and every placeholder has a value.

use super::{Rule, at};
use crate::spec::suggest;
use crate::spec::yaml::Node;
use crate::validate::source::Found;

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

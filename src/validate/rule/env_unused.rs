//! Keys of env.yaml that nothing uses.

use super::Rule;
use crate::diag::Diagnostic;
use crate::spec::yaml::{Node, Value};

pub(super) const RULE: Rule = Rule {
    code: "env/unused",
    about: "every key of env.yaml is used by the pipeline",
    check: |facts, out| {
        let Some(env) = facts.env.filter(|_| facts.complete) else { return };
        let mut used = String::new();
        texts(facts.raw, &mut used);
        facts.pipeline.tasks.iter().for_each(|task| texts(&task.node, &mut used));
        for (key, _) in env.root.as_map().unwrap_or_default() {
            let Some(name) = key.as_str().filter(|name| !matches!(*name, "meta" | "_module" | "sample")) else {
                continue;
            };
            let mut own = used.clone();
            env.root.as_map().unwrap_or_default().iter().for_each(|(_, value)| texts(value, &mut own));
            if !own.contains(name) {
                let problem =
                    Diagnostic::warning(RULE.code, format!("nothing uses `{name}`")).at(&env.source, key.span);
                out.push(problem.help(format!("remove it, or write `{{{{{name}}}}}` in pipeline.yaml")));
            }
        }
    },
};

fn texts(node: &Node, out: &mut String) {
    match &node.value {
        Value::Str(text) if text.contains("{{") || text.contains("{%") => {
            out.push_str(text);
            out.push('\n');
        }
        Value::Seq(items) => items.iter().for_each(|item| texts(item, out)),
        Value::Map(pairs) => pairs.iter().for_each(|(_, value)| texts(value, out)),
        _ => {}
    }
}

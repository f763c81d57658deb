//! `params:` of a task.

use super::{Rule, at, dotted_path};
use crate::validate::source::{Modules, resolve};

pub(super) const RULE: Rule = Rule {
    code: "task/params",
    about: "`params` is a mapping without `upstream` and `product`, and its resources exist",
    check: |facts, out| {
        for (task, _) in facts.tasks() {
            let mut error =
                |message: String, span, help: &str| out.push(at(RULE.code, message, &task.file, span, help));
            let Some((key, params)) = task.node.entry("params") else { continue };
            let Some(pairs) = params.as_map() else {
                // A grid takes params that are nothing.
                if !(params.is_null() && task.node.get("grid").is_some()) {
                    let span = if params.is_null() { key.span } else { params.span };
                    error(
                        format!("`params` must be a mapping, but is {}", params.kind()),
                        span,
                        "write `name: value` lines below it, or remove it",
                    );
                }
                continue;
            };
            for (key, _) in pairs.iter().filter(|(key, _)| matches!(key.as_str(), Some("upstream" | "product"))) {
                let name = key.as_str().unwrap_or_default();
                error(
                    format!("`params` cannot have a key `{name}`"),
                    key.span,
                    "Ploomber sets it; choose another name",
                );
            }
            for (_, value) in pairs {
                if let Some(dotted) = value.as_str().and_then(called) {
                    let found = resolve(facts.tree, facts.roots, &dotted, &mut Modules::default());
                    dotted_path::tell(RULE.code, facts, (&found, &dotted), (&task.file, value.span), out);
                }
            }
            let mut error =
                |message: String, span, help: &str| out.push(at(RULE.code, message, &task.file, span, help));
            let Some(resources) = params.get("resources_") else { continue };
            let Some(files) = resources.as_map() else {
                error(
                    format!("`resources_` must be a mapping, but is {}", resources.kind()),
                    resources.span,
                    "write `name: FILE` lines below it",
                );
                continue;
            };
            for (_, value) in files {
                let Some(text) = value.as_str() else {
                    error(
                        format!("a resource must be a path, but this is {}", value.kind()),
                        value.span,
                        "name a file",
                    );
                    continue;
                };
                let inside = facts.pipeline.inside(text);
                if inside.is_some_and(|path| !crate::validate::is_file(facts.tree, &path)) {
                    let help = "create it and commit it, or correct the path";
                    error(format!("there is no file `{text}`"), value.span, help);
                }
            }
        }
    },
};

/// The dotted path of a value that Ploomber calls to have the param: `module::function`.
pub(super) fn called(text: &str) -> Option<String> {
    let (module, function) = text.split_once("::")?;
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    let is_path = !module.is_empty() && module.chars().all(|c| plain(c) || c == '.');
    (is_path && !function.is_empty() && function.chars().all(plain)).then(|| format!("{module}.{function}"))
}

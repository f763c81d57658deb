//! `_module` of env.yaml: the folder or the module that `{{version}}` and `{{git}}` are asked of.

use super::{Facts, Rule, at, dotted_path};
use crate::diag::Diagnostic;
use crate::id::RelPath;
use crate::repo::EntryKind;

pub(super) const RULE: Rule = Rule {
    code: "env/module",
    about: "`_module` of env.yaml is `{{here}}`, a folder or a module that there is",
    check: |facts, out| {
        let Some((env, value)) = facts.env.and_then(|env| Some((env, env.root.get("_module")?))) else { return };
        if value.is_falsy() {
            return;
        }
        let Some(text) = value.as_str() else {
            let message = format!("`_module` must be a text, but is {}", value.kind());
            return out.push(at(
                RULE.code,
                message,
                &env.source,
                value.span,
                "write `_module: '{{here}}'`, or a module",
            ));
        };
        if let Some(problem) = judge(facts, text) {
            out.push(problem.at(&env.source, value.span));
        }
    },
};

/// What is to be said of a folder or a module of this name.
fn judge(facts: &Facts<'_>, text: &str) -> Option<Diagnostic> {
    if text == "{{here}}" || text.starts_with('/') {
        return None;
    }
    if text.contains('{') {
        // Ploomber looks for it as it is written.
        let problem = Diagnostic::error(RULE.code, format!("`{text}` is neither a folder nor a module"));
        return Some(problem.help("of placeholders, only `{{here}}` can stand here, without blanks"));
    }
    let there = |path: &str| {
        let path = RelPath::normalise(path).ok()?;
        facts.roots.iter().find_map(|root| facts.tree.entry(&root.join(&path)))
    };
    let first = text.split('.').next().unwrap_or_default();
    match there(text) {
        Some(EntryKind::File { .. }) => {
            let problem =
                Diagnostic::error(RULE.code, format!("`{text}` is a file, and `_module` names a folder or a module"));
            return Some(problem.help("name its folder, or write `_module: '{{here}}'`"));
        }
        Some(_) => return None,
        None if text.contains('/') && RelPath::normalise(text).is_ok() => {
            let problem = Diagnostic::error(RULE.code, format!("there is no folder `{text}`"));
            return Some(problem.help("correct the path; it is relative to the folder that is run"));
        }
        None => {}
    }
    let is_here = there(&format!("{first}.py")).is_some() || there(first).is_some();
    if is_here || text.starts_with('.') { None } else { dotted_path::elsewhere(RULE.code, facts, &[], text) }
}

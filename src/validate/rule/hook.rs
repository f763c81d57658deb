//! What Ploomber passes to hooks, which it checks when it loads the pipeline, or when it calls them.

use std::sync::Arc;

use super::{Facts, Rule, dotted_path};
use crate::diag::{Diagnostic, Severity, SourceText};
use crate::spec::yaml::Node;
use crate::validate::source::{Callable, Modules, resolve};

pub(super) const RULE: Rule = Rule {
    code: "pipeline/hook",
    about: "hooks need only what Ploomber passes, and take what stands beside their `dotted_path`",
    check: |facts, out| {
        let mut modules = Modules::default();
        for (key, passed) in OF_ALL {
            if let Some(node) = facts.pipeline.document.get(key) {
                // Ploomber calls it in the end, and this one only where a run has failed already.
                let severity = if key == "on_failure" { Severity::Warning } else { Severity::Error };
                let hook = Hook { key, passed, owner: "the pipeline", severity };
                hook.check(facts, &mut modules, (facts.file(), node), out);
            }
        }
        for (task, _) in facts.tasks() {
            for (key, _) in OF_ALL {
                if let Some(node) = task.node.get(key).filter(|node| !node.is_falsy()) {
                    let hook = Hook { key, passed: &OF_TASK, owner: "a task", severity: Severity::Error };
                    hook.check(facts, &mut modules, (&task.file, node), out);
                }
            }
        }
    },
};

/// The hooks, with what those of the whole pipeline are given.
const OF_ALL: [(&str, &[&str]); 3] =
    [("on_render", &["dag"]), ("on_finish", &["dag", "report"]), ("on_failure", &["dag", "traceback"])];
/// What every hook of a task is given.
const OF_TASK: [&str; 4] = ["client", "params", "product", "task"];

/// A hook as it can be written.
struct Hook<'a> {
    key: &'static str,
    passed: &'a [&'a str],
    owner: &'static str,
    /// How bad it is that it asks for more.
    severity: Severity,
}

impl Hook<'_> {
    fn check(
        &self,
        facts: &Facts<'_>,
        modules: &mut Modules,
        (file, node): (&Arc<SourceText>, &Node),
        out: &mut Vec<Diagnostic>,
    ) {
        let place = node.get("dotted_path").unwrap_or(node);
        let Some(dotted) = place.as_str().filter(|dotted| !dotted.contains("{{")) else { return };
        let Callable::Here(function) = resolve(facts.tree, facts.roots, dotted, modules) else { return };
        if function.decorated {
            return;
        }
        let name = dotted.rsplit('.').next().unwrap_or_default();
        let told = |severity: Severity, message: String| {
            if severity == Severity::Error {
                Diagnostic::error(RULE.code, message)
            } else {
                Diagnostic::warning(RULE.code, message)
            }
        };
        let untaken = dotted_path::untaken(&function, dotted, node);
        // Ploomber asks for `*args` and `**kwargs` by name, too.
        let is_passed = |parameter: &str| self.passed.contains(&parameter) || node.get(parameter).is_some();
        let lacking = |(parameter, default): &&(String, bool)| {
            !default && !is_passed(parameter) && !dotted_path::is_meant(&untaken, parameter)
        };
        for (parameter, _) in function.parameters.iter().filter(lacking) {
            let message =
                format!("the function `{name}` needs `{parameter}`, which no `{}` of {} gets", self.key, self.owner);
            let passed = self.passed.join("`, `");
            let help = format!("it can take `{passed}`; remove `{parameter}`, or give it a default");
            out.push(told(self.severity, message).at(file, place.span).help(help));
        }
        // What is passed besides comes to light when the hook is called.
        let severity = if self.key == "on_failure" { Severity::Warning } else { Severity::Error };
        for (span, message, help) in untaken {
            out.push(told(severity, message).at(file, span).help(help));
        }
    }
}

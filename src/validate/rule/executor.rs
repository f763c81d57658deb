//! `executor:` of pipeline.yaml.

use super::{Facts, Rule, at, dotted_path};
use crate::diag::Diagnostic;
use crate::spec::suggest;
use crate::spec::yaml::Node;

pub(super) const RULE: Rule = Rule {
    code: "pipeline/executor",
    about: "`executor` is `serial`, `parallel`, or a mapping with a dotted path",
    check: |facts, out| {
        let Some((key, executor)) = facts.pipeline.document.entry("executor") else { return };
        match executor.as_str() {
            Some("serial" | "parallel") => {}
            Some(name) => out.push(at(
                RULE.code,
                format!("there is no executor `{name}`"),
                facts.file(),
                executor.span,
                suggest::help(name, ["serial", "parallel"]),
            )),
            None if executor.as_map().is_some() => match executor.get("dotted_path") {
                None => out.push(at(
                    RULE.code,
                    "the executor has no `dotted_path`",
                    facts.file(),
                    key.span,
                    "write `dotted_path: ploomber.executors.Serial` below it",
                )),
                Some(dotted) => class(facts, executor, dotted, out),
            },
            None => {
                let message = format!("`executor` must be a text, but is {}", executor.kind());
                out.push(at(
                    RULE.code,
                    message,
                    facts.file(),
                    key.span,
                    "write `executor: serial` or `executor: parallel`",
                ));
            }
        }
    },
};

/// Ploomber's own executors.
const CLASSES: [&str; 3] = ["Serial", "Parallel", "ParallelDill"];

/// What each of them takes.
fn parameters(class: &str) -> &'static [&'static str] {
    match class {
        "Serial" => &["build_in_subprocess", "catch_exceptions", "catch_warnings"],
        "Parallel" => &["processes", "print_progress", "start_method"],
        _ => &["processes", "print_progress"],
    }
}

/// How Python starts processes.
const METHODS: [&str; 3] = ["fork", "forkserver", "spawn"];

/// What is said of keys beside the dotted path of one of them.
fn arguments(facts: &Facts<'_>, executor: &Node, class: &str, out: &mut Vec<Diagnostic>) {
    let known = parameters(class);
    let beside = executor.as_map().unwrap_or_default().iter().filter(|(key, _)| key.as_str() != Some("dotted_path"));
    for (key, value) in beside {
        let name = key.scalar_text().unwrap_or_default();
        let is_method =
            value.is_falsy() || value.as_str().is_some_and(|text| METHODS.contains(&text) || text.contains('{'));
        if key.as_str().is_none() || !known.contains(&name.as_str()) {
            let help = suggest::help(&name, known.iter().copied());
            out.push(at(RULE.code, format!("the executor `{class}` takes no `{name}`"), facts.file(), key.span, help));
        } else if name == "start_method" && !is_method {
            let text = value.scalar_text().unwrap_or_default();
            let message = format!("processes cannot be started by `{text}`");
            out.push(at(RULE.code, message, facts.file(), value.span, suggest::help(&text, METHODS)));
        }
    }
}

/// A class that is an executor, by its dotted path.
fn class(facts: &Facts<'_>, executor: &Node, dotted: &Node, out: &mut Vec<Diagnostic>) {
    let Some(text) = dotted.as_str() else {
        let message = format!("`dotted_path` must be a text, but is {}", dotted.kind());
        let help = "write `dotted_path: ploomber.executors.Serial`";
        return out.push(at(RULE.code, message, facts.file(), dotted.span, help));
    };
    match text.strip_prefix("ploomber.executors.").filter(|name| !name.contains('.')) {
        Some(name) if CLASSES.contains(&name) => {
            if name == "ParallelDill" && facts.provided.lacks(facts.tree, "multiprocess") {
                let message = "the executor `ParallelDill` needs the package `multiprocess`, which nothing brings";
                let help = "add `multiprocess` to environment.yml, or write `executor: parallel`";
                out.push(at(RULE.code, message, facts.file(), dotted.span, help));
            }
            arguments(facts, executor, name, out);
        }
        Some(name) => {
            let message = format!("there is no executor `{text}`");
            out.push(at(RULE.code, message, facts.file(), dotted.span, suggest::help(name, CLASSES)));
        }
        None => dotted_path::path(facts, facts.file(), "executor", executor, out),
    }
}

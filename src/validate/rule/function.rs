//! Functions as sources: they exist and take what Ploomber passes.

use std::collections::BTreeSet;

use super::{Facts, Rule, at};
use crate::diag::Diagnostic;
use crate::spec::{Task, class};
use crate::validate::source::module::Function;
use crate::validate::source::{Callable, Found};

pub(super) const RULE: Rule = Rule {
    code: "source/function",
    about: "functions that are sources exist and take `product`, their params, and `upstream` where they have one",
    check: |facts, out| {
        for (task, found) in facts.tasks() {
            let (Found::Function(callable), Some(source)) = (found, &task.source) else { continue };
            let file = facts.pipeline.inside(source.as_str()).filter(|path| crate::validate::is_file(facts.tree, path));
            if let Some(path) = file {
                let message = format!("nothing says how to run the file `{path}`");
                let endings = class::SUFFIXES.map(|(ending, _)| format!("`{ending}`")).join(", ");
                out.push(at(RULE.code, message, &task.file, source.span, format!("a source ends in {endings}")));
                continue;
            }
            match callable {
                Callable::Here(function) if !function.decorated => signature(facts, task, function, out),
                other => {
                    let place = (&task.file, source.span);
                    super::dotted_path::tell(RULE.code, facts, (other, source.as_str()), place, out);
                }
            }
        }
    },
};

fn signature(facts: &Facts<'_>, task: &Task, function: &Function, out: &mut Vec<Diagnostic>) {
    let grid = task.node.get("grid");
    let serialized = task.node.get("serializer").is_some() || facts.pipeline.document.get("serializer").is_some();
    if grid.is_some() || serialized {
        return;
    }
    let mut passed: BTreeSet<String> = ["product".to_owned()].into();
    if !task.upstream.is_empty() {
        passed.insert("upstream".to_owned());
    }
    let params = task.node.get("params").and_then(|params| params.as_map()).unwrap_or_default();
    passed.extend(params.iter().filter_map(|(key, _)| key.scalar_text()));
    let name = &task.name.value;
    for (parameter, _) in
        function.parameters.iter().filter(|(parameter, default)| !default && !passed.contains(parameter))
    {
        let help = match parameter.as_str() {
            "upstream" => "use `upstream['task']` in it, or remove the parameter".to_owned(),
            _ => format!("add `{parameter}` to the task's `params`, or give it a default"),
        };
        out.push(at(
            RULE.code,
            format!("the function `{name}` needs `{parameter}`, which the task does not pass"),
            &task.file,
            task.span(),
            help,
        ));
    }
    for extra in passed.iter().filter(|extra| !function.parameters.iter().any(|(parameter, _)| parameter == *extra)) {
        let help = format!("add a parameter `{extra}` to the function");
        out.push(at(RULE.code, format!("the function `{name}` takes no `{extra}`"), &task.file, task.span(), help));
    }
}

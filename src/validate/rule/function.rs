//! Functions as sources: they exist and take what Ploomber passes.

use std::collections::BTreeSet;

use super::{Facts, Rule, at};
use crate::diag::Diagnostic;
use crate::spec::yaml::Node;
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
            if let Some(near) = super::source::misspelt(facts, source.as_str(), callable) {
                let first = source.as_str().split('.').next().unwrap_or_default();
                let is_sure = !matches!(callable, Callable::Elsewhere(_)) || facts.provided.lacks(facts.tree, first);
                let message = format!("there is no file `{}`", source.value);
                let problem = if is_sure {
                    Diagnostic::error(RULE.code, message)
                } else {
                    Diagnostic::warning(RULE.code, message)
                };
                out.push(problem.at(&task.file, source.span).help(format!("did you mean `{near}`?")));
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
    let set = |key: &str| task.node.get(key).is_some_and(|value| !value.is_falsy());
    let of_all = facts.pipeline.document.get("serializer");
    // That a grid cannot have one of these was told, and that nothing cannot be one.
    let refused = task.node.get("grid").is_some() && (set("serializer") || set("unserializer"));
    if refused || of_all.is_some_and(Node::is_falsy) {
        return;
    }
    let is_serialized = set("serializer") || of_all.is_some();
    let takes_product = function.parameters.iter().any(|(name, _)| name == "product");
    if is_serialized && takes_product {
        let message =
            format!("the function `{}` takes `product`, but a serializer writes what it returns", name_of(task));
        let help = "remove its parameter `product` and return the result, or remove the serializer";
        out.push(at(RULE.code, message, &task.file, task.span(), help));
    }
    let product = (!is_serialized || takes_product).then(|| "product".to_owned());
    called(task, function, product.into_iter().collect(), out);
}

/// Compares what a function takes with what each of its tasks passes besides `passed`.
fn called(task: &Task, function: &Function, mut passed: BTreeSet<String>, out: &mut Vec<Diagnostic>) {
    if !task.upstream.is_empty() {
        passed.insert("upstream".to_owned());
    }
    passed.extend(keys(task.node.get("params")));
    let Some(grid) = task.node.get("grid") else { return compare(task, function, &passed, out) };
    // Each mapping of a list makes tasks of its own.
    for cell in grid.as_seq().unwrap_or(std::slice::from_ref(grid)).iter().filter(|cell| cell.as_map().is_some()) {
        let passed: BTreeSet<String> = passed.iter().cloned().chain(keys(Some(cell))).collect();
        compare(task, function, &passed, out);
    }
}

fn keys(node: Option<&Node>) -> Vec<String> {
    let pairs = node.and_then(Node::as_map).unwrap_or_default();
    pairs.iter().filter_map(|(key, _)| key.scalar_text()).collect()
}

/// What the function is called in its module.
fn name_of(task: &Task) -> &str {
    task.source.as_ref().and_then(|source| source.as_str().rsplit('.').next()).unwrap_or_default()
}

/// What the function needs and does not get, and what it gets and does not take.
fn compare(task: &Task, function: &Function, passed: &BTreeSet<String>, out: &mut Vec<Diagnostic>) {
    let name = name_of(task);
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

//! Dotted paths to functions: hooks, clients, serializers, the factory.

use std::sync::Arc;

use super::{Facts, Rule};
use crate::diag::{Diagnostic, SourceText, Span};
use crate::spec::suggest;
use crate::spec::yaml::{Node, Value};
use crate::validate::provided;
use crate::validate::source::module::Function;
use crate::validate::source::{Callable, Modules, resolve};

pub(super) const RULE: Rule = Rule {
    code: "pipeline/dotted-path",
    about: "hooks, clients, serializers and the factory name functions that exist",
    check: |facts, out| {
        let document = &facts.pipeline.document;
        for key in ["serializer", "unserializer", "on_finish", "on_render", "on_failure", "location"] {
            if let Some(node) = document.get(key) {
                path(facts, facts.file(), key, node, out);
            }
        }
        if let Some(clients) = document.get("clients").filter(|clients| !clients.is_falsy()) {
            match clients.as_map() {
                Some(pairs) => pairs
                    .iter()
                    .filter(|(_, v)| !v.is_null())
                    .for_each(|(_, v)| path(facts, facts.file(), "clients", v, out)),
                None => out.push(
                    Diagnostic::error(RULE.code, format!("`clients` must be a mapping, but is {}", clients.kind()))
                        .at(facts.file(), clients.span)
                        .help("write `Class: module.function` lines below it"),
                ),
            }
        }
        for (task, _) in facts.tasks() {
            for key in
                ["serializer", "unserializer", "on_finish", "on_render", "on_failure", "client", "product_client"]
            {
                // Ploomber passes over a hook that Python takes for false, and in a grid over a serializer.
                let in_grid = task.node.get("grid").is_some();
                let is_none = |node: &Node| match key {
                    "serializer" | "unserializer" => in_grid && node.is_falsy(),
                    "client" | "product_client" => node.is_null(),
                    _ => node.is_falsy(),
                };
                if let Some(node) = task.node.get(key).filter(|node| !is_none(node)) {
                    path(facts, &task.file, key, node, out);
                }
            }
        }
    },
};

/// A dotted path that stands under a key, as a text or as a mapping with what it is called with.
pub(super) fn path(facts: &Facts<'_>, file: &Arc<SourceText>, key: &str, node: &Node, out: &mut Vec<Diagnostic>) {
    let (dotted, place) = match &node.value {
        Value::Str(dotted) => (dotted.as_str(), node),
        Value::Map(_) => match node.get("dotted_path") {
            Some(inner) if inner.as_str().is_some() => (inner.as_str().unwrap_or_default(), inner),
            _ => {
                let problem = Diagnostic::error(RULE.code, format!("`{key}` has no `dotted_path`")).at(file, node.span);
                return out.push(problem.help("write `dotted_path: module.function` below it"));
            }
        },
        _ => {
            let problem =
                Diagnostic::error(RULE.code, format!("`{key}` must be a dotted path, but is {}", node.kind()));
            return out.push(problem.at(file, node.span).help("write `module.function`"));
        }
    };
    for (beside, _) in node.as_map().unwrap_or_default().iter().filter(|(beside, _)| beside.as_str().is_none()) {
        let message = format!("a key beside `dotted_path` must be a text, but this is {}", beside.kind());
        let help = "name a parameter of the function, or remove it";
        out.push(Diagnostic::error(RULE.code, message).at(file, beside.span).help(help));
    }
    if !dotted.contains("{{") {
        let found = resolve(facts.tree, facts.roots, dotted, &mut Modules::default());
        tell(RULE.code, facts, (&found, dotted), (file, place.span), out);
        let made = match key {
            "clients" | "client" | "product_client" => "a client is made",
            "executor" => "an executor is made",
            "location" => "the pipeline is made",
            _ => return,
        };
        if let Callable::Here(function) = &found {
            maker(function, (dotted, made), node, (file, place.span), out);
        }
    }
}

/// Clients, executors and whole pipelines are made when the pipeline is loaded, from what stands beside their `dotted_path`
/// and nothing else.
fn maker(
    function: &Function,
    (dotted, made): (&str, &str),
    node: &Node,
    place: (&Arc<SourceText>, Span),
    out: &mut Vec<Diagnostic>,
) {
    if function.decorated || function.open {
        return;
    }
    let name = dotted.rsplit('.').next().unwrap_or_default();
    let untaken = untaken(function, dotted, node);
    let lacking = |(parameter, default): &&(String, bool)| {
        !default && node.get(parameter).is_none() && !is_meant(&untaken, parameter)
    };
    for (parameter, _) in function.parameters.iter().filter(lacking) {
        let message = format!("the function `{name}` needs `{parameter}`, and {made} without it");
        // What makes a whole pipeline is named by a text only.
        let help = match node.as_map() {
            None if made.starts_with("the pipeline") => "give it a default".to_owned(),
            _ => format!("give it a default, or write `dotted_path: {dotted}` with `{parameter}:` beside it"),
        };
        out.push(Diagnostic::error(RULE.code, message).at(place.0, place.1).help(help));
    }
    for (span, problem, help) in untaken {
        out.push(Diagnostic::error(RULE.code, problem).at(place.0, span).help(help));
    }
}

/// Whether one of the keys that are not taken was meant to be this parameter: then it is not lacking, too.
pub(super) fn is_meant(untaken: &[(Span, String, String)], parameter: &str) -> bool {
    untaken.iter().any(|(_, _, help)| *help == format!("did you mean `{parameter}`?"))
}

/// Keys beside a `dotted_path` that the function does not take: where they stand, and what is to be said.
pub(super) fn untaken(function: &Function, dotted: &str, node: &Node) -> Vec<(Span, String, String)> {
    let name = dotted.rsplit('.').next().unwrap_or_default();
    let beside = node.as_map().unwrap_or_default().iter().filter_map(|(key, _)| Some((key.as_str()?, key.span)));
    let is_taken = |key: &str| function.open || function.parameters.iter().any(|(parameter, _)| parameter == key);
    let untaken = beside.filter(|(key, _)| *key != "dotted_path" && !is_taken(key));
    let told = untaken.map(|(key, span)| {
        let help = suggest::closest(key, function.parameters.iter().map(|(parameter, _)| parameter.as_str()));
        let help = match help {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("remove the key, or add a parameter `{key}` to the function"),
        };
        (span, format!("the function `{name}` takes no `{key}`"), help)
    });
    told.collect()
}

/// Says what there is to say about a dotted path that stands at `place`; a module that cannot be read is told once,
/// where it breaks, however many name it.
pub(super) fn tell(
    code: &'static str,
    facts: &Facts<'_>,
    (found, dotted): (&Callable, &str),
    place: (&Arc<SourceText>, Span),
    out: &mut Vec<Diagnostic>,
) {
    let Some(problem) = judge(code, facts, found, dotted) else { return };
    let Callable::Broken(source, span) = found else { return out.push(problem.at(place.0, place.1)) };
    let problem = problem.at(source, *span);
    if !out.iter().any(|told| told.message == problem.message && told.place == problem.place) {
        out.push(problem);
    }
}

/// What is to be said about a dotted path.
fn judge(code: &'static str, facts: &Facts<'_>, found: &Callable, dotted: &str) -> Option<Diagnostic> {
    let name = dotted.rsplit('.').next().unwrap_or_default();
    match found {
        Callable::Here(_) | Callable::Unclear => None,
        Callable::Malformed => {
            Some(Diagnostic::error(code, format!("`{dotted}` is no dotted path")).help("write `module.function`"))
        }
        Callable::NoName { module, functions } => {
            let help = match suggest::closest(name, functions.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("define `{name}` in `{module}`"),
            };
            Some(Diagnostic::error(code, format!("`{module}` defines no `{name}`")).help(help))
        }
        Callable::Indented(module) => Some(
            Diagnostic::error(code, format!("`{module}` defines `{name}` below an `if` or a `try`"))
                .help("Ploomber reads only functions that start at the left margin; move the condition into it"),
        ),
        Callable::Value(module) => Some(
            Diagnostic::error(code, format!("`{name}` of `{module}` is no function"))
                .help(format!("write `def {name}(product):`")),
        ),
        Callable::Broken(source, span) => {
            let is_bracket = source.text[span.start..].starts_with(['(', '[', '{', ')', ']', '}']);
            let why = if is_bracket { "this bracket has no partner" } else { "this line has no `:`" };
            let help = format!("see for yourself: python -m py_compile {}", source.name);
            Some(Diagnostic::error(code, format!("Python cannot read `{}`: {why}", source.name)).help(help))
        }
        Callable::NoModule(module) => Some(
            Diagnostic::error(code, format!("there is no module `{module}` in this repository"))
                .help(format!("add `{}.py`, or correct the path", module.replace('.', "/"))),
        ),
        Callable::Elsewhere(modules) => elsewhere(code, facts, modules, dotted),
    }
}

/// What is to be said about a module that the repository does not have where Python would look: packages may.
pub(super) fn elsewhere(code: &'static str, facts: &Facts<'_>, modules: &[String], dotted: &str) -> Option<Diagnostic> {
    let first = dotted.split('.').next().unwrap_or_default();
    // A near miss of a module that is here is a slip; anything else may be installed.
    let near = suggest::closest(first, modules.iter().map(String::as_str));
    if let Some(near) = near.filter(|near| strsim::osa_distance(first, near) <= 2) {
        let problem = Diagnostic::error(code, format!("there is no module `{first}`"));
        return Some(problem.help(format!("did you mean `{near}`?")));
    }
    if first == "ploomber" || facts.provided.offers(first) {
        return None;
    }
    if facts.provided.lacks(facts.tree, first) {
        let problem = Diagnostic::error(code, format!("nothing provides the module `{first}`"));
        let help = match provided::near(first) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("add `{first}.py` to the repository, or the package that has it to environment.yml"),
        };
        return Some(problem.help(help));
    }
    let warning = Diagnostic::warning(code, format!("the module `{first}` is not in this repository"));
    Some(warning.help("a package of environment.yml has to provide it"))
}

//! The document is a mapping with `tasks`, or a list; tasks are mappings with what they need.

use std::sync::Arc;

use super::{Rule, at};
use crate::diag::{Diagnostic, SourceText, Span};
use crate::spec::yaml::{Node, Value};
use crate::spec::{Pipeline, class, suggest};

pub(super) const RULE: Rule = Rule {
    code: "pipeline/shape",
    about: "the pipeline is a mapping with a list of `tasks`, and every task has a `source` and a `product`",
    check: |facts, out| {
        let tasks = facts.pipeline.document.get("tasks").and_then(Node::as_seq).unwrap_or_default();
        task_shapes(tasks, facts.file(), facts.pipeline, out);
    },
};

const EXAMPLE: &str = "start with:\ntasks:\n  - source: scripts/get.py\n    product: output/get.ipynb";

/// Whether anything can be read from the document at all.
pub(crate) fn document(node: &Node, source: &Arc<SourceText>, out: &mut Vec<Diagnostic>) {
    let point = Span { len: 0, ..node.span };
    let mut error = |message: String, span, help: &str| out.push(at(RULE.code, message, source, span, help));
    if node.is_null() {
        return error("the pipeline is empty".to_owned(), point, EXAMPLE);
    }
    if node.as_seq().is_some() {
        return;
    }
    if node.as_map().is_none() {
        return error(
            format!("the pipeline must be a mapping with `tasks`, but is {}", node.kind()),
            node.span,
            EXAMPLE,
        );
    }
    match (node.entry("tasks"), node.get("location")) {
        (None, None) => match meant(node) {
            Some(key) => error("there is no key `tasks`".to_owned(), key.span, "did you mean `tasks`?"),
            None => error("there is no key `tasks`".to_owned(), point, EXAMPLE),
        },
        (Some((key, tasks)), _) if tasks.is_null() => error("`tasks` is empty".to_owned(), key.span, EXAMPLE),
        (Some((_, tasks)), _)
            if tasks.as_seq().is_none()
                && (!tasks.is_falsy() || tasks.kind() == "a boolean" || tasks.kind() == "a number") =>
        {
            let help = "put `- ` before the first key of every task";
            error(format!("`tasks` must be a list, but is {}", tasks.kind()), tasks.span, help);
        }
        _ => {}
    }
}

/// The key that was meant to be `tasks`.
fn meant(node: &Node) -> Option<&Node> {
    let mut keys = node.as_map()?.iter().map(|(key, _)| key);
    keys.find(|key| key.as_str().is_some_and(|key| suggest::closest(key, ["tasks"]).is_some()))
}

/// The document with `tasks` under the name that was meant: what is in it can be looked at whatever it is called.
pub(crate) fn mended(mut document: Node) -> Node {
    let slip = meant(&document).filter(|_| document.get("tasks").is_none()).cloned();
    if let (Some(slip), Value::Map(pairs)) = (slip, &mut document.value)
        && let Some((key, _)) = pairs.iter_mut().find(|(key, _)| *key == slip)
    {
        key.value = Value::Str("tasks".to_owned());
    }
    document
}

/// What is said where a key is not there; one that is misspelt is told here, and not a second time as unknown.
fn lacking(task: &Node, wanted: &str, start: Span, help: &str) -> (String, Span, String) {
    let message = format!("this task has no `{wanted}`");
    match class::misspelt(task, wanted) {
        Some(slip) => {
            let written = slip.scalar_text().unwrap_or_default();
            (format!("{message}, but a key `{written}`"), slip.span, format!("did you mean `{wanted}`?"))
        }
        None => (message, start, help.to_owned()),
    }
}

/// Every task is a mapping or a source, and has the keys that it needs.
pub(crate) fn task_shapes(tasks: &[Node], file: &Arc<SourceText>, pipeline: &Pipeline, out: &mut Vec<Diagnostic>) {
    let mut error = |message: String, span: Span, help: &str| out.push(at(RULE.code, message, file, span, help));
    for task in tasks {
        let text = task.as_str().is_some();
        if task.as_map().is_none() && !text {
            error(
                format!("a task must be a mapping, but this is {}", task.kind()),
                task.span,
                "write `- source: FILE`, and `product: FILE` below it",
            );
            continue;
        }
        let start = task.as_map().and_then(|pairs| pairs.first()).map_or(task.span, |(key, _)| key.span);
        if !text {
            match task.entry("source") {
                None => {
                    let help = "add `source:` with a script, a notebook or a function";
                    let (message, span, help) = lacking(task, "source", start, help);
                    error(message, span, &help);
                }
                Some((_, source)) if source.as_str().is_none() => {
                    error(
                        format!("`source` must be a text, but is {}", source.kind()),
                        source.span,
                        "name a file or a function",
                    );
                }
                Some(_) => {}
            }
        }
        let extract = pipeline.meta.extract_product;
        match task.entry("product") {
            None if !extract => {
                let (message, span, help) = lacking(task, "product", start, "add `product:` with what the task makes");
                error(message, span, &help);
            }
            Some((key, product)) if extract && !product.is_falsy() => {
                error(
                    "a `product` cannot stand here when `extract_product` is on".to_owned(),
                    key.span,
                    "remove it, or turn `extract_product` off",
                );
            }
            _ => {}
        }
        if let Some((key, _)) =
            task.entry("upstream").filter(|(_, up)| pipeline.meta.extract_upstream && !up.is_falsy())
        {
            let help =
                "remove it and declare `upstream = [...]` in the source, or add `meta: {extract_upstream: false}`";
            error("`upstream` cannot stand here when `extract_upstream` is on".to_owned(), key.span, help);
        }
        if let Some(declared) = task.get("upstream").filter(|_| !pipeline.meta.extract_upstream) {
            upstream(declared, &mut error);
        }
    }
}

/// Names are texts, also where a task is called by a number.
fn upstream(declared: &Node, error: &mut dyn FnMut(String, Span, &str)) {
    let help = "write the name of a task, or a list of names, in quotes if they are numbers";
    match &declared.value {
        Value::Null | Value::Str(_) | Value::Map(_) => {}
        Value::Seq(names) => {
            for name in names.iter().filter(|name| name.as_str().is_none()) {
                error(format!("an upstream must be the name of a task, but this is {}", name.kind()), name.span, help);
            }
        }
        _ => error(format!("`upstream` must be a text or a list, but is {}", declared.kind()), declared.span, help),
    }
}

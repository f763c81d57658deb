//! The form of `product:`.

use super::{Rule, at};
use crate::diag::{Diagnostic, Span};
use crate::spec::Task;
use crate::spec::yaml::{Node, Value};

pub(super) const RULE: Rule = Rule {
    code: "product/form",
    about: "a file product is a path or a mapping of paths",
    check: |facts, out| {
        for (task, found) in facts.tasks() {
            let mut error =
                |message: String, span: Span, help: &str| out.push(at(RULE.code, message, &task.file, span, help));
            let Some((key, product)) = task.node.entry("product") else {
                let read =
                    matches!(found, crate::validate::source::Found::Notebook { broken: None, product_known: true, .. });
                if facts.pipeline.meta.extract_product && read && task.products.is_empty() {
                    let help = "write `product = {'nb': 'output/report.ipynb'}` in its parameters cell";
                    error("the source declares no `product`".to_owned(), task.span(), help);
                }
                continue;
            };
            if facts.pipeline.meta.extract_product {
                continue;
            }
            // Nothing and a number are no product of any class.
            let file = task.product_class(&facts.pipeline.meta) == Some("File");
            match &product.value {
                Value::Map(pairs) if pairs.is_empty() => {
                    error("`product` is empty".to_owned(), key.span, "name what the task makes");
                }
                Value::Map(pairs) => pairs.iter().for_each(|(key, value)| one(key, value, file, &mut error)),
                Value::Str(text) if file && text.is_empty() && is_notebook(task) => {
                    error("the product has no path".to_owned(), product.span, "name a file");
                }
                _ => one(key, product, file, &mut error),
            }
            if file && !(is_notebook(task) && product.as_map().is_none()) {
                out.extend(pathless(task, product));
            }
        }
    },
};

/// Whether the product has to be an executed notebook.
fn is_notebook(task: &Task) -> bool {
    task.class.is_some_and(|class| class.name == "NotebookRunner")
}

/// What is said of a path that is empty: to Ploomber it is the folder itself, which is there already.
fn pathless(task: &Task, product: &Node) -> Vec<Diagnostic> {
    let all: Vec<&Node> = match product.as_map() {
        Some(pairs) => pairs.iter().map(|(_, value)| value).collect(),
        None => vec![product],
    };
    let empty = all.into_iter().filter(|one| one.as_str().is_some_and(str::is_empty));
    let told = empty.map(|one| {
        let warning = Diagnostic::warning(RULE.code, "the product has no path, so it is the project's own folder");
        warning.at(&task.file, one.span).help("name a file in it")
    });
    told.collect()
}

fn one(key: &Node, value: &Node, file: bool, error: &mut dyn FnMut(String, Span, &str)) {
    match &value.value {
        Value::Str(_) => {}
        Value::Seq(_) if !file => {}
        Value::Null => {
            error("a product must be a path, but nothing stands here".to_owned(), key.span, "name what the task makes");
        }
        Value::Seq(_) => error(
            "a file product cannot be a list".to_owned(),
            value.span,
            "write a mapping, one `name: PATH` line for every file; lists are for tables",
        ),
        _ => error(
            format!("a product must be a path, but this is {}", value.kind()),
            value.span,
            "put it in quotes if it is a file's name",
        ),
    }
}

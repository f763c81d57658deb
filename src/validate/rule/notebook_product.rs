//! A notebook's product: the executed notebook has to be one of them, in a format that exists.

use super::{Rule, at};
use crate::diag::Span;
use crate::spec::class;
use crate::spec::yaml::{Node, Value};
use crate::spec::{Product, Task};

pub(super) const RULE: Rule = Rule {
    code: "product/notebook",
    about: "a script or notebook has a product for the executed notebook, with an ending that says its format",
    check: |facts, out| {
        for (task, _) in
            facts.tasks().filter(|(task, _)| task.class.is_some_and(|class| class.name == "NotebookRunner"))
        {
            if task.products.is_empty() || task.product_class(&facts.pipeline.meta) != Some("File") {
                continue;
            }
            if let Some((message, span)) = wrong_key(task) {
                out.push(at(RULE.code, message, &task.file, span, "write `nb_product_key: nb`, or remove it"));
                continue;
            }
            for key in keys(task) {
                let found = match task.products[0].key {
                    None => Some(&task.products[0]),
                    Some(_) => task.products.iter().find(|product| product.key.as_deref() == Some(&key)),
                };
                let Some(product) = found else {
                    let span = task.node.get("product").map_or(task.span(), |product| product.span);
                    let help = format!(
                        "add `{key}: output/{}.ipynb`; that is where the executed notebook goes",
                        task.name.value
                    );
                    out.push(at(RULE.code, format!("the product has no key `{key}`"), &task.file, span, help));
                    continue;
                };
                out.extend(format(task, product));
            }
        }
    },
};

const ENDINGS: [&str; 6] = [".ipynb", ".html", ".md", ".pdf", ".rst", ".tex"];

/// What is wrong with `nb_product_key` itself.
fn wrong_key(task: &Task) -> Option<(String, Span)> {
    let (key, value) = task.node.entry("nb_product_key")?;
    let one = task.products.first().is_some_and(|product| product.key.is_none());
    match &value.value {
        Value::Seq(keys) if one && !keys.is_empty() => {
            Some(("`nb_product_key` is a list, but the product is one path".to_owned(), value.span))
        }
        Value::Str(_) | Value::Seq(_) => None,
        Value::Null => Some(("`nb_product_key` must be a text or a list, but is nothing".to_owned(), key.span)),
        _ => Some((format!("`nb_product_key` must be a text or a list, but is {}", value.kind()), value.span)),
    }
}

/// The keys under which executed notebooks go.
fn keys(task: &Task) -> Vec<String> {
    match task.node.get("nb_product_key") {
        Some(node) => match node.as_seq() {
            Some(items) => items.iter().filter_map(Node::scalar_text).collect(),
            None => node.scalar_text().into_iter().collect(),
        },
        None => vec!["nb".to_owned()],
    }
}

fn format(task: &Task, product: &Product) -> Option<crate::diag::Diagnostic> {
    let ending = class::suffix(product.text.as_str());
    if ENDINGS.contains(&ending) || task.node.get("nbconvert_exporter_name").is_some_and(|name| !name.is_null()) {
        return None;
    }
    let message = if ending.is_empty() {
        format!("`{}` has no ending that says its format", product.text.value)
    } else {
        format!("a notebook cannot be written as `{ending}`")
    };
    let help = format!(
        "for data, write a mapping: `nb: output/{}.ipynb` and `data: {}`; a notebook ends in {}",
        task.name.value,
        product.text.value,
        ENDINGS.map(|ending| format!("`{ending}`")).join(", ")
    );
    Some(at(RULE.code, message, &task.file, product.text.span, help))
}

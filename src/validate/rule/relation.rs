//! A table or a view as a product: `[name, kind]` or `[schema, name, kind]`.

use super::{Rule, at};
use crate::diag::Span;
use crate::spec::yaml::{Node, Value};

pub(super) const RULE: Rule = Rule {
    code: "product/relation",
    about: "a table or view is `[name, kind]` or `[schema, name, kind]`, with a name of at most 63 characters",
    check: |facts, out| {
        for (task, _) in facts.tasks() {
            let class = task.product_class(&facts.pipeline.meta);
            if !class.is_some_and(|class| class.ends_with("Relation")) {
                continue;
            }
            let mut error = |message: String, span: Span| {
                out.push(at(RULE.code, message, &task.file, span, "write `[name, table]` or `[schema, name, view]`"));
            };
            match task.node.get("product").map(|product| (product, &product.value)) {
                Some((_, Value::Map(pairs))) => pairs.iter().for_each(|(_, value)| relation(value, &mut error)),
                Some((product, _)) => relation(product, &mut error),
                None => {}
            }
        }
    },
};

fn relation(node: &Node, error: &mut dyn FnMut(String, Span)) {
    let Some(parts) = node.as_seq() else {
        return error(format!("a table must be a list, but this is {}", node.kind()), node.span);
    };
    if !matches!(parts.len(), 2 | 3) {
        return error(format!("a table has two or three parts, but this has {}", parts.len()), node.span);
    }
    let (name, kind) = (&parts[parts.len() - 2], &parts[parts.len() - 1]);
    match kind.as_str() {
        Some("table" | "view") => {}
        _ => error(
            format!("the kind must be `table` or `view`, but is `{}`", kind.scalar_text().unwrap_or_default()),
            kind.span,
        ),
    }
    match name.as_str() {
        Some(text) if text.chars().count() > 63 => error("the name has more than 63 characters".to_owned(), name.span),
        Some(_) => {}
        None => error(format!("the name must be a text, but is {}", name.kind()), name.span),
    }
}

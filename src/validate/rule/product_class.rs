//! Product classes that Ploomber has and a pipeline.yaml cannot use, or only with products of one form.

use super::{Rule, at};
use crate::spec::yaml::Node;

pub(super) const RULE: Rule = Rule {
    code: "product/class",
    about: "a product is of a class that can be written in a pipeline.yaml, in the form that the class takes",
    check: |facts, out| {
        for (task, _) in facts.tasks() {
            let Some(product) = task.node.get("product") else { continue };
            let span = task.node.get("product_class").unwrap_or(product).span;
            match task.product_class(&facts.pipeline.meta) {
                Some(class @ ("EmptyProduct" | "MetaProduct" | "Product")) => {
                    let message = format!("a product cannot be of class `{class}` in a pipeline.yaml");
                    let help =
                        "name another class, such as `File`; for several products, write a mapping below `product:`";
                    out.push(at(RULE.code, message, &task.file, span, help));
                }
                Some("GenericProduct") => {
                    let all: Vec<&Node> = match product.as_map() {
                        Some(pairs) => pairs.iter().map(|(_, value)| value).collect(),
                        None => vec![product],
                    };
                    for one in all.into_iter().filter(|one| one.as_seq().is_some()) {
                        let message = "a product of class `GenericProduct` must be a text, but is a list";
                        let help = "write its name, or `product_class: GenericSQLRelation` for a table";
                        out.push(at(RULE.code, message, &task.file, one.span, help));
                    }
                }
                _ => {}
            }
        }
    },
};

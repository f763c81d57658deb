//! Products that leave the project's folder, and what becomes of them.

use super::Rule;
use crate::diag::Diagnostic;
use crate::spec::ProductKind;

pub(super) const RULE: Rule = Rule {
    code: "product/outside",
    about: "products lie inside the repository or under /output; others are not collected",
    check: |facts, out| {
        for (task, _) in facts.tasks() {
            for product in task.products.iter().filter(|product| product.kind == ProductKind::File && product.known) {
                let text = product.text.as_str();
                let output = text == "/output" || text.starts_with("/output/");
                let collected = output || facts.pipeline.product_path(task, product).is_some();
                if !collected {
                    let problem = Diagnostic::warning(RULE.code, format!("`{text}` lies outside of the repository"));
                    out.push(
                        problem
                            .at(&task.file, product.text.span)
                            .label("this will not be collected")
                            .help("use a path inside of the repository, or below `/output`"),
                    );
                }
            }
        }
    },
};

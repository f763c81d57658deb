//! Products below `.git`, which no run can publish.

use super::{Rule, at};
use crate::spec::ProductKind;

pub(super) const RULE: Rule = Rule {
    code: "product/git",
    about: "no product lies in the repository's `.git`",
    check: |facts, out| {
        for (task, _) in facts.tasks() {
            for product in task.products.iter().filter(|product| product.kind == ProductKind::File) {
                let path = facts.pipeline.product_path(task, product);
                let inside =
                    path.is_some_and(|path| path.as_bytes().split(|byte| *byte == b'/').next() == Some(&b".git"[..]));
                if inside {
                    // Ploomber would write it; after the run it would count as missing, so the run need not begin.
                    let message =
                        format!("`{}` lies in `.git`, and nothing in there is published", product.text.as_str());
                    let help = "use a path beside it, such as `output/…`";
                    out.push(at(RULE.code, message, &task.file, product.text.span, help));
                }
            }
        }
    },
};

//! What runs a task: its class by name, or by how the source looks.

use super::{Rule, at};
use crate::spec::{class, suggest};

pub(super) const RULE: Rule = Rule {
    code: "task/class",
    about: "every task has a class, by name or by the ending of its source",
    check: |facts, out| {
        for (task, _) in facts.tasks() {
            if let Some(node) = task.node.get("class").filter(|node| !node.is_falsy()) {
                let name = node.scalar_text().unwrap_or_default();
                match class::task(&name) {
                    None => {
                        let help = suggest::help(&name, class::TASKS.iter().map(|class| class.name));
                        out.push(at(
                            RULE.code,
                            format!("there is no task class `{name}`"),
                            &task.file,
                            node.span,
                            help,
                        ));
                    }
                    Some(class) if class.is_abstract() => {
                        out.push(at(
                            RULE.code,
                            format!("a task cannot be of class `{name}` in a pipeline.yaml"),
                            &task.file,
                            node.span,
                            "remove `class`, or name another one",
                        ));
                    }
                    Some(class) => {
                        let ending =
                            task.source.as_ref().map(|source| class::suffix(source.as_str())).unwrap_or_default();
                        let notebook = matches!(class.name, "NotebookRunner" | "ScriptRunner");
                        if notebook && matches!(ending, ".sh" | ".sql") {
                            let message = format!("a source that ends in `{ending}` is no notebook");
                            out.push(at(
                                RULE.code,
                                message,
                                &task.file,
                                task.span(),
                                "remove `class`, or name a `.py`, `.R` or `.ipynb` file",
                            ));
                        }
                    }
                }
                continue;
            }
            let Some(source) = task.source.as_ref().filter(|source| !source.as_str().contains("{{")) else { continue };
            let text = source.as_str();
            let ending = class::suffix(text);
            let endings = || class::SUFFIXES.map(|(ending, _)| format!("`{ending}`")).join(", ");
            let product =
                task.node.get("product").and_then(|product| product.as_str()).map(class::suffix).unwrap_or_default();
            if let (".sql", Some(known)) = (ending, class::near_data(product)) {
                let span = task.node.get("product").map_or(source.span, |product| product.span);
                out.push(at(
                    RULE.code,
                    format!("a product of a SQL query cannot end in `{product}`"),
                    &task.file,
                    span,
                    format!("did you mean `{known}`?"),
                ));
            } else if task.class.is_none() {
                let message = format!("nothing says how to run `{text}`");
                let help = match suggest::closest(ending, class::SUFFIXES.map(|(ending, _)| ending)) {
                    Some(near) if !ending.is_empty() => format!("did you mean `{near}`?"),
                    _ => format!("a source ends in {}, or is a function: `module.function`", endings()),
                };
                out.push(at(RULE.code, message, &task.file, source.span, help));
            }
        }
    },
};

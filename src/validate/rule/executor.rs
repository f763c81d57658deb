//! `executor:` of pipeline.yaml.

use super::{Rule, at};
use crate::spec::suggest;

pub(super) const RULE: Rule = Rule {
    code: "pipeline/executor",
    about: "`executor` is `serial`, `parallel`, or a mapping with a dotted path",
    check: |facts, out| {
        let Some((key, executor)) = facts.pipeline.document.entry("executor") else { return };
        match executor.as_str() {
            Some("serial" | "parallel") => {}
            Some(name) => out.push(at(
                RULE.code,
                format!("there is no executor `{name}`"),
                facts.file(),
                executor.span,
                suggest::help(name, ["serial", "parallel"]),
            )),
            None if executor.as_map().is_some() => {
                if executor.get("dotted_path").is_none() {
                    out.push(at(
                        RULE.code,
                        "the executor has no `dotted_path`",
                        facts.file(),
                        key.span,
                        "write `dotted_path: ploomber.executors.Serial` below it",
                    ));
                }
            }
            None => {
                let message = format!("`executor` must be a text, but is {}", executor.kind());
                out.push(at(
                    RULE.code,
                    message,
                    facts.file(),
                    key.span,
                    "write `executor: serial` or `executor: parallel`",
                ));
            }
        }
    },
};

//! Keys at the top of pipeline.yaml.

use super::{Rule, at};
use crate::spec::suggest;

pub(super) const RULE: Rule = Rule {
    code: "pipeline/unknown-key",
    about: "the top of the pipeline has only keys that Ploomber knows, and `location` stands alone",
    check: |facts, out| {
        let pairs = facts.pipeline.document.as_map().unwrap_or_default();
        if let Some((location, _)) = facts.pipeline.document.entry("location") {
            if pairs.len() > 1 {
                out.push(at(
                    RULE.code,
                    "next to `location` there can be no other key",
                    facts.file(),
                    location.span,
                    "remove `location`, or everything else",
                ));
            }
            return;
        }
        for (key, _) in pairs {
            let name = key.scalar_text().unwrap_or_default();
            if !KEYS.contains(&name.as_str()) {
                out.push(at(
                    RULE.code,
                    format!("the pipeline has no key `{name}`"),
                    facts.file(),
                    key.span,
                    suggest::help(&name, KEYS),
                ));
            }
        }
    },
};

const KEYS: [&str; 10] = [
    "meta",
    "config",
    "clients",
    "tasks",
    "serializer",
    "unserializer",
    "executor",
    "on_finish",
    "on_render",
    "on_failure",
];

//! `config:` of pipeline.yaml.

use super::{Rule, at};
use crate::spec::suggest;

pub(super) const RULE: Rule = Rule {
    code: "pipeline/config",
    about: "`config` has only keys that Ploomber knows",
    check: |facts, out| {
        let Some(config) = facts.pipeline.document.get("config") else { return };
        let Some(pairs) = config.as_map() else {
            let message = format!("`config` must be a mapping, but is {}", config.kind());
            return out.push(at(
                RULE.code,
                message,
                facts.file(),
                config.span,
                "write `key: value` lines below it, or remove it",
            ));
        };
        for (key, _) in pairs {
            let name = key.scalar_text().unwrap_or_default();
            if !KEYS.contains(&name.as_str()) {
                out.push(at(
                    RULE.code,
                    format!("`config` has no key `{name}`"),
                    facts.file(),
                    key.span,
                    suggest::help(&name, KEYS),
                ));
            }
        }
    },
};

const KEYS: [&str; 5] = ["outdated_by_code", "cache_rendered_status", "hot_reload", "logging_factory", "differ"];

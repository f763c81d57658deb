//! `config:` of pipeline.yaml.

use super::{Rule, at};
use crate::spec::suggest;
use crate::spec::yaml::Value;

pub(super) const RULE: Rule = Rule {
    code: "pipeline/config",
    about: "`config` has only keys that Ploomber knows, and its switches are true or false",
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
        for (key, value) in pairs {
            let name = key.scalar_text().unwrap_or_default();
            // To Python, one is true and nothing is neither.
            let switch = matches!(value.value, Value::Bool(_) | Value::Int(0 | 1));
            if SWITCHES.contains(&name.as_str()) && !switch {
                let message = format!("`{name}` must be true or false, but is {}", value.kind());
                let span = if value.is_null() { key.span } else { value.span };
                out.push(at(RULE.code, message, facts.file(), span, "write `true` or `false`"));
            }
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
const SWITCHES: [&str; 3] = ["outdated_by_code", "cache_rendered_status", "hot_reload"];

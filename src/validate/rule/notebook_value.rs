//! Keys with a fixed set of values.

use super::{Rule, at};
use crate::spec::suggest;

pub(super) const RULE: Rule = Rule {
    code: "task/value",
    about: "`static_analysis`, `debug_mode` and `executor` of a task have values that Ploomber knows",
    check: |facts, out| {
        let sets: [(&str, &[&str], bool); 3] = [
            ("static_analysis", &["regular", "strict", "disable"], false),
            ("debug_mode", &["now", "later"], true),
            ("executor", &["papermill", "ploomber-engine"], false),
        ];
        for (task, _) in facts.tasks() {
            for (key, known, or_nothing) in sets {
                let taken = task.class.is_some_and(|class| class.keys.contains(&key));
                let Some(value) = task.node.get(key).filter(|_| taken) else { continue };
                if or_nothing && value.is_null() || value.as_str().is_some_and(|text| known.contains(&text)) {
                    continue;
                }
                let text = value.scalar_text().unwrap_or_default();
                let yaml = "YAML reads `off`, `no` and `none` as other things than texts; ";
                let note = if value.as_str().is_none() { yaml } else { "" };
                let help = format!("{note}{}", suggest::help(&text, known.iter().copied()));
                out.push(at(RULE.code, format!("`{key}` cannot be `{text}`"), &task.file, value.span, help));
            }
        }
    },
};

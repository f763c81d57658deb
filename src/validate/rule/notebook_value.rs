//! Keys of scripts and notebooks with values of one kind, or of a fixed set.

use super::{Facts, Rule, at};
use crate::diag::Diagnostic;
use crate::spec::yaml::{Node, Value};
use crate::spec::{Task, suggest};

pub(super) const RULE: Rule = Rule {
    code: "task/value",
    about: "`static_analysis`, `debug_mode`, `executor` and what is said of notebooks have values that Ploomber knows",
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
            kinds(facts, task, out);
        }
    },
};

/// How nbconvert writes notebooks, without what packages add.
const EXPORTERS: [&str; 14] = [
    "asciidoc", "custom", "html", "latex", "markdown", "notebook", "pdf", "python", "qtpdf", "qtpng", "rst", "script",
    "slides", "webpdf",
];

/// Values of a kind that no script or notebook can use.
fn kinds(facts: &Facts<'_>, task: &Task, out: &mut Vec<Diagnostic>) {
    let taken = |key: &str| {
        let taken = task.class.is_some_and(|class| class.keys.contains(&key));
        task.node.get(key).filter(|value| taken && !value.is_null())
    };
    let mut error = |message: String, value: &Node, help: String| {
        out.push(at(RULE.code, message, &task.file, value.span, help));
    };
    for key in ["papermill_params", "executor_params"] {
        let usable = |value: &Node| matches!(value.value, Value::Map(_) | Value::Seq(_) | Value::Str(_));
        if let Some(value) = taken(key).filter(|value| !value.is_falsy() && !usable(value)) {
            let message = format!("`{key}` must be a mapping, but is {}", value.kind());
            error(message, value, "write `key: value` lines below it".to_owned());
        }
    }
    if let Some(value) = taken("kernelspec_name").filter(|value| value.as_str().is_none()) {
        let message = format!("`kernelspec_name` must be a text, but is {}", value.kind());
        error(message, value, "name a kernel, such as `python3`, or remove it".to_owned());
    }
    if let Some((value, name)) = taken("nbconvert_exporter_name").and_then(|value| Some((value, value.as_str()?))) {
        let lower = name.to_lowercase();
        let near = suggest::closest(&lower, EXPORTERS).filter(|_| !EXPORTERS.contains(&lower.as_str()));
        if let Some(near) = near {
            error(format!("there is no exporter `{name}`"), value, format!("did you mean `{near}`?"));
        }
    }
    if let Some(value) = taken("ext_in").filter(|_| facts.pipeline.meta.source_loader.is_none()) {
        let message = "`ext_in` cannot stand beside a source that is a file".to_owned();
        error(message, value, "remove it: the ending of the source says what it is".to_owned());
    }
}

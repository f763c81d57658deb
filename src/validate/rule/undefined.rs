//! Notebooks in Python: every bracket has a partner, and every name that is looked up a value. Ploomber asks pyflakes, and
//! runs no notebook otherwise.

use super::{Rule, at};
use crate::diag::{Diagnostic, Span};
use crate::spec::Task;
use crate::validate::source::{Found, Undefined, Unknown};

pub(super) const RULE: Rule = Rule {
    code: "source/code",
    about: "notebooks in Python have brackets in pairs and a value for each name, or `static_analysis: disable`",
    check: |facts, out| {
        for (task, found) in facts.tasks() {
            if let Found::Notebook { unknown: Some(unknown), .. } = found {
                tell(task, unknown, out);
            }
        }
    },
};

fn tell(task: &Task, unknown: &Unknown, out: &mut Vec<Diagnostic>) {
    let is_strict = task.node.get("static_analysis").is_some_and(|value| value.as_str() == Some("strict"));
    let refused = if is_strict { "Ploomber refuses the pipeline" } else { "Ploomber does not run the notebook" };
    if let Some(start) = unknown.bracket {
        let message = format!("this bracket has no partner: {refused}");
        out.push(at(RULE.code, message, &unknown.source, Span { start, len: 1 }, "close it, or remove it"));
    }
    for name in &unknown.names {
        let span = Span { start: name.at, len: name.name.len() };
        let message = format!("`{}` has no value here: {refused}", name.name);
        out.push(at(RULE.code, message, &unknown.source, span, help(name)));
    }
}

fn help(name: &Undefined) -> String {
    match (name.name.as_str(), &name.near) {
        ("display", _) => "write `from IPython.display import display`".to_owned(),
        ("get_ipython", _) => "write `from IPython import get_ipython`".to_owned(),
        (_, Some(near)) => format!("did you mean `{near}`?"),
        _ => "import it or set it above; `static_analysis: disable` in the task turns this off".to_owned(),
    }
}

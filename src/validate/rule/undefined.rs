//! Notebooks in Python: Python can read them, and every name that is looked up has a value. Ploomber asks pyflakes, and
//! runs no notebook otherwise.

use super::{Rule, at};
use crate::diag::{Diagnostic, Span};
use crate::spec::Task;
use crate::validate::source::{Found, Slip, Undefined, Unknown};

pub(super) const RULE: Rule = Rule {
    code: "source/code",
    about: "notebooks in Python are Python, and give each name a value, or `static_analysis: disable`",
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
    if let Some((start, slip)) = unknown.slip {
        let (what, len, help) = slipped(slip);
        out.push(at(RULE.code, format!("{what}: {refused}"), &unknown.source, Span { start, len }, help));
    }
    for name in &unknown.names {
        let span = Span { start: name.at, len: name.name.len() };
        let message = format!("`{}` has no value here: {refused}", name.name);
        out.push(at(RULE.code, message, &unknown.source, span, help(name)));
    }
}

/// What is wrong, how long it is, and what to do.
fn slipped(slip: Slip) -> (String, usize, &'static str) {
    match slip {
        Slip::Bracket => ("this bracket has no partner".to_owned(), 1, "close it, or remove it"),
        Slip::Quote => ("this text has no end".to_owned(), 1, "close it with the quotes that it begins with"),
        Slip::Sign(sign) => (
            format!("Python has no `{sign}` here"),
            sign.len_utf8(),
            "write it in Python, or `static_analysis: disable` in the task: then only Jupyter reads it",
        ),
        Slip::Outside(word) => (
            format!("`{word}` stands in no function"),
            word.len(),
            "put it into a function; `static_analysis: disable` in the task turns this off",
        ),
        Slip::Unlooped(word) => {
            (format!("`{word}` stands in no loop"), word.len(), "put it into a `for` or a `while`, or remove it")
        }
        Slip::Twice(len) => ("a parameter before this one has the same name".to_owned(), len, "give it another name"),
    }
}

fn help(name: &Undefined) -> String {
    match (name.name.as_str(), &name.near) {
        (word, _) if name.is_below => {
            format!("set it above, or write `global {word}` there: the function gives it a value only below")
        }
        ("display", _) => "write `from IPython.display import display`".to_owned(),
        ("get_ipython", _) => "write `from IPython import get_ipython`".to_owned(),
        (_, Some(near)) => format!("did you mean `{near}`?"),
        _ => "import it or set it above; `static_analysis: disable` in the task turns this off".to_owned(),
    }
}

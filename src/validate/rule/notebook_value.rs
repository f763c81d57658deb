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
            let exporter =
                task.node.get("nbconvert_exporter_name").filter(|value| !value.is_null() && is_notebook(task));
            if let Some(value) = exporter {
                exporters(facts, task, value, out);
            }
            out.extend(kernel(task));
        }
    },
};

/// How nbconvert writes notebooks, without what packages add.
const EXPORTERS: [&str; 14] = [
    "asciidoc", "custom", "html", "latex", "markdown", "notebook", "pdf", "python", "qtpdf", "qtpng", "rst", "script",
    "slides", "webpdf",
];

fn is_notebook(task: &Task) -> bool {
    task.class.is_some_and(|class| class.name == "NotebookRunner")
}

/// `nbconvert_exporter_name`: one name, or one for some of the keys that `nb_product_key` lists.
fn exporters(facts: &Facts<'_>, task: &Task, value: &Node, out: &mut Vec<Diagnostic>) {
    let listed = task.node.get("nb_product_key").and_then(Node::as_seq);
    let told = |message: String, place: &Node, help: &str| at(RULE.code, message, &task.file, place.span, help);
    match (&value.value, listed) {
        (Value::Str(_), Some(_)) => {
            let help = "write a mapping, with one of the keys of `nb_product_key` in each line";
            out.push(told("one exporter cannot be for a list of keys".to_owned(), value, help));
        }
        (Value::Map(_), None) => {
            let help = "write its name only, or list the keys in `nb_product_key`";
            out.push(told("a mapping of exporters needs a list in `nb_product_key`".to_owned(), value, help));
        }
        (Value::Str(name), None) => out.extend(exporter(facts, task, value, name)),
        (Value::Map(pairs), Some(keys)) => {
            for (key, _) in pairs.iter().filter(|(key, _)| !keys.iter().any(|known| known.value == key.value)) {
                let message = format!("`{}` is none of `nb_product_key`", key.scalar_text().unwrap_or_default());
                out.push(told(message, key, "name one of the keys there, or remove the line"));
            }
            for (_, one) in pairs {
                out.extend(one.as_str().and_then(|name| exporter(facts, task, one, name)));
            }
        }
        _ => {
            let message = format!("`nbconvert_exporter_name` must be a text, but is {}", value.kind());
            out.push(told(message, value, "name an exporter, such as `html`, or remove it"));
        }
    }
}

/// What is to be said of the name of one exporter.
fn exporter(facts: &Facts<'_>, task: &Task, place: &Node, name: &str) -> Option<Diagnostic> {
    let lower = name.to_lowercase();
    if lower == "webpdf" {
        return webpdf(facts, task, place);
    }
    // A dotted path is imported, and what only the run knows is not judged.
    let is_known = EXPORTERS.contains(&lower.as_str()) || matches!(lower.as_str(), "ipynb" | "md");
    if is_known || name.contains(['.', '{']) {
        return None;
    }
    let near = suggest::closest(&lower, EXPORTERS);
    if near.is_none() && !name.is_empty() && !facts.provided.is_closed() {
        let warning = Diagnostic::warning(RULE.code, format!("nbconvert itself has no exporter `{name}`"));
        return Some(warning.at(&task.file, place.span).help("a package of environment.yml has to bring it"));
    }
    let help = near.map_or_else(|| suggest::help(&lower, EXPORTERS), |near| format!("did you mean `{near}`?"));
    Some(at(RULE.code, format!("there is no exporter `{name}`"), &task.file, place.span, help))
}

/// Ploomber looks for this package, whatever nbconvert itself makes such a PDF with today.
const WEBPDF: &str = "pyppeteer";

fn webpdf(facts: &Facts<'_>, task: &Task, place: &Node) -> Option<Diagnostic> {
    if facts.provided.offers(WEBPDF) {
        return None;
    }
    let help = format!("add `{WEBPDF}` below `- pip:` in environment.yml, or export to `html`");
    if facts.provided.lacks(facts.tree, WEBPDF) {
        let message = format!("`webpdf` needs the package `{WEBPDF}`, which nothing provides");
        return Some(at(RULE.code, message, &task.file, place.span, help));
    }
    let warning = Diagnostic::warning(RULE.code, format!("`webpdf` needs the package `{WEBPDF}`"));
    Some(warning.at(&task.file, place.span).help(help))
}

/// Kernels that come with what most environments are made of: ipykernel, and IRkernel.
const KERNELS: [&str; 2] = ["python3", "ir"];

/// Kernels are where an environment has them; only that one is not among the usual ones can be told.
fn kernel(task: &Task) -> Option<Diagnostic> {
    let value = task.node.get("kernelspec_name").filter(|_| is_notebook(task))?;
    let name = value.as_str().filter(|name| !KERNELS.contains(name) && !name.contains('{'))?;
    if task.node.get("check_if_kernel_installed").is_some_and(Node::is_falsy) {
        return None;
    }
    let warning = Diagnostic::warning(RULE.code, format!("`{name}` is neither the kernel of ipykernel nor that of R"));
    let help = match suggest::closest(name, KERNELS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "a package of environment.yml has to bring it".to_owned(),
    };
    Some(warning.at(&task.file, value.span).help(help))
}

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
    if let Some(value) = taken("ext_in").filter(|_| facts.pipeline.meta.source_loader.is_none()) {
        let message = "`ext_in` cannot stand beside a source that is a file".to_owned();
        error(message, value, "remove it: the ending of the source says what it is".to_owned());
    }
}

//! `meta:` of pipeline.yaml.

use super::{Facts, Rule, at, dotted_path};
use crate::diag::Diagnostic;
use crate::id::RelPath;
use crate::spec::pipeline::META_KEYS;
use crate::spec::yaml::Node;
use crate::spec::{class, suggest};
use crate::validate::is_file;
use crate::validate::source::{Callable, Modules, resolve};

pub(super) const RULE: Rule = Rule {
    code: "pipeline/meta",
    about: "`meta` has only keys that Ploomber knows, and names classes that exist",
    check: |facts, out| {
        let Some((key, meta)) = facts.pipeline.document.entry("meta").filter(|(_, meta)| !meta.is_null()) else {
            return;
        };
        let mut error =
            |message: String, span, help: String| out.push(at(RULE.code, message, facts.file(), span, help));
        let Some(pairs) = meta.as_map() else {
            let empty = meta.is_falsy() && meta.as_seq().is_none();
            let span = if empty { key.span } else { meta.span };
            return error(
                format!("`meta` must be a mapping, but is {}", meta.kind()),
                span,
                "write `key: value` lines below it".to_owned(),
            );
        };
        for (key, value) in pairs {
            let name = key.scalar_text().unwrap_or_default();
            match name.as_str() {
                "product_default_class" => classes(value, &mut error),
                "source_loader" => loader(value, &mut error),
                "import_tasks_from" if value.as_str().is_none() && !value.is_null() => {
                    error(
                        format!("`import_tasks_from` must be a text, but is {}", value.kind()),
                        value.span,
                        "name a file".to_owned(),
                    );
                }
                known if META_KEYS.contains(&known) => {}
                _ => error(format!("`meta` has no key `{name}`"), key.span, suggest::help(&name, META_KEYS)),
            }
        }
        if let Some(named) = meta.get("source_loader").and_then(|loader| loader.get("module")) {
            module(facts, named, out);
        }
    },
};

/// The module that sources lie beside: Ploomber imports it when it loads the pipeline, whatever the tasks are.
fn module(facts: &Facts<'_>, node: &Node, out: &mut Vec<Diagnostic>) {
    let Some(name) = node.as_str().filter(|name| !name.is_empty() && !name.contains("{{")) else { return };
    let place = (facts.file(), node.span);
    // Whatever a module is, it has this name.
    let inside = format!("{name}.__file__");
    match resolve(facts.tree, facts.roots, &inside, &mut Modules::default()) {
        found @ (Callable::NoModule(_) | Callable::Elsewhere(_)) => {
            dotted_path::tell(RULE.code, facts, (&found, &inside), place, out);
        }
        Callable::Unclear if is_bare_folder(facts, name) => {
            let message = format!("`{name}` is a folder without `__init__.py`, beside which Ploomber finds no sources");
            let help = format!("add an empty `{0}/__init__.py`, or write `path: {0}`", name.replace('.', "/"));
            out.push(at(RULE.code, message, place.0, place.1, help));
        }
        _ => {}
    }
}

/// Whether a module is a folder of the repository that Python can import, and that has no file of its own.
fn is_bare_folder(facts: &Facts<'_>, name: &str) -> bool {
    let path = name.replace('.', "/");
    let has = |ending: &str| {
        let Ok(path) = RelPath::normalise(&format!("{path}{ending}")) else { return true };
        facts.roots.iter().any(|root| is_file(facts.tree, &root.join(&path)))
    };
    !has("/__init__.py") && !has(".py") && facts.provided.has_no(name.split('.').next().unwrap_or_default())
}

fn classes(node: &Node, error: &mut dyn FnMut(String, crate::diag::Span, String)) {
    let Some(pairs) = node.as_map() else {
        return error(
            format!("`product_default_class` must be a mapping, but is {}", node.kind()),
            node.span,
            "write `TaskClass: ProductClass` lines".to_owned(),
        );
    };
    for (task, product) in pairs {
        let (task_name, product_name) =
            (task.scalar_text().unwrap_or_default(), product.scalar_text().unwrap_or_default());
        if class::task(&task_name).is_none() {
            let names = class::TASKS.iter().map(|class| class.name);
            error(format!("there is no task class `{task_name}`"), task.span, suggest::help(&task_name, names));
        }
        if !class::PRODUCTS.contains(&product_name.as_str()) {
            error(
                format!("there is no product class `{product_name}`"),
                product.span,
                suggest::help(&product_name, class::PRODUCTS),
            );
        }
    }
}

fn loader(node: &Node, error: &mut dyn FnMut(String, crate::diag::Span, String)) {
    let Some(pairs) = node.as_map() else {
        return error(
            format!("`source_loader` must be a mapping, but is {}", node.kind()),
            node.span,
            "write `path:` or `module:` below it".to_owned(),
        );
    };
    for (key, value) in pairs {
        let name = key.scalar_text().unwrap_or_default();
        // Several folders are looked into one after the other.
        let folders = value.as_seq().is_some_and(|all| !all.is_empty() && all.iter().all(|one| one.as_str().is_some()));
        match name.as_str() {
            "path" | "module" if value.as_str().is_some() => {}
            "path" if folders || (value.is_null() && node.get("module").is_some()) => {}
            "module" if value.is_null() && node.get("path").is_some() => {}
            "path" | "module" => error(
                format!("`{name}` of `source_loader` must be a text, but is {}", value.kind()),
                if value.is_null() { key.span } else { value.span },
                format!("name a {}", if name == "path" { "folder" } else { "module" }),
            ),
            _ => {
                let help = suggest::help(&name, ["path", "module"]);
                error(format!("`source_loader` has no key `{name}`"), key.span, help);
            }
        }
    }
    if pairs.is_empty() {
        error(
            "`source_loader` needs `path` or `module`".to_owned(),
            node.span,
            "write `path: FOLDER` below it".to_owned(),
        );
    }
}

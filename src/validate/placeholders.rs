//! env.yaml's own rules, and the values that `{{placeholders}}` have.

use std::sync::Arc;

use super::{below, is_file};
use crate::diag::{Diagnostic, SourceText, Span};
use crate::id::RelPath;
use crate::repo::Tree;
use crate::spec::env::{DEFAULTS, EnvYaml, Scope, Trouble};
use crate::spec::suggest;
use crate::spec::yaml::{Node, Value};

/// Checks the shape and the keys, then gives every key its value. Says whether all are known: not those of a file that
/// it imports and that cannot be read.
pub(super) fn scope(
    tree: &dyn Tree,
    folder: &RelPath,
    env: &EnvYaml,
    scope: &mut Scope,
    out: &mut Vec<Diagnostic>,
) -> bool {
    keys(&env.root, &env.source, true, out);
    let base = import(tree, folder, env, out);
    let named = env.root.get("meta").is_some_and(|meta| meta.as_map().is_none() || meta.get("import_from").is_some());
    let is_whole = base.is_some() || !named;
    if let Some(base) = base {
        values(&base, scope, out);
    }
    let mut found = Vec::new();
    values(env, scope, &mut found);
    out.extend(found.into_iter().filter(|finding| is_whole || finding.code != "env/undefined"));
    is_whole
}

fn keys(node: &Node, source: &Arc<SourceText>, top: bool, out: &mut Vec<Diagnostic>) {
    for (key, value) in node.as_map().unwrap_or_default() {
        let Some(name) = key.as_str() else {
            let message = format!("a key must be a text, but this is {}", key.kind());
            out.push(Diagnostic::error("env/key", message).at(source, key.span).help("put the key in quotes"));
            continue;
        };
        if name.contains("__") {
            let problem =
                Diagnostic::error("env/key", format!("the key `{name}` has a double underscore")).at(source, key.span);
            out.push(problem.help("Ploomber uses `__` to reach into sections; use one underscore"));
        }
        if top && name.starts_with('_') && name != "_module" {
            let problem = Diagnostic::error("env/key", format!("the key `{name}` starts with an underscore"))
                .at(source, key.span);
            out.push(problem.help("only `_module` may; remove the underscore"));
        }
        keys(value, source, false, out);
    }
}

fn import(tree: &dyn Tree, folder: &RelPath, env: &EnvYaml, out: &mut Vec<Diagnostic>) -> Option<EnvYaml> {
    let meta = env.root.get("meta")?;
    let mut error = |message: String, span: Span, help: &str| {
        out.push(Diagnostic::error("env/meta", message).at(&env.source, span).help(help));
    };
    let Some(pairs) = meta.as_map() else {
        error(
            format!("`meta` must be a mapping, but is {}", meta.kind()),
            meta.span,
            "it may hold `import_from: FILE`",
        );
        return None;
    };
    for (key, _) in pairs.iter().filter(|(key, _)| key.as_str() != Some("import_from")) {
        let name = key.scalar_text().unwrap_or_default();
        error(format!("`meta` has no key `{name}`"), key.span, "only `import_from` is possible in env.yaml");
    }
    let from = meta.get("import_from")?;
    let Some(name) = from.as_str() else {
        error(format!("`import_from` must be a text, but is {}", from.kind()), from.span, "name a file");
        return None;
    };
    let path = RelPath::normalise(format!("{}/{name}", folder.as_str()?).trim_start_matches('/')).ok();
    let Some(path) = path.filter(|path| is_file(tree, path)) else {
        error(format!("there is no file `{name}`"), from.span, "correct the path; it is relative to env.yaml");
        return None;
    };
    super::load::env_file(tree, &path, out)
}

fn values(env: &EnvYaml, scope: &mut Scope, out: &mut Vec<Diagnostic>) {
    for (key, value) in env.root.as_map().unwrap_or_default() {
        let Some(name) = key.as_str().filter(|name| !matches!(*name, "meta" | "_module")) else { continue };
        scope.set("env", Value::Map(Vec::new()));
        let mut expanded = expand(value, &env.source, scope, true, out);
        if name == "path" {
            without_slashes(&mut expanded);
        }
        if !env_only(name) {
            scope.set(name, expanded.value);
        }
    }
}

/// `{{env.X}}` is the process environment; nothing can be declared over it here.
fn env_only(name: &str) -> bool {
    name == "env"
}

/// Paths are shown by `pathlib`, which drops a slash at the end.
fn without_slashes(node: &mut Node) {
    match &mut node.value {
        Value::Str(text) => {
            let kept = text.trim_end_matches('/').len();
            if kept > 0 {
                text.truncate(kept);
            }
        }
        Value::Map(pairs) => pairs.iter_mut().for_each(|(_, value)| without_slashes(value)),
        _ => {}
    }
}

/// Expands a tree and says which placeholders have no value.
pub(super) fn expand(
    node: &Node,
    source: &Arc<SourceText>,
    scope: &Scope,
    in_env: bool,
    out: &mut Vec<Diagnostic>,
) -> Node {
    scope.expand_tree(node, &mut |place, trouble| match trouble {
        Trouble::Undefined(names) => {
            let process = |name: &str| in_env && (name == "env" || name.starts_with("env."));
            for name in names.iter().filter(|name| !process(name)) {
                let message = format!("the placeholder `{{{{{name}}}}}` has no value");
                let help = undefined_help(name, scope, in_env);
                out.push(Diagnostic::error("env/undefined", message).at(source, place.span).help(help));
            }
        }
        Trouble::Syntax(message) => {
            let problem = Diagnostic::error("env/placeholder", format!("the placeholders cannot be read: {message}"));
            out.push(problem.at(source, place.span).help("write `{{name}}`, with two braces on each side"));
        }
    })
}

fn undefined_help(name: &str, scope: &Scope, in_env: bool) -> String {
    if name.starts_with("env.") || name == "env" {
        return "`{{env.NAME}}` works only inside env.yaml; declare a key there".to_owned();
    }
    if let Some((mapping, key)) = name.rsplit_once('.')
        && let Some(known) = scope.keys(mapping)
    {
        let known = known.iter().map(String::as_str);
        return match suggest::closest(key, known.clone()) {
            Some(near) => format!("did you mean `{{{{{mapping}.{near}}}}}`?"),
            None => suggest::help(key, known),
        };
    }
    if let Some(candidate) = suggest::closest(name, scope.names()) {
        return format!("did you mean `{{{{{candidate}}}}}`?");
    }
    let first = name.split('.').next().unwrap_or(name);
    if in_env {
        format!("declare `{first}` above this line")
    } else {
        format!("declare `{first}` in env.yaml; without it there are: {}", DEFAULTS.join(", "))
    }
}

/// Finds env.yaml: of the pipeline's name first, in the project's folder before the pipeline's own.
pub(super) fn find(tree: &dyn Tree, base: &RelPath, file: &RelPath, out: &mut Vec<Diagnostic>) -> Option<RelPath> {
    let folder = file.parent().unwrap_or_default();
    let name = String::from_utf8_lossy(file.file_name()).into_owned();
    let parts: Vec<&str> = name.split('.').collect();
    let special = (parts.len() >= 3).then(|| format!("env.{}", parts[1]));
    let stems = special.iter().map(String::as_str).chain(["env"]);
    for stem in stems {
        for place in [base, &folder] {
            let path = below(place, &format!("{stem}.yaml"));
            if is_file(tree, &path) {
                return Some(path);
            }
        }
    }
    let stem = special.as_deref().unwrap_or("env");
    let wrong =
        [base, &folder].map(|place| below(place, &format!("{stem}.yml"))).into_iter().find(|path| is_file(tree, path));
    if let Some(path) = wrong {
        let (source, span) = super::absent(&path);
        let problem = Diagnostic::error("env/name", format!("Ploomber does not read `{path}`")).at(&source, span);
        out.push(problem.help(format!("rename it: git mv {path} {}", path.to_string().replace(".yml", ".yaml"))));
    }
    None
}

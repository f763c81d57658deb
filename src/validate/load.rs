//! Reads the files of a project one by one and hands what could be read to the rules.

use std::sync::Arc;

use super::layout::Layout;
use super::provided::Provided;
use super::rule::{self, Facts};
use super::{Options, absent, below, is_file, layout, placeholders, source};
use crate::diag::{Diagnostic, SourceText, has_errors};
use crate::id::RelPath;
use crate::repo::{ReadError, Tree};
use crate::spec::class;
use crate::spec::env::{EnvYaml, SNAPSHOT, Scope};
use crate::spec::yaml::{self, Node, Value};
use crate::spec::{Environment, Pipeline, Settings, Spanned, Task, environment, settings};

/// A pipeline with everything around it.
pub(super) struct Loaded {
    pub entry_point: String,
    pub pipeline: Pipeline,
    pub env: Option<EnvYaml>,
    /// Whether a placeholder asks git about the commit.
    pub asks_git: bool,
}

/// Reads one YAML file; what is wrong with it is said.
fn document(tree: &dyn Tree, path: &RelPath, out: &mut Vec<Diagnostic>) -> Option<(Node, Arc<SourceText>)> {
    let name = path.to_string();
    let problem = |message: String| {
        let (source, span) = absent(path);
        Diagnostic::error("yaml/unreadable", message).at(&source, span)
    };
    let bytes = match tree.read(path, yaml::MAX_BYTES as u64) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            out.push(problem(format!("`{name}` is no file")));
            return None;
        }
        Err(ReadError::TooLong { size, limit }) => {
            let message = format!("the file has {size} bytes, more than the {limit} that are read");
            out.push(Diagnostic { code: "yaml/too-large", ..problem(message) });
            return None;
        }
        Err(error) => {
            out.push(problem(format!("`{name}` cannot be read: {error}")));
            return None;
        }
    };
    let source = match yaml::decode(&name, &bytes) {
        Ok(source) => source,
        Err(error) => {
            out.push(*error);
            return None;
        }
    };
    let (node, mut problems) = yaml::parse(&source);
    out.append(&mut problems);
    node.map(|node| (node, source))
}

/// Says what PyYAML refuses, in files that Ploomber reads with it.
fn anchors(source: &Arc<SourceText>, out: &mut Vec<Diagnostic>) {
    if let Some(span) = yaml::repeated_anchor(source) {
        let message = "an anchor above has this name: Ploomber refuses the file";
        let problem = Diagnostic::error("yaml/alias", message).at(source, span);
        out.push(problem.help("give it another name, here and behind each `*` that means it"));
    }
}

/// soopervisor.yaml, where there is one; or the one that is given in its place.
pub(super) fn settings(tree: &dyn Tree, root: &RelPath, options: &Options, out: &mut Vec<Diagnostic>) -> Settings {
    let path = below(root, "soopervisor.yaml");
    if let Some(text) = &options.settings {
        return given(text, &path, out);
    }
    if !is_file(tree, &path) {
        return Settings::default();
    }
    let Some((node, source)) = document(tree, &path, out) else { return Settings::default() };
    let (settings, mut problems) = settings::read(&node, &source);
    out.append(&mut problems);
    settings
}

fn given(text: &str, path: &RelPath, out: &mut Vec<Diagnostic>) -> Settings {
    if text.trim().is_empty() {
        return Settings::default();
    }
    let source = match yaml::decode(&format!("{path} (of the base branch)"), text.as_bytes()) {
        Ok(source) => source,
        Err(error) => {
            out.push(*error);
            return Settings::default();
        }
    };
    let (document, mut problems) = yaml::parse(&source);
    out.append(&mut problems);
    let Some(node) = document else { return Settings::default() };
    let (settings, mut problems) = settings::read(&node, &source);
    out.append(&mut problems);
    settings
}

/// environment.yml, and its path below `root`.
pub(super) fn environment(
    tree: &dyn Tree,
    root: &RelPath,
    options: &Options,
    settings: &Settings,
    out: &mut Vec<Diagnostic>,
) -> Option<(Environment, String)> {
    let named = options.environment.as_deref().or(settings.environment.as_ref().map(Spanned::as_str));
    let names = named.map_or_else(|| vec!["environment.yml", "environment.yaml"], |named| vec![named]);
    let found = names.iter().find(|name| RelPath::normalise(name).is_ok_and(|path| is_file(tree, &root.join(&path))));
    let Some(name) = found else {
        out.push(match RelPath::normalise(names[0]) {
            Ok(inside) if !inside.is_root() => {
                let (source, span) = absent(&root.join(&inside));
                let problem = Diagnostic::error("environment/missing", format!("there is no `{}`", names[0]));
                problem.at(&source, span).help(environment_help(tree, root, options))
            }
            _ => environment_outside(tree, root, options, settings),
        });
        return None;
    };
    let (node, source) = document(tree, &below(root, name), out)?;
    let (environment, mut problems) = environment::read(&node, &source);
    out.append(&mut problems);
    environment.map(|environment| (environment, (*name).to_owned()))
}

/// Said of a file that cannot be one of the repository, where it is named.
fn environment_outside(tree: &dyn Tree, root: &RelPath, options: &Options, settings: &Settings) -> Diagnostic {
    let typed = options.environment.as_deref();
    let named = typed.or(settings.environment.as_ref().map(Spanned::as_str)).unwrap_or_default();
    let message = format!("`{named}` is no file of the repository, and no other is read");
    let problem = Diagnostic::error("environment/missing", message)
        .help("name a file below the folder that is run, such as `environment: conda/environment.yml`");
    let Some(written) = settings.environment.as_ref().filter(|_| typed.is_none()) else { return problem };
    // Of the base branch's settings there is a name only.
    let path = below(root, "soopervisor.yaml");
    if let Some((_, source)) = document(tree, &path, &mut Vec::new()).filter(|_| options.settings.is_none()) {
        return problem.at(&source, written.span);
    }
    let (source, span) = absent(&path);
    problem.at(&source, span)
}

/// What to do, by what else is there.
fn environment_help(tree: &dyn Tree, root: &RelPath, options: &Options) -> String {
    if let Some(command) = layout::below_command(tree, root, options.typed.as_deref()) {
        return format!("it stands beside the pipeline in a folder below: {command}");
    }
    let has = |name: &str| is_file(tree, &below(root, name));
    let above =
        std::iter::successors(root.parent(), RelPath::parent).find(|at| is_file(tree, &below(at, "environment.yml")));
    if let Some(above) = above.filter(|_| !has("requirements.txt")) {
        let inside = root.strip_prefix(&above).unwrap_or_default();
        let named = if above.is_root() { "the repository's own folder".to_owned() } else { format!("`{above}`") };
        let file = options.pipeline.as_deref().unwrap_or("pipeline.yaml");
        return format!("there is one in {named}: run that folder with `--pipeline {inside}/{file}`");
    }
    if has("environment.lock.yml") {
        "write `environment: environment.lock.yml` in soopervisor.yaml, or add the environment.yml it was made from"
            .to_owned()
    } else if has("requirements.txt") {
        "add environment.yml with `dependencies: [python=3.11, pip, {pip: [-r requirements.txt]}]`".to_owned()
    } else if has("pixi.lock") || has("pixi.toml") {
        "write one with `pixi workspace export conda-environment environment.yml`".to_owned()
    } else {
        "add environment.yml with `dependencies: [python=3.11, pip, {pip: [ploomber]}]`, or name yours with `environment:` in soopervisor.yaml".to_owned()
    }
}

/// Which file is the pipeline, and where its paths begin.
pub(super) fn layout(
    tree: &dyn Tree,
    root: &RelPath,
    options: &Options,
    settings: &Settings,
) -> Result<Layout, Box<Diagnostic>> {
    let named = options.pipeline.as_deref().or(settings.pipeline.as_ref().map(Spanned::as_str));
    layout::find(tree, root, named, options.typed.as_deref())
}

/// env.yaml, with its values in `scope`; and whether all that it declares is known.
pub(super) fn env(
    tree: &dyn Tree,
    root: &RelPath,
    file: &RelPath,
    scope: &mut Scope,
    out: &mut Vec<Diagnostic>,
) -> (Option<EnvYaml>, bool) {
    let told = out.len();
    let path = placeholders::find(tree, root, file, out);
    // One of a name that Ploomber does not read was told.
    let Some(path) = path else { return (None, out.len() == told) };
    let Some((root, source)) = document(tree, &path, out) else { return (None, false) };
    anchors(&source, out);
    let Some(env) = mapping(&path, root, source, out) else { return (None, false) };
    let folder = file.parent().unwrap_or_default();
    let is_known = placeholders::scope(tree, &folder, &env, scope, out);
    (Some(env), is_known)
}

/// The pipeline with env.yaml, its sources and everything the rules say about them.
pub(super) fn pipeline(
    tree: &dyn Tree,
    root: &RelPath,
    options: &Options,
    layout: Layout,
    provided: &Provided,
    out: &mut Vec<Diagnostic>,
) -> Option<Loaded> {
    let Layout { file, root: base } = layout;
    let folder = file.parent().unwrap_or_default();
    let text = |path: &RelPath| path.as_str().unwrap_or_default().to_owned();
    let mut scope = Scope::defaults(&text(&folder), &text(&base), &text(root));
    let (env, is_env_known) = env(tree, root, &file, &mut scope, out);
    if options.sample && env.as_ref().is_some_and(|env| env.declares("sample")) {
        scope.set("sample", Value::Bool(true));
    }
    let (node, source) = document(tree, &file, out)?;
    anchors(&source, out);
    let mut problems = Vec::new();
    rule::document(&node, &source, &mut problems);
    let is_whole = !has_errors(&problems);
    out.append(&mut problems);
    // Of a mapping the other keys can be looked at.
    if !is_whole && node.as_map().is_none() {
        return None;
    }
    let node = rule::mended(node);
    let mut undefined = Vec::new();
    let expanded = placeholders::expand(&node, &source, &scope, false, &mut undefined);
    // What an env.yaml that cannot be read declares is not known; saying that it declares nothing would mislead.
    out.extend(undefined.into_iter().filter(|found| is_env_known || found.code != "env/undefined"));
    let mut pipeline = Pipeline::read(expanded, base, &source);
    let mut imported = None;
    let is_imported = import_tasks(tree, &folder, &mut pipeline, &scope, &mut imported, out);
    let has_tasks = is_whole || pipeline.document.get("tasks").is_some_and(|tasks| tasks.as_seq().is_some());
    let complete = is_imported && has_tasks && pipeline.tasks.iter().all(has_name);
    let roots = importable(root, &folder, &pipeline.root);
    let sources = source::load(tree, &mut pipeline, &roots);
    let (sources, roots, env_of) = (&sources[..], &roots[..], env.as_ref());
    let (pipeline_of, raw, imported) = (&pipeline, &node, imported.as_ref());
    let facts = Facts { tree, pipeline: pipeline_of, sources, roots, env: env_of, raw, imported, complete, provided };
    rule::check_all(&facts, out);
    let entry = file.strip_prefix(root).unwrap_or(file);
    let entry_point = entry.as_str().map_or_else(|| entry.to_string(), str::to_owned);
    is_whole.then_some(Loaded { entry_point, pipeline, env, asks_git: scope.asked_git() })
}

/// Whether it is known what a task is called.
fn has_name(task: &Task) -> bool {
    !task.name.as_str().is_empty() && task.node.get("name").is_none_or(|name| name.scalar_text().is_some())
}

/// Folders that modules are imported from: the one that is run in, the pipeline's, and a package's `src`.
fn importable(root: &RelPath, folder: &RelPath, base: &RelPath) -> Vec<RelPath> {
    let mut roots = vec![folder.clone(), root.clone(), base.clone(), below(base, "src")];
    let mut seen = Vec::new();
    roots.retain(|path| {
        let new = !seen.contains(path);
        seen.push(path.clone());
        new
    });
    roots
}

/// A file of values: anything but a mapping is an error.
pub(super) fn env_file(tree: &dyn Tree, path: &RelPath, out: &mut Vec<Diagnostic>) -> Option<EnvYaml> {
    let (root, source) = document(tree, path, out)?;
    mapping(path, root, source, out)
}

fn mapping(path: &RelPath, root: Node, source: Arc<SourceText>, out: &mut Vec<Diagnostic>) -> Option<EnvYaml> {
    if root.as_map().is_some() {
        return Some(EnvYaml { root, source });
    }
    let message = format!("`{path}` must be a mapping, but holds {}", root.kind());
    let problem = Diagnostic::error("env/shape", message).at(&source, root.span);
    out.push(problem.help("write `key: value` lines, or remove the file"));
    None
}

/// Adds the tasks of another file, where `meta` names one; says whether they are all there. What the file holds before
/// expansion goes into `imported`.
fn import_tasks(
    tree: &dyn Tree,
    folder: &RelPath,
    pipeline: &mut Pipeline,
    scope: &Scope,
    imported: &mut Option<Node>,
    out: &mut Vec<Diagnostic>,
) -> bool {
    let Some(from) = pipeline.meta.import_tasks_from.clone() else {
        let written = pipeline.document.get("meta").and_then(|meta| meta.get("import_tasks_from"));
        return written.is_none_or(Node::is_null);
    };
    let prefix = folder.as_str().unwrap_or_default();
    let path = RelPath::normalise(format!("{prefix}/{}", from.as_str()).trim_start_matches('/')).ok();
    let Some(path) = path.filter(|path| is_file(tree, path)) else {
        let problem = Diagnostic::error("pipeline/import", format!("there is no file `{}`", from.value))
            .at(&pipeline.source, from.span);
        out.push(problem.help("correct the path; it is relative to pipeline.yaml"));
        return false;
    };
    let Some((raw, source)) = document(tree, &path, out) else { return false };
    anchors(&source, out);
    let node = placeholders::expand(&raw, &source, scope, false, out);
    *imported = Some(raw);
    let Some(tasks) = node.as_seq().filter(|tasks| !tasks.is_empty()) else {
        let held = if node.is_falsy() { "nothing" } else { node.kind() };
        let message = format!("`{path}` must be a list of tasks, but holds {held}");
        let problem = Diagnostic::error("pipeline/import", message).at(&source, node.span);
        out.push(problem.help("write the tasks as a list at the top, without `tasks:`"));
        return false;
    };
    rule::task_shapes(tasks, &source, pipeline, out);
    let first = pipeline.tasks.len();
    pipeline.add(tasks, &source);
    // Their sources are relative to the file they stand in, unless they are functions.
    let folder = path.parent().unwrap_or_default();
    for task in &mut pipeline.tasks[first..] {
        let file = task.source.as_mut();
        let file = file.filter(|source| !source.as_str().starts_with('/') && class::is_file(source.as_str()));
        if let (Some(file), false) = (file, folder == pipeline.root) {
            file.value = format!("{SNAPSHOT}/{}/{}", folder.as_str().unwrap_or_default(), file.value);
        }
    }
    true
}

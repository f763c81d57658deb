//! Whether the user's files make sense: one rule a file, all findings at once.
//!
//! Nothing of the project is run or imported, and nothing is written. The verdict is Ploomber 0.23.3's, except where
//! Ploomber is silent or stops at a traceback (`tests/fixtures/exceptions.json` lists these with a reason).

use std::sync::Arc;

use crate::diag::{Diagnostic, SourceText, Span, has_errors};
use crate::id::RelPath;
use crate::repo::{EntryKind, Tree};
use crate::spec::env::Scope;
use crate::spec::pip::{PipLines, Split};
use crate::spec::{EnvYaml, Environment, Pipeline, Settings, Spanned};
use order::Files;
use provided::Provided;

mod environment;
mod layout;
mod listing;
mod load;
mod order;
mod origin;
mod placeholders;
mod provided;
mod registry;
mod requirement;
mod rule;
mod source;

pub use origin::{Origin, origins};
pub use registry::{RuleInfo, rules};
pub use source::outline::{Block, has_word, outline, refers};

/// What the caller knows beyond the files.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The run will be a sample: `sample` of env.yaml counts as true.
    pub sample: bool,
    /// Path of the environment file below the root, instead of `environment.yml`.
    pub environment: Option<String>,
    /// Path of the pipeline below the root, instead of the one that is found.
    pub pipeline: Option<String>,
    /// The text of a soopervisor.yaml to go by instead of the tree's.
    pub settings: Option<String>,
    /// How the user named the folder, for commands that name another one; `None` where no person typed it.
    pub typed: Option<String>,
}

/// A project whose files could be read.
#[derive(Debug, Clone)]
pub struct Project {
    /// The folder that was checked, from the snapshot's root; `ploomber build` runs there.
    pub dir: RelPath,
    /// The pipeline file below `dir`.
    pub entry_point: String,
    /// The pipeline, with upstream and products as the sources say.
    pub pipeline: Pipeline,
    /// env.yaml, where there is one.
    pub env: Option<EnvYaml>,
    /// environment.yml.
    pub environment: Environment,
    /// Its `pip:` section with the requirement files that it names, taken apart.
    pub pip: PipLines,
    /// Path of environment.yml below `dir`.
    pub environment_path: String,
    /// soopervisor.yaml; empty where there is none.
    pub settings: Settings,
    /// Whether `{{git}}` or `{{git_hash}}` stands in the specs: then the run needs a repository around its files.
    pub asks_git: bool,
    /// Whether the folder is a Python package (`setup.py`, or `pyproject.toml` with a build or a project).
    pub package: bool,
}

/// What came out.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Missing when one of the files could not be read; present with errors when they could.
    pub project: Option<Project>,
    /// Everything there is to say: file by file, in each from its top to its end.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks the project in the folder `root` of a tree.
pub fn check(tree: &dyn Tree, root: &RelPath, options: &Options) -> Outcome {
    let mut findings = Vec::new();
    let settings = load::settings(tree, root, options, &mut findings);
    let package = is_package(tree, root);
    let mut files = Files::default();
    let named = options.environment.as_deref().or(settings.environment.as_ref().map(Spanned::as_str));
    let usual = ["environment.yml", "environment.yaml"];
    files.environment.extend(usual.into_iter().chain(named).map(|name| below(root, name).to_string()));
    let mut of_environment = Vec::new();
    let environment = load::environment(tree, root, options, &settings, &mut of_environment);
    let (mut pip, mut provided) = (Split::default(), Provided::default());
    if let Some((environment, path)) = &environment {
        environment::check(environment, &mut of_environment);
        pip = environment::pip(tree, root, &below(root, path), environment, &mut of_environment);
        if !has_errors(&of_environment) {
            provided = Provided::of(environment, &pip, &settings, package);
        }
    }
    findings.append(&mut of_environment);
    let pipeline = match load::layout(tree, root, options, &settings) {
        Ok(layout) => {
            files.pipeline.push(layout.file.to_string());
            load::pipeline(tree, root, options, layout, &provided, &mut findings)
        }
        Err(problem) => {
            files.pipeline.extend(problem.place.as_ref().map(|(source, _)| source.name.clone()));
            findings.push(*problem);
            // Whichever file the pipeline will be, this is what it is given.
            load::env(tree, root, &below(root, "pipeline.yaml"), &mut Scope::defaults("", "", ""), &mut findings);
            None
        }
    };
    let project = match (environment, pipeline) {
        (Some((environment, environment_path)), Some(loaded)) => Some(Project {
            dir: root.clone(),
            entry_point: loaded.entry_point,
            pipeline: loaded.pipeline,
            env: loaded.env,
            environment,
            pip: pip.lines,
            environment_path,
            settings,
            asks_git: loaded.asks_git,
            package,
        }),
        _ => None,
    };
    Outcome { project, diagnostics: files.sort(findings) }
}

fn is_package(tree: &dyn Tree, root: &RelPath) -> bool {
    if is_file(tree, &below(root, "setup.py")) {
        return true;
    }
    let text = tree.read(&below(root, "pyproject.toml"), 1 << 20).ok().flatten();
    text.is_some_and(|bytes| {
        String::from_utf8_lossy(&bytes)
            .lines()
            .any(|line| matches!(line.trim(), "[build-system]" | "[project]" | "[tool.poetry]"))
    })
}

/// `folder/name` for a name known when the code is written.
fn below(folder: &RelPath, name: &str) -> RelPath {
    RelPath::normalise(name).map_or_else(|_| folder.clone(), |name| folder.join(&name))
}

fn is_file(tree: &dyn Tree, path: &RelPath) -> bool {
    match tree.entry(path) {
        Some(EntryKind::File { .. }) => true,
        Some(EntryKind::Link) => matches!(tree.read(path, u64::MAX), Ok(Some(_))),
        _ => false,
    }
}

/// A place for what is said about a file that is not there.
fn absent(path: &RelPath) -> (Arc<SourceText>, Span) {
    (Arc::new(SourceText { name: path.to_string(), text: String::new() }), Span::default())
}

#[cfg(test)]
mod tests;

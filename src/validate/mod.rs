//! Whether the user's files make sense: one rule a file, all findings at once.
//!
//! Nothing of the project is run or imported, and nothing is written. The verdict is Ploomber 0.23.3's, except where
//! Ploomber is silent or stops at a traceback (`tests/fixtures/exceptions.json` lists these with a reason).

use std::sync::Arc;

use crate::diag::{Diagnostic, SourceText, Span};
use crate::id::RelPath;
use crate::repo::{EntryKind, Tree};
use crate::spec::pip::PipLines;
use crate::spec::{EnvYaml, Environment, Pipeline, Settings};

mod environment;
mod layout;
mod load;
mod origin;
mod placeholders;
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
    /// Everything there is to say, in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
}

/// Checks the project in the folder `root` of a tree.
pub fn check(tree: &dyn Tree, root: &RelPath, options: &Options) -> Outcome {
    let mut findings = Vec::new();
    let settings = load::settings(tree, root, options, &mut findings);
    let environment = load::environment(tree, root, options, &settings, &mut findings);
    let pipeline = load::pipeline(tree, root, options, &settings, &mut findings);
    let mut pip = PipLines::default();
    if let Some((environment, path)) = &environment {
        environment::check(environment, &mut findings);
        pip = environment::pip(tree, root, &below(root, path), environment, &mut findings);
    }
    let project = match (environment, pipeline) {
        (Some((environment, environment_path)), Some(loaded)) => Some(Project {
            dir: root.clone(),
            entry_point: loaded.entry_point,
            pipeline: loaded.pipeline,
            env: loaded.env,
            environment,
            pip,
            environment_path,
            settings,
            asks_git: loaded.asks_git,
            package: is_package(tree, root),
        }),
        _ => None,
    };
    findings.dedup();
    Outcome { project, diagnostics: findings }
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

//! The rules of pipeline.yaml, one a file. A rule looks at everything and says all it finds.

use std::sync::Arc;

use super::provided::Provided;
use super::source::Found;
use crate::diag::{Diagnostic, SourceText, Span};
use crate::id::RelPath;
use crate::repo::Tree;
use crate::spec::yaml::Node;
use crate::spec::{EnvYaml, Pipeline, Task};

mod cells;
mod clients;
mod config;
mod dotted_path;
mod env_module;
mod env_unused;
mod executor;
mod function;
mod grid;
mod hook;
mod meta;
mod notebook_product;
mod notebook_value;
mod params;
mod product;
mod product_clash;
mod product_class;
mod product_git;
mod product_place;
mod relation;
mod shape;
mod source;
mod strict;
mod task_class;
mod task_key;
mod task_name;
mod template;
mod top_key;
mod undefined;
mod upstream;

pub(super) use shape::{document, mended, task_shapes};
pub(super) use source::nearest;

/// What a rule may look at.
pub(super) struct Facts<'a> {
    pub tree: &'a dyn Tree,
    pub pipeline: &'a Pipeline,
    /// One for every task, in the same order.
    pub sources: &'a [Found],
    /// Folders that modules are imported from.
    pub roots: &'a [RelPath],
    pub env: Option<&'a EnvYaml>,
    /// The document before expansion.
    pub raw: &'a Node,
    /// The file of `import_tasks_from` before expansion.
    pub imported: Option<&'a Node>,
    /// Whether every task could be read, also of other files: what is nowhere here may be in those that could not.
    pub complete: bool,
    /// What is known of the modules that packages bring along.
    pub provided: &'a Provided,
}

impl Facts<'_> {
    fn tasks(&self) -> impl Iterator<Item = (&Task, &Found)> {
        self.pipeline.tasks.iter().zip(self.sources)
    }

    /// The text that the pipeline's own keys stand in.
    fn file(&self) -> &Arc<SourceText> {
        &self.pipeline.source
    }
}

/// A rule: its code, what it is about in one sentence, and the check.
pub(super) struct Rule {
    pub code: &'static str,
    pub about: &'static str,
    pub check: fn(&Facts<'_>, &mut Vec<Diagnostic>),
}

/// Every rule, in the order in which findings are shown.
pub(super) const ALL: [&Rule; 28] = [
    &top_key::RULE,
    &meta::RULE,
    &config::RULE,
    &executor::RULE,
    &dotted_path::RULE,
    &clients::RULE,
    &hook::RULE,
    &env_module::RULE,
    &shape::RULE,
    &task_class::RULE,
    &task_key::RULE,
    &task_name::RULE,
    &params::RULE,
    &grid::RULE,
    &notebook_value::RULE,
    &product::RULE,
    &product_class::RULE,
    &notebook_product::RULE,
    &relation::RULE,
    &product_clash::RULE,
    &product_git::RULE,
    &product_place::RULE,
    &source::RULE,
    &function::RULE,
    &template::RULE,
    &strict::RULE,
    &undefined::RULE,
    &upstream::RULE,
];

/// Rules that only warn.
pub(super) const QUIET: [&Rule; 1] = [&env_unused::RULE];

/// Runs every rule.
pub(super) fn check_all(facts: &Facts<'_>, out: &mut Vec<Diagnostic>) {
    for rule in ALL.iter().chain(&QUIET) {
        (rule.check)(facts, out);
    }
}

/// An error at a place of a task's file.
fn at(
    code: &'static str,
    message: impl Into<String>,
    file: &Arc<SourceText>,
    span: Span,
    help: impl Into<String>,
) -> Diagnostic {
    Diagnostic::error(code, message).at(file, span).help(help)
}

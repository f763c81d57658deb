//! The user's files as written: environment.yml, pipeline.yaml, env.yaml, soopervisor.yaml, with spans.
//!
//! `yaml` is the only door for YAML. Structure is read here; whether it makes sense is `validate`'s question.

use crate::diag::Span;

pub mod amount;
pub mod class;
pub mod config;
pub mod env;
pub mod environment;
pub mod fields;
pub mod pip;
pub mod pipeline;
pub mod remotes;
pub mod settings;
pub mod suggest;
pub mod yaml;

pub use config::Config;
pub use env::EnvYaml;
pub use environment::{Dependency, Environment};
pub use pipeline::{Meta, Pipeline, Product, ProductKind, SourceLoader, Task};
pub use settings::{Limits, SecretReference, SecretSource, Settings};

/// A value, and where in its file it stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Puts a value at its place.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl<T: AsRef<str>> Spanned<T> {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        self.value.as_ref()
    }
}

//! Criteria: small, safe expressions over an event, such as `event.branch.startswith("feat/") and not event.forced`.
//!
//! Read once, checked once against the declared names and types, then total: evaluation has no error, no I/O, no loop
//! and no assignment, and takes time proportional to the texts that it looks at. Nothing is ever executed.
//!
//! **Null.** What is not known is null. `x == null` asks for it; a method of null says false (or null, where it would
//! give a text, or 0 for `length()`); an order comparison with null is false; `not` of these is true. Nothing is
//! converted: `1 == "1"` is refused when it is read and, inside of a payload, false.
//!
//! **Paths.** `event.paths` may be unknown, for instance when the commit before is gone. Then `any(…)` and `all(…)` are
//! true, so that nothing is skipped by mistake; `event.paths.known()` tells.

use std::collections::BTreeMap;

use serde_json::Value;

mod ast;
mod check;
mod explain;
mod lexer;
mod matcher;
mod method;
mod parser;
mod print;
mod scope;
#[cfg(test)]
mod tests;
mod value;

pub use ast::{Comparison, Expr, Form};
pub use explain::Reason;
pub use scope::Scope;

use matcher::Matcher;

/// Bytes of one criterion.
pub const MAX_BYTES: usize = 4096;
/// Parentheses and `not`s inside one another.
pub const MAX_DEPTH: usize = 32;

/// What is wrong with an expression, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// First byte of the place.
    pub start: usize,
    /// Bytes of the place.
    pub len: usize,
    /// What to write instead.
    pub help: Option<String>,
}

impl Fault {
    fn new(message: impl Into<String>, span: ast::Place) -> Self {
        Self { message: message.into(), start: span.start, len: span.len, help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Reads an expression without asking what its names mean.
///
/// # Errors
/// The first place where it is no expression, or where it is too long or too deep.
pub fn parse(text: &str) -> Result<Expr, Fault> {
    parser::parse(text)
}

/// Whether a word is one of the language, and no name.
pub fn is_reserved(word: &str) -> bool {
    parser::RESERVED.contains(&word)
}

/// An expression that was checked: it can be evaluated, and that cannot fail.
#[derive(Debug, Clone)]
pub struct Criterion {
    text: String,
    expr: Expr,
    /// By the first byte of the pattern's text in the expression.
    matchers: BTreeMap<usize, Matcher>,
}

impl Criterion {
    /// Reads and checks an expression.
    ///
    /// # Errors
    /// What is wrong with it: its grammar alone when that is wrong, else every wrong name, method, type and pattern.
    pub fn compile(text: &str, scope: &Scope) -> Result<Self, Vec<Fault>> {
        let expr = parse(text).map_err(|fault| vec![fault])?;
        let matchers = check::check(&expr, scope)?;
        Ok(Self { text: text.to_owned(), expr, matchers })
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first names in it: `event`, `run`.
    pub fn names(&self) -> Vec<&str> {
        self.expr.names()
    }

    /// Whether it holds. `names` is an object of the names that the scope declares.
    pub fn holds(&self, names: &Value) -> bool {
        self.value(&self.expr, names).as_bool() == Some(true)
    }

    /// The parts that decided, with what they looked at; for people.
    pub fn explain(&self, names: &Value) -> Vec<Reason> {
        self.reasons(names)
    }
}

impl PartialEq for Criterion {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

//! What is said about the user's files: a message, where, why, and what to type next.
//!
//! A [`Diagnostic`] is data. Rooms collect all of them; only [`render`] turns them into text. This room never
//! reads files and never decides whether a run may go on (that is `validate`).

use std::sync::Arc;

use serde::Serialize;

pub mod render;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, nothing to do.
    Note,
    /// Runs, but probably not as meant.
    Warning,
    /// Cannot run.
    Error,
}

/// The text a diagnostic points into.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceText {
    /// How the file is shown: relative to where the user looks at it, `/` between parts.
    pub name: String,
    /// The whole text, as decoded.
    pub text: String,
}

/// A byte range in a [`SourceText`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// Length in bytes; 0 marks a point.
    pub len: usize,
}

/// One message about one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// Stable name, `room/kebab-name`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop, user values in backticks.
    pub message: String,
    /// Where: the file, and the range in it. A file without text (missing, a folder) has a name and an empty text.
    pub place: Option<(Arc<SourceText>, Span)>,
    /// What stands at the underline.
    pub label: Option<String>,
    /// What to do about it; the next command to type where there is one.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, severity: Severity::Error, message: message.into(), place: None, label: None, help: None }
    }

    /// A warning without a place.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// A note without a place.
    pub fn note(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(code, message) }
    }

    /// Adds where.
    #[must_use]
    pub fn at(mut self, source: &Arc<SourceText>, span: Span) -> Self {
        self.place = Some((Arc::clone(source), span));
        self
    }

    /// Adds what stands at the underline.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Line and column of the start, from 1, columns in characters.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        let (source, span) = self.place.as_ref()?;
        let before = source.text.get(..span.start.min(source.text.len()))?;
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Some((line, column))
    }
}

/// Whether any of them stops a run.
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}

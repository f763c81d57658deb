//! What PyYAML refuses and the parser takes: plain text in brackets, and names of anchors.

use serde_yaml::granit_parser::StructureStyle;

use super::Refusal;
use crate::diag::Span;

/// How many brackets are open around an event.
#[derive(Default)]
pub(super) struct Flow {
    depth: usize,
}

impl Flow {
    /// Inside of brackets every list and mapping has some of its own, or none, as the pair in `[a: b]`.
    pub(super) fn open(&mut self, style: StructureStyle) {
        if self.depth > 0 || style == StructureStyle::Flow {
            self.depth += 1;
        }
    }

    pub(super) fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// In brackets, a `?` ends a plain text and starts a key, and a `:` starts a value, whatever follows.
    pub(super) fn plain(&self, text: &str, span: Span) -> Result<(), Refusal> {
        if self.depth == 0 {
            return Ok(());
        }
        let sign = if text.strip_prefix('?').unwrap_or(text).contains('?') {
            '?'
        } else if text.starts_with(':') {
            ':'
        } else {
            return Ok(());
        };
        let message = format!("`{sign}` in `[…]` and `{{…}}` is a sign of YAML's own, not a part of a text");
        Err(Refusal::new("yaml/syntax", message, span).help("put the text in quotes"))
    }
}

/// Letters, digits, `-` and `_`; behind the signs that end a name for PyYAML the value goes on.
pub(super) fn anchor(name: &str, span: Span) -> Result<(), Refusal> {
    let rest = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let ended = rest.is_empty() || rest.starts_with(['?', ':', '%', '@', '`']);
    if ended && rest.len() < name.len() {
        return Ok(());
    }
    let message = format!("the name of the anchor `&{name}` has other signs than letters, digits, `-` and `_`");
    Err(Refusal::new("yaml/syntax", message, span).help("give it another name, here and behind each `*`"))
}

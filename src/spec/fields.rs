//! Reading a mapping with known keys: every wrong key and every wrong value is said, then the rest is used.

use super::amount::{self, AmountError};
use std::sync::Arc;
use std::time::Duration;

use super::yaml::{Node, Value};
use super::{Spanned, suggest};
use crate::diag::{Diagnostic, SourceText, Span};

/// How a value that is no text becomes one.
pub(super) fn as_text(node: &Node) -> &'static str {
    match node.value {
        Value::Map(_) | Value::Seq(_) => "write one text in its place",
        Value::Null => "write a text, or remove it",
        _ => "put it in quotes",
    }
}

/// A mapping being read.
pub(super) struct Fields<'a> {
    pub(super) source: &'a Arc<SourceText>,
    pub(super) code: &'static str,
    pub(super) problems: Vec<Diagnostic>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(source: &'a Arc<SourceText>, code: &'static str) -> Self {
        Self { source, code, problems: Vec::new() }
    }

    pub(super) fn error(&mut self, message: impl Into<String>, span: Span, help: impl Into<String>) {
        self.problems.push(Diagnostic::error(self.code, message).at(self.source, span).help(help));
    }

    pub(super) fn warning(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: Span,
        help: impl Into<String>,
    ) {
        self.problems.push(Diagnostic::warning(code, message).at(self.source, span).help(help));
    }

    /// Whether it is a mapping (nothing at all counts as an empty one); names unknown keys.
    pub(super) fn mapping(&mut self, node: &Node, what: &str, known: &[&'static str]) -> bool {
        self.mapping_besides(node, what, known, |_| false)
    }

    /// The same, with other keys allowed that have such a value.
    pub(super) fn mapping_besides(
        &mut self,
        node: &Node,
        what: &str,
        known: &[&'static str],
        besides: impl Fn(&Node) -> bool,
    ) -> bool {
        if node.is_null() {
            return false;
        }
        let Some(pairs) = node.as_map() else {
            self.error(
                format!("{what} must be a mapping, but is {}", node.kind()),
                node.span,
                "write `key: value` lines",
            );
            return false;
        };
        for (key, value) in pairs {
            let name = key.scalar_text().unwrap_or_default();
            if !known.contains(&name.as_str()) && !besides(value) {
                self.error(
                    format!("{what} has no key `{name}`"),
                    key.span,
                    suggest::help(&name, known.iter().copied()),
                );
            }
        }
        true
    }

    pub(super) fn text(&mut self, node: &Node, key: &str) -> Option<Spanned<String>> {
        let value = node.get(key).filter(|v| !v.is_null())?;
        if let Value::Str(text) = &value.value {
            return Some(Spanned::new(text.clone(), value.span));
        }
        self.error(format!("`{key}` must be a text, but is {}", value.kind()), value.span, as_text(value));
        None
    }

    pub(super) fn flag(&mut self, node: &Node, key: &str) -> Option<bool> {
        let value = node.get(key).filter(|v| !v.is_null())?;
        if let Value::Bool(flag) = value.value {
            return Some(flag);
        }
        let message = format!("`{key}` must be true or false, but is {}", value.kind());
        self.error(message, value.span, "write `true` or `false`");
        None
    }

    /// A list of texts; a single text counts as a list of one.
    pub(super) fn texts(&mut self, node: &Node, key: &str) -> Vec<Spanned<String>> {
        let Some(value) = node.get(key).filter(|v| !v.is_null()) else { return Vec::new() };
        let items = value.as_seq().unwrap_or(std::slice::from_ref(value));
        let mut texts = Vec::new();
        for item in items {
            match item.as_str() {
                Some(text) => texts.push(Spanned::new(text.to_owned(), item.span)),
                None => {
                    self.error(format!("`{key}` takes texts, but this is {}", item.kind()), item.span, as_text(item));
                }
            }
        }
        texts
    }

    /// `512M`, `4G`, `1.5GiB`, or a number of bytes; powers of 1024.
    pub(super) fn bytes(&mut self, node: &Node, key: &str) -> Option<u64> {
        let value = node.get(key).filter(|v| !v.is_null())?;
        let text = value.scalar_text().unwrap_or_default();
        let parsed = amount::parse_size(&text).ok();
        if parsed.is_none() {
            self.error(
                format!("`{key}` is not an amount of bytes: `{text}`"),
                value.span,
                "write it as `512M` or `4G`",
            );
        }
        parsed
    }

    /// `90s`, `30m`, `2h`, `1d`, or a number of seconds.
    pub(super) fn duration(&mut self, node: &Node, key: &str) -> Option<Duration> {
        let value = node.get(key).filter(|v| !v.is_null())?;
        let text = value.scalar_text().unwrap_or_default();
        let parsed = amount::parse_duration(&text).ok();
        if parsed.is_none() {
            self.error(format!("`{key}` is not a time: `{text}`"), value.span, "write it as `90s`, `30m` or `2h`");
        }
        parsed
    }

    /// As [`Fields::bytes`], where it decides what is deleted: a number needs its unit.
    pub(super) fn room(&mut self, node: &Node, key: &str) -> Option<u64> {
        self.unit(node, key, amount::parse_room)?;
        self.bytes(node, key)
    }

    /// As [`Fields::duration`], where it decides what is deleted: a number needs its unit.
    pub(super) fn age(&mut self, node: &Node, key: &str) -> Option<Duration> {
        self.unit(node, key, amount::parse_age)?;
        self.duration(node, key)
    }

    /// Says that a unit is missing; whatever else is wrong is for the caller.
    fn unit<T>(&mut self, node: &Node, key: &str, parse: fn(&str) -> Result<T, AmountError>) -> Option<()> {
        let value = node.get(key).filter(|v| !v.is_null())?;
        let Err(AmountError::NoUnit { number, units }) = parse(&value.scalar_text().unwrap_or_default()) else {
            return Some(());
        };
        let [first, second, third] = units.map(|unit| format!("`{number}{unit}`"));
        let help = format!("write {first}, {second} or {third}");
        self.error(format!("`{key}` has no unit: `{number}`"), value.span, help);
        None
    }

    pub(super) fn number(&mut self, node: &Node, key: &str) -> Option<f64> {
        let value = node.get(key).filter(|v| !v.is_null())?;
        let parsed = match &value.value {
            #[expect(clippy::cast_precision_loss, reason = "numbers of processors and processes are small")]
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Str(text) => text.parse().ok(),
            _ => None,
        };
        let positive = parsed.filter(|number: &f64| number.is_finite() && *number > 0.0);
        if positive.is_none() {
            self.error(format!("`{key}` must be a number above zero"), value.span, "write it as `2` or `0.5`");
        }
        positive
    }
}

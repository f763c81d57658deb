//! Diagnostics as text: for people (the only place that names miette), as JSON, and as GitHub annotations.
//!
//! Whatever stands in the user's files, no control character of it reaches a terminal or an annotation.

use std::fmt::Write as _;

use miette::{GraphicalReportHandler, GraphicalTheme, ThemeCharacters, ThemeStyles};
use serde_json::json;

use super::{Diagnostic, Severity};
use crate::id::is_unsightly;

mod excerpt;
#[cfg(test)]
mod tests;

/// How to draw for people.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Use colour.
    pub color: bool,
    /// Draw with Unicode lines; otherwise plain ASCII.
    pub unicode: bool,
    /// Columns to wrap at.
    pub width: usize,
}

/// All of them for a terminal, in the order given, with a closing count line.
pub fn human(diagnostics: &[Diagnostic], style: Style) -> String {
    let theme = GraphicalTheme {
        characters: if style.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() },
        styles: if style.color { ThemeStyles::ansi() } else { ThemeStyles::none() },
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(style.width.max(40))
        .with_links(false)
        .with_context_lines(1);
    let mut text = String::new();
    for diagnostic in diagnostics {
        let drawn = excerpt::Drawn::new(diagnostic, style.width);
        // Writing to a string cannot fail; a report that could not be drawn still says its message.
        if handler.render_report(&mut text, &drawn).is_err() {
            text.push_str(&clean(&diagnostic.message));
        }
        text.push('\n');
    }
    text.push_str(&counts(diagnostics));
    text.push('\n');
    text
}

/// `2 errors, 1 warning`; notes are not counted.
fn counts(diagnostics: &[Diagnostic]) -> String {
    let number = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    match (number(Severity::Error), number(Severity::Warning)) {
        (0, 0) => "no errors".to_owned(),
        (errors, 0) => plural(errors, "error"),
        (0, warnings) => plural(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
    }
}

/// One JSON document: `{"schema": 1, "diagnostics": [{code, severity, message, file, line, column, end_line, end_column, label, help}], "errors": n, "warnings": n}`.
pub fn json(diagnostics: &[Diagnostic]) -> serde_json::Value {
    let all: Vec<serde_json::Value> = diagnostics
        .iter()
        .map(|d| {
            let start = d.line_column();
            let end = d.place.as_ref().and_then(|(source, span)| {
                let stop = super::Span { start: (span.start + span.len).min(source.text.len()), len: 0 };
                Diagnostic::note("", "").at(source, stop).line_column()
            });
            json!({
                "code": d.code,
                "severity": d.severity,
                "message": d.message,
                "file": d.place.as_ref().map(|(source, _)| &source.name),
                "line": start.map(|(line, _)| line),
                "column": start.map(|(_, column)| column),
                "end_line": end.map(|(line, _)| line),
                "end_column": end.map(|(_, column)| column),
                "label": d.label,
                "help": d.help,
            })
        })
        .collect();
    let number = |severity| diagnostics.iter().filter(|d| d.severity == severity).count();
    json!({ "schema": 1, "diagnostics": all, "errors": number(Severity::Error), "warnings": number(Severity::Warning) })
}

/// One `::error file=…,line=…,col=…,title=…::message` command a line, escaped for GitHub.
///
/// Ends of ranges are left out: an end behind the last line hides the annotation.
pub fn github(diagnostics: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics {
        let command = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let mut properties = Vec::new();
        if let Some((source, _)) = &diagnostic.place {
            properties.push(format!("file={}", property(&source.name)));
            if let (Some((line, column)), false) = (diagnostic.line_column(), source.text.is_empty()) {
                properties.push(format!("line={line},col={column}"));
            }
        }
        properties.push(format!("title={}", property(diagnostic.code)));
        let mut message = diagnostic.message.clone();
        for more in [&diagnostic.label, &diagnostic.help].into_iter().flatten() {
            message.push('\n');
            message.push_str(more);
        }
        let _ = writeln!(text, "::{command} {}::{}", properties.join(","), data(&message));
    }
    text
}

fn data(text: &str) -> String {
    let escaped = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    clean(&escaped)
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The text without control characters: they are shown as escapes; line ends stay.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsightly(c) && c != '\n' {
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

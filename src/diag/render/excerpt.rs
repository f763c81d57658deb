//! What is shown of a source text: a few lines around the place, clipped, and with nothing a terminal would obey.

use std::fmt;

use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::clean;
use crate::diag::{Diagnostic, Severity};

/// Lines of the source above and below the place.
const CONTEXT: usize = 1;

/// A diagnostic in miette's terms.
#[derive(Debug)]
pub(super) struct Drawn<'a> {
    diagnostic: &'a Diagnostic,
    message: String,
    help: Option<String>,
    excerpt: Option<Excerpt>,
}

/// A piece of a source text, with where it comes from.
#[derive(Debug)]
struct Excerpt {
    name: String,
    text: String,
    /// The place within `text`.
    start: usize,
    len: usize,
    /// The line of the source that `text` starts with, from 0.
    first_line: usize,
    /// Line and column of the place in the source, from 1.
    position: (usize, usize),
    label: Option<String>,
}

impl<'a> Drawn<'a> {
    pub(super) fn new(diagnostic: &'a Diagnostic, width: usize) -> Self {
        Self {
            diagnostic,
            message: match &diagnostic.place {
                // There is nothing to underline: the name of the file has to be in the message.
                Some((source, _)) if source.text.is_empty() => {
                    format!("{}: {}", clean(&source.name), clean(&diagnostic.message))
                }
                _ => clean(&diagnostic.message),
            },
            help: diagnostic.help.as_deref().map(clean),
            excerpt: Excerpt::cut(diagnostic, width),
        }
    }
}

impl Excerpt {
    fn cut(diagnostic: &Diagnostic, width: usize) -> Option<Self> {
        let (source, span) = diagnostic.place.as_ref().filter(|(source, _)| !source.text.is_empty())?;
        let text = source.text.as_str();
        let start = floor(text, span.start);
        let end = floor(text, start + span.len);
        let position = diagnostic.line_column()?;
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let mut from = line_start;
        let mut first_line = position.0 - 1;
        for _ in 0..CONTEXT {
            if from > 0 {
                from = text[..from - 1].rfind('\n').map_or(0, |at| at + 1);
                first_line -= 1;
            }
        }
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let to = match text.get(line_end + 1..) {
            Some(rest) if !rest.is_empty() => line_end + 1 + rest.find('\n').unwrap_or(rest.len()),
            _ => line_end,
        };
        // Only the first line of the place is underlined; a whole mapping in red helps nobody.
        let stop = end.clamp(start, line_end);
        let mut cut = Self {
            name: clean(&source.name),
            text: String::new(),
            start: 0,
            len: 0,
            first_line,
            position,
            label: diagnostic.label.as_deref().map(clean),
        };
        let room = width.clamp(40, 200) * 2 / 3;
        cut.push_line(&text[from..line_start], 0, room);
        cut.push_place(&text[line_start..line_end], start - line_start, stop - line_start, room);
        if to > line_end {
            cut.text.push('\n');
            cut.push_line(&text[line_end + 1..to], 0, room);
        }
        Some(cut)
    }

    /// Adds whole lines, each clipped on the right.
    fn push_line(&mut self, lines: &str, from: usize, room: usize) {
        for line in lines.split_inclusive('\n') {
            let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
            self.push_clipped(body.get(from..).unwrap_or_default(), room);
            self.text.push_str(end);
        }
    }

    fn push_clipped(&mut self, text: &str, room: usize) {
        for (count, c) in text.chars().enumerate() {
            if count >= room {
                self.text.push('…');
                return;
            }
            self.push_char(c);
        }
    }

    fn push_char(&mut self, c: char) {
        match c {
            '\t' => self.text.push_str("    "),
            '\r' => {}
            _ => self.text.push_str(&clean(c.encode_utf8(&mut [0; 4]))),
        }
    }

    /// Adds the line of the place, clipped on both sides of it.
    fn push_place(&mut self, line: &str, start: usize, stop: usize, room: usize) {
        let before: Vec<char> = line[..start].chars().rev().take(room + 1).collect();
        if before.len() > room {
            self.text.push('…');
        }
        for c in before.iter().take(room).rev() {
            self.push_char(*c);
        }
        self.start = self.text.len();
        let body = &line[start..stop];
        self.push_clipped(body, room);
        self.len = self.text.len() - self.start;
        if body.chars().count() <= room {
            self.push_clipped(&line[stop..], room);
        }
    }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0)
}

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Drawn<'_> {}

impl miette::Diagnostic for Drawn<'_> {
    fn code<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        Some(Box::new(self.diagnostic.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Note => miette::Severity::Advice,
        })
    }

    fn help<'b>(&'b self) -> Option<Box<dyn fmt::Display + 'b>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display + 'b>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|excerpt| excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let excerpt = self.excerpt.as_ref()?;
        let label = LabeledSpan::new_primary_with_span(excerpt.label.clone(), (excerpt.start, excerpt.len));
        Some(Box::new(std::iter::once(label)))
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, before, after)?;
        // Asked without context, miette wants to name the place itself.
        let (line, column) = if before == 0 && after == 0 {
            (self.position.0 - 1, self.position.1 - 1)
        } else {
            (inner.line() + self.first_line, inner.column())
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            *inner.span(),
            line,
            column,
            inner.line_count(),
        )))
    }
}

//! What is shown of a source text: a few lines around the place, clipped, and with nothing a terminal would obey.

use std::fmt;

use miette::{LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use unicode_width::UnicodeWidthStr as _;

use super::clean;
use crate::diag::{Diagnostic, Severity};

/// Lines of the source above and below the place.
const CONTEXT: usize = 1;
/// Columns of the line that leads from the place to its label.
const LEAD: usize = 4;

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
        // Before the text stand a space, the number of the line, a space, a bar and a space.
        let last = first_line + text[from..to].bytes().filter(|b| *b == b'\n').count() + 1;
        let room = width.clamp(40, 200) - 4 - last.to_string().len();
        let mut cut = Self {
            name: clean(&source.name),
            text: String::new(),
            start: 0,
            len: 0,
            first_line,
            position,
            label: diagnostic.label.as_deref().map(clean),
        };
        cut.push_lines(&text[from..line_start], room);
        cut.push_place(&text[line_start..line_end], start - line_start, stop - line_start, room);
        if to > line_end {
            cut.text.push('\n');
            cut.push_lines(&text[line_end + 1..to], room);
        }
        Some(cut)
    }

    /// Adds whole lines, each clipped on the right.
    fn push_lines(&mut self, lines: &str, room: usize) {
        for line in lines.split_inclusive('\n') {
            let (body, end) = line.strip_suffix('\n').map_or((line, ""), |body| (body, "\n"));
            self.text.push_str(&clipped(body, room));
            self.text.push_str(end);
        }
    }

    /// Adds the line of the place, clipped on both sides of it so that the place and its label are seen.
    fn push_place(&mut self, line: &str, start: usize, stop: usize, room: usize) {
        let (before, after) = (&line[..start], &line[stop..]);
        // The place itself leaves room for a mark on either side; a mere point is drawn under a column, too.
        let body = clipped(&line[start..stop], room - 2);
        let wide = columns(body.chars(), room).max(1);
        let rest = room - wide;
        let right = columns(after.chars(), rest);
        let lead = wide / 2 + LEAD;
        self.label = self.label.take().map(|label| wrapped(&label, room.saturating_sub(lead)));
        let label = self.label.as_deref().map_or(0, |label| widest(label, room));
        let left = rest.saturating_sub(right.min(rest / 2)).min(room.saturating_sub(lead + label));
        let shown = ending(before, left);
        self.text.push_str(&shown);
        self.start = self.text.len();
        self.text.push_str(&body);
        self.len = body.len();
        self.text.push_str(&clipped(after, rest.saturating_sub(columns(shown.chars(), rest))));
    }
}

/// A character as it is drawn.
fn drawn(c: char) -> String {
    match c {
        '\t' => "    ".to_owned(),
        '\r' => String::new(),
        _ => clean(c.encode_utf8(&mut [0; 4])),
    }
}

/// Columns that characters take, counted up to one more than `most`.
fn columns(text: impl Iterator<Item = char>, most: usize) -> usize {
    let mut sum = 0;
    for c in text {
        sum += drawn(c).width();
        if sum > most {
            break;
        }
    }
    sum
}

/// Columns of the widest line, counted up to one more than `most`.
fn widest(text: &str, most: usize) -> usize {
    text.lines().map(|line| columns(line.chars(), most)).max().unwrap_or_default()
}

/// Words in lines of so many columns; a word that is longer stays whole.
fn wrapped(text: &str, room: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if columns(line.chars().chain([' ']).chain(word.chars()), room) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// As much of the text's start as fits, with a mark where more follows.
fn clipped(text: &str, room: usize) -> String {
    let whole = columns(text.chars(), room) <= room;
    let mut out = String::new();
    let mut free = if whole { room } else { room.saturating_sub(1) };
    for c in text.chars() {
        let piece = drawn(c);
        let Some(left) = free.checked_sub(piece.width()) else { break };
        // Characters without a width could be as many as one likes.
        if out.len() > 16 * room {
            break;
        }
        free = left;
        out.push_str(&piece);
    }
    if !whole && room > 0 {
        out.push('…');
    }
    out
}

/// As much of the text's end as fits, with a mark where more stands before it.
fn ending(text: &str, room: usize) -> String {
    let whole = columns(text.chars().rev(), room) <= room;
    let mut pieces = Vec::new();
    let mut free = if whole { room } else { room.saturating_sub(1) };
    for c in text.chars().rev() {
        let piece = drawn(c);
        let Some(left) = free.checked_sub(piece.width()) else { break };
        if pieces.len() > 4 * room {
            break;
        }
        free = left;
        pieces.push(piece);
    }
    if !whole && room > 0 {
        pieces.push("…".to_owned());
    }
    pieces.iter().rev().map(String::as_str).collect()
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

//! How much of a report fits: drawn anew, with less each time, until it does.

use askama::Template;

use super::Report;
use super::view::View;

/// The most bytes that a text may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(usize);

impl Limit {
    /// A comment, and a check's summary: GitHub takes 65,536 and 65,535 characters.
    pub const COMMENT: Self = Self(60_000);
    /// A job summary: GitHub drops what is over 1 MiB, and other steps may have written before.
    pub const SUMMARY: Self = Self(900_000);

    /// The least that a report can be told in.
    const LEAST: usize = 20_000;

    /// So many bytes, at least 20,000.
    pub fn bytes(most: usize) -> Self {
        Self(most.max(Self::LEAST))
    }
}

/// Pictures that are shown, of many.
pub(super) const SHOWN: usize = 12;

/// How pictures are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Pictures {
    /// Their number.
    Counted,
    /// Their names.
    Named,
    /// As pictures.
    Shown,
}

/// How much of everything is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) pictures: Pictures,
    /// How many of them are shown at the most; a few others are named.
    pub(super) shown: usize,
    /// Whether identical files are named.
    pub(super) identical: bool,
    /// Rows of each table.
    pub(super) rows: usize,
    /// Lines of the log.
    pub(super) lines: usize,
    /// Characters of a name, a sentence or a line.
    pub(super) longest: usize,
}

/// The report as Markdown, within the limit.
pub fn render(report: &Report, limit: Limit) -> String {
    let shapes = shapes(limit);
    let mut drawn = String::new();
    for shape in shapes {
        // A template over strings does not fail; if one did, the barest text would still be told.
        drawn = View::of(report, shape).render().map(|text| tidy(&text)).unwrap_or_default();
        if !drawn.is_empty() && drawn.len() <= limit.0 {
            return drawn;
        }
    }
    debug_assert!(false, "the barest report has {} bytes", drawn.len());
    report.marker.as_ref().map(|marker| marker.line() + "\n").unwrap_or_default() + report.commit.as_str() + "\n"
}

/// From everything to the least, one thing after the other.
fn shapes(limit: Limit) -> Vec<Shape> {
    let rows = if limit.0 > 200_000 { 1000 } else { 100 };
    let mut shape = Shape { pictures: Pictures::Shown, shown: SHOWN, identical: true, rows, lines: 40, longest: 300 };
    let mut shapes = vec![shape];
    let mut push = |shape: Shape| shapes.push(shape);
    // Addresses that a storage lends are long.
    for shown in [SHOWN / 2, SHOWN / 4] {
        shape.shown = shown;
        push(shape);
    }
    shape.pictures = Pictures::Named;
    push(shape);
    shape.pictures = Pictures::Counted;
    push(shape);
    shape.identical = false;
    push(shape);
    for rows in [50, 25, 10, 5, 2, 0] {
        shape.rows = rows;
        push(shape);
    }
    for lines in [20, 10, 5, 0] {
        shape.lines = lines;
        push(shape);
    }
    for longest in [100, 30] {
        shape.longest = longest;
        push(shape);
    }
    shapes
}

/// At most one empty line after another, and none at the end; lines inside fences stay as they are.
fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut empty, mut fence) = (true, None::<&str>);
    for line in text.lines() {
        match fence {
            Some(open) if line == open => fence = None,
            None if line.starts_with("```") => fence = Some(line.trim_end_matches(|c: char| c != '`')),
            _ => {}
        }
        if fence.is_none() && line.trim().is_empty() {
            if !empty {
                out.push('\n');
            }
            empty = true;
            continue;
        }
        empty = false;
        out.push_str(line);
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

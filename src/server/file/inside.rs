//! Places inside of YAML scalars: from a byte of the value back to a byte of the file.

use std::sync::Arc;

use crate::diag::{SourceText, Span};
use crate::spec::yaml::Node;

/// Where a part of a scalar's value stands in the file. Quotes, escapes, and the indentation and folding of blocks are
/// passed over; where the value cannot be followed, the whole scalar is meant.
pub(super) fn span(source: &SourceText, node: &Node, value: &str, start: usize, len: usize) -> Span {
    let end = node.span.start + node.span.len;
    let Some(raw) = source.text.get(node.span.start..end) else { return node.span };
    let places = places(raw, value);
    let Some(first) = places.get(start).copied().flatten() else { return node.span };
    let last = if len == 0 { Some(first) } else { places.get(start + len - 1).copied().flatten() };
    let width = |at: usize| raw[at..].chars().next().map_or(0, char::len_utf8);
    match last {
        Some(last) if last >= first && len > 0 => {
            Span { start: node.span.start + first, len: last + width(last) - first }
        }
        Some(_) if len == 0 => Span { start: node.span.start + first, len: 0 },
        _ => node.span,
    }
}

/// For each byte of the value, and the one after, where its character starts in the raw text.
fn places(raw: &str, value: &str) -> Vec<Option<usize>> {
    let mut found = vec![None; value.len() + 1];
    let mut at = beginning(raw, value);
    for (place, c) in value.char_indices() {
        let Some(next) = follow(raw, at, c) else { return found };
        found[place..place + c.len_utf8()].fill(Some(next.0));
        at = next.1;
    }
    found[value.len()] = Some(at.min(raw.len()));
    found
}

/// A block's first line (`|`, `>-`) is no part of its value; neither is the opening quote.
fn beginning(raw: &str, value: &str) -> usize {
    match raw.chars().next() {
        Some('|' | '>') if !value.starts_with(['|', '>']) || raw.contains('\n') => {
            raw.find('\n').map_or(0, |end| end + 1)
        }
        Some('"' | '\'') => 1,
        _ => 0,
    }
}

/// Where a character of the value is in the raw text from `at` on, and where to go on after it.
fn follow(raw: &str, at: usize, wanted: char) -> Option<(usize, usize)> {
    let rest = raw.get(at..)?;
    let first = rest.chars().next()?;
    if first == '\\' {
        // An escape in double quotes, whatever it stands for; a backslash in plain text stands for itself.
        let after = rest[1..].chars().next();
        let doubled = after == Some('\\') && raw.starts_with('"');
        if wanted != '\\' || doubled {
            return Some((at, at + 1 + escape(&rest[1..])));
        }
        return Some((at, at + 1));
    }
    if first == '\'' && wanted == '\'' && raw.starts_with('\'') {
        return Some((at, at + 2));
    }
    if first == wanted {
        return Some((at, at + first.len_utf8()));
    }
    // A folded line ending is one blank; indentation is nothing.
    let blank = rest.len() - rest.trim_start().len();
    if blank == 0 {
        return None;
    }
    if wanted.is_whitespace() {
        return Some((at, at + blank));
    }
    follow_char(raw, at + blank, wanted)
}

fn follow_char(raw: &str, at: usize, wanted: char) -> Option<(usize, usize)> {
    raw[at..].starts_with(wanted).then_some((at, at + wanted.len_utf8()))
}

/// Bytes of what follows a backslash.
fn escape(rest: &str) -> usize {
    match rest.chars().next() {
        Some('x') => 3,
        Some('u') => 5,
        Some('U') => 9,
        Some(c) => c.len_utf8(),
        None => 0,
    }
    .min(rest.len())
}

/// The text with stars in place of what may be a secret: findings show the lines around them.
pub(super) fn starred(source: &Arc<SourceText>, spans: &[Span]) -> Arc<SourceText> {
    let mut text = source.text.clone().into_bytes();
    for byte in spans.iter().flat_map(|span| span.start..span.start + span.len) {
        if let Some(byte) = text.get_mut(byte).filter(|byte| **byte != b'\n') {
            *byte = b'*';
        }
    }
    // Whole values were replaced, so no character was cut.
    let text = String::from_utf8_lossy(&text).into_owned();
    Arc::new(SourceText { name: source.name.clone(), text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::yaml;

    /// The part of the file that a part of the value points to.
    fn pointed(file: &str, part: &str) -> String {
        let source = Arc::new(SourceText { name: "t.yaml".to_owned(), text: file.to_owned() });
        let tree = yaml::parse(&source).0.unwrap();
        let node = tree.get("when").unwrap();
        let value = node.as_str().unwrap();
        let start = value.find(part).unwrap_or_else(|| panic!("{value} has no {part}"));
        let span = span(&source, node, value, start, part.len());
        file[span.start..span.start + span.len].to_owned()
    }

    #[test]
    fn every_form_of_scalar_leads_back_to_the_file() {
        for file in [
            "when: a.b and wrong == \"é\"\n",
            "when: 'it''s a.b and wrong'\n",
            "when: \"say \\\"a\\\" and\\u0041 \\\\ wrong\"\n",
            "when: >-\n  a.b\n  and wrong\n  or c\nx: 1\n",
            "when: |\n    a.b and\n      wrong or\n    c\n",
            "when: a.b\n  and wrong\n",
            "when: [x]\nwhen: a and wrong\n",
        ] {
            assert_eq!(pointed(file, "wrong"), "wrong", "{file}");
        }
        assert_eq!(pointed("when: 'é it''s'\n", "s"), "s");
    }
}

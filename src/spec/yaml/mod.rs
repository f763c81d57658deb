//! The one door for YAML: bytes in, a tree with a byte range at every node out.
//!
//! Reads as PyYAML's `safe_load` does (YAML 1.1: `yes` is a boolean, `010` is eight, the last of two equal keys
//! wins, `<<` merges), because that is what Ploomber and conda read with. Where the parser is stricter than PyYAML, a
//! replica is read, once (`replica`). Memory and time are bounded whatever the bytes are. Meaning is not decided here.

use std::collections::HashSet;
use std::sync::Arc;

use serde_yaml::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, ScanError};

use crate::diag::{Diagnostic, SourceText, Span};

mod build;
mod flow;
mod node;
mod replica;
mod scalar;
#[cfg(test)]
mod tests;
mod text;

pub use node::{Node, Value};
use replica::Replica;
pub use text::decode;

/// Bytes of one file.
pub const MAX_BYTES: usize = 10 * 1024 * 1024;
/// Collections inside one another; Python's own reader gives up near this depth.
pub const MAX_DEPTH: usize = 100;
/// Nodes of one tree, aliases counted as often as they are used.
pub const MAX_NODES: usize = 500_000;

/// Reads one document.
///
/// The tree is missing exactly when one of the diagnostics is an error. An empty file is a null.
pub fn parse(source: &Arc<SourceText>) -> (Option<Node>, Vec<Diagnostic>) {
    if source.text.len() > MAX_BYTES {
        let message = format!("the file is larger than the {MAX_BYTES} bytes that are read");
        return (None, vec![Diagnostic::error("yaml/too-large", message).at(source, Span::default())]);
    }
    let mut notes = Vec::new();
    match read(source, &mut notes) {
        Ok(node) => (Some(node), notes),
        Err(error) => {
            notes.push(text::conflict(&source.text).unwrap_or(error).into_diagnostic(source));
            (None, notes)
        }
    }
}

/// Where an anchor has the name of another: PyYAML, by which Ploomber reads, refuses that; conda's reader does not.
pub fn repeated_anchor(source: &SourceText) -> Option<Span> {
    source.text.matches('&').nth(1)?;
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.emit_anchor_events = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut seen = HashSet::new();
    for next in Parser::new_from_str_with_options(&source.text, options) {
        let (event, place) = next.ok()?;
        if let Event::Anchor(_, name) = event
            && !seen.insert(name.into_owned())
        {
            return Some(span(&source.text, &place));
        }
    }
    None
}

/// Why a document could not become a tree.
struct Refusal {
    code: &'static str,
    message: String,
    span: Span,
    help: Option<String>,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>, span: Span) -> Self {
        Self { code, message: message.into(), span, help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn into_diagnostic(self, source: &Arc<SourceText>) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(self.code, self.message).at(source, self.span);
        diagnostic.help = self.help.or_else(|| placeholder_help(source, self.span));
        diagnostic
    }
}

/// The commonest cause of broken YAML in these files is `{{placeholder}}` without quotes.
fn placeholder_help(source: &SourceText, span: Span) -> Option<String> {
    let text = &source.text;
    let at = (0..=span.start.min(text.len())).rev().find(|i| text.is_char_boundary(*i))?;
    let start = text[..at].rfind('\n').map_or(0, |i| i + 1);
    let line = text[start..].lines().next()?;
    let value = line.split_once(": ").map_or(line.trim_start_matches(['-', ' ']), |(_, value)| value).trim();
    (value.starts_with("{{") && value.len() < 200)
        .then(|| format!("a value that starts with a placeholder needs quotes: `\"{value}\"`"))
}

fn read(source: &Arc<SourceText>, notes: &mut Vec<Diagnostic>) -> Result<Node, Refusal> {
    let refused = if replica::has_odd_breaks(&source.text) {
        None
    } else {
        match read_as(source, None, notes) {
            Err(refusal) if matches!(refusal.code, "yaml/syntax" | "yaml/tab") => Some(refusal),
            read => return read,
        }
    };
    match (Replica::of(&source.text), refused) {
        (None, Some(refusal)) => Err(refusal),
        (replica, _) => read_as(source, replica.as_ref(), notes),
    }
}

/// Reads the text itself, or its replica.
fn read_as(source: &Arc<SourceText>, copy: Option<&Replica>, notes: &mut Vec<Diagnostic>) -> Result<Node, Refusal> {
    let text = &source.text;
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.emit_anchor_events = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut tree = build::Builder::new(source);
    let mut tabs = text::Tabs::new(text);
    let mut documents = 0;
    let mut brackets = flow::Flow::default();
    for next in Parser::new_from_str_with_options(copy.map_or(text, |copy| &copy.text), options) {
        let (event, place) = next.map_err(|error| scan_refusal(text, &error))?;
        let span = span(text, &place);
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    let refusal = Refusal::new("yaml/many-documents", "a second document starts here", span);
                    return Err(refusal.help("remove the `---` line: one file holds one document"));
                }
            }
            Event::Scalar(read, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                tabs.scalar(span, plain);
                let read = match copy {
                    Some(copy) => copy.meaning(span.start, read),
                    None => read,
                };
                if plain {
                    brackets.plain(&read, span)?;
                }
                let node = scalar_node(&read, plain, tag.as_deref(), span)?;
                tree.leaf(node, anchor)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                brackets.open(style);
                refuse_tag(tag.as_deref(), "seq", span)?;
                tree.open(build::Kind::Seq, span, anchor)?;
            }
            Event::MappingStart(style, anchor, tag) => {
                brackets.open(style);
                refuse_tag(tag.as_deref(), "map", span)?;
                tree.open(build::Kind::Map, span, anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                brackets.close();
                tree.close(span)?;
            }
            Event::Alias(anchor) => tree.alias(anchor, span)?,
            Event::Anchor(_, name) => flow::anchor(&name, span)?,
            _ => {}
        }
    }
    finish(tree, &tabs, notes)
}

fn finish(tree: build::Builder<'_>, tabs: &text::Tabs<'_>, notes: &mut Vec<Diagnostic>) -> Result<Node, Refusal> {
    if let Some(start) = tabs.misplaced() {
        let refusal = Refusal::new("yaml/tab", "a tab stands where YAML wants spaces", Span { start, len: 1 });
        return Err(refusal.help("replace it by spaces; tabs are possible in quotes and comments only"));
    }
    let (root, warnings) = tree.finish();
    notes.extend(warnings);
    let nothing = Node { value: Value::Null, span: Span::default(), plain: true };
    Ok(root.unwrap_or(nothing))
}

/// Where the parser was, in the text. What a replica has blanked may have had longer characters.
fn span(text: &str, place: &granit_parser::Span) -> Span {
    let range = place.byte_range().unwrap_or(text.len()..text.len());
    let (start, end) = (text.floor_char_boundary(range.start), text.floor_char_boundary(range.end));
    Span { start, len: end.saturating_sub(start) }
}

fn scalar_node(text: &str, plain: bool, tag: Option<&granit_parser::Tag>, span: Span) -> Result<Node, Refusal> {
    match scalar::resolve(text, plain, tag) {
        Ok(value) => Ok(Node { value, span, plain: plain && tag.is_none() }),
        Err(message) => Err(Refusal::new("yaml/value", message, span)),
    }
}

fn refuse_tag(tag: Option<&granit_parser::Tag>, expected: &str, span: Span) -> Result<(), Refusal> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema_tag(expected) => {
            let message = format!("the tag `{}` has no meaning here", tag.original());
            Err(Refusal::new("yaml/tag", message, span).help("remove the tag"))
        }
        _ => Ok(()),
    }
}

/// What mostly is behind the parser's words.
fn syntax_help(message: &str) -> Option<&'static str> {
    if message.contains("mapping values are not allowed") {
        Some("put a space after every `-` and `:`, and quotes around a value that contains `: `")
    } else if message.contains("did not find expected") {
        Some("check the indentation: keys of one mapping, and dashes of one list, start in the same column")
    } else if message.contains("multiline quoted") {
        Some("close the quotes: a text in quotes starts above, and does not end before something that cannot be in it")
    } else if message.contains("anchor") {
        Some("a `*` at the start of a value refers to an anchor; put the value in quotes")
    } else {
        None
    }
}

/// The first tab that indents a line below the one at `start`.
fn tab_below(text: &str, start: usize) -> Option<usize> {
    let mut at = start + text[start..].find('\n')? + 1;
    for line in text[at..].split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line[..indent].find('\t') {
            return Some(at + tab);
        }
        at += line.len();
    }
    None
}

fn scan_refusal(text: &str, error: &ScanError) -> Refusal {
    let start = text.floor_char_boundary(error.marker().byte_offset().unwrap_or(text.len()));
    let span = Span { start, len: text[start..].chars().next().map_or(0, char::len_utf8) };
    let line = text[..start].rsplit('\n').next().unwrap_or_default();
    let at_tab =
        text[start..].starts_with('\t') || (!line.is_empty() && line.trim_start_matches(' ').starts_with('\t'));
    // Of some tabs the parser names the text above, which the line would go on with.
    let below = error.info().contains("found a tab").then(|| tab_below(text, start)).flatten();
    let tab = if at_tab { Some(span) } else { below.map(|start| Span { start, len: 1 }) };
    match (error.kind(), tab) {
        (ErrorKind::RecursionLimitExceeded, _) => {
            Refusal::new("yaml/too-deep", format!("nested more than {MAX_DEPTH} levels deep"), span)
        }
        (_, Some(tab)) => Refusal::new("yaml/tab", "a tab stands where YAML wants spaces", tab)
            .help("indent with spaces; most editors can convert tabs"),
        (_, None) => {
            let refusal = Refusal::new("yaml/syntax", format!("not valid YAML: {}", error.info()), span);
            match syntax_help(&error.info()) {
                // A placeholder without quotes is the likelier cause.
                Some(help) if !line.contains("{{") => refusal.help(help),
                _ => refusal,
            }
        }
    }
}

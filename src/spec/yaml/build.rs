//! Events to a tree, without recursion: aliases are copied within a budget, merge keys flattened, keys made unique.

use std::collections::HashMap;
use std::sync::Arc;

use super::replica::is_break;
use super::{MAX_DEPTH, MAX_NODES, Node, Refusal, Value};
use crate::diag::{Diagnostic, SourceText, Span};

/// What kind of collection is open.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Seq,
    Map,
}

struct Open {
    kind: Kind,
    span: Span,
    anchor: usize,
    items: Vec<Node>,
}

/// A tree being built.
pub(super) struct Builder<'a> {
    source: &'a Arc<SourceText>,
    stack: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    nodes: usize,
    warnings: Vec<Diagnostic>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(source: &'a Arc<SourceText>) -> Self {
        Self { source, stack: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0, warnings: Vec::new() }
    }

    pub(super) fn finish(self) -> (Option<Node>, Vec<Diagnostic>) {
        (self.root, self.warnings)
    }

    pub(super) fn leaf(&mut self, node: Node, anchor: usize) -> Result<(), Refusal> {
        self.count(1, node.span)?;
        if !self.at_key() && node.plain && matches!(node.as_str(), Some("<<" | "=")) {
            let message = format!("a bare `{}` cannot be read; put it in quotes", node.as_str().unwrap_or_default());
            return Err(Refusal::new("yaml/value", message, node.span));
        }
        self.put(node, anchor);
        Ok(())
    }

    /// Whether what comes next is a key of a mapping.
    fn at_key(&self) -> bool {
        self.stack.last().is_some_and(|open| matches!(open.kind, Kind::Map) && open.items.len().is_multiple_of(2))
    }

    pub(super) fn open(&mut self, kind: Kind, span: Span, anchor: usize) -> Result<(), Refusal> {
        self.count(1, span)?;
        // The parser limits lists and mappings of one style; this limits them together.
        if self.stack.len() >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return Err(Refusal::new("yaml/too-deep", message, span));
        }
        self.stack.push(Open { kind, span, anchor, items: Vec::new() });
        Ok(())
    }

    pub(super) fn close(&mut self, end: Span) -> Result<(), Refusal> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let stop = (end.start + end.len).max(open.span.start);
        let text = self.source.text.get(open.span.start..stop).unwrap_or_default();
        let span = Span { start: open.span.start, len: text.trim_end().len() };
        let value = match open.kind {
            Kind::Seq => Value::Seq(open.items),
            Kind::Map => Value::Map(self.pairs(open.items)?),
        };
        self.put(Node { value, span, plain: true }, open.anchor);
        Ok(())
    }

    pub(super) fn alias(&mut self, anchor: usize, span: Span) -> Result<(), Refusal> {
        let Some((target, depth)) = self.anchors.get(&anchor) else {
            let refusal = Refusal::new("yaml/alias", "the alias refers to what it is part of", span);
            return Err(refusal);
        };
        if self.stack.len() + depth > MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep, following aliases");
            return Err(Refusal::new("yaml/too-deep", message, span));
        }
        let weight = target.weight();
        let copy = Node { span, ..target.clone() };
        self.count(weight, span)?;
        self.put(copy, 0);
        Ok(())
    }

    fn count(&mut self, more: usize, span: Span) -> Result<(), Refusal> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            let message = format!("more than {MAX_NODES} values, counting aliases as often as they are used");
            return Err(Refusal::new("yaml/too-many-values", message, span));
        }
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), node.depth()));
        }
        match self.stack.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = Some(node),
        }
    }

    /// Keys and values alternate in `items`.
    fn pairs(&mut self, items: Vec<Node>) -> Result<Vec<(Node, Node)>, Refusal> {
        let mut own: Vec<(Node, Node)> = Vec::new();
        let mut merged: Vec<(Node, Node)> = Vec::new();
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            if key.plain && key.as_str() == Some("<<") {
                // An earlier `<<`, and an earlier entry of its list, wins over a later one.
                merged.splice(0..0, merge_sources(value)?);
            } else if let Value::Seq(_) | Value::Map(_) = key.value {
                return Err(Refusal::new("yaml/key", "a list or a mapping cannot be a key", key.span));
            } else if self.goes_over_lines(key.span) {
                let message = "a key of several lines cannot be read";
                return Err(Refusal::new("yaml/syntax", message, key.span).help("write it in one line"));
            } else {
                own.push((key, value));
            }
        }
        Ok(self.unique(merged, own))
    }

    /// Whether a key ends in another line than it starts in, and its `:` follows. One behind a `?` may do so.
    fn goes_over_lines(&self, span: Span) -> bool {
        let part = |range: std::ops::Range<usize>| self.source.text.get(range).unwrap_or_default();
        let end = span.start + span.len;
        let written = part(span.start..end);
        written.contains(is_break)
            && !written.ends_with(is_break)
            && part(end..self.source.text.len()).trim_start_matches([' ', '\t']).starts_with(':')
            && !part(0..span.start).trim_end().ends_with('?')
    }

    /// The last of two equal keys wins, at the place of the first, as in a Python dictionary.
    fn unique(&mut self, merged: Vec<(Node, Node)>, own: Vec<(Node, Node)>) -> Vec<(Node, Node)> {
        let mut places: HashMap<String, (usize, bool)> = HashMap::new();
        let mut kept: Vec<(Node, Node)> = Vec::with_capacity(merged.len() + own.len());
        let all = merged.into_iter().map(|pair| (pair, false)).chain(own.into_iter().map(|pair| (pair, true)));
        for ((key, value), written_here) in all {
            let shown = key.scalar_text().unwrap_or_default();
            let name = format!("{}{shown}", if key.as_str().is_some() { "text " } else { "value " });
            let Some((place, earlier_here)) = places.get_mut(&name) else {
                places.insert(name, (kept.len(), written_here));
                kept.push((key, value));
                continue;
            };
            if *earlier_here && written_here {
                self.warnings.push(
                    Diagnostic::warning("yaml/duplicate-key", format!("the key `{shown}` stands here a second time"))
                        .at(self.source, key.span)
                        .label("this one counts, the earlier one is ignored")
                        .help("remove one of the two"),
                );
            }
            *earlier_here = written_here;
            kept[*place] = (key, value);
        }
        kept
    }
}

/// The pairs that `<<: value` brings in, weakest first.
fn merge_sources(value: Node) -> Result<Vec<(Node, Node)>, Refusal> {
    let refuse = |span| {
        Refusal::new("yaml/merge", "`<<` merges a mapping or a list of mappings", span).help("write `<<: *name`")
    };
    match value.value {
        Value::Map(pairs) => Ok(pairs),
        Value::Seq(items) => {
            let mut all = Vec::new();
            for item in items.into_iter().rev() {
                match item.value {
                    Value::Map(pairs) => all.extend(pairs),
                    _ => return Err(refuse(item.span)),
                }
            }
            Ok(all)
        }
        _ => Err(refuse(value.span)),
    }
}

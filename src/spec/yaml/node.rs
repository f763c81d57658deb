//! The tree: values with the byte range they were written at.

use crate::diag::Span;

/// A value of a YAML file, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it is.
    pub span: Span,
    /// Written without quotes and without a tag.
    pub plain: bool,
}

/// What PyYAML's `safe_load` makes of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true`, `yes`, `on`, ….
    Bool(bool),
    /// A whole number; beyond 128 bits it stays text.
    Int(i128),
    /// A number with a point, `.inf` or `.nan`.
    Float(f64),
    /// A date or a time, as written.
    Time(String),
    /// Text.
    Str(String),
    /// A list.
    Seq(Vec<Node>),
    /// Keys and values in the order written; keys are unique.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The text, where it is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The entries, where it is a list.
    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// The pairs, where it is a mapping.
    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.value {
            Value::Map(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// Whether nothing was written.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The value below a text key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, value)| value)
    }

    /// The key and the value of a text key.
    pub fn entry(&self, key: &str) -> Option<(&Self, &Self)> {
        self.as_map()?.iter().find(|(k, _)| k.as_str() == Some(key)).map(|(k, v)| (k, v))
    }

    /// A word for people: `a list`, `a number`.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Time(_) => "a date",
            Value::Str(_) => "a text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Whether Python takes it for false: null, `false`, zero, and everything empty.
    pub fn is_falsy(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Int(value) => *value == 0,
            Value::Float(value) => *value == 0.0,
            Value::Time(_) => false,
            Value::Str(text) => text.is_empty(),
            Value::Seq(items) => items.is_empty(),
            Value::Map(pairs) => pairs.is_empty(),
        }
    }

    /// The text of a scalar as Python's `str` shows it; `None` for lists and mappings.
    pub fn scalar_text(&self) -> Option<String> {
        Some(match &self.value {
            Value::Null => "None".to_owned(),
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => format!("{value:?}"),
            Value::Time(text) | Value::Str(text) => text.clone(),
            Value::Seq(_) | Value::Map(_) => return None,
        })
    }

    /// How many collections are inside one another here.
    pub(super) fn depth(&self) -> usize {
        match &self.value {
            Value::Seq(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Value::Map(pairs) => 1 + pairs.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// What a copy of this node costs, in nodes; long texts count as many.
    pub(super) fn weight(&self) -> usize {
        match &self.value {
            Value::Str(text) | Value::Time(text) => 1 + text.len() / 64,
            Value::Seq(items) => 1 + items.iter().map(Self::weight).sum::<usize>(),
            Value::Map(pairs) => 1 + pairs.iter().map(|(k, v)| k.weight() + v.weight()).sum::<usize>(),
            _ => 1,
        }
    }
}

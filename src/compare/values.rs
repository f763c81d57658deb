//! JSON documents as flat lists of named values, and what changed between two of them.
//!
//! Names are paths: `scores.test[0].f1`; a key that is no plain word stands in brackets: `["a.b"]`. `NaN`, `Infinity` and
//! `-Infinity`, which Python writes and JSON does not know, are numbers. Of a key that stands twice the last one counts.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::number::{Move, Number};
use super::text::decode;

/// Documents with more values are not compared.
const MOST_VALUES: usize = 20_000;
/// Nor those whose names take more bytes.
const MOST_NAMES: usize = 16 * 1024 * 1024;
/// Changes that are kept; the others are counted.
const MOST_CHANGES: usize = 1000;
/// A document of no more numbers than this, and of nothing else of weight, is one of metrics.
const MOST_METRICS: usize = 100;
/// How deep such a document may be nested.
const DEEPEST_METRIC: usize = 3;
/// Before `NaN` in a string that stands for the number.
const MARK: char = '\0';

/// One value.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Leaf {
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An empty list or object, as it is written.
    Empty(Empty),
}

/// Nothing, of one kind or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Empty {
    /// `[]`
    #[serde(rename = "[]")]
    List,
    /// `{}`
    #[serde(rename = "{}")]
    Object,
}

impl Leaf {
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => a.same(*b),
            (a, b) => a == b,
        }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<Number> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Bool(value) => value.fmt(f),
            Self::Null => f.write_str("null"),
            Self::Empty(Empty::List) => f.write_str("[]"),
            Self::Empty(Empty::Object) => f.write_str("{}"),
        }
    }
}

/// What changed in a document.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Values {
    /// Whether it is one of metrics, by its name or by what is in it.
    pub metrics: bool,
    /// Values that are the same on both sides.
    pub same: usize,
    /// What is not, in the order of the new document, then what is gone; the first thousand.
    pub changes: Vec<ValueChange>,
    /// Changes beyond those.
    pub more: usize,
}

/// One value that is not what it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueChange {
    /// Its path in the document.
    pub name: String,
    /// What it was; `None` for one that was not there.
    pub before: Option<Leaf>,
    /// What it is; `None` for one that is gone.
    pub after: Option<Leaf>,
    /// How far it moved, where both are numbers.
    #[serde(flatten)]
    pub moved: Option<Move>,
}

/// A document, flat.
#[derive(Debug, Default)]
pub(super) struct Document {
    values: Vec<(String, Leaf)>,
    places: HashMap<String, usize>,
    names: usize,
    deepest: usize,
    marked: bool,
}

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// Why it is not compared, in words.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let decoded = decode(bytes)?;
        if decoded.latin1 {
            return Err("it is not UTF-8, as JSON has to be".to_owned());
        }
        let text = with_python_numbers(&decoded.text)?;
        let mut document = Self { marked: matches!(text, Cow::Owned(_)), ..Self::default() };
        let mut reader = serde_json::Deserializer::from_str(&text);
        let told = |error: serde_json::Error| {
            if error.is_data() { error.to_string() } else { format!("it is not JSON: {error}") }
        };
        Part { document: &mut document, name: String::new(), depth: 0 }.deserialize(&mut reader).map_err(told)?;
        reader.end().map_err(told)?;
        Ok(document)
    }

    /// Whether what is in it are a few numbers with names.
    fn looks_like_metrics(&self) -> bool {
        let numbers = self.values.iter().filter(|(_, leaf)| leaf.number().is_some()).count();
        self.deepest <= DEEPEST_METRIC
            && (1..=MOST_METRICS).contains(&numbers)
            && self.values.len() <= 2 * numbers
            && !self.values.iter().any(|(name, _)| name.ends_with(']') || name == "$")
    }

    fn get(&self, name: &str) -> Option<&Leaf> {
        self.places.get(name).map(|at| &self.values[*at].1)
    }

    fn keep<E: Error>(&mut self, name: &str, depth: usize, leaf: Leaf) -> Result<(), E> {
        let name = if name.is_empty() { "$" } else { name };
        self.deepest = self.deepest.max(depth);
        if let Some(at) = self.places.get(name) {
            self.values[*at].1 = leaf;
            return Ok(());
        }
        self.names += name.len();
        if self.values.len() == MOST_VALUES || self.names > MOST_NAMES {
            return Err(E::custom(format_args!("too large: more than {MOST_VALUES} values")));
        }
        self.places.insert(name.to_owned(), self.values.len());
        self.values.push((name.to_owned(), leaf));
        Ok(())
    }
}

/// What changed from one document to the next. `named` says that the file's name speaks of metrics.
pub(super) fn compare(before: &Document, after: &Document, named: bool) -> Values {
    let metrics = named || after.looks_like_metrics();
    let mut values = Values { metrics, same: 0, changes: Vec::new(), more: 0 };
    for (name, new) in &after.values {
        let old = before.get(name);
        if old.is_some_and(|old| old.same(new)) {
            values.same += 1;
        } else {
            values.push(name, old, Some(new));
        }
    }
    for (name, old) in before.values.iter().filter(|(name, _)| after.get(name).is_none()) {
        values.push(name, Some(old), None);
    }
    values
}

impl Values {
    fn push(&mut self, name: &str, before: Option<&Leaf>, after: Option<&Leaf>) {
        if self.changes.len() == MOST_CHANGES {
            self.more += 1;
            return;
        }
        let numbers = before.and_then(Leaf::number).zip(after.and_then(Leaf::number));
        self.changes.push(ValueChange {
            name: name.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
            moved: numbers.map(|(old, new)| Move::between(old, new)),
        });
    }
}

/// The text with the three numbers that only Python writes put as strings.
fn with_python_numbers(text: &str) -> Result<Cow<'_, str>, String> {
    let bytes = text.as_bytes();
    let (mut out, mut from, mut at, mut quoted) = (String::new(), 0, 0, false);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'N' | b'I' | b'-' if !quoted => {
                let word = ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| text[at..].starts_with(word));
                if let Some(word) = word {
                    out.push_str(&text[from..at]);
                    out.push_str(&format!("\"\\u0000{word}\""));
                    from = at + word.len();
                    at = from - 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if from == 0 {
        return Ok(Cow::Borrowed(text));
    }
    if text.contains("\\u0000") {
        return Err("it holds NaN beside texts with NUL characters".to_owned());
    }
    out.push_str(&text[from..]);
    Ok(Cow::Owned(out))
}

/// One part of a document on its way into the list.
struct Part<'d> {
    document: &'d mut Document,
    name: String,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl Part<'_> {
    fn leaf<E: Error>(self, leaf: Leaf) -> Result<(), E> {
        self.document.keep(&self.name, self.depth, leaf)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.leaf(Leaf::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.leaf(Leaf::Number(Number::Whole(value.into())))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.leaf(Leaf::Number(Number::Whole(value.into())))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.leaf(Leaf::Number(Number::Real(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.leaf(Leaf::Null)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let number = value.strip_prefix(MARK).filter(|_| self.document.marked).and_then(Number::parse);
        self.leaf(number.map_or_else(|| Leaf::Text(value.to_owned()), Leaf::Number))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut count = 0;
        loop {
            let name = format!("{}[{count}]", self.name);
            let part = Part { document: self.document, name, depth: self.depth + 1 };
            if list.next_element_seed(part)?.is_none() {
                break;
            }
            count += 1;
        }
        if count == 0 { self.leaf(Leaf::Empty(Empty::List)) } else { Ok(()) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut empty = true;
        while let Some(key) = map.next_key::<String>()? {
            empty = false;
            if self.name.len() + key.len() > MOST_NAMES {
                return Err(A::Error::custom("too large: its names are too long"));
            }
            let name = joined(&self.name, &key);
            map.next_value_seed(Part { document: self.document, name, depth: self.depth + 1 })?;
        }
        if empty { self.leaf(Leaf::Empty(Empty::Object)) } else { Ok(()) }
    }
}

fn joined(name: &str, key: &str) -> String {
    let plain = !key.is_empty() && !key.contains(['.', '[', ']', '"', '$']);
    match (plain, name.is_empty()) {
        (true, true) => key.to_owned(),
        (true, false) => format!("{name}.{key}"),
        (false, _) => format!("{name}[{key:?}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: &str, after: &str) -> Vec<String> {
        let read = |text: &str| Document::parse(text.as_bytes()).unwrap();
        let side = |leaf: &Option<Leaf>| leaf.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        let values = compare(&read(before), &read(after), false);
        values.changes.iter().map(|c| format!("{} {} -> {}", c.name, side(&c.before), side(&c.after))).collect()
    }

    #[test]
    fn every_value_has_a_path_and_says_what_it_was() {
        let before = r#"{"a": {"b": [1, 2.5], "x.y": true}, "gone": null, "same": 1.0, "e": []}"#;
        let after = r#"{"a": {"b": [1, 3.5, 4], "x.y": false}, "same": 1, "new": "t", "e": {}}"#;
        assert_eq!(
            changes(before, after),
            [
                "a.b[1] 2.5 -> 3.5",
                "a.b[2] nothing -> 4",
                "a[\"x.y\"] true -> false",
                "new nothing -> \"t\"",
                "e [] -> {}",
                "gone null -> nothing",
            ]
        );
    }

    #[test]
    fn what_python_writes_for_no_number_is_read_and_strings_are_left_alone() {
        assert_eq!(
            changes(r#"{"a": NaN, "b": "NaN", "c": 1}"#, r#"{"a": NaN, "b": "x\"NaN", "c": -Infinity}"#),
            ["b \"NaN\" -> \"x\"NaN\"", "c 1 -> -Infinity"]
        );
        let mixed = Document::parse(br#"{"a": NaN, "b": "\u0000NaN"}"#).unwrap_err();
        assert!(mixed.contains("NUL"), "{mixed}");
        assert_eq!(changes(r#"{"a": "\u0000NaN"}"#, r#"{"a": "\u0000NaN"}"#), [""; 0]);
    }

    #[test]
    fn documents_of_a_few_numbers_are_metrics() {
        let metrics = |text: &str| {
            let document = Document::parse(text.as_bytes()).unwrap();
            compare(&document, &document, false).metrics
        };
        assert!(metrics(r#"{"accuracy": 0.9, "test": {"f1": 0.8}, "model": "forest"}"#));
        assert!(!metrics(r#"{"rows": [1, 2, 3]}"#));
        assert!(!metrics(r#"{"name": "a", "b": "c", "d": "e", "n": 1}"#));
        assert!(!metrics("3"));
    }

    #[test]
    fn hostile_documents_are_refused_in_bounded_memory() {
        let deep = "[".repeat(100_000);
        assert!(Document::parse(deep.as_bytes()).unwrap_err().contains("recursion"));
        let wide = format!("[{}1]", "1,".repeat(MOST_VALUES));
        assert!(Document::parse(wide.as_bytes()).unwrap_err().contains("too large"));
        let key = "k".repeat(1_000_000);
        let long = format!("{{\"{key}\": [{}1]}}", "1,".repeat(10_000));
        assert!(Document::parse(long.as_bytes()).unwrap_err().contains("too large"));
        assert!(Document::parse(b"{\"a\": 1} x").unwrap_err().contains("not JSON"));
        assert!(Document::parse(b"\xff\xfe{\0").unwrap_err().contains("UTF-16"));
        assert!(Document::parse(b"{\"a\": \"\xe9\"}").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn a_mark_before_the_text_and_the_last_of_two_keys_are_as_python_reads_them() {
        assert_eq!(changes("\u{feff}{\"a\": 1, \"a\": 2}", "{\"a\": 2}"), [""; 0]);
    }
}

//! A tree of YAML against the tables of `form`: every wrong key and value is said, then the rest is used.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::File;
use super::form::{Form, Table};
use super::inside;
use super::scalar;
use crate::diag::{Diagnostic, Severity, SourceText, Span};
use crate::server::action::Argument;
use crate::server::criterion::{Criterion, Fault, Scope};
use crate::server::template::{Manner, Template, is_template};
use crate::spec::suggest;
use crate::spec::yaml::{Node, Value as Yaml};

/// Lists inside lists and mappings inside mappings of free JSON.
const MAX_JSON_DEPTH: usize = 16;

/// What is being read, and what was found to be wrong.
pub(in crate::server) struct Reader<'a> {
    source: &'a Arc<SourceText>,
    problems: Vec<Diagnostic>,
    /// Where values stand, by JSON pointer.
    spans: BTreeMap<String, Span>,
    /// What may be a secret and is never shown.
    hidden: Vec<Span>,
}

/// How a value is read: where it stands, and what templates in it may name.
#[derive(Clone, Copy)]
pub(in crate::server) struct At<'a> {
    pub(in crate::server) pointer: &'a str,
    pub(in crate::server) scope: Option<&'a Scope>,
}

impl<'a> Reader<'a> {
    pub(in crate::server) fn new(source: &'a Arc<SourceText>) -> Self {
        Self { source, problems: Vec::new(), spans: BTreeMap::new(), hidden: Vec::new() }
    }

    /// Everything that is wrong; what may be a secret is starred out.
    pub(in crate::server) fn finish(self) -> Vec<Diagnostic> {
        if self.hidden.is_empty() {
            return self.problems;
        }
        let starred = inside::starred(self.source, &self.hidden);
        let hide = |diagnostic: Diagnostic| match &diagnostic.place {
            Some((_, span)) => {
                let span = *span;
                diagnostic.at(&starred, span)
            }
            None => diagnostic,
        };
        self.problems.into_iter().map(hide).collect()
    }

    pub(in crate::server) fn error(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: Span,
        help: impl Into<String>,
    ) {
        self.problems.push(Diagnostic::error(code, message).at(self.source, span).help(help));
    }

    pub(in crate::server) fn warning(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: Span,
        help: impl Into<String>,
    ) {
        self.problems.push(Diagnostic::warning(code, message).at(self.source, span).help(help));
    }

    /// What stands there is never shown.
    pub(in crate::server) fn hide(&mut self, span: Span) {
        self.hidden.push(span);
    }

    /// How many errors there are.
    pub(in crate::server) fn count(&self) -> usize {
        self.problems.len()
    }

    /// Where the value of a pointer stands.
    pub(in crate::server) fn span(&self, pointer: &str) -> Span {
        self.spans.get(pointer).copied().unwrap_or_default()
    }

    /// Whether something was written there, right or wrong.
    pub(in crate::server) fn knows(&self, pointer: &str) -> bool {
        self.spans.contains_key(pointer)
    }

    /// Says that a repository is not there, where a name is written that is no pattern and all of the file's are known.
    pub(in crate::server) fn repository(&mut self, file: &File, name: &str, span: Span) {
        let is_pattern = name.contains(['*', '?', '[', '{', '\\']);
        // One in which something is wrong is not among them.
        let all = !file.repos.is_empty() && !self.knows(&format!("/repos/{}", file.repos.len()));
        if all && !is_pattern && file.repo(name).is_none() {
            let known = file.repos.iter().map(|repo| repo.name.as_str());
            let help = suggest::help(name, known);
            self.error("server/reference", format!("there is no repository `{name}`"), span, help);
        }
    }

    /// Notes where a value stands.
    pub(in crate::server) fn note(&mut self, pointer: &str, span: Span) {
        self.spans.insert(pointer.to_owned(), span);
    }

    /// Where a word first stands in a value, as it is written there.
    pub(in crate::server) fn find(&self, node: &Node, word: &str) -> Option<Span> {
        let written = self.source.text.get(node.span.start..node.span.start + node.span.len)?;
        Some(Span { start: node.span.start + written.find(word)?, len: word.len() })
    }

    /// A scalar as it stands in the file: `on`, which YAML takes for a boolean, is `on`.
    pub(in crate::server) fn raw(&self, node: &Node) -> Option<String> {
        match &node.value {
            Yaml::Str(text) | Yaml::Time(text) => Some(text.clone()),
            Yaml::Bool(_) | Yaml::Int(_) | Yaml::Float(_) | Yaml::Null => {
                let end = node.span.start + node.span.len;
                self.source.text.get(node.span.start..end).map(str::to_owned)
            }
            Yaml::Seq(_) | Yaml::Map(_) => None,
        }
    }

    /// The value of a key, null counting as absent.
    pub(in crate::server) fn get<'n>(&self, node: &'n Node, key: &str) -> Option<(&'n Node, &'n Node)> {
        let pairs = node.as_map()?;
        let found = pairs.iter().find(|(name, _)| self.raw(name).as_deref() == Some(key));
        found.filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, value))
    }

    /// A mapping with known keys.
    pub(in crate::server) fn object(&mut self, node: &Node, table: &Table, at: At<'_>) -> Vec<(String, Argument)> {
        let Some(pairs) = self.mapping(node, table) else { return Vec::new() };
        let mut found = Vec::new();
        for (key, value) in pairs {
            let name = self.raw(key).unwrap_or_default();
            let Some(known) = table.key(&name).filter(|_| !value.is_null()) else { continue };
            let pointer = format!("{}/{name}", at.pointer);
            self.spans.insert(pointer.clone(), value.span);
            if let Some(value) = self.value(value, &known.form, &name, At { pointer: &pointer, ..at }) {
                found.push((name, value));
            }
        }
        found
    }

    /// The pairs of a mapping, after wrong and missing keys were said.
    pub(in crate::server) fn mapping<'n>(&mut self, node: &'n Node, table: &Table) -> Option<&'n [(Node, Node)]> {
        let names = || table.keys.iter().map(|key| key.name);
        let what = table.what;
        let pairs = if node.is_null() { Some(&[][..]) } else { node.as_map() };
        let Some(pairs) = pairs else {
            let message = format!("{what} must be a mapping, but is {}", node.kind());
            let help = format!("write `key: value` lines; {}", suggest::help("", names()));
            self.error("server/value", message, node.span, help);
            return None;
        };
        for (key, _) in pairs {
            let name = self.raw(key).unwrap_or_default();
            if table.key(&name).is_none() {
                let message = format!("{what} has no key `{name}`");
                self.error("server/unknown-key", message, key.span, suggest::help(&name, names()));
            }
        }
        for key in table.keys.iter().filter(|key| key.required) {
            if self.get(node, key.name).is_none() {
                let message = format!("{what} needs `{}`", key.name);
                let span = Span { len: node.span.len.min(first_line(self.source, node.span)), ..node.span };
                self.error("server/missing-key", message, span, format!("`{}`: {}", key.name, key.about));
            }
        }
        Some(pairs)
    }

    /// One value.
    pub(in crate::server) fn value(&mut self, node: &Node, form: &Form, name: &str, at: At<'_>) -> Option<Argument> {
        match form {
            Form::List(item) => Some(Argument::List(self.list(node, item, name, at))),
            Form::Map(item) => self.map(node, item, name, at),
            Form::Object(table) => Some(Argument::Map(self.object(node, table, at))),
            Form::WordOr(word, other) => match self.raw(node) {
                Some(text) if text == *word => Some(Argument::Plain(Value::String(text))),
                _ => self.value(node, other, name, at),
            },
            Form::Json => self.json(node, at, 0),
            Form::Template | Form::Markdown | Form::Message | Form::Address => {
                let text = self.text(node, name)?;
                let manner = match form {
                    Form::Markdown => Manner::Markdown,
                    Form::Message => Manner::Marked,
                    Form::Address => Manner::Address,
                    _ => Manner::Plain,
                };
                self.template(node, text, at, manner)
            }
            Form::Script => {
                let text = self.text(node, name)?;
                self.script(node, &text, at);
                Some(Argument::Plain(Value::String(text)))
            }
            _ => {
                let raw = self.text(node, name)?;
                match scalar::read(form, node, &raw) {
                    Ok(value) => Some(Argument::Plain(value)),
                    Err(refusal) => {
                        if refusal.secret {
                            self.hidden.push(node.span);
                        }
                        self.error(refusal.code, format!("`{name}` {}", refusal.message), node.span, refusal.help);
                        None
                    }
                }
            }
        }
    }

    fn text(&mut self, node: &Node, name: &str) -> Option<String> {
        let written = self.raw(node);
        let is_empty = written.as_ref().is_some_and(String::is_empty);
        let raw = written.filter(|text| !text.is_empty());
        if raw.is_none() {
            let message = if is_empty {
                format!("`{name}` is empty")
            } else {
                format!("`{name}` must be a text, but is {}", node.kind())
            };
            self.error("server/value", message, node.span, "write it in one line, or in quotes");
        }
        raw
    }

    fn list(&mut self, node: &Node, item: &Form, name: &str, at: At<'_>) -> Vec<Argument> {
        let items = node.as_seq().unwrap_or(std::slice::from_ref(node));
        let mut found = Vec::new();
        for (place, node) in items.iter().enumerate() {
            let pointer = format!("{}/{place}", at.pointer);
            self.spans.insert(pointer.clone(), node.span);
            found.extend(self.value(node, item, name, At { pointer: &pointer, ..at }));
        }
        found
    }

    fn map(&mut self, node: &Node, item: &Form, name: &str, at: At<'_>) -> Option<Argument> {
        let Some(pairs) = node.as_map() else {
            let message = format!("`{name}` must be a mapping, but is {}", node.kind());
            self.error("server/value", message, node.span, "write `NAME: value` lines");
            return None;
        };
        let mut found = Vec::new();
        for (key, node) in pairs.iter().filter(|(_, node)| !node.is_null()) {
            let key = self.raw(key).unwrap_or_default();
            let pointer = format!("{}/{}", at.pointer, key.replace('~', "~0").replace('/', "~1"));
            self.spans.insert(pointer.clone(), node.span);
            if let Some(value) = self.value(node, item, &key, At { pointer: &pointer, ..at }) {
                found.push((key, value));
            }
        }
        Some(Argument::Map(found))
    }

    fn json(&mut self, node: &Node, at: At<'_>, depth: usize) -> Option<Argument> {
        if depth > MAX_JSON_DEPTH {
            let message = format!("nested more than {MAX_JSON_DEPTH} deep");
            self.error("server/value", message, node.span, "send a flatter document");
            return None;
        }
        Some(match &node.value {
            Yaml::Str(text) | Yaml::Time(text) => return self.template(node, text.clone(), at, Manner::Plain),
            Yaml::Null => Argument::Plain(Value::Null),
            Yaml::Bool(value) => Argument::Plain(Value::Bool(*value)),
            Yaml::Int(value) => Argument::Plain(i64::try_from(*value).map_or(Value::Null, Value::from)),
            Yaml::Float(value) => Argument::Plain(Value::from(*value)),
            Yaml::Seq(items) => {
                Argument::List(items.iter().filter_map(|item| self.json(item, at, depth + 1)).collect())
            }
            Yaml::Map(pairs) => Argument::Map(
                pairs
                    .iter()
                    .filter_map(|(key, value)| Some((self.raw(key)?, self.json(value, at, depth + 1)?)))
                    .collect(),
            ),
        })
    }

    fn template(&mut self, node: &Node, text: String, at: At<'_>, manner: Manner) -> Option<Argument> {
        let Some(scope) = at.scope.filter(|_| is_template(&text)) else {
            return Some(Argument::Plain(Value::String(text)));
        };
        match Template::parse(&text, scope, manner) {
            Ok(template) => Some(Argument::Template(template)),
            Err(faults) => {
                self.faults("server/template", node, &text, faults);
                None
            }
        }
    }

    /// A criterion.
    pub(in crate::server) fn criterion(&mut self, node: &Node, scope: &Scope) -> Option<Criterion> {
        let text = self.text(node, "when")?;
        match Criterion::compile(&text, scope) {
            Ok(criterion) => Some(criterion),
            Err(faults) => {
                self.faults("server/criterion", node, &text, faults);
                None
            }
        }
    }

    fn faults(&mut self, code: &'static str, node: &Node, text: &str, faults: Vec<Fault>) {
        for fault in faults {
            let span = inside::span(self.source, node, text, fault.start, fault.len);
            let mut diagnostic = Diagnostic::error(code, fault.message).at(self.source, span);
            diagnostic.help = fault.help;
            self.problems.push(diagnostic);
        }
    }

    /// Values are never written into scripts: a branch may be called `$(rm -rf ~)`.
    fn script(&mut self, node: &Node, text: &str, at: At<'_>) {
        let Some(scope) = at.scope else { return };
        for (start, _) in text.match_indices("{{") {
            let name: String =
                text[start + 2..].trim_start().chars().take_while(|c| *c == '_' || c.is_alphanumeric()).collect();
            if scope.root(&name).is_some() {
                let len = text[start..].find("}}").map_or(2, |end| end + 2);
                let span = inside::span(self.source, node, text, start, len);
                let help = "write `env: {VALUE: \"{{ … }}\"}` beside the script and `\"$VALUE\"` in it";
                self.error("server/script", "values are never written into a script's text", span, help);
            }
        }
    }
}

/// Which name of a section may be meant, or where to write it.
pub(in crate::server) fn nearest<'a>(
    section: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    if known.clone().into_iter().next().is_none() {
        return format!("add it to `{section}` at the top of the server's file");
    }
    suggest::help(name, known)
}

/// A key that stands there twice is an error: of two lists of handlers one would be lost.
pub(in crate::server) fn refuse_twice(found: &mut [Diagnostic]) {
    for twice in found.iter_mut().filter(|one| one.code == "yaml/duplicate-key") {
        twice.severity = Severity::Error;
        twice.label = Some("this is the second one".to_owned());
        twice.help = Some("put both under one key".to_owned());
    }
}

fn first_line(source: &SourceText, span: Span) -> usize {
    source.text.get(span.start..).and_then(|rest| rest.lines().next()).map_or(1, |line| line.len().max(1))
}

impl Argument {
    /// The value of an argument without templates.
    pub(in crate::server) fn plain(self) -> Value {
        match self {
            Self::Plain(value) => value,
            Self::Template(template) => Value::String(template.text().to_owned()),
            Self::List(items) => Value::Array(items.into_iter().map(Self::plain).collect()),
            Self::Map(pairs) => Value::Object(
                pairs.into_iter().map(|(name, value)| (name, value.plain())).collect::<Map<String, Value>>(),
            ),
        }
    }
}

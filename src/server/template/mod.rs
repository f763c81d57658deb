//! Templates: texts with `{{ event.branch }}` in them, for comments, mails and arguments; the only place that knows minijinja here.
//!
//! An unknown name is an error when the file is read, as far as it can be known there, and when it is filled in: never an
//! empty text. What is known and null is filled in as nothing. Texts are filled in as they are: nothing escapes HTML or
//! quotes for a shell, so no template's text is ever given to a shell; shell steps get values as variables. In Markdown
//! ([`Manner::Markdown`]) values are escaped, because names of branches, titles and lines of output are anybody's; in messages
//! ([`Manner::Marked`]) they are marked, and escaped by who sends them; in addresses ([`Manner::Address`]) they are
//! percent-encoded. Loops and the length of what comes out are bounded.

use std::io::{self, Write};
use std::sync::LazyLock;

use minijinja::value::{Rest, ValueKind};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, escape_formatter};
use serde_json::Value;

use super::criterion::{Fault, Scope};
use super::event::schema;
use crate::spec::suggest;

mod address;
mod markdown;
pub mod marked;
mod standin;

/// Bytes of one template.
pub const MAX_BYTES: usize = 64 * 1024;
/// Bytes that one template may become.
pub const MAX_OUTPUT: usize = 1024 * 1024;
/// Instructions that filling in one template may take.
const FUEL: u64 = 200_000;

static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(environment);

static MARKDOWN: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut jinja = environment();
    markdown::teach(&mut jinja);
    jinja
});

static MARKED: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut jinja = environment();
    guarded(&mut jinja, marked::mark, "");
    jinja
});

static ADDRESS: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut jinja = environment();
    address::teach(&mut jinja);
    jinja
});

/// What is done to values that are filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Nothing.
    Plain,
    /// They are shown as they are by whoever reads Markdown, and have no effect there.
    Markdown,
    /// They are marked, so that whoever sends the text can do the same in the form of its reader: see [`marked`].
    Marked,
    /// Each is one part of a path or one value of a query, but for the one that the address begins with.
    Address,
}

impl Manner {
    fn environment(self) -> &'static Environment<'static> {
        match self {
            Self::Plain => &PLAIN,
            Self::Markdown => &MARKDOWN,
            Self::Marked => &MARKED,
            Self::Address => &ADDRESS,
        }
    }

    fn values(self, names: &Value) -> minijinja::Value {
        match self {
            Self::Plain | Self::Address => jinja(names),
            Self::Markdown | Self::Marked => markdown::values(names),
        }
    }
}

fn environment() -> Environment<'static> {
    let mut jinja = Environment::new();
    jinja.set_undefined_behavior(UndefinedBehavior::Strict);
    jinja.set_auto_escape_callback(|_| AutoEscape::None);
    jinja.set_fuel(Some(FUEL));
    jinja.set_recursion_limit(50);
    // Null is nothing, and booleans are written as everywhere outside of Python.
    jinja.set_formatter(|out, state, value| match value.kind() {
        ValueKind::None => Ok(()),
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "true" } else { "false" })?),
        _ => escape_formatter(out, state, value),
    });
    for name in ["default", "d"] {
        jinja.add_filter(name, or_else);
    }
    jinja.add_filter("urlencode", address::urlencode);
    jinja.add_filter("items", standin::items);
    jinja
}

/// The filter `default`. What is known and null is nothing here, so that something stands in for it, too.
fn or_else(value: &minijinja::Value, others: Rest<minijinja::Value>) -> Result<minijinja::Value, minijinja::Error> {
    if others.len() > 2 {
        return Err(minijinja::Error::from(minijinja::ErrorKind::TooManyArguments));
    }
    let mut others = others.0.into_iter();
    let other = others.next().unwrap_or_else(|| minijinja::Value::from(""));
    let also_empty = others.next().is_some_and(|flag| flag.is_true());
    let is_absent = value.is_undefined() || value.is_none() || (also_empty && !value.is_true());
    Ok(if is_absent { other } else { value.clone() })
}

/// Texts are filled in as `guard` writes them, but for those of which the template says that they are trusted; null is
/// written as `nothing`.
fn guarded(jinja: &mut Environment<'static>, guard: fn(&str) -> String, nothing: &'static str) {
    // What a block of a template made is guarded already.
    jinja.set_auto_escape_callback(|_| AutoEscape::Custom("guarded".into()));
    jinja.set_formatter(move |out, _, value| {
        let written = match value.kind() {
            ValueKind::None => nothing.to_owned(),
            ValueKind::Bool => if value.is_true() { "true" } else { "false" }.to_owned(),
            ValueKind::Number => value.to_string(),
            ValueKind::Undefined => {
                return Err(minijinja::Error::from(minijinja::ErrorKind::UndefinedError));
            }
            _ if value.is_safe() => value.to_string(),
            _ => guard(&value.to_string()),
        };
        Ok(out.write_str(&written)?)
    });
    // The engine's own ones escape for HTML, or not at all, and call what they made safe. Values are written as JSON anyway.
    for name in ["safe", "tojson"] {
        jinja.remove_filter(name);
    }
    for name in ["e", "escape"] {
        jinja.add_filter(name, move |value: minijinja::Value| {
            if value.is_safe() { value } else { minijinja::Value::from_safe_string(guard(&value.to_string())) }
        });
    }
    jinja.add_filter("raw", |value: minijinja::Value| minijinja::Value::from_safe_string(value.to_string()));
}

/// A template that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    names: Vec<String>,
    manner: Manner,
}

/// Why a template could not be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a template could not be filled in: {0}")]
pub struct RenderError(pub String);

impl Template {
    /// Reads a template and checks the names in it.
    ///
    /// # Errors
    /// What is wrong with it: its grammar alone when that is wrong, else every wrong name.
    pub fn parse(text: &str, scope: &Scope, manner: Manner) -> Result<Self, Vec<Fault>> {
        let whole = |message: String| vec![Fault { message, start: 0, len: text.len(), help: None }];
        if text.len() > MAX_BYTES {
            return Err(whole(format!("the template is longer than {MAX_BYTES} bytes")));
        }
        let template = manner.environment().template_from_str(text).map_err(|error| vec![of_grammar(text, &error)])?;
        let mut names: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        names.sort();
        // What the template itself sets or calls is no name of ours.
        names.retain(|name| !matches!(name.as_str(), "range" | "dict" | "namespace" | "debug"));
        let faults: Vec<Fault> = names.iter().flat_map(|name| wrong(text, name, scope)).collect();
        let faults = if faults.is_empty() { unknown_words(text, manner, &template, scope) } else { faults };
        if faults.is_empty() { Ok(Self { text: text.to_owned(), names, manner }) } else { Err(faults) }
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The dotted names in it.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Fills it in. `names` is an object of the names that the scope declares.
    ///
    /// # Errors
    /// When a name is not there after all, a bound was reached, or a value would lead an address elsewhere.
    pub fn render(&self, names: &Value) -> Result<String, RenderError> {
        let failed = |error: &minijinja::Error| RenderError(said(error));
        let template = self.manner.environment().template_from_str(&self.text).map_err(|error| failed(&error))?;
        let mut out = Bounded(Vec::new());
        match template.render_captured_to(self.manner.values(names), &mut out) {
            Ok(_) => {
                let text = String::from_utf8_lossy(&out.0).into_owned();
                if self.manner == Manner::Address {
                    return address::filled(&text, address::begins_with_a_name(&self.text)).map_err(RenderError);
                }
                Ok(text)
            }
            Err(_) if out.0.len() >= MAX_OUTPUT => {
                Err(RenderError(format!("it becomes longer than {MAX_OUTPUT} bytes")))
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Whether a text has anything to fill in.
pub fn is_template(text: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|mark| text.contains(mark))
}

/// A JSON value as minijinja's; documents that were read are not deep enough to overflow anything.
fn jinja(value: &Value) -> minijinja::Value {
    match value {
        Value::Null => minijinja::Value::from(()),
        Value::Bool(value) => minijinja::Value::from(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => minijinja::Value::from(number),
            (None, Some(number)) => minijinja::Value::from(number),
            (None, None) => minijinja::Value::from(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => minijinja::Value::from(text.as_str()),
        Value::Array(items) => minijinja::Value::from(items.iter().map(jinja).collect::<Vec<_>>()),
        Value::Object(map) => match map.get(schema::UNKNOWN).and_then(Value::as_str) {
            Some(name) => standin::StandIn::value(name),
            None => minijinja::Value::from_pairs(map.iter().map(|(name, value)| (name.as_str(), jinja(value)))),
        },
    }
}

struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = MAX_OUTPUT - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The message of minijinja without the name of the template, which has none.
fn said(error: &minijinja::Error) -> String {
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{}{detail}", error.kind())
}

fn of_grammar(text: &str, error: &minijinja::Error) -> Fault {
    let line = error.line().unwrap_or(1).max(1);
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let len = text.get(start..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
    Fault { message: said(error), start, len, help: Some("write `{{ event.branch }}`".to_owned()) }
}

/// Filters that are worth a word; the engine names none of its own.
const FILTERS: [&str; 19] = [
    "default",
    "first",
    "indent",
    "int",
    "join",
    "last",
    "length",
    "lines",
    "lower",
    "replace",
    "reverse",
    "round",
    "sort",
    "split",
    "title",
    "trim",
    "unique",
    "upper",
    "urlencode",
];

/// A filter that is not there.
fn no_filter(text: &str, manner: Manner, error: &minijinja::Error) -> Fault {
    let detail = error.detail().unwrap_or_default();
    let name = detail.strip_prefix("filter ").and_then(|rest| rest.strip_suffix(" is unknown"));
    let name = name.unwrap_or(detail);
    // Where values are written as they are, nothing is needed for it.
    let known = FILTERS.iter().copied().chain((manner != Manner::Plain).then_some("raw"));
    let message = format!("there is no filter `{name}`");
    Fault { message, help: Some(suggest::help(name, known)), ..of_grammar(text, error) }
}

/// Filters, tests and functions are looked up when a template is filled in: so it is, once, with stand-ins for values.
/// What else goes wrong with those is no fault of the template.
fn unknown_words(text: &str, manner: Manner, template: &minijinja::Template<'_, '_>, scope: &Scope) -> Vec<Fault> {
    use minijinja::ErrorKind::{UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
    match template.render_captured_to(jinja(&scope.stand_ins()), Bounded(Vec::new())) {
        Err(error) if error.kind() == UnknownFilter => vec![no_filter(text, manner, &error)],
        Err(error) if matches!(error.kind(), UnknownFunction | UnknownMethod | UnknownTest) => {
            vec![of_grammar(text, &error)]
        }
        _ => Vec::new(),
    }
}

/// What is wrong with a name, at each place where it stands.
fn wrong(text: &str, name: &str, scope: &Scope) -> Vec<Fault> {
    let Err(fault) = scope.path(name) else { return Vec::new() };
    let joins = |c: char| c == '_' || c == '.' || c.is_alphanumeric();
    let stands = text.match_indices(name).filter(|(at, _)| {
        let inside = text[..*at].rfind("{{").max(text[..*at].rfind("{%"));
        let before = text[..*at].ends_with(joins);
        let after = text[at + name.len()..].starts_with(|c: char| c == '_' || c.is_alphanumeric());
        inside.is_some() && !before && !after
    });
    let found: Vec<Fault> = stands.map(|(at, _)| Fault { start: at + fault.start, ..fault.clone() }).collect();
    if found.is_empty() { vec![Fault { start: 0, len: text.len(), ..fault }] } else { found }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::server::event::Kind;

    fn parse(text: &str) -> Result<Template, Vec<Fault>> {
        Template::parse(text, &Scope::of(&[Kind::Push]), Manner::Plain)
    }

    fn render(text: &str) -> Result<String, RenderError> {
        let names =
            json!({"event": {"branch": "<b>'$(rm)'", "delivery": null, "paths": ["a", "b"], "payload": {"n": 1}}});
        parse(text).unwrap().render(&names)
    }

    #[test]
    fn values_are_filled_in_as_they_are() {
        for (text, wanted) in [
            ("on {{ event.branch }}", "on <b>'$(rm)'"),
            ("{{ event.delivery }}.", "."),
            ("{{ event.payload.n == 1 }}", "true"),
            ("{{ event.delivery|default('none', true) }}", "none"),
            ("{{ event.delivery|default('none') }} {{ event.payload.x|default('none') }}", "none none"),
            ("{{ event.payload.n|default(2) }}{{ event.delivery|d }}", "1"),
            ("{% for path in event.paths %}{{ loop.index }}{{ path }}{% endfor %}", "1a2b"),
            ("{% if event.payload.n == 1 %}one{% endif %}", "one"),
            ("{{ event.paths|join(', ') }} {{ event.payload|tojson }}", "a, b {\"n\": 1}"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn unknown_names_are_found_when_it_is_read() {
        for (text, start, message, help) in [
            ("x {{ event.brnch }}", 11, "`event` has no name `brnch`", "did you mean `branch`?"),
            ("{{ branch }}", 3, "there is no name `branch`", "did you mean `event.branch`?"),
            ("{% if event.pull.number %}x{% endif %}", 12, "`event.pull` is never there for `push`", "it belongs to"),
            ("{{ run.url }}", 3, "there is no name `run`", "did you mean `event.run`?"),
            ("a\n{{ event.branch", 2, "syntax error", "write"),
            ("{{ event.branch|clamour }}", 0, "there is no filter `clamour`", "known here: `default`, "),
            ("{{ event.branch | uper }}", 0, "there is no filter `uper`", "did you mean `upper`?"),
        ] {
            let faults = parse(text).err().unwrap_or_else(|| panic!("{text} was taken"));
            assert!(faults[0].message.contains(message), "{text}: {faults:?}");
            assert_eq!(faults[0].start, start, "{text}: {faults:?}");
            assert!(faults[0].help.as_deref().is_some_and(|said| said.contains(help)), "{text}: {faults:?}");
        }
        assert_eq!(parse("{{ event.a }} {{ event.b }} {{ event.a }}").unwrap_err().len(), 3);
    }

    #[test]
    fn every_filter_that_is_named_is_there() {
        for filter in FILTERS {
            let unknown = |fault: &Fault| fault.message.contains("no filter");
            let faults = parse(&format!("{{{{ event.branch | {filter} }}}}")).err().unwrap_or_default();
            assert!(!faults.iter().any(unknown), "{filter}: {faults:?}");
        }
    }

    #[test]
    fn what_is_missing_in_a_payload_fails_and_is_never_an_empty_text() {
        assert!(render("{{ event.payload.nothing }}").unwrap_err().0.contains("undefined"));
        assert!(render("{{ event.payload.nothing.more }}").is_err());
    }

    #[test]
    fn loops_and_lengths_are_bounded() {
        let hot = "{% for a in range(9000) %}{% for b in range(9000) %}x{% endfor %}{% endfor %}";
        assert!(render(hot).is_err());
        let long = format!("{{% for a in range(100) %}}{}{{% endfor %}}", "x".repeat(60_000));
        assert!(render(&long).unwrap_err().0.contains("longer than"));
    }
}

//! env.yaml: its keys, and `{{placeholder}}` expansion as Ploomber does it.
//!
//! What only the run can know (`now`, `user`, `git`, `git_hash`, `env.X`) is left as it was written.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use minijinja::{Environment as Jinja, UndefinedBehavior, value::Value as JinjaValue};

use super::yaml::{Node, Value};
use crate::diag::SourceText;

/// Made once: it registers every filter, which costs more than a template.
static JINJA: LazyLock<Jinja<'static>> = LazyLock::new(|| {
    let mut jinja = Jinja::new();
    jinja.set_undefined_behavior(UndefinedBehavior::Strict);
    jinja
});

/// Where the snapshot lies during a run; `here`, `root` and `cwd` expand to places below it.
pub const SNAPSHOT: &str = "/workspace";

/// Placeholders that have a value without being declared.
pub const DEFAULTS: [&str; 7] = ["here", "root", "cwd", "user", "now", "git", "git_hash"];

/// An env.yaml that is a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct EnvYaml {
    /// The mapping.
    pub root: Node,
    /// The file.
    pub source: Arc<SourceText>,
}

impl EnvYaml {
    /// Whether the file has this key at its top.
    pub fn declares(&self, key: &str) -> bool {
        self.root.get(key).is_some()
    }

    /// The keys at the top.
    pub fn keys(&self) -> impl Iterator<Item = &Node> {
        self.root.as_map().unwrap_or_default().iter().map(|(key, _)| key)
    }
}

/// Why a text could not be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Names without a value, in order.
    Undefined(Vec<String>),
    /// Not a template.
    Syntax(String),
}

/// Values by name.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    values: BTreeMap<String, Value>,
    /// Whether any text asked for `git` or `git_hash`.
    asked_git: Arc<AtomicBool>,
}

impl Scope {
    /// The defaults for a pipeline in `folder` (below the snapshot) of a project rooted at `root`, run in `cwd`.
    pub fn defaults(folder: &str, root: &str, cwd: &str) -> Self {
        let place = |path: &str| if path.is_empty() { SNAPSHOT.to_owned() } else { format!("{SNAPSHOT}/{path}") };
        let mut values: BTreeMap<String, Value> = ["user", "now", "git", "git_hash"]
            .map(|name| (name.to_owned(), Value::Str(format!("{{{{{name}}}}}"))))
            .into();
        values.insert("here".to_owned(), Value::Str(place(folder)));
        values.insert("cwd".to_owned(), Value::Str(place(cwd)));
        values.insert("root".to_owned(), Value::Str(place(root)));
        Self { values, asked_git: Arc::default() }
    }

    /// Whether any text that was expanded so far, here or by a clone, asks git about the commit.
    pub fn asked_git(&self) -> bool {
        self.asked_git.load(Ordering::Relaxed)
    }

    /// Sets one name.
    pub fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    /// Whether the name has a value.
    pub fn knows(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Whether there is a value at the end of `section.key`.
    fn reaches(&self, dotted: &str) -> bool {
        let mut parts = dotted.split('.');
        let Some(mut value) = parts.next().and_then(|first| self.values.get(first)) else { return false };
        for part in parts {
            let Value::Map(pairs) = value else { return false };
            let found = pairs.iter().find(|(key, _)| key.scalar_text().as_deref() == Some(part));
            let Some((_, next)) = found else { return false };
            value = &next.value;
        }
        true
    }

    /// The names that have a value.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.values.keys().map(String::as_str)
    }

    /// The keys of the mapping that a dotted name leads to.
    pub fn keys(&self, dotted: &str) -> Option<Vec<String>> {
        let mut parts = dotted.split('.');
        let mut value = self.values.get(parts.next()?)?;
        for part in parts {
            let Value::Map(pairs) = value else { return None };
            value = &pairs.iter().find(|(key, _)| key.as_str() == Some(part))?.1.value;
        }
        let Value::Map(pairs) = value else { return None };
        Some(pairs.iter().filter_map(|(key, _)| key.scalar_text()).collect())
    }

    /// Expands one text; the result has the type that Ploomber casts it to.
    ///
    /// # Errors
    /// When a placeholder has no value, or the text is no template.
    pub fn expand(&self, text: &str) -> Result<Value, Trouble> {
        if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
            return Ok(cast(text));
        }
        let template = JINJA.template_from_str(text).map_err(|error| Trouble::Syntax(error.to_string()))?;
        let used = template.undeclared_variables(false);
        if used.is_empty() {
            return Ok(cast(text));
        }
        // A key of that name in env.yaml has a value of its own.
        let own = |name: &str| self.values.get(name) == Some(&Value::Str(format!("{{{{{name}}}}}")));
        if ["git", "git_hash"].iter().any(|name| used.contains(*name) && own(name)) {
            self.asked_git.store(true, Ordering::Relaxed);
        }
        let mut unknown: Vec<String> = used.iter().filter(|name| !self.knows(name)).cloned().collect();
        if !unknown.is_empty() {
            unknown.sort();
            return Err(Trouble::Undefined(unknown));
        }
        if !is_plain(text) {
            // Loops and filters could be made to run for ever; what they come to is known to the run only.
            return Ok(Value::Str(text.to_owned()));
        }
        let context: BTreeMap<&str, JinjaValue> = self
            .values
            .iter()
            .filter(|(name, _)| used.contains(*name))
            .map(|(name, v)| (name.as_str(), jinja_value(v)))
            .collect();
        let rendered = template.render(context).map_err(|_| {
            let nested = template.undeclared_variables(true).into_iter();
            let mut nested: Vec<String> = nested.filter(|name| name.contains('.') && !self.reaches(name)).collect();
            nested.sort();
            Trouble::Undefined(if nested.is_empty() { vec![text.to_owned()] } else { nested })
        })?;
        Ok(cast(&rendered))
    }

    /// Expands every text of a tree, keys excepted; troubles are handed to `report` and leave the text as it is.
    pub fn expand_tree(&self, node: &Node, report: &mut dyn FnMut(&Node, Trouble)) -> Node {
        let value = match &node.value {
            Value::Str(text) => match self.expand(text) {
                Ok(value) => value,
                Err(trouble) => {
                    report(node, trouble);
                    node.value.clone()
                }
            },
            Value::Seq(items) => Value::Seq(items.iter().map(|item| self.expand_tree(item, report)).collect()),
            Value::Map(pairs) => {
                Value::Map(pairs.iter().map(|(key, value)| (key.clone(), self.expand_tree(value, report))).collect())
            }
            other => other.clone(),
        };
        Node { value, span: node.span, plain: node.plain }
    }
}

/// Whether what a template makes cannot be much longer than itself: placeholders with names, texts, comparisons and
/// `if … else`, no loops, filters, calls or repetition.
fn is_plain(text: &str) -> bool {
    if text.contains("{%") {
        return false;
    }
    text.split("{{").skip(1).all(|part| {
        let inside = part.split("}}").next().unwrap_or_default();
        // Every second piece between quotes is a text.
        let code = inside.split(['\'', '"']).step_by(2).collect::<String>();
        code.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "_.=!<>+-/".contains(c))
    })
}

/// What Ploomber's `cast_if_possible` makes of an expanded text: a boolean, nothing, a literal, or the text.
pub fn cast(text: &str) -> Value {
    match text.to_ascii_lowercase().as_str() {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        "none" | "null" => return Value::Null,
        _ => {}
    }
    let quoted = |mark: char| {
        let inner = text.strip_prefix(mark)?.strip_suffix(mark)?;
        (!inner.contains([mark, '\\'])).then(|| inner.to_owned())
    };
    if text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        let sign_less = text.trim_start_matches(['+', '-']);
        let padded = sign_less.len() > 1 && sign_less.starts_with('0') && sign_less.bytes().all(|b| b.is_ascii_digit());
        if let (Ok(number), false) = (text.parse::<i128>(), padded) {
            return Value::Int(number);
        }
        if let (Ok(number), false) = (text.parse::<f64>(), padded) {
            return Value::Float(number);
        }
    }
    quoted('\'').or_else(|| quoted('"')).map_or_else(|| Value::Str(text.to_owned()), Value::Str)
}

fn jinja_value(value: &Value) -> JinjaValue {
    match value {
        Value::Null => JinjaValue::from("None"),
        // Python shows booleans with a capital letter, and templates test them as booleans.
        Value::Bool(flag) => JinjaValue::from(*flag),
        Value::Int(number) => JinjaValue::from(*number),
        Value::Float(number) => JinjaValue::from(*number),
        Value::Time(text) | Value::Str(text) => JinjaValue::from(text.as_str()),
        Value::Seq(items) => JinjaValue::from(items.iter().map(|n| jinja_value(&n.value)).collect::<Vec<_>>()),
        Value::Map(pairs) => JinjaValue::from(
            pairs
                .iter()
                .filter_map(|(k, v)| Some((k.scalar_text()?, jinja_value(&v.value))))
                .collect::<BTreeMap<String, JinjaValue>>(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Span;

    fn scope() -> Scope {
        let mut scope = Scope::defaults("flow", "", "flow");
        scope.set("n", Value::Int(3));
        scope.set("flag", Value::Bool(true));
        scope
    }

    fn text(template: &str) -> Value {
        scope().expand(template).unwrap()
    }

    #[test]
    fn expands_and_casts_as_ploomber_does() {
        assert_eq!(text("{{n}}"), Value::Int(3));
        assert_eq!(text("out-{{ n }}"), Value::Str("out-3".to_owned()));
        assert_eq!(text("{{here}}/x"), Value::Str("/workspace/flow/x".to_owned()));
        assert_eq!(text("{{root}}"), Value::Str("/workspace".to_owned()));
        assert_eq!(text("{{'a' if flag else 'b'}}"), Value::Str("a".to_owned()));
        assert_eq!(text("None"), Value::Null);
        assert_eq!(text("007"), Value::Str("007".to_owned()));
        assert_eq!(text("'3'"), Value::Str("3".to_owned()));
    }

    #[test]
    fn leaves_what_could_run_for_ever_as_it_is_written() {
        let mut scope = Scope::default();
        scope.set("n", Value::Int(9));
        let long = "{% for a in 'xxxxxxxx' %}{% for b in 'xxxxxxxx' %}{{ n }}{% endfor %}{% endfor %}";
        for text in [long, "{{ 'x' * n }}", "{{ n | center(999999999) }}", "{{ n.x(n) }}"] {
            assert_eq!(scope.expand(text), Ok(Value::Str(text.to_owned())));
        }
    }

    #[test]
    fn leaves_what_only_the_run_knows_as_it_is_written() {
        assert_eq!(text("runs/{{now}}/{{git_hash}}"), Value::Str("runs/{{now}}/{{git_hash}}".to_owned()));
    }

    #[test]
    fn knows_whether_git_is_asked_in_any_spacing_and_not_where_env_yaml_says_otherwise() {
        for (template, asks) in [
            ("runs/{{git}}", true),
            ("runs/{{  git_hash  }}/x", true),
            ("{{git}}", true),
            ("{% if git == 'main' %}a{% endif %}", true),
            ("{{ 'git' }}", false),
            ("git", false),
            ("{{n}}/git", false),
        ] {
            let scope = scope();
            let _ = scope.clone().expand(template);
            assert_eq!(scope.asked_git(), asks, "{template}");
        }
        let mut own = scope();
        own.set("git", Value::Str("mine".to_owned()));
        own.expand("{{git}}").unwrap();
        assert!(!own.asked_git());
    }

    #[test]
    fn names_what_has_no_value() {
        let undefined = |text: &str| match scope().expand(text) {
            Err(Trouble::Undefined(names)) => names.join(" "),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(undefined("{{nope}}"), "nope");
        assert_eq!(undefined("{{other}}/{{n}}/{{nope}}"), "nope other");
        let mut nested = scope();
        let key = |name: &str| Node { value: Value::Str(name.to_owned()), span: Span::default(), plain: true };
        nested.set("path", Value::Map(vec![(key("a"), key("x"))]));
        assert_eq!(nested.expand("{{path.a}}"), Ok(Value::Str("x".to_owned())));
        let unknown = vec!["path.b".to_owned(), "path.c".to_owned()];
        assert_eq!(nested.expand("{{path.a}}/{{path.c}}/{{path.b}}"), Err(Trouble::Undefined(unknown)));
        assert!(matches!(scope().expand("{{n"), Err(Trouble::Syntax(_))));
    }
}

//! What an expression is for given names. Total: what does not fit is null or false, as `criterion` says.

use std::borrow::Cow;

use serde_json::Value;

use super::Criterion;
use super::ast::{Comparison, Expr, Form};
use super::method::Method;

const NULL: Value = Value::Null;

impl Criterion {
    pub(super) fn value<'a>(&'a self, expr: &'a Expr, names: &'a Value) -> Cow<'a, Value> {
        let owned = |value: Value| Cow::Owned(value);
        match &expr.form {
            Form::Null => Cow::Borrowed(&NULL),
            Form::Bool(value) => owned(Value::Bool(*value)),
            Form::Number(number) => owned(Value::from(*number)),
            Form::Text(text) => owned(Value::String(text.clone())),
            Form::List(items) => {
                owned(Value::Array(items.iter().map(|item| self.value(item, names).into_owned()).collect()))
            }
            Form::Name(name) => Cow::Borrowed(names.get(name).unwrap_or(&NULL)),
            Form::Field(of, name) => below(self.value(of, names), |value| value.get(name)),
            Form::Item(of, key) => below(self.value(of, names), |value| item(value, &key.form)),
            Form::Call { of, method, arguments, .. } => {
                let of = self.value(of, names);
                owned(Method::named(method).map_or(Value::Null, |method| self.call(&of, method, arguments)))
            }
            Form::Not(inner) => owned(Value::Bool(!self.is_true(inner, names))),
            Form::And(parts) => owned(Value::Bool(parts.iter().all(|part| self.is_true(part, names)))),
            Form::Or(parts) => owned(Value::Bool(parts.iter().any(|part| self.is_true(part, names)))),
            Form::Compare(how, left, right) => {
                let (left, right) = (self.value(left, names), self.value(right, names));
                owned(Value::Bool(compare(*how, &left, &right)))
            }
        }
    }

    pub(super) fn is_true(&self, expr: &Expr, names: &Value) -> bool {
        self.value(expr, names).as_bool() == Some(true)
    }

    fn call(&self, of: &Value, method: Method, arguments: &[Expr]) -> Value {
        let text = of.as_str();
        let argument = || match arguments.first().map(|argument| &argument.form) {
            Some(Form::Text(text)) => text.as_str(),
            _ => "",
        };
        let fits = |text: &str| arguments.iter().any(|one| self.is_match(one, text));
        let found = match method {
            Method::StartsWith => text.is_some_and(|text| text.starts_with(argument())),
            Method::EndsWith => text.is_some_and(|text| text.ends_with(argument())),
            Method::Contains => contains(of, argument()),
            Method::Matches | Method::Glob => text.is_some_and(fits),
            Method::Any => texts(of).is_none_or(|mut texts| texts.any(fits)),
            Method::All => texts(of).is_none_or(|mut texts| texts.all(fits)),
            Method::Known => !of.is_null(),
            Method::Lower => return text.map_or(Value::Null, |text| text.to_lowercase().into()),
            Method::Upper => return text.map_or(Value::Null, |text| text.to_uppercase().into()),
            Method::Length => return length(of).into(),
        };
        Value::Bool(found)
    }

    fn is_match(&self, argument: &Expr, text: &str) -> bool {
        self.matchers.get(&argument.place.start).is_some_and(|matcher| matcher.is_match(text))
    }
}

fn below(value: Cow<'_, Value>, find: impl Fn(&Value) -> Option<&Value>) -> Cow<'_, Value> {
    match value {
        Cow::Borrowed(value) => Cow::Borrowed(find(value).unwrap_or(&NULL)),
        Cow::Owned(value) => Cow::Owned(find(&value).cloned().unwrap_or_default()),
    }
}

fn item<'v>(value: &'v Value, key: &Form) -> Option<&'v Value> {
    match key {
        Form::Text(name) => value.get(name),
        Form::Number(number) if number.fract() == 0.0 && *number >= 0.0 && *number < 1e9 =>
        {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the guard says so")]
            value.get(*number as usize)
        }
        _ => None,
    }
}

/// The texts of a list; none where nothing is known.
fn texts(value: &Value) -> Option<impl Iterator<Item = &str>> {
    match value {
        Value::Null => None,
        other => Some(other.as_array().map(Vec::as_slice).unwrap_or_default().iter().filter_map(Value::as_str)),
    }
}

fn contains(of: &Value, part: &str) -> bool {
    match of {
        Value::String(text) => text.contains(part),
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(part)),
        _ => false,
    }
}

fn length(of: &Value) -> usize {
    match of {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    }
}

fn compare(how: Comparison, left: &Value, right: &Value) -> bool {
    let numbers = || left.as_f64().zip(right.as_f64());
    match how {
        Comparison::Equal => equal(left, right),
        Comparison::Different => !equal(left, right),
        Comparison::Less => numbers().is_some_and(|(a, b)| a < b),
        Comparison::AtMost => numbers().is_some_and(|(a, b)| a <= b),
        Comparison::More => numbers().is_some_and(|(a, b)| a > b),
        Comparison::AtLeast => numbers().is_some_and(|(a, b)| a >= b),
        Comparison::In => within(left, right),
        Comparison::NotIn => !within(left, right),
    }
}

fn within(item: &Value, list: &Value) -> bool {
    list.as_array().is_some_and(|items| items.iter().any(|one| equal(item, one)))
}

/// JSON writes one number as 1 and 1.0.
fn equal(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        #[expect(clippy::float_cmp, reason = "equal is what was asked")]
        (Some(a), Some(b)) => a == b,
        _ => left == right,
    }
}

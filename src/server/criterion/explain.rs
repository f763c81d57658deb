//! Why an expression holds or not: the smallest parts that decided, with what they looked at.

use serde::Serialize;
use serde_json::Value;

use super::Criterion;
use super::ast::{Expr, Form};

/// A part that decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reason {
    /// The part.
    pub expression: String,
    /// Whether it holds.
    pub holds: bool,
    /// The names in it with their values.
    pub values: Vec<(String, Value)>,
}

/// Characters of a text, or items of a list, that are shown.
const SHOWN: usize = 200;

impl Criterion {
    pub(super) fn reasons(&self, names: &Value) -> Vec<Reason> {
        let mut found = Vec::new();
        self.decided(&self.expr, names, &mut found);
        found
    }

    fn decided(&self, expr: &Expr, names: &Value, found: &mut Vec<Reason>) {
        let holds = self.is_true(expr, names);
        match &expr.form {
            // One false part decides an `and`, one true part an `or`; otherwise all of them do.
            Form::And(parts) | Form::Or(parts) => {
                let all = matches!(expr.form, Form::And(_)) == holds;
                let deciding = parts.iter().filter(|part| self.is_true(part, names) == holds);
                for part in deciding.take(if all { usize::MAX } else { 1 }) {
                    self.decided(part, names, found);
                }
            }
            Form::Not(inner) if matches!(inner.form, Form::And(_) | Form::Or(_)) => self.decided(inner, names, found),
            _ => {
                let mut values = Vec::new();
                self.looked_at(expr, names, &mut values);
                found.push(Reason { expression: expr.to_string(), holds, values });
            }
        }
    }

    fn looked_at(&self, expr: &Expr, names: &Value, values: &mut Vec<(String, Value)>) {
        match &expr.form {
            Form::Name(_) | Form::Field(..) | Form::Item(..) => {
                let shown = (expr.to_string(), short(&self.value(expr, names)));
                if !values.contains(&shown) {
                    values.push(shown);
                }
            }
            Form::Call { of, .. } | Form::Not(of) => self.looked_at(of, names, values),
            Form::Compare(_, left, right) => {
                self.looked_at(left, names, values);
                self.looked_at(right, names, values);
            }
            _ => {}
        }
    }
}

fn short(value: &Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > SHOWN => {
            Value::String(text.chars().take(SHOWN).chain(['…']).collect())
        }
        Value::Array(items) if items.len() > SHOWN => Value::Array(items[..SHOWN].to_vec()),
        Value::Object(map) => Value::String(format!("{} names", map.len())),
        other => other.clone(),
    }
}

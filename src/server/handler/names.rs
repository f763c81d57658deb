//! The names that steps see: the event, the handler, what failed, and a result for every step.

use serde_json::{Map, Value, json};

use super::decide::{self, Plan};
use super::{Outcome, Single};
use crate::server::event::schema::Shape;

/// Names with their values, as the scope at load declared them.
#[derive(Debug, Clone)]
pub(super) struct Names(Value);

impl Names {
    /// Before the first step: every result is there, and of nothing.
    pub(super) fn new(plan: &Plan<'_>) -> Self {
        let mut names = Self(decide::names(plan.handler, plan.event));
        for single in plan.handler.steps.iter().flat_map(super::Step::singles) {
            let nothing = Outcome { state: super::State::Skipped, result: Value::Null, error: None };
            names.add(single, &nothing);
        }
        names.fail(None);
        names
    }

    pub(super) fn value(&self) -> &Value {
        &self.0
    }

    /// Adds what came of a step.
    pub(super) fn add(&mut self, single: &Single, outcome: &Outcome) {
        let mut result = match outcome.result.clone() {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        let Shape::Object(fields) = single.action.verb.result() else { return };
        for field in fields {
            result.entry(field.name).or_insert(Value::Null);
        }
        // Of what was called off, the result says how: another took its place.
        let told = result.get("status").filter(|told| outcome.state == super::State::Cancelled && told.is_string());
        let status = told.cloned().unwrap_or_else(|| outcome.state.name().into());
        result.insert("status".to_owned(), status);
        result.insert("error".to_owned(), outcome.error.clone().into());
        self.set(&single.name, Value::Object(result));
    }

    /// Says what failed.
    pub(super) fn fail(&mut self, failed: Option<(&Single, &str)>) {
        let failure = failed.map_or_else(
            || json!({"step": null, "action": null, "error": null}),
            |(single, error)| json!({"step": single.name, "action": single.action.verb.name(), "error": error}),
        );
        self.set("failure", failure);
    }

    fn set(&mut self, name: &str, value: Value) {
        if let Value::Object(map) = &mut self.0 {
            map.insert(name.to_owned(), value);
        }
    }
}

//! A rehearsal: which handlers an event is for and why, and every step with its arguments; nothing is done.
//!
//! What steps come to cannot be known before. In arguments it stands as its name in angle quotes (`‹run.url›`), and
//! criteria that ask for it are said to be decided later.

use serde::Serialize;
use serde_json::{Value, json};

use super::decide::{Verdict, judge, names};
use super::{Handler, Single, Step};
use crate::server::action::Verb;
use crate::server::criterion::Reason;
use crate::server::event::Event;
use crate::server::template::marked;

/// What a handler would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rehearsal {
    /// Its name.
    pub handler: String,
    /// Whether it is for the event.
    pub matches: bool,
    /// Why, or why not, in one line.
    pub because: String,
    /// The parts of its criterion that decided.
    pub reasons: Vec<Reason>,
    /// Its steps; empty when it is not for the event.
    pub steps: Vec<Rehearsed>,
}

/// What a step would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rehearsed {
    /// When: empty for steps of `do`, else `on_failure`, `before`, ….
    pub on: String,
    /// Which, as in `Key::index`.
    pub index: String,
    /// The name of its result.
    pub name: String,
    /// Its action.
    pub action: Verb,
    /// Its criterion.
    pub when: Option<String>,
    /// Whether the criterion holds; none where that is decided by what came before.
    pub holds: Option<bool>,
    /// Its arguments, filled in.
    pub arguments: Value,
    /// Why they could not be filled in.
    pub error: Option<String>,
}

/// What handlers would do for an event.
pub fn rehearse(handlers: &[Handler], event: &Event) -> Vec<Rehearsal> {
    handlers.iter().map(|handler| one(handler, event)).collect()
}

fn one(handler: &Handler, event: &Event) -> Rehearsal {
    let verdict = judge(handler, event);
    let kinds: Vec<&str> = handler.on.iter().map(|kind| kind.name()).collect();
    let (because, reasons) = match &verdict {
        Verdict::Matches { because } if because.is_empty() => ("it has no criterion".to_owned(), Vec::new()),
        Verdict::Matches { because } => ("its criterion holds".to_owned(), because.clone()),
        Verdict::Criterion { because } => ("its criterion does not hold".to_owned(), because.clone()),
        Verdict::Disabled => ("it is turned off".to_owned(), Vec::new()),
        Verdict::OtherKind => (format!("it is for {}, this is {}", kinds.join(", "), event.kind), Vec::new()),
        Verdict::OtherRepo => (format!("it is not for the repository {}", event.repo), Vec::new()),
        Verdict::OtherSchedule => ("it is the schedule of another handler".to_owned(), Vec::new()),
        Verdict::OwnComment => ("soopervisor wrote this comment itself".to_owned(), Vec::new()),
    };
    let steps = if verdict.matches() { steps(handler, event) } else { Vec::new() };
    Rehearsal { handler: handler.name.clone(), matches: verdict.matches(), because, reasons, steps }
}

fn steps(handler: &Handler, event: &Event) -> Vec<Rehearsed> {
    let names = stand_ins(handler, event);
    let mut found = Vec::new();
    for (place, step) in handler.steps.iter().enumerate() {
        for (member, single) in step.singles().iter().enumerate() {
            let index = match step {
                Step::One(_) => place.to_string(),
                Step::Parallel(_) => format!("{place}.{member}"),
            };
            let around = |word: &'static str, singles: &[Single]| -> Vec<Rehearsed> {
                let numbered = singles.iter().enumerate();
                numbered
                    .map(|(place, single)| rehearsed(single, word, format!("{index}/{word}.{place}"), &names))
                    .collect()
            };
            found.extend(around("before", &single.before));
            found.push(rehearsed(single, "", index.clone(), &names));
            found.extend(around("on_success", &single.on_success));
            found.extend(around("on_failure", &single.on_failure));
            found.extend(around("always", &single.always));
        }
    }
    let ends = [("on_success", &handler.on_success), ("on_failure", &handler.on_failure), ("always", &handler.always)];
    for (word, singles) in ends {
        let numbered = singles.iter().enumerate();
        found.extend(numbered.map(|(place, single)| rehearsed(single, word, format!("{word}.{place}"), &names)));
    }
    found
}

fn rehearsed(single: &Single, on: &str, index: String, names: &Value) -> Rehearsed {
    let rendered = single.action.render(names);
    let error = rendered.as_ref().err().map(ToString::to_string);
    // What asks for the event alone is known already.
    let known =
        single.when.as_ref().is_none_or(|when| when.names().iter().all(|name| matches!(*name, "event" | "handler")));
    let holds = single.when.as_ref().map(|when| when.holds(names)).filter(|_| known);
    Rehearsed {
        on: on.to_owned(),
        index,
        name: single.name.clone(),
        action: single.action.verb,
        when: single.when.as_ref().map(|when| when.text().to_owned()),
        holds,
        arguments: readable(marked::plain_document(rendered.unwrap_or_default())),
        error,
    }
}

/// What is not known yet is shown in an address as everywhere.
fn readable(mut arguments: Value) -> Value {
    if let Some(Value::String(url)) = arguments.get_mut("url") {
        *url = url.replace("%E2%80%B9", "‹").replace("%E2%80%BA", "›");
    }
    arguments
}

/// All names, with what is not known yet standing for itself.
fn stand_ins(handler: &Handler, event: &Event) -> Value {
    let mut names = names(handler, event);
    let mut add = |name: &str, value: Value| {
        if let Value::Object(map) = &mut names {
            map.insert(name.to_owned(), value);
        }
    };
    let inner = handler.steps.iter().flat_map(Step::singles);
    let around = inner.clone().flat_map(|single| {
        [&single.before, &single.on_success, &single.on_failure, &single.always].into_iter().flatten()
    });
    let ends = [&handler.on_success, &handler.on_failure, &handler.always].into_iter().flatten();
    for single in inner.chain(around).chain(ends) {
        add(&single.name, single.action.verb.result().stand_in(&single.name));
    }
    add("failure", json!({"step": "‹failure.step›", "action": "‹failure.action›", "error": "‹failure.error›"}));
    names
}

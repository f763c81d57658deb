//! The steps of a handler, one after another: each sees the results of those before it, and callbacks those of their step.

use std::collections::BTreeSet;

use super::{FAILURE, MAX_STEPS};
use crate::diag::Span;
use crate::server::action::{Action, Verb};
use crate::server::criterion::Scope;
use crate::server::event::Kind;
use crate::server::file::File;
use crate::server::file::read::{At, Reader};
use crate::server::glob::Glob;
use crate::server::handler::table::STEP;
use crate::server::handler::{Single, Step};
use crate::spec::suggest;
use crate::spec::yaml::Node;

/// Names that no result may have.
const TAKEN: [&str; 4] = ["event", "handler", "failure", "loop"];

/// The steps of one handler, being read.
pub(super) struct Walk<'r, 'a, 'k> {
    pub(super) reader: &'r mut Reader<'a>,
    /// What handlers may refer to.
    pub(super) file: &'k File,
    /// The repositories that the handler is for.
    pub(super) repos: &'k [Glob],
    /// The kinds of events that it is for.
    pub(super) on: &'k [Kind],
    pub(super) names: BTreeSet<String>,
    pub(super) count: usize,
}

impl Walk<'_, '_, '_> {
    /// The steps of `do`; their names are added to the scope one after another.
    pub(super) fn steps(&mut self, node: &Node, scope: &mut Scope) -> Vec<Step> {
        let Some((_, list)) = self.reader.get(node, "do") else { return Vec::new() };
        let mut found = Vec::new();
        for node in list.as_seq().unwrap_or(std::slice::from_ref(list)) {
            let Some((_, group)) = self.reader.get(node, "parallel") else {
                if let Some(single) = self.single(node, scope, true) {
                    *scope = std::mem::take(scope).with(single.name.clone(), single.action.verb.result());
                    found.push(Step::One(Box::new(single)));
                }
                continue;
            };
            self.only_a_group(node);
            // They do not see one another: nobody knows which is first.
            let nodes = group.as_seq().unwrap_or(std::slice::from_ref(group));
            let singles: Vec<Single> = nodes.iter().filter_map(|node| self.single(node, scope, true)).collect();
            for single in &singles {
                *scope = std::mem::take(scope).with(single.name.clone(), single.action.verb.result());
            }
            found.push(Step::Parallel(singles));
        }
        found
    }

    fn only_a_group(&mut self, node: &Node) {
        for (key, _) in node.as_map().unwrap_or_default() {
            let name = self.reader.raw(key).unwrap_or_default();
            if name != "parallel" {
                let message = format!("`{name}` does not go with `parallel`");
                self.reader.error("server/step", message, key.span, "write it at the steps of the group");
            }
        }
    }

    pub(super) fn callbacks(&mut self, node: &Node, key: &'static str, scope: &Scope) -> Vec<Single> {
        let Some((_, list)) = self.reader.get(node, key) else { return Vec::new() };
        let mut scope = scope.clone();
        let mut found = Vec::new();
        for node in list.as_seq().unwrap_or(std::slice::from_ref(list)) {
            if let Some(single) = self.single(node, &scope, false) {
                scope = scope.with(single.name.clone(), single.action.verb.result());
                found.push(single);
            }
        }
        found
    }

    /// One action; only those of `do` have callbacks, which do not nest.
    fn single(&mut self, node: &Node, scope: &Scope, whole: bool) -> Option<Single> {
        self.count += 1;
        let Some(pairs) = node.as_map() else {
            let message = format!("a step must be a mapping, but is {}", node.kind());
            self.reader.error("server/step", message, node.span, "write `- run: {mode: sample}`");
            return None;
        };
        let mut verbs = Vec::new();
        let before = self.reader.count();
        for (key, value) in pairs {
            let word = self.reader.raw(key).unwrap_or_default();
            if let Ok(verb) = word.parse::<Verb>() {
                verbs.push((verb, key, value));
            } else {
                self.key(&word, key.span, whole);
            }
        }
        let &[(verb, key, value)] = verbs.as_slice() else {
            // A word that is no action was said already.
            if !verbs.is_empty() || self.reader.count() == before {
                self.not_one(node.span, verbs.get(1).map(|(_, key, _)| key.span));
            }
            return None;
        };
        let name = self.name(node, verb, key.span)?;
        let when = self.reader.get(node, "when").and_then(|(_, when)| self.reader.criterion(when, scope));
        let before = if whole { self.callbacks(node, "before", scope) } else { Vec::new() };
        let arguments = self.reader.object(value, verb.arguments(), At { pointer: "", scope: Some(scope) });
        self.arguments(verb, value, key.span, &arguments);
        let goes_on = self.flag(node, "continue");
        let after = scope.clone().with(name.clone(), verb.result()).with("failure", FAILURE);
        let mut callbacks = |key| if whole { self.callbacks(node, key, &after) } else { Vec::new() };
        let (on_success, on_failure, always) = (callbacks("on_success"), callbacks("on_failure"), callbacks("always"));
        let action = Action { verb, arguments };
        Some(Single { name, when, goes_on, action, before, on_success, on_failure, always })
    }

    fn key(&mut self, word: &str, span: Span, whole: bool) {
        let callbacks = ["before", "on_success", "on_failure", "always", "parallel"];
        if STEP.key(word).is_some() {
            if !whole && callbacks.contains(&word) {
                let message = format!("`{word}` does not go here: callbacks and groups do not nest");
                self.reader.error("server/step", message, span, "write it at a step of `do`");
            }
            return;
        }
        let words = Verb::ALL.iter().map(|verb| verb.name()).chain(STEP.keys.iter().map(|key| key.name));
        let words: Vec<&str> = words.collect();
        let message = format!("there is no action `{word}`");
        self.reader.error("server/unknown-key", message, span, suggest::help(word, words));
    }

    fn not_one(&mut self, step: Span, second: Option<Span>) {
        let span = second.unwrap_or(step);
        let message = if second.is_some() { "a step is one action" } else { "a step needs an action" };
        self.reader.error("server/step", message, span, "write `- run: {mode: sample}`, one `-` for each action");
    }

    fn flag(&mut self, node: &Node, key: &str) -> bool {
        let Some((_, value)) = self.reader.get(node, key) else { return false };
        let at = At { pointer: "", scope: None };
        let form = crate::server::file::form::Form::Flag;
        self.reader.value(value, &form, key, at).is_some_and(|flag| flag.plain().as_bool() == Some(true))
    }

    /// The name of a result: the user's, or the action's word, numbered from the second one on.
    fn name(&mut self, node: &Node, verb: Verb, key: Span) -> Option<String> {
        let Some((_, written)) = self.reader.get(node, "name") else {
            let free = |name: &String| !self.names.contains(name);
            let mut candidates = std::iter::once(verb.name().to_owned())
                .chain((2..=MAX_STEPS + 1).map(|number| format!("{}_{number}", verb.name())));
            let name = candidates.find(free)?;
            self.names.insert(name.clone());
            return Some(name);
        };
        let name = self.reader.raw(written).unwrap_or_default();
        let plain = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
            && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
        let refusal = if !plain || crate::server::criterion::is_reserved(&name) {
            Some("is not a name that templates can use")
        } else if TAKEN.contains(&name.as_str()) {
            Some("means something else already")
        } else if !self.names.insert(name.clone()) {
            Some("is the name of another step already")
        } else {
            None
        };
        if let Some(why) = refusal {
            let span = if written.span.len > 0 { written.span } else { key };
            let help = "use letters, digits and `_`, and each name once";
            self.reader.error("server/name", format!("`{name}` {why}"), span, help);
        }
        Some(name)
    }
}

//! Handlers from YAML, in the server's file or one alone: names, criteria and templates are checked against what an
//! event of these kinds, and the steps before, can give. Here is what stands at the handler; its steps are in `walk.rs`, what
//! no table can say of their arguments in `arguments.rs`.

use std::collections::BTreeSet;

use crate::diag::Diagnostic;
use crate::server::action::{Argument, Verb};
use crate::server::criterion::{Criterion, Scope};
use crate::server::event::Kind;
use crate::server::event::schema::{Field, Shape};
use crate::server::file::File;
use crate::server::file::cron::Cron;
use crate::server::file::read::{At, Reader, refuse_twice};
use crate::server::glob::Glob;
use crate::spec::suggest;
use crate::spec::yaml::{self, Node};

use self::walk::Walk;
use super::Handler;
use super::table::HANDLER;

mod arguments;
mod walk;

/// Steps of one handler, callbacks included.
const MAX_STEPS: usize = 100;

const fn field(name: &'static str, shape: Shape, about: &'static str) -> Field {
    Field { name, shape, kinds: &[], about }
}

/// What callbacks see of what failed; null when nothing did.
const FAILURE: Shape = Shape::Object(&[
    field("step", Shape::Text, "the name of the step that failed"),
    field("action", Shape::Text, "its action"),
    field("error", Shape::Text, "why"),
]);

const HANDLER_NAMES: Shape = Shape::Object(&[field("name", Shape::Text, "the handler's name")]);

/// Reads one handler, as the API takes it, against the server's file that it is for.
pub fn parse(name: &str, bytes: &[u8], file: &File) -> (Option<Handler>, Vec<Diagnostic>) {
    let source = match yaml::decode(name, bytes) {
        Ok(source) => source,
        Err(refused) => return (None, vec![*refused]),
    };
    let (tree, mut found) = yaml::parse(&source);
    let Some(tree) = tree else { return (None, found) };
    refuse_twice(&mut found);
    let mut reader = Reader::new(&source);
    let handler = one(&mut reader, &tree, file);
    found.extend(reader.finish());
    (handler.filter(|_| !crate::diag::has_errors(&found)), found)
}

/// A list of handlers.
pub(in crate::server) fn handlers(reader: &mut Reader<'_>, node: &Node, file: &File) -> Vec<Handler> {
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    for node in node.as_seq().unwrap_or(std::slice::from_ref(node)) {
        if let Some((_, name)) = reader.get(node, "name")
            && let Some(text) = reader.raw(name)
            && !names.insert(text.clone())
        {
            let message = format!("there is a handler `{text}` already");
            reader.error("server/duplicate", message, name.span, "give this one another `name`");
        }
        found.extend(one(reader, node, file));
    }
    found
}

fn one(reader: &mut Reader<'_>, node: &Node, file: &File) -> Option<Handler> {
    reader.mapping(node, &HANDLER)?;
    let on = kinds(reader, node);
    let scope = Scope::of(&on).with("handler", HANDLER_NAMES);
    let when = reader.get(node, "when").and_then(|(_, node)| reader.criterion(node, &scope));
    let name = plain(reader, node, "name").and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let cron = plain(reader, node, "cron").and_then(|value| value.as_str()?.parse::<Cron>().ok());
    let zone = plain(reader, node, "zone").and_then(|value| value.as_str().map(str::to_owned));
    schedule(reader, node, &on);
    messages(reader, node, file);
    let repos = plain(reader, node, "repos");
    let repos = repos.and_then(|value| serde_json::from_value::<Vec<Glob>>(value).ok()).unwrap_or_default();
    named(reader, node, "repos", file);
    artifacts(reader, node, &on, &repos, file);
    if let Some((_, list)) = reader.get(node, "do").filter(|(_, list)| list.as_seq().is_some_and(<[Node]>::is_empty)) {
        let help = "write `do: [{run: {}}]`, or keep it for later by `enabled: false`";
        reader.error("server/value", "the handler does nothing: `do` is empty", list.span, help);
    }
    let enabled = plain(reader, node, "enabled").and_then(|value| value.as_bool()).unwrap_or(true);
    let mut walk = Walk { reader, file, repos: &repos, on: &on, names: BTreeSet::new(), count: 0 };
    let mut scope = scope;
    let steps = walk.steps(node, &mut scope);
    let scope = scope.with("failure", FAILURE);
    let mut callbacks = |key| walk.callbacks(node, key, &scope);
    let (on_success, on_failure, always) = (callbacks("on_success"), callbacks("on_failure"), callbacks("always"));
    if walk.count > MAX_STEPS {
        let message = format!("a handler has at most {MAX_STEPS} steps, this one has {}", walk.count);
        reader.error("server/value", message, node.span, "split it into several handlers");
    }
    let handler = Handler { name, on, cron, zone, repos, when, enabled, steps, on_success, on_failure, always };
    circle(reader, node, &handler);
    Some(handler)
}

/// Runs that a handler begins end, too: one that hears of every end hears of theirs. It is stopped in time, which is seldom
/// what was meant.
fn circle(reader: &mut Reader<'_>, node: &Node, handler: &Handler) {
    let begins = handler.verbs().iter().any(|verb| matches!(verb, Verb::Run | Verb::Trigger));
    let chooses = |when: &Criterion| ["event.run.", "event.repo"].iter().any(|name| when.text().contains(name));
    if !begins || !handler.on.contains(&Kind::RunFinished) || handler.when.as_ref().is_some_and(chooses) {
        return;
    }
    let span = reader.get(node, "on").map_or(node.span, |(_, on)| on.span);
    let message =
        "the handler begins runs, and hears of their ends as well: it is done once more for each, then called off";
    let help = "say for which ends it is: `when: event.run.mode == \"sample\"`";
    reader.warning("server/circle", message, span, help);
}

/// Repositories that are named and not there.
fn named(reader: &mut Reader<'_>, node: &Node, key: &str, file: &File) {
    let Some((_, value)) = reader.get(node, key) else { return };
    for item in value.as_seq().unwrap_or(std::slice::from_ref(value)) {
        let name = reader.raw(item).unwrap_or_default();
        reader.repository(file, &name, item.span);
    }
}

/// Refs are read without their commits: without webhooks nobody tells what a message says.
fn messages(reader: &mut Reader<'_>, node: &Node, file: &File) {
    if let (Some(span), true) = (reader.find(node, "event.message"), file.webhooks.is_empty()) {
        let message = "`event.message` is always null here: only webhooks tell of it";
        reader.warning("server/message-of-poll", message, span, "add `webhooks`, or do without it");
    }
}

fn plain(reader: &mut Reader<'_>, node: &Node, key: &str) -> Option<serde_json::Value> {
    let known = HANDLER.key(key)?;
    let (_, value) = reader.get(node, key)?;
    reader.value(value, &known.form, key, At { pointer: "", scope: None }).map(Argument::plain)
}

/// `on:` is a kind or a list of them. The families `branch` and `tag` stand for their kinds.
fn kinds(reader: &mut Reader<'_>, node: &Node) -> Vec<Kind> {
    let Some((_, on)) = reader.get(node, "on") else { return Vec::new() };
    let mut found = Vec::new();
    for item in on.as_seq().unwrap_or(std::slice::from_ref(on)) {
        let word = reader.raw(item).unwrap_or_default();
        match word.parse::<Kind>() {
            Ok(kind) if found.contains(&kind) => {
                reader.warning("server/duplicate", format!("`{word}` stands there already"), item.span, "remove it");
            }
            Ok(kind) => found.push(kind),
            Err(()) => {
                let names = Kind::ALL.iter().map(|kind| kind.name());
                let message = format!("there is no event `{word}`");
                reader.error("server/event", message, item.span, suggest::help(&word, names));
            }
        }
    }
    found
}

/// Artifacts come by no webhook: a handler that waits where nobody can be asked waits for ever.
fn artifacts(reader: &mut Reader<'_>, node: &Node, on: &[Kind], repos: &[Glob], file: &File) {
    let fits = |name: &str| repos.is_empty() || repos.iter().any(|glob| glob.matches(name));
    let mut own = file.repos.iter().filter(|repo| fits(&repo.name)).peekable();
    if !on.contains(&Kind::Artifact) || own.peek().is_none() || own.any(|repo| file.lists_artifacts(&repo.name)) {
        return;
    }
    let span = reader.get(node, "on").map_or(node.span, |(_, on)| on.span);
    let message = "no artifact is ever told of: only GitHub lists them, to whoever has a token";
    reader.warning("server/not-there", message, span, "give a repository on GitHub a `credential` with a token");
}

fn schedule(reader: &mut Reader<'_>, node: &Node, on: &[Kind]) {
    let scheduled = on.contains(&Kind::Schedule);
    match reader.get(node, "cron").map(|(key, _)| key.span) {
        None if scheduled => {
            let span = reader.get(node, "on").map_or(node.span, |(_, on)| on.span);
            reader.error("server/schedule", "a schedule needs `cron`", span, "write `cron: \"30 2 * * *\"`");
        }
        Some(span) if !scheduled => {
            reader.error(
                "server/schedule",
                "`cron` is for schedules",
                span,
                "write `on: schedule`, or `on: [push, schedule]`",
            );
        }
        _ => {}
    }
    if let (Some((key, _)), None) = (reader.get(node, "zone"), reader.get(node, "cron")) {
        reader.error("server/schedule", "`zone` goes with `cron`", key.span, "remove it");
    }
}

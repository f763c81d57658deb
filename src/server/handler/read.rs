//! Handlers from YAML, in the server's file or one alone: names, criteria and templates are checked against what an
//! event of these kinds, and the steps before, can give.

use std::collections::BTreeSet;

use crate::diag::{Diagnostic, Span};
use crate::server::action::dispatch::is_workflow;
use crate::server::action::{Action, Argument, Verb};
use crate::server::criterion::{Criterion, Scope};
use crate::server::event::Kind;
use crate::server::event::schema::{Field, Shape};
use crate::server::file::File;
use crate::server::file::cron::Cron;
use crate::server::file::read::{At, Reader, refuse_twice};
use crate::server::file::site::{Lack, Need};
use crate::server::glob::Glob;
use crate::server::template::is_template;
use crate::spec::suggest;
use crate::spec::yaml::{self, Node};

use super::table::{HANDLER, STEP};
use super::{Handler, Single, Step};

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

/// Names that no result may have.
pub(super) const TAKEN: [&str; 4] = ["event", "handler", "failure", "loop"];

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

struct Walk<'r, 'a, 'k> {
    reader: &'r mut Reader<'a>,
    /// What handlers may refer to.
    file: &'k File,
    /// The repositories that the handler is for.
    repos: &'k [Glob],
    /// The kinds of events that it is for.
    on: &'k [Kind],
    names: BTreeSet<String>,
    count: usize,
}

impl Walk<'_, '_, '_> {
    /// The steps of `do`; their names are added to the scope one after another.
    fn steps(&mut self, node: &Node, scope: &mut Scope) -> Vec<Step> {
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

    fn callbacks(&mut self, node: &Node, key: &'static str, scope: &Scope) -> Vec<Single> {
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

    /// What no table can say: arguments that need or exclude one another, and names of other sections.
    fn arguments(&mut self, verb: Verb, node: &Node, key: Span, arguments: &[(String, Argument)]) {
        let has = |name: &str| arguments.iter().any(|(key, _)| key == name);
        let given = |name: &str| node.get(name).is_some();
        let (problem, help) = match verb {
            Verb::Shell if given("script") == given("scripts") => (
                "`shell` needs a `script`, or `scripts` by repository and branch",
                "write `script: |` and the text below it",
            ),
            Verb::Label if !given("add") && !given("remove") => {
                ("`label` needs labels to `add` or to `remove`", "write `add: [tested]`")
            }
            Verb::Command if !self.on.contains(&Kind::Comment) => {
                ("`command` does what a comment asks for, and this handler is for no comments", "write `on: comment`")
            }
            Verb::Dispatch if given("event_type") == given("workflow") => {
                ("`dispatch` needs an `event_type` or a `workflow`", "write `event_type: trigger-action`")
            }
            Verb::Http if given("json") && given("body") => {
                ("`http` has `json` or `body`, not both", "remove one of the two")
            }
            Verb::Notify if !given("to") && !given("mail") => {
                ("`notify` tells nobody", "write `to: [NAME]` or `mail: ADDRESS`")
            }
            _ => ("", ""),
        };
        if !problem.is_empty() {
            self.reader.error("server/value", problem, key, help);
        } else if verb == Verb::Http {
            self.request(node);
        } else if verb == Verb::Trigger && self.reader.get(node, "repos").is_some_and(|(_, v)| !self.is_word(v)) {
            named(self.reader, node, "repos", self.file);
        }
        let mails = verb == Verb::Mail || (verb == Verb::Notify && has("mail"));
        if mails && self.file.mail.is_none() {
            let help = "add `mail: {host: …, from: …}` at the top of the server's file";
            self.reader.error("server/reference", "mails cannot be sent: there is no mail server", key, help);
        }
        self.storage(verb, key, given("storage"));
        self.workflow(verb, node);
        self.references(verb, node);
        self.forges(verb, node, key);
    }

    /// Runs without a place to publish to fail, but for those of a commit that names one itself. Said once, when nothing else is
    /// wrong.
    fn storage(&mut self, verb: Verb, key: Span, given: bool) {
        if given || self.reader.count() > 0 || !matches!(verb, Verb::Run | Verb::Command) {
            return;
        }
        let fits = |name: &str| self.repos.is_empty() || self.repos.iter().any(|glob| glob.matches(name));
        let lacks = self.file.repos.iter().find(|repo| repo.storage.is_none() && fits(&repo.name));
        let Some(name) = lacks.map(|repo| repo.name.clone()) else { return };
        let message = format!("`{name}` has no `storage`: runs of a commit fail whose soopervisor.yaml names none");
        let help = format!("write `storage: local:/srv/results` at `{name}`, or at this step");
        self.reader.warning("server/storage", message, key, help);
    }

    /// Whether it is the word for all dependents, which is no name.
    fn is_word(&self, node: &Node) -> bool {
        self.reader.raw(node).as_deref() == Some("dependents")
    }

    /// Requests that nobody could send. What is filled in later is not known now.
    fn request(&mut self, node: &Node) {
        if let Some((_, value)) = self.reader.get(node, "url")
            && let Some(text) = self.reader.raw(value).filter(|text| !is_template(text))
            && !url::Url::parse(&text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        {
            let help = "write it as `https://host/path`";
            self.reader.error("server/value", "`url` is no address of HTTP", value.span, help);
        }
        let Some((_, headers)) = self.reader.get(node, "headers") else { return };
        for (key, value) in headers.as_map().unwrap_or_default() {
            let name = self.reader.raw(key).unwrap_or_default();
            if ::http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                let help = "use letters, digits and `-`";
                self.reader.error("server/value", "no header can be called so", key.span, help);
            }
            let text = self.reader.raw(value).filter(|text| !is_template(text));
            if text.is_some_and(|text| ::http::HeaderValue::from_str(&text).is_err()) {
                let message = format!("`{name}` holds what no header can");
                self.reader.error("server/value", message, value.span, "write it in one line");
            }
        }
    }

    /// What no forge can have as a workflow, unless it is filled in later.
    fn workflow(&mut self, verb: Verb, node: &Node) {
        let Some((_, value)) = self.reader.get(node, "workflow").filter(|_| verb == Verb::Dispatch) else { return };
        let Some(name) = self.reader.raw(value).filter(|name| !is_template(name) && !is_workflow(name.trim())) else {
            return;
        };
        let message = format!("`{name}` is no workflow: neither a file's name nor a number");
        let help = "write the file's name without its folder: `workflow: build.yml`";
        self.reader.error("server/value", message, value.span, help);
    }

    /// Whether the forge can be told by this action, wherever the handler is for.
    fn forges(&mut self, verb: Verb, node: &Node, key: Span) {
        let speaks = [Verb::Comment, Verb::Status, Verb::Check, Verb::Label, Verb::Dispatch, Verb::Command];
        if !speaks.contains(&verb) {
            return;
        }
        let need = Need { verb, by_event: node.get("event_type").is_some() };
        let credential = self.reader.get(node, "credential");
        if let Some((_, value)) = credential {
            let name = self.reader.raw(value).unwrap_or_default();
            match self.file.credentials.get(&name) {
                Some(login) if login.token.is_some() || login.is_app() => {}
                Some(_) => {
                    let lack = Lack::Token(name);
                    self.reader.error("server/no-token", lack.to_string(), value.span, lack.help());
                    return;
                }
                // What is wrong with a credential is said there.
                None if self.reader.knows(&format!("/credentials/{name}")) => return,
                None => {
                    let message = format!("there is no credential `{name}`");
                    let known = self.file.credentials.keys().map(String::as_str);
                    self.reader.error("server/reference", message, value.span, suggest::help(&name, known));
                    return;
                }
            }
        }
        let credential = credential.and_then(|(_, value)| self.reader.raw(value));
        // A name that is filled in later is not known now.
        let target = self.reader.get(node, "repo").and_then(|(_, repo)| self.reader.raw(repo));
        let target = target.filter(|target| verb == Verb::Dispatch && !is_template(target));
        let own = |name: &str| self.file.repo(name).is_some_and(|repo| repo.credential.is_some());
        let lacks = match (target, credential) {
            (Some(target), Some(name)) => Vec::from_iter(self.file.lack_elsewhere(&target, Some(&name), need)),
            (None, Some(_)) => Vec::new(),
            (Some(target), None) if own(&target) => Vec::from_iter(self.file.lack_elsewhere(&target, None, need)),
            _ => self.file.lacks(self.repos, need),
        };
        for lack in lacks {
            let message = format!("`{}` cannot be done: {lack}", verb.name());
            let code = if matches!(lack, Lack::Absent { .. }) { "server/not-there" } else { "server/no-token" };
            self.reader.error(code, message, key, lack.help());
        }
    }

    fn references(&mut self, verb: Verb, node: &Node) {
        let secrets: Vec<&str> = self.file.secrets.keys().map(String::as_str).collect();
        let targets: Vec<&str> = self.file.notify.keys().map(String::as_str).collect();
        let (keys, what, known): (&[&str], &str, Vec<&str>) = match verb {
            Verb::Shell => (&["secrets"], "secret", secrets),
            Verb::Http => (&["bearer"], "secret", secrets),
            Verb::Chat => (&["secret"], "secret", secrets),
            Verb::Notify => (&["to"], "target", targets),
            _ => return,
        };
        for key in keys {
            let Some((_, value)) = self.reader.get(node, key) else { continue };
            for item in value.as_seq().unwrap_or(std::slice::from_ref(value)) {
                let name = self.reader.raw(item).unwrap_or_default();
                if !known.contains(&name.as_str()) {
                    let message = format!("there is no {what} `{name}`");
                    let help = if known.is_empty() {
                        let section = if what == "target" { "notify" } else { "secrets" };
                        format!("add it to `{section}` at the top of the server's file")
                    } else {
                        suggest::help(&name, known.iter().copied())
                    };
                    self.reader.error("server/reference", message, item.span, help);
                }
            }
        }
        self.mail_targets(verb, node);
    }

    fn mail_targets(&mut self, verb: Verb, node: &Node) {
        if verb != Verb::Notify || self.file.mail.is_some() {
            return;
        }
        let Some((_, value)) = self.reader.get(node, "to") else { return };
        for item in value.as_seq().unwrap_or(std::slice::from_ref(value)) {
            let name = self.reader.raw(item).unwrap_or_default();
            let mails = self.file.notify.get(&name).is_some_and(|target| !target.mail.is_empty());
            if mails {
                let help = "add `mail: {host: …, from: …}` at the top of the server's file";
                let message = format!("`{name}` wants mails, and there is no mail server");
                self.reader.error("server/reference", message, item.span, help);
            }
        }
    }
}

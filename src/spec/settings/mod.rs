//! soopervisor.yaml: what a project says about its runs. The keys of soopervisor 0.2 and 0.3 are read too, and the targets
//! of later ones passed over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Spanned;
use super::fields::{Fields, as_text};
use super::yaml::{Node, Value};
use crate::diag::{Diagnostic, SourceText};

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// The variable of this name in the environment of `soopervisor`.
    Env(String),
    /// A file on the machine that runs `soopervisor`.
    File(String),
}

/// A secret, by reference; values never stand in settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretReference {
    /// The variable the pipeline sees.
    pub name: Spanned<String>,
    /// Where the value is.
    pub source: SecretSource,
}

/// What a run may use at most.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// `memory`, in bytes.
    pub memory: Option<u64>,
    /// `cpus`.
    pub cpus: Option<f64>,
    /// `pids`.
    pub pids: Option<u32>,
    /// `timeout`.
    pub timeout: Option<Duration>,
    /// `idle-timeout`.
    pub idle_timeout: Option<Duration>,
    /// `disk`, in bytes.
    pub disk: Option<u64>,
    /// `log-limit`, in bytes.
    pub log_limit: Option<u64>,
}

/// A soopervisor.yaml; everything is optional.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Settings {
    /// First folder in the storage.
    pub project: Option<Spanned<String>>,
    /// Container image.
    pub image: Option<Spanned<String>>,
    /// Path of environment.yml.
    pub environment: Option<Spanned<String>>,
    /// Path of pipeline.yaml.
    pub pipeline: Option<Spanned<String>>,
    /// Arguments for `ploomber build`.
    pub args: Vec<Spanned<String>>,
    /// Secrets by reference.
    pub secrets: Vec<SecretReference>,
    /// More outputs, as globs.
    pub outputs: Vec<Spanned<String>>,
    /// Outputs that are left out, as globs.
    pub exclude: Vec<Spanned<String>>,
    /// What a run may use.
    pub limits: Limits,
    /// `bridge` or `none`.
    pub network: Option<Spanned<String>>,
    /// Plain variables.
    pub env: BTreeMap<String, String>,
    /// `local:DIR`.
    pub storage: Option<Spanned<String>>,
    /// `fail`, `keep` or `new-run`.
    pub on_conflict: Option<Spanned<String>>,
    /// Keep stdout and stderr apart.
    pub split_streams: Option<bool>,
    /// Take tasks over from earlier commits.
    pub reuse: Option<bool>,
}

const KEYS: [&str; 21] = [
    "project",
    "image",
    "environment",
    "pipeline",
    "args",
    "secrets",
    "outputs",
    "exclude",
    "limits",
    "network",
    "env",
    "storage",
    "on-conflict",
    "split-streams",
    "reuse",
    "executor",
    "cache_env",
    "environment_prefix",
    "allow_incremental",
    "lazy_import",
    "paths",
];

/// Reads a soopervisor.yaml; an empty file is the same as none.
pub fn read(document: &Node, source: &Arc<SourceText>) -> (Settings, Vec<Diagnostic>) {
    let source = &without_values(document, source);
    let mut fields = Fields::new(source, "settings/value");
    let mut settings = Settings::default();
    if fields.mapping_besides(document, "soopervisor.yaml", &KEYS, is_target) {
        settings = Settings {
            project: fields.text(document, "project"),
            image: fields.text(document, "image"),
            environment: fields.text(document, "environment"),
            pipeline: fields.text(document, "pipeline"),
            args: arguments(&mut fields, document),
            secrets: secrets(&mut fields, document),
            outputs: fields.texts(document, "outputs"),
            exclude: fields.texts(document, "exclude"),
            limits: limits(&mut fields, document),
            network: choice(&mut fields, document, "network", &["bridge", "none"]),
            env: variables(&mut fields, document),
            storage: None,
            on_conflict: choice(&mut fields, document, "on-conflict", &["fail", "keep", "new-run"]),
            split_streams: fields.flag(document, "split-streams"),
            reuse: fields.flag(document, "reuse"),
        };
        if document.get("storage").is_some_and(|node| node.as_map().is_some()) {
            legacy_storage(&mut fields, document, &mut settings);
        } else {
            settings.storage = fields.text(document, "storage");
        }
        legacy(&mut fields, document, &mut settings);
        targets(&mut fields, document);
    }
    (settings, fields.problems)
}

/// The text with stars in place of what may be a secret's value: a finding shows the lines around it.
fn without_values(document: &Node, source: &Arc<SourceText>) -> Arc<SourceText> {
    let items = document.get("secrets").and_then(Node::as_seq).unwrap_or_default();
    let mut spans = Vec::new();
    for item in items {
        match item.as_map() {
            None => spans.extend(item.as_str().filter(|text| !variable_name(text)).map(|_| item.span)),
            Some(pairs) => spans.extend(pairs.iter().filter_map(|(key, value)| {
                let reference = match key.as_str() {
                    Some("file") => true,
                    Some("name" | "env") => value.as_str().is_some_and(variable_name),
                    _ => false,
                };
                (!reference).then_some(value.span)
            })),
        }
    }
    if spans.is_empty() {
        return Arc::clone(source);
    }
    let mut text = source.text.clone().into_bytes();
    for byte in spans.iter().flat_map(|span| span.start..span.start + span.len) {
        if let Some(byte) = text.get_mut(byte).filter(|byte| **byte != b'\n') {
            *byte = b'*';
        }
    }
    // Whole values were replaced, so no character was cut.
    let text = String::from_utf8_lossy(&text).into_owned();
    Arc::new(SourceText { name: source.name.clone(), text })
}

fn choice(fields: &mut Fields<'_>, node: &Node, key: &str, known: &[&'static str]) -> Option<Spanned<String>> {
    let found = fields.text(node, key)?;
    if known.contains(&found.as_str()) {
        return Some(found);
    }
    let help = super::suggest::help(found.as_str(), known.iter().copied());
    fields.error(format!("`{key}` cannot be `{}`", found.value), found.span, help);
    None
}

/// A text is split at blanks, as the old `args` was; a list is taken as it is.
fn arguments(fields: &mut Fields<'_>, node: &Node) -> Vec<Spanned<String>> {
    match node.get("args").map(|value| (&value.value, value.span)) {
        Some((Value::Str(text), span)) => {
            text.split_whitespace().map(|word| Spanned::new(word.to_owned(), span)).collect()
        }
        _ => fields.texts(node, "args"),
    }
}

fn limits(fields: &mut Fields<'_>, node: &Node) -> Limits {
    let Some(node) = node.get("limits") else { return Limits::default() };
    let known = ["memory", "cpus", "pids", "timeout", "idle-timeout", "disk", "log-limit"];
    if !fields.mapping(node, "`limits`", &known) {
        return Limits::default();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`number` is positive, and `as` saturates"
    )]
    let pids = fields.number(node, "pids").map(|number| number as u32);
    Limits {
        memory: fields.bytes(node, "memory"),
        cpus: fields.number(node, "cpus"),
        pids,
        timeout: fields.duration(node, "timeout"),
        idle_timeout: fields.duration(node, "idle-timeout"),
        disk: fields.bytes(node, "disk"),
        log_limit: fields.bytes(node, "log-limit"),
    }
}

pub(super) fn variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
        && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

fn variables(fields: &mut Fields<'_>, node: &Node) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let Some(node) = node.get("env").filter(|node| !node.is_null()) else { return variables };
    let Some(pairs) = node.as_map() else {
        fields.error(
            format!("`env` must be a mapping, but is {}", node.kind()),
            node.span,
            "write `NAME: value` lines",
        );
        return variables;
    };
    for (key, value) in pairs {
        let name = key.scalar_text().unwrap_or_default();
        if !variable_name(&name) {
            fields.error(
                format!("`{name}` is not a variable name"),
                key.span,
                "use letters, digits and `_`, not starting with a digit",
            );
            continue;
        }
        match (&value.value, value.scalar_text()) {
            // Text is what was meant, also where YAML sees a number; booleans and nothing are ambiguous.
            (Value::Bool(_) | Value::Null, _) | (_, None) => {
                fields.error(format!("`{name}` must be a text, but is {}", value.kind()), value.span, as_text(value));
            }
            (_, Some(text)) => drop(variables.insert(name, text)),
        }
    }
    variables
}

pub(super) fn secrets(fields: &mut Fields<'_>, node: &Node) -> Vec<SecretReference> {
    let Some(node) = node.get("secrets").filter(|node| !node.is_null()) else { return Vec::new() };
    let Some(items) = node.as_seq() else {
        fields.error(format!("`secrets` must be a list, but is {}", node.kind()), node.span, "write `secrets: [NAME]`");
        return Vec::new();
    };
    items.iter().filter_map(|item| secret(fields, item)).collect()
}

fn secret(fields: &mut Fields<'_>, item: &Node) -> Option<SecretReference> {
    let reference = if let Some(text) = item.as_str() {
        SecretReference { name: Spanned::new(text.to_owned(), item.span), source: SecretSource::Env(text.to_owned()) }
    } else {
        if !fields.mapping(item, "a secret", &["name", "env", "file"]) {
            return None;
        }
        let (name, env, file) = (fields.text(item, "name"), fields.text(item, "env"), fields.text(item, "file"));
        if item.get("name").is_none_or(Node::is_null) {
            fields.error("a secret needs a `name`", item.span, "write `- name: TOKEN` and `env:` or `file:` below it");
        }
        if let (Some(_), Some(file)) = (&env, &file) {
            let message = "a secret comes from `env` or from `file`, not from both";
            fields.error(message, file.span, "remove one of the two");
        }
        let name = name?;
        let source = match (env, file) {
            (_, Some(file)) => SecretSource::File(file.value),
            (Some(env), None) => SecretSource::Env(env.value),
            (None, None) => SecretSource::Env(name.value.clone()),
        };
        SecretReference { name, source }
    };
    if variable_name(reference.name.as_str()) {
        return Some(reference);
    }
    let help = "name the variable here, never the value itself";
    fields.error("a secret's name must be a variable name", reference.name.span, help);
    None
}

/// From 0.4 on a file says, under names of its own choice, where a pipeline is exported to.
fn is_target(value: &Node) -> bool {
    value.as_map().is_some() && value.get("backend").is_some_and(|backend| backend.as_str().is_some())
}

fn targets(fields: &mut Fields<'_>, document: &Node) {
    for (key, value) in document.as_map().unwrap_or_default() {
        let name = key.scalar_text().unwrap_or_default();
        if is_target(value) && !KEYS.contains(&name.as_str()) {
            let message = format!("`{name}` is a target of `soopervisor export`, which does not count here");
            let help = "nothing in it is read: remove it once nobody exports the pipeline with it any more";
            fields.warning("settings/legacy", message, key.span, help);
        }
    }
}

/// The keys of 0.2 and 0.3: used where they have a meaning, and always named with what replaces them.
fn legacy(fields: &mut Fields<'_>, document: &Node, settings: &mut Settings) {
    const GONE: [(&str, &str); 5] = [
        ("executor", "every run is in a container; remove the key"),
        ("cache_env", "environments are always kept by their content; remove the key"),
        ("environment_prefix", "environments live in the cache of `soopervisor`; remove the key"),
        ("allow_incremental", "only what changed is executed, and `reuse: false` turns that off; remove the key"),
        ("lazy_import", "nothing of the pipeline is imported to check it; remove the key"),
    ];
    for (key, help) in GONE {
        if let Some((node, _)) = document.entry(key) {
            fields.warning("settings/legacy", format!("`{key}` has no meaning any more"), node.span, help);
        }
    }
    let Some((key, paths)) = document.entry("paths") else { return };
    fields.warning(
        "settings/legacy",
        "`paths` is the form of soopervisor 0.3",
        key.span,
        "write `environment: PATH` and `outputs: [GLOB]` at the top",
    );
    if !fields.mapping(paths, "`paths`", &["project", "products", "environment"]) {
        return;
    }
    if let Some(project) = fields.text(paths, "project").filter(|project| project.as_str() != ".") {
        fields.error(
            "`paths.project` cannot be followed any more",
            project.span,
            "name the folder on the command line",
        );
    }
    if settings.environment.is_none() {
        settings.environment = fields.text(paths, "environment");
    }
    if let Some(products) = fields.text(paths, "products") {
        let glob = format!("{}/**", products.as_str().trim_end_matches('/'));
        settings.outputs.push(Spanned::new(glob, products.span));
    }
}

fn legacy_storage(fields: &mut Fields<'_>, document: &Node, settings: &mut Settings) {
    let Some((key, storage)) = document.entry("storage") else { return };
    if !fields.mapping(storage, "`storage`", &["provider", "path", "credentials"]) {
        return;
    }
    let form = "this form of `storage` is the one of soopervisor 0.3";
    let (provider, path) = (fields.text(storage, "provider"), fields.text(storage, "path"));
    let Some(provider) = provider else {
        fields.warning("settings/legacy", form, key.span, "remove it: it names no storage");
        return;
    };
    if !["local", "box"].contains(&provider.as_str()) {
        let message = format!("there is no storage `{}`", provider.value);
        fields.error(message, provider.span, "write `storage: local:DIR` or `storage: box:FOLDER`");
        return;
    }
    if let Some((credentials, _)) = storage.entry("credentials").filter(|(_, value)| !value.is_null()) {
        let message = "`credentials` are not read any more";
        fields.warning("settings/legacy", message, credentials.span, "log in once: soopervisor auth login box");
    }
    // Revisions have their own folders now, so the old placeholders at the end have no meaning.
    let text = path.as_ref().map_or("runs", |path| path.as_str());
    let folder = text.split("{{").next().unwrap_or_default().trim_end_matches('/');
    let place = match (provider.as_str(), folder) {
        ("box", "") => "box".to_owned(),
        (_, "") => "local:.".to_owned(),
        (kind, folder) => format!("{kind}:{folder}"),
    };
    fields.warning("settings/legacy", form, key.span, format!("it is taken for `storage: {place}`: write that"));
    settings.storage = Some(Spanned::new(place, path.as_ref().map_or(provider.span, |path| path.span)));
}

#[cfg(test)]
mod tests;

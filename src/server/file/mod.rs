//! The server's file: repositories, handlers, whom to tell, and how the server itself runs; secrets by reference only.
//!
//! Read whole or not at all: [`parse`] says everything that is wrong, each with its place, and gives a value only when
//! nothing is. Reading again makes a new value; who holds the old one keeps it until the new one is there. Nothing is
//! opened or resolved here.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::diag::{Diagnostic, SourceText};
use crate::server::action::Argument;
use crate::server::handler::Handler;
use crate::server::handler::read::handlers;
use crate::spec::yaml::{self, Node};

pub mod cron;
mod cross;
pub mod form;
mod inside;
pub(in crate::server) mod read;
pub(in crate::server) mod scalar;
pub mod schema;
mod section;
pub mod site;
pub mod table;
#[cfg(test)]
mod tests;

pub use section::{
    Commits, Credential, Dependents, FirstSight, HttpRules, Keep, MailServer, MailTls, Poll, Reference, Repo, Server,
    Target, Webhook, folders_meet, of_forks,
};

use read::{At, Reader};

/// A server's file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct File {
    /// How the server itself runs.
    pub server: Server,
    /// Secrets by name, for actions.
    pub secrets: BTreeMap<String, Reference>,
    /// How repositories and forges are reached, by name.
    pub credentials: BTreeMap<String, Credential>,
    /// Who may deliver webhooks, by the forge's kind.
    pub webhooks: BTreeMap<String, Webhook>,
    /// The repositories that are watched, in the order written.
    pub repos: Vec<Repo>,
    /// Whom to tell, by name.
    pub notify: BTreeMap<String, Target>,
    /// How mails are sent.
    pub mail: Option<MailServer>,
    /// What HTTP actions may reach.
    pub http: HttpRules,
    /// What is done when something happens, in the order written.
    pub handlers: Vec<Handler>,
}

impl File {
    /// The repository of this name.
    pub fn repo(&self, name: &str) -> Option<&Repo> {
        self.repos.iter().find(|repo| repo.name == name)
    }

    /// The repositories that are rebuilt when `name` changed.
    pub fn dependents(&self, name: &str) -> Vec<&Repo> {
        let Some(repo) = self.repo(name) else { return Vec::new() };
        self.repos.iter().filter(|other| other.name != name && repo.dependents.takes(&other.name)).collect()
    }
}

/// Reads the bytes of a file that is shown as `name`. The file is missing exactly when one of the findings is an error.
pub fn parse(name: &str, bytes: &[u8]) -> (Option<File>, Vec<Diagnostic>) {
    let source = match yaml::decode(name, bytes) {
        Ok(source) => source,
        Err(refused) => return (None, vec![*refused]),
    };
    let (tree, mut found) = yaml::parse(&source);
    let Some(tree) = tree else { return (None, found) };
    read::refuse_twice(&mut found);
    if tree.is_null() {
        // An editor empties a file before it writes: everything would be gone for a moment.
        let help = "write `repos:` and `handlers:`; a server with nothing to do has `repos: []`";
        found.push(Diagnostic::error("server/empty", "the file is empty").at(&source, tree.span).help(help));
        return (None, found);
    }
    let (file, more) = read(&tree, &source);
    found.extend(more);
    (file.filter(|_| !crate::diag::has_errors(&found)), found)
}

fn read(tree: &Node, source: &Arc<SourceText>) -> (Option<File>, Vec<Diagnostic>) {
    let mut reader = Reader::new(source);
    let sections = sections(&mut reader, tree);
    let file = typed(sections).map_err(|why| {
        reader.error("server/value", format!("a section could not be read: {why}"), tree.span, "say so to its makers");
    });
    let Ok(mut file) = file else { return (None, reader.finish()) };
    for repo in file.repos.iter_mut().filter(|repo| repo.name.is_empty()) {
        repo.name = section::name_of(&repo.url);
    }
    cross::check(&mut reader, &file);
    if let Some((_, node)) = reader.get(tree, "handlers") {
        file.handlers = handlers(&mut reader, node, &file);
    }
    (Some(file), reader.finish())
}

/// Everything but the handlers, as JSON; sections with errors are left out, so that what they made of it can be read.
fn sections(reader: &mut Reader<'_>, tree: &Node) -> Map<String, Value> {
    let Some(pairs) = reader.mapping(tree, &table::FILE) else { return Map::new() };
    let mut found = Map::new();
    for (key, node) in pairs {
        let name = reader.raw(key).unwrap_or_default();
        let Some(known) = table::FILE.key(&name).filter(|_| name != "handlers" && !node.is_null()) else { continue };
        let pointer = format!("/{name}");
        let at = At { pointer: &pointer, scope: None };
        match (&known.form, name.as_str()) {
            // One wrong repository does not hide what is wrong with the others, or with what names them.
            (form::Form::List(item), _) => {
                let items = node.as_seq().unwrap_or(std::slice::from_ref(node));
                let read = items.iter().enumerate().filter_map(|(place, node)| {
                    let pointer = format!("/{name}/{place}");
                    sound(reader, node, item, &name, &pointer)
                });
                let read: Vec<Value> = read.collect();
                found.insert(name, Value::Array(read));
            }
            (form::Form::Map(item), _) if node.as_map().is_some() => {
                let mut map = Map::new();
                for (key, node) in node.as_map().unwrap_or_default() {
                    let key = reader.raw(key).unwrap_or_default();
                    let pointer = format!("/{name}/{key}");
                    if let Some(value) = sound(reader, node, item, &key, &pointer) {
                        map.insert(key, value);
                    }
                }
                found.insert(name, Value::Object(map));
            }
            _ => {
                let before = reader.count();
                let value = reader.value(node, &known.form, &name, at);
                if let Some(value) = value.filter(|_| reader.count() == before) {
                    found.insert(name, value.plain());
                }
            }
        }
    }
    found
}

/// A value in which nothing was wrong.
fn sound(reader: &mut Reader<'_>, node: &Node, form: &form::Form, name: &str, pointer: &str) -> Option<Value> {
    let before = reader.count();
    reader.note(pointer, node.span);
    let value = reader.value(node, form, name, At { pointer, scope: None });
    let value = value.map(Argument::plain).filter(|_| reader.count() == before)?;
    // Where it stands is asked for by its place in the file, which is kept with it.
    Some(match value {
        Value::Object(mut map) if pointer.starts_with("/repos/") || pointer.starts_with("/credentials/") => {
            map.insert("pointer".to_owned(), Value::String(pointer.to_owned()));
            Value::Object(map)
        }
        other => other,
    })
}

fn typed(mut sections: Map<String, Value>) -> Result<File, serde_json::Error> {
    fn section<T: serde::de::DeserializeOwned + Default>(
        sections: &mut Map<String, Value>,
        name: &str,
    ) -> Result<T, serde_json::Error> {
        sections.remove(name).map_or_else(|| Ok(T::default()), serde_json::from_value)
    }
    let file = &mut sections;
    Ok(File {
        server: section(file, "server")?,
        secrets: section(file, "secrets")?,
        credentials: section(file, "credentials")?,
        webhooks: section(file, "webhooks")?,
        repos: section(file, "repos")?,
        notify: section(file, "notify")?,
        mail: section(file, "mail")?,
        http: section(file, "http")?,
        handlers: Vec::new(),
    })
}

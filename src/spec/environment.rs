//! environment.yml as written: name, channels, dependencies and variables. Nothing is resolved here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fields::as_text;
use super::yaml::{self, Node, Value};
use super::{Spanned, suggest};
use crate::diag::{Diagnostic, SourceText, Span};

/// One entry of `dependencies:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dependency {
    /// A conda match spec, as written.
    Conda(Spanned<String>),
    /// The lines of one `pip:` list; a file may hold several.
    Pip(Vec<Spanned<String>>),
}

/// What an environment.yml asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// `name:`, where given.
    pub name: Option<Spanned<String>>,
    /// `channels:`; `None` when the key is absent or empty, which is not the same as an empty list to conda.
    pub channels: Option<Vec<Spanned<String>>>,
    /// `dependencies:` in the order written.
    pub dependencies: Vec<Dependency>,
    /// `variables:`, to be set when the environment is activated.
    pub variables: BTreeMap<String, String>,
    /// The file.
    pub source: Arc<SourceText>,
}

/// Keys that conda knows at the top.
const KEYS: [&str; 8] =
    ["name", "channels", "dependencies", "prefix", "variables", "platforms", "category", "channel_priority"];

/// Reads an environment.yml; the environment is missing when the file as a whole has the wrong shape.
pub fn read(document: &Node, source: &Arc<SourceText>) -> (Option<Environment>, Vec<Diagnostic>) {
    let mut found = Reader { source, problems: Vec::new() };
    let environment = found.environment(document);
    (environment, found.problems)
}

/// Reads the bytes of an environment.yml that is shown as `name`.
pub fn parse(name: &str, bytes: &[u8]) -> (Option<Environment>, Vec<Diagnostic>) {
    let source = match yaml::decode(name, bytes) {
        Ok(source) => source,
        Err(problem) => return (None, vec![*problem]),
    };
    let (node, mut problems) = yaml::parse(&source);
    let Some(node) = node else { return (None, problems) };
    let (environment, mut more) = read(&node, &source);
    problems.append(&mut more);
    (environment, problems)
}

fn is_meant_for_dependencies(key: &str) -> bool {
    suggest::closest(key, KEYS) == Some("dependencies")
}

struct Reader<'a> {
    source: &'a Arc<SourceText>,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn error(&mut self, code: &'static str, message: String, span: Span, help: &str) {
        self.problems.push(Diagnostic::error(code, message).at(self.source, span).help(help));
    }

    fn environment(&mut self, document: &Node) -> Option<Environment> {
        let Some(pairs) = document.as_map() else {
            let message =
                format!("environment.yml must be a mapping with `dependencies:`, but holds {}", document.kind());
            self.error(
                "environment/shape",
                message,
                document.span,
                "start with `dependencies:` and list what the pipeline needs",
            );
            return None;
        };
        let without = document.get("dependencies").is_none();
        for (key, _) in pairs {
            let name = key.scalar_text().unwrap_or_default();
            let told = without && is_meant_for_dependencies(&name);
            if !KEYS.contains(&name.as_str()) && !told {
                let warning =
                    Diagnostic::warning("environment/unknown-key", format!("conda does not know the key `{name}`"));
                self.problems.push(warning.at(self.source, key.span).help(suggest::help(&name, KEYS)));
            }
        }
        Some(Environment {
            name: self.name(document),
            channels: self.channels(document),
            dependencies: self.dependencies(document),
            variables: self.variables(document),
            source: Arc::clone(self.source),
        })
    }

    fn name(&mut self, document: &Node) -> Option<Spanned<String>> {
        let node = document.get("name").filter(|node| !node.is_null())?;
        let Some(text) = node.scalar_text() else {
            self.error(
                "environment/name",
                format!("`name` must be a text, but is {}", node.kind()),
                node.span,
                "write `name: my-project`",
            );
            return None;
        };
        Some(Spanned::new(text, node.span))
    }

    fn channels(&mut self, document: &Node) -> Option<Vec<Spanned<String>>> {
        let node = document.get("channels").filter(|node| !node.is_null())?;
        if let Value::Str(text) = &node.value {
            let warning = Diagnostic::warning("environment/channels", "`channels` should be a list".to_owned());
            self.problems.push(warning.at(self.source, node.span).help(format!("write `channels: [{text}]`")));
            return Some(vec![Spanned::new(text.clone(), node.span)]);
        }
        let Some(items) = node.as_seq() else {
            self.error(
                "environment/channels",
                format!("`channels` must be a list, but is {}", node.kind()),
                node.span,
                "write `channels: [conda-forge]`",
            );
            return None;
        };
        let mut channels = Vec::new();
        for item in items {
            match &item.value {
                Value::Str(text) => channels.push(Spanned::new(text.clone(), item.span)),
                _ => self.error(
                    "environment/channels",
                    format!("a channel must be a name or a URL, but this is {}", item.kind()),
                    item.span,
                    "remove it, or quote it",
                ),
            }
        }
        Some(channels)
    }

    fn dependencies(&mut self, document: &Node) -> Vec<Dependency> {
        let Some(node) = document.get("dependencies") else {
            self.no_dependencies(document);
            return Vec::new();
        };
        let Some(items) = node.as_seq() else {
            self.error(
                "environment/dependencies",
                format!("`dependencies` must be a list, but is {}", node.kind()),
                node.span,
                "write one `- package` a line below it",
            );
            return Vec::new();
        };
        items.iter().filter_map(|item| self.dependency(item)).collect()
    }

    /// At the key that was meant to be it, where there is one: one slip is told once.
    fn no_dependencies(&mut self, document: &Node) {
        let mut keys = document.as_map().unwrap_or_default().iter().map(|(key, _)| key);
        let meant = keys.find(|key| key.scalar_text().is_some_and(|name| is_meant_for_dependencies(&name)));
        let (span, help) = match meant {
            Some(key) => (key.span, "did you mean `dependencies`?"),
            None => (Span { len: 0, ..document.span }, "add `dependencies:` and below it at least `- python=3.11`"),
        };
        self.error("environment/dependencies", "environment.yml has no `dependencies`".to_owned(), span, help);
    }

    fn dependency(&mut self, item: &Node) -> Option<Dependency> {
        match &item.value {
            Value::Str(text) => Some(Dependency::Conda(Spanned::new(text.clone(), item.span))),
            Value::Map(pairs) => {
                let mut lines = None;
                for (key, value) in pairs {
                    match key.as_str() {
                        Some("pip") => lines = Some(self.pip(value)),
                        other => {
                            let shown = other.unwrap_or("?").to_owned();
                            let help = if shown.starts_with("sel(") {
                                "conda has no selectors; list the package for every system, or make one file a system"
                            } else {
                                "only a `pip:` section is possible here; for a package write `- name=version`"
                            };
                            self.error(
                                "environment/section",
                                format!("conda does not know the section `{shown}`"),
                                key.span,
                                help,
                            );
                        }
                    }
                }
                lines.map(Dependency::Pip)
            }
            _ => {
                let help = "write the name of a package, such as `- python=3.11`";
                self.error(
                    "environment/dependency",
                    format!("a dependency must be a text, but this is {}", item.kind()),
                    item.span,
                    help,
                );
                None
            }
        }
    }

    fn pip(&mut self, node: &Node) -> Vec<Spanned<String>> {
        if node.is_null() {
            return Vec::new();
        }
        let Some(items) = node.as_seq() else {
            self.error(
                "environment/pip",
                format!("`pip` must be a list, but is {}", node.kind()),
                node.span,
                "write one `- package` a line below `pip:`",
            );
            return Vec::new();
        };
        let mut lines = Vec::new();
        for item in items {
            match item.as_str() {
                Some(text) => lines.push(Spanned::new(text.to_owned(), item.span)),
                None => self.error(
                    "environment/pip",
                    format!("a line for pip must be a text, but this is {}", item.kind()),
                    item.span,
                    "write `- name==version`, as one text",
                ),
            }
        }
        lines
    }

    fn variables(&mut self, document: &Node) -> BTreeMap<String, String> {
        let Some(node) = document.get("variables").filter(|node| !node.is_null()) else { return BTreeMap::new() };
        let Some(pairs) = node.as_map() else {
            self.error(
                "environment/variables",
                format!("`variables` must be a mapping, but is {}", node.kind()),
                node.span,
                "write one `NAME: value` a line below it",
            );
            return BTreeMap::new();
        };
        let mut variables = BTreeMap::new();
        for (key, value) in pairs {
            match (key.scalar_text(), value.scalar_text()) {
                (Some(key), Some(value)) => drop(variables.insert(key, value)),
                _ => self.error(
                    "environment/variables",
                    format!("a variable must be a text, but this is {}", value.kind()),
                    value.span,
                    as_text(value),
                ),
            }
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_and_every_pip_list() {
        let text = "name: 3\nchannels: [a]\ndependencies:\n  - python\n  - pip: [x]\n  - b=1\n  - pip:\n      - -e .\nvariables: {A: 1}\n";
        let (environment, found) = parse("environment.yml", text.as_bytes());
        assert_eq!(found, []);
        let environment = environment.unwrap();
        let shown: Vec<String> = environment
            .dependencies
            .iter()
            .map(|dependency| match dependency {
                Dependency::Conda(line) => line.value.clone(),
                Dependency::Pip(lines) => format!("pip {}", lines[0].value),
            })
            .collect();
        assert_eq!(shown, ["python", "pip x", "b=1", "pip -e ."]);
        assert_eq!((environment.name.unwrap().as_str(), &environment.variables["A"][..]), ("3", "1"));
    }

    #[test]
    fn a_slip_in_the_word_dependencies_is_told_once_and_where_it_is() {
        let (_, found) = parse("environment.yml", b"name: a\ndependecies:\n  - python\n");
        let [only] = &found[..] else { panic!("{found:?}") };
        assert_eq!(
            (only.code, only.help.as_deref()),
            ("environment/dependencies", Some("did you mean `dependencies`?"))
        );
        let (_, found) = parse("environment.yml", b"name: a\n");
        assert!(found.len() == 1 && found[0].help.as_deref().unwrap().starts_with("add"), "{found:?}");
        // Beside the right one, it is a key that nobody knows.
        let (_, found) = parse("environment.yml", b"dependencies: [python]\ndependecies: [a]\n");
        assert!(found.len() == 1 && found[0].code == "environment/unknown-key", "{found:?}");
    }

    #[test]
    fn absent_and_empty_channels_are_not_the_same() {
        let channels = |text: &str| parse("e", text.as_bytes()).0.unwrap().channels;
        assert_eq!(channels("dependencies: [a]"), None);
        assert_eq!(channels("channels:\ndependencies: [a]"), None);
        assert_eq!(channels("channels: []\ndependencies: [a]"), Some(Vec::new()));
    }
}

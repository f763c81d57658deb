//! config.yaml in the user's own folder: mirrors, channels, proxies and defaults for every project.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Spanned;
use super::fields::Fields;
use super::settings::{self, SecretReference};
use super::yaml::{self, Node};
use crate::diag::{Diagnostic, SourceText};

/// What is kept of built environments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environments {
    /// `max-size`, in bytes.
    pub max_size: Option<u64>,
    /// `max-age`, after the last use.
    pub max_age: Option<Duration>,
    /// `bytecode`: whether it is compiled in the background.
    pub bytecode: Option<bool>,
}

/// A config.yaml; everything is optional.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// URLs to ask instead of a URL, in this order.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Channels of an environment.yml that names none.
    pub default_channels: Vec<Spanned<String>>,
    /// Where channel names lead.
    pub channel_alias: Option<Spanned<String>>,
    /// Where Python packages come from.
    pub index_url: Option<Spanned<String>>,
    /// Where else.
    pub extra_index_urls: Vec<Spanned<String>>,
    /// A file of certificates to trust.
    pub ca_bundle: Option<Spanned<String>>,
    /// A proxy for everything.
    pub proxy: Option<Spanned<String>>,
    /// Default storage.
    pub storage: Option<Spanned<String>>,
    /// Default image.
    pub image: Option<Spanned<String>>,
    /// Secrets of every project, by reference.
    pub secrets: Vec<SecretReference>,
    /// What is kept of built environments.
    pub environments: Environments,
}

const KEYS: [&str; 11] = [
    "mirrors",
    "default-channels",
    "channel-alias",
    "index-url",
    "extra-index-urls",
    "ca-bundle",
    "proxy",
    "storage",
    "image",
    "secrets",
    "environments",
];

/// Reads a config.yaml; an empty file is the same as none.
pub fn read(document: &Node, source: &Arc<SourceText>) -> (Config, Vec<Diagnostic>) {
    let mut fields = Fields::new(source, "config/value");
    if !fields.mapping(document, "config.yaml", &KEYS) {
        return (Config::default(), fields.problems);
    }
    let config = Config {
        mirrors: mirrors(&mut fields, document),
        default_channels: fields.texts(document, "default-channels"),
        channel_alias: fields.text(document, "channel-alias"),
        index_url: fields.text(document, "index-url"),
        extra_index_urls: fields.texts(document, "extra-index-urls"),
        ca_bundle: fields.text(document, "ca-bundle"),
        proxy: fields.text(document, "proxy"),
        storage: fields.text(document, "storage"),
        image: fields.text(document, "image"),
        secrets: settings::secrets(&mut fields, document),
        environments: environments(&mut fields, document),
    };
    (config, fields.problems)
}

fn environments(fields: &mut Fields<'_>, document: &Node) -> Environments {
    let Some(node) = document.get("environments") else { return Environments::default() };
    if !fields.mapping(node, "`environments`", &["max-size", "max-age", "bytecode"]) {
        return Environments::default();
    }
    Environments {
        max_size: fields.bytes(node, "max-size"),
        max_age: fields.duration(node, "max-age"),
        bytecode: fields.flag(node, "bytecode"),
    }
}

fn mirrors(fields: &mut Fields<'_>, document: &Node) -> BTreeMap<String, Vec<String>> {
    let Some(node) = document.get("mirrors").filter(|node| !node.is_null()) else { return BTreeMap::new() };
    let Some(pairs) = node.as_map() else {
        fields.error(
            format!("`mirrors` must be a mapping, but is {}", node.kind()),
            node.span,
            "write `URL: [URL]` lines",
        );
        return BTreeMap::new();
    };
    let urls: Vec<String> = pairs.iter().filter_map(|(key, _)| key.scalar_text()).collect();
    urls.into_iter()
        .map(|url| {
            let found = fields.texts(node, &url);
            (url, found.into_iter().map(|m| m.value).collect())
        })
        .collect()
}

/// Reads the bytes of a config.yaml that is shown as `name`.
pub fn parse(name: &str, bytes: &[u8]) -> (Config, Vec<Diagnostic>) {
    let source = match yaml::decode(name, bytes) {
        Ok(source) => source,
        Err(problem) => return (Config::default(), vec![*problem]),
    };
    let (node, mut problems) = yaml::parse(&source);
    let Some(node) = node else { return (Config::default(), problems) };
    let (config, mut more) = read(&node, &source);
    problems.append(&mut more);
    (config, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_mirrors_and_defaults_and_names_wrong_keys() {
        let text =
            "mirrors:\n  https://a: [https://b, https://c]\ndefault-channels: [x]\nca-bundle: /ca.pem\nprox: y\n";
        let (config, found) = parse("config.yaml", text.as_bytes());
        assert_eq!(config.mirrors["https://a"], ["https://b", "https://c"]);
        assert_eq!(config.ca_bundle.unwrap().as_str(), "/ca.pem");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].help.as_deref(), Some("did you mean `proxy`?"));
    }

    #[test]
    fn limits_of_environments_are_read_and_a_wrong_one_is_named() {
        let text = "environments: {max-size: 20GB, max-age: 14d, bytecode: false}\n";
        let (config, found) = parse("config.yaml", text.as_bytes());
        let day = Duration::from_hours(24);
        let expected = Environments { max_size: Some(20 << 30), max_age: Some(14 * day), bytecode: Some(false) };
        assert_eq!((config.environments, found.len()), (expected, 0));
        let (_, found) = parse("config.yaml", b"environments: {max-size: much, max-aeg: 1d}\n");
        assert!(found.iter().any(|one| one.message.contains("`max-size`")), "{found:?}");
        assert!(found.iter().any(|one| one.help.as_deref() == Some("did you mean `max-age`?")), "{found:?}");
    }

    #[test]
    fn an_empty_or_unreadable_file_gives_the_defaults() {
        assert_eq!(parse("config.yaml", b""), (Config::default(), Vec::new()));
        assert_eq!(parse("config.yaml", b"a: \0").1[0].code, "yaml/control-character");
    }
}

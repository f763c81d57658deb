//! config.yaml in the user's own folder: mirrors, channels, proxies and defaults for every project.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Spanned;
use super::fields::{Fields, as_text};
use super::remotes::{self, Remote};
use super::settings::{self, SecretReference, SecretSource};
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
    /// What channel servers and mirrors ask for.
    pub credentials: Vec<Credential>,
    /// What is assumed of the machine that runs pipelines: `cuda`, `glibc`, ….
    pub virtual_packages: BTreeMap<String, String>,
    /// Where Python packages come from.
    pub index_url: Option<Spanned<String>>,
    /// Where else.
    pub extra_index_urls: Vec<Spanned<String>>,
    /// A file of certificates to trust besides the system's.
    pub ca_bundle: Option<Spanned<String>>,
    /// A proxy for everything.
    pub proxy: Option<Spanned<String>>,
    /// Default storage.
    pub storage: Option<Spanned<String>>,
    /// Storages by name.
    pub remotes: Vec<Remote>,
    /// Default image.
    pub image: Option<Spanned<String>>,
    /// Secrets of every project, by reference.
    pub secrets: Vec<SecretReference>,
    /// What is kept of built environments.
    pub environments: Environments,
}

/// What one server asks for, by reference: no value ever stands in a config.yaml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The server: `conda.example.com`, `*.example.com`.
    pub host: Spanned<String>,
    /// How somebody is let in.
    pub login: Login,
}

/// How somebody is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// `token`: a bearer token.
    Token(SecretSource),
    /// `conda-token`: a part of the path.
    CondaToken(SecretSource),
    /// `user` and `password`.
    Password {
        /// The user's name.
        user: String,
        /// The password.
        password: SecretSource,
    },
}

const KEYS: [&str; 14] = [
    "mirrors",
    "default-channels",
    "channel-alias",
    "credentials",
    "virtual-packages",
    "index-url",
    "extra-index-urls",
    "ca-bundle",
    "proxy",
    "storage",
    "remotes",
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
        credentials: credentials(&mut fields, document),
        virtual_packages: virtual_packages(&mut fields, document),
        index_url: fields.text(document, "index-url"),
        extra_index_urls: fields.texts(document, "extra-index-urls"),
        ca_bundle: fields.text(document, "ca-bundle"),
        proxy: fields.text(document, "proxy"),
        storage: fields.text(document, "storage"),
        remotes: remotes::read(&mut fields, document),
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
        max_size: fields.room(node, "max-size"),
        max_age: fields.age(node, "max-age"),
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

fn pairs<'n>(fields: &mut Fields<'_>, document: &'n Node, key: &str, help: &str) -> &'n [(Node, Node)] {
    let Some(node) = document.get(key).filter(|node| !node.is_null()) else { return &[] };
    let pairs = node.as_map();
    if pairs.is_none() {
        fields.error(format!("`{key}` must be a mapping, but is {}", node.kind()), node.span, help);
    }
    pairs.unwrap_or_default()
}

fn credentials(fields: &mut Fields<'_>, document: &Node) -> Vec<Credential> {
    let help = "write `conda.example.com: {token: env:NAME}` lines";
    let mut found = Vec::new();
    for (host, node) in pairs(fields, document, "credentials", help) {
        let name = Spanned::new(host.scalar_text().unwrap_or_default(), host.span);
        if name.value.is_empty() || name.value.contains(['/', ':', '@', ' ']) {
            fields.error("a credential is for a server, by its name alone", host.span, help);
        } else if fields.mapping(node, "a credential", &["token", "conda-token", "user", "password"])
            && let Some(login) = login(fields, node, help)
        {
            found.push(Credential { host: name, login });
        }
    }
    found
}

fn login(fields: &mut Fields<'_>, node: &Node, help: &str) -> Option<Login> {
    let mut reference = |key: &str| {
        let text = fields.text(node, key)?;
        let source = source(text.as_str());
        if source.is_none() {
            // Never repeated: it may be the secret itself.
            let message = format!("`{key}` says where the value is, and is never the value itself");
            fields.error(message, text.span, "write `env:NAME` or `file:PATH`");
        }
        Some(source)
    };
    let [token, conda_token, password] = ["token", "conda-token", "password"].map(&mut reference);
    let user = fields.text(node, "user");
    match (token, conda_token, user, password) {
        (Some(token), None, None, None) => token.map(Login::Token),
        (None, Some(token), None, None) => token.map(Login::CondaToken),
        (None, None, Some(user), Some(password)) => {
            password.map(|password| Login::Password { user: user.value, password })
        }
        _ => {
            let message = "a credential is a `token`, a `conda-token`, or a `user` with a `password`";
            fields.error(message, node.span, help);
            None
        }
    }
}

pub(super) fn source(text: &str) -> Option<SecretSource> {
    match text.split_once(':')? {
        ("env", name) if settings::variable_name(name) => Some(SecretSource::Env(name.to_owned())),
        ("file", path) if !path.is_empty() => Some(SecretSource::File(path.to_owned())),
        _ => None,
    }
}

fn virtual_packages(fields: &mut Fields<'_>, document: &Node) -> BTreeMap<String, String> {
    let help = "write `cuda: '12.4'` lines";
    let mut found = BTreeMap::new();
    for (name, value) in pairs(fields, document, "virtual-packages", help) {
        let name = name.scalar_text().unwrap_or_default();
        match value.as_str() {
            Some(version) => drop(found.insert(name.trim_start_matches('_').to_owned(), version.to_owned())),
            // `12.10` is the number 12.1.
            None => fields.error(format!("the version of `{name}` must be a text"), value.span, as_text(value)),
        }
    }
    found
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
        let (config, found) = parse("config.yaml", b"environments: {max-size: 20, max-age: 14}\n");
        assert_eq!(config.environments, Environments::default());
        let helps: Vec<_> = found.iter().filter_map(|one| one.help.as_deref()).collect();
        assert_eq!(helps, ["write `20GB`, `20MB` or `20TB`", "write `14d`, `14h` or `14m`"], "{found:?}");
        let (_, found) = parse("config.yaml", b"environments: {max-size: much, max-aeg: 1d}\n");
        assert!(found.iter().any(|one| one.message.contains("`max-size`")), "{found:?}");
        assert!(found.iter().any(|one| one.help.as_deref() == Some("did you mean `max-age`?")), "{found:?}");
    }

    #[test]
    fn credentials_are_references_and_a_value_is_never_repeated() {
        let text = "credentials:\n  a.example.com: {token: env:CONDA_TOKEN}\n  b.example.com: {user: me, password: 'file:/run/pw'}\n  \
                    '*.example.org': {conda-token: env:T}\nvirtual-packages: {cuda: '12.10', __glibc: '2.35'}\n";
        let (config, found) = parse("config.yaml", text.as_bytes());
        assert_eq!(found, []);
        let hosts: Vec<&str> = config.credentials.iter().map(|c| c.host.as_str()).collect();
        assert_eq!(hosts, ["a.example.com", "b.example.com", "*.example.org"]);
        assert_eq!(config.credentials[0].login, Login::Token(SecretSource::Env("CONDA_TOKEN".to_owned())));
        let password = SecretSource::File("/run/pw".to_owned());
        assert_eq!(config.credentials[1].login, Login::Password { user: "me".to_owned(), password });
        assert_eq!((&config.virtual_packages["cuda"][..], &config.virtual_packages["glibc"][..]), ("12.10", "2.35"));
        for wrong in [
            "credentials: {h: {token: s3cret-value}}",
            "credentials: {h: {token: env:not a name}}",
            "credentials: {h: {token: env:A, user: me}}",
            "credentials: {h: {user: me}}",
            "credentials: {'https://h/x': {token: env:A}}",
            "credentials: [h]",
            "credentials: {h: {tokn: env:A}}",
            "virtual-packages: {cuda: 12.10}",
        ] {
            let (config, found) = parse("config.yaml", wrong.as_bytes());
            assert!(!found.is_empty() && config.credentials.is_empty(), "{wrong}");
            let told = found.iter().find(|f| format!("{}{:?}", f.message, f.help).contains("s3cret"));
            assert_eq!(told, None);
        }
    }

    #[test]
    fn an_empty_or_unreadable_file_gives_the_defaults() {
        assert_eq!(parse("config.yaml", b""), (Config::default(), Vec::new()));
        assert_eq!(parse("config.yaml", b"a: \0").1[0].code, "yaml/control-character");
    }
}

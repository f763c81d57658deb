//! `remotes:` of config.yaml: storages by name, with everything that opening one needs; secrets by reference only.

use std::collections::BTreeMap;

use super::config::source;
use super::fields::Fields;
use super::settings::SecretSource;
use super::yaml::Node;
use super::{Spanned, suggest};

/// What a remote is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RemoteKind {
    /// A folder of this machine.
    Local,
    /// box.com.
    Box,
    /// dropbox.com.
    Dropbox,
    /// Microsoft OneDrive.
    OneDrive,
    /// Google Drive.
    GoogleDrive,
    /// Amazon S3 and what speaks like it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azblob,
    /// A WebDAV server.
    WebDav,
    /// An SSH server.
    Sftp,
}

impl RemoteKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Local,
        Self::Box,
        Self::Dropbox,
        Self::OneDrive,
        Self::GoogleDrive,
        Self::S3,
        Self::Gcs,
        Self::Azblob,
        Self::WebDav,
        Self::Sftp,
    ];

    /// As written after `type:` and before the `:` of a storage.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Box => "box",
            Self::Dropbox => "dropbox",
            Self::OneDrive => "onedrive",
            Self::GoogleDrive => "gdrive",
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azblob => "azblob",
            Self::WebDav => "webdav",
            Self::Sftp => "sftp",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What stands in a config.yaml as it is.
pub const TEXTS: [&str; 14] = [
    "folder",
    "endpoint",
    "region",
    "bucket",
    "container",
    "prefix",
    "user",
    "account",
    "client-id",
    "tenant",
    "access-key-id",
    "key",
    "known-hosts",
    "ssh-config",
];

/// What stands there by reference alone.
pub const SECRETS: [&str; 9] = [
    "client-secret",
    "secret-access-key",
    "session-token",
    "account-key",
    "sas-token",
    "password",
    "token",
    "refresh-token",
    "credentials",
];

/// One storage by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its name: `team-box`.
    pub name: Spanned<String>,
    /// What it is.
    pub kind: RemoteKind,
    /// What was written of [`TEXTS`].
    pub texts: BTreeMap<&'static str, Spanned<String>>,
    /// What was written of [`SECRETS`].
    pub secrets: BTreeMap<&'static str, SecretSource>,
}

/// Whether a remote may be called that: lower-case letters, digits and `-`, and no name of a kind.
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() > 1 && name.chars().all(plain) && name.starts_with(|c: char| c.is_ascii_lowercase())
}

const TAKEN: [&str; 12] =
    ["file", "gs", "az", "abfs", "webdavs", "http", "https", "ftp", "ftps", "ssh", "git", "memory"];

pub(super) fn read(fields: &mut Fields<'_>, document: &Node) -> Vec<Remote> {
    let help = "write `team-box: {type: box, folder: reports}` lines";
    let Some(node) = document.get("remotes").filter(|node| !node.is_null()) else { return Vec::new() };
    let Some(pairs) = node.as_map() else {
        fields.error(format!("`remotes` must be a mapping, but is {}", node.kind()), node.span, help);
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, node) in pairs {
        let name = Spanned::new(key.scalar_text().unwrap_or_default(), key.span);
        if !is_name(name.as_str()) {
            // Not repeated: somebody may have written an address with a password here.
            let message = "a remote's name is made of lower-case letters, digits and `-`";
            fields.error(message, key.span, help);
        } else if RemoteKind::named(name.as_str()).is_some() || TAKEN.contains(&name.as_str()) {
            let message = format!("`{}` is a storage's own name", name.as_str());
            fields.error(message, key.span, "call the remote something else, for example `team-box`");
        } else {
            found.extend(remote(fields, name, node));
        }
    }
    found
}

fn remote(fields: &mut Fields<'_>, name: Spanned<String>, node: &Node) -> Option<Remote> {
    let known: Vec<&'static str> = std::iter::once("type").chain(TEXTS).chain(SECRETS).collect();
    let before = fields.problems.len();
    if !fields.mapping(node, "a remote", &known) && !node.is_null() {
        return None;
    }
    let kind = kind(fields, &name, node);
    let mut texts = BTreeMap::new();
    for key in TEXTS {
        let Some(text) = fields.text(node, key) else { continue };
        // Never repeated: it is an address with a password, as likely as not.
        if key == "endpoint" && text.as_str().split("://").last().is_some_and(|rest| rest.contains('@')) {
            let message = "an `endpoint` holds no user and no password";
            fields.error(message, text.span, "write `user: NAME` and `password: env:NAME` below the remote");
            continue;
        }
        texts.insert(key, text);
    }
    let mut secrets = BTreeMap::new();
    for key in SECRETS {
        let Some(text) = fields.text(node, key) else { continue };
        if let Some(source) = source(text.as_str()) {
            secrets.insert(key, source);
        } else {
            let message = format!("`{key}` says where the value is, and is never the value itself");
            fields.error(message, text.span, "write `env:NAME` or `file:PATH`");
        }
    }
    let sound = fields.problems.len() == before;
    kind.filter(|_| sound).map(|kind| Remote { name, kind, texts, secrets })
}

fn kind(fields: &mut Fields<'_>, name: &Spanned<String>, node: &Node) -> Option<RemoteKind> {
    let names = || RemoteKind::ALL.into_iter().map(RemoteKind::name);
    let Some(written) = fields.text(node, "type") else {
        if node.get("type").is_none_or(Node::is_null) {
            let message = format!("the remote `{}` has no `type`", name.as_str());
            fields.error(message, name.span, suggest::help("", names().collect::<Vec<_>>()));
        }
        return None;
    };
    let kind = RemoteKind::named(written.as_str());
    if kind.is_none() {
        let message = format!("there is no storage of type `{}`", written.as_str());
        fields.error(message, written.span, suggest::help(written.as_str(), names().collect::<Vec<_>>()));
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::super::config::parse;
    use super::*;

    #[test]
    fn a_remote_is_read_with_its_references() {
        let text = "remotes:\n  team-box: {type: box, folder: reports, client-id: abc, client-secret: env:BOX_SECRET}\n  \
                    minio: {type: s3, endpoint: 'https://minio:9000', bucket: b, secret-access-key: 'file:/run/key'}\n";
        let (config, found) = parse("config.yaml", text.as_bytes());
        assert_eq!(found, []);
        assert_eq!(config.remotes[0].kind, RemoteKind::Box);
        assert_eq!(config.remotes[0].texts["folder"].as_str(), "reports");
        assert_eq!(config.remotes[0].secrets["client-secret"], SecretSource::Env("BOX_SECRET".to_owned()));
        assert_eq!(config.remotes[1].secrets["secret-access-key"], SecretSource::File("/run/key".to_owned()));
    }

    #[test]
    fn what_is_wrong_with_a_remote_is_said_and_no_value_is_repeated() {
        for (wrong, said) in [
            ("remotes: [x]", "must be a mapping"),
            ("remotes: {a-b: {folder: x}}", "has no `type`"),
            ("remotes: {a-b: {type: dropbx}}", "did you mean `dropbox`?"),
            ("remotes: {a-b: {type: box, foldr: x}}", "did you mean `folder`?"),
            ("remotes: {box: {type: box}}", "own name"),
            ("remotes: {gs: {type: gcs}}", "own name"),
            ("remotes: {'https://me:s3cret@h': {type: webdav}}", "lower-case"),
            ("remotes: {a-b: {type: s3, secret-access-key: s3cret}}", "never the value itself"),
            ("remotes: {a-b: {type: webdav, endpoint: 'https://me:s3cret@h/x'}}", "no password"),
        ] {
            let (config, found) = parse("config.yaml", wrong.as_bytes());
            let told: Vec<String> = found.iter().map(|one| format!("{} {:?}", one.message, one.help)).collect();
            let told = told.concat();
            assert!(told.contains(said), "{wrong}: {told}");
            assert!(!told.contains("s3cret"), "{told}");
            assert!(found.iter().all(|one| one.code == "config/value") && config.remotes.is_empty(), "{wrong}");
        }
    }
}

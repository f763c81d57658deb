//! `--storage`: which backend, and where in it.
//!
//! Never opens anything and holds no secrets; of folders it looks at nothing but where links above a `..` lead. What follows an unknown scheme is not repeated in errors, because it may
//! hold credentials; an address with a password is refused.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use url::Url;

use super::StorageError;
use super::remotes::Remotes;
use crate::auth::Provider;
use crate::id::ProjectName;
use crate::spec::remotes::RemoteKind;

/// Words that people may write and that are no storage, and what they may mean.
const ABSENT: [(&str, &str); 4] =
    [("ftp", "sftp://"), ("ftps", "sftp://"), ("http", "webdav://"), ("https", "webdavs://")];
/// Other spellings.
const ALIASES: [(&str, RemoteKind); 6] = [
    ("gs", RemoteKind::Gcs),
    ("az", RemoteKind::Azblob),
    ("webdavs", RemoteKind::WebDav),
    ("https+webdav", RemoteKind::WebDav),
    ("http+webdav", RemoteKind::WebDav),
    ("ssh", RemoteKind::Sftp),
];

/// Where runs are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine, absolute.
    Local(PathBuf),
    /// A drive that people have an account with.
    Drive {
        /// Whose.
        provider: Provider,
        /// The name that logins and settings go by: `box`, `team-box`.
        remote: String,
        /// The folder in the drive, parts separated by `/`; empty for its root.
        root: String,
    },
    /// A place in an object store.
    Bucket {
        /// Which one.
        store: Store,
        /// The name that settings go by: `s3`, `lab`.
        remote: String,
        /// The bucket or container.
        bucket: String,
        /// What every key begins with, without `/` at either end.
        prefix: String,
    },
    /// A folder of a WebDAV server.
    WebDav {
        /// The name that settings go by.
        remote: String,
        /// The folder, without a user, with a `/` at its end.
        url: Url,
        /// The user.
        user: Option<String>,
    },
    /// A folder of an SSH server.
    Sftp {
        /// The name that settings go by.
        remote: String,
        /// The user; ssh's own settings decide where none is named.
        user: Option<String>,
        /// The server, or its name in ssh's settings.
        host: String,
        /// Its port, where it is not the one of ssh's settings.
        port: Option<u16>,
        /// The folder; without a `/` at the front it is below the user's own.
        path: String,
    },
}

/// Which object store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// Amazon S3 and what speaks like it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azblob,
}

impl Store {
    /// As it stands before `://`.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azblob => "azblob",
        }
    }
}

impl Location {
    /// Reads `local:DIR`, a bare path, a drive (`box`, `dropbox:FOLDER`), an address (`s3://bucket/prefix`), or a remote's
    /// name (`team-box`, `team-box:FOLDER`). Relative paths start at `base`.
    ///
    /// # Errors
    /// When the backend is unknown or not part of this build, no place is named, or the address holds credentials.
    pub fn parse(text: &str, base: &Path, remotes: &Remotes) -> Result<Self, StorageError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(StorageError::NoLocation);
        }
        if text.starts_with(['/', '.', '~']) {
            return folder(text, base);
        }
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        let name = scheme.to_ascii_lowercase();
        let bare = !text.contains(':');
        match name.as_str() {
            "local" if bare => return Err(StorageError::NoLocation),
            "local" => return folder(rest, base),
            "file" if !bare => return folder(rest.strip_prefix("//").unwrap_or(rest), base),
            _ => {}
        }
        if let Some((_, meant)) = ABSENT.iter().find(|(absent, _)| *absent == name) {
            return Err(StorageError::UnknownBackend { name, near: Some((*meant).to_owned()) });
        }
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, kind)| *kind);
        let own = alias.or_else(|| RemoteKind::named(&name));
        if let Some(address) = rest.strip_prefix("//") {
            let Some(kind) = own else { return Err(unknown(scheme, remotes)) };
            return super::address::read(kind, &name, address);
        }
        let kind = if own.is_some() { own } else { remotes.kind(&name)? };
        if let Some(kind) = kind {
            return super::address::named(kind, &name, rest, base, remotes);
        }
        let near = nearest(&name, remotes);
        // `artifacts`, `out/runs`: a folder, unless it is a backend's name with a slip in it.
        if bare && (near.is_none() || text.contains('/') || base.join(text).is_dir()) {
            return folder(text, base);
        }
        Err(unknown(scheme, remotes))
    }

    /// Whether it can have the folder of a project. Names of outputs are escaped, that of a project is as it is: it is
    /// refused where the vendor has rules for names that it breaks, before minutes are spent on what cannot be published.
    ///
    /// # Errors
    /// [`StorageError::Project`].
    pub fn takes(&self, project: &ProjectName) -> Result<(), StorageError> {
        match self {
            Self::Drive { provider, .. } => super::address::fit_project(*provider, project),
            _ => Ok(()),
        }
    }
}

fn unknown(scheme: &str, remotes: &Remotes) -> StorageError {
    let near = nearest(&scheme.to_ascii_lowercase(), remotes);
    // Not even the scheme, where it is not one: `key:secret` may be all there is.
    let plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
    let name = if scheme.len() <= 24 && scheme.chars().all(plain) { scheme.to_owned() } else { "…".to_owned() };
    StorageError::UnknownBackend { name, near }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "local:{}", path.display()),
            Self::Drive { remote, root, .. } => write!(f, "{remote}:{root}"),
            Self::Bucket { store, bucket, prefix, .. } => {
                write!(f, "{}://{bucket}", store.scheme())?;
                if prefix.is_empty() { Ok(()) } else { write!(f, "/{prefix}") }
            }
            Self::WebDav { url, .. } => {
                let rest = url.as_str().trim_end_matches('/');
                let (scheme, rest) = rest.split_once("://").unwrap_or(("", rest));
                write!(f, "{}://{rest}", if scheme == "http" { "webdav" } else { "webdavs" })
            }
            Self::Sftp { user, host, port, path, .. } => {
                f.write_str("sftp://")?;
                user.iter().try_for_each(|user| write!(f, "{user}@"))?;
                f.write_str(host)?;
                port.iter().try_for_each(|port| write!(f, ":{port}"))?;
                if path.starts_with('/') { f.write_str(path) } else { write!(f, "/~/{path}") }
            }
        }
    }
}

pub(super) fn folder(text: &str, base: &Path) -> Result<Location, StorageError> {
    if text.is_empty() {
        return Err(StorageError::NoLocation);
    }
    if text == "~" || text.starts_with("~/") {
        return Err(StorageError::Tilde(text.to_owned()));
    }
    Ok(Location::Local(clean(&base.join(text))))
}

/// Without `.` and `..`, so that people recognise it. Above a link lies what is above the folder it leads to.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        if part != Component::ParentDir {
            clean.push(part);
            continue;
        }
        if std::fs::symlink_metadata(&clean).is_ok_and(|meta| meta.is_symlink()) {
            match clean.canonicalize() {
                Ok(real) => clean = real,
                // It leads nowhere, and so does whatever is above it: the system will say so.
                Err(_) => return path.components().collect(),
            }
        }
        // Nothing is above the root.
        clean.pop();
    }
    clean
}

fn nearest(name: &str, remotes: &Remotes) -> Option<String> {
    let itself = |known| (known, known);
    let mut known: Vec<(&str, &str)> = remotes.names().map(itself).collect();
    known.extend(RemoteKind::ALL.map(RemoteKind::name).map(itself));
    known.extend(ALIASES.map(|(alias, _)| itself(alias)));
    known.extend(ABSENT);
    known.push(itself("file"));
    let near = known.into_iter().map(|(known, meant)| (strsim::damerau_levenshtein(name, known), meant)).min()?;
    // Half the letters of a short name make any word its neighbour.
    (name.len() > 3 && near.0 <= 2).then(|| near.1.to_owned())
}

#[cfg(test)]
mod tests;

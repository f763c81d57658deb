//! `--storage`: which backend, and where in it.
//!
//! Never opens anything. What follows an unknown scheme is not repeated in errors, because it may hold credentials.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::local::Local;
use super::{Storage, StorageError};

/// Backends that this build does not hold.
const ABSENT: [&str; 14] = [
    "box", "dropbox", "onedrive", "gdrive", "s3", "gs", "gcs", "az", "azblob", "webdav", "sftp", "ftp", "http", "https",
];

/// Where runs are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine, absolute.
    Local(PathBuf),
}

impl Location {
    /// Reads `local:DIR`, `file://DIR`, a bare path, or a backend's name; relative paths start at `base`.
    ///
    /// # Errors
    /// When the backend is unknown or not part of this build, or no folder is named.
    pub fn parse(text: &str, base: &Path) -> Result<Self, StorageError> {
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
            "local" if bare => Err(StorageError::NoLocation),
            "local" => folder(rest, base),
            "file" if !bare => folder(rest.strip_prefix("//").unwrap_or(rest), base),
            known if ABSENT.contains(&known) => Err(StorageError::NotBuilt(name)),
            _ => {
                let near = nearest(&name);
                // `artifacts`, `out/runs`: a folder, unless it is a backend's name with a slip in it.
                if bare && (near.is_none() || text.contains('/') || base.join(text).is_dir()) {
                    return folder(text, base);
                }
                Err(StorageError::UnknownBackend { name: scheme.to_owned(), near })
            }
        }
    }

    /// Opens the backend; touches nothing yet.
    pub fn open(&self) -> Arc<dyn Storage> {
        match self {
            Self::Local(path) => Arc::new(Local::new(path.clone())),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "local:{}", path.display()),
        }
    }
}

fn folder(text: &str, base: &Path) -> Result<Location, StorageError> {
    if text.is_empty() {
        return Err(StorageError::NoLocation);
    }
    if text == "~" || text.starts_with("~/") {
        return Err(StorageError::Tilde(text.to_owned()));
    }
    Ok(Location::Local(base.join(text).components().collect()))
}

fn nearest(name: &str) -> Option<&'static str> {
    let known = ABSENT.iter().copied().chain(["local", "file"]);
    let near = known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min()?;
    // Half the letters of a short name make any word its neighbour.
    (name.len() > 3 && near.0 <= 2).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Location, StorageError> {
        Location::parse(text, Path::new("/base"))
    }

    #[test]
    fn folders_in_every_spelling() {
        for (text, path) in [
            ("local:./artifacts", "/base/artifacts"),
            ("local:/data/x", "/data/x"),
            ("LOCAL:x", "/base/x"),
            ("file:///data/x", "/data/x"),
            ("./box", "/base/box"),
            ("artifacts", "/base/artifacts"),
            ("out/dropbx", "/base/out/dropbx"),
            ("/with space/é", "/with space/é"),
        ] {
            assert_eq!(parse(text).unwrap(), Location::Local(PathBuf::from(path)), "{text}");
        }
    }

    #[test]
    fn absent_backends_are_told_from_unknown_ones() {
        assert!(matches!(parse("box"), Err(StorageError::NotBuilt(name)) if name == "box"));
        assert!(matches!(parse("s3://key:secret@bucket"), Err(StorageError::NotBuilt(name)) if name == "s3"));
        for (text, expected) in [("dropbx", Some("dropbox")), ("locla:x", Some("local")), ("magic:x", None)] {
            match parse(text) {
                Err(StorageError::UnknownBackend { near, .. }) => assert_eq!(near, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn errors_never_repeat_what_follows_the_scheme() {
        let error = parse("s5://key:hunter2@bucket").unwrap_err();
        assert!(!format!("{error} {error:?} {:?}", error.help()).contains("hunter2"));
    }

    #[test]
    fn a_folder_called_tilde_is_refused_with_the_way_out() {
        let error = parse("local:~/x").unwrap_err();
        assert_eq!(error.help().unwrap(), "write `$HOME/x`");
        assert!(matches!(parse("local:"), Err(StorageError::NoLocation)));
        assert!(matches!(parse(" "), Err(StorageError::NoLocation)));
    }
}

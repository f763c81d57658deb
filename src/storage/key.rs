//! Every path in a storage: `{project}/{folder}/{path}`, and the names that are ours.
//!
//! Pure. No other module puts such a path together.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::id::{IdError, ProjectName, RelPath, Revision, RunId};

/// The file that makes a folder a published one.
pub const MANIFEST: &str = "manifest.json";

const STAGING: &str = ".staging-";
const RUN: &str = "-run-";

/// The second part: a revision, or a run of it that was published beside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Folder {
    /// What was run.
    pub revision: Revision,
    /// The run, where `--on-conflict new-run` made this folder.
    pub run: Option<RunId>,
}

impl Folder {
    /// The folder of a revision.
    pub fn of(revision: &Revision) -> Self {
        Self { revision: revision.clone(), run: None }
    }

    /// The folder beside it for one run.
    #[must_use]
    pub fn beside(&self, run: &RunId) -> Self {
        Self { revision: self.revision.clone(), run: Some(run.clone()) }
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.revision)?;
        self.run.as_ref().map_or(Ok(()), |run| write!(f, "{RUN}{run}"))
    }
}

impl FromStr for Folder {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once(RUN) {
            None => Ok(Self { revision: text.parse()?, run: None }),
            Some((revision, run)) => Ok(Self { revision: revision.parse()?, run: Some(run.parse()?) }),
        }
    }
}

impl Serialize for Folder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The folder, beside the published ones, in which a run is put together.
pub fn staging(run: &RunId) -> String {
    format!("{STAGING}{run}")
}

/// Whether a name in a project's folder is such a folder.
pub fn is_staging(name: &[u8]) -> bool {
    name.starts_with(STAGING.as_bytes())
}

/// What a link says: the way from its own folder to `target`.
pub fn link_text(link: &RelPath, target: &RelPath) -> Vec<u8> {
    let parts = |path: &RelPath| -> Vec<Vec<u8>> {
        path.as_bytes().split(|b| *b == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let from = parts(&link.parent().unwrap_or_default());
    let to = parts(target);
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let mut way = vec![b"..".to_vec(); from.len() - shared];
    way.extend_from_slice(&to[shared..]);
    if way.is_empty() { b".".to_vec() } else { way.join(&b'/') }
}

/// The key of a folder in an object service, with a closing `/`.
pub fn object_folder(project: &ProjectName, folder: &Folder) -> String {
    format!("{project}/{folder}/")
}

/// The key of one file in an object service.
pub fn object(project: &ProjectName, folder: &Folder, path: &RelPath) -> String {
    let parts: Vec<String> = path.as_bytes().split(|b| *b == b'/').map(encode).collect();
    format!("{project}/{folder}/{}", parts.join("/"))
}

/// The key of a folder's manifest in an object service.
pub fn object_manifest(project: &ProjectName, folder: &Folder) -> String {
    format!("{project}/{folder}/{MANIFEST}")
}

/// The path that [`object`] made into `key`, which is what follows the folder.
pub fn from_object(key: &str) -> Option<RelPath> {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let mut byte = [0];
            hex::decode_to_slice(tail.get(..2)?, &mut byte).ok()?;
            bytes.push(byte[0]);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    RelPath::from_bytes(&bytes).ok()
}

/// One name, with everything escaped that some service trims, forbids or cannot carry.
fn encode(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c.is_whitespace() && c != ' ' || "%\\\"*:<>?|".contains(c) {
                escape(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(c);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    // Services trim blanks at both ends and dots at the end, which would make two names one.
    for end in [" ", "."] {
        if let Some(rest) = text.strip_suffix(end) {
            text = format!("{rest}%{:02x}", end.as_bytes()[0]);
        }
    }
    match text.strip_prefix(' ') {
        Some(rest) => format!("%20{rest}"),
        None => text,
    }
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push('%');
        text.push_str(&hex::encode([*byte]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> RelPath {
        text.parse().unwrap()
    }

    #[test]
    fn folder_names_are_read_back() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        for text in [sha.to_owned(), format!("{sha}-dirty-0123456789ab"), format!("{sha}-run-20261121-x")] {
            assert_eq!(text.parse::<Folder>().unwrap().to_string(), text);
        }
        for bad in ["", "latest", ".staging-x", &sha[..39], &format!("{sha}-run-")] {
            assert!(bad.parse::<Folder>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_link_says_the_way_from_its_own_folder() {
        assert_eq!(link_text(&path("a/b/link"), &path("a/c/file")), b"../c/file");
        assert_eq!(link_text(&path("link"), &path("file")), b"file");
        assert_eq!(link_text(&path("a/link"), &path("a")), b".");
        assert_eq!(link_text(&path("a/b/link"), &RelPath::root()), b"../..");
    }

    #[test]
    fn blanks_and_dots_at_the_ends_do_not_get_lost() {
        let project = "p".parse().unwrap();
        let folder: Folder = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
        let keys: Vec<_> =
            ["a", " a", "a ", "a.", "%20a"].iter().map(|name| object(&project, &folder, &path(name))).collect();
        let trimmed: std::collections::BTreeSet<_> = keys.iter().map(|key| key.trim_matches([' ', '.'])).collect();
        assert_eq!(trimmed.len(), keys.len(), "{keys:?}");
    }

    proptest! {
        #[test]
        fn every_path_has_its_own_key_and_comes_back(parts in prop::collection::vec(prop::collection::vec(1_u8.., 1..6), 1..4)) {
            let joined = parts.join(&b'/');
            prop_assume!(RelPath::from_bytes(&joined).is_ok());
            let path = RelPath::from_bytes(&joined).unwrap();
            let folder: Folder = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
            let key = object(&"p".parse().unwrap(), &folder, &path);
            let rest = key.strip_prefix("p/0123456789abcdef0123456789abcdef01234567/").unwrap();
            prop_assert_eq!(from_object(rest), Some(path));
        }
    }
}

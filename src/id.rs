//! The words every room shares: commits, revisions, runs, projects, relative paths and digests.
//!
//! Values here are validated once, when they are made, and carry no behaviour beyond showing themselves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub mod word;

/// Why a word was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 40 or 64 lower-case hexadecimal digits.
    #[error("`{0}` is not a full commit id (40 or 64 hexadecimal digits)")]
    Commit(String),
    /// A run id holds lower-case letters, digits and `-`, at most 64 of them.
    #[error("`{0}` is not a run id")]
    Run(String),
    /// A project becomes a folder name in the storage.
    #[error(
        "`{0}` is not a project name: use 1 to 100 letters, digits, `.`, `_` or `-`, starting with a letter or digit"
    )]
    Project(String),
    /// A path that is absolute, climbs, or has an empty part.
    #[error("`{0}` is not a plain relative path")]
    Path(String),
    /// Not 64 hexadecimal digits.
    #[error("`{0}` is not a sha256 digest")]
    Digest(String),
}

/// Control characters, and those that hide or reorder the text around them: shown as escapes wherever a stranger's text is
/// shown to people.
pub fn is_unsightly(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// A full Git commit id: 40 (SHA-1) or 64 (SHA-256) lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct CommitSha(String);

impl CommitSha {
    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 10 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl FromStr for CommitSha {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let hex = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && matches!(text.len(), 40 | 64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Commit(text.to_owned()))
        }
    }
}

/// What is run: a commit, or a commit plus the digest of the uncommitted tree on top of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision {
    /// The commit that is checked out.
    pub commit: CommitSha,
    /// The Git tree id of the working tree, when it was run with `--allow-dirty`.
    pub dirty_tree: Option<String>,
    /// Whether only a sample of the data was used: another result, so another folder.
    pub sample: bool,
    /// Whether tasks were left out (`-- --partially TASK`): never to be taken for the whole.
    pub partial: bool,
}

impl Revision {
    /// The whole result of a commit and of nothing else.
    pub fn is_whole(&self) -> bool {
        self.dirty_tree.is_none() && !self.sample && !self.partial
    }

    /// The folder name in the storage: `{sha}`, then `-dirty-{first 12 digits of the tree}`, then `-sample`, then
    /// `-partial`.
    pub fn folder(&self) -> String {
        let mut name = self.commit.as_str().to_owned();
        if let Some(tree) = &self.dirty_tree {
            name += DIRTY;
            name += &tree[..12.min(tree.len())];
        }
        if self.sample {
            name += SAMPLE;
        }
        if self.partial {
            name += PARTIAL;
        }
        name
    }
}

const DIRTY: &str = "-dirty-";
const SAMPLE: &str = "-sample";
const PARTIAL: &str = "-partial";

impl FromStr for Revision {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let without =
            |text: &'_ str, end| text.strip_suffix(end).map_or((text.len(), false), |rest| (rest.len(), true));
        let (len, partial) = without(text, PARTIAL);
        let (len, sample) = without(&text[..len], SAMPLE);
        let rest = &text[..len];
        let (commit, dirty_tree) = match rest.split_once(DIRTY) {
            None => (rest, None),
            Some((commit, tree)) if tree.len() == 12 && tree.bytes().all(|b| b.is_ascii_hexdigit()) => {
                (commit, Some(tree.to_owned()))
            }
            Some(_) => return Err(IdError::Commit(text.to_owned())),
        };
        Ok(Self { commit: commit.parse()?, dirty_tree, sample, partial })
    }
}

/// One execution for one commit: `20261121-093000-4f1c2d9a-x7k2`, sortable by start time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase() || b == b'-');
        if plain && !text.is_empty() && text.len() <= 64 && !text.starts_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Run(text.to_owned()))
        }
    }
}

/// The first folder in the storage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ProjectName(String);

impl ProjectName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if plain && starts && text.len() <= 100 {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError::Project(text.to_owned()))
        }
    }
}

/// A relative path of any bytes but NUL, with no empty, `.` or `..` part; the empty path is the root itself.
///
/// Serialised as text where it is UTF-8, otherwise as `{"hex": "…"}`, so that no two paths share a form.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// The folder itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Takes `bytes` as they are.
    ///
    /// # Errors
    /// When the path is absolute or has an empty, `.` or `..` part or a NUL.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdError> {
        let plain = |part: &[u8]| !part.is_empty() && part != b"." && part != b".." && !part.contains(&0);
        if bytes.is_empty() || bytes.split(|b| *b == b'/').all(plain) {
            Ok(Self(bytes.to_vec()))
        } else {
            Err(IdError::Path(String::from_utf8_lossy(bytes).into_owned()))
        }
    }

    /// Resolves `.` and `..` parts and doubled slashes first; fails where the result would leave the root.
    ///
    /// # Errors
    /// When the path is absolute, climbs above the root, or holds a NUL.
    pub fn normalise(text: &str) -> Result<Self, IdError> {
        let refuse = || IdError::Path(text.to_owned());
        if text.starts_with('/') || text.contains('\0') {
            return Err(refuse());
        }
        let mut parts: Vec<&str> = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop().ok_or_else(refuse)?),
                other => parts.push(other),
            }
        }
        Ok(Self(parts.join("/").into_bytes()))
    }

    /// The bytes, `/` between parts.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as text where it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The path for the operating system.
    pub fn as_path(&self) -> &std::path::Path {
        use std::os::unix::ffi::OsStrExt;
        std::path::Path::new(std::ffi::OsStr::from_bytes(&self.0))
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// `self/other`.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        match (self.is_root(), other.is_root()) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ => Self([&self.0[..], b"/", &other.0[..]].concat()),
        }
    }

    /// The folder that holds this path; the root's parent is `None`.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let cut = self.0.iter().rposition(|b| *b == b'/').unwrap_or(0);
        Some(Self(self.0[..cut].to_vec()))
    }

    /// The last part.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|b| *b == b'/').next().unwrap_or_default()
    }

    /// The path below `base`, if it is there.
    pub fn strip_prefix(&self, base: &Self) -> Option<Self> {
        if base.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&base.0[..])?;
        match rest {
            [] => Some(Self::root()),
            [b'/', tail @ ..] => Some(Self(tail.to_vec())),
            _ => None,
        }
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is unsightly and broken UTF-8 must not reach a terminal as they are.
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_unsightly(c) { write!(f, "{}", c.escape_default())? } else { fmt::Write::write_char(f, c)? }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RelPath({self})")
    }
}

impl FromStr for RelPath {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::from_bytes(text.as_bytes())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HexPath {
    hex: String,
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) => serializer.serialize_str(text),
            None => HexPath { hex: hex::encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        struct PathVisitor;
        impl<'de> serde::de::Visitor<'de> for PathVisitor {
            type Value = RelPath;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a relative path, or {\"hex\": …}")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<RelPath, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<RelPath, A::Error> {
                let hex = HexPath::deserialize(serde::de::value::MapAccessDeserializer::new(map))?.hex;
                let bytes = hex::decode(hex).map_err(A::Error::custom)?;
                RelPath::from_bytes(&bytes).map_err(A::Error::custom)
            }
        }
        deserializer.deserialize_any(PathVisitor)
    }
}

/// A sha256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdError::Digest(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

macro_rules! text_form {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
text_form!(CommitSha, RunId, ProjectName);

macro_rules! parse_form {
    ($($name:ident),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
parse_form!(CommitSha, RunId, ProjectName, Digest, Revision);

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Revision {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.folder())
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.folder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_in_its_own_order_and_in_one_line() {
        let path = RelPath::from_bytes("a\u{202e}gpj.exe\n\u{2066}é ❤\u{fe0f}".as_bytes()).unwrap();
        assert_eq!(path.to_string(), "a\\u{202e}gpj.exe\\n\\u{2066}é ❤\u{fe0f}");
    }
}

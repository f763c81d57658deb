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
/// What names begin with that are ours while something is written, and nobody's afterwards.
const PART: &str = ".soopervisor-part-";
const HOLD: &str = ".soopervisor-hold%2d";
const SWEEP: &str = ".soopervisor-sweep%2d";
/// What follows it where the folder was published until then.
const TAKEN: &str = "taken-";
const TRIAL: &str = "soopervisor-doctor-";
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

/// The name under which a folder that is being removed waits for the end of it; a staging folder of nobody.
pub fn removal(folder: &Folder) -> String {
    format!("{STAGING}removed-{folder}")
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

/// The name, in its folder, of one file that needs no name of its own.
pub fn stored_name(path: &RelPath) -> String {
    let parts: Vec<String> = path.as_bytes().split(|b| *b == b'/').map(encode).collect();
    parts.join("/")
}

/// The key of one file in an object service.
pub fn object(project: &ProjectName, folder: &Folder, path: &RelPath) -> String {
    format!("{project}/{folder}/{}", stored_name(path))
}

/// What says which folder of a project is the newest. Readers need not believe it.
pub fn latest(project: &ProjectName) -> String {
    format!("{project}/latest.json")
}

/// One line of a project's index: names sort by time.
pub fn index(project: &ProjectName, folder: &Folder, ended: jiff::Timestamp) -> String {
    format!("{project}/index/{}-{folder}.json", ended.strftime("%Y%m%dT%H%M%SZ"))
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

/// The path by which people are told of a file that no manifest names: what its key stands for, or the key as it is where
/// that is no path, or one that `is_ours` says is of something else.
pub(super) fn foreign(key: &str, is_ours: impl Fn(&RelPath) -> bool) -> RelPath {
    let parts = key.split('/').map(|part| match part {
        "" => "%".to_owned(),
        "." | ".." => part.replace('.', "%2e"),
        part => part.replace('\0', "%00"),
    });
    let spelled = parts.collect::<Vec<_>>().join("/");
    let ways = [from_object(key), RelPath::from_bytes(spelled.as_bytes()).ok()];
    if let Some(path) = ways.into_iter().flatten().find(|path| !is_ours(path)) {
        return path;
    }
    // One character is told by its bytes, which no other path is.
    let start = spelled.rfind('/').map_or(0, |at| at + 1);
    let (above, last) = spelled.split_at(start);
    let mut text = above.to_owned();
    let mut rest = last.chars();
    if let Some(first) = rest.next() {
        escape(&mut text, first.encode_utf8(&mut [0; 4]).as_bytes());
    }
    text.push_str(rest.as_str());
    RelPath::from_bytes(text.as_bytes()).unwrap_or_default()
}

/// Names that some service or system keeps for itself, with any ending or without one.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
/// Names that some service refuses or drops silently.
const REFUSED: [&str; 8] =
    ["desktop.ini", "thumbs.db", ".ds_store", "icon\r", ".dropbox", ".dropbox.attr", ".lock", ".htaccess"];
/// What names of files begin with that office programs leave beside those that are open, which Dropbox passes over.
const PASSED_OVER: &str = ".~";
/// Endings that Nextcloud and ownCloud keep for files that have not arrived whole.
const PARTIAL: [&str; 2] = [".part", ".filepart"];

/// One name, with everything escaped that some service trims, forbids, drops or cannot carry: what one storage holds can
/// be moved to any other.
fn encode(name: &[u8]) -> String {
    let mut text = String::new();
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c.is_whitespace() && c != ' ' || "%\\\"*:<>?|".contains(c) || c == '\u{fffd}' {
                escape(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                text.push(c);
            }
        }
        escape(&mut text, chunk.invalid());
    }
    if is_kept_elsewhere(name) {
        let first = text.chars().next().unwrap_or_default();
        if first != '%' {
            let rest = text.split_off(first.len_utf8());
            text.clear();
            escape(&mut text, first.encode_utf8(&mut [0; 4]).as_bytes());
            text.push_str(&rest);
        }
    }
    if is_partial(name)
        && let Some(last) = text.pop()
    {
        escape(&mut text, last.encode_utf8(&mut [0; 4]).as_bytes());
    }
    // Some servers (Nextcloud's) store letters composed, whatever they were sent, and would list another name.
    let text = if unicode_normalization::is_nfc(&text) { text } else { without_letters(&text) };
    // SharePoint refuses it anywhere in a name.
    let text = replace_ignoring_case(text, "_vti_", "%5fvti_");
    // Services trim blanks at both ends and dots at the end, which would make two names one.
    let text = match text.as_bytes().last() {
        Some(end @ (b' ' | b'.')) => format!("{}%{end:02x}", &text[..text.len() - 1]),
        _ => text,
    };
    match text.as_bytes().first() {
        Some(start @ (b' ' | b'~')) => format!("%{start:02x}{}", &text[1..]),
        _ => text,
    }
}

/// With everything escaped that is not ASCII.
fn without_letters(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() * 3);
    for c in text.chars() {
        if c.is_ascii() { plain.push(c) } else { escape(&mut plain, c.encode_utf8(&mut [0; 4]).as_bytes()) }
    }
    plain
}

fn is_kept_elsewhere(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let stem = name.split(|b| *b == b'.').next().unwrap_or_default();
    let numbered = matches!(stem, [b'c', b'o', b'm', b'0'..=b'9'] | [b'l', b'p', b't', b'0'..=b'9']);
    numbered
        || DEVICES.iter().any(|device| stem == device.as_bytes())
        || REFUSED.iter().any(|one| name == one.as_bytes())
        || name.starts_with(PASSED_OVER.as_bytes())
}

fn is_partial(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    PARTIAL.iter().any(|ending| name.ends_with(ending.as_bytes()))
}

fn replace_ignoring_case(text: String, from: &str, to: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if !lower.contains(from) {
        return text;
    }
    let (mut out, mut rest) = (String::new(), 0);
    for (at, _) in lower.match_indices(from) {
        out.push_str(&text[rest..at]);
        // Only the first character is escaped; the others keep their case.
        out.push_str(&to[..3]);
        out.push_str(&text[at + 1..at + from.len()]);
        rest = at + from.len();
    }
    out.push_str(&text[rest..]);
    out
}

/// Under which names, relative to the folder, these files are stored: each its [`encode`]d path, or a short one of its
/// own where that is longer than `longest` or where two differ in nothing that every service tells apart (case, the
/// composition of letters).
pub fn stored_names<'a>(paths: impl IntoIterator<Item = &'a RelPath>, longest: usize) -> Vec<String> {
    use std::collections::HashMap;
    // Folders clash too: `A/x` and `a/y` would lie in one folder of either name.
    let mut spellings: HashMap<String, String> = HashMap::new();
    let mut stored = |path: &RelPath| {
        let mut name = String::new();
        for part in path.as_bytes().split(|b| *b == b'/') {
            let plain = encode(part);
            if !name.is_empty() {
                name.push('/');
            }
            let start = name.len();
            name.push_str(&plain);
            // The first spelling of its kind keeps it; any other gets a suffix of its own.
            let first = spellings.entry(folded(&name)).or_insert_with(|| name.clone());
            if *first != name || plain.chars().count() > LONGEST_NAME || plain.len() > LONGEST_IN_BYTES {
                let own = short_name(&plain, name.as_bytes());
                name.truncate(start);
                name.push_str(&own);
            }
        }
        if name.chars().count() <= longest {
            return name;
        }
        short_name(name.rsplit('/').next().unwrap_or_default(), path.as_bytes())
    };
    paths.into_iter().map(&mut stored).collect()
}

/// What nobody else comes to.
fn chance() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    // Seeded anew each time, by the system's randomness.
    let random = || std::hash::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

/// A name in the folder of `key` that nobody has, for a file that is not finished.
pub(super) fn beside(key: &str) -> String {
    let name = format!("{PART}{}", chance());
    match key.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name,
    }
}

/// A name that nobody has, beside the projects, for a small file that is written to see whether that can be done: what is
/// removed afterwards is nobody else's.
pub(super) fn trial() -> String {
    format!("{TRIAL}{}", chance())
}

/// Whether a key is one that [`trial`] gave.
pub(super) fn is_trial(key: &str) -> bool {
    let chance = key.strip_prefix(TRIAL);
    chance.is_some_and(|chance| chance.len() == 32 && chance.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// Whether `part` is a name that [`beside`] gave for `key`.
#[cfg(any(feature = "webdav", feature = "sftp"))]
pub(super) fn is_beside(key: &str, part: &str) -> bool {
    let folder = |key: &str| key.rsplit_once('/').map(|(folder, _)| folder.to_owned());
    is_unfinished(part) && is_stored_name(part) && folder(key) == folder(part)
}

/// The folder beside `key` that whoever wants to give it makes first; the `number`th, for those that came to nothing.
#[cfg(any(feature = "webdav", feature = "sftp"))]
pub(super) fn claim(key: &str, number: u32) -> String {
    use sha2::{Digest as _, Sha256};
    let (above, name) = key.rsplit_once('/').map_or(("", key), |(above, name)| (above, name));
    let claim = format!("{PART}claim-{number}-{}", hex::encode(&Sha256::digest(name)[..8]));
    if above.is_empty() { claim } else { format!("{above}/{claim}") }
}

/// The file, in an unfinished folder, by which a publisher says that it goes on with what lies there. Outputs never have
/// such a name: theirs escape `%`.
pub(super) fn hold(project: &ProjectName, folder: &Folder) -> String {
    format!("{}{HOLD}{}", object_folder(project, folder), chance())
}

/// The file, in an unfinished folder, by which `prune` says that it takes away what lies there.
pub(super) fn sweep(project: &ProjectName, folder: &Folder) -> String {
    format!("{}{SWEEP}{}", object_folder(project, folder), chance())
}

/// The [`sweep`] by which `prune` says that it takes away what was published there: everything that is no younger than
/// this is of nobody.
pub(super) fn taken(project: &ProjectName, folder: &Folder) -> String {
    format!("{}{SWEEP}{TAKEN}{}", object_folder(project, folder), chance())
}

/// Whether a name in a folder is that of a [`taken`].
pub(super) fn is_taken(name: &str) -> bool {
    name.strip_prefix(SWEEP).is_some_and(|rest| rest.starts_with(TAKEN))
}

/// Whether a name in a folder is that of a [`sweep`].
pub(super) fn is_sweep(name: &str) -> bool {
    name.starts_with(SWEEP)
}

/// Whether a name in a folder is that of a [`hold`] or a [`sweep`].
pub(super) fn is_mark(name: &str) -> bool {
    name.starts_with(HOLD) || name.starts_with(SWEEP)
}

/// Whether a whole key is that of a mark: where files are removed one by one, marks go last.
pub(super) fn is_marks(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(is_mark)
}

/// Whether a key is of a file that is not finished.
pub(super) fn is_unfinished(key: &str) -> bool {
    key.trim_end_matches('/').rsplit('/').next().is_some_and(|name| name.starts_with(PART))
}

/// A name that nothing else has, for what is stored a second time because its own name holds something else.
pub fn other_name(name: &str, run: &RunId) -> String {
    let (above, last) = name.rsplit_once('/').map_or(("", name), |(above, last)| (above, last));
    let short = short_name(last, format!("{run}/{name}").as_bytes());
    if above.is_empty() { short } else { format!("{above}/{short}") }
}

/// How the folder of a project is spelt among the names that lie beside it: as the project is, or else in a way that some
/// storages take for the same.
pub(super) fn spelling<'a>(names: &'a [String], project: &ProjectName) -> Option<&'a str> {
    let ours = folded(project.as_str());
    let same = names.iter().find(|name| *name == project.as_str());
    same.or_else(|| names.iter().find(|name| folded(name) == ours)).map(String::as_str)
}

/// Whether two projects have one folder where names that differ only in case are one.
pub(super) fn are_twins(one: &ProjectName, other: &ProjectName) -> bool {
    one != other && folded(one.as_str()) == folded(other.as_str())
}

/// Whether a name in a folder shows that we gave it, for a while or in the place of another one: nobody else's file has
/// such a name.
pub(super) fn is_of_our_making(name: &str) -> bool {
    is_mark(name) || is_unfinished(name) || name.rsplit('/').next().is_some_and(is_short_name)
}

/// Whether a name is one that [`short_name`] made.
fn is_short_name(name: &str) -> bool {
    name.match_indices(DIGEST).any(|(at, _)| {
        let rest = &name.as_bytes()[at + DIGEST.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        digits == DIGITS && matches!(rest.get(DIGITS), None | Some(b'.'))
    })
}

/// What a digest in a name follows, and how many digits it has.
const DIGEST: &str = "%23";
const DIGITS: usize = 16;

/// The beginning and the ending of `name`, with a digest of `of` between them.
fn short_name(name: &str, of: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = hex::encode(&Sha256::digest(of)[..DIGITS / 2]);
    let (stem, ending) = match name.rsplit_once('.') {
        Some((stem, ending)) if !stem.is_empty() && ending.len() <= 10 && !ending.contains('%') => {
            (stem, format!(".{ending}"))
        }
        _ => (name, String::new()),
    };
    let mut kept: String = stem.chars().take(40).collect();
    // An escape is not cut in two.
    if let Some(at) = kept.rfind('%')
        && at + 3 > kept.len()
    {
        kept.truncate(at);
    }
    format!("{kept}{DIGEST}{digest}{ending}")
}

/// A name with its letters composed, as all are that we store.
pub(super) fn composed(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    name.nfc().collect()
}

/// Equal for two names that some service takes for one.
fn folded(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    let once: String = name.nfc().collect::<String>().to_uppercase().to_lowercase();
    once.nfc().collect()
}

/// Whether a stored name from a manifest, which may be hostile, stays inside its folder.
pub fn is_stored_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 4096
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !name.bytes().any(|b| b.is_ascii_control() || b == b'\\')
}

/// Characters of one name.
const LONGEST_NAME: usize = 200;
/// What file systems behind WebDAV and SFTP take; escapes make a name longer than it was.
const LONGEST_IN_BYTES: usize = 255;

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

    #[test]
    fn every_key_of_somebody_else_has_a_path_that_is_none_of_ours() {
        let ours = [path("taken.csv"), path("d/taken.csv")];
        let told = |key: &str| foreign(key, |path| ours.contains(path)).to_string();
        for (key, path) in [
            ("notes.txt", "notes.txt"),
            ("a%3ab", "a:b"),
            ("100% sure.txt", "100% sure.txt"),
            ("50%", "50%"),
            ("d//x", "d/%/x"),
            ("d/../x", "d/%2e%2e/x"),
            ("%2e%2e/x", "%2e%2e/x"),
            // Stored elsewhere by us, under its plain name by somebody else; and another spelling of our own.
            ("d/taken.csv", "d/%74aken.csv"),
            ("t%61ken.csv", "t%61ken.csv"),
        ] {
            assert_eq!(told(key), path, "{key}");
        }
    }

    #[test]
    fn names_that_a_service_keeps_for_itself_are_escaped() {
        for name in ["CON", "nul.txt", "Com1", "desktop.ini", "Thumbs.db", "~lock", ".DS_Store", "a_vti_b", "A_VTI_"] {
            let stored = stored_name(&path(name));
            assert!(stored.contains('%'), "{name}");
            assert_eq!(from_object(&stored), Some(path(name)), "{name}");
        }
        // What office programs leave, and what Nextcloud does not take.
        for (name, expected) in [
            (".~lock.report.ods#", "%2e~lock.report.ods#"),
            ("a/.~tmp/b", "a/%2e~tmp/b"),
            ("~$report.docx", "%7e$report.docx"),
            (".htaccess", "%2ehtaccess"),
            ("x.part", "x.par%74"),
            ("X.FilePart", "X.FilePar%74"),
        ] {
            assert_eq!(stored_name(&path(name)), expected);
            assert_eq!(from_object(expected), Some(path(name)), "{name}");
        }
        for name in ["console", "a.con", "data/plot.png", "é", "a.~b", ".a~", "my.part.csv", "part"] {
            assert_eq!(stored_name(&path(name)), name);
        }
    }

    #[test]
    fn what_some_service_takes_for_one_name_gets_two() {
        let paths: Vec<RelPath> =
            ["A/x.csv", "a/x.csv", "a/y.csv", "e\u{301}.png", "é.png", "É.PNG", "straße", "STRASSE"].map(path).to_vec();
        let names = stored_names(&paths, 1000);
        let kinds: std::collections::BTreeSet<_> = names.iter().map(|name| folded(name)).collect();
        assert_eq!(kinds.len(), paths.len(), "{names:?}");
        assert_eq!((&names[0][..], &names[4][..]), ("A/x.csv", "é.png"), "the first keeps its name");
        assert!(names.iter().all(|name| is_stored_name(name)));
    }

    #[test]
    fn what_a_server_may_compose_is_escaped_and_comes_back() {
        for name in ["e\u{301}.png", "data/A\u{30a}ngstrom \u{212b}.csv", "\u{1112}\u{1161}\u{11ab}"] {
            let stored = stored_name(&path(name));
            assert!(unicode_normalization::is_nfc(&stored) && stored.contains('%'), "{stored}");
            assert_eq!(from_object(&stored), Some(path(name)));
        }
    }

    #[test]
    fn no_name_is_longer_in_bytes_than_file_systems_take() {
        let name = path(&format!("{}{}", "日".repeat(60), ":".repeat(45)));
        let names = stored_names([&name], 1000);
        assert!(stored_name(&name).len() > 255 && names[0].len() <= 255, "{names:?}");
        let whole = path(&"日".repeat(85));
        assert_eq!(stored_names([&whole], 1000), [whole.as_str().unwrap()], "as long as it was");
    }

    #[test]
    fn a_name_of_our_making_is_no_users() {
        let (project, folder) = ("p".parse().unwrap(), "0123456789abcdef0123456789abcdef01234567".parse().unwrap());
        let mark = hold(&project, &folder);
        let run = "r".parse().unwrap();
        for ours in [
            other_name("d/a.csv", &run),
            other_name("noending", &run),
            mark.rsplit('/').next().unwrap().to_owned(),
            beside("d/x"),
        ] {
            assert!(is_of_our_making(&ours), "{ours}");
        }
        assert_ne!(trial(), trial(), "what is removed by its name");
        let given = trial();
        assert!(is_trial(&given));
        let (inside, longer) = (format!("p/{given}"), format!("{given}.txt"));
        for theirs in ["soopervisor-doctor-", "soopervisor-doctor-notes", inside.as_str(), longer.as_str()] {
            assert!(!is_trial(theirs), "{theirs}");
        }
        for theirs in ["a.csv", "a#0123456789abcdef.csv", "a%230123.csv", "a%230123456789abcdefx", "%23"] {
            assert!(!is_of_our_making(theirs), "{theirs}");
        }
    }

    #[test]
    fn the_folder_of_a_project_is_told_from_one_that_differs_in_case() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let project: ProjectName = "R1".parse().unwrap();
        assert_eq!(spelling(&names(&["r2", "r1"]), &project), Some("r1"));
        assert_eq!(spelling(&names(&["r1", "R1"]), &project), Some("R1"), "it has a folder of its own");
        assert_eq!(spelling(&names(&["r", "r11"]), &project), None);
        let other = |name: &str| are_twins(&project, &name.parse().unwrap());
        assert!(other("r1") && !other("R1") && !other("r11"));
    }

    #[test]
    fn long_names_get_short_ones_that_keep_their_ending() {
        let long = path(&format!("{}/{}.csv", "d".repeat(150), "f".repeat(240)));
        let deep = path(&vec!["folder"; 80].join("/"));
        let names = stored_names([&long, &deep], 380);
        assert!(names.iter().all(|name| name.chars().count() <= 380), "{names:?}");
        assert!(std::path::Path::new(&names[0]).extension().is_some_and(|ending| ending == "csv"), "{names:?}");
        assert_eq!(names, stored_names([&long, &deep], 380), "the same every time");
    }

    #[test]
    fn no_output_is_stored_under_the_name_of_a_mark() {
        let (project, folder) = ("p".parse().unwrap(), "0123456789abcdef0123456789abcdef01234567".parse().unwrap());
        for mark in [hold(&project, &folder), sweep(&project, &folder), taken(&project, &folder)] {
            let name = mark.rsplit('/').next().unwrap();
            assert!(is_marks(&mark) && is_mark(name) && is_stored_name(name) && !is_unfinished(&mark), "{mark}");
            // Neither what the mark's name says nor what it stands for.
            let stem = name.split('%').next().unwrap().to_owned();
            for output in [name.to_owned(), name.replace("%2d", "-"), stem.clone()] {
                let stored = stored_names([&path(&output), &path(&stem.to_uppercase())], 1000);
                let other = other_name(&stored[0], &"r".parse().unwrap());
                assert!(stored.iter().chain([&other]).all(|name| !is_mark(name)), "{output}: {stored:?} {other}");
            }
        }
        assert!(is_sweep(&format!("{SWEEP}0")) && !is_sweep(&format!("{HOLD}0")));
        let name = |mark: String| mark.rsplit('/').next().unwrap().to_owned();
        let (taken, sweep) = (name(taken(&project, &folder)), name(sweep(&project, &folder)));
        assert!(is_sweep(&taken) && is_taken(&taken) && !is_taken(&sweep));
    }

    #[test]
    #[cfg(any(feature = "webdav", feature = "sftp"))]
    fn what_was_remembered_of_a_file_is_a_part_beside_it_or_nothing() {
        let part = beside("p/c/a");
        assert!(is_beside("p/c/a", &part) && is_beside("x", &beside("x")));
        for other in ["p/c/a", "p/.soopervisor-part-1", "p/c/../.soopervisor-part-1", "p/c/.soopervisor-part-1/x", ""] {
            assert!(!is_beside("p/c/a", other), "{other}");
        }
    }

    #[test]
    fn stored_names_of_a_hostile_manifest_stay_inside() {
        for bad in ["", "/x", "x/", "a//b", "..", "a/../b", ".", "a\\b", "a\nb"] {
            assert!(!is_stored_name(bad), "{bad:?}");
        }
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

//! How names are spelt in a storage: everything escaped that some service trims, forbids, drops or cannot carry, a short
//! name where one is too long or taken, and the way back.

use crate::id::RelPath;

/// The name, in its folder, of one file that needs no name of its own.
pub fn stored_name(path: &RelPath) -> String {
    let parts: Vec<String> = path.as_bytes().split(|b| *b == b'/').map(encode).collect();
    parts.join("/")
}

/// The path that [`object`](super::object) made into `key`, which is what follows the folder.
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
pub(in crate::storage) fn foreign(key: &str, is_ours: impl Fn(&RelPath) -> bool) -> RelPath {
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

/// Whether a name is one that [`short_name`] made.
pub(super) fn is_short_name(name: &str) -> bool {
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
pub(super) fn short_name(name: &str, of: &[u8]) -> String {
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
pub(in crate::storage) fn composed(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    name.nfc().collect()
}

/// Equal for two names that some service takes for one.
pub(super) fn folded(name: &str) -> String {
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
    use super::*;

    fn path(text: &str) -> RelPath {
        text.parse().unwrap()
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
    fn long_names_get_short_ones_that_keep_their_ending() {
        let long = path(&format!("{}/{}.csv", "d".repeat(150), "f".repeat(240)));
        let deep = path(&vec!["folder"; 80].join("/"));
        let names = stored_names([&long, &deep], 380);
        assert!(names.iter().all(|name| name.chars().count() <= 380), "{names:?}");
        assert!(std::path::Path::new(&names[0]).extension().is_some_and(|ending| ending == "csv"), "{names:?}");
        assert_eq!(names, stored_names([&long, &deep], 380), "the same every time");
    }

    #[test]
    fn stored_names_of_a_hostile_manifest_stay_inside() {
        for bad in ["", "/x", "x/", "a//b", "..", "a/../b", ".", "a\\b", "a\nb"] {
            assert!(!is_stored_name(bad), "{bad:?}");
        }
    }
}

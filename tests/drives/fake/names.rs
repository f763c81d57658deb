//! Which names a vendor refuses, and how names are compared.

use unicode_normalization::UnicodeNormalization;

pub fn fold(name: &str) -> String {
    name.nfc().flat_map(char::to_lowercase).collect()
}

/// Two forms of the same text differ in case or composition only.
pub fn same(one: &str, other: &str) -> bool {
    fold(one) == fold(other)
}

const LONGEST: usize = 255;

pub fn dropbox(name: &str) -> Result<(), &'static str> {
    let junk = ["desktop.ini", "thumbs.db", ".ds_store", "icon\r", ".dropbox", ".dropbox.attr"];
    if junk.contains(&fold(name).as_str()) {
        return Err("disallowed_name");
    }
    let bad = name.is_empty() || name.chars().count() > LONGEST || name.contains(['\\', '\u{7f}', '\0']);
    if bad || name.ends_with(' ') || name == "." || name == ".." { Err("malformed_path") } else { Ok(()) }
}

pub fn boxcom(name: &str) -> Result<(), &'static str> {
    if name.chars().count() > LONGEST {
        return Err("item_name_too_long");
    }
    let bad = name.is_empty() || name.contains(['/', '\\']) || name.chars().any(char::is_control);
    if bad || name != name.trim_matches(' ') || name == "." || name == ".." { Err("item_name_invalid") } else { Ok(()) }
}

pub fn onedrive(name: &str) -> Result<(), &'static str> {
    let upper = name.to_uppercase();
    let stem = upper.split('.').next().unwrap_or_default();
    let numbered = |start: &str| {
        stem.strip_prefix(start).is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let device = ["CON", "PRN", "AUX", "NUL"].contains(&stem) || numbered("COM") || numbered("LPT");
    let reserved = device || upper == ".LOCK" || upper == "DESKTOP.INI" || upper.contains("_VTI_");
    let bad = name.contains(['"', '*', ':', '<', '>', '?', '/', '\\', '|']) || name.chars().any(char::is_control);
    let edges = name.starts_with([' ', '~']) || name.ends_with([' ', '.']);
    if name.is_empty() || name.chars().count() > LONGEST || bad || edges || reserved {
        Err("invalidRequest")
    } else {
        Ok(())
    }
}

/// `%XX` undone; what is no UTF-8 becomes replacement characters.
pub fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

//! Bytes of a file as text, and text of files as it may be shown.

use std::borrow::Cow;

use crate::id::is_unsightly;

/// Text, and what had to be done to read it.
pub(super) struct Decoded<'a> {
    pub(super) text: Cow<'a, str>,
    /// It is not UTF-8 and was read byte for byte.
    pub(super) latin1: bool,
}

/// Reads UTF-8, with or without a mark before it, or else Latin-1.
///
/// # Errors
/// When it is UTF-16 or holds NULs: then it is no text that is compared here.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded<'_>, &'static str> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("it is UTF-16; write UTF-8 to have it compared");
    }
    if memchr::memchr(0, bytes).is_some() {
        return Err("it is not text");
    }
    let bytes = bytes.strip_prefix(&[0xef, 0xbb, 0xbf]).unwrap_or(bytes);
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) => Decoded { text: Cow::Borrowed(text), latin1: false },
        Err(_) => Decoded { text: Cow::Owned(bytes.iter().copied().map(char::from).collect()), latin1: true },
    })
}

/// A text of a file in one line of at most `longest` characters; what a terminal or page would obey is shown instead.
pub fn shown(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == longest {
            out.push('…');
            break;
        }
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_unsightly(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_dropped_and_other_encodings_are_read_or_refused() {
        let text = |bytes: &[u8]| decode(bytes).map(|read| (read.text.into_owned(), read.latin1));
        assert_eq!(text(b"\xef\xbb\xbfa,b"), Ok(("a,b".to_owned(), false)));
        assert_eq!(text(b"caf\xe9"), Ok(("café".to_owned(), true)));
        assert!(text(b"\xff\xfea\0").is_err() && text(b"a\0b").is_err());
    }

    #[test]
    fn nothing_shown_is_obeyed() {
        assert_eq!(shown("a\x1b[2J\n\u{202e}b", 99), "a\\u{1b}[2J\\n\\u{202e}b");
        assert_eq!(shown("abcdef", 3), "abc…");
        assert_eq!(shown("abc", 3), "abc");
    }
}

//! Text as one bash word, for scripts and for commands that people are told to type.
//!
//! The result means the same bytes in any locale, and shows what it means: control characters and characters that
//! reorder text are written as escapes, never as themselves.

use std::fmt::{self, Write};

use super::is_unsightly;

/// `bytes` as one bash word; `None` when they hold a NUL.
pub fn word(bytes: &[u8]) -> Option<String> {
    if bytes.contains(&0) {
        return None;
    }
    let mut out = String::with_capacity(bytes.len() + 2);
    write_word(&mut out, bytes).ok()?;
    Some(out)
}

/// Writes the word that [`word`] makes; who calls this has no NUL in it.
///
/// # Errors
/// What `dest` fails with.
pub fn write_word(dest: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    let bare = |b: &u8| b.is_ascii_alphanumeric() || b"_-./:@%+,".contains(b);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && bytes.iter().all(bare) => dest.write_str(text),
        Ok(text) if !text.chars().any(is_unsightly) => {
            dest.write_char('\'')?;
            for (i, part) in text.split('\'').enumerate() {
                dest.write_str(if i == 0 { "" } else { r"'\''" })?;
                dest.write_str(part)?;
            }
            dest.write_char('\'')
        }
        _ => write_escapes(dest, bytes),
    }
}

/// `$'…'`, for bytes that must not be shown as they are.
fn write_escapes(dest: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    dest.write_str("$'")?;
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => dest.write_str("\\n")?,
                '\t' => dest.write_str("\\t")?,
                '\r' => dest.write_str("\\r")?,
                '\'' | '\\' => write!(dest, "\\{c}")?,
                c if is_unsightly(c) => write_hex(dest, c.encode_utf8(&mut [0; 4]).as_bytes())?,
                c => dest.write_char(c)?,
            }
        }
        write_hex(dest, chunk.invalid())?;
    }
    dest.write_char('\'')
}

/// Always two digits, so that a digit that follows stays text.
fn write_hex(dest: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(dest, "\\x{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_plain_words_bare_and_quotes_the_rest() {
        let shown = |text: &str| word(text.as_bytes()).unwrap();
        assert_eq!(shown("output/nb.ipynb"), "output/nb.ipynb");
        assert_eq!(shown(""), "''");
        assert_eq!(shown("~/x"), "'~/x'");
        assert_eq!(shown("a=b"), "'a=b'");
        assert_eq!(shown("it's"), r"'it'\''s'");
        assert_eq!(shown("$(rm -rf /)"), "'$(rm -rf /)'");
        assert_eq!(shown("été"), "'été'");
        assert_eq!(shown("a\n\u{1b}[31m'"), r"$'a\n\x1b[31m\''");
        assert_eq!(shown("\u{202e}gpj"), r"$'\xe2\x80\xaegpj'");
        assert_eq!(word(b"\xff7"), Some(r"$'\xff7'".to_owned()));
        assert_eq!(word(b"a\0b"), None);
    }
}

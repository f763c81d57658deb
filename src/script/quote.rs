//! The askama escaper that makes every `{{ value }}` of a `.sh` template one bash word ([`crate::id::word`]).

use std::fmt::{self, Write};

use askama::filters::Escaper;

pub use crate::id::word::word;
use crate::id::word::write_word;

/// Quotes each value for bash. Registered for `*.sh` in `askama.toml`.
///
/// A value that is written in several pieces becomes several quoted pieces without a gap: still one word.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shell;

impl Escaper for Shell {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        // No bash word holds a NUL; failing here is the last line of defence behind `ScriptError::Nul`.
        if text.contains('\0') {
            return Err(fmt::Error);
        }
        write_word(&mut dest, text.as_bytes())
    }
}

/// Whether `name` can be exported by bash.
pub fn is_variable_name(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    starts && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_written_in_pieces_is_one_word() {
        let mut out = String::new();
        for piece in ["a", " b", "", "\n"] {
            Shell.write_escaped_str(&mut out, piece).unwrap();
        }
        assert_eq!(out, r"a' b'''$'\n'");
        assert!(Shell.write_escaped_str(&mut out, "x\0").is_err());
    }

    #[test]
    fn only_names_that_bash_exports_are_variable_names() {
        assert!(is_variable_name("_A1"));
        for name in ["", "1A", "A-B", "A B", "Ä", "A=", "A[0]", "A\n"] {
            assert!(!is_variable_name(name), "{name:?}");
        }
    }
}

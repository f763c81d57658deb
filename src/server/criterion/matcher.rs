//! Patterns, compiled when an expression is read: globs of our own, regular expressions in linear time and bounded size.

use regex::{Regex, RegexBuilder};

use crate::server::glob::Glob;

/// Bytes that a compiled regular expression may take.
const REGEX_BYTES: usize = 256 * 1024;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(super) enum Matcher {
    Regex(Regex),
    Glob(Glob),
}

impl Matcher {
    pub(super) fn regex(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).nest_limit(50).build();
        built.map(Self::Regex).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!("the regular expression needs more than {REGEX_BYTES} bytes"),
            error => {
                // The last line says what is wrong; those before draw it for a terminal.
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("not a regular expression: {last}")
            }
        })
    }

    pub(super) fn glob(text: &str) -> Result<Self, String> {
        Glob::parse(text).map(Self::Glob)
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(text),
            Self::Glob(glob) => glob.matches(text),
        }
    }
}

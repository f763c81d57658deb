//! `::add-mask::` for every secret: each line of it, and the encodings that a log is likely to show.
//!
//! The runner replaces what it was told before anything else is printed; what a pipeline prints was masked by `logs` already.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use crate::secret::Secret;

/// Less would shred the log.
const SHORTEST: usize = 4;
/// A short line of a long secret is most often no secret: `{`, `-----`.
const SHORTEST_LINE: usize = 8;

/// The commands, one a line. They hold the values: for the runner's stdout only.
pub fn masks<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    let mut values = BTreeSet::new();
    for secret in secrets {
        forms(secret.expose(), &mut values);
    }
    let mut text = String::new();
    for value in values {
        let _ = writeln!(text, "::add-mask::{}", value.replace('%', "%25"));
    }
    text
}

fn forms(value: &[u8], found: &mut BTreeSet<String>) {
    let Ok(text) = std::str::from_utf8(value) else { return };
    let text = text.trim();
    let many = text.lines().count() > 1;
    for line in text.lines().map(str::trim) {
        if line.len() >= if many { SHORTEST_LINE } else { SHORTEST } && !line.starts_with("-----") {
            found.insert(line.to_owned());
            found.insert(percent(line));
            let quoted = serde_json::Value::from(line).to_string();
            found.insert(quoted.trim_matches('"').to_owned());
        }
    }
    if text.len() >= SHORTEST {
        for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
            found.insert(engine.encode(text));
            found.insert(engine.encode(value));
        }
        // As the password of a request.
        found.insert(STANDARD.encode(format!("x-access-token:{text}")));
    }
    found.retain(|form| form.len() >= SHORTEST && !form.contains(['\n', '\r']));
}

fn percent(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_and_every_encoding_is_told_and_no_line_end_cuts_a_command() {
        let secret = Secret::new("key", b"-----BEGIN-----\nline-one/+%\nx\nline-two\n-----END-----\n".to_vec());
        let text = masks([&secret]);
        let told: Vec<&str> = text.lines().map(|line| line.strip_prefix("::add-mask::").unwrap()).collect();
        for form in ["line-one/+%25", "line-two", "line-one%252F%252B%2525"] {
            assert!(told.contains(&form), "{form} is not in {text}");
        }
        assert!(told.contains(&STANDARD.encode(secret.expose()).as_str()));
        assert!(!told.contains(&"x") && !text.contains("BEGIN"));
    }

    #[test]
    fn what_is_too_short_to_hide_is_not_told() {
        assert_eq!(masks([&Secret::new("s", b"abc".to_vec())]), "");
    }
}

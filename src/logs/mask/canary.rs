//! Proves, before a run starts, that the masker built for it hides a secret: raw, encoded, and cut anywhere.
//!
//! The needle is made up, registered like any secret, and sent through the automaton that the run will use.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::{MASK, Masker};

/// The masker let something through: the run must not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanaryFailed {
    /// The masker was built without the made-up secret.
    #[error("the masker carries no canary, so it cannot be proved: build it with the run's secrets")]
    Absent,
    /// The made-up secret came out.
    #[error(
        "the masker let a made-up secret through ({form}, cut after byte {cut}); nothing was run: please report this"
    )]
    Leaked {
        /// Which form of it.
        form: &'static str,
        /// Where the input was cut.
        cut: usize,
    },
}

/// A value that no output holds by chance, with characters that every quoting touches.
pub(super) fn needle() -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = format!("{} {}", std::process::id(), now.as_nanos());
    let random = hex::encode(Sha256::digest(seed));
    format!("canary \"{}/+&'{}", &random[..12], &random[12..24]).into_bytes()
}

/// Sends the canary through `masker`, whole and cut at every place.
///
/// # Errors
/// When any of it comes out, or the masker has none.
pub fn canary(masker: &Masker) -> Result<(), CanaryFailed> {
    let needle = masker.shared.canary.as_deref().ok_or(CanaryFailed::Absent)?;
    // Encoded here by other means than `forms`, so that a slip there shows.
    let raw = String::from_utf8_lossy(needle).into_owned();
    let mut lines = STANDARD.encode(needle);
    lines.insert(lines.len() / 2, '\n');
    let texts = [
        ("as it is", raw.clone()),
        ("as JSON", serde_json::Value::from(raw.clone()).to_string()),
        ("with doubled quotes", raw.replace('"', "\"\"")),
        ("as base64", STANDARD.encode(needle)),
        ("as base64 inside other text", STANDARD.encode([b"u:", needle, b"."].concat())),
        ("as base64 in two lines", lines),
        ("as base64 for URLs", URL_SAFE_NO_PAD.encode(needle)),
        ("percent-encoded", url::form_urlencoded::byte_serialize(needle).collect()),
        ("as hexadecimal digits", hex::encode(needle)),
        ("with every byte percent-encoded", numbered(needle, "%", "", |byte| format!("{byte:02X}"))),
        ("with every byte as an octal escape", numbered(needle, "\\", "", |byte| format!("{byte:03o}"))),
        ("with every byte as a character reference", numbered(needle, "&#", ";", |byte| byte.to_string())),
        ("as a word of bash", word(&raw)),
    ];
    for (form, text) in texts {
        let text = format!("canary: <{text}>\n").into_bytes();
        for cut in 0..=text.len() {
            let mut stream = masker.stream();
            let mut out = stream.push(&text[..cut]);
            out.append(&stream.push(&text[cut..]));
            out.append(&stream.finish());
            if !hidden(out.as_bytes(), &text) {
                return Err(CanaryFailed::Leaked { form, cut });
            }
        }
    }
    Ok(())
}

/// Each byte as a number with something around it.
fn numbered(bytes: &[u8], before: &str, after: &str, digits: impl Fn(u8) -> String) -> String {
    bytes.iter().map(|byte| [before, &digits(*byte), after].concat()).collect()
}

/// As `printf %q` writes it: a backslash before what a shell would read otherwise.
fn word(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if " \"&'".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Whether `out` is `text` with one mask in it, and at most the two characters at its edges that base64 shares with
/// neighbouring bytes left beside the mask.
fn hidden(out: &[u8], text: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(out, MASK) else { return false };
    let (before, after) = (&out[..at], &out[at + MASK.len()..]);
    text.starts_with(before) && text.ends_with(after) && before.len() <= 13 && after.len() <= 6
}

//! `::add-mask::` for every secret: each line of it, the encodings that a log is likely to show, the secrets in a JSON
//! document of credentials, and the password of an address.
//!
//! The runner replaces what it was told before anything else is printed; what a pipeline prints was masked by `logs` already.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::secret::Secret;

/// Less would shred the log.
const SHORTEST: usize = 4;
/// A short line of a long secret is most often no secret: `{`, `-----`.
const SHORTEST_LINE: usize = 8;
/// What members of credentials are called that hold a secret. The others, addresses and names of accounts, are no secrets,
/// and logs are full of them.
const TELLING: [&str; 6] = ["secret", "private", "password", "passphrase", "token", "key"];

/// The commands, one a line. They hold the values: for the runner's stdout only.
pub fn masks<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> String {
    let mut values = BTreeSet::new();
    for secret in secrets {
        forms(secret.expose(), &mut values);
        inner(secret.expose(), &mut values);
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

/// Secrets inside of a value.
fn inner(value: &[u8], found: &mut BTreeSet<String>) {
    let Ok(text) = std::str::from_utf8(value) else { return };
    for password in passwords(text) {
        forms(password.as_bytes(), found);
    }
    if let Ok(document @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text.trim()) {
        leaves(&document, false, found);
    }
}

/// Each text of a document below a member that is called like a secret.
fn leaves(value: &Value, telling: bool, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.to_ascii_lowercase();
                // `token_uri` says where tokens are had.
                let address = name.ends_with("uri") || name.ends_with("url");
                leaves(value, telling || !address && TELLING.iter().any(|word| name.contains(word)), found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| leaves(value, telling, found)),
        Value::String(text) if telling && text.len() >= SHORTEST_LINE => forms(text.as_bytes(), found),
        _ => {}
    }
}

/// Passwords of the addresses in a text, as they stand there and as they are meant.
pub fn passwords(text: &str) -> Vec<String> {
    let addresses = text.split([' ', '\n', '\t', ',', ';', '"', '\'']).filter(|word| word.contains("://"));
    let urls = addresses.filter_map(|address| url::Url::parse(address).ok());
    let found = urls.filter_map(|url| {
        let written = url.password()?.to_owned();
        let meant =
            url::form_urlencoded::parse(format!("x={}", written.replace('+', "%2B").replace('&', "%26")).as_bytes())
                .next()
                .map(|(_, value)| value.into_owned());
        Some(std::iter::once(written).chain(meant).collect::<Vec<_>>())
    });
    found.flatten().collect()
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
    fn the_secrets_in_credentials_are_told_one_by_one_and_their_public_members_are_not() {
        let credentials = serde_json::json!({
            "type": "service_account",
            "token_uri": "https://oauth2.example.org/token",
            "client_email": "robot@example.org",
            "private_key": "-----BEGIN KEY-----\nfirst-line-of-it\nsecond-line-of-it\n-----END KEY-----\n",
            "boxAppSettings": {"clientID": "0123456789", "clientSecret": "secret-of-the-app", "appAuth": [{"passphrase": "of-its-key"}]},
        });
        let text = masks([&Secret::new("credentials", credentials.to_string().into_bytes())]);
        let told: Vec<&str> = text.lines().map(|line| line.strip_prefix("::add-mask::").unwrap()).collect();
        for secret in ["first-line-of-it", "second-line-of-it", "secret-of-the-app", "of-its-key"] {
            assert!(told.contains(&secret), "{secret} is not in {text}");
        }
        for public in ["service_account", "robot@example.org", "0123456789", "https://oauth2.example.org/token"] {
            assert!(!told.contains(&public), "{public}");
        }
    }

    #[test]
    fn passwords_of_addresses_are_told_as_they_are_written_and_meant() {
        let text = "https://me:pass%20word@a.example/x http://b.example:80/ https://you:other-one@c.example";
        assert_eq!(passwords(text), ["pass%20word", "pass word", "other-one", "other-one"]);
        let told = masks([&Secret::new("proxy", text.as_bytes().to_vec())]);
        assert!(told.contains("::add-mask::pass word\n") && told.contains("::add-mask::other-one\n"), "{told}");
    }

    #[test]
    fn what_is_too_short_to_hide_is_not_told() {
        assert_eq!(masks([&Secret::new("s", b"abc".to_vec())]), "");
    }
}

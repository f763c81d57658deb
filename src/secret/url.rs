//! Credentials inside addresses: `https://user:token@host`, `?access_token=…`.
//!
//! Pure; finds them anywhere in a text and never tells whether they work. These are addresses that we were given; what a
//! pipeline prints is `logs::mask`'s, which asks here which parameters tell.

/// Parameters that carry a credential.
const TELLING: [&str; 22] = [
    "token",
    "access_token",
    "auth_token",
    "job_token",
    "oauth_token",
    "private_token",
    "session_token",
    "refresh_token",
    "id_token",
    "api_key",
    "apikey",
    "key",
    "password",
    "passwd",
    "pwd",
    "secret",
    "client_secret",
    "sig",
    "signature",
    "x-amz-signature",
    "x-amz-security-token",
    "x-goog-signature",
];

/// Whether a parameter of this name carries a credential in whatever address is printed. `key` does in those that we are
/// given; elsewhere it is a key of a table more often than one of an API.
pub(crate) fn is_telling(name: &[u8]) -> bool {
    TELLING.iter().filter(|known| **known != "key").any(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

/// Passwords and tokens of all addresses in `text`, as written and percent-decoded.
pub(super) fn credentials(text: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        let rest = &text[at + 3..];
        let end = rest.find(|c: char| c.is_whitespace() || "\"'<>`".contains(c)).unwrap_or(rest.len());
        let address = &rest[..end];
        let authority = &address[..address.find(['/', '?', '#']).unwrap_or(address.len())];
        // A password may hold `@` unescaped; the host never does.
        if let Some((user_info, _)) = authority.rsplit_once('@') {
            found.extend(user_info_secrets(user_info));
        }
        if let Some((_, query)) = address.split_once('?') {
            found.extend(query.split(['&', ';', '#']).filter_map(telling_value));
        }
    }
    let decoded: Vec<String> = found.iter().filter(|value| value.contains('%')).map(|value| decode(value)).collect();
    found.into_iter().chain(decoded).map(String::into_bytes).collect()
}

fn user_info_secrets(user_info: &str) -> Vec<String> {
    match user_info.split_once(':') {
        // Tokens go into the user's place too, with a fixed word or nothing as the password.
        Some((user, "" | "x-oauth-basic")) => vec![user.to_owned()],
        Some((_, password)) => vec![password.to_owned()],
        None if user_info.len() >= 16 => vec![user_info.to_owned()],
        None => Vec::new(),
    }
}

fn telling_value(pair: &str) -> Option<String> {
    let (name, value) = pair.split_once('=')?;
    TELLING.contains(&name.to_ascii_lowercase().as_str()).then(|| value.to_owned())
}

fn decode(text: &str) -> String {
    // `+` is a plus in a password, and `&` would end the one value that the form parser is given.
    let form = format!("v={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(form.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

//! Single values of the server's file: what each form takes.

use serde_json::{Value, json};

use super::cron::Cron;
use super::form::Form;
use crate::server::glob::Glob;
use crate::spec::yaml::{Node, Value as Yaml};
use crate::spec::{amount as amounts, suggest};

/// Why a value was refused.
pub(super) struct Refusal {
    pub(super) code: &'static str,
    /// Follows the key's name.
    pub(super) message: String,
    pub(super) help: String,
    /// The value may be a secret: it is neither repeated nor shown.
    pub(super) secret: bool,
}

impl Refusal {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code: "server/value", message: message.into(), help: help.into(), secret: false }
    }

    fn hidden(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code: "server/secret", secret: true, ..Self::new(message, help) }
    }
}

/// Reads a scalar; `raw` is its text as written.
pub(super) fn read(form: &Form, node: &Node, raw: &str) -> Result<Value, Refusal> {
    let text = || Ok(Value::String(raw.to_owned()));
    match form {
        Form::Flag => match node.value {
            Yaml::Bool(flag) => Ok(Value::Bool(flag)),
            _ => Err(Refusal::new(format!("must be true or false, but is `{raw}`"), "write `true` or `false`")),
        },
        Form::Count(..) | Form::Duration | Form::Size => amount(form, raw),
        Form::Choice(words) => {
            if words.contains(&raw) {
                return text();
            }
            Err(Refusal::new(format!("cannot be `{raw}`"), suggest::help(raw, words.iter().copied())))
        }
        Form::Secret => secret(raw),
        Form::Glob => match Glob::parse(raw) {
            Ok(_) => text(),
            Err(why) => Err(Refusal::new(format!("is not a pattern: {why}"), "write it as `main` or `feat/*`")),
        },
        Form::Cron => match raw.parse::<Cron>() {
            Ok(_) => text(),
            Err(why) => Err(Refusal::new(format!("is not a cron line: {why}"), "write it as `30 2 * * mon-fri`")),
        },
        Form::Zone => match jiff::tz::TimeZone::get(raw) {
            Ok(_) => text(),
            Err(_) => {
                Err(Refusal::new(format!("is not a time zone of this machine: `{raw}`"), "write it as `Europe/Vienna`"))
            }
        },
        Form::Name => {
            let plain = |c: char| c.is_ascii_alphanumeric() || ['.', '_', '-', '/'].contains(&c);
            // Names become parts of paths and addresses.
            let part = |part: &str| !matches!(part, "" | "." | "..");
            if raw.chars().all(plain) && raw.len() <= 200 && raw.split('/').all(part) {
                return text();
            }
            Err(Refusal::new("is not a name", "use letters, digits, `.`, `_` and `-`, with single `/` between them"))
        }
        Form::Url(schemes) => url(raw, schemes),
        Form::Repository => repository(raw),
        Form::Bind => match raw.parse::<std::net::SocketAddr>() {
            Ok(_) => text(),
            Err(_) => {
                Err(Refusal::new(format!("is not an address and a port: `{raw}`"), "write it as `127.0.0.1:8080`"))
            }
        },
        Form::Mail => {
            if is_mail(raw) {
                return text();
            }
            Err(Refusal::new(format!("is not a mail address: `{raw}`"), "write it as `team@example.com`"))
        }
        _ => text(),
    }
}

fn amount(form: &Form, raw: &str) -> Result<Value, Refusal> {
    match form {
        Form::Count(least, most) => match raw.parse::<u64>() {
            Ok(number) if (*least..=*most).contains(&number) => Ok(Value::from(number)),
            _ => {
                Err(Refusal::new(format!("must be a whole number from {least} to {most}"), format!("write `{least}`")))
            }
        },
        Form::Duration => match amounts::parse_duration(raw) {
            Ok(duration) => Ok(json!({"secs": duration.as_secs(), "nanos": duration.subsec_nanos()})),
            Err(error) => Err(Refusal::new(format!("is not a time: {error}"), "write it as `90s`, `30m` or `2h`")),
        },
        Form::Size => match amounts::parse_size(raw) {
            Ok(size) => Ok(Value::from(size)),
            Err(error) => {
                Err(Refusal::new(format!("is not an amount of bytes: {error}"), "write it as `512M` or `4G`"))
            }
        },
        _ => Ok(Value::String(raw.to_owned())),
    }
}

/// Whether it can be an address: one `@`, something on both sides, and nothing that would start another header.
pub(in crate::server) fn is_mail(text: &str) -> bool {
    let Some((user, host)) = text.split_once('@') else { return false };
    let plain = |c: char| c.is_ascii_graphic() && !['<', '>', ',', ';', '"', '@'].contains(&c);
    !user.is_empty() && !host.is_empty() && text.len() <= 254 && user.chars().all(plain) && host.chars().all(plain)
}

fn secret(raw: &str) -> Result<Value, Refusal> {
    match raw.split_once(':') {
        Some(("env", name)) if is_variable(name) => Ok(json!({"env": name})),
        Some(("file", path)) if !path.is_empty() => Ok(json!({"file": path})),
        _ => Err(Refusal::hidden(
            "says where the value is, and is never the value itself",
            "write `env:NAME` or `file:PATH`",
        )),
    }
}

pub(super) fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic())
        && bytes.all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

fn url(raw: &str, schemes: &[&str]) -> Result<Value, Refusal> {
    let help = format!("write it as `{}://host/path`", schemes.first().unwrap_or(&"https"));
    let Ok(url) = raw.parse::<url::Url>() else { return Err(Refusal::hidden("is not an address", help)) };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refusal::hidden("holds a user or a password", "name a `credential`, and write the address alone"));
    }
    if !schemes.contains(&url.scheme()) {
        return Err(Refusal::new(format!("cannot start with `{}:`", url.scheme()), help));
    }
    Ok(Value::String(raw.to_owned()))
}

fn repository(raw: &str) -> Result<Value, Refusal> {
    let scp = raw.split_once('@').and_then(|(user, rest)| Some((user, rest.split_once(':')?)));
    if let Some((user, (host, path))) = scp.filter(|_| !raw.contains("://")) {
        let plain = |text: &str| !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_whitespace);
        if plain(user) && !user.contains(':') && plain(host) && plain(path) {
            return Ok(Value::String(raw.to_owned()));
        }
    }
    // The user of an SSH address is no secret; a password is.
    let help = "write it as `https://host/owner/name.git` or `git@host:owner/name.git`";
    if raw.starts_with('/') {
        return Err(Refusal::new("is a folder, and not an address", format!("write it as `file://{raw}`")));
    }
    let Ok(url) = raw.parse::<url::Url>() else { return Err(Refusal::hidden("is not a repository's address", help)) };
    let ssh = url.scheme() == "ssh";
    if url.password().is_some() || !(url.username().is_empty() || ssh) {
        return Err(Refusal::hidden("holds a user or a password", "name a `credential`, and write the address alone"));
    }
    if !["https", "http", "ssh", "file"].contains(&url.scheme()) {
        return Err(Refusal::new(format!("cannot start with `{}:`", url.scheme()), help));
    }
    Ok(Value::String(raw.to_owned()))
}

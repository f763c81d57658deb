//! Values as people type them: durations, sizes, names, references to secrets.
//!
//! What is refused says what would be taken.

use std::time::Duration;

use crate::run::request::EnvAsk;
use crate::spec::amount;

/// `90`, `90s`, `30m`, `1h30m`, `2d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    amount::parse_duration(text).map_err(|error| error.to_string())
}

/// `512m`, `4g`, `1.5GiB`; powers of 1024, as Docker has them.
pub(super) fn size(text: &str) -> Result<u64, String> {
    amount::parse_size(text).map_err(|error| error.to_string())
}

/// [`duration`], where it decides what is deleted: `30d`, and never a number alone.
pub(super) fn age(text: &str) -> Result<Duration, String> {
    amount::parse_age(text).map_err(|error| error.to_string())
}

/// A number of days: not none, which would keep nothing, and at most a hundred years.
pub(super) fn days(text: &str) -> Result<Duration, String> {
    let number: Option<u64> = text.parse().ok().filter(|days| (1..=36_500).contains(days));
    let days = number.map(|days| Duration::from_hours(days * 24));
    days.ok_or_else(|| "write a number of days: `30`".to_owned())
}

/// [`size`], where it decides what is deleted: `20GB`, and never a number alone.
pub(super) fn room(text: &str) -> Result<u64, String> {
    amount::parse_room(text).map_err(|error| error.to_string())
}

/// A switch as variables set it; an empty variable is as good as none.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "" | "0" | "false" | "no" | "off" => Ok(false),
        "1" | "true" | "yes" | "on" => Ok(true),
        _ => Err("write `true` or `false`".to_owned()),
    }
}

/// A number of processors, fractions allowed.
pub(super) fn cpus(text: &str) -> Result<f64, String> {
    amount::parse_cpus(text).map_err(|error| error.to_string())
}

/// How many, and not none.
pub(super) fn some(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a number above 0".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// `NAME` or `NAME=VALUE`.
pub(super) fn env(text: &str) -> Result<EnvAsk, String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    Ok(EnvAsk { name: variable(name)?, value })
}

/// `NAME`, `NAME=env:OTHER` or `NAME=file:PATH`; anything else after `=` may be the secret itself and is not repeated.
pub(super) fn secret(text: &str) -> Result<(), String> {
    let (name, source) = text.split_once('=').map_or((text, None), |(name, source)| (name, Some(source)));
    variable(name)?;
    let fits = |source: &str| {
        source.strip_prefix("env:").is_some_and(|name| variable(name).is_ok())
            || source.strip_prefix("file:").is_some_and(|path| !path.is_empty())
    };
    match source {
        Some(source) if !fits(source) => {
            Err(format!("a secret is given by reference: `{name}`, `{name}=env:VARIABLE` or `{name}=file:PATH`"))
        }
        _ => Ok(()),
    }
}

fn variable(name: &str) -> Result<String, String> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit()) {
        Ok(name.to_owned())
    } else {
        Err("expected the name of an environment variable: letters, digits and `_`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_typed_as_a_value_is_refused_and_not_repeated() {
        for text in ["TOKEN", "TOKEN=env:OTHER", "TOKEN=file:/run/secrets/token"] {
            assert_eq!(secret(text), Ok(()));
        }
        for text in ["TOKEN=hunter2", "TOKEN=", "TOKEN=env:", "TOKEN=file:", "TOKEN=env:hunter2 x"] {
            let refusal = secret(text).unwrap_err();
            assert!(refusal.contains("TOKEN=env:VARIABLE") && !refusal.contains("hunter2"), "{refusal}");
        }
        assert!(secret("1=env:A").is_err());
    }

    #[test]
    fn variables_have_names_and_any_value() {
        assert_eq!(env("A=b=c").unwrap(), EnvAsk { name: "A".into(), value: Some("b=c".into()) });
        assert_eq!(env("A=").unwrap().value, Some(String::new()));
        assert_eq!(env("A").unwrap().value, None);
        for text in ["", "=x", "a-b=x", "1A", "é"] {
            assert!(env(text).is_err(), "{text}");
        }
    }
}

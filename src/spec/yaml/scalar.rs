//! What a plain word means under YAML 1.1, by the very patterns that PyYAML resolves with.

use std::sync::LazyLock;

use regex::Regex;
use serde_yaml::granit_parser::Tag;

use super::Value;

static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:[-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    )
});
static INT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$",
    )
});
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"^(?:[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{4}-[0-9][0-9]?-[0-9][0-9]?(?:[Tt]|[ \t]+)[0-9][0-9]?:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?(?:[ \t]*(?:Z|[-+][0-9][0-9]?(?::[0-9]{2})?))?)$",
    )
});

#[expect(clippy::expect_used, reason = "the patterns are constants of this file and compiled by its tests")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

/// The value of a scalar; an explicit tag wins over how it looks.
///
/// # Errors
/// In words, when `safe_load` would refuse the tag or the value.
pub(super) fn resolve(text: &str, plain: bool, tag: Option<&Tag>) -> Result<Value, String> {
    if let Some(tag) = tag {
        return tagged(text, tag);
    }
    if plain { implicit(text) } else { Ok(Value::Str(text.to_owned())) }
}

fn tagged(text: &str, tag: &Tag) -> Result<Value, String> {
    let found = |kind: &str, value: Option<Value>| value.ok_or_else(|| format!("`{text}` is not {kind}"));
    match tag.suffix_in_namespace("tag:yaml.org,2002:").as_deref() {
        Some("str") => Ok(Value::Str(text.to_owned())),
        Some("null") => Ok(Value::Null),
        Some("bool") => found("a boolean", boolean(&text.to_ascii_lowercase()).map(Value::Bool)),
        Some("int") => found("a whole number", whole(text.trim())),
        // Python's `float` takes more than a word without a tag may look like.
        Some("float") => found("a number", float(text).map(Value::Float)),
        Some("timestamp") if TIME.is_match(text) => time(text),
        Some("timestamp") => found("a date or a time", None),
        // `! text` is the non-specific tag: text, whatever it looks like.
        _ if tag.original() == "!" => Ok(Value::Str(text.to_owned())),
        _ => Err(format!("the tag `{}` has no meaning here", tag.original())),
    }
}

fn implicit(text: &str) -> Result<Value, String> {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Ok(Value::Null);
    }
    if let Some(value) = boolean(text) {
        return Ok(Value::Bool(value));
    }
    // Most words start with a letter; numbers and dates never do.
    if !text.starts_with(['-', '+', '.']) && !text.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(Value::Str(text.to_owned()));
    }
    if let Some(number) = FLOAT.is_match(text).then(|| float(text)).flatten() {
        return Ok(Value::Float(number));
    }
    if INT.is_match(text) {
        return whole(text).ok_or_else(|| format!("`{text}` looks like a number but has no digits; put it in quotes"));
    }
    if TIME.is_match(text) {
        return time(text);
    }
    Ok(Value::Str(text.to_owned()))
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// The number, where it is one for Python, which wants a digit behind `0b` and `0x`.
fn whole(text: &str) -> Option<Value> {
    let digits = text.replace('_', "");
    let empty = matches!(digits.trim_start_matches(['-', '+']), "0b" | "0x");
    (INT.is_match(text) && !empty).then(|| integer(text))
}

fn integer(text: &str) -> Value {
    let clean = text.replace('_', "");
    let (negative, digits) = match clean.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, clean.strip_prefix('+').unwrap_or(&clean)),
    };
    let magnitude = if let Some(bits) = digits.strip_prefix("0b") {
        i128::from_str_radix(bits, 2).ok()
    } else if let Some(hex) = digits.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok()
    } else if digits.len() > 1 && digits.starts_with('0') {
        i128::from_str_radix(digits, 8).ok()
    } else if digits.contains(':') {
        digits.split(':').try_fold(0_i128, |sum, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?))
    } else {
        digits.parse().ok()
    };
    match magnitude {
        Some(value) => Value::Int(if negative { -value } else { value }),
        None => Value::Str(text.to_owned()),
    }
}

/// As Python reads it; hours, minutes and seconds between colons are counted in the last of them.
fn float(text: &str) -> Option<f64> {
    let clean = text.replace('_', "").to_ascii_lowercase();
    let (sign, digits) = match clean.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, clean.strip_prefix('+').unwrap_or(&clean)),
    };
    let magnitude = match digits {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        _ => digits.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.trim().parse::<f64>().ok()?))?,
    };
    Some(sign * magnitude)
}

/// Python builds a date or a time from it, and refuses the thirteenth month and the 25th hour.
fn time(text: &str) -> Result<Value, String> {
    let signs = ['T', 't', ' ', '\t'];
    let day = text.split(signs).next().unwrap_or_default();
    if !is_day(day) || !is_clock(text[day.len()..].trim_start_matches(signs)) {
        return Err(format!("`{text}` looks like a date but is none; put it in quotes"));
    }
    Ok(Value::Time(text.to_owned()))
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or(0)
}

fn is_day(day: &str) -> bool {
    let mut parts = day.split('-').map(number);
    let (year, month, date) = (parts.next(), parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    let leap = year.is_some_and(|y| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0);
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    date > 0 && date <= last && year != Some(0)
}

/// What follows the day; nothing does where it is no time. Zones are less than a day apart.
fn is_clock(clock: &str) -> bool {
    let mut fields = clock.splitn(3, ':');
    let mut next = || fields.next().unwrap_or_default();
    let (hour, minute, rest) = (next(), next(), next());
    let second = rest.get(..2).unwrap_or_default();
    let zone = rest.find(['+', '-']).map_or("", |at| &rest[at + 1..]);
    let (hours, minutes) = zone.split_once(':').unwrap_or((zone, ""));
    number(hour) < 24 && number(minute) < 60 && number(second) < 60 && number(hours) * 60 + number(minutes) < 24 * 60
}

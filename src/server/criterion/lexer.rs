//! Text to words.

use super::ast::Place;
use super::{Fault, MAX_BYTES};

/// A word of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    Number(f64),
    Sign(&'static str),
    End,
}

const SIGNS: [&str; 13] = ["==", "!=", "<=", ">=", "<", ">", "(", ")", "[", "]", ",", ".", "-"];

/// Signs of other languages, with ours.
const FOREIGN: [(&str, &str); 5] = [
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("!", "write `not`"),
    ("=", "write `==`"),
    ("{{", "a criterion is no template: write the name alone, `event.branch`"),
];

/// All words with their places; the last is the end.
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, Place)>, Fault> {
    if text.len() > MAX_BYTES {
        let place = Place { start: MAX_BYTES, len: 0 };
        return Err(Fault::new(format!("the expression is longer than {MAX_BYTES} bytes"), place));
    }
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, len) = if first.is_ascii_digit() {
            number(rest, at)?
        } else if first == '_' || first.is_ascii_alphabetic() {
            let len = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            (Token::Name(rest[..len].to_owned()), len)
        } else if first == '"' || first == '\'' {
            quoted(rest, first, at)?
        } else {
            sign(rest, first, at)?
        };
        found.push((token, Place { start: at, len }));
        at += len;
    }
    found.push((Token::End, Place { start: text.trim_end().len(), len: 0 }));
    Ok(found)
}

fn number(rest: &str, at: usize) -> Result<(Token, usize), Fault> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let mut len = digits(rest);
    if let Some(part) = rest[len..].strip_prefix('.').filter(|part| part.starts_with(|c: char| c.is_ascii_digit())) {
        len += 1 + digits(part);
    }
    let place = Place { start: at, len };
    match rest[..len].parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Number(number), len)),
        _ => Err(Fault::new("the number is too large", place)),
    }
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Token, usize), Fault> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((place, c)) = chars.next() {
        if c == quote {
            return Ok((Token::Text(text), place + 1));
        }
        if c != '\\' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some((_, 'n')) => text.push('\n'),
            Some((_, 't')) => text.push('\t'),
            Some((_, 'r')) => text.push('\r'),
            Some((_, other @ ('\\' | '"' | '\''))) => text.push(other),
            // A regular expression is easier to read with single backslashes.
            Some((_, other)) => text.extend(['\\', other]),
            None => break,
        }
    }
    let place = Place { start: at, len: rest.len() };
    Err(Fault::new("the text has no end", place).help(format!("close it with `{quote}`")))
}

fn sign(rest: &str, first: char, at: usize) -> Result<(Token, usize), Fault> {
    let place = |len| Place { start: at, len };
    let ours = SIGNS.iter().find(|sign| rest.starts_with(**sign));
    let foreign = FOREIGN.iter().find(|(sign, _)| rest.starts_with(sign));
    match (ours, foreign) {
        (Some(sign), _) => Ok((Token::Sign(sign), sign.len())),
        (None, Some((sign, help))) => {
            Err(Fault::new(format!("`{sign}` has no meaning here"), place(sign.len())).help(*help))
        }
        (None, None) => {
            Err(Fault::new(format!("`{}` has no meaning here", first.escape_debug()), place(first.len_utf8())))
        }
    }
}

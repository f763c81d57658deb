//! What no Python can read, or pyflakes refuses wherever it stands; told from tokens alone.
//!
//! Where tokens may be cut wrongly, nothing is said.

use super::super::python::{self, Placed, Token};
use super::scope::is_word;
use super::walk::{is_mark, word};

/// What is wrong with code, besides names without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slip {
    /// A bracket that is never closed, or that closes none.
    Bracket,
    /// A text that is never closed.
    Quote,
    /// A sign that Python does not have, or not there.
    Sign(char),
    /// `return`, `yield` or `await` outside of a function.
    Outside(&'static str),
    /// `break` or `continue` outside of a loop.
    Unlooped(&'static str),
    /// A parameter that is called as one before it, and how long its name is.
    Twice(usize),
}

/// Where `str.splitlines` ends a line, too, by which Ploomber cuts cells.
const BREAKS: [char; 7] = ['\x0b', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}'];

/// Words that are names almost everywhere, and stand before a name only where they are none.
const SOFT: [&str; 3] = ["case", "match", "type"];

/// The first text without an end, or sign that is no Python.
pub(super) fn first(code: &str, tokens: &[Placed]) -> Option<(usize, Slip)> {
    if code.contains(BREAKS) {
        return None;
    }
    let sound = sound(tokens);
    (0..sound.len()).find_map(|at| {
        let placed = &sound[at];
        let slip = match placed.token {
            Token::Text(_) if !is_closed(&code[placed.at..]) => Slip::Quote,
            Token::Mark(sign) if is_foreign(sound, at, sign) => Slip::Sign(sign),
            _ => return None,
        };
        Some((placed.at, slip))
    })
}

/// Whether code is no Python for certain; what is not certain passes.
pub(in super::super) fn is_no_python(code: &str) -> bool {
    if code.contains('\r') || code.contains(BREAKS) {
        return false;
    }
    let tokens = python::tokens(code);
    let sound = sound(&tokens);
    let is_unpaired = || is_sound(&tokens) && python::unpaired(sound).is_some();
    first(code, &tokens).is_some() || (0..sound.len()).any(|at| are_words(sound, at)) || is_unpaired()
}

/// Whether no text may be cut wrongly.
pub(super) fn is_sound(tokens: &[Placed]) -> bool {
    sound(tokens).len() == tokens.len()
}

/// The tokens before a text that may be cut wrongly.
fn sound(tokens: &[Placed]) -> &[Placed] {
    let end = tokens.iter().position(python::is_cut).unwrap_or(tokens.len());
    &tokens[..end]
}

fn is_foreign(tokens: &[Placed], at: usize, sign: char) -> bool {
    match sign {
        '?' | '$' | '`' => true,
        '!' => !is_mark(tokens, at + 1, '='),
        '%' => at.checked_sub(1).is_none_or(|before| tokens[before].token == Token::Newline),
        _ => false,
    }
}

/// Whether two names stand side by side.
fn are_words(tokens: &[Placed], at: usize) -> bool {
    let (one, other) = (word(tokens, at), word(tokens, at + 1));
    let is_name = |name: &str| !name.is_empty() && name.is_ascii() && !is_word(name);
    // Letters beyond ASCII may be cut out of a name that goes on.
    is_name(one) && is_name(other) && !SOFT.contains(&one) && tokens[at + 1].at > tokens[at].at + one.len()
}

/// Whether the text that `code` begins with, behind what may stand before its quote, has an end.
fn is_closed(code: &str) -> bool {
    let start = code.find(['\'', '"']).unwrap_or_default();
    let quote = &code[start..=start];
    let is_triple = code[start..].starts_with(&quote.repeat(3));
    let end = if is_triple { quote.repeat(3) } else { quote.to_owned() };
    let mut rest = &code[start + end.len()..];
    loop {
        if rest.starts_with(&end) {
            return true;
        }
        let mut letters = rest.chars();
        match letters.next() {
            None => return false,
            Some('\n') if !is_triple => return false,
            Some('\\') => {
                letters.next();
            }
            Some(_) => {}
        }
        rest = letters.as_str();
    }
}

/// The `break` or `continue` that a statement in no loop is.
pub(super) fn unlooped(tokens: &[Placed]) -> Option<(usize, Slip)> {
    let name = ["break", "continue"].into_iter().find(|name| word(tokens, 0) == *name)?;
    Some((tokens[0].at, Slip::Unlooped(name)))
}

/// A `return`, `yield` or `await` of a statement that stands in no function. What a `lambda` or a comprehension holds is
/// not asked.
pub(super) fn outside(tokens: &[Placed]) -> Option<(usize, Slip)> {
    if word(tokens, 0) == "return" {
        return Some((tokens[0].at, Slip::Outside("return")));
    }
    if (0..tokens.len()).any(|at| matches!(word(tokens, at), "lambda" | "for")) {
        return None;
    }
    (0..tokens.len()).find_map(|at| {
        let name = ["yield", "await"].into_iter().find(|name| word(tokens, at) == *name)?;
        Some((tokens[at].at, Slip::Outside(name)))
    })
}

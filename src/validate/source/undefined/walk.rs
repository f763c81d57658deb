//! Steps through the tokens of one statement: brackets, colons, commas, assignments.

use super::super::python::{Placed, Token};
use super::Lost;

/// Whether the token at `at` is this mark.
pub(super) fn is_mark(tokens: &[Placed], at: usize, mark: char) -> bool {
    tokens.get(at).is_some_and(|placed| placed.token == Token::Mark(mark))
}

/// The mark at `at`; a blank, where there is none.
pub(super) fn mark(tokens: &[Placed], at: usize) -> char {
    match tokens.get(at).map(|placed| &placed.token) {
        Some(Token::Mark(mark)) => *mark,
        _ => ' ',
    }
}

/// The word at `at`; nothing, where there is none.
pub(super) fn word(tokens: &[Placed], at: usize) -> &str {
    match tokens.get(at).map(|placed| &placed.token) {
        Some(Token::Name(word)) => word,
        _ => "",
    }
}

/// Whether a bracket opens at `at`.
pub(super) fn opens(tokens: &[Placed], at: usize) -> bool {
    matches!(mark(tokens, at), '(' | '[' | '{')
}

/// Where the bracket that opens at `at` is closed.
pub(super) fn close(tokens: &[Placed], at: usize) -> Result<usize, Lost> {
    let mut depth = 0_usize;
    for here in at..tokens.len() {
        match mark(tokens, here) {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.checked_sub(1).ok_or(Lost)?;
                if depth == 0 {
                    return Ok(here);
                }
            }
            _ => {}
        }
    }
    Err(Lost)
}

/// The first token outside of brackets, from `from` on, for which `is_it` holds.
pub(super) fn first(tokens: &[Placed], from: usize, is_it: impl Fn(usize) -> bool) -> Result<Option<usize>, Lost> {
    let mut at = from;
    while at < tokens.len() {
        if is_it(at) {
            return Ok(Some(at));
        }
        if opens(tokens, at) {
            at = close(tokens, at)?;
        }
        at += 1;
    }
    Ok(None)
}

/// The colon that ends what begins at `from`: the header of a block, or the parameters of a `lambda`.
pub(super) fn colon(tokens: &[Placed], from: usize) -> Result<Option<usize>, Lost> {
    let (mut at, mut lambdas) = (from, 0_usize);
    while at < tokens.len() {
        if word(tokens, at) == "lambda" {
            lambdas += 1;
        } else if is_mark(tokens, at, ':') && !is_mark(tokens, at + 1, '=') {
            if lambdas == 0 {
                return Ok(Some(at));
            }
            lambdas -= 1;
        } else if opens(tokens, at) {
            at = close(tokens, at)?;
        }
        at += 1;
    }
    Ok(None)
}

/// The next comma outside of brackets and of the parameters of a `lambda`, or the end.
pub(super) fn comma(tokens: &[Placed], from: usize) -> Result<usize, Lost> {
    let mut at = from;
    while at < tokens.len() {
        if is_mark(tokens, at, ',') {
            return Ok(at);
        }
        if word(tokens, at) == "lambda" {
            at = colon(tokens, at + 1)?.ok_or(Lost)?;
        } else if opens(tokens, at) {
            at = close(tokens, at)?;
        }
        at += 1;
    }
    Ok(tokens.len())
}

/// Whether the token at `at` is a name before `:=`.
pub(super) fn is_walrus(tokens: &[Placed], at: usize) -> bool {
    let is_joined = || tokens[at + 2].at == tokens[at + 1].at + 1;
    !word(tokens, at).is_empty() && is_mark(tokens, at + 1, ':') && is_mark(tokens, at + 2, '=') && is_joined()
}

/// Whether the token at `at` is a `=` that assigns, and no part of `==`, `<=` or `+=`.
pub(super) fn is_assignment(tokens: &[Placed], at: usize) -> bool {
    let is_part = at > 0 && "!<>=:+-*/%&|^@".contains(mark(tokens, at - 1));
    is_mark(tokens, at, '=') && !is_mark(tokens, at + 1, '=') && !is_part
}

/// Whether the token at `at` is the `=` of `+=`, `<<=` or the like.
pub(super) fn is_augmented(tokens: &[Placed], at: usize) -> bool {
    if at < 2 || !is_mark(tokens, at, '=') || is_mark(tokens, at + 1, '=') {
        return false;
    }
    match mark(tokens, at - 1) {
        '+' | '-' | '*' | '/' | '%' | '&' | '|' | '^' | '@' => true,
        shift @ ('<' | '>') => is_mark(tokens, at - 2, shift),
        _ => false,
    }
}

//! Names that the code of a notebook looks up and that nothing gives a value: what pyflakes calls undefined. Ploomber asks
//! it before it runs a notebook in Python.
//!
//! Nothing is run. Where code cannot be followed for certain, nothing is said.

use super::python::{self, Placed, Token};

mod cells;
mod expression;
mod scope;
mod slip;
mod statement;
mod walk;

pub(super) use cells::{injected, ipynb, place, script};
use scope::Place;
pub(crate) use slip::Slip;
pub(super) use slip::is_no_python;
use statement::Reader;

/// A name without a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undefined {
    /// The name.
    pub name: String,
    /// Where it is first looked up.
    pub at: usize,
    /// A name that has a value and is written much like it.
    pub near: Option<String>,
    /// Whether the function that looks it up gives it a value only below.
    pub is_below: bool,
}

/// Code that cannot be followed.
#[derive(Debug)]
struct Lost;

/// Longer code is not looked at.
const LONGEST: usize = 1024 * 1024;

/// What is wrong with code.
#[derive(Debug, Default)]
pub(super) struct Wrong {
    /// Names without a value, in order.
    pub names: Vec<Undefined>,
    /// What else is wrong, and where.
    pub slip: Option<(usize, Slip)>,
}

/// Looks at code; `given` are names that have a value from elsewhere.
pub(super) fn look(code: &str, given: &[String]) -> Wrong {
    // Python ends a line there, too; we do not.
    let has_lone_return = code.match_indices('\r').any(|(at, _)| !code[at + 1..].starts_with('\n'));
    // Our texts go on behind a `\` only where the line ends in one character.
    if code.len() > LONGEST || has_lone_return || code.contains("\\\r") {
        return Wrong::default();
    }
    let tokens = python::tokens(code);
    let slip = slip::first(code, &tokens);
    if slip.is_some() {
        return Wrong { names: Vec::new(), slip };
    }
    if !slip::is_sound(&tokens) || (0..tokens.len()).any(|at| is_foreign(&tokens, at)) {
        return Wrong::default();
    }
    match python::unpaired(&tokens) {
        Some(at) => Wrong { names: Vec::new(), slip: Some((at, Slip::Bracket)) },
        None => follow(code, &tokens, given).unwrap_or_default(),
    }
}

/// A statement, or the header of a block, and how far it is indented.
struct Line<'a> {
    tokens: &'a [Placed],
    column: usize,
}

fn follow(code: &str, tokens: &[Placed], given: &[String]) -> Result<Wrong, Lost> {
    let line = |tokens: &'_ [Placed]| tokens.first().map(|first| column(code, first.at));
    let lines: Vec<Line<'_>> = tokens
        .split(|placed| placed.token == Token::Newline)
        .filter_map(|tokens| line(tokens).map(|column| Line { tokens, column }))
        .collect();
    let mut reader = Reader::new(given, code.contains("\\N{"));
    // Each with the name that has a value only in it.
    let mut blocks: Vec<(usize, Place, Option<String>)> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        while let Some((_, _, held)) = blocks.pop_if(|(column, ..)| *column >= line.column) {
            reader.names.unbind(held.as_deref());
        }
        let place = blocks.last().map(|(_, place, _)| *place).unwrap_or_default();
        reader.is_top = blocks.is_empty();
        let inside = reader.line(place, line.tokens, is_guarded(&lines, number))?;
        let held = reader.held.take();
        match inside {
            Some(inside) => blocks.push((line.column, inside, held)),
            None => reader.names.unbind(held.as_deref()),
        }
    }
    let mut found = reader.names.undefined();
    for one in found.iter_mut().filter(|one| !code[one.at..].starts_with(&one.name)) {
        // In a text such as `f"{x}"`, of which the beginning is known.
        one.at += code[one.at..].find(&one.name).unwrap_or_default();
    }
    Ok(Wrong { names: found, slip: reader.outside })
}

/// Marks that Python does not have: magics, help, shells, quotes of a typesetter.
fn is_foreign(tokens: &[Placed], at: usize) -> bool {
    match &tokens[at].token {
        Token::Mark('?' | '$' | '`') => true,
        Token::Mark('!') => !walk::is_mark(tokens, at + 1, '='),
        Token::Name(name) => !name.starts_with(|c: char| c == '_' || c.is_alphabetic()),
        _ => false,
    }
}

fn column(code: &str, at: usize) -> usize {
    let start = code[..at].rfind('\n').map_or(0, |end| end + 1);
    code[start..at].trim_start_matches('\u{feff}').bytes().fold(0, |column, byte| match byte {
        b'\t' => column / 8 * 8 + 8,
        // A form feed begins a page, and so a line.
        0x0c => 0,
        _ => column + 1,
    })
}

/// Whether the line begins a `try` one of whose handlers would catch the lack of a name.
fn is_guarded(lines: &[Line<'_>], number: usize) -> bool {
    let column = lines[number].column;
    let beside = lines[number + 1..].iter().filter(|line| line.column <= column);
    let mut parts = beside.take_while(|line| {
        line.column == column && matches!(walk::word(line.tokens, 0), "except" | "else" | "finally")
    });
    let catches = |line: &Line<'_>| {
        let named = |at: usize| matches!(walk::word(line.tokens, at), "NameError" | "Exception" | "BaseException");
        let is_bare = walk::is_mark(line.tokens, 1, ':');
        walk::word(line.tokens, 0) == "except" && (is_bare || (0..line.tokens.len()).any(named))
    };
    walk::word(lines[number].tokens, 0) == "try" && parts.any(catches)
}

#[cfg(test)]
mod tests;

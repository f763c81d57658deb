//! Expressions and what is assigned to: which names they look up, and which they give a value.

use std::collections::HashSet;

use super::super::python::{self, Placed, Token};
use super::Lost;
use super::scope::{Kind, Place, folded, is_word};
use super::slip::Slip;
use super::statement::Reader;
use super::walk::{close, colon, comma, first, is_assignment, is_mark, is_walrus, mark, opens, word};

/// Brackets and functions that are nested deeper are not followed.
const DEEPEST: usize = 60;

impl Reader {
    /// What `:=` gives a value has it in all of the statement: which part of `a if (a := b) else c` runs first is not
    /// asked.
    pub(super) fn walruses(&mut self, place: Place, tokens: &[Placed]) {
        let home = self.names.home(place.scope);
        for at in (0..tokens.len()).filter(|at| is_walrus(tokens, *at)) {
            self.names.bind(home, word(tokens, at));
        }
        for placed in tokens {
            if let Token::Format(text) = &placed.token {
                for code in codes(text) {
                    self.walruses(place, &python::tokens(&code));
                }
            }
        }
    }

    /// Looks up the names of an expression.
    pub(super) fn expression(&mut self, place: Place, tokens: &[Placed]) -> Result<(), Lost> {
        self.parts(place, tokens, false)
    }

    /// The same for arguments, where `name=` is not looked up.
    fn parts(&mut self, place: Place, tokens: &[Placed], are_arguments: bool) -> Result<(), Lost> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(Lost);
        }
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at].token {
                Token::Format(text) if !self.has_named_letters => self.format(place, text, tokens[at].at)?,
                Token::Mark(open @ ('(' | '[' | '{')) => {
                    let end = close(tokens, at)?;
                    self.inside(place, &tokens[at + 1..end], *open == '(')?;
                    at = end;
                }
                Token::Name(name) if name == "lambda" => {
                    at = self.lambda(place, tokens, at)?;
                    continue;
                }
                Token::Name(name) if at == 0 || !is_mark(tokens, at - 1, '.') => {
                    let is_keyword = are_arguments && is_mark(tokens, at + 1, '=') && !is_mark(tokens, at + 2, '=');
                    if is_walrus(tokens, at) {
                        let home = self.names.home(place.scope);
                        self.names.bind(home, name);
                    } else if !is_keyword {
                        self.names.look_up(place, name, tokens[at].at);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        self.depth -= 1;
        Ok(())
    }

    /// What stands in brackets: arguments, items, or a comprehension.
    fn inside(&mut self, place: Place, tokens: &[Placed], are_arguments: bool) -> Result<(), Lost> {
        let Some(loops) = first(tokens, 0, |at| word(tokens, at) == "for")? else {
            return self.parts(place, tokens, are_arguments);
        };
        let begin = if loops > 0 && word(tokens, loops - 1) == "async" { loops - 1 } else { loops };
        let inside = Place { scope: self.names.open(Kind::Comprehension, place.scope), ..place };
        // What the first loop goes through is looked up outside.
        let (mut at, mut source) = (loops, place);
        while at < tokens.len() {
            match word(tokens, at) {
                "async" => at += 1,
                "for" => {
                    let found = first(tokens, at, |here| word(tokens, here) == "in")?.ok_or(Lost)?;
                    let end = clause_end(tokens, found + 1)?;
                    self.expression(source, &tokens[found + 1..end])?;
                    self.target(inside, &tokens[at + 1..found])?;
                    (at, source) = (end, inside);
                }
                "if" => {
                    let end = clause_end(tokens, at + 1)?;
                    self.expression(inside, &tokens[at + 1..end])?;
                    at = end;
                }
                _ => return Err(Lost),
            }
        }
        self.expression(inside, &tokens[..begin])
    }

    /// A `lambda` at `at`; returns where it ends.
    fn lambda(&mut self, place: Place, tokens: &[Placed], at: usize) -> Result<usize, Lost> {
        let begin = colon(tokens, at + 1)?.ok_or(Lost)?;
        let scope = self.names.open(Kind::Function, place.scope);
        self.parameters(place, &tokens[at + 1..begin], scope)?;
        let mut end = begin + 1;
        while end < tokens.len() {
            let here = word(tokens, end);
            if matches!(mark(tokens, end), ',' | ':')
                || here == "for"
                || (here == "async" && word(tokens, end + 1) == "for")
            {
                break;
            }
            if here == "lambda" {
                end = colon(tokens, end + 1)?.ok_or(Lost)?;
            } else if opens(tokens, end) {
                end = close(tokens, end)?;
            }
            end += 1;
        }
        self.expression(Place { scope, ..place }, &tokens[begin + 1..end])?;
        Ok(end)
    }

    /// Parameters get their values in `scope`; defaults and annotations are looked up where the function is written.
    pub(super) fn parameters(&mut self, place: Place, tokens: &[Placed], scope: usize) -> Result<(), Lost> {
        let (mut at, mut names) = (0, HashSet::new());
        while at < tokens.len() {
            let end = comma(tokens, at)?;
            let stars = tokens[at..end].iter().take_while(|one| matches!(one.token, Token::Mark('*' | '/'))).count();
            let part = &tokens[at + stars..end];
            let name = word(part, 0);
            if !name.is_empty() {
                if !names.insert(folded(name)) && self.outside.is_none() {
                    self.outside = Some((part[0].at, Slip::Twice(name.len())));
                }
                self.names.bind(scope, name);
                let equals = first(part, 1, |here| is_assignment(part, here))?;
                if is_mark(part, 1, ':') {
                    self.expression(Place { late: true, ..place }, &part[2..equals.unwrap_or(part.len())])?;
                }
                if let Some(equals) = equals {
                    self.expression(place, &part[equals + 1..])?;
                }
            }
            at = end + 1;
        }
        Ok(())
    }

    /// What is assigned to gets a value; what stands in brackets behind a name, or before a dot, is looked up.
    pub(super) fn target(&mut self, place: Place, tokens: &[Placed]) -> Result<(), Lost> {
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at].token {
                Token::Mark(open @ ('(' | '[' | '{')) => {
                    let before = at.checked_sub(1).map(|before| &tokens[before].token);
                    let follows =
                        matches!(before, Some(Token::Name(_) | Token::Text(_) | Token::Mark(')' | ']' | '}')));
                    if follows {
                        let end = close(tokens, at)?;
                        self.inside(place, &tokens[at + 1..end], *open == '(')?;
                        at = end;
                    }
                }
                Token::Name(name) if !is_word(name) && (at == 0 || !is_mark(tokens, at - 1, '.')) => {
                    if matches!(mark(tokens, at + 1), '.' | '[' | '(') {
                        self.names.look_up(place, name, tokens[at].at);
                    } else {
                        self.names.assign(place.scope, name);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        Ok(())
    }

    /// The code in a text such as `f"{x}"`.
    fn format(&mut self, place: Place, text: &str, at: usize) -> Result<(), Lost> {
        for code in codes(text) {
            let tokens = python::tokens(&format!("({code})"));
            // A `lambda` around it is a scope of which the statement knows nothing.
            self.walruses(place, &tokens);
            // Without their places, no `:=` is known as such: its name is looked up, and has a value by now.
            let tokens: Vec<Placed> = tokens.into_iter().map(|placed| Placed { at, ..placed }).collect();
            self.expression(place, &tokens)?;
        }
        Ok(())
    }
}

/// Where a `for … in …` or an `if …` of a comprehension ends.
fn clause_end(tokens: &[Placed], from: usize) -> Result<usize, Lost> {
    let next = first(tokens, from, |at| matches!(word(tokens, at), "for" | "if" | "async"))?;
    Ok(next.unwrap_or(tokens.len()))
}

/// The code in a text such as `f"{x}"`, piece by piece.
fn codes(text: &str) -> Vec<String> {
    let mut codes = Vec::new();
    fields(text, 0, &mut codes);
    codes
}

/// What stands between braces, without what says how it is written; of that, what stands between braces, too.
fn fields(text: &str, depth: usize, codes: &mut Vec<String>) {
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        rest = &rest[open + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            rest = after;
            continue;
        }
        let (end, cut) = field(rest);
        if end == rest.len() {
            // What never ends is no code that could be told from the words behind it.
            return;
        }
        codes.push(rest[..cut.unwrap_or(end)].to_owned());
        if let (Some(cut), true) = (cut, depth < 3) {
            fields(&rest[cut..end], depth + 1, codes);
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
}

/// Where a field ends, and where the `:` or the `!` stands in it that says how it is written.
fn field(text: &str) -> (usize, Option<usize>) {
    let (mut depth, mut quote, mut cut) = (0_usize, None, None);
    let mut letters = text.char_indices();
    while let Some((at, c)) = letters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), '\\') => {
                letters.next();
            }
            // How it is written may have any.
            (None, '\'' | '"') if cut.is_none() => quote = Some(c),
            (None, '(' | '[') if cut.is_none() => depth += 1,
            (None, ')' | ']') if cut.is_none() && depth > 0 => depth -= 1,
            (None, '{') => depth += 1,
            (None, '}') if depth > 0 => depth -= 1,
            (None, '}') => return (at, cut),
            (None, ':') if depth == 0 && cut.is_none() => cut = Some(at),
            (None, '!') if depth == 0 && cut.is_none() && !text[at + 1..].starts_with('=') => cut = Some(at),
            _ => {}
        }
    }
    (text.len(), cut)
}

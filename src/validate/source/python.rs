//! Just enough Python: tokens, literal values, function signatures. Nothing is ever run.

use super::{braces, value};
use crate::diag::Span;
use crate::spec::yaml::{Node, Value};

/// A piece of Python source.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
    /// A text with code in it: `f"{x}"`.
    Format(String),
    Number(String),
    Mark(char),
    /// The end of a line outside brackets.
    Newline,
}

/// A token, where it starts, and how far its line is indented.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub token: Token,
    pub at: usize,
    /// Whether it is the first of a line that is not indented.
    pub top: bool,
}

/// The tokens of a text; what cannot be read is skipped, so that a broken file still gives what it can.
pub(super) fn tokens(text: &str) -> Vec<Placed> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    // A mark of the bytes' order is no part of the text.
    let begin = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let (mut at, mut depth, mut line_start) = (begin, 0_usize, true);
    let mut indented = false;
    while at < bytes.len() {
        let byte = bytes[at];
        let top = line_start && !indented;
        let start = at;
        let token = match byte {
            b'\n' => {
                at += 1;
                if depth > 0 {
                    continue;
                }
                line_start = true;
                indented = false;
                found.push(Placed { token: Token::Newline, at: start, top: false });
                continue;
            }
            b'\\' if bytes.get(at + 1) == Some(&b'\n') => {
                at += 2;
                continue;
            }
            b' ' | b'\t' | b'\r' | 0x0C => {
                // A form feed begins a page, and so a line.
                indented = line_start && byte != 0x0C;
                at += 1;
                continue;
            }
            b'#' => {
                at += text[at..].find('\n').unwrap_or(text.len() - at);
                continue;
            }
            b'\'' | b'"' => string(text, &mut at, false),
            b'0'..=b'9' => number(bytes, &mut at),
            b'_' | b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => word(text, &mut at),
            other => {
                depth = match other {
                    b'(' | b'[' | b'{' => depth + 1,
                    b')' | b']' | b'}' => depth.saturating_sub(1),
                    _ => depth,
                };
                at += 1;
                Token::Mark(char::from(other))
            }
        };
        line_start = false;
        found.push(Placed { token, at: start, top });
    }
    found
}

/// Reads a name, or a string with a prefix such as `r`.
fn word(text: &str, at: &mut usize) -> Token {
    let rest = &text[*at..];
    let len = rest.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(rest.len());
    let name = &rest[..len.max(rest.chars().next().map_or(1, char::len_utf8))];
    *at += name.len();
    if is_prefix(name) && text[*at..].starts_with(['\'', '"']) {
        let raw = name.contains(['r', 'R']);
        let read = if name.contains(['f', 'F']) { braces::read(text, *at, raw) } else { None };
        if let Some((end, value)) = read {
            *at = end;
            return if value.contains('{') { Token::Format(value) } else { Token::Text(value) };
        }
        match string(text, at, raw) {
            Token::Text(value) if name.contains(['f', 'F']) && value.contains('{') => Token::Format(value),
            other => other,
        }
    } else {
        Token::Name(name.to_owned())
    }
}

/// Whether a text may have these letters before its quote.
pub(super) fn is_prefix(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().as_str(), "r" | "b" | "u" | "f" | "rb" | "br" | "fr" | "rf")
}

fn number(bytes: &[u8], at: &mut usize) -> Token {
    let start = *at;
    while bytes.get(*at).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.')) {
        *at += 1;
    }
    Token::Number(String::from_utf8_lossy(&bytes[start..*at]).into_owned())
}

/// Reads a string literal that starts at `at`; a missing end takes the rest of the line.
fn string(text: &str, at: &mut usize, raw: bool) -> Token {
    let quote = &text[*at..=*at];
    let triple = text[*at..].starts_with(&quote.repeat(3));
    let end = if triple { quote.repeat(3) } else { quote.to_owned() };
    *at += end.len();
    let mut value = String::new();
    while let Some(c) = text[*at..].chars().next() {
        if text[*at..].starts_with(&end) {
            *at += end.len();
            break;
        }
        if c == '\n' && !triple {
            break;
        }
        *at += c.len_utf8();
        if c == '\\' {
            escaped(text, at, raw, &mut value);
        } else {
            value.push(c);
        }
    }
    Token::Text(value)
}

/// Adds to `value` what a backslash before `at` and the letter there stand for.
pub(super) fn escaped(text: &str, at: &mut usize, raw: bool, value: &mut String) {
    let next = text[*at..].chars().next();
    *at += next.map_or(0, char::len_utf8);
    match next {
        // Even there it keeps a quote from ending the text.
        next if raw => value.extend([Some('\\'), next].into_iter().flatten()),
        Some('n') => value.push('\n'),
        Some('t') => value.push('\t'),
        Some('\n') | None => {}
        Some(other) => value.push(other),
    }
}

/// Whether a text may be cut wrongly: one with code between braces of which one has no partner.
pub(super) fn is_cut(placed: &Placed) -> bool {
    match &placed.token {
        Token::Format(text) => text.matches('{').count() != text.matches('}').count(),
        _ => false,
    }
}

/// Where a bracket stands that is never closed, or that closes none.
pub(super) fn unbalanced(text: &str) -> Option<usize> {
    unpaired(&tokens(text))
}

/// The same for tokens.
pub(super) fn unpaired(tokens: &[Placed]) -> Option<usize> {
    let mut open: Vec<(char, usize)> = Vec::new();
    for placed in tokens {
        match placed.token {
            Token::Mark(mark @ ('(' | '[' | '{')) => open.push((mark, placed.at)),
            Token::Mark(mark @ (')' | ']' | '}')) => match (open.pop().map(|(mark, _)| mark), mark) {
                (Some('('), ')') | (Some('['), ']') | (Some('{'), '}') => {}
                _ => return Some(placed.at),
            },
            _ => {}
        }
    }
    open.first().map(|(_, at)| *at)
}

/// Words that begin a block, and are never anything else.
const HEADS: [&str; 11] = ["class", "def", "elif", "else", "except", "finally", "for", "if", "try", "while", "with"];

/// Where a line starts that begins a block and has no colon. Where tokens may be cut wrongly, nothing is said.
pub(super) fn without_colon(text: &str, tokens: &[Placed]) -> Option<usize> {
    // Python ends a line there, or goes on with it; we do not.
    let has_lone_return = text.match_indices('\r').any(|(at, _)| !text[at + 1..].starts_with('\n'));
    if has_lone_return || text.contains("\\\r") || tokens.iter().any(is_cut) {
        return None;
    }
    let begins = |placed: Option<&Placed>, words: &[&str]| match placed.map(|placed| &placed.token) {
        Some(Token::Name(word)) => words.contains(&word.as_str()),
        _ => false,
    };
    tokens.split(|placed| placed.token == Token::Newline).find_map(|line| {
        let start = usize::from(begins(line.first(), &["async"]));
        let mut depth = 0_usize;
        let has_colon = line.iter().any(|placed| {
            match placed.token {
                Token::Mark('(' | '[' | '{') => depth += 1,
                Token::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && placed.token == Token::Mark(':')
        });
        (begins(line.get(start), &HEADS) && !has_colon).then(|| line[start].at)
    })
}

/// What stands on the right of the last `name = …` at the left margin.
pub(super) enum Assigned {
    /// There is none.
    Missing,
    /// A literal, or what comes to one.
    Literal(Node),
    /// Something that needs a name which only the rest of the file has.
    Other,
    /// Something that only running could tell.
    Unclear,
}

/// Finds an assignment of a variable at the top of a text.
pub(super) fn assigned(tokens: &[Placed], name: &str) -> Assigned {
    let named = |index: &usize| matches!(&tokens[*index].token, Token::Name(word) if word == name);
    (0..tokens.len()).rev().filter(named).find_map(|index| assignment(tokens, index)).unwrap_or(Assigned::Missing)
}

/// What stands on the right when the token at `index` is a name at the left margin that is assigned to.
pub(super) fn assignment(tokens: &[Placed], index: usize) -> Option<Assigned> {
    let equals = |i: usize| tokens.get(i).is_some_and(|t| t.token == Token::Mark('='));
    if !tokens[index].top || !equals(index + 1) || equals(index + 2) {
        return None;
    }
    let rest = &tokens[index + 2..];
    let end = rest.iter().position(|t| matches!(t.token, Token::Newline | Token::Mark(';'))).unwrap_or(rest.len());
    Some(value::of(&rest[..end]))
}

/// Reads one literal: none, booleans, numbers, texts, and collections of them (a set or a tuple becomes a list).
pub(super) fn literal(rest: &mut &[Placed], depth: usize) -> Option<Node> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    let span = Span { start: first.at, len: 1 };
    let value = match &first.token {
        Token::Name(word) => match word.as_str() {
            "None" => Value::Null,
            "True" => Value::Bool(true),
            "False" => Value::Bool(false),
            _ => return None,
        },
        Token::Text(text) => {
            let mut whole = text.clone();
            // Adjacent texts are one text.
            while let Some((Placed { token: Token::Text(more), .. }, tail)) = rest.split_first() {
                whole.push_str(more);
                *rest = tail;
            }
            Value::Str(whole)
        }
        Token::Number(text) => {
            text.parse().map(Value::Int).or_else(|_| text.parse().map(Value::Float)).unwrap_or(Value::Int(0))
        }
        Token::Mark('-') if depth < 50 => match literal(rest, depth + 1)?.value {
            Value::Int(number) => Value::Int(number.checked_neg()?),
            Value::Float(number) => Value::Float(-number),
            _ => return None,
        },
        Token::Mark(open @ ('[' | '(' | '{')) if depth < 50 => collection(rest, *open, depth)?,
        _ => return None,
    };
    Some(Node { value, span, plain: false })
}

fn collection(rest: &mut &[Placed], open: char, depth: usize) -> Option<Value> {
    let close = match open {
        '[' => ']',
        '(' => ')',
        _ => '}',
    };
    let (mut items, mut pairs, mut comma) = (Vec::new(), Vec::new(), false);
    loop {
        if rest.first()?.token == Token::Mark(close) {
            *rest = &rest[1..];
            break;
        }
        let item = literal(rest, depth + 1)?;
        if open == '{' && rest.first()?.token == Token::Mark(':') {
            *rest = &rest[1..];
            let value = literal(rest, depth + 1)?;
            pairs.push((item, value));
        } else {
            items.push(item);
        }
        match &rest.first()?.token {
            Token::Mark(',') => {
                comma = true;
                *rest = &rest[1..];
            }
            Token::Mark(mark) if *mark == close => {}
            _ => return None,
        }
    }
    Some(match (open, items.is_empty()) {
        ('{', true) => Value::Map(pairs),
        // Parentheses without a comma only group.
        ('(', false) if !comma && items.len() == 1 => items.remove(0).value,
        _ => Value::Seq(items),
    })
}

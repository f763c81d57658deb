//! Just enough Python: tokens, literal values, function signatures. Nothing is ever run.

use crate::diag::Span;
use crate::spec::yaml::{Node, Value};

/// A piece of Python source.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Text(String),
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
    let (mut at, mut depth, mut line_start) = (0, 0_usize, true);
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
                indented |= line_start;
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
    let prefix = matches!(name.to_ascii_lowercase().as_str(), "r" | "b" | "u" | "f" | "rb" | "br" | "fr" | "rf");
    if prefix && text[*at..].starts_with(['\'', '"']) {
        string(text, at, name.contains(['r', 'R']))
    } else {
        Token::Name(name.to_owned())
    }
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
        if c == '\\' && !raw {
            let next = text[*at..].chars().next();
            *at += next.map_or(0, char::len_utf8);
            match next {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('\n') | None => {}
                Some(other) => value.push(other),
            }
        } else {
            value.push(c);
        }
    }
    Token::Text(value)
}

/// The line of a bracket that is never closed, or that closes none.
pub(super) fn unbalanced(text: &str) -> Option<usize> {
    let line = |at: usize| text[..at].bytes().filter(|b| *b == b'\n').count() + 1;
    let mut open: Vec<(char, usize)> = Vec::new();
    for placed in tokens(text) {
        match placed.token {
            Token::Mark(mark @ ('(' | '[' | '{')) => open.push((mark, placed.at)),
            Token::Mark(mark @ (')' | ']' | '}')) => match (open.pop().map(|(mark, _)| mark), mark) {
                (Some('('), ')') | (Some('['), ']') | (Some('{'), '}') => {}
                _ => return Some(line(placed.at)),
            },
            _ => {}
        }
    }
    open.first().map(|(_, at)| line(*at))
}

/// What stands on the right of the last `name = …` at the left margin.
pub(super) enum Assigned {
    /// There is none.
    Missing,
    /// A literal.
    Literal(Node),
    /// Something that only running could tell.
    Other,
}

/// Finds an assignment of a variable at the top of a text.
pub(super) fn assigned(tokens: &[Placed], name: &str) -> Assigned {
    let mut result = Assigned::Missing;
    for (index, placed) in tokens.iter().enumerate() {
        let named = placed.top && placed.token == Token::Name(name.to_owned());
        let equals = |i: usize| tokens.get(i).is_some_and(|t| t.token == Token::Mark('='));
        if !named || !equals(index + 1) || equals(index + 2) {
            continue;
        }
        let mut rest = &tokens[index + 2..];
        result = match literal(&mut rest, 0) {
            Some(node) if rest.first().is_none_or(|t| matches!(t.token, Token::Newline | Token::Mark(';'))) => {
                Assigned::Literal(node)
            }
            _ => Assigned::Other,
        };
    }
    result
}

/// Reads one literal: none, booleans, numbers, texts, and collections of them (a set or a tuple becomes a list).
fn literal(rest: &mut &[Placed], depth: usize) -> Option<Node> {
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

/// A function found at the left margin of a module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Function {
    /// Parameters with a name, and whether they have a default.
    pub parameters: Vec<(String, bool)>,
    /// A decorator may change what it takes.
    pub decorated: bool,
    /// The names it asks `upstream[…]` for.
    pub upstream: Vec<String>,
}

/// What a module binds a name to.
pub(crate) enum Binding {
    /// `def name(…)`.
    Function(Function),
    /// `def name(…)` below an `if` or a `try`: Ploomber cannot cut its source out.
    Indented,
    /// A literal: it cannot be called.
    Literal,
    /// A class, an import, an assignment: its shape is not known here.
    Other,
    /// Nothing, as far as can be seen; `true` when `from x import *` or `__getattr__` could still provide it.
    Missing(bool),
}

/// Names of the functions of a module.
pub(super) fn functions(tokens: &[Placed]) -> Vec<String> {
    let def = |index: &usize| tokens[*index].top && tokens[*index].token == Token::Name("def".to_owned());
    let name = |index: usize| match &tokens.get(index + 1)?.token {
        Token::Name(name) => Some(name.clone()),
        _ => None,
    };
    (0..tokens.len()).filter(def).filter_map(name).collect()
}

/// Finds what a module binds `name` to; the last `def` counts.
pub(super) fn binding(tokens: &[Placed], name: &str) -> Binding {
    let word = |index: usize| match tokens.get(index).map(|t| &t.token) {
        Some(Token::Name(word)) => word.as_str(),
        _ => "",
    };
    let mut function = None;
    let (mut other, mut open) = (false, false);
    let mut decorated = false;
    for index in 0..tokens.len() {
        if !tokens[index].top {
            other |= word(index) == name && word(index.wrapping_sub(1)) != "def" && !in_body(tokens, index);
            continue;
        }
        let async_def = word(index) == "async" && word(index + 1) == "def";
        let at = index + usize::from(async_def);
        if word(at) == "def" && word(at + 1) == name {
            function = Some(signature(&tokens[at + 2..], decorated));
        }
        open |= word(index) == "def" && word(index + 1) == "__getattr__";
        open |= word(index) == "from" && line(&tokens[index..]).iter().any(|t| t.token == Token::Mark('*'));
        other |= word(index) == name || (word(index) == "class" && word(index + 1) == name);
        // Conditional definitions are indented; they may bind the name.
        open |= matches!(word(index), "if" | "try" | "with" | "for");
        decorated = tokens[index].token == Token::Mark('@');
    }
    match function {
        Some(function) => Binding::Function(function),
        None if matches!(assigned(tokens, name), Assigned::Literal(_)) => Binding::Literal,
        None if conditional(tokens, name) => Binding::Indented,
        None if other => Binding::Other,
        None => Binding::Missing(open),
    }
}

/// Whether `def name` stands below an `if`, a `try` or the like at the left margin.
fn conditional(tokens: &[Placed], name: &str) -> bool {
    let mut block = "";
    let is = |index: usize, word: &str| tokens.get(index).is_some_and(|t| t.token == Token::Name(word.to_owned()));
    for (index, placed) in tokens.iter().enumerate() {
        if let (true, Token::Name(word)) = (placed.top, &placed.token) {
            block = word;
        }
        let inside = matches!(block, "if" | "elif" | "else" | "try" | "except" | "finally" | "with" | "for" | "while");
        if inside && !placed.top && is(index, "def") && is(index + 1, name) {
            return true;
        }
    }
    false
}

/// Whether the statement that holds a token starts indented.
fn in_body(tokens: &[Placed], index: usize) -> bool {
    let start = tokens[..index].iter().rposition(|t| t.token == Token::Newline).map_or(0, |i| i + 1);
    !tokens[start].top
        || !matches!(&tokens[start].token, Token::Name(word) if matches!(word.as_str(), "from" | "import"))
}

fn line(tokens: &[Placed]) -> &[Placed] {
    let end = tokens.iter().position(|t| t.token == Token::Newline).unwrap_or(tokens.len());
    &tokens[..end]
}

/// Reads `(a, b=1, *args, **kwargs): body`.
fn signature(tokens: &[Placed], decorated: bool) -> Function {
    let mut function = Function { decorated, ..Function::default() };
    let (mut depth, mut fresh, mut end) = (0_usize, true, tokens.len());
    for (index, placed) in tokens.iter().enumerate() {
        match &placed.token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    end = index;
                    break;
                }
            }
            Token::Mark(',') if depth == 1 => fresh = true,
            Token::Mark('=') if depth == 1 => {
                if let Some(last) = function.parameters.last_mut() {
                    last.1 = true;
                }
            }
            Token::Name(name) if depth == 1 && fresh => {
                // Ploomber asks for `*args` and `**kwargs` by name, too.
                function.parameters.push((name.clone(), false));
                fresh = false;
            }
            _ => {}
        }
    }
    let body = &tokens[end..];
    let stop = body.iter().position(|t| t.top).unwrap_or(body.len());
    function.upstream = upstream_keys(&body[..stop]);
    function
}

fn upstream_keys(tokens: &[Placed]) -> Vec<String> {
    let mut keys: Vec<String> = tokens
        .windows(4)
        .filter_map(|w| match (&w[0].token, &w[1].token, &w[2].token, &w[3].token) {
            (Token::Name(name), Token::Mark('['), Token::Text(key), Token::Mark(']')) if name == "upstream" => {
                Some(key.clone())
            }
            _ => None,
        })
        .collect();
    keys.sort();
    keys.dedup();
    keys
}

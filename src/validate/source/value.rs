//! What the right side of an assignment comes to. Ploomber evaluates it by itself, so no name of the file has a value there.

use super::python::{Assigned, Placed, Token, literal};
use crate::diag::Span;
use crate::spec::yaml::{Node, Value};

/// Calls that make a list of what they get.
const LISTS: [&str; 2] = ["list", "sorted"];
/// Calls that make something else to go through.
const OTHERS: [&str; 2] = ["set", "tuple"];

/// Words after which a part may not be looked at, or that give names a value themselves.
const TURNS: [&str; 6] = ["for", "lambda", "if", "else", "and", "or"];

/// Words of the language that are no names.
const WORDS: [&str; 6] = ["None", "True", "False", "not", "in", "is"];

/// Names that have a value wherever Python evaluates something, and those of Ploomber's own where it does this.
const KNOWN: [&str; 62] = [
    "abs",
    "all",
    "any",
    "ascii",
    "ast",
    "bin",
    "bool",
    "bytearray",
    "bytes",
    "callable",
    "chr",
    "code_str",
    "complex",
    "defined",
    "dict",
    "dir",
    "divmod",
    "enumerate",
    "eval",
    "exec",
    "Extractor",
    "filter",
    "float",
    "format",
    "frozenset",
    "getattr",
    "globals",
    "hasattr",
    "hash",
    "hex",
    "id",
    "int",
    "isinstance",
    "iter",
    "len",
    "list",
    "locals",
    "map",
    "Mapping",
    "max",
    "min",
    "name",
    "next",
    "object",
    "oct",
    "open",
    "ord",
    "parso",
    "pow",
    "print",
    "range",
    "repr",
    "reversed",
    "round",
    "set",
    "slice",
    "sorted",
    "stmt",
    "str",
    "sum",
    "tuple",
    "type",
];

/// What these tokens, all of one expression, come to.
pub(super) fn of(tokens: &[Placed]) -> Assigned {
    let mut rest = tokens;
    if let Some(node) = literal(&mut rest, 0).filter(|_| rest.is_empty()) {
        return Assigned::Literal(node);
    }
    if let Some(node) = joined(tokens) {
        return Assigned::Literal(node);
    }
    if tokens.is_empty() || has_unknown_name(tokens) { Assigned::Other } else { Assigned::Unclear }
}

/// Lists that are put behind one another, or one call that makes a list, a set or a tuple.
fn joined(tokens: &[Placed]) -> Option<Node> {
    let mut rest = tokens;
    let (mut items, is_list) = part(&mut rest)?;
    while let Some((first, tail)) = rest.split_first() {
        if first.token != Token::Mark('+') || !is_list {
            return None;
        }
        rest = tail;
        let (more, _) = part(&mut rest).filter(|(_, is_list)| *is_list)?;
        items.extend(more);
    }
    let span = Span { start: tokens.first()?.at, len: 1 };
    Some(Node { value: Value::Seq(items), span, plain: false })
}

/// One list, or a call around one, and whether it is a list.
fn part(rest: &mut &[Placed]) -> Option<(Vec<Node>, bool)> {
    let first = &rest.first()?.token;
    let Token::Name(word) = first else {
        let is_list = *first == Token::Mark('[');
        return Some((items(literal(rest, 0)?)?, is_list)).filter(|_| is_list);
    };
    let is_list = LISTS.contains(&word.as_str());
    if !is_list && !OTHERS.contains(&word.as_str()) {
        return None;
    }
    let mut inner = rest.get(1..)?;
    take(&mut inner, '(')?;
    let found = match inner.first()?.token {
        Token::Mark(')') if word != "sorted" => Vec::new(),
        _ => items(literal(&mut inner, 0)?)?,
    };
    take(&mut inner, ')')?;
    *rest = inner;
    Some((found, is_list))
}

fn take(rest: &mut &[Placed], mark: char) -> Option<()> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    (first.token == Token::Mark(mark)).then_some(())
}

/// What going through a value gives.
fn items(node: Node) -> Option<Vec<Node>> {
    match node.value {
        Value::Seq(items) => Some(items),
        Value::Map(pairs) => Some(pairs.into_iter().map(|(key, _)| key).collect()),
        _ => None,
    }
}

/// Whether a name is certain to be looked up that has no value.
fn has_unknown_name(tokens: &[Placed]) -> bool {
    let mark = |at: usize, mark: char| tokens.get(at).is_some_and(|placed| placed.token == Token::Mark(mark));
    let word = |(at, placed): (usize, &Placed)| match &placed.token {
        Token::Name(word) => Some((at, word.clone())),
        _ => None,
    };
    let names: Vec<(usize, String)> = tokens.iter().enumerate().filter_map(word).collect();
    let binds = (0..tokens.len()).any(|at| mark(at, ':') && mark(at + 1, '='));
    if binds || names.iter().any(|(_, word)| TURNS.contains(&word.as_str())) {
        return false;
    }
    names.iter().any(|(at, word)| {
        let at = *at;
        let is_attribute = at > 0 && mark(at - 1, '.');
        let is_keyword = mark(at + 1, '=') && !mark(at + 2, '=');
        let is_known = WORDS.contains(&word.as_str())
            || KNOWN.contains(&word.as_str())
            || word.starts_with('_')
            || ["Error", "Exception", "Warning", "Extractor"].iter().any(|ending| word.ends_with(ending))
            || word.starts_with("extract_")
            || word.starts_with("get_");
        !is_attribute && !is_keyword && !is_known
    })
}

/// The names that a text gives a value, where it consists of plain assignments; `None` where there is more to it.
pub(super) fn declared(tokens: &[Placed]) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    let mut used: Vec<&str> = Vec::new();
    for statement in tokens.split(|placed| matches!(placed.token, Token::Newline | Token::Mark(';'))) {
        let (first, rest) = match statement {
            [] | [Placed { token: Token::Text(_), .. }] => continue,
            [Placed { token: Token::Name(name), top: true, .. }, rest @ ..] => (name, rest),
            _ => return None,
        };
        let equals = rest.iter().filter(|placed| placed.token == Token::Mark('=')).count();
        if equals != 1 || rest[0].token != Token::Mark('=') {
            return None;
        }
        for placed in &rest[1..] {
            match &placed.token {
                Token::Name(word) => used.push(word),
                Token::Format(_) => return None,
                _ => {}
            }
        }
        names.push(first.clone());
    }
    // What is read again is, to Ploomber's eyes, no longer given a value.
    let is_read = names.iter().any(|name| used.contains(&name.as_str()));
    (!is_read).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::super::python::tokens;
    use super::*;

    /// The names of a list, or how it is not one.
    fn names(text: &str) -> String {
        match of(&tokens(text)) {
            Assigned::Literal(Node { value: Value::Seq(items), .. }) => {
                items.iter().filter_map(Node::scalar_text).collect::<Vec<_>>().join(" ")
            }
            Assigned::Literal(node) => node.kind().to_owned(),
            Assigned::Other => "other".to_owned(),
            Assigned::Unclear => "unclear".to_owned(),
            Assigned::Missing => "missing".to_owned(),
        }
    }

    #[test]
    fn lists_are_joined_and_calls_around_them_are_followed() {
        for (text, told) in [
            ("['a'] + []", "a"),
            ("['a'] + ['b'] + list(('c', 'd'))", "a b c d"),
            ("list(['a'])", "a"),
            ("list()", ""),
            ("set(['a', 'b'])", "a b"),
            ("tuple({'a': 1})", "a"),
            ("sorted({'b'})", "b"),
            ("-1", "a number"),
        ] {
            assert_eq!(names(text), told, "{text}");
        }
    }

    #[test]
    fn names_are_declared_by_plain_assignments_only() {
        let of = |text: &str| declared(&tokens(text)).map(|names| names.join(" "));
        assert_eq!(of("# a\n'doc'\nupstream = None\nx = [1,\n 2]\n\nx = 3; \n").as_deref(), Some("upstream x x"));
        for text in ["import os\n", "x: int = 1\n", "x = y = 1\n", "x = 1\ny = x\n", "if a:\n    x = 1\n", "x == 1\n"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_that_only_the_file_has_is_told_from_what_python_may_follow() {
        for text in ["other", "['a'] + other", "make(['a'])", "os.environ", "['a'] + [x]", ""] {
            assert_eq!(names(text), "other", "{text}");
        }
        for text in [
            "[x for x in ['a']]",
            "(lambda: ['a'])()",
            "['a'] if True else other",
            "None or ['a']",
            "['a'] * 1",
            "[f'a{2}']",
            "dict(a=1)",
            "'a b'.split()",
            "(y := ['a'])",
            "[*['a']]",
            "{'k': ['a']}['k']",
            "set(['a']) + ['b']",
            "sorted()",
            "1 < 2",
        ] {
            assert_eq!(names(text), "unclear", "{text}");
        }
    }
}

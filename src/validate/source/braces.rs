//! Texts with code in them (`f"{x["a"]}"`): where they end, as Python reads them from 3.12 on. What older ones read they end
//! in the same place; of a text that has no such end nothing is said here.

use super::python;

/// Texts in the code of texts are not followed deeper.
const DEEPEST: usize = 8;
/// Brackets in that code are not followed deeper.
const MOST_BRACKETS: usize = 50;
/// Longer code between two braces is not followed.
const LONGEST: usize = 2000;

/// How a text is written.
#[derive(Clone, Copy)]
struct Style {
    /// With an `r` before its quote.
    is_raw: bool,
    /// With an `f` before it.
    has_code: bool,
}

/// Where the text ends whose quote, behind an `f`, stands at `start`; and what it holds, with its code as it is written.
pub(super) fn read(code: &str, start: usize, is_raw: bool) -> Option<(usize, String)> {
    text(code, start, Style { is_raw, has_code: true }, 0)
}

fn text(code: &str, start: usize, style: Style, depth: usize) -> Option<(usize, String)> {
    let quote = code.get(start..=start)?;
    let triple = quote.repeat(3);
    let end = if code[start..].starts_with(&triple) { triple.as_str() } else { quote };
    let (mut at, mut value) = (start + end.len(), String::new());
    loop {
        let rest = &code[at..];
        if rest.starts_with(end) {
            return Some((at + end.len(), value));
        }
        match rest.chars().next()? {
            '\n' if end.len() == 1 => return None,
            '{' if style.has_code && !rest.starts_with("{{") => {
                let behind = field(code, at + 1, end, depth)?;
                value.push_str(&code[at..behind]);
                at = behind;
            }
            '{' if style.has_code => {
                value.push_str("{{");
                at += 2;
            }
            // Before code it is a letter as any other.
            '\\' if !(style.has_code && rest.starts_with("\\{")) => {
                at += 1;
                python::escaped(code, &mut at, style.is_raw, &mut value);
            }
            letter => {
                value.push(letter);
                at += letter.len_utf8();
            }
        }
    }
}

/// The place behind the brace that closes the code which begins at `from`, in a text that ends with `end`.
fn field(code: &str, from: usize, end: &str, depth: usize) -> Option<usize> {
    let (mut at, mut open, mut is_code) = (from, 0_usize, true);
    while depth <= DEEPEST && open <= MOST_BRACKETS && at - from <= LONGEST {
        let rest = &code[at..];
        let letter = rest.chars().next()?;
        match letter {
            '}' if open == 0 => return Some(at + 1),
            // Behind the `:` stands how it is written, with code in braces of its own.
            '{' if !is_code => {
                at = field(code, at + 1, end, depth + 1)?;
                continue;
            }
            '\\' if !is_code => {
                let next = rest[1..].chars().next().filter(|next| !matches!(next, '{' | '}'));
                at += next.map_or(0, char::len_utf8);
            }
            '\n' if !is_code && end.len() == 1 => return None,
            _ if !is_code && rest.starts_with(end) => return None,
            _ if !is_code => {}
            ':' if open == 0 => is_code = false,
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.checked_sub(1)?,
            '#' => {
                at += rest.find('\n')?;
                continue;
            }
            '\'' | '"' => {
                at = text(code, at, Style { is_raw: false, has_code: false }, depth)?.0;
                continue;
            }
            letter if letter == '_' || letter.is_alphanumeric() => {
                at = word(code, at, depth)?;
                continue;
            }
            _ => {}
        }
        at += letter.len_utf8();
    }
    None
}

/// The place behind a name or a number, or behind the text that it stands before.
fn word(code: &str, start: usize, depth: usize) -> Option<usize> {
    let rest = &code[start..];
    let len = rest.find(|c: char| !(c == '_' || c.is_alphanumeric())).unwrap_or(rest.len());
    let (name, behind) = (&rest[..len], start + len);
    if !python::is_prefix(name) || !code[behind..].starts_with(['\'', '"']) {
        return Some(behind);
    }
    let style = Style { is_raw: name.contains(['r', 'R']), has_code: name.contains(['f', 'F']) };
    Some(text(code, behind, style, depth + 1)?.0)
}

#[cfg(test)]
mod tests {
    use super::super::python::{Token, tokens};
    use super::*;

    /// What is read of `code`, which begins with an `f`, and what is left behind it.
    fn split(code: &str) -> Option<(String, &str)> {
        read(code, 1, false).map(|(end, value)| (value, &code[end..]))
    }

    /// What Python 3.12 and 3.13 make of these texts.
    #[test]
    fn a_text_may_hold_its_own_quotes_where_it_holds_code() {
        for (code, value) in [
            (r#"f"{y["("]}""#, r#"{y["("]}"#),
            (r#"f"{y["}"]} ' {z}""#, r#"{y["}"]} ' {z}"#),
            (r#"f"{f"{f"{1}"}"} {{""#, r#"{f"{f"{1}"}"} {{"#),
            (r#"f'{", ".join('a' for i in x)!r:>{w["'"]}}'"#, r#"{", ".join('a' for i in x)!r:>{w["'"]}}"#),
            (r"f'{x:%d\'} {x}'", r"{x:%d\'} {x}"),
            ("f'{\n  {1: 2}[1]  # it's }\n}'", "{\n  {1: 2}[1]  # it's }\n}"),
            ("f'''{y['''a''']}\n'''", "{y['''a''']}\n"),
            (r#"f"{'\n'.join(x)}\n""#, "{'\\n'.join(x)}\n"),
            (r#"f"\{x}{{}}""#, r"\{x}{{}}"),
            (r#"f"}} {rb'\''}""#, r"}} {rb'\''}"),
            ("f'é{é}'", "é{é}"),
        ] {
            assert_eq!(split(&format!("{code} + 1")), Some((value.to_owned(), " + 1")), "{code}");
        }
    }

    #[test]
    fn a_text_whose_code_has_no_end_is_not_read() {
        let deep = format!("{}1{}", "f'{".repeat(30), "}'".repeat(30));
        let long = format!("f'{{{}}}'", "x ".repeat(LONGEST));
        for code in [
            "f'{x'",
            "f'{x)}'",
            "f'{'x}'\n",
            "f'{x:'",
            "f'{x:\n}'",
            "f'a\n'",
            "f'{#}'",
            "f'",
            deep.as_str(),
            long.as_str(),
        ] {
            assert_eq!(split(code), None, "{code}");
        }
    }

    #[test]
    fn what_stands_behind_such_a_text_is_read_as_what_it_is() {
        let found = tokens("x = f\"{y[\"(\"]}\"\nz = 1\n");
        let last: Vec<&Token> = found.iter().rev().take(4).map(|placed| &placed.token).collect();
        let name = Token::Name("z".to_owned());
        assert_eq!(last, [&Token::Newline, &Token::Number("1".to_owned()), &Token::Mark('='), &name]);
        assert_eq!(found[2].token, Token::Format("{y[\"(\"]}".to_owned()));
        assert!(found[4].top);
    }
}

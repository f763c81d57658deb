//! Text of others in Markdown: shown as it is, obeyed by nobody.
//!
//! Two forms. [`text`] is for sentences: everything that Markdown, HTML or GitHub's own filters could act on is written
//! as a character reference, and names behind `@` and numbers behind `#` are parted from their sign by a space of no width,
//! because GitHub looks for those in the finished page. [`code`] is for names; GitHub leaves what is in code alone.

use std::fmt::{self, Write};

use askama::filters::Escaper;

use crate::id::is_unsightly;

/// Escapes each `{{ value }}` of a `.md` template as [`prose`] does. Registered in `askama.toml`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Markdown;

impl Escaper for Markdown {
    fn write_escaped_str<W: Write>(&self, mut dest: W, string: &str) -> fmt::Result {
        dest.write_str(&prose(string, usize::MAX))
    }
}

/// A space of no width.
const APART: &str = "&#8203;";

/// A sentence in one line, of at most `longest` characters.
pub fn text(text: &str, longest: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word = String::new();
    let mut rest = text.chars().peekable();
    for count in 0.. {
        let Some(c) = rest.next() else { break };
        if count == longest {
            out.push('…');
            break;
        }
        let next = rest.peek().copied().unwrap_or(' ');
        match c {
            '\n' | '\r' | '\t' | ' ' => out.push(' '),
            '@' => out.extend(["&#64;", APART]),
            '#' => out.extend(["&#35;", APART]),
            // Bare addresses become links.
            ':' if next == '/' => out.extend(["&#58;", APART]),
            '.' if word.ends_with("www") => out.extend([APART, "&#46;"]),
            '-' if word.ends_with("gh") => out.extend([APART, "&#45;"]),
            // `1.`, `1)`, `+` and `-` begin lists, where a line begins with them.
            '.' | ')' if next == ' ' && out.bytes().all(|b| b.is_ascii_digit()) => refer(c, &mut out),
            '-' | '+' if out.is_empty() => refer(c, &mut out),
            '.' | '-' | '+' | '(' | ')' | ',' | ';' | ':' | '?' | '!' | '\'' | '"' | '/' | '%' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c if is_unsightly(c) => c.escape_unicode().for_each(|c| refer(c, &mut out)),
            c if c.is_ascii() => refer(c, &mut out),
            c => out.push(c),
        }
        if c.is_alphanumeric() { word.push(c.to_ascii_lowercase()) } else { word.clear() }
    }
    out
}

/// A sentence of ours in which names of others stand between backticks, as messages have them: those become code.
pub fn prose(sentence: &str, longest: usize) -> String {
    let sentence = sentence.trim();
    let ticks = sentence.matches('`').count();
    if ticks % 2 == 1 || ticks > 20 || sentence.chars().nth(longest).is_some() {
        return text(sentence, longest);
    }
    let parts = sentence.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 1 { code(part, longest) } else { text(part, longest) }).collect()
}

/// A name, as code, of at most `longest` characters; whole in one line, and fit for a table.
pub fn code(name: &str, longest: usize) -> String {
    let shown = crate::compare::shown(name, longest);
    let plain = |c: char| c.is_alphanumeric() || " ._-/=:,+()%…→'".contains(c);
    let edges = shown.starts_with(' ') || shown.ends_with(' ') || shown.is_empty();
    if shown.chars().all(plain) && !edges {
        return format!("`{shown}`");
    }
    // Backticks and pipes have rules of their own in code and in tables: references have not.
    let mut out = String::from("<code>");
    for c in shown.chars() {
        if c.is_alphanumeric() || !c.is_ascii() { out.push(c) } else { refer(c, &mut out) }
    }
    out + "</code>"
}

/// A character as a reference; letters and digits stay.
fn refer(c: char, out: &mut String) {
    if c.is_ascii_alphanumeric() {
        out.push(c);
    } else {
        // Writing to a string does not fail.
        let _ = write!(out, "&#{};", u32::from(c));
    }
}

/// Lines of output as a block of code behind a fence that none of them can close.
pub fn block(lines: &[String], language: &str, longest: usize) -> String {
    let lines: Vec<String> = lines.iter().map(|line| printed(line, longest)).collect();
    let run = |line: &String| {
        let runs = line.split(|c| c != '`').map(str::len);
        runs.max().unwrap_or(0)
    };
    let fence = "`".repeat(lines.iter().map(run).max().unwrap_or(0).max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", lines.join("\n"))
}

/// A line of output as it would stand on a terminal: what was last written over it.
fn printed(line: &str, longest: usize) -> String {
    let mut plain = crate::logs::Plain::new();
    let kept = plain.keep(line.as_bytes(), false);
    let text = String::from_utf8_lossy(&kept);
    let last = text.trim_end().rsplit('\r').next().unwrap_or_default().replace('\t', "    ").replace('\u{1e}', "");
    crate::compare::shown(&last, longest)
}

/// Signed addresses that hold a session's token are long.
const LONGEST_ADDRESS: usize = 4000;

/// The address of a link or picture, fit to stand in round brackets; `None` for what is no web address, or has a
/// password in it, or is too long.
pub fn address(address: &str) -> Option<String> {
    let url = url::Url::parse(address).ok()?;
    let plain = matches!(url.scheme(), "https" | "http") && url.has_host() && address.len() <= LONGEST_ADDRESS;
    if !plain || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let kept = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#$+,;=%".contains(&b);
    let mut out = String::new();
    for byte in url.as_str().bytes() {
        match byte {
            b'&' => out.push_str("&amp;"),
            byte if kept(byte) => out.push(byte.into()),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_keep_their_look_and_lose_their_force() {
        for (given, written) in [
            ("3 of 4 rows, as usual.", "3 of 4 rows, as usual."),
            ("@ann fixed #12", "&#64;&#8203;ann fixed &#35;&#8203;12"),
            ("a\n\n# b", "a  &#35;&#8203; b"),
            ("<b>x</b>", "&#60;b&#62;x&#60;/b&#62;"),
            ("![x](http://e.org)", "!&#91;x&#93;(http&#58;&#8203;//e.org)"),
            ("www.e.org and GH-12", "www&#8203;&#46;e.org and GH&#8203;&#45;12"),
            ("- a", "&#45; a"),
            ("+ a", "&#43; a"),
            ("1. a", "1&#46; a"),
            ("2) a", "2&#41; a"),
            ("0.5 (+3 %)", "0.5 (+3 %)"),
            ("notGH-1 notwww.a.b", "notGH&#8203;&#45;1 notwww&#8203;&#46;a.b"),
            (
                "a|b `c` *d* _e_ ~f~ \\g &amp;",
                "a&#124;b &#96;c&#96; &#42;d&#42; &#95;e&#95; &#126;f&#126; &#92;g &#38;amp;",
            ),
            ("a\u{202e}b\u{0}c", "a&#92;u&#123;202e&#125;b&#92;u&#123;0&#125;c"),
        ] {
            assert_eq!(text(given, 999), written, "{given:?}");
        }
        assert_eq!(text("abcdef", 3), "abc…");
    }

    #[test]
    fn names_between_backticks_are_code() {
        assert_eq!(prose(" `a.py` changed, not `b|c` ", 99), "`a.py` changed, not <code>b&#124;c</code>");
        assert_eq!(prose("`a` and `b", 99), "&#96;a&#96; and &#96;b");
    }

    #[test]
    fn names_are_code_and_odd_ones_are_written_out() {
        assert_eq!(code("out/a b.csv", 99), "`out/a b.csv`");
        assert_eq!(code("a`b|c", 99), "<code>a&#96;b&#124;c</code>");
        assert_eq!(code("@x\n", 99), "<code>&#64;x&#92;n</code>");
        assert_eq!(code("", 99), "<code></code>");
        assert_eq!(code(" a", 99), "<code>&#32;a</code>");
    }

    #[test]
    fn a_fence_is_longer_than_any_in_the_lines() {
        let lines = ["```".to_owned(), "10 %\r100 %\u{1b}[2J".to_owned(), "</details>`````x".to_owned()];
        assert_eq!(block(&lines, "text", 99), "``````text\n```\n100 %\n</details>`````x\n``````");
        assert_eq!(block(&[], "", 99), "```\n\n```");
    }

    #[test]
    fn addresses_are_of_the_web_and_close_nothing() {
        assert_eq!(address("https://h/a b(c)|d?x=1&y=2").as_deref(), Some("https://h/a%20b%28c%29%7Cd?x=1&amp;y=2"));
        for bad in ["javascript:alert(1)", "data:text/html,x", "/path", "https://ann:pw@h/", "https://ann@h/", "x"] {
            assert_eq!(address(bad), None, "{bad}");
        }
        assert_eq!(address(&format!("https://h/{}", "a".repeat(LONGEST_ADDRESS))), None);
    }
}
